//! Tokens and wrapping: what is taken once is taken once, and what is dead stays dead.

use holdfast::core::{Error, Operation};
use serde_json::json;

use crate::support::Local;

const LOOKUP: &str = "auth/token/lookup-self";

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_taken_once_however_often_a_request_runs_into_conflicts() {
    let node = Local::start().await;
    let rules = "path \"secret/*\" { capabilities = [\"create\", \"update\", \"read\"] }";
    node.write("sys/policies/acl/writer", json!({ "policy": rules })).await;
    node.write("sys/mounts/secret", json!({ "type": "kv", "options": { "version": "2" } })).await;
    let (token, _) = node.token(&node.root, json!({ "policies": ["writer"], "num_uses": 20 })).await;
    let writes = (0..30).map(|_| {
        let (node, token) = (node.clone(), token.clone());
        tokio::spawn(async move {
            node.call(Operation::Update, "secret/data/one", &token, json!({ "data": { "a": 1 } })).await
        })
    });
    let mut done = 0;
    for write in writes.collect::<Vec<_>>() {
        match write.await.expect("no panic") {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error, Error::no_token()),
        }
    }
    assert_eq!(done, 20);
    let read = node.call(Operation::Read, "secret/metadata/one", &node.root, json!({})).await.expect("an answer");
    assert_eq!(read.data.expect("data")["current_version"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_still_reads_the_cubbyhole_and_nothing_comes_after_it() {
    let node = Local::start().await;
    let (token, accessor) = node.token(&node.root, json!({ "policies": ["default"], "num_uses": 3 })).await;
    node.call(Operation::Update, "cubbyhole/a", &token, json!({ "x": 1 })).await.expect("the first use");
    assert!(
        node.call(Operation::Read, "sys/mounts", &token, json!({})).await.is_err(),
        "a denied request is a use too"
    );
    let read = node.call(Operation::Read, "cubbyhole/a", &token, json!({})).await.expect("the last use");
    assert_eq!(read.data.expect("data")["x"], 1);
    assert_eq!(node.call(Operation::Read, LOOKUP, &token, json!({})).await.unwrap_err(), Error::no_token());
    let by_accessor =
        node.call(Operation::Update, "auth/token/lookup-accessor", &node.root, json!({ "accessor": accessor }));
    assert!(by_accessor.await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_limited_uses_makes_no_children() {
    let node = Local::start().await;
    let (token, _) = node.token(&node.root, json!({ "policies": ["root"], "num_uses": 2 })).await;
    let made = node.call(Operation::Update, "auth/token/create", &token, json!({})).await;
    assert_eq!(made.unwrap_err(), Error::invalid("restricted use token cannot generate child tokens"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_dead_with_its_parent_for_every_endpoint() {
    let node = Local::start().await;
    let (parent, _) = node.token(&node.root, json!({ "policies": ["root"], "ttl": "1h" })).await;
    let (child, accessor) = node.token(&parent, json!({ "policies": ["default"], "ttl": "1h" })).await;
    node.call(Operation::Update, "auth/token/revoke-self", &parent, json!({})).await.expect("revoked");
    for (path, data) in [
        ("lookup", json!({ "token": child })),
        ("renew", json!({ "token": child })),
        ("lookup-accessor", json!({ "accessor": accessor })),
        ("renew-accessor", json!({ "accessor": accessor })),
    ] {
        let answer = node.call(Operation::Update, &format!("auth/token/{path}"), &node.root, data).await;
        assert!(answer.is_err(), "{path} answers for a token whose parent is revoked");
    }
    assert_eq!(node.call(Operation::Read, LOOKUP, &child, json!({})).await.unwrap_err(), Error::no_token());
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_without_the_children_takes_sudo() {
    let node = Local::start().await;
    let rules = "path \"auth/token/*\" { capabilities = [\"update\"] }";
    node.write("sys/policies/acl/plain", json!({ "policy": rules })).await;
    let (plain, _) = node.token(&node.root, json!({ "policies": ["plain"] })).await;
    let (other, _) = node.token(&node.root, json!({ "policies": ["default"] })).await;
    let revoked = node.call(Operation::Update, "auth/token/revoke-orphan", &plain, json!({ "token": other })).await;
    assert!(matches!(revoked.unwrap_err(), Error::Invalid(_)));
    node.call(Operation::Read, LOOKUP, &other, json!({})).await.expect("it lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrapped_is_read_once_by_whatever_way() {
    let node = Local::start().await;
    let unwrap = "sys/wrapping/unwrap";
    let wrap = || node.wrapped(Operation::Update, "sys/wrapping/wrap", &node.root, json!({ "a": 1 }));

    // Two at once: one has it.
    let token = wrap().await;
    let both = [token.clone(), String::new()].map(|named| {
        let (node, token) = (node.clone(), token.clone());
        tokio::spawn(async move {
            let (caller, data) =
                if named.is_empty() { (&token, json!({})) } else { (&node.root, json!({ "token": named })) };
            node.call(Operation::Update, unwrap, caller, data).await.is_ok()
        })
    });
    let mut had = 0;
    for one in both {
        had += u32::from(one.await.expect("no panic"));
    }
    assert_eq!(had, 1);

    // By the cubbyhole: once, and then it cannot be unwrapped.
    let token = wrap().await;
    let read = node.call(Operation::Read, "cubbyhole/response", &token, json!({})).await.expect("the wrapped answer");
    assert!(read.data.expect("data")["response"].as_str().expect("text").contains("\"a\":1"));
    assert!(node.call(Operation::Read, "cubbyhole/response", &token, json!({})).await.is_err());
    assert!(node.call(Operation::Update, unwrap, &node.root, json!({ "token": token })).await.is_err());

    // A look does not take it; any other use of the token does.
    let token = wrap().await;
    node.call(Operation::Update, "sys/wrapping/lookup", &token, json!({})).await.expect("a look");
    node.call(Operation::Read, "sys/mounts", &token, json!({})).await.unwrap_err();
    assert!(node.call(Operation::Update, unwrap, &token, json!({})).await.is_err(), "somebody has tried the token");

    // Unwrapped into another wrapping.
    let token = wrap().await;
    let again = node.wrapped(Operation::Update, unwrap, &node.root, json!({ "token": token })).await;
    node.call(Operation::Update, unwrap, &again, json!({})).await.expect("the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_at_once_lose_no_key() {
    let node = Local::start().await;
    node.write("sys/mounts/secret", json!({ "type": "kv", "options": { "version": "1" } })).await;
    let rotations = (0..8).map(|number| {
        let node = node.clone();
        tokio::spawn(async move {
            node.write("sys/rotate", json!({})).await;
            node.write(&format!("secret/{number}"), json!({ "x": number })).await;
        })
    });
    for rotation in rotations.collect::<Vec<_>>() {
        rotation.await.expect("rotated");
    }
    let status = node.call(Operation::Read, "sys/key-status", &node.root, json!({})).await.expect("an answer");
    assert_eq!(status.data.expect("data")["term"], 9);
    // What only the node's memory knew is lost with a seal.
    node.call(Operation::Update, "sys/seal", &node.root, json!({ "scope": "node" })).await.expect("sealed");
    node.unseal().await;
    for number in 0..8 {
        let read = node.call(Operation::Read, &format!("secret/{number}"), &node.root, json!({})).await;
        assert_eq!(read.expect("an answer").data.expect("data")["x"], number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_is_cut_and_what_nobody_asked_for_is_said() {
    let node = Local::start().await;
    let made =
        node.call(Operation::Update, "auth/token/create", &node.root, json!({ "period": "999999h", "bogus": 1 }));
    let made = made.await.expect("a token");
    assert_eq!(made.auth.expect("a token").lease_duration.as_secs(), 2_764_800);
    assert!(made.warnings[0].starts_with("period of \"999999h\" exceeded"), "{:?}", made.warnings);
    assert_eq!(made.warnings[1], "Endpoint ignored these unrecognized parameters: [bogus]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_written_under_its_condition_only() {
    let node = Local::start().await;
    let write = async |condition: serde_json::Value| {
        let mut data = json!({ "policy": "path \"x\" { capabilities = [\"read\"] }" });
        data.as_object_mut().expect("an object").extend(condition.as_object().expect("an object").clone());
        node.call(Operation::Update, "sys/policies/acl/p", &node.root, data).await.is_ok()
    };
    assert!(!write(json!({ "cas": 1 })).await);
    assert!(write(json!({ "cas": 0 })).await);
    assert!(!write(json!({ "cas": 0 })).await);
    assert!(write(json!({ "cas": 1 })).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_a_mount_shows_what_it_is_and_no_more() {
    let node = Local::start().await;
    let config = json!({ "listing_visibility": "unauth" });
    node.write("sys/mounts/open", json!({ "type": "kv", "config": config, "description": "d" })).await;
    let shown = node.call(Operation::Read, "sys/internal/ui/mounts", "", json!({})).await.expect("an answer");
    let data = shown.data.expect("data");
    assert_eq!(data["secret"], json!({ "open/": { "type": "kv", "description": "d", "options": {} } }));
}
