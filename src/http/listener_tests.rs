//! Listener to handler and back over real loopback sockets.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::listener::ProxyBehavior;
use crate::core::{Error, Request, Response};
use crate::http::{ForwardedAnswer, ForwardedRequest, HealthFacts, Reply, forward, self_signed};
use crate::runtime::{Entropy, Offload};

/// Answers with what it was asked, or misbehaves where the path says so.
#[derive(Default)]
struct Echo {
    finished: Arc<AtomicUsize>,
    standby: AtomicBool,
    forwarded: Arc<Mutex<Vec<Request>>>,
}

impl Handler for Echo {
    fn handle(&self, request: Request) -> BoxFuture<'static, crate::core::Result<Response>> {
        let (finished, standby) = (Arc::clone(&self.finished), self.standby.load(Ordering::Relaxed));
        Box::pin(async move {
            if standby {
                return Err(Error::Standby);
            }
            match request.path.as_str() {
                "panic" => panic!("planted"),
                "slow" => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    finished.fetch_add(1, Ordering::Relaxed);
                    Ok(Response::empty())
                }
                _ => Ok(Response::data(json!({
                    "path": request.path, "data": request.data, "client": request.client.address,
                    "token": request.token.is_some(),
                }))),
            }
        })
    }

    fn health(&self) -> HealthFacts {
        HealthFacts { initialized: true, version: "1.19.0".into(), ..HealthFacts::default() }
    }

    fn forward(&self, request: ForwardedRequest) -> BoxFuture<'static, crate::core::Result<ForwardedAnswer>> {
        let request = ForwardedRequest::decode(&request.encode()).unwrap();
        self.forwarded.lock().unwrap().push(request);
        Box::pin(async { Ok(Reply::json(200, "{\"from\":\"active\"}\n")) })
    }

    fn active_api_address(&self) -> Option<String> {
        Some("https://active:8200".into())
    }
}

struct World {
    runtime: Runtime,
    directory: tempfile::TempDir,
    server: Server,
    handler: Arc<Echo>,
    metrics: Metrics,
}

impl World {
    async fn start(change: impl FnOnce(&mut ListenerOptions)) -> World {
        let (runtime, directory) = (Runtime::real(), tempfile::tempdir().unwrap());
        let handler = Arc::new(Echo::default());
        let metrics = Metrics::new(runtime.clock.clone());
        let mut options = ListenerOptions::new(Address::Tcp("127.0.0.1:0".into()));
        change(&mut options);
        if let Some(tls) = &mut options.tls {
            tls.cert_file = directory.path().join("cert.pem");
            tls.key_file = directory.path().join("key.pem");
            write_pair(&runtime, directory.path(), 1).await;
        }
        let unix = ListenerOptions::new(Address::Unix(directory.path().join("sock"), 0o600));
        let started = Server::start(&runtime, vec![options, unix], handler.clone(), metrics.clone());
        let server = started.await.unwrap();
        World { runtime, directory, server, handler, metrics }
    }

    async fn connect(&self) -> Stream {
        let address = self.server.addresses()[0].unwrap().to_string();
        self.runtime.net.connect(&address).await.unwrap()
    }

    async fn ask(&self, request: http::Request<Full<Bytes>>) -> (u16, http::HeaderMap, String) {
        ask_on(self.connect().await, request).await
    }

    async fn get(&self, path: &str) -> (u16, http::HeaderMap, String) {
        self.ask(http::Request::get(path).body(Full::default()).unwrap()).await
    }
}

async fn write_pair(runtime: &Runtime, directory: &std::path::Path, seed: u64) -> self_signed::SelfSigned {
    let made = self_signed(&Entropy::seeded_u64(seed), &["localhost".to_string()]).unwrap();
    runtime.disk.replace(&directory.join("cert.pem"), made.cert.clone().into()).await.unwrap();
    runtime.disk.replace(&directory.join("key.pem"), made.key.clone().into()).await.unwrap();
    made
}

async fn ask_on(stream: impl Io, request: http::Request<Full<Bytes>>) -> (u16, http::HeaderMap, String) {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    read(sender.send_request(request).await.unwrap()).await
}

async fn read(response: http::Response<hyper::body::Incoming>) -> (u16, http::HeaderMap, String) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn post(path: &str, body: impl Into<Bytes>) -> http::Request<Full<Bytes>> {
    http::Request::post(path).body(Full::new(body.into())).unwrap()
}

