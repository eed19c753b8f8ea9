//! Rules of a listener for what it is sent: who the client is, headers of answers, what needs no token, faults.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::raw;
use crate::support::{Answer, Cluster, Node, Shape, call, until};

/// A cluster whose listeners have further lines, and whose log tells who sent each request.
fn cluster(count: usize, listener: &str) -> Cluster {
    let listener = listener.to_string();
    Cluster::formed_as(count, &Shape { top: "log_level = \"debug\"".into(), listener, ..Shape::default() })
}

/// Whom the log of `node` names as the sender of a request that is made by `make`.
fn sender(node: &Node, make: impl FnOnce() -> Answer) -> Option<String> {
    let before = node.log().len();
    assert_eq!(make().status, 200);
    until("the request is in the log", 10, || {
        let log = node.log()[before..].to_string();
        let line = log.lines().rev().find(|line| line.contains("http: request:") && line.contains("client="))?;
        let client = line.split("client=").nth(1)?.split(' ').next()?;
        Some(Some(client.trim_matches('"').to_string()))
    })
}

/// `GET auth/token/lookup-self` with further bytes before the request and further headers.
fn lookup(node: &Node, token: &str, before: &[u8], headers: &str) -> Answer {
    let request = format!(
        "GET /v1/auth/token/lookup-self HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: {token}\r\n{headers}\r\n"
    );
    raw(node.api, &[before, request.as_bytes()].concat()).unwrap_or_default()
}

#[test]
fn a_believed_balancer_names_the_client_also_through_a_standby() {
    let cluster = cluster(
        2,
        "x_forwarded_for_authorized_addrs = \"127.0.0.1\"\n x_forwarded_for_hop_skips = 1\n \
         x_forwarded_for_reject_not_present = false",
    );
    let (active, standby) = (&cluster.nodes[cluster.active_index()], &cluster.nodes[cluster.standby_index()]);
    for node in [active, standby] {
        let named = |headers: &str| sender(active, || lookup(node, &cluster.root, b"", headers)).unwrap_or_default();
        assert_eq!(named("X-Forwarded-For: 203.0.113.9, 198.51.100.7, 192.0.2.1\r\n"), "198.51.100.7");
        assert_eq!(named("X-Forwarded-For: 198.51.100.8\r\nX-Forwarded-For: 192.0.2.1\r\n"), "198.51.100.8");
        assert_eq!(named("X-Forwarded-For: 2001:db8::1, 192.0.2.1\r\n"), "2001:db8::1");
        assert_eq!(named(""), "127.0.0.1");
        let short = lookup(node, &cluster.root, b"", "X-Forwarded-For: 192.0.2.1\r\n");
        assert_eq!(short.status, 400, "{}", short.text());
        assert!(short.text().contains("hops to skip (1) would skip before earliest chain link (chain length 1)"));
        assert_eq!(lookup(node, &cluster.root, b"", "X-Forwarded-For: nonsense, 192.0.2.1\r\n").status, 400);
    }
}

#[test]
fn what_a_listener_does_not_believe_it_refuses_or_ignores() {
    let listener = "x_forwarded_for_authorized_addrs = \"127.0.0.1\"".to_string();
    let refuses = Cluster::start(1, &Shape { listener, ..Shape::default() });
    let answer = lookup(&refuses.nodes[0], "", b"", "");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["errors"][0], "missing x-forwarded-for header and configured to reject when not present");
    drop(refuses);
    for (reject, status) in [("true", 400), ("false", 200)] {
        let mut cluster = Cluster::prepare(
            1,
            &Shape {
                listener: format!(
                    "x_forwarded_for_authorized_addrs = \"192.0.2.0/24\"\n x_forwarded_for_reject_not_present = false\n \
                     x_forwarded_for_reject_not_authorized = {reject}"
                ),
                ..Shape::default()
            },
        );
        cluster.nodes[0].start();
        let headers = [("X-Forwarded-For", "198.51.100.7")];
        let answer = call(cluster.nodes[0].api, "GET", "sys/seal-status", &headers, b"").expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(status == 400, answer.text().contains("client address not authorized for x-forwarded-for"));
    }
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    v2.extend([198, 51, 100, 7, 192, 0, 2, 1, 0x10, 0x00, 0x20, 0x08]);
    let mut v6 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
    v6.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    v6.extend([0; 15].iter().chain(&[1, 0x10, 0x00, 0x20, 0x08]));
    let v1 = b"PROXY TCP4 198.51.100.7 192.0.2.1 4096 8200\r\n".to_vec();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
    let told = [(&v1, "198.51.100.7"), (&v2, "198.51.100.7"), (&v6, "2001:db8::1"), (&local, "127.0.0.1")];
    for (behavior, authorized, believes, closes) in [
        ("use_always", "192.0.2.1", true, false),
        ("allow_authorized", "127.0.0.0/8", true, false),
        ("allow_authorized", "192.0.2.1", false, false),
        ("deny_unauthorized", "127.0.0.1", true, false),
        ("deny_unauthorized", "192.0.2.1", false, true),
    ] {
        let lines =
            format!("proxy_protocol_behavior = \"{behavior}\"\n proxy_protocol_authorized_addrs = \"{authorized}\"");
        if closes {
            let mut cluster = Cluster::prepare(1, &Shape { listener: lines, ..Shape::default() });
            let node = &mut cluster.nodes[0];
            node.spawn(&[&format!("-config={}", node.config().display())]);
            until("the listener closes the connection", 20, || {
                node.log().contains("not in proxy_protocol_authorized_addrs").then_some(()).or_else(|| {
                    assert_eq!(lookup(node, "", &v1, "").status, 0);
                    None
                })
            });
            continue;
        }
        let cluster = cluster(1, &lines);
        let node = &cluster.nodes[0];
        for (header, client) in told {
            let seen = sender(node, || lookup(node, &cluster.root, header, ""));
            assert_eq!(seen.as_deref(), Some(if believes { client } else { "127.0.0.1" }), "{behavior} {authorized}");
        }
        assert_eq!(sender(node, || lookup(node, &cluster.root, b"", "")).as_deref(), Some("127.0.0.1"), "no header");
        // A broken header ends the connection and nothing else.
        assert_eq!(lookup(node, &cluster.root, b"PROXY TCP4 nobody\r\n", "").status, 0);
        assert_eq!(lookup(node, &cluster.root, b"", "").status, 200);
    }
}

