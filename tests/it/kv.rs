//! KV mounts: from version 1 to 2 in place, long folders, and whatever a path may be.

use std::sync::Arc;
use std::time::Duration;

use holdfast::core::{Error, Operation, Response};
use serde_json::{Value, json};

use crate::support::Local;

const UPGRADING: &str = "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief \
                         period and will resume service shortly.";

async fn upgrade(node: &Local, mount: &str) {
    let (path, options) = (format!("sys/mounts/{mount}/tune"), json!({ "options": { "version": "2" } }));
    let tuned = node.call(Operation::Update, &path, &node.root, options).await;
    assert!(tuned.expect("tuned").warnings[0].starts_with("Upgrading mount from version 1 to version 2."));
}

/// Reads until the mount serves again.
async fn read(node: &Local, path: &str) -> Response {
    loop {
        match node.call(Operation::Read, path, &node.root, json!({})).await {
            Err(error) if error == Error::invalid(UPGRADING) => tokio::time::sleep(Duration::from_millis(5)).await,
            answer => return answer.unwrap_or_else(|error| panic!("{path}: {error}")),
        }
    }
}

async fn names(node: &Local, path: &str, data: Value) -> Vec<String> {
    let listed = node.call(Operation::List, path, &node.root, data).await.expect("a list");
    serde_json::from_value(listed.data.expect("data")["keys"].clone()).expect("names")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_of_version_1_is_the_first_version_of_a_key() {
    let node = Local::start().await;
    node.write("sys/mounts/kv", json!({ "type": "kv" })).await;
    for n in 0..450 {
        node.write(&format!("kv/d{}/k{n}", n % 7), json!({ "n": n })).await;
    }
    // As much as one entry of the log takes.
    let large = "x".repeat(1024 * 1024 - 1000);
    node.write("kv/large", json!({ "x": large })).await;
    let folders = names(&node, "kv/", json!({})).await;
    upgrade(&node, "kv").await;
    // What was marked goes on after a seal.
    node.write("sys/seal", json!({})).await;
    node.unseal().await;
    let read_large = read(&node, "kv/data/large").await.data.expect("data");
    assert_eq!(read_large["data"]["x"], large);
    for n in 0..450 {
        let data = read(&node, &format!("kv/data/d{}/k{n}", n % 7)).await.data.expect("data");
        assert_eq!((&data["data"], &data["metadata"]["version"]), (&json!({ "n": n }), &json!(1)));
    }
    assert_eq!(names(&node, "kv/metadata/", json!({})).await, folders);
    assert_eq!(names(&node, "kv/metadata/d3/", json!({})).await.len(), 64);
    let metadata = read(&node, "kv/metadata/d0/k0").await.data.expect("data");
    assert_eq!((&metadata["oldest_version"], &metadata["current_version"]), (&json!(1), &json!(1)));
    let written = node.write("kv/data/d0/k0", json!({ "data": { "n": 1 }, "options": { "cas": 1 } })).await;
    assert_eq!(written["version"], 2);
    assert!(read(&node, "kv/d0/k0").await.absent, "paths of version 1 are gone");
    let down = json!({ "options": { "version": "1" } });
    let down = node.call(Operation::Update, "sys/mounts/kv/tune", &node.root, down).await;
    assert_eq!(down.unwrap_err(), Error::invalid("cannot downgrade mount from version 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_lost_to_an_upgrade() {
    let node = Local::start().await;
    node.write("sys/mounts/kv", json!({ "type": "kv-v1" })).await;
    let writers = (0..8).map(|writer| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let path = format!("kv/w{writer}");
            for n in 0.. {
                match node.call(Operation::Update, &path, &node.root, json!({ "n": n })).await {
                    Ok(response) if !response.absent => {}
                    // The first write that was not carried out.
                    _ => return n,
                }
            }
            unreachable!()
        })
    });
    let writers: Vec<_> = writers.collect();
    for writer in 0..8 {
        while node.call(Operation::Read, &format!("kv/w{writer}"), &node.root, json!({})).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    upgrade(&node, "kv").await;
    for (writer, done) in writers.into_iter().enumerate() {
        let refused = done.await.expect("no panic");
        let data = read(&node, &format!("kv/data/w{writer}")).await.data.expect("data");
        assert_eq!(data["data"]["n"], json!(refused - 1), "the last write that was answered is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_folder_is_listed_whole_and_in_pages() {
    let node = Local::start().await;
    node.write("sys/mounts/kv", json!({ "type": "kv-v2" })).await;
    for n in 0..700 {
        node.write(&format!("kv/data/f/k{n:04}"), json!({ "data": {} })).await;
    }
    let all = names(&node, "kv/metadata/f/", json!({})).await;
    assert_eq!(all.len(), 700);
    let mut paged = Vec::new();
    loop {
        let after = paged.last().cloned().unwrap_or_default();
        let listed = node.call(Operation::List, "kv/metadata/f/", &node.root, json!({ "after": after, "limit": 99 }));
        let Ok(page) = listed.await else { break };
        paged.extend(serde_json::from_value::<Vec<String>>(page.data.expect("data")["keys"].clone()).expect("names"));
    }
    assert_eq!(paged, all);
}

/// Whatever a path or body is, the answer is one that a client can do something with.
#[tokio::test(flavor = "multi_thread")]
async fn no_path_and_no_body_is_an_internal_error() {
    let node = Local::start().await;
    node.write("sys/mounts/one", json!({ "type": "kv" })).await;
    node.write("sys/mounts/two", json!({ "type": "kv-v2" })).await;
    let rests = [
        "",
        "a",
        "a/",
        "*",
        "+",
        "+/*",
        "{{x}}",
        "a b",
        "é",
        "\u{1F600}",
        "%2e%2e",
        "config",
        "data",
        "\\",
        "\"",
        "a{b}",
    ];
    let roots = [
        "one/",
        "two/",
        "two/data/",
        "two/metadata/",
        "two/delete/",
        "two/undelete/",
        "two/destroy/",
        "two/subkeys/",
        "two/detailed-metadata/",
        "two/config/",
        "cubbyhole/",
        "sys/policies/acl/",
        "sys/policy/",
        "sys/wrapping/",
        "sys/capabilities",
        "sys/capabilities-self/",
        "sys/policies/detailed/acl/",
    ];
    let values =
        [json!(null), json!(-1), json!(1e300), json!(""), json!("é*"), json!([[]]), json!({ "a": { "": null } })];
    let fields = [
        "data",
        "options",
        "versions",
        "version",
        "depth",
        "max_versions",
        "custom_metadata",
        "metadata_cas",
        "delete_version_after",
        "policy",
        "rules",
        "cas",
        "ttl",
        "expiration",
        "token",
        "path",
        "paths",
        "accessor",
        "after",
        "limit",
    ];
    use Operation::{Delete, List, Patch, Read, Update};
    for (root, rest) in roots.iter().flat_map(|root| rests.iter().map(move |rest| (root, rest))) {
        for (n, operation) in [Read, Update, Patch, Delete, List].into_iter().enumerate() {
            let mut bodies = vec![json!({})];
            if ["a", "é"].contains(rest) {
                bodies.extend(values.iter().map(|value| {
                    Value::Object(fields.iter().map(|field| (field.to_string(), value.clone())).collect())
                }));
                bodies.extend(fields.iter().map(|field| json!({ *field: values[n] })));
            }
            for body in bodies {
                let path = format!("{root}{rest}");
                let answer = node.call(operation, &path, &node.root, body.clone()).await;
                if let Err(error @ (Error::Internal(_) | Error::Unknown(_))) = answer {
                    panic!("{operation:?} {path} {body}: {error}");
                }
            }
        }
    }
}
