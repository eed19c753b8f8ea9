//! A policy's name that becomes `root` on its way from where it is checked to where it counts.

use serde_json::json;

use super::{token, token_with};
use crate::support::{Cluster, Node};

/// Names that are `root` to somebody: after folding, trimming, or with eyes half shut.
const NAMES: &[&str] = &[
    "root",
    "ROOT",
    "Root",
    "rOOt",
    " root",
    "root ",
    "\troot\n",
    "\u{a0}root",
    "\u{2003}ROOT\u{3000}",
    "\u{feff}root",
    "root\u{0}",
    "ro\u{200b}ot",
    "\u{ff52}oot",
    "r\u{43e}\u{43e}t",
    "root/",
    "/root",
    "./root",
    "root,default",
    "root\\",
    "%72oot",
    "r*",
    "*",
    "+",
    "roo?",
    "{{identity.entity.name}}",
];

/// Grants what nobody has whose policies came from such a name; the path is one that only root reaches.
fn is_root(node: &Node, token: &str) -> bool {
    node.get("sys/policies/acl", token).status == 200
        || node.get("sys/auth", token).status == 200
        || node.http("PUT", "sys/policies/acl/planted", token, &json!({ "policy": "path \"x\" {}" })).status < 400
}

#[test]
fn no_spelling_of_root_grants_root() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let maker = token_with(
        node,
        root,
        "maker",
        r#"path "auth/token/create" { capabilities = ["update"] }
           path "auth/token/create/*" { capabilities = ["update"] }"#,
    );
    let sudo = token_with(
        node,
        root,
        "sudo-maker",
        r#"path "auth/token/*" { capabilities = ["create", "update", "read", "list", "sudo"] }"#,
    );
    let all = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;
    for (name, role) in [
        ("any", json!({ "allowed_policies_glob": ["*"] })),
        ("roots", json!({ "allowed_policies": ["ROOT", " root", "maker"] })),
        ("none", json!({ "disallowed_policies": ["nothing"] })),
        ("evades", json!({ "allowed_policies_glob": ["*"], "disallowed_policies": ["root"] })),
    ] {
        node.http("POST", &format!("auth/token/roles/{name}"), root, &role).ok();
    }
    for name in NAMES {
        for maker in [&maker, &sudo] {
            for path in ["create", "create-orphan", "create/any", "create/roots", "create/none", "create/evades"] {
                for policies in [json!([name]), json!(["maker", name])] {
                    let wish = json!({ "policies": policies, "no_default_policy": true, "ttl": "1m" });
                    let made = node.http("POST", &format!("auth/token/{path}"), maker, &wish).json();
                    let Some(token) = made["auth"]["client_token"].as_str() else { continue };
                    assert!(!is_root(node, token), "{path} {wish} by a non-root token: {made}");
                    let told = made["auth"]["policies"].to_string();
                    assert!(!told.contains("\"root\""), "{path} {wish}: {made}");
                }
            }
        }
        // Nobody writes or deletes what counts as root, and what merely looks like it is only a name.
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for base in ["sys/policies/acl", "sys/policy"] {
            for text in [all, "path \"x\" { capabilities = [\"deny\"] }"] {
                node.http("PUT", &format!("{base}/{encoded}"), root, &json!({ "policy": text }));
            }
            node.http("DELETE", &format!("{base}/{encoded}"), root, &json!(null));
        }
        assert!(is_root(node, root), "{name:?} has changed what root may do");
    }
    // Root itself is what it always was; so is what root gives by whichever spelling.
    for name in ["root", "ROOT", " Root "] {
        assert!(is_root(node, &token(node, root, &json!({ "policies": [name], "ttl": "1m" }))), "{name:?}");
    }
}

#[test]
fn a_name_is_folded_alike_where_it_is_written_and_where_it_is_checked() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    assert!(cluster.put(0, "app", "x"));
    // Written by one spelling, given by another, taken away by a third.
    let rules = json!({ "policy": "path \"secret/data/app\" { capabilities = [\"read\"] }" });
    node.http("PUT", "sys/policies/acl/Reader", root, &rules).ok();
    let token = token(node, root, &json!({ "policies": [" READER "], "no_default_policy": true }));
    assert_eq!(node.get("secret/data/app", &token).status, 200);
    let deny = json!({ "policy": "path \"secret/data/app\" { capabilities = [\"deny\"] }" });
    node.http("PUT", "sys/policies/acl/rEADER", root, &deny).ok();
    assert_eq!(node.get("secret/data/app", &token).status, 403);
    node.http("PUT", "sys/policies/acl/reader", root, &rules).ok();
    assert_eq!(node.get("secret/data/app", &token).status, 200);
    node.http("DELETE", "sys/policy/READER", root, &json!(null)).ok();
    assert_eq!(node.get("secret/data/app", &token).status, 403);
}
