//! A token that is issued although the request failed, and operations that are the server's own but can be reached from
//! outside.

use serde_json::{Value, json};

use super::{send, token_with};
use crate::support::{Cluster, call};

#[test]
fn a_request_that_fails_issues_no_token() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let maker = token_with(node, root, "maker", "path \"auth/token/create\" { capabilities = [\"update\"] }");
    let limited = super::token(node, root, &json!({ "policies": ["root"], "num_uses": 50, "ttl": "1h" }));
    let batch = super::token(node, root, &json!({ "policies": ["maker"], "type": "batch", "ttl": "1h" }));
    let wrap_only = token_with(
        node,
        root,
        "wrap-only",
        "path \"auth/token/create\" { capabilities = [\"update\"] min_wrapping_ttl = \"1s\" max_wrapping_ttl = \"10s\" }",
    );
    node.http("POST", "auth/token/roles/strict", root, &json!({ "allowed_policies": ["maker"] })).ok();
    let accessors = || {
        let keys = node.http("LIST", "auth/token/accessors", root, &Value::Null).ok()["data"]["keys"].clone();
        keys.as_array().map_or(0, Vec::len)
    };
    let before = accessors();
    let failing: &[(&str, &str, Value)] = &[
        (&maker, "create", json!({ "policies": ["root"] })),
        (&maker, "create", json!({ "policies": ["maker", "other"] })),
        (&maker, "create", json!({ "no_parent": true })),
        (&maker, "create", json!({ "period": "1h" })),
        (&maker, "create", json!({ "id": "mine" })),
        (&maker, "create", json!({ "ttl": "nonsense" })),
        (&maker, "create", json!({ "ttl": "-1h" })),
        (&maker, "create", json!({ "num_uses": -1 })),
        (&maker, "create", json!({ "type": "nonsense" })),
        (&maker, "create", json!({ "meta": ["nonsense"] })),
        (&maker, "create", json!({ "policies": { "a": 1 } })),
        (&maker, "create-orphan", json!({})),
        (&maker, "create/strict", json!({})),
        (root, "create/strict", json!({ "policies": ["other"] })),
        (root, "create/missing", json!({})),
        (root, "create", json!({ "id": "a.b" })),
        (root, "create", json!({ "type": "batch", "num_uses": 1 })),
        (root, "create", json!({ "type": "batch", "policies": ["root"] })),
        (root, "create", json!({ "entity_alias": "x" })),
        (root, "create", json!({ "policies": ["response-wrapping"] })),
        (&limited, "create", json!({})),
        (&batch, "create", json!({})),
        (&wrap_only, "create", json!({})),
        ("hvs.nonsense", "create", json!({})),
        ("", "create", json!({})),
    ];
    for (by, path, body) in failing {
        let answer = node.http("POST", &format!("auth/token/{path}"), by, body);
        assert!((400..500).contains(&answer.status), "{path} {body}: {} {}", answer.status, answer.text());
        let told = answer.json();
        assert!(told["auth"].is_null() && told["wrap_info"].is_null(), "{path} {body}: {told}");
    }
    // Nor does one that fails while it is wrapped, or whose wrapping is refused.
    for ttl in ["1h", "-1s", "nonsense", "0"] {
        let headers = [("X-Vault-Token", wrap_only.as_str()), ("X-Vault-Wrap-TTL", ttl)];
        let answer = call(node.api, "POST", "auth/token/create", &headers, b"{}").expect("an answer");
        assert!((400..500).contains(&answer.status), "{ttl}: {}", answer.text());
    }
    for broken in [&b"{"[..], b"[]", b"{\"policies\":[\"maker\"]} {}", b"\xff"] {
        let answer = send(node, "POST", "auth/token/create", root, broken);
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert_eq!(accessors(), before, "a failed request has made a token");
    // A use is taken by a request that is denied too; the token itself still tells how many are left.
    let uses = node.http("POST", "auth/token/lookup", root, &json!({ "token": limited })).ok();
    assert_eq!(uses["data"]["num_uses"], 49, "{uses}");
}

#[test]
fn what_the_server_asks_itself_nobody_asks_from_outside() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let default = super::token(node, root, &json!({ "policies": ["default"] }));
    // Methods and headers that might name an internal operation or another caller.
    for method in
        ["RENEW", "REVOKE", "ROLLBACK", "CREATE", "HELP", "EXISTS", "ALIAS-LOOKAHEAD", "RESOLVE-ROLE", "SCAN", "TRACE"]
    {
        for path in ["secret/data/app", "auth/token/create", "sys/mounts/secret", "sys/leases/revoke"] {
            let answer = call(node.api, method, path, &[("X-Vault-Token", root)], b"{}").unwrap_or_default();
            assert!(answer.status >= 400 || answer.status == 0, "{method} {path}: {}", answer.text());
        }
    }
    for (name, value) in [
        ("X-Vault-Forwarded", "true"),
        ("X-Vault-Internal", "true"),
        ("X-Vault-Operation", "root"),
        ("X-Vault-Policy-Override", "true"),
        ("X-Vault-Entity-ID", "root"),
        ("X-HTTP-Method-Override", "PUT"),
        ("X-Original-URL", "/v1/sys/seal-status"),
        ("X-Rewrite-URL", "/v1/sys/seal-status"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Authorization", "Basic cm9vdDpyb290"),
    ] {
        let answer = call(node.api, "GET", "sys/mounts", &[("X-Vault-Token", &default), (name, value)], b"");
        assert_eq!(answer.expect("an answer").status, 403, "{name}: {value}");
        let answer = call(node.api, "GET", "sys/mounts", &[(name, value)], b"");
        assert_eq!(answer.expect("an answer").status, 403, "{name}: {value}, without a token");
    }
}
