//! Memory and places taken by clients without a token: JSON bombs, heads, connections, answers that nobody reads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Cluster, Node, call, until};

/// More than a server that serves nobody has, less than what any of the attacks here would cost without bounds.
const PEAK_MIB: u64 = 448;

#[test]
fn json_bombs_are_refused_at_the_price_of_their_bytes() {
    let cluster = Cluster::formed(1);
    let node = &cluster.nodes[0];
    let mib = |part: &str| part.repeat((4 << 20) / part.len());
    let objects = || (0..90_000).map(|number| format!("\"k{number}\":{{}},")).collect::<String>();
    let bombs: Vec<(&str, String)> = vec![
        ("nested arrays", mib("[")),
        ("nested objects", mib("{\"a\":")),
        ("closed nesting", format!("{{\"a\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20))),
        ("many values", format!("{{\"a\":[{}1]}}", mib("1,"))),
        ("many empty arrays", format!("{{\"a\":[{}[]]}}", mib("[],"))),
        ("many keys", format!("{{{}\"a\":1}}", mib("\"a\":1,"))),
        ("objects, as many as are taken", format!("{{{}\"a\":1}}", objects())),
        ("one number", format!("{{\"a\":{}}}", mib("9"))),
        ("one exponent", format!("{{\"a\":1e{}}}", mib("9"))),
        ("one string of escapes", format!("{{\"a\":\"{}\"}}", mib("\\u0000"))),
        ("half surrogates", format!("{{\"a\":\"{}\"}}", mib("\\ud800"))),
        ("an open string", format!("{{\"a\":\"{}", mib("x"))),
        ("white space", mib(" ")),
    ];
    std::thread::scope(|scope| {
        for (what, bomb) in &bombs {
            for path in ["sys/unseal", "sys/init", "sys/wrapping/lookup"] {
                scope.spawn(move || {
                    let answer = call(node.api, "PUT", path, &[], bomb.as_bytes()).unwrap_or_default();
                    let busy = answer.status == 503;
                    // What is no bomb after all is merely an odd request.
                    let fine = (400..500).contains(&answer.status) || (path == "sys/unseal" && answer.status == 200);
                    assert!(busy || fine, "{what} to {path}: {} {}", answer.status, answer.text());
                    assert!(answer.body.len() < 10_000, "{what} to {path}: an answer of {} bytes", answer.body.len());
                });
            }
        }
    });
    calm(node, &cluster);
}

#[test]
fn heads_connections_and_unread_answers_cost_bounded_memory() {
    let cluster = Cluster::formed(1);
    let node = &cluster.nodes[0];
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", node.api)).expect("a connection");
        stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        stream
    };
    // Heads that do not end, as long as they are let be.
    let line = format!("X-Junk: {}\r\n", "j".repeat(8000));
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut stream = connect();
        let _ = stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n");
        for _ in 0..150 {
            if stream.write_all(line.as_bytes()).is_err() {
                break;
            }
        }
        held.push(stream);
    }
    // Whole heads whose body does not come; many small headers; a head of nothing but names.
    for kind in 0..300 {
        let mut stream = connect();
        let headers = match kind % 3 {
            0 => line.repeat(7),
            1 => (0..90).map(|number| format!("x-vault-{number}: {}\r\n", "v".repeat(500))).collect(),
            _ => (0..5000).map(|number| format!("a{number}:\r\n")).collect(),
        };
        let head = format!("PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n{headers}\r\n{{");
        let _ = stream.write_all(head.as_bytes());
        held.push(stream);
    }
    // Connections that say nothing, and some that ask for much and do not read it.
    held.extend((0..600).map(|_| connect()));
    for _ in 0..200 {
        let mut stream = connect();
        let ask = "GET /v1/sys/internal/specs/openapi HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
        let _ = stream.write_all(ask.as_bytes());
        held.push(stream);
    }
    calm(node, &cluster);
    let connections = held.len();
    drop(held);
    println!("{connections} connections");
    // All of it is given back.
    until("the connections are gone", 20, || {
        let figures = node.get("sys/metrics?format=prometheus", &cluster.root).text();
        let open = figures.lines().find(|line| line.contains("connections") && !line.starts_with('#'))?.to_string();
        let count: f64 = open.split_whitespace().last()?.parse().ok()?;
        (count < 20.0).then_some(())
    });
}

/// The server serves others at once, has said nothing of a panic, and has never held more than it may.
#[track_caller]
fn calm(node: &Node, cluster: &Cluster) {
    let began = std::time::Instant::now();
    assert_eq!(node.health(), 200);
    assert!(cluster.put(0, "app", "goes on"));
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    let peak = node.peak_resident() >> 20;
    println!("peak memory {peak} MiB");
    assert!(peak < PEAK_MIB, "{peak} MiB");
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

#[test]
fn who_sends_slowly_or_not_at_all_is_let_go() {
    let shape = crate::support::Shape {
        listener: "http_idle_timeout = \"1s\"\n  max_request_duration = \"2s\"".into(),
        ..crate::support::Shape::default()
    };
    let cluster = Cluster::formed_as(1, &shape);
    let node = &cluster.nodes[0];
    for (what, sent) in [
        ("nothing", ""),
        ("half a head", "GET /v1/sys/health HTTP/1.1\r\nX-A: b"),
        ("half a body", "PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"),
        ("no end of chunks", "PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
        ("two lengths", "PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{"),
        (
            "length and chunks",
            "PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/sys/",
        ),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", node.api)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout");
        stream.write_all(sent.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let closed = end.is_ok() || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(closed, "{what}: still open; {text}");
        // Of two ways to read where a request ends, a proxy before this may have taken the other.
        let answers = text.matches("HTTP/1.1").count();
        assert!(answers <= 1 && (what == "length and chunks" || !text.contains(" 200 ")), "{what}: {text}");
    }
    calm(node, &cluster);
}