#[tokio::test]
async fn a_request_goes_all_the_way() {
    let world = World::start(|_| {}).await;
    let mut request = post("/v1/secret/data/a%20b", "{\"n\":1.10}");
    request.headers_mut().insert("x-vault-token", "t".parse().unwrap());
    let (status, headers, body) = world.ask(request).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &headers["cache-control"], &headers["content-type"]),
        (200, &"no-store".parse().unwrap(), &"application/json".parse().unwrap())
    );
    assert_eq!(headers.get_all("date").iter().count(), 1);
    assert!(!headers.contains_key("strict-transport-security"));
    assert_eq!(body["data"]["path"], "secret/data/a b");
    assert_eq!(body["data"]["data"].to_string(), "{\"n\":1.10}");
    assert_eq!((&body["data"]["client"], &body["data"]["token"]), (&json!("127.0.0.1"), &json!(true)));

    let (status, _, body) = world.get("/v1/sys/health?activecode=299").await;
    assert_eq!((status, body.lines().count()), (299, 1));
    let head = http::Request::head("/v1/sys/health").body(Full::default()).unwrap();
    let (status, _, body) = world.ask(head).await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!(world.ask(post("/v1/sys/health", "")).await.0, 405);
    assert_eq!(world.get("/ui/").await.0, 404);

    let unix = world.runtime.net.connect_unix(&world.directory.path().join("sock")).await.unwrap();
    let (status, _, body) = ask_on(unix, http::Request::get("/v1/x").body(Full::default()).unwrap()).await;
    assert_eq!(status, 200);
    assert!(body.contains("\"client\":\"\""), "{body}");
}

#[tokio::test]
async fn bad_input_gets_a_clear_answer() {
    let world = World::start(|options| options.max_request_size = 1024 * 1024).await;
    let (status, _, body) = world.ask(post("/v1/a", vec![b'a'; 3 * 1024 * 1024])).await;
    assert_eq!((status, body.trim()), (413, "{\"errors\":[\"request body too large\"]}"));
    let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let (status, _, body) = world.ask(post("/v1/a", deep)).await;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("nested more than"), "{body}");
    let token = http::Request::get("/v1/a").header("x-vault-token", "a".repeat(1_000_000));
    let (status, _, body) = world.ask(token.body(Full::default()).unwrap()).await;
    assert_eq!((status, body.trim()), (431, "{\"errors\":[\"the request's token is too long\"]}"));
    let (status, _, body) = world.get("/v1/panic").await;
    assert_eq!(status, 500, "{body}");
    assert_eq!(world.get("/v1/after").await.0, 200);
    let text = world.metrics.render_prometheus();
    assert!(text.contains("vault_core_in_flight_requests 0\n"), "{text}");
}

