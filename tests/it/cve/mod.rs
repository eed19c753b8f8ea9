//! One file a class of past vulnerabilities in this field. `docs/security/past-vulnerabilities.md` tells what each class
//! is, how the design answers it, and which tests elsewhere prove the rest.

mod deny_bypass;
mod file_modes;
mod join_abuse;
mod marked_secrets;
mod policy_names;
mod request_forgery;
mod request_panics;
mod resource_exhaustion;
mod secret_types;
mod stale_authorisation;
mod token_boundaries;
mod tokens_of_failures;
mod unseal_interference;

use serde_json::{Value, json};

use crate::support::{Answer, Node, call};

/// Writes a policy and makes a token that has it and no other.
#[track_caller]
fn token_with(node: &Node, root: &str, policy: &str, rules: &str) -> String {
    node.http("PUT", &format!("sys/policies/acl/{policy}"), root, &json!({ "policy": rules })).ok();
    token(node, root, &json!({ "policies": [policy], "no_default_policy": true }))
}

/// Makes a token.
#[track_caller]
fn token(node: &Node, parent: &str, wish: &Value) -> String {
    let made = node.http("POST", "auth/token/create", parent, wish).ok();
    made["auth"]["client_token"].as_str().expect("a token").to_string()
}

/// Sends a request with a body of whatever bytes.
fn send(node: &Node, method: &str, path: &str, token: &str, body: &[u8]) -> Answer {
    let patch = [("Content-Type", "application/merge-patch+json"), ("X-Vault-Token", token)];
    let headers = if method == "PATCH" { &patch[..] } else { &patch[1..] };
    let headers = if token.is_empty() { &headers[..headers.len() - 1] } else { headers };
    call(node.api, method, path, headers, body).unwrap_or_default()
}

/// An operation of the OpenAPI document: its method, and its path with names for the parameters.
#[derive(Debug)]
struct Endpoint {
    method: String,
    path: String,
    fields: Vec<String>,
}

/// All operations of the OpenAPI document; each parameter of a path is `parameter`.
#[track_caller]
fn endpoints(node: &Node, root: &str, parameter: &str) -> Vec<Endpoint> {
    let document = node.get("sys/internal/specs/openapi", root).ok();
    let mut all = Vec::new();
    for (pattern, item) in document["paths"].as_object().expect("paths") {
        let path: String = pattern
            .trim_start_matches('/')
            .split('/')
            .map(|part| if part.contains('{') { parameter } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for (method, operation) in item.as_object().expect("an item") {
            if !["get", "post", "put", "delete", "patch"].contains(&method.as_str()) {
                continue;
            }
            let schema = operation["requestBody"]["content"].as_object().and_then(|content| content.values().next());
            let fields = schema.map(|media| properties(&document, &media["schema"])).unwrap_or_default();
            if method == "get" && is_list(operation) {
                all.push(Endpoint { method: "LIST".into(), path: path.clone(), fields: Vec::new() });
            }
            all.push(Endpoint { method: method.to_ascii_uppercase(), path: path.clone(), fields });
        }
    }
    assert!(all.len() > 100, "the document has {} operations", all.len());
    all
}

fn is_list(operation: &Value) -> bool {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    parameters.iter().any(|parameter| parameter["name"] == "list")
}

fn properties(document: &Value, schema: &Value) -> Vec<String> {
    let named = schema["$ref"].as_str().and_then(|name| document.pointer(name.trim_start_matches('#')));
    let properties = named.unwrap_or(schema)["properties"].as_object().cloned().unwrap_or_default();
    properties.into_iter().map(|(name, _)| name).collect()
}

/// What would end the run: the node seals itself, leaves, or loses the caller's own token.
fn ends_the_run(endpoint: &Endpoint) -> bool {
    ["sys/seal", "sys/step-down", "auth/token/revoke-self", "sys/storage/raft/remove-peer"]
        .contains(&endpoint.path.as_str())
}
