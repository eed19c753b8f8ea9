//! What clients and operators get wrong, or do on purpose.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::http::raw;
use crate::support::{Cluster, Node, Shape, call};

#[test]
fn what_is_too_much_is_refused_in_words() {
    let shape = Shape { listener: "max_request_size = 1048576".into(), ..Shape::default() };
    let cluster = Cluster::formed_as(1, &shape);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let headers = [("X-Vault-Token", root)];
    let post = |path: &str, body: &[u8]| call(node.api, "POST", path, &headers, body).expect("an answer");
    let refused = |answer: &crate::support::Answer, status: u16| {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.json()["errors"][0].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.text());
    };

    let large = format!("{{\"data\":{{\"value\":\"{}\"}}}}", "x".repeat(1 << 20));
    refused(&post("secret/data/app", large.as_bytes()), 413);
    // Of unknown length.
    let mut chunked = format!(
        "POST /v1/secret/data/app HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: {root}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for part in large.as_bytes().chunks(50_000) {
        write!(chunked, "{:x}\r\n", part.len()).expect("memory");
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    refused(&raw(node.api, &chunked).expect("an answer"), 413);

    let deep = format!("{{\"data\":{{\"value\":{}{}}}}}", "[".repeat(10_000), "]".repeat(10_000));
    refused(&post("secret/data/app", deep.as_bytes()), 400);
    let many = format!("{{\"data\":{{\"value\":[{}1]}}}}", "1,".repeat(200_000));
    refused(&post("secret/data/app", many.as_bytes()), 400);
    let token = "x".repeat(1 << 20);
    let long = call(node.api, "GET", "secret/data/app", &[("X-Vault-Token", token.as_str())], b"").expect("an answer");
    assert!((400..500).contains(&long.status), "{}", long.status);
    let path = format!("secret/data/{}", "a".repeat(100_000));
    let answer = post(&path, b"{\"data\":{}}");
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    for garbage in [&b"{"[..], b"[1]", b"\xff\xfe", b"{\"data\":", b"nonsense", b"\0\0\0", b"{\"data\":\"text\"}"] {
        refused(&post("secret/data/app", garbage), 400);
    }
    // One entry of the log is at most 1 MiB, whatever a listener takes.
    let mut sane = json!({ "data": { "value": "y".repeat(900_000) } }).to_string().into_bytes();
    assert_eq!(post("secret/data/app", &sane).status, 200);
    sane.truncate(sane.len() - 1);
    refused(&post("secret/data/app", &sane), 400);
    for bytes in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense",
    ] {
        let _ = raw(node.api, bytes);
    }
    assert_eq!(node.health(), 200);
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

#[test]
fn many_large_bodies_at_once_cost_bounded_memory() {
    let shape = Shape { listener: "max_request_size = 8388608".into(), ..Shape::default() };
    let cluster = Cluster::formed_as(1, &shape);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let mut body = json!({ "data": { "value": "" } }).to_string().into_bytes();
    body.splice(18..18, vec![b'x'; 8_388_608 - body.len()]);
    let head = format!(
        "POST /v1/secret/data/app HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {root}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // All but the last byte of 64 bodies, four times what is held at once.
    let statuses: Vec<Option<u16>> = std::thread::scope(|scope| {
        let send = || {
            let mut stream = TcpStream::connect(("127.0.0.1", node.api)).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(12))).expect("a timeout");
            stream.write_all(head.as_bytes()).expect("sent");
            let _ = stream.write_all(&body[..body.len() - 1]);
            let mut line = [0; 12];
            stream.read_exact(&mut line).ok()?;
            std::str::from_utf8(&line).ok()?.rsplit(' ').next()?.parse().ok()
        };
        let senders: Vec<_> = (0..64).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender")).collect()
    });
    let refused = statuses.iter().filter(|status| **status == Some(503)).count();
    assert!(refused > 0 && statuses.iter().all(|status| matches!(status, None | Some(503))), "{statuses:?}");
    // Whole ones, each more than an entry of the log may be.
    let headers = [("X-Vault-Token", root)];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || call(node.api, "POST", "secret/data/app", &headers, &body).map_or(0, |answer| answer.status);
        let senders: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender")).collect()
    });
    assert!(statuses.iter().all(|status| *status == 413), "{statuses:?}");
    let peak = node.peak_resident() >> 20;
    println!("peak memory {peak} MiB");
    assert!(peak < 448, "{peak} MiB");
    assert_eq!(node.health(), 200);
    assert!(cluster.put(0, "app", "goes on"));
}

