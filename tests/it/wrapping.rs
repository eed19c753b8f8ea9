//! Wrapping tokens in the form of a JWT, and what is in the wrapping.

use std::sync::Arc;
use std::time::Duration;

use holdfast::core::{Error, Operation};
use serde_json::json;

use crate::support::Local;

fn invalid() -> Error {
    Error::invalid("wrapping token is not valid or does not exist")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_is_unwrapped_once_by_body_or_header() {
    let node = Local::start().await;
    for by_header in [false, true] {
        let jwt = node.wrapped_as_jwt("sys/wrapping/wrap", json!({ "x": 1 })).await;
        assert!(jwt.starts_with("eyJ") && jwt.split('.').count() == 3);
        let looked_up = node.write("sys/wrapping/lookup", json!({ "token": jwt })).await;
        assert_eq!(
            (&looked_up["creation_path"], &looked_up["creation_ttl"]),
            (&json!("sys/wrapping/wrap"), &json!(60))
        );
        let unwrap = |token: &str, data| {
            let (node, token) = (Arc::clone(&node), token.to_string());
            async move { node.call(Operation::Update, "sys/wrapping/unwrap", &token, data).await }
        };
        let forged = format!("{}AAAA", &jwt[..jwt.len() - 4]);
        assert_eq!(unwrap(&node.root, json!({ "token": forged })).await.unwrap_err(), invalid());
        let denied = node.call(Operation::Read, "cubbyhole/response", &jwt, json!({})).await;
        assert_eq!(denied.unwrap_err(), Error::no_token(), "a JWT is no token anywhere else");
        let racing: Vec<_> = (0..12)
            .map(|_| match by_header {
                true => tokio::spawn(unwrap(&jwt, json!({}))),
                false => tokio::spawn(unwrap(&node.root, json!({ "token": jwt }))),
            })
            .collect();
        let mut done = 0;
        for one in racing {
            match one.await.expect("no panic") {
                Ok(response) => {
                    let body: serde_json::Value =
                        serde_json::from_slice(&response.raw.expect("as wrapped").body).expect("JSON");
                    assert_eq!(body["data"], json!({ "x": 1 }));
                    done += 1;
                }
                Err(error) => assert_eq!(error, invalid()),
            }
        }
        assert_eq!(done, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrapped_is_the_answer_with_its_envelope() {
    let node = Local::start().await;
    let token = node.wrapped(Operation::Read, "sys/policy", &node.root, json!({})).await;
    let unwrapped = node.call(Operation::Update, "sys/wrapping/unwrap", &token, json!({})).await.expect("unwrapped");
    let text = String::from_utf8(unwrapped.raw.expect("as wrapped").body).expect("text");
    let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["data"]["keys"], json!(["default", "root"]));
    assert!(body.get("keys").is_none() && !text.ends_with('\n'));
}

#[tokio::test(flavor = "multi_thread")]
async fn rewrapping_ends_the_old_token_and_keeps_path_and_ttl() {
    let node = Local::start().await;
    let old = node.wrapped(Operation::Update, "sys/wrapping/wrap", &node.root, json!({ "x": 1 })).await;
    let rewrapped = node.call(Operation::Update, "sys/wrapping/rewrap", &node.root, json!({ "token": old })).await;
    let info = rewrapped.expect("rewrapped").wrap_info.expect("wrapped");
    assert_eq!((info.creation_path.as_str(), info.ttl), ("sys/wrapping/wrap", Duration::from_secs(60)));
    let old = node.call(Operation::Update, "sys/wrapping/unwrap", &node.root, json!({ "token": old })).await;
    assert_eq!(old.unwrap_err(), invalid());
    node.call(Operation::Update, "sys/wrapping/unwrap", &node.root, json!({ "token": info.token }))
        .await
        .expect("once");
}
