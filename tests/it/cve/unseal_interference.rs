//! Strangers who disturb an unseal, a new root token, or what comes after: init, unseal and its reset, and attempts to make a
//! root token or new shares from shares take no token. (Wrong shares: `sealing.rs`; how long attempts live: `core/sys/attempts.rs`.)

use serde_json::{Value, json};

use crate::support::{Cluster, Shape, until};

#[test]
fn without_shares_and_token_nothing_can_be_opened_closed_or_begun() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    cluster.nodes[0].start();
    cluster.init(3, 2);
    let node = &cluster.nodes[0];
    let unseal = |body: &Value| node.http("PUT", "sys/unseal", "", body);
    // While it is sealed: resets, odd shares, a second init. The operator's shares then still do it.
    for _ in 0..20 {
        unseal(&json!({ "key": cluster.shares[0] })).ok();
        assert_eq!(unseal(&json!({ "reset": true })).ok()["progress"], 0);
    }
    for body in
        [json!({ "key": "AAAA" }), json!({ "key": 1 }), json!({}), json!({ "key": [1] }), json!({ "migrate": true })]
    {
        let answer = unseal(&body);
        assert!((400..500).contains(&answer.status), "{body}: {}", answer.text());
    }
    for body in [json!({ "secret_shares": 1, "secret_threshold": 1 }), json!({}), Value::Null] {
        let answer = node.http("PUT", "sys/init", "", &body);
        assert!(answer.status >= 400 && !answer.text().contains("root_token"), "{}", answer.text());
    }
    // Three hundred shares of nobody's are not kept.
    for number in 0..300_u32 {
        let share = format!("{number:066x}");
        unseal(&json!({ "key": share }));
    }
    unseal(&json!({ "reset": true })).ok();
    cluster.unseal(node);
    until("active", 20, || (node.health() == 200).then_some(()));

    // While it is open: nothing of that closes it, tells a share, or begins anything.
    for body in [json!({ "reset": true }), json!({ "key": cluster.shares[0] }), json!({ "key": "00".repeat(33) })] {
        let answer = unseal(&body);
        assert!([200, 400].contains(&answer.status), "{body}: {}", answer.text());
        assert_eq!(node.get("sys/seal-status", "").ok()["sealed"], false, "{body}");
    }
    let begun = [
        ("PUT", "sys/seal"),
        ("PUT", "sys/step-down"),
        ("PUT", "sys/rotate"),
        ("POST", "sys/rotate/root/init"),
        ("DELETE", "sys/rotate/root/init"),
        ("DELETE", "sys/rotate/recovery/init"),
        ("PUT", "sys/generate-root-token/attempt"),
        ("DELETE", "sys/generate-root-token/attempt"),
        ("PUT", "sys/rekey/update"),
        ("PUT", "sys/rekey/verify"),
        ("DELETE", "sys/rekey/verify"),
        ("DELETE", "sys/rekey/backup"),
        ("DELETE", "sys/rekey-recovery-key/init"),
        ("PUT", "sys/replication/dr/primary/enable"),
        ("POST", "sys/storage/raft/snapshot"),
        ("POST", "sys/storage/raft/snapshot-force"),
        ("POST", "sys/storage/raft/remove-peer"),
    ];
    let default = super::token(node, &cluster.root, &json!({ "policies": ["default"] }));
    for (method, path) in begun {
        for by in ["", default.as_str(), "hvs.nonsense"] {
            let answer = node.http(method, path, by, &json!({ "secret_shares": 1, "secret_threshold": 1 }));
            assert!((400..500).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        }
    }
    assert_eq!(node.health(), 200);
}

