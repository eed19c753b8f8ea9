//! A `deny` that another spelling, a list or a longer glob gets around. The matcher itself is checked against a naive one
//! by property tests (`policy/acl/tests.rs`); here the rules are asked for over HTTP, with data behind each of them.

use serde_json::json;

use super::token_with;
use crate::support::{Cluster, call};

const RULES: &str = r#"
path "secret/*"                        { capabilities = ["create", "read", "update", "patch", "delete", "list"] }
path "secret/data/denied/*"            { capabilities = ["deny"] }
path "secret/metadata/denied/"         { capabilities = ["deny"] }
path "secret/metadata/shut"            { capabilities = ["deny"] }
path "secret/data/exact"               { capabilities = ["deny"] }
path "secret/data/+/segment"           { capabilities = ["deny"] }
path "secret/metadata/glob*"           { capabilities = ["deny"] }
path "secret/data/mixed/*"             { capabilities = ["deny", "read", "sudo"] }
"#;

#[test]
fn a_deny_holds_for_every_method_list_and_spelling() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    let secrets = ["denied/one", "shut/one", "exact", "any/segment", "globular/one", "mixed/one", "open/one"];
    for secret in secrets {
        assert!(cluster.put(0, secret, "kept"));
    }
    let token = token_with(node, root, "mostly", RULES);
    let ask = |method: &str, path: &str| {
        let body: &[u8] = if ["POST", "PUT"].contains(&method) { b"{\"data\":{\"value\":\"stolen\"}}" } else { b"" };
        call(node.api, method, path, &[("X-Vault-Token", token.as_str())], body).expect("an answer").status
    };
    // What is allowed is, so that a refusal below means something.
    for (method, path) in
        [("GET", "secret/data/open/one"), ("LIST", "secret/metadata/open"), ("LIST", "secret/metadata/")]
    {
        assert_eq!(ask(method, path), 200, "{method} {path}");
    }
    for path in [
        "secret/data/denied/one",
        "secret/data/denied/",
        "secret/data/denied/new",
        "secret/data/exact",
        "secret/data/any/segment",
        "secret/data/new/segment",
        "secret/data/mixed/one",
        "secret/data/%64enied/one",
        "secret/data/denied/%6fne",
        "secret/data/denied%2fone",
        "secret/data/exac%74",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "LIST"] {
            let status = ask(method, path);
            // A list is of the folder of that name: of a path that is denied exactly there may be one.
            let folder = method == "LIST" && !path.contains("denied") && !path.contains("mixed");
            assert!(status == 403 || (folder && status != 200), "{method} {path}: {status}");
        }
    }
    // A list is denied by either spelling of the rule, asked for by either spelling of the path.
    for path in ["denied", "denied/", "shut", "shut/", "globular", "globular/", "glob", "glob/", "%73hut", "shut%2f"] {
        let path = format!("secret/metadata/{path}");
        for (method, path) in
            [("LIST", path.clone()), ("GET", format!("{path}?list=true")), ("GET", format!("{path}?list=1"))]
        {
            assert_eq!(ask(method, &path), 403, "{method} {path}");
        }
    }
    // What the server says of itself agrees.
    let paths = ["secret/data/denied/one", "secret/data/mixed/one", "secret/data/any/segment", "secret/metadata/shut"];
    let told = node.http("POST", "sys/capabilities-self", &token, &json!({ "paths": paths }));
    // Nothing grants that path itself here.
    assert_eq!(told.status, 403);
    let told = node.http("POST", "sys/capabilities", root, &json!({ "token": token, "paths": paths })).ok();
    for path in paths {
        assert_eq!(told["data"][path], json!(["deny"]), "{path}: {told}");
    }
    for secret in secrets {
        assert_eq!(cluster.read(0, secret).as_deref(), Some("kept"), "{secret}");
    }
}
