//! The client against a server of canned answers, over in-memory streams.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{ApiRequest, Client, ClientConfig, ClientError};
use crate::runtime::net::NetworkSource;
use crate::runtime::{Listener, Network, Runtime, Stream};

/// What the server does with the next request.
#[derive(Clone)]
enum Answer {
    /// Answer, and keep the connection or not.
    Send(&'static str, &'static str, &'static str),
    /// Close without an answer.
    Close,
}

#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<String>>>,
    dials: Arc<Mutex<Vec<String>>>,
}

impl NetworkSource for Fake {
    fn connect(&self, address: String) -> BoxFuture<'static, io::Result<Stream>> {
        self.dials.lock().unwrap().push(address.clone());
        let this = self.clone();
        Box::pin(async move {
            if address.starts_with("refused") {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (client, server) = tokio::io::duplex(64 * 1024);
            tokio::spawn(this.serve(server));
            Ok(Box::new(client) as Stream)
        })
    }

    fn listen(&self, _address: String) -> BoxFuture<'static, io::Result<Listener>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    fn listen_unix(&self, _path: &Path, _mode: u32) -> io::Result<Listener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect_unix(&self, path: &Path) -> BoxFuture<'static, io::Result<Stream>> {
        self.connect(path.display().to_string())
    }
}

impl Fake {
    async fn serve(self, mut stream: DuplexStream) {
        while let Some(request) = read_request(&mut stream).await {
            self.seen.lock().unwrap().push(request);
            let answer = self.answers.lock().unwrap().pop_front();
            let Some(Answer::Send(status, headers, body)) = answer else {
                return;
            };
            let length = body.len();
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
            if stream.write_all(text.as_bytes()).await.is_err() || headers.contains("connection: close") {
                return;
            }
        }
    }

    fn client(&self, change: impl FnOnce(&mut ClientConfig)) -> Client {
        let mut config = ClientConfig { token: "tok".into(), ..ClientConfig::at("http://a:8200") };
        config.retry_wait = Duration::from_millis(1);
        change(&mut config);
        Client::new(Runtime { net: Network::new(self.clone()), ..Runtime::real() }, config)
    }

    fn answer(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    fn dials(&self) -> usize {
        self.dials.lock().unwrap().len()
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|request| request.lines().next().unwrap().to_string()).collect()
    }
}

