//! A token that acts on another by its id or accessor, and what is left of it after its end.

use serde_json::{Value, json};

use super::{token, token_with};
use crate::support::Cluster;
use crate::support::cluster::kv2;

#[test]
fn by_id_and_by_accessor_a_token_reaches_only_itself() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let made = node.http("POST", "auth/token/create", root, &json!({ "policies": ["default"], "ttl": "1h" })).ok();
    let (victim, accessor) = (made["auth"]["client_token"].clone(), made["auth"]["accessor"].clone());
    let victim = victim.as_str().expect("a token");
    node.http("POST", "cubbyhole/mine", victim, &json!({ "value": "private" })).ok();
    let lease =
        node.http("POST", "sys/leases/lookup", root, &json!({ "lease_id": format!("auth/token/create/{victim}") }));
    assert!(lease.status >= 400, "a token's id is no lease: {}", lease.text());
    let thief = token(node, root, &json!({ "policies": ["default"] }));
    for (path, body) in [
        ("lookup", json!({ "token": victim })),
        ("renew", json!({ "token": victim })),
        ("revoke", json!({ "token": victim })),
        ("revoke-orphan", json!({ "token": victim })),
        ("lookup-accessor", json!({ "accessor": accessor })),
        ("renew-accessor", json!({ "accessor": accessor })),
        ("revoke-accessor", json!({ "accessor": accessor })),
        ("tidy", json!({})),
        ("create", json!({ "id": victim })),
    ] {
        let answer = node.http("POST", &format!("auth/token/{path}"), &thief, &body);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    for path in ["sys/leases/revoke-prefix/auth", "sys/leases/revoke-force/auth", "sys/revoke-prefix/auth/token"] {
        assert_eq!(node.http("POST", path, &thief, &json!({})).status, 403, "{path}");
    }
    // What may only be done to oneself is done to oneself, whomever the body names.
    for path in ["lookup-self", "renew-self"] {
        let told =
            node.http("POST", &format!("auth/token/{path}"), &thief, &json!({ "token": victim, "accessor": accessor }));
        assert!(!told.text().contains(accessor.as_str().expect("an accessor")), "{path}: {}", told.text());
    }
    node.http("POST", "auth/token/revoke-self", &token(node, root, &json!({})), &json!({ "token": victim })).ok();
    assert_eq!(node.get("cubbyhole/mine", victim).ok()["data"]["value"], "private", "the victim lives");
    // An accessor is no token, and a cubbyhole is its token's alone, root's included.
    assert_eq!(node.get("auth/token/lookup-self", accessor.as_str().expect("an accessor")).status, 403);
    for (by, path) in [(thief.as_str(), "cubbyhole/mine"), (root, "cubbyhole/mine"), (&thief, "cubbyhole/../mine")] {
        assert!(node.get(path, by).status >= 400, "{path}");
    }
    // A policy that allows one accessor's end allows it, and its token is dead for all.
    let rules = "path \"auth/token/revoke-accessor\" { capabilities = [\"update\"] allowed_parameters = { \"accessor\" = [\"x\"] } }";
    let bound = token_with(node, root, "bound", rules);
    assert_eq!(node.http("POST", "auth/token/revoke-accessor", &bound, &json!({ "accessor": accessor })).status, 403);
    node.http("POST", "auth/token/revoke-accessor", root, &json!({ "accessor": accessor })).ok();
    assert_eq!(node.get("cubbyhole/mine", victim).status, 403);
}

#[test]
fn what_is_deleted_does_not_come_back_under_its_name() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    // A mount of the same path sees nothing of the one before; nor does one that was moved there.
    assert!(cluster.put(0, "app", "old"));
    node.http("DELETE", "sys/mounts/secret", root, &Value::Null).ok();
    node.http("POST", "sys/mounts/secret", root, &kv2()).ok();
    assert_eq!(cluster.read(0, "app"), None);
    assert_eq!(node.http("LIST", "secret/metadata", root, &Value::Null).status, 404);
    // A token of a custom id that was revoked, made again: nothing of the first is its own.
    let wish = json!({ "id": "again", "policies": ["root"], "ttl": "1h" });
    let mut orphan: Option<String> = None;
    for round in 0..6 {
        crate::support::until("the id may be used again", 10, || {
            let made = node.http("POST", "auth/token/create", root, &wish).status == 200;
            if let Some(child) = &orphan {
                assert_eq!(node.get("auth/token/lookup-self", child).status, 403, "round {round}: a child lives again");
            }
            made.then_some(())
        });
        assert_eq!(node.get("cubbyhole/left", "again").status, 404, "round {round}: what the first one left");
        node.http("POST", "cubbyhole/left", "again", &json!({ "value": "old" })).ok();
        orphan = Some(token(node, "again", &json!({ "policies": ["default"] })));
        node.http("POST", "auth/token/revoke", root, &json!({ "token": "again" })).ok();
        assert_eq!(node.get("auth/token/lookup-self", "again").status, 403);
    }
    // A policy that is deleted and written again grants what it grants now.
    let first = token_with(node, root, "reused", "path \"secret/data/one\" { capabilities = [\"update\"] }");
    node.http("DELETE", "sys/policies/acl/reused", root, &Value::Null).ok();
    let write = |path: &str| node.http("POST", path, &first, &json!({ "data": {} })).status;
    assert_eq!(write("secret/data/one"), 403);
    token_with(node, root, "reused", "path \"secret/data/two\" { capabilities = [\"create\", \"update\"] }");
    assert_eq!((write("secret/data/one"), write("secret/data/two")), (403, 200));
}
