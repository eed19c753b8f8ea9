//! Policies over the API: versions, ends, names, and what a change means for the next request.

use std::time::Duration;

use holdfast::core::{Error, Operation};
use serde_json::{Value, json};

use crate::support::Local;

const READ: &str = "path \"cubbyhole/*\" { capabilities = [\"read\"] }";

async fn refused(node: &Local, path: &str, data: Value) -> String {
    match node.call(Operation::Update, path, &node.root, data).await {
        Err(Error::Invalid(messages)) => messages.join("; "),
        answer => panic!("{path}: {answer:?}"),
    }
}

async fn shown(node: &Local, path: &str) -> Value {
    let read = node.call(Operation::Read, path, &node.root, json!({})).await;
    Value::Object(read.unwrap_or_else(|error| panic!("{path}: {error}")).data.expect("data"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_can_say_which_version_it_replaces() {
    let node = Local::start().await;
    let path = "sys/policies/acl/p";
    for (data, error) in [
        (json!({ "cas": 1 }), Some("check-and-set parameter 1 did not match the current version 0")),
        (json!({ "cas": -1 }), None),
        (json!({ "cas": -1 }), Some("check-and-set parameter set to -1 on existing entry")),
        (json!({ "cas": 7 }), Some("check-and-set parameter 7 did not match the current version 1")),
        (json!({ "cas": 1, "cas_required": true }), None),
        (json!({}), Some("check-and-set parameter required for this call")),
        (json!({ "cas": 2 }), None),
        (json!({}), None),
    ] {
        let mut body = data.clone();
        body["policy"] = READ.into();
        match error {
            Some(error) => assert_eq!(refused(&node, path, body).await, error, "{data}"),
            None => drop(node.write(path, body).await),
        }
    }
    let policy = shown(&node, path).await;
    assert_eq!(
        (&policy["version"], &policy["cas_required"], &policy["policy"]),
        (&json!(4), &json!(false), &json!(READ))
    );
    assert!(policy["modified"].is_string() && policy.get("expiration").is_none());

    let patch = |data| node.call(Operation::Patch, path, &node.root, data);
    patch(json!({ "cas_required": true })).await.expect("patched");
    let patched = shown(&node, "sys/policy/p").await;
    assert_eq!(
        (&patched["rules"], &patched["version"], &patched["cas_required"]),
        (&json!(READ), &json!(5), &json!(true))
    );
    assert_eq!(
        patch(json!({ "policy": "" })).await.unwrap_err().to_string(),
        "'policy' parameter not supplied or empty"
    );
    let none = node.call(Operation::Patch, "sys/policies/acl/none", &node.root, json!({ "ttl": 5 })).await;
    assert_eq!(none.unwrap_err(), Error::invalid("policy not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_grants_until_its_end_and_then_is_gone() {
    let node = Local::start().await;
    let path = "sys/policies/acl/short";
    for (data, error) in [
        (json!({ "ttl": "0" }), "refusing to update policy as expiration time has already elapsed"),
        (
            json!({ "ttl": "1h", "expiration": "2200-01-01T00:00:00Z" }),
            "cannot supply both 'expiration' and 'ttl' for policies",
        ),
        (
            json!({ "expiration": "soon" }),
            "Field validation failed: error converting input for field \"expiration\": could not parse string as date and time",
        ),
        (
            json!({ "ttl": "-1" }),
            "Field validation failed: error converting input for field \"ttl\": cannot provide negative value '-1'",
        ),
    ] {
        let mut body = data.clone();
        body["policy"] = READ.into();
        assert_eq!(refused(&node, path, body).await, error);
    }
    // Written anew without an end, it stays.
    node.write("sys/policies/acl/kept", json!({ "policy": READ, "ttl": 2 })).await;
    node.write("sys/policies/acl/kept", json!({ "policy": READ })).await;
    node.write(path, json!({ "policy": READ, "ttl": 2 })).await;
    assert!(shown(&node, path).await["expiration"].is_string());
    let (token, _) = node.token(&node.root, json!({ "policies": ["short"], "no_default_policy": true })).await;
    let read = || node.call(Operation::Read, "cubbyhole/a", &token, json!({}));
    assert_eq!(read().await.unwrap_err(), Error::Absent, "allowed");
    while read().await.unwrap_err() == Error::Absent {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(read().await.unwrap_err(), Error::denied());
    assert_eq!(node.call(Operation::Read, path, &node.root, json!({})).await.unwrap_err(), Error::Absent);
    loop {
        let names = node.call(Operation::List, "sys/policies/acl/", &node.root, json!({})).await.expect("a list");
        if names.data.expect("data")["keys"] == json!(["default", "kept", "root"]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.write(path, json!({ "policy": READ, "cas": -1 })).await;
    assert_eq!(shown(&node, path).await["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_folded_wherever_they_come_in() {
    let node = Local::start().await;
    for name in ["root", "ROOT", " root", "Root ", "response-wrapping", "Response-Wrapping"] {
        let path = format!("sys/policies/acl/{name}");
        assert!(refused(&node, &path, json!({ "policy": READ })).await.starts_with("cannot update"), "{name:?}");
        let deleted = node.call(Operation::Delete, &path, &node.root, json!({})).await;
        assert!(deleted.unwrap_err().to_string().starts_with("cannot delete"), "{name:?}");
    }
    node.write("sys/policies/acl/MiXed", json!({ "policy": READ })).await;
    assert_eq!(shown(&node, "sys/policies/acl/mixed").await["name"], "mixed");
    node.write("sys/policy/a/b", json!({ "rules": READ })).await;
    assert_eq!(shown(&node, "sys/policies/acl/A/B").await["name"], "a/b");
    // Who may not touch `mixed` does not get there by `mixed/`.
    let deleted = node.call(Operation::Delete, "sys/policies/acl/mixed/", &node.root, json!({})).await;
    assert!(
        deleted.is_ok() && node.call(Operation::Read, "sys/policies/acl/mixed/", &node.root, json!({})).await.is_err()
    );
    let all = node.call(Operation::List, "sys/policies/detailed/acl/", &node.root, json!({})).await.expect("a list");
    let all = all.data.expect("data");
    assert_eq!(all["keys"], json!(["a/b", "default", "mixed", "root"]));
    assert_eq!(all["key_info"]["mixed"]["policy"], READ);
    node.call(Operation::Delete, "sys/policy/a/b", &node.root, json!({})).await.expect("deleted");
    node.call(Operation::Delete, "sys/policy/none", &node.root, json!({})).await.expect("as if deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_is_no_way_around_a_rule() {
    let node = Local::start().await;
    node.write("sys/mounts/kept", json!({ "type": "kv" })).await;
    node.write("sys/policies/acl/kept", json!({ "policy": READ })).await;
    let all = "capabilities = [\"read\", \"list\", \"update\", \"delete\", \"sudo\"]";
    let rule = |path: &str, what: &str| format!("path \"{path}\" {{ {what} }}\n");
    for denied in ["kept", "+"] {
        let of = |path: &str| {
            rule(&format!("{path}/*"), all) + &rule(&format!("{path}/{denied}"), "capabilities = [\"deny\"]")
        };
        let rules = ["sys/mounts", "sys/auth", "sys/policies/acl"].map(of).concat();
        node.write("sys/policies/acl/fenced", json!({ "policy": rules })).await;
        let (token, _) = node.token(&node.root, json!({ "policies": ["fenced"] })).await;
        for (operation, path) in [
            (Operation::Read, "sys/mounts/kept/"),
            (Operation::Delete, "sys/mounts/kept/"),
            (Operation::Read, "sys/auth/kept/"),
            (Operation::Delete, "sys/auth/kept/"),
            (Operation::Read, "sys/policies/acl/kept/"),
            (Operation::Delete, "sys/policies/acl/kept/"),
            (Operation::Update, "sys/mounts/kept/"),
        ] {
            let bare = path.trim_end_matches('/');
            for path in [path, bare] {
                let answer = node.call(operation, path, &token, json!({ "type": "kv" })).await;
                assert_eq!(answer.unwrap_err(), Error::denied(), "{operation:?} {path} against {denied}");
            }
        }
    }
    assert_eq!(shown(&node, "sys/mounts/kept").await["type"], "kv");
    // With the rules of both paths it is served as before.
    node.write("sys/policies/acl/free", json!({ "policy": rule("sys/mounts/*", all) })).await;
    let (token, _) = node.token(&node.root, json!({ "policies": ["free"] })).await;
    node.call(Operation::Delete, "sys/mounts/kept/", &token, json!({})).await.expect("disabled");
}
