//! Slow, greedy and hostile clients of a listener: each is cut off in time, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::support::http::raw;
use crate::support::{Cluster, Shape, until};

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    stream
}

/// How long the other side keeps a connection open, and what it says before it closes.
fn until_closed(stream: &mut impl Read) -> (Duration, String) {
    let from = Instant::now();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    (from.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn slow_clients_are_cut_off_and_idle_ones_are_not() {
    let listener = "http_read_header_timeout = \"1s\"\n http_idle_timeout = \"6s\"\n max_request_duration = \"2s\"";
    let cluster = Cluster::start(1, &Shape { listener: listener.into(), ..Shape::default() });
    let node = &cluster.nodes[0];
    // A head that does not come to its end, however regularly something comes.
    let mut slow = connect(node.api);
    let from = Instant::now();
    slow.write_all(b"GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\n").expect("sent");
    while from.elapsed() < Duration::from_secs(10) && slow.write_all(b"X-A: b\r\n").is_ok() {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(from.elapsed() < Duration::from_secs(4), "{:?}", from.elapsed());
    // A body that does not come.
    let mut slow = connect(node.api);
    slow.write_all(b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{")
        .expect("sent");
    let (took, said) = until_closed(&mut slow);
    assert!(took < Duration::from_secs(9) && said.starts_with("HTTP/1.1 408 "), "{took:?} {said}");
    // Between two requests there is more time than for a head, but not for ever.
    let mut idle = connect(node.api);
    let mut answer = [0; 4096];
    for pause in [0, 2500] {
        std::thread::sleep(Duration::from_millis(pause));
        idle.write_all(b"GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert!(idle.read(&mut answer).expect("an answer") > 0);
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }
    let (took, said) = until_closed(&mut idle);
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(15), "{took:?} {said}");
    // Nothing at all was said.
    let (took, _) = until_closed(&mut connect(node.api));
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn huge_heads_are_refused() {
    let cluster = Cluster::start(1, &Shape::default());
    let node = &cluster.nodes[0];
    let head = |more: &str| format!("GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
    for (what, more) in [
        ("one header of 4 MB", format!("X-A: {}\r\n", "a".repeat(4 << 20))),
        ("many headers", "X-A: b\r\n".repeat(10_000)),
        ("a token of 1 MB", format!("X-Vault-Token: {}\r\n", "a".repeat(1 << 20))),
    ] {
        let answer = raw(node.api, head(&more).as_bytes()).expect("an answer");
        assert_eq!(answer.status, 431, "{what}: {}", answer.text());
    }
    let long = format!("GET /v1/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(100_000));
    let answer = raw(node.api, long.as_bytes()).expect("an answer");
    assert!([414, 431].contains(&answer.status), "{}", answer.status);
    assert_eq!(node.get("sys/seal-status", "").status, 200);
    assert!(node.peak_resident() < 300 << 20, "{}", node.peak_resident());
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET /v1/sys/seal-status` in HPACK, without its dynamic table.
fn headers() -> Vec<u8> {
    let mut block = vec![0x82, 0x87];
    for (name, value) in [(0x04, "/v1/sys/seal-status"), (0x01, "localhost")] {
        block.extend([name, u8::try_from(value.len()).expect("short")]);
        block.extend(value.as_bytes());
    }
    block
}

#[test]
fn rapid_resets_end_the_connection_and_cost_little() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let (port, ca) = cluster.add_tls_listener();
    cluster.nodes[0].start();
    let node = &cluster.nodes[0];
    let mut roots = rustls::RootCertStore::empty();
    let ca = std::fs::read(ca).expect("a file");
    roots.add(CertificateDer::from_pem_slice(&ca).expect("a certificate")).expect("a certificate");
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    for _ in 0..3 {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = rustls::ClientConnection::new(Arc::clone(&config), name).expect("a session");
        let mut stream = rustls::StreamOwned::new(session, connect(port));
        let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        begin.extend(frame(4, 0, 0, &[]));
        stream.write_all(&begin).expect("sent");
        // A request, given up at once, and again, as fast as it goes.
        let mut sent = 0_u32;
        while sent < 100_000 {
            let mut burst = Vec::new();
            for _ in 0..100 {
                let id = sent * 2 + 1;
                burst.extend(frame(1, 0x5, id, &headers()));
                burst.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
                sent += 1;
            }
            if stream.write_all(&burst).is_err() {
                break;
            }
        }
        assert!(sent < 100_000, "nothing stopped it");
    }
    until("the connections are gone", 20, || {
        let open = node.log().contains("panicked");
        (!open).then_some(())
    });
    assert_eq!(node.get("sys/seal-status", "").status, 200);
    assert!(node.peak_resident() < 300 << 20, "{}", node.peak_resident());
}