#[test]
fn the_path_that_is_checked_is_the_path_that_is_served() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    for secret in ["app/mine", "other", "app"] {
        assert!(cluster.put(0, secret, "x"));
    }
    let policy = json!({ "policy": "path \"secret/data/app/*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\"] }" });
    node.http("PUT", "sys/policies/acl/app", root, &policy).ok();
    let made = node.http("POST", "auth/token/create", root, &json!({ "policies": ["app"] })).ok();
    let token = made["auth"]["client_token"].as_str().expect("a token").to_string();
    assert_eq!(node.get("secret/data/app/mine", &token).status, 200);
    assert_eq!(node.get("secret/data/app/%6dine", &token).status, 200, "decoded once");
    for path in [
        "secret/data/other",
        "secret/data/app/../other",
        "secret/data/app/%2e%2e/other",
        "secret/data/app/%2E./other",
        "secret/data/app/..%2fother",
        "secret/data/app%2f..%2fother",
        "secret/data/app/%252e%252e/other",
        "secret/data/app/./../other",
        "secret/data//other",
        "secret//data/other",
        "/secret/data/other",
        "./secret/data/other",
        "secret/data/app/..;/other",
        "secret/data/app/..\\other",
        "SECRET/data/other",
        "secret/data/app",
        "secret/data/other/",
        "secret/data/+",
        "secret/data/*",
        "secret/metadata/app/mine",
        "secret/data/app/../../../sys/mounts",
        "secret/data/app/%00",
        "secret/data/app/mine%00",
        "secret/data/app/%0a",
        "secret/data/app/%7f",
        "secret/data/app/%zz",
        "secret/data/app/%",
        "secret/data/app/%ff%fe",
    ] {
        for (method, body) in [("GET", &b""[..]), ("POST", b"{\"data\":{\"value\":\"stolen\"}}"), ("DELETE", b"")] {
            let answer = call(node.api, method, path, &[("X-Vault-Token", token.as_str())], body).expect("an answer");
            // Doubled slashes lead to the path without them, which is then checked like any other.
            if answer.status == 307 {
                assert!(path.contains("//") || path.starts_with('/'), "{method} {path}: {answer:?}");
                continue;
            }
            // What does not climb may be a plain name below app/; then there is simply nothing, or it is written there.
            let below = path.starts_with("secret/data/app/") && answer.status != 200;
            assert!(
                (400..500).contains(&answer.status) || below || is_a_plain_name(path),
                "{method} {path}: {answer:?}"
            );
        }
    }
    for secret in ["app/mine", "other", "app"] {
        assert_eq!(cluster.read(0, secret).as_deref(), Some("x"), "{secret}");
    }
}

/// Names below `app/` that only look like a way out: a name with a percent sign, a backslash or a semicolon in it.
fn is_a_plain_name(path: &str) -> bool {
    ["%252e%252e/other", "..;/other", "..\\other"].iter().any(|end| path.ends_with(end))
}

#[test]
fn a_wrong_configuration_is_named_by_file_line_and_key() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let node = &mut cluster.nodes[0];
    let good = std::fs::read_to_string(node.config()).expect("a file");
    let file = "vault.hcl";
    let fails = |node: &mut Node, text: &str, parts: &[&str]| {
        std::fs::write(node.config(), text).expect("a file");
        let before = node.log().len();
        node.spawn(&[&format!("-config={}", node.config().display())]);
        let status = node.wait_until_it_ends(20);
        let log = node.log()[before..].to_string();
        assert_eq!(status.code(), Some(1), "{log}");
        for part in parts {
            assert!(log.contains(part), "{part:?} is not in: {log}");
        }
        assert!(!log.contains("panicked"), "{log}");
    };
    let line = |what: &str| format!("{}", good.lines().position(|line| line.contains(what)).expect("a line") + 1);
    let unknown = good.replace("tls_disable ", "tls_disabel ");
    fails(node, &unknown, &[file, &line("tls_disable"), "tls_disabel", "tls_disable"]);
    let wrong_type = good.replace("performance_multiplier = 3", "performance_multiplier = \"often\"");
    fails(node, &wrong_type, &[file, &line("performance_multiplier"), "performance_multiplier"]);
    let top = good.replace("cluster_name ", "clustername ");
    fails(node, &top, &[file, &line("cluster_name"), "clustername", "cluster_name"]);
    fails(node, &good.replace("storage \"raft\" {", "storage \"raft\" {{"), &[file, "1"]);
    fails(node, &good[..good.len() / 2], &[file]);
    fails(
        node,
        &good.replace(
            "tls_disable     = true",
            "tls_cert_file = \"/nonexistent/cert\"\n  tls_key_file = \"/nonexistent/key\"",
        ),
        &["/nonexistent/"],
    );
    fails(node, &good.replace("storage \"raft\"", "storage \"consul\""), &[file, "consul"]);
    fails(node, "", &["storage"]);
    std::fs::remove_file(node.config()).expect("a file");
    node.spawn(&[&format!("-config={}", node.config().display())]);
    assert_eq!(node.wait_until_it_ends(20).code(), Some(1));
    assert!(node.log().contains("vault.hcl"));
    // A port that is taken.
    let taken = std::net::TcpListener::bind(("127.0.0.1", node.api)).expect("a free port");
    fails(node, &good, &[&node.api.to_string()]);
    drop(taken);
    std::fs::write(node.config(), good).expect("a file");
    node.start();
}
