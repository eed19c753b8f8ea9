//! Requests that a server is made to send: only joining takes an address from a stranger, and only of a node that belongs to
//! no cluster.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::{Cluster, Shape, until};

/// Answers every request alike and keeps what it was asked.
fn listener(port: u16, answer: String) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (listener, kept) = (TcpListener::bind(("127.0.0.1", port)).expect("a free port"), Arc::clone(&asked));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = vec![0; 16 << 10];
            let length = stream.read(&mut head).unwrap_or(0);
            kept.lock().expect("a lock").push(String::from_utf8_lossy(&head[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    asked
}

#[test]
fn a_join_asks_its_target_and_nobody_whom_that_points_at() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let (target, elsewhere) = (cluster.ports.next(), cluster.ports.next());
    // Not the port after the target's: that is its cluster port.
    let elsewhere = {
        let _ = elsewhere;
        cluster.ports.next()
    };
    cluster.nodes[0].start();
    let node = &cluster.nodes[0];
    let never = listener(elsewhere, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".into());
    let location = format!("http://127.0.0.1:{elsewhere}/latest/meta-data");
    let asked = listener(
        target,
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 6\r\nConnection: close\r\n\r\ncanary"
        ),
    );
    for address in ["", "file:///etc/passwd", "gopher://127.0.0.1:1", "http://", "//x", "http://a b", "unix:///tmp/x"] {
        let answer = node.http("POST", "sys/storage/raft/join", "", &json!({ "leader_api_addr": address }));
        assert_eq!(answer.status, 400, "{address:?}: {}", answer.text());
    }
    let body = json!({ "leader_api_addr": format!("http://127.0.0.1:{target}"), "retry": true });
    let answer = node.http("POST", "sys/storage/raft/join", "hvs.not-to-be-passed-on", &body);
    assert!(!answer.text().contains("canary"), "what the target said is not told: {}", answer.text());
    until("the target was asked a few times", 20, || {
        (asked.lock().expect("a lock").iter().filter(|head| head.contains("bootstrap/challenge")).count() > 2)
            .then_some(())
    });
    assert!(never.lock().expect("a lock").is_empty(), "the redirect was followed: {never:?}");
    for head in asked.lock().expect("a lock").iter() {
        assert!(!head.contains("not-to-be-passed-on") && !head.to_lowercase().contains("x-vault-token"), "{head}");
    }
    // Many targets do not make it many requests' worth of memory or a scanner of the whole network.
    for port in 1..200 {
        node.http(
            "POST",
            "sys/storage/raft/join",
            "",
            &json!({ "leader_api_addr": format!("http://127.0.0.1:{port}") }),
        );
    }
    assert!(!node.log().contains("panicked"), "{}", node.log());
}