#[test]
fn answers_carry_the_operators_headers() {
    let cluster = cluster(
        2,
        r#"custom_response_headers {
            "default" = { "X-Site" = ["a", "b"], "Content-Security-Policy" = ["default-src 'none'"] }
            "2xx" = { "X-Site" = ["fine"] }
            "404" = { "X-Site" = ["nowhere"] }
            "4xx" = { "X-Site" = ["refused"] }
        }"#,
    );
    let (active, standby) = (&cluster.nodes[cluster.active_index()], &cluster.nodes[cluster.standby_index()]);
    for node in [active, standby] {
        for (method, path, token, status, site) in [
            ("GET", "sys/seal-status", "", 200, "fine"),
            ("GET", "sys/health?activecode=299&standbycode=299", "", 299, "fine"),
            ("GET", "auth/token/lookup-self", "wrong", 403, "refused"),
            ("GET", "secret/data/none", &cluster.root, 404, "nowhere"),
            ("BREW", "secret/data/none", &cluster.root, 405, "refused"),
            ("GET", "sys/health?activecode=500&standbycode=500", "", 500, "a; b"),
        ] {
            let answer = node.http(method, path, token, &Value::Null);
            assert_eq!((answer.status, answer.header("x-site")), (status, Some(site)), "{method} {path}");
            assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let outside =
            raw(node.api, b"GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("an answer");
        assert_eq!((outside.status, outside.header("x-site")), (404, Some("nowhere")));
    }
    drop(cluster);
    for (lines, part) in [
        (r#""default" = { "X-Vault-Token" = ["x"] }"#, "the header \"X-Vault-Token\" is the server's own"),
        (r#""2xx" = { "Content-Length" = ["1"] }"#, "the header \"Content-Length\" is the server's own"),
        (r#""6xx" = { "X-A" = ["1"] }"#, "neither \"default\" nor a class"),
        (r#""default" = { "X-A" = "1" }"#, "must be given in a list of strings"),
        (r#""default" = { "X A" = ["1"] }"#, "X A"),
    ] {
        let listener = format!("custom_response_headers {{\n {lines}\n }}");
        let mut cluster = Cluster::prepare(1, &Shape { listener, ..Shape::default() });
        let node = &mut cluster.nodes[0];
        node.spawn(&[&format!("-config={}", node.config().display())]);
        assert_eq!(node.wait_until_it_ends(20).code(), Some(1));
        assert!(node.log().contains(part), "{lines}: {}", node.log());
    }
}

#[test]
fn metrics_are_open_on_the_listener_that_says_so_and_nowhere_else() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let open = cluster.add_listener("tls_disable = true\n telemetry { unauthenticated_metrics_access = true }");
    cluster.nodes[0].start();
    cluster.init(1, 1);
    cluster.unseal_all();
    let node = &cluster.nodes[0];
    until("it is active", 20, || (node.health() == 200).then_some(()));
    let metrics = |port: u16, headers: &[(&str, &str)]| {
        call(port, "GET", "sys/metrics?format=prometheus", headers, b"").expect("an answer").status
    };
    assert_eq!(metrics(open, &[]), 200);
    assert_eq!(metrics(node.api, &[]), 403);
    assert_eq!(metrics(node.api, &[("X-Vault-Token", &cluster.root)]), 200);
}

#[test]
fn a_token_comes_in_either_header() {
    let cluster = cluster(1, "");
    let status = |headers: &[(&str, &str)]| {
        call(cluster.nodes[0].api, "GET", "auth/token/lookup-self", headers, b"").expect("an answer").status
    };
    let root = cluster.root.as_str();
    assert_eq!(status(&[("Authorization", &format!("Bearer {root}"))]), 200);
    assert_eq!(status(&[("authorization", &format!("bearer   {root}"))]), 200);
    assert_eq!(status(&[("Authorization", &format!("Basic {root}"))]), 403);
    assert_eq!(status(&[("Authorization", "Bearer ")]), 403);
    assert_eq!(status(&[("X-Vault-Token", root), ("Authorization", "Bearer wrong")]), 200);
    assert_eq!(status(&[("X-Vault-Token", "wrong"), ("Authorization", &format!("Bearer {root}"))]), 403);
}

#[test]
fn a_panic_ends_its_request_and_nothing_else() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let (port, ca) = cluster.add_tls_listener();
    let ca = ca.display().to_string();
    let node = &mut cluster.nodes[0];
    node.environment = vec![("HOLDFAST_TEST_PANIC_AT".into(), "secret/data/boom".into())];
    node.start();
    cluster.init(1, 1);
    cluster.unseal_all();
    let node = &cluster.nodes[0];
    until("it is active", 20, || (node.health() == 200).then_some(()));
    node.http("POST", "sys/mounts/secret", &cluster.root, &crate::support::cluster::kv2()).ok();
    assert!(cluster.put(0, "fine", "kept"));

    // HTTP/1.1: the same connection goes on.
    let mut stream = TcpStream::connect(("127.0.0.1", node.api)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    for (path, status) in [("boom", "500"), ("fine", "200"), ("boom", "500"), ("fine", "200")] {
        let ask = format!("GET /v1/secret/data/{path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {}\r\n\r\n", cluster.root);
        stream.write_all(ask.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") {
            let mut byte = [0; 512];
            let read = stream.read(&mut byte).expect("an answer");
            assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&byte[..read]);
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {text}");
        assert_eq!(status == "500", text.contains("{\"errors\":[\"internal error"), "{text}");
    }
    // HTTP/2: nor are the other streams of a connection disturbed.
    let url = |path: &str| format!("https://127.0.0.1:{port}/v1/secret/data/{path}");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--http2", "--cacert", &ca, "-H", &format!("X-Vault-Token: {}", cluster.root)]);
    for path in ["fine", "boom", "fine", "boom", "fine"] {
        curl.args(["-o", "/dev/null", "-w", "%{http_code} %{http_version} %{num_connects}\n", &url(path)]);
    }
    let output = curl.output().expect("curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, ["200 2 1", "500 2 0", "200 2 0", "500 2 0", "200 2 0"], "{text}");
    // A write dies the same way, and what it would have written is not there.
    assert_eq!(node.http("POST", "secret/data/boom", &cluster.root, &json!({ "data": { "a": 1 } })).status, 500);
    assert_eq!(node.get("secret/metadata/boom", &cluster.root).status, 404);
    let metrics = node.get("sys/metrics?format=prometheus", &cluster.root).text();
    assert!(metrics.contains("vault_http_panics 5\n"), "{metrics}");
    assert!(metrics.contains("vault_core_in_flight_requests 1\n"), "only this request itself: {metrics}");
    let log = node.log();
    assert!(log.contains("a request panicked") && log.contains("request_id="), "{log}");
    assert!(log.contains("a test asked for this"), "{log}");
}

#[test]
fn addresses_may_be_templates() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let node = &mut cluster.nodes[0];
    let text = std::fs::read_to_string(node.config()).expect("a file");
    let local =
        "{{ GetAllInterfaces | include \"flags\" \"loopback\" | include \"type\" \"IPv4\" | attr \"address\" }}";
    let quoted = local.replace('"', "\\\"");
    std::fs::write(node.config(), text.replace("127.0.0.1:", &format!("{quoted}:"))).expect("a file");
    node.start();
    assert!(node.log().contains(&format!("Listener 1: 127.0.0.1:{}", node.api)), "{}", node.log());
    node.terminate();
    let text = std::fs::read_to_string(node.config()).expect("a file").replace("\"loopback\\", "\"sideways\\");
    std::fs::write(node.config(), text.replace("loopback", "sideways")).expect("a file");
    node.spawn(&[&format!("-config={}", node.config().display())]);
    assert_eq!(node.wait_until_it_ends(20).code(), Some(1));
    let log = node.log();
    assert!(log.contains("\"sideways\" is no flag") && log.contains("vault.hcl:"), "{log}");
}