#[tokio::test]
async fn a_request_outlives_its_client_and_its_deadline() {
    let world = World::start(|options| options.max_request_duration = Duration::from_millis(50)).await;
    let (status, _, body) = world.get("/v1/slow").await;
    assert_eq!(status, 500);
    assert!(body.contains("outcome of the request is unknown"), "{body}");
    let mut stream = world.connect().await;
    stream.write_all(b"GET /v1/slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(world.handler.finished.load(Ordering::Relaxed), 2);
    // A body that never comes is given up.
    let mut stream = world.connect().await;
    stream.write_all(b"POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{").await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn the_balancers_word_is_taken_for_the_client() {
    let block = crate::config::Cidr::parse("127.0.0.0/8").unwrap();
    let proxy = ProxyProtocol { behavior: ProxyBehavior::DenyUnauthorized, authorized: vec![block] };
    let world = World::start(|options| options.proxy = Some(proxy)).await;
    let mut stream = world.connect().await;
    stream.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n").await.unwrap();
    let (_, _, body) = ask_on(stream, http::Request::get("/v1/a").body(Full::default()).unwrap()).await;
    assert!(body.contains("\"client\":\"192.0.2.1\""), "{body}");
    let (_, _, body) = world.get("/v1/a").await;
    assert!(body.contains("\"client\":\"127.0.0.1\""), "{body}");
}

#[tokio::test]
async fn sixty_four_bodies_of_the_largest_size() {
    let world = Arc::new(World::start(|options| options.max_request_size = 2 * 1024 * 1024).await);
    let body = Bytes::from(format!("{{\"a\":\"{}\"}}", "a".repeat(2 * 1024 * 1024 - 100)));
    let answers = (0..64).map(|_| {
        let (world, body) = (Arc::clone(&world), body.clone());
        tokio::spawn(async move { world.ask(post("/v1/slow", body)).await.0 })
    });
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.into_iter().all(|status| status.unwrap() == 204));
}

#[tokio::test]
async fn a_standby_forwards_or_redirects() {
    let world = World::start(|_| {}).await;
    world.handler.standby.store(true, Ordering::Relaxed);
    let mut request = post("/v1/a/b?x=1", "{\"k\":\"v\"}");
    assert_eq!(world.ask(request.clone()).await.2, "{\"from\":\"active\"}\n");
    let forwarded = world.handler.forwarded.lock().unwrap().pop().unwrap();
    assert_eq!((forwarded.path.as_str(), &*forwarded.client.address), ("a/b", "127.0.0.1"));
    assert_eq!(Value::Object(forwarded.data), json!({"k": "v"}));
    // At the other end: a node that is active answers, one that is not says that nothing was done.
    let (handler, metrics): (Arc<dyn Handler>, _) = (world.handler.clone(), &world.metrics);
    let (bytes, offload) = (Bytes::from(ForwardedRequest::from(forwarded_copy()).encode()), Offload::inline());
    assert_eq!(forward::served(&forward::serve(&handler, metrics, &offload, bytes.clone()).await).unwrap(), None);
    world.handler.standby.store(false, Ordering::Relaxed);
    let answer = forward::served(&forward::serve(&handler, metrics, &offload, bytes.clone()).await).unwrap().unwrap();
    assert_eq!(answer.status, 200);
    world.handler.standby.store(true, Ordering::Relaxed);
    request.headers_mut().insert("x-vault-no-request-forwarding", "true".parse().unwrap());
    let (status, headers, _) = world.ask(request).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (307, "https://active:8200/v1/a/b?x=1"));
}

fn forwarded_copy() -> Request {
    Request {
        id: "id".into(),
        operation: crate::core::Operation::Read,
        path: "a".into(),
        data: serde_json::Map::new(),
        token: None,
        wrap_ttl: None,
        client: Client::default(),
        headers: std::collections::BTreeMap::new(),
    }
}

#[tokio::test]
async fn slow_and_idle_clients_are_cut_off() {
    let world = World::start(|options| options.idle_time = Duration::from_millis(100)).await;
    for sent in [&b""[..], b"GET /v1/a HTTP/1.1\r\nHost: x\r\nX-A:", b"GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = world.connect().await;
        stream.write_all(sent).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "still open after {sent:?}");
    }
    // Requests under way are not idle.
    assert_eq!(world.get("/v1/slow").await.0, 204);
}

#[tokio::test]
async fn who_does_not_read_its_answer_is_let_go() {
    let world = World::start(|options| options.idle_time = Duration::from_millis(200)).await;
    let mut stream = world.connect().await;
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(20 << 20));
    let head = format!("POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let gone = async {
        while world.server.open_connections() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("its place is free again");
}