#[test]
fn an_attempt_to_make_a_root_token_is_ended_by_its_own_and_closed_where_a_listener_says_so() {
    let (cluster, closed) = with_listener("disable_unauthed_generate_root_endpoints = true");
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let default = super::token(node, root, &json!({ "policies": ["default"] }));
    let accessors = || {
        let keys = node.http("LIST", "auth/token/accessors", root, &Value::Null).ok()["data"]["keys"].clone();
        keys.as_array().map_or(0, Vec::len)
    };
    let before = accessors();
    let attempt = "sys/generate-root/attempt";
    let begun = node.http("PUT", attempt, "", &json!({})).ok();
    let (nonce, otp) = (begun["nonce"].clone(), begun["otp"].as_str().expect("a password").to_string());
    // Nobody else ends it, or reads its password.
    for by in ["", default.as_str(), "hvs.nonsense"] {
        for query in ["", "?otp=", "?otp=nonsense", &format!("?otp={}", &otp[1..]), &format!("?otp={otp}&otp={otp}x")] {
            let answer = node.http("DELETE", &format!("{attempt}{query}"), by, &Value::Null);
            assert!((400..500).contains(&answer.status), "{query}: {} {}", answer.status, answer.text());
        }
        assert!(node.http("PUT", attempt, by, &json!({})).status == 400, "one at a time");
    }
    let told = node.get(attempt, "").ok();
    assert_eq!((&told["nonce"], &told["otp"], &told["started"]), (&nonce, &json!(""), &json!(true)));
    // No shares, wrong shares and another's nonce make no token.
    for body in [
        json!({ "nonce": nonce }),
        json!({ "key": cluster.shares[0] }),
        json!({ "key": cluster.shares[0], "nonce": "another" }),
        json!({ "key": "AAAA", "nonce": nonce }),
    ] {
        let answer = node.http("PUT", "sys/generate-root/update", "", &body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
    }
    for share in [&"ab".repeat(33), &"cd".repeat(33)] {
        let answer = node.http("PUT", "sys/generate-root/update", "", &json!({ "key": share, "nonce": nonce }));
        assert!(answer.json()["encoded_token"].as_str().is_none_or(str::is_empty), "{}", answer.text());
    }
    assert_eq!(accessors(), before, "somebody without shares has made a token");
    // The listener that is closed to it is closed to every method and spelling of it, and to nothing else.
    let ask =
        |method: &str, path: &str| crate::support::call(closed, method, path, &[], b"{}").expect("an answer").status;
    for (method, path) in [
        ("GET", attempt),
        ("PUT", attempt),
        ("DELETE", attempt),
        ("PUT", "sys/generate-root/update"),
        ("GET", "sys/%67enerate-root/attempt"),
    ] {
        assert_eq!(ask(method, path), 405, "{method} {path}");
    }
    assert_eq!(ask("GET", "sys/seal-status"), 200);
    // Sudo ends it; so does who began it.
    assert!(node.http("DELETE", attempt, root, &Value::Null).status < 300);
    let begun = node.http("PUT", attempt, "", &json!({})).ok();
    let given_up = send_delete(node, attempt, begun["otp"].as_str().expect("a password"));
    assert!(given_up < 300, "{given_up}");
    assert_eq!(node.get(attempt, "").ok()["started"], false);
}

#[test]
fn an_attempt_to_replace_the_shares_is_ended_by_sudo_alone_and_closed_where_a_listener_says_so() {
    let (cluster, closed) = with_listener("disable_unauthed_rekey_endpoints = true");
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let default = super::token(node, root, &json!({ "policies": ["default"] }));
    let wanted = json!({ "secret_shares": 1, "secret_threshold": 1 });
    let nonce = node.http("PUT", "sys/rekey/init", "", &wanted).ok()["nonce"].clone();
    for by in ["", default.as_str(), "hvs.nonsense"] {
        for path in ["sys/rekey/init", "sys/rekey/verify", "sys/rekey/init?nonce=x"] {
            let answer = node.http("DELETE", path, by, &Value::Null);
            assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        }
    }
    assert_eq!(node.get("sys/rekey/init", "").ok()["nonce"], nonce);
    // Whoever has a token has an attempt of their own.
    assert_eq!(node.get("sys/rotate/root/init", root).ok()["data"]["started"], false);
    let begun = node.http("PUT", "sys/rotate/root/init", root, &wanted).ok();
    assert_ne!(begun["data"]["nonce"], nonce);
    for path in ["sys/rotate/root/init", "sys/rotate/root/update", "sys/rotate/root/verify", "sys/rotate/root"] {
        for by in ["", default.as_str()] {
            assert_eq!(node.http("PUT", path, by, &wanted).status, 403, "{path}");
        }
    }
    let ask =
        |method: &str, path: &str| crate::support::call(closed, method, path, &[], b"{}").expect("an answer").status;
    for (method, path) in [
        ("GET", "sys/rekey/init"),
        ("PUT", "sys/rekey/init"),
        ("DELETE", "sys/rekey/init"),
        ("PUT", "sys/rekey/update"),
        ("GET", "sys/rekey/verify"),
        ("PUT", "sys/%72ekey/verify"),
    ] {
        assert_eq!(ask(method, path), 405, "{method} {path}");
    }
    assert_eq!(ask("GET", "sys/seal-status"), 200);
    assert!(node.http("DELETE", "sys/rekey/init", root, &Value::Null).status < 300);
    assert_eq!(node.get("sys/rekey/init", "").ok()["started"], false);
}

/// An active node with one more listener, of which this line is said; that listener's port.
fn with_listener(line: &str) -> (Cluster, u16) {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let port = cluster.add_listener(&format!("tls_disable = true\n {line}"));
    cluster.nodes[0].start();
    cluster.init(3, 2);
    cluster.unseal(&cluster.nodes[0]);
    until("active", 20, || (cluster.nodes[0].health() == 200).then_some(()));
    (cluster, port)
}

/// A DELETE takes its fields from the query.
fn send_delete(node: &crate::support::Node, path: &str, otp: &str) -> u16 {
    node.http("DELETE", &format!("{path}?otp={otp}"), "", &Value::Null).status
}