async fn read_request(stream: &mut DuplexStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(head + std::str::from_utf8(&body).unwrap())
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

const OK: Answer = Answer::Send("200 OK", "", r#"{"data":{"a":1}}"#);
const BUSY: Answer = Answer::Send("503 Service Unavailable", "retry-after: 1\r\n", r#"{"errors":["busy"]}"#);
const NOT_NOW: Answer = Answer::Send("503 Service Unavailable", "", r#"{"errors":["busy"]}"#);
const UNKNOWN: Answer = Answer::Send("500 Internal Server Error", "", r#"{"errors":["lost"]}"#);

#[test]
fn connections_are_used_again() {
    run(async {
        let fake = Fake::default();
        fake.answer(&[OK, OK, Answer::Send("200 OK", "connection: close\r\n", "{}"), OK]);
        let client = fake.client(|_| {});
        for _ in 0..4 {
            client.send(ApiRequest::get("x")).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(fake.dials(), 2);
        let first = fake.seen.lock().unwrap()[0].clone();
        assert!(first.contains("x-vault-token: tok\r\n") && first.contains("x-vault-request: true\r\n"), "{first}");
        assert!(first.contains("host: a:8200\r\n"), "{first}");
    });
}

#[test]
fn a_redirect_keeps_token_and_body() {
    run(async {
        let fake = Fake::default();
        fake.answer(&[Answer::Send("307 Temporary Redirect", "location: http://b:8200/v1/x?y=1\r\n", ""), OK]);
        let client = fake.client(|_| {});
        client.send(ApiRequest::put("x", json!({ "k": "v" })).query("y", "1")).await.unwrap();
        assert_eq!(*fake.dials.lock().unwrap(), ["a:8200", "b:8200"]);
        let second = fake.seen.lock().unwrap()[1].clone();
        assert!(second.starts_with("put /v1/x?y=1 "), "{second}");
        assert!(second.contains("x-vault-token: tok\r\n") && second.ends_with(r#"{"k":"v"}"#), "{second}");
        // One redirect only.
        let again = Answer::Send("307 Temporary Redirect", "location: http://b:8200/v1/x\r\n", "");
        fake.answer(&[again.clone(), again]);
        assert_eq!(client.send(ApiRequest::get("x")).await.unwrap().status.as_u16(), 307);
    });
}

#[test]
fn refusals_are_repeated_after_the_time_they_ask_for() {
    run(async {
        let fake = Fake::default();
        fake.answer(&[BUSY, BUSY, OK]);
        let begin = tokio::time::Instant::now();
        fake.client(|_| {}).send(ApiRequest::put("x", json!({}))).await.unwrap();
        assert!(begin.elapsed() >= Duration::from_secs(2));
        fake.answer(&[NOT_NOW, NOT_NOW, NOT_NOW]);
        let error = fake.client(|_| {}).send(ApiRequest::get("x")).await.unwrap_err();
        assert_eq!((error.status(), error.outcome_unknown(), fake.lines().len()), (Some(503), false, 6));
    });
}

#[test]
fn a_write_of_unknown_outcome_is_not_repeated() {
    run(async {
        let fake = Fake::default();
        fake.answer(&[UNKNOWN, Answer::Close]);
        let error = fake.client(|_| {}).send(ApiRequest::put("x", json!({}))).await.unwrap_err();
        assert!(error.outcome_unknown() && error.status() == Some(500));
        let error = fake.client(|_| {}).send(ApiRequest::put("x", json!({}))).await.unwrap_err();
        assert_eq!(error.to_string(), r#"Put "http://a:8200/v1/x": EOF"#);
        assert!(error.outcome_unknown());
        assert_eq!(fake.lines().len(), 2);
        // A read is.
        fake.answer(&[UNKNOWN, Answer::Close, OK]);
        fake.client(|_| {}).send(ApiRequest::get("x")).await.unwrap();
    });
}

#[test]
fn no_connection_is_no_unknown_outcome() {
    run(async {
        let fake = Fake::default();
        let client = fake.client(|config| config.address = "http://refused:1".to_string());
        let error = client.send(ApiRequest::put("x", json!({}))).await.unwrap_err();
        let text = r#"Put "http://refused:1/v1/x": dial tcp refused:1: connect: connection refused"#;
        assert_eq!(error.to_string(), text);
        assert!(!error.outcome_unknown());
        assert_eq!(fake.dials(), 3);
    });
}

#[test]
fn api_errors_read_as_the_peers() {
    run(async {
        let fake = Fake::default();
        let client = fake.client(|config| config.max_retries = 0);
        let text = |error: ClientError| error.to_string();
        fake.answer(&[
            Answer::Send("403 Forbidden", "", r#"{"errors":["permission denied","x"]}"#),
            Answer::Send("404 Not Found", "", ""),
            Answer::Send("404 Not Found", "", r#"{"errors":[]}"#),
            Answer::Send("404 Not Found", "", r#"{"data":{"data":null,"metadata":{"version":2}}}"#),
        ]);
        let error = client.request(Method::GET, "a b", &[("list", "true")], None).await.unwrap_err();
        let expected = "Error making API request.\n\nURL: GET http://a:8200/v1/a%20b?list=true\nCode: 403. Errors:\n\n\
                        * permission denied\n* x";
        assert_eq!(text(error), expected);
        let error = client.send(ApiRequest::get("x")).await.unwrap_err();
        let expected = "Error making API request.\n\nURL: GET http://a:8200/v1/x\nCode: 404. Raw Message:\n\n";
        assert_eq!(text(error), expected);
        assert!(client.logical(ApiRequest::get("x")).await.unwrap().is_none());
        let deleted = client.logical(ApiRequest::get("secret/data/a")).await.unwrap().unwrap();
        assert_eq!(deleted.get("metadata").unwrap()["version"], 2);
    });
}

#[test]
fn a_stuck_server_is_given_up_in_time() {
    run(async {
        let fake = Fake::default();
        let slow = fake.client(|config| {
            config.timeout = Duration::from_millis(200);
            config.max_retries = 9;
        });
        fake.answer(&[BUSY]);
        let begin = tokio::time::Instant::now();
        let error = slow.send(ApiRequest::get("x")).await.unwrap_err();
        assert_eq!(error.to_string(), r#"Get "http://a:8200/v1/x": context deadline exceeded"#);
        assert!(begin.elapsed() < Duration::from_secs(1));
    });
}