#[tokio::test]
async fn long_heads_have_a_bound_together_and_on_each_stream() {
    let budget = Budget::new(1000, 1000, Duration::from_millis(1));
    let headers = |bytes: usize| {
        let value = http::HeaderValue::from_str(&"x".repeat(bytes)).unwrap();
        http::HeaderMap::from_iter([(http::header::ACCEPT, value)])
    };
    assert!(budget.head(&headers(1000)).unwrap().is_none(), "short ones take nothing");
    let held: Vec<_> = std::iter::from_fn(|| budget.head(&headers(1 << 20)).ok()).collect();
    // A head is its names too.
    assert_eq!(held.len(), (limits::LONG_HEADS_AT_ONCE >> 20) - 1);
    drop(held);
    assert!(budget.head(&headers(1 << 20)).is_ok());

    let world = World::start(|options| options.tls = Some(TlsOptions::default())).await;
    let ca = self_signed(&Entropy::seeded_u64(1), &["localhost".to_string()]).unwrap().ca;
    let stream = tls_to(&world, &ca, &[b"h2"]).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let mut ask = async |bytes: usize| {
        let mut request = http::Request::get("https://localhost/v1/a").body(Full::<Bytes>::default()).unwrap();
        *request.headers_mut() = headers(bytes);
        sender.send_request(request).await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(ask(32 << 10).await.unwrap(), 200);
    assert!(!matches!(ask(100 << 10).await, Ok(200)), "more than a stream's head may have");
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_under_way() {
    let world = World::start(|_| {}).await;
    let (slow, idle) = (world.connect().await, world.connect().await);
    let answer = tokio::spawn(ask_on(slow, http::Request::get("/v1/slow").body(Full::default()).unwrap()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.server.open_connections(), 2);
    let began = tokio::time::Instant::now();
    world.server.shutdown(Duration::from_secs(10)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(answer.await.unwrap().0, 204);
    assert_eq!(world.server.open_connections(), 0);
    drop(idle);

    let world = World::start(|_| {}).await;
    let mut stuck = world.connect().await;
    stuck.write_all(b"POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.server.shutdown(Duration::from_millis(100)).await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stuck.read_to_end(&mut rest)).await.unwrap();
}

/// A TLS connection that trusts one CA.
async fn tls_to(world: &World, ca: &str, alpn: &[&[u8]]) -> std::io::Result<tokio_rustls::client::TlsStream<Stream>> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, world.connect().await).await
}

#[tokio::test]
async fn tls_with_both_versions_of_http_and_a_reload() {
    let world = World::start(|options| options.tls = Some(TlsOptions::default())).await;
    let old = self_signed(&Entropy::seeded_u64(1), &["localhost".to_string()]).unwrap().ca;
    let get = || http::Request::get("https://localhost/v1/a").body(Full::<Bytes>::default()).unwrap();
    let (status, headers, _) = ask_on(tls_to(&world, &old, &[]).await.unwrap(), get()).await;
    assert_eq!((status, headers.contains_key("strict-transport-security")), (200, true));

    let stream = tls_to(&world, &old, &[b"h2"]).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let answers = futures_util::future::join_all((0..20).map(|_| sender.send_request(get()))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));

    // A broken pair changes nothing; a whole one is what new connections get; open ones live on.
    world.runtime.disk.replace(&world.directory.path().join("cert.pem"), "x".into()).await.unwrap();
    assert!(world.server.reload_tls().await.unwrap_err().to_string().contains("cert.pem"));
    assert!(tls_to(&world, &old, &[]).await.is_ok());
    let new = write_pair(&world.runtime, world.directory.path(), 2).await.ca;
    world.server.reload_tls().await.unwrap();
    assert!(tls_to(&world, &new, &[]).await.is_ok());
    assert!(tls_to(&world, &old, &[]).await.is_err());
    assert_eq!(sender.send_request(get()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn http2_can_be_switched_off_and_is_never_assumed() {
    let world = World::start(|options| {
        options.tls = Some(TlsOptions::default());
        options.http2 = false;
    })
    .await;
    let ca = self_signed(&Entropy::seeded_u64(1), &["localhost".to_string()]).unwrap().ca;
    let stream = tls_to(&world, &ca, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let world = World::start(|_| {}).await;
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(world.connect().await)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://localhost/v1/a").body(Full::<Bytes>::default()).unwrap();
    assert!(sender.send_request(request).await.is_err());
}

#[tokio::test]
async fn errors_of_a_start_name_the_listener() {
    let runtime = Runtime::real();
    let metrics = Metrics::new(runtime.clock.clone());
    let start = |options| Server::start(&runtime, vec![options], Arc::new(Echo::default()), metrics.clone());
    let address = Address::Tcp("127.0.0.1:0".into());
    let tls = Some(TlsOptions { cert_file: "/nowhere/cert.pem".into(), ..TlsOptions::default() });
    let error = start(ListenerOptions { tls, ..ListenerOptions::new(address.clone()) }).await.err().unwrap();
    assert!(error.to_string().starts_with("listener 127.0.0.1:0: tls_cert_file /nowhere/cert.pem: "), "{error}");
    let headers = vec![(ForStatus::Any, "bad name".to_string(), "x".to_string())];
    assert!(start(ListenerOptions { headers, ..ListenerOptions::new(address.clone()) }).await.is_err());
    let first = start(ListenerOptions::new(address)).await.unwrap();
    let taken = first.addresses()[0].unwrap().to_string();
    let error = start(ListenerOptions::new(Address::Tcp(taken.clone()))).await.err().unwrap();
    assert!(error.to_string().starts_with(&format!("listener {taken}: ")), "{error}");
}

use crate::runtime::net::Io;
