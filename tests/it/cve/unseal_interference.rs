//! Strangers who disturb an unseal or what comes after it: init, unseal and its reset take no token. (Rekeying and new root
//! tokens are not there yet; wrong shares: `sealing.rs`.)

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
    for body in [json!({ "key": "AAAA" }), json!({ "key": 1 }), json!({}), json!({ "key": [1] }), json!({ "migrate": true })] {
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
        assert_eq!(unseal(&body).ok()["sealed"], false, "{body}");
    }
    let begun = [
        ("PUT", "sys/seal"),
        ("PUT", "sys/step-down"),
        ("PUT", "sys/rotate"),
        ("POST", "sys/rotate/root/init"),
        ("DELETE", "sys/rotate/root/init"),
        ("DELETE", "sys/rotate/recovery/init"),
        ("PUT", "sys/rekey/init"),
        ("DELETE", "sys/rekey/init"),
        ("PUT", "sys/rekey/update"),
        ("DELETE", "sys/rekey/backup"),
        ("DELETE", "sys/rekey-recovery-key/init"),
        ("PUT", "sys/generate-root/attempt"),
        ("DELETE", "sys/generate-root/attempt"),
        ("PUT", "sys/generate-root/update"),
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
