//! `sys/*`: mounts, leases, the server's own description, and root tokens from unseal shares. What is expected here was
//! answered so by the peer to the same requests, but for what `docs/compatibility.md` lists.

use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use holdfast::core::Operation::{self, Delete, Help, List, Read, Update};
use holdfast::core::{Error, Response};
use serde_json::{Map, Value, json};

use crate::support::{Local, until};

/// What a request came to, as text: `ok`, the data, or the error.
async fn said(node: &Local, operation: Operation, path: &str, data: Value) -> String {
    match node.call(operation, path, &node.root, data).await {
        Ok(Response { data: Some(data), .. }) => Value::Object(data).to_string(),
        Ok(Response { raw: Some(raw), .. }) => String::from_utf8_lossy(&raw.body).into_owned(),
        Ok(_) => "ok".to_string(),
        Err(error) => error.to_string(),
    }
}

async fn data(node: &Local, operation: Operation, path: &str, data: Value) -> Map<String, Value> {
    let response = node.call(operation, path, &node.root, data).await;
    response.unwrap_or_else(|error| panic!("{path}: {error}")).data.unwrap_or_else(|| panic!("{path}: no data"))
}

async fn document(node: &Local) -> Value {
    let text = said(node, Read, "sys/internal/specs/openapi", json!({})).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_are_enabled_and_refused_as_by_the_peer() {
    let node = Local::start().await;
    let kv = json!({ "type": "kv" });
    let long = json!({ "type": "kv", "config": { "default_lease_ttl": "3h", "max_lease_ttl": "2h" } });
    let table = [
        (Update, "sys/mounts/kv1", kv.clone(), "ok"),
        (Update, "sys/mounts/kv1", kv.clone(), "path is already in use at kv1/"),
        (Update, "sys/mounts/kv1/deeper", kv.clone(), "path is already in use at kv1/"),
        (Update, "sys/mounts/a/b/c", kv.clone(), "ok"),
        (Update, "sys/mounts/a/b", kv.clone(), "path is already in use at a/b/c/"),
        (Update, "sys/mounts/x", json!({}), "backend type must be specified as a string"),
        (Update, "sys/mounts/x", json!({ "type": "nope" }), "plugin not found in the catalog: nope"),
        (Update, "sys/mounts/x", long, "given default lease TTL greater than given max lease TTL"),
        (
            Update,
            "sys/mounts/x",
            json!({ "type": "kv", "config": { "default_lease_ttl": "abc" } }),
            "unable to parse default TTL of abc: time: invalid duration \"abc\"",
        ),
        (
            Update,
            "sys/mounts/x",
            json!({ "type": "kv", "config": { "listing_visibility": "bad" } }),
            "invalid listing_visibility bad",
        ),
        (Update, "sys/mounts/sys/x", kv.clone(), "cannot mount \"sys/x/\""),
        (Update, "sys/mounts/auth/x", kv.clone(), "cannot mount \"auth/x/\""),
        (Update, "sys/mounts/cubbyhole/x", kv.clone(), "cannot mount \"cubbyhole/x/\""),
        (Update, "sys/mounts/y", json!({ "type": "system" }), "mount type of \"system\" is not mountable"),
        (Update, "sys/mounts/y/", kv.clone(), "cannot write to a path ending in '/'"),
        (Update, "sys/mounts", kv.clone(), "unsupported operation"),
        (Update, "sys/auth/t", json!({ "type": "token" }), "token credential backend cannot be instantiated"),
        (Update, "sys/auth/t", json!({ "type": "nope" }), "plugin not found in the catalog: nope"),
        (Delete, "sys/mounts/nope", json!({}), "ok"),
        (Delete, "sys/mounts/sys", json!({}), "cannot unmount \"sys/\""),
        (Delete, "sys/mounts/auth/token", json!({}), "cannot unmount \"auth/token/\""),
        (Delete, "sys/auth/token", json!({}), "token credential backend cannot be disabled"),
        (Read, "sys/mounts/nope", json!({}), "No secret engine mount at nope/"),
        (Read, "sys/auth/nope", json!({}), "No auth engine at nope/"),
        (Read, "sys/mounts/nope/tune", json!({}), "cannot fetch sysview for path \"nope/\""),
        (
            Update,
            "sys/mounts/nope/tune",
            json!({ "description": "x" }),
            "tune of path \"nope/\" failed: no mount entry found",
        ),
        (
            Update,
            "sys/mounts/sys/tune",
            json!({ "default_lease_ttl": "1h" }),
            "cannot tune parameter default_lease_ttl of sys/",
        ),
        (
            Update,
            "sys/mounts/kv1/tune",
            json!({ "token_type": "service" }),
            "'token_type' can only be modified on auth mounts",
        ),
        (
            Update,
            "sys/mounts/kv1/tune",
            json!({ "user_lockout_config": {} }),
            "tuning of user lockout configuration for auth type \"kv\" not allowed",
        ),
        (Update, "sys/mounts/kv1/tune", json!({ "options": { "version": "3" } }), "invalid version provided: 3"),
        (
            Update,
            "sys/auth/token/tune",
            json!({ "token_type": "batch" }),
            "'token_type' cannot be set for 'token' or 'ns_token' auth mounts",
        ),
        (Update, "sys/auth/token/tune", json!({ "default_lease_ttl": "1h" }), "ok"),
    ];
    for (operation, path, body, expected) in table {
        assert_eq!(said(&node, operation, path, body.clone()).await, expected, "{operation:?} {path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tuned_is_shown_at_both_levels() {
    let node = Local::start().await;
    let config = json!({
        "default_lease_ttl": "1h", "max_lease_ttl": 7200, "listing_visibility": "unauth",
        "passthrough_request_headers": ["A", "B"], "allowed_response_headers": "X",
        "audit_non_hmac_request_keys": ["k"], "audit_non_hmac_response_keys": "r", "force_no_cache": true,
    });
    let mount = json!({
        "type": "kv", "description": "d", "local": true, "seal_wrap": true, "external_entropy_access": true,
        "options": { "version": "1" }, "config": config,
    });
    node.write("sys/mounts/kv", mount).await;
    let shown = json!({
        "allowed_response_headers": ["X"], "audit_non_hmac_request_keys": ["k"],
        "audit_non_hmac_response_keys": ["r"], "default_lease_ttl": 3600, "force_no_cache": true,
        "listing_visibility": "unauth", "max_lease_ttl": 7200, "passthrough_request_headers": ["A", "B"],
    });
    let response = node.call(Read, "sys/mounts/kv", &node.root, json!({})).await.expect("an answer");
    assert!(response.flat);
    let read = response.data.expect("data");
    assert_eq!(read["config"], shown);
    for name in ["local", "seal_wrap", "external_entropy_access"] {
        assert_eq!(read[name], true, "{name}");
    }
    let tuned = json!({
        "description": "new", "default_lease_ttl": "system", "max_lease_ttl": 0, "listing_visibility": "",
        "audit_non_hmac_request_keys": [], "passthrough_request_headers": "",
    });
    assert_eq!(said(&node, Update, "sys/mounts/kv/tune", tuned).await, "ok");
    let tuned = data(&node, Read, "sys/mounts/kv/tune", json!({})).await;
    let system = 2_764_800;
    assert_eq!(
        Value::Object(tuned),
        json!({
            "allowed_response_headers": ["X"], "audit_non_hmac_response_keys": ["r"], "default_lease_ttl": system,
            "description": "new", "external_entropy_access": true, "force_no_cache": true, "max_lease_ttl": system,
            "options": { "version": "1" },
        })
    );
    let refused =
        said(&node, Update, "sys/mounts/kv/tune", json!({ "max_lease_ttl": "1h", "default_lease_ttl": "2h" }));
    assert_eq!(refused.await, "backend max lease TTL of 3600 would be less than backend default lease TTL of 7200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_moves_with_its_data_and_leaves_nothing_behind() {
    let node = Local::start().await;
    node.write("sys/mounts/old", json!({ "type": "kv", "options": { "version": "1" } })).await;
    node.write("old/a", json!({ "x": 1 })).await;
    let uuid = data(&node, Read, "sys/mounts/old", json!({})).await["uuid"].clone();
    for (body, expected) in [
        (json!({}), "both 'from' and 'to' path must be specified as a string"),
        (json!({ "from": "nope", "to": "n" }), "no matching mount at \"nope/\""),
        (json!({ "from": "old", "to": "old/below" }), "path already in use at \"old/\""),
        (json!({ "from": "sys", "to": "n" }), "cannot remount \"sys/\""),
        (json!({ "from": "old", "to": "auth/n" }), "cannot remount to destination auth/n/"),
    ] {
        assert_eq!(said(&node, Update, "sys/remount", body).await, expected);
    }
    let moved = data(&node, Update, "sys/remount", json!({ "from": "old", "to": "new/place" })).await;
    let id = moved["migration_id"].as_str().expect("an id").to_string();
    let status = data(&node, Read, &format!("sys/remount/status/{id}"), json!({})).await;
    assert_eq!(
        status["migration_info"],
        json!({ "source_mount": "old/", "target_mount": "new/place/", "status": "success" })
    );
    assert_eq!(said(&node, Read, "sys/remount/status/other", json!({})).await, Error::Absent.to_string());
    assert_eq!(data(&node, Read, "new/place/a", json!({})).await["x"], 1);
    assert_eq!(data(&node, Read, "sys/mounts/new/place", json!({})).await["uuid"], uuid);
    assert!(matches!(node.call(Read, "old/a", &node.root, json!({})).await, Err(Error::NoRoute(_))));
    node.write("sys/mounts/old", json!({ "type": "kv" })).await;
    assert_eq!(node.call(Read, "old/a", &node.root, json!({})).await.unwrap_err(), Error::Absent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_mount_frees_its_path_at_once_and_its_data_goes() {
    let node = Local::start().await;
    for round in 0..3 {
        node.write("sys/mounts/kv", json!({ "type": "kv" })).await;
        assert_eq!(node.call(List, "kv/", &node.root, json!({})).await.unwrap_err(), Error::Absent, "{round}");
        for number in 0..20 {
            node.write(&format!("kv/{number}"), json!({ "x": round })).await;
        }
        assert_eq!(said(&node, Delete, "sys/mounts/kv", json!({})).await, "ok");
        assert!(matches!(node.call(Read, "kv/1", &node.root, json!({})).await, Err(Error::NoRoute(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_those_of_tokens() {
    let node = Local::start().await;
    let (token, _) = node.token(&node.root, json!({ "policies": ["default"], "ttl": "1h" })).await;
    let all = data(&node, List, "sys/leases/lookup/", json!({})).await;
    assert_eq!(all["keys"], json!(["auth/"]));
    let names = data(&node, List, "sys/leases/lookup/auth/token/create/", json!({})).await;
    let lease = format!("auth/token/create/{}", names["keys"][0].as_str().expect("a name"));
    let found = data(&node, Update, "sys/leases/lookup", json!({ "lease_id": lease })).await;
    assert_eq!((&found["id"], &found["path"]), (&json!(lease), &json!("auth/token/create")));
    for (path, body, expected) in [
        ("sys/leases/renew", json!({ "lease_id": lease }), "tokens cannot be renewed through this endpoint"),
        ("sys/renew", json!({ "lease_id": "x" }), "lease not found"),
        ("sys/leases/lookup", json!({ "lease_id": "x" }), "invalid lease"),
        ("sys/leases/lookup", json!({}), "lease_id must be specified"),
        ("sys/leases/revoke", json!({}), "lease_id must be specified"),
        ("sys/leases/revoke/x/y", json!({}), "ok"),
    ] {
        assert_eq!(said(&node, Update, path, body).await, expected, "{path}");
    }
    assert_eq!(
        Value::Object(data(&node, Read, "sys/leases", json!({ "type": "irrevocable" })).await),
        json!({ "lease_count": 0, "leases": [] })
    );
    assert_eq!(said(&node, Update, "sys/leases/revoke", json!({ "lease_id": lease })).await, "ok");
    let look = || node.call(Read, "auth/token/lookup-self", &token, json!({}));
    assert_eq!(look().await.unwrap_err(), Error::no_token());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_leases_is_revoked_and_later_ones_stay() {
    let node = Local::start().await;
    let mut tokens = Vec::new();
    for _ in 0..250 {
        tokens.push(node.token(&node.root, json!({ "policies": ["default"], "ttl": "1h" })).await.0);
    }
    let lives = async |token: &str| node.call(Read, "auth/token/lookup-self", token, json!({})).await.is_ok();
    assert_eq!(said(&node, Update, "sys/leases/revoke-prefix/auth/other", json!({ "sync": true })).await, "ok");
    assert!(lives(&tokens[0]).await);
    let revoked = said(&node, Update, "sys/leases/revoke-prefix/auth/token/create", json!({ "sync": true })).await;
    assert_eq!(revoked, "ok");
    for token in &tokens {
        assert!(!lives(token).await);
    }
    assert!(lives(&node.root).await, "the root token came by another path");
    let (later, _) = node.token(&node.root, json!({ "policies": ["default"], "ttl": "1h" })).await;
    assert_eq!(said(&node, Update, "sys/revoke-prefix/auth/token/create", json!({})).await, "ok");
    for _ in 0..1000 {
        if !lives(&later).await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the revocation in the background did not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_make_a_root_token() {
    let node = Local::start().await;
    for family in ["sys/generate-root", "sys/generate-root-token"] {
        let token = if family.ends_with("token") { node.root.clone() } else { String::new() };
        let call = async |operation, path: &str, body: Value| -> Result<Value, Error> {
            let answer = node.call(operation, &format!("{family}/{path}"), &token, body).await?;
            Ok(match (answer.data, answer.raw) {
                (Some(data), _) => Value::Object(data),
                (None, Some(raw)) => serde_json::from_slice(&raw.body).expect("JSON"),
                (None, None) => Value::Null,
            })
        };
        let status = call(Read, "attempt", json!({})).await.expect("a status");
        assert_eq!(
            (&status["started"], &status["otp_length"], &status["required"]),
            (&json!(false), &json!(28), &json!(1))
        );
        assert!(call(Update, "attempt", json!({ "otp": "short" })).await.is_err());
        let begun = call(Update, "attempt", json!({})).await.expect("an attempt");
        let (otp, nonce) = (begun["otp"].as_str().expect("a password"), begun["nonce"].clone());
        assert!(call(Update, "attempt", json!({})).await.is_err(), "one at a time");
        assert!(call(Update, "update", json!({ "key": node.share, "nonce": "other" })).await.is_err());
        let wrong = "ab".repeat(32);
        assert!(call(Update, "update", json!({ "key": wrong, "nonce": nonce })).await.is_err());
        let done = call(Update, "update", json!({ "key": node.share, "nonce": nonce })).await.expect("a token");
        assert_eq!((&done["complete"], &done["progress"]), (&json!(true), &json!(1)));
        let mixed = base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(done["encoded_token"].as_str().expect("a token"))
            .expect("base64");
        let id: String = mixed.iter().zip(otp.bytes()).map(|(a, b)| char::from(a ^ b)).collect();
        let own = node.call(Read, "auth/token/lookup-self", &id, json!({})).await.expect("a root token");
        assert_eq!(own.data.expect("data")["policies"], json!(["root"]));
        assert_eq!(call(Read, "attempt", json!({})).await.expect("a status")["started"], false);
        let begun = call(Update, "attempt", json!({})).await.expect("an attempt");
        if token.is_empty() {
            assert!(call(Delete, "attempt", json!({})).await.is_err(), "a stranger cannot give it up");
        }
        call(Delete, "attempt", json!({ "otp": begun["otp"] })).await.expect("given up");
    }
}

/// Each operation that the document has, with something in place of parameters.
fn operations(document: &Value) -> Vec<(Operation, String)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let something = |part| match part {
            "{type}" => "secret",
            named if str::starts_with(named, '{') => "thing",
            plain => plain,
        };
        let real: Vec<&str> = path[1..].split('/').map(something).collect();
        for (method, operation) in [("get", Read), ("post", Update), ("patch", Operation::Patch), ("delete", Delete)] {
            let Some(found) = item.get(method) else { continue };
            let lists = found["operationId"].as_str().is_some_and(|id| id.contains("-list"));
            let operation = if method == "get" && lists { List } else { operation };
            let slash = if operation == List && !path.ends_with('/') { "/" } else { "" };
            all.push((operation, format!("{}{slash}", real.join("/"))));
        }
    }
    all
}

/// These would end the node, or another test's patience; others test them.
const NOT_TRIED: [&str; 3] = ["sys/seal", "sys/step-down", "auth/token/revoke-self"];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_document_is_served_and_has_help() {
    let node = Local::start().await;
    node.write("sys/mounts/kv", json!({ "type": "kv", "options": { "version": "2" } })).await;
    node.write("sys/mounts/kv1", json!({ "type": "kv", "options": { "version": "1" } })).await;
    let document = document(&node).await;
    let all = operations(&document);
    assert!(all.len() > 150, "{}", all.len());
    for (operation, path) in all {
        let help = node.call(Help, &path, &node.root, json!({})).await;
        let help = help.unwrap_or_else(|error| panic!("help of {path}: {error}")).raw.expect("a bare answer");
        let help: Value = serde_json::from_slice(&help.body).expect("JSON");
        assert!(help["help"].as_str().is_some_and(|text| text.contains("## DESCRIPTION")), "{path}: {help}");
        assert_eq!((&help["see_also"], &help["openapi"]["openapi"]), (&Value::Null, &json!("3.0.2")), "{path}");
        // `sys/health` is answered by the listener, before the core.
        if NOT_TRIED.contains(&path.as_str()) || path == "sys/health" {
            continue;
        }
        match node.call(operation, &path, &node.root, json!({})).await {
            Err(Error::Unsupported) => panic!("{operation:?} {path} is not served"),
            Err(Error::NoRoute(text)) if text.contains("unsupported path") => panic!("{operation:?} {path}: {text}"),
            Err(Error::Internal(text)) => panic!("{operation:?} {path}: {text}"),
            _ => {}
        }
    }
}

/// Looks for the validator where `ci/setup --tests` puts it.
fn validator() -> Option<String> {
    let venv = std::env::var("HOLDFAST_VENV").ok().map(|venv| format!("{venv}/bin/python3"));
    let has_it = |python: &String| {
        let found = Command::new(python).args(["-c", "import openapi_spec_validator"]).output();
        found.is_ok_and(|output| output.status.success())
    };
    venv.into_iter().chain(["python3".to_string()]).find(has_it)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_valid() {
    let Some(python) = validator() else {
        eprintln!("not run: `openapi-spec-validator` is missing (ci/setup --tests installs it)");
        return;
    };
    let node = Local::start().await;
    node.write("sys/mounts/deep/kv", json!({ "type": "kv", "options": { "version": "2" } })).await;
    let folder = tempfile::tempdir().expect("a folder");
    for generic in [false, true] {
        let text = said(&node, Read, "sys/internal/specs/openapi", json!({ "generic_mount_paths": generic })).await;
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, text).expect("a file");
        let output = Command::new(&python).args(["-m", "openapi_spec_validator"]).arg(&file).output().expect("python");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_of_itself() {
    let node = Local::start().await;
    let status = data(&node, Read, "sys/key-status", json!({})).await;
    assert_eq!(status["term"], 1);
    assert_eq!(said(&node, Update, "sys/rotate/keyring", json!({})).await, "ok");
    assert_eq!(data(&node, Read, "sys/key-status", json!({})).await["term"], 2);
    for (body, expected) in [
        (json!({ "interval": "1h" }), "interval must be greater or equal to 24h0m0s"),
        (json!({ "max_operations": 1 }), "max_operations must be in the range [1000000,3865470566]"),
        (json!({ "enabled": false, "interval": "48h", "max_operations": 2_000_000 }), "ok"),
    ] {
        assert_eq!(said(&node, Update, "sys/rotate/config", body).await, expected);
    }
    let schedule = data(&node, Read, "sys/rotate/keyring/config", json!({})).await;
    assert_eq!(
        Value::Object(schedule),
        json!({ "enabled": false, "interval": "48h0m0s", "max_operations": 2_000_000 })
    );
    let sanitized = data(&node, Read, "sys/config/state/sanitized", json!({})).await;
    assert_eq!((&sanitized["storage"]["type"], &sanitized["seals"][0]["type"]), (&json!("inmem"), &json!("shamir")));
    let host = data(&node, Read, "sys/host-info", json!({})).await;
    assert!(host["memory"]["total"].as_u64().is_some_and(|total| total > 0), "{host:?}");
    let flights: Value = serde_json::from_str(&said(&node, Read, "sys/in-flight-req", json!({})).await).expect("JSON");
    assert_eq!(flights["test"]["request_path"], "/v1/sys/in-flight-req");
    assert_eq!(said(&node, Read, "sys/audit", json!({})).await, "{}");
    assert_eq!(said(&node, Read, "sys/config/cors", json!({})).await, "{\"enabled\":false}");
    let catalog = data(&node, Read, "sys/plugins/catalog", json!({})).await;
    assert_eq!(catalog["secret"], json!(["kv"]));
    let modes = data(&node, Read, "sys/replication/status", json!({})).await;
    assert_eq!(modes["dr"]["mode"], "disabled");
    let versions = history(Arc::clone(&node)).await;
    assert_eq!(versions["keys"], json!([holdfast::VERSION]));
    assert_eq!(versions["key_info"][holdfast::VERSION]["previous_version"], Value::Null);
}

/// The history, as soon as background work has noted the version.
async fn history(node: Arc<Local>) -> Map<String, Value> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        until("a version in the history", 20, || {
            let read = runtime.block_on(data(&node, List, "sys/version-history/", json!({})));
            read["keys"].as_array().is_some_and(|keys| !keys.is_empty()).then_some(read)
        })
    })
    .await
    .expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_replaced_fields_are_told() {
    let node = Local::start().await;
    let warnings =
        async |path: &str, body: Value| node.call(Update, path, &node.root, body).await.expect("an answer").warnings;
    assert_eq!(
        warnings("sys/tools/hash", json!({ "input": "aGVsbG8=", "x": 1, "y": 2 })).await,
        ["Endpoint ignored these unrecognized parameters: [x y]"]
    );
    let replaced = "Endpoint replaced the value of these parameters with the values captured from the endpoint's path";
    assert_eq!(warnings("sys/tools/random/8", json!({ "urlbytes": "9" })).await, [format!("{replaced}: [urlbytes]")]);
    // Nothing to add a warning to.
    assert!(warnings("sys/mounts/kv", json!({ "type": "kv", "x": 1 })).await.is_empty());
}
