//! Behaviour of KV version 2, as another server of the API showed it.

use std::time::Duration;

use serde_json::{Value, json};

use super::Kv2;
use crate::engines::testing::Mount;
use crate::logical::{Error, Operation, Response, Result};
use crate::runtime::UnixTime;

fn mount() -> Mount<Kv2> {
    Mount::new(Kv2)
}

fn put(mount: &mut Mount<Kv2>, path: &str, data: Value) -> Value {
    shown(mount.update(&format!("data/{path}"), json!({ "data": data })))
}

fn shown(response: Result<Response>) -> Value {
    Value::Object(response.unwrap().data.unwrap())
}

fn invalid(response: Result<Response>) -> String {
    match response.unwrap_err() {
        Error::Invalid(messages) => messages.join("; "),
        error => panic!("{error}"),
    }
}

fn time(mount: &Mount<Kv2>) -> String {
    mount.now.rfc3339()
}

fn pass(mount: &mut Mount<Kv2>, seconds: u64) {
    mount.now = mount.now.plus(Duration::from_secs(seconds));
}

#[test]
fn a_write_makes_a_version_and_a_read_shows_it() {
    let mut mount = mount();
    let first = time(&mount);
    let made = json!({
        "created_time": first, "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 1
    });
    assert_eq!(put(&mut mount, "a", json!({"k": 1})), made);
    let read = mount.read("data/a", json!({})).unwrap();
    assert!(!read.absent);
    assert_eq!(Value::Object(read.data.unwrap()), json!({"data": {"k": 1}, "metadata": made}));
    pass(&mut mount, 1);
    put(&mut mount, "a", json!({"k": 2}));
    assert_eq!(shown(mount.read("data/a", json!({})))["data"], json!({"k": 2}));
    assert_eq!(shown(mount.read("data/a", json!({"version": "1"})))["data"], json!({"k": 1}));
    for latest in [0, -1] {
        assert_eq!(shown(mount.read("data/a", json!({"version": latest})))["metadata"]["version"], 2);
    }
    assert_eq!(mount.read("data/a", json!({"version": 99})).unwrap_err(), Error::Absent);
    assert_eq!(mount.read("data/none", json!({})).unwrap_err(), Error::Absent);
    assert!(mount.read("data/a", json!({"version": "x"})).is_err());
    assert_eq!(
        shown(mount.read("metadata/a", json!({}))),
        json!({
            "cas_required": false, "created_time": first, "current_metadata_version": 0, "current_version": 2,
            "custom_metadata": null, "delete_version_after": "0s", "max_versions": 0, "metadata_cas_required": false,
            "oldest_version": 0, "updated_time": time(&mount), "versions": {
                "1": {"created_time": first, "deletion_time": "", "destroyed": false},
                "2": {"created_time": time(&mount), "deletion_time": "", "destroyed": false},
            }
        })
    );
}

#[test]
fn numbers_come_back_as_sent() {
    let mut mount = mount();
    let data: Value = serde_json::from_str(r#"{"a":1.10,"big":123456789012345678901234567890}"#).unwrap();
    put(&mut mount, "n", data.clone());
    let read = shown(mount.read("data/n", json!({})));
    assert_eq!(serde_json::to_string(&read["data"]).unwrap(), serde_json::to_string(&data).unwrap());
}

#[test]
fn bad_writes_are_refused() {
    let mut mount = mount();
    for body in [json!({}), json!({"k": "v"}), json!({"options": {"cas": 0}})] {
        assert_eq!(invalid(mount.update("data/a", body.clone())), "no data provided");
        assert_eq!(invalid(mount.run(Operation::Patch, "data/a", body)), "no data provided");
    }
    assert!(invalid(mount.update("data/a", json!({"data": "text"}))).contains("field \"data\""));
    assert!(invalid(mount.update("data/a", json!({"data": {}, "options": "x"}))).contains("field \"options\""));
    for path in ["data/", "data/d/"] {
        let error = invalid(mount.update(path, json!({"data": {}})));
        assert_eq!(error, "cannot write to a path ending in '/'");
    }
    assert!(mount.keys().is_empty());
    let made = mount.update("data/a", json!({"data": null, "zz": 1, "aa": 2})).unwrap();
    assert_eq!(made.warnings, ["Endpoint ignored these unrecognized parameters: [aa zz]"]);
    assert_eq!(shown(mount.read("data/a", json!({})))["data"], Value::Null);
}

#[test]
fn check_and_set() {
    let mut mount = mount();
    let mut put = |cas: Value| mount.update("data/a", json!({"data": {}, "options": {"cas": cas}}));
    let mismatch = "check-and-set parameter did not match the current version";
    assert_eq!(invalid(put(json!(1))), mismatch);
    assert_eq!(shown(put(json!(0)))["version"], 1);
    assert_eq!(shown(put(json!("1")))["version"], 2);
    for wrong in [json!(0), json!(1), json!(-1), json!(null), json!(""), json!(true)] {
        assert_eq!(invalid(put(wrong)), mismatch);
    }
    for unreadable in [json!("x"), json!(1.5), json!([])] {
        assert_eq!(invalid(put(unreadable)), "error parsing check-and-set parameter");
    }
    mount.update("config", json!({"cas_required": true})).unwrap();
    let required = "check-and-set parameter required for this call";
    assert_eq!(invalid(mount.update("data/a", json!({"data": {}}))), required);
    assert_eq!(invalid(mount.run(Operation::Patch, "data/a", json!({"data": {}}))), required);
    let response = mount.update("metadata/a", json!({"cas_required": false})).unwrap();
    assert_eq!(
        response.warnings,
        ["\"cas_required\" set to false, but is mandated by backend config. This value will be ignored."]
    );
    assert!(response.data.is_none());
    mount.update("config", json!({"cas_required": false})).unwrap();
    mount.update("data/a", json!({"data": {}})).unwrap();
    mount.update("metadata/a", json!({"cas_required": true})).unwrap();
    assert_eq!(invalid(mount.update("data/a", json!({"data": {}}))), required);
}

#[test]
fn a_deleted_version_is_absent_but_shown() {
    let mut mount = mount();
    let made = time(&mount);
    put(&mut mount, "a", json!({"k": 1}));
    pass(&mut mount, 5);
    let deleted = time(&mount);
    mount.run(Operation::Delete, "data/a", json!({})).unwrap();
    pass(&mut mount, 5);
    mount.run(Operation::Delete, "data/a", json!({})).unwrap(); // changes nothing
    let expected = json!({
        "created_time": made, "custom_metadata": null, "deletion_time": deleted, "destroyed": false, "version": 1
    });
    let read = mount.read("data/a", json!({})).unwrap();
    assert!(read.absent);
    assert_eq!(Value::Object(read.data.unwrap()), json!({"data": null, "metadata": expected}));
    let subkeys = mount.read("subkeys/a", json!({})).unwrap();
    assert!(subkeys.absent);
    assert_eq!(Value::Object(subkeys.data.unwrap()), json!({"subkeys": null, "metadata": expected}));
    let patched = mount.run(Operation::Patch, "data/a", json!({"data": {"k": 2}})).unwrap();
    assert!(patched.absent);
    assert_eq!(Value::Object(patched.data.unwrap()), expected);
    assert_eq!(mount.exists("data/a"), Some(true));
    assert_eq!(mount.list("metadata/", json!({})).unwrap(), ["a"]);

    mount.update("undelete/a", json!({"versions": [1, 7]})).unwrap();
    assert_eq!(shown(mount.read("data/a", json!({})))["data"], json!({"k": 1}));
    mount.run(Operation::Delete, "data/none", json!({})).unwrap();
}

#[test]
fn versions_are_deleted_and_destroyed_one_by_one() {
    let mut mount = mount();
    for n in 1..=4 {
        put(&mut mount, "a", json!({ "n": n }));
    }
    mount.update("delete/a", json!({"versions": [1, "99"]})).unwrap();
    mount.update("delete/a", json!({"versions": "2,3"})).unwrap();
    mount.update("delete/a", json!({"versions": 4})).unwrap();
    mount.update("undelete/a", json!({"versions": ["3", -1, 0]})).unwrap();
    mount.update("destroy/a", json!({"versions": [4, 99]})).unwrap();
    mount.update("undelete/a", json!({"versions": [4]})).unwrap();
    let absent = |mount: &mut Mount<Kv2>, n: u64| mount.read("data/a", json!({"version": n})).unwrap().absent;
    assert_eq!([1, 2, 3, 4].map(|n| absent(&mut mount, n)), [true, true, false, true]);
    let metadata = shown(mount.read("metadata/a", json!({})));
    assert_eq!(metadata["versions"]["4"]["destroyed"], true);
    assert_ne!(metadata["versions"]["4"]["deletion_time"], "");
    assert_eq!(mount.keys().iter().filter(|key| key.starts_with("versions/")).count(), 3);

    for (path, error) in [
        ("delete/a", "No version number provided"),
        ("undelete/a", "No version number provided"),
        ("destroy/a", "no version number provided"),
    ] {
        for body in [json!({}), json!({"versions": []}), json!({"versions": null})] {
            assert_eq!(invalid(mount.update(path, body)), error);
        }
        assert!(mount.update(path, json!({"versions": ["x"]})).is_err());
        assert!(mount.update(path, json!({"versions": {"a": 1}})).is_err());
        mount.update(&path.replace("/a", "/none"), json!({"versions": [1]})).unwrap();
    }
    assert_eq!(mount.list("metadata/", json!({})).unwrap(), ["a"]);
}

#[test]
fn a_patch_is_a_new_version() {
    let mut mount = mount();
    assert_eq!(mount.run(Operation::Patch, "data/p", json!({"data": {}})).unwrap_err(), Error::Absent);
    mount.update("metadata/p", json!({"max_versions": 5})).unwrap();
    assert_eq!(mount.run(Operation::Patch, "data/p", json!({"data": {}})).unwrap_err(), Error::Absent);
    put(&mut mount, "p", json!({"a": {"b": 1, "c": [1, 2]}, "z": null}));
    let patch = json!({"data": {"a": {"b": null, "d": 2}}, "options": {"cas": 1}});
    assert_eq!(shown(mount.run(Operation::Patch, "data/p", patch.clone()))["version"], 2);
    assert_eq!(
        invalid(mount.run(Operation::Patch, "data/p", patch)),
        "check-and-set parameter did not match the current version"
    );
    let read = shown(mount.read("data/p", json!({})));
    assert_eq!(read["data"], json!({"a": {"c": [1, 2], "d": 2}, "z": null}));
    assert_eq!(shown(mount.run(Operation::Patch, "data/p", json!({"data": null})))["version"], 3);
    assert_eq!(shown(mount.read("data/p", json!({})))["data"], Value::Null);
}

#[test]
fn old_versions_go() {
    let mut mount = mount();
    for n in 1..=12 {
        put(&mut mount, "a", json!({ "n": n }));
    }
    let metadata = shown(mount.read("metadata/a", json!({})));
    assert_eq!((&metadata["oldest_version"], &metadata["current_version"]), (&json!(3), &json!(12)));
    assert_eq!(mount.read("data/a", json!({"version": 2})).unwrap_err(), Error::Absent);
    assert_eq!(mount.keys().iter().filter(|key| key.starts_with("versions/")).count(), 10);

    // The larger of the key's and the mount's number counts.
    mount.update("config", json!({"max_versions": 3})).unwrap();
    mount.update("metadata/a", json!({"max_versions": 2})).unwrap();
    assert_eq!(shown(mount.read("metadata/a", json!({})))["oldest_version"], 3);
    put(&mut mount, "a", json!({}));
    assert_eq!(shown(mount.read("metadata/a", json!({})))["oldest_version"], 11);
    mount.update("config", json!({"max_versions": 0})).unwrap();
    put(&mut mount, "a", json!({}));
    assert_eq!(shown(mount.read("metadata/a", json!({})))["oldest_version"], 13);
    assert_eq!(mount.keys().iter().filter(|key| key.starts_with("versions/")).count(), 2);
}

#[test]
fn versions_go_after_a_time() {
    let mut mount = mount();
    mount.update("config", json!({"delete_version_after": "1h"})).unwrap();
    mount.update("metadata/a", json!({"delete_version_after": "30m"})).unwrap();
    let until = |mount: &Mount<Kv2>, seconds| mount.now.plus(Duration::from_secs(seconds)).rfc3339();
    assert_eq!(put(&mut mount, "a", json!({"k": 1}))["deletion_time"], until(&mount, 1800));
    assert_eq!(put(&mut mount, "b", json!({}))["deletion_time"], until(&mount, 3600));
    pass(&mut mount, 1799);
    assert!(!mount.read("data/a", json!({})).unwrap().absent);
    pass(&mut mount, 1);
    assert!(mount.read("data/a", json!({})).unwrap().absent);
    mount.update("undelete/a", json!({"versions": [1]})).unwrap();
    assert_eq!(shown(mount.read("data/a", json!({})))["metadata"]["deletion_time"], until(&mount, 1800));
    mount.update("config", json!({"delete_version_after": "-5s"})).unwrap();
    assert_eq!(shown(mount.read("config", json!({})))["delete_version_after"], "-1s");
    assert_eq!(put(&mut mount, "a", json!({}))["deletion_time"], "");
    assert_eq!(
        invalid(mount.update("metadata/a", json!({"delete_version_after": "-5s"}))),
        "error converting input for field \"delete_version_after\": cannot provide negative value '-5'"
    );
}

#[test]
fn settings_of_the_mount() {
    let mut mount = mount();
    let default = json!({
        "cas_required": false, "delete_version_after": "0s", "max_versions": 0, "metadata_cas_required": false
    });
    assert_eq!(shown(mount.read("config", json!({}))), default);
    assert!(mount.update("config", json!({})).unwrap().data.is_none());
    mount.update("config", json!({"max_versions": "3", "cas_required": true})).unwrap();
    mount.update("config", json!({"delete_version_after": "90061.5s", "metadata_cas_required": "true"})).unwrap();
    assert_eq!(
        shown(mount.read("config", json!({}))),
        json!({"cas_required": true, "delete_version_after": "25h1m1s", "max_versions": 3,
               "metadata_cas_required": true})
    );
    for bad in [
        json!({"max_versions": "nope"}),
        json!({"max_versions": -3}),
        json!({"cas_required": "nope"}),
        json!({"delete_version_after": "xx"}),
    ] {
        assert!(mount.update("config", bad).is_err());
    }
    assert_eq!(mount.run(Operation::Delete, "config", json!({})).unwrap_err(), Error::Unsupported);
    assert_eq!(mount.exists("config"), None);
}

#[test]
fn metadata_is_written_and_patched() {
    let mut mount = mount();
    mount.update("metadata/m", json!({})).unwrap();
    mount.update("metadata/m", json!({"foo": 1})).unwrap();
    assert_eq!(mount.read("metadata/m", json!({})).unwrap_err(), Error::Absent);
    assert_eq!(mount.run(Operation::Patch, "metadata/m", json!({"max_versions": 5})).unwrap_err(), Error::Absent);

    let body = json!({"max_versions": 5, "custom_metadata": {"b": "x", "a": 1}});
    assert!(mount.update("metadata/m", body).unwrap().data.is_none());
    assert_eq!((mount.exists("metadata/m"), mount.exists("data/m")), (Some(true), Some(true)));
    assert_eq!(mount.read("data/m", json!({})).unwrap_err(), Error::Absent);
    assert_eq!(put(&mut mount, "m", json!({}))["custom_metadata"], json!({"a": "1", "b": "x"}));

    let patch = |mount: &mut Mount<Kv2>, body| {
        mount.run(Operation::Patch, "metadata/m", body).unwrap();
        shown(mount.read("metadata/m", json!({})))
    };
    let patched = patch(&mut mount, json!({"custom_metadata": {"a": null, "n": "new"}}));
    assert_eq!(patched["custom_metadata"], json!({"b": "x", "n": "new"}));
    assert_eq!((&patched["max_versions"], &patched["current_metadata_version"]), (&json!(5), &json!(2)));
    let patched = patch(&mut mount, json!({"custom_metadata": null, "max_versions": null}));
    assert_eq!((&patched["custom_metadata"], &patched["max_versions"]), (&Value::Null, &json!(0)));
    assert_eq!(patch(&mut mount, json!({}))["current_metadata_version"], 3);
    for bad in [json!({"custom_metadata": {"a": 1}}), json!({"custom_metadata": "x"}), json!({"max_versions": -4})] {
        assert!(mount.run(Operation::Patch, "metadata/m", bad).is_err());
    }
    assert!(mount.update("metadata/m", json!({"custom_metadata": {"a": {"b": 1}}})).is_err());

    mount.run(Operation::Delete, "metadata/m", json!({})).unwrap();
    assert!(mount.keys().is_empty());
    mount.run(Operation::Delete, "metadata/m", json!({})).unwrap();
}

#[test]
fn metadata_has_a_check_and_set_of_its_own() {
    let mut mount = mount();
    let create = json!({"metadata_cas": 1, "max_versions": 8});
    assert_eq!(invalid(mount.update("metadata/m", create)), "metadata_cas must be 0 when creating new metadata");
    mount.update("metadata/m", json!({"metadata_cas": 0, "metadata_cas_required": true})).unwrap();
    for operation in [Operation::Update, Operation::Patch] {
        assert_eq!(
            invalid(mount.run(operation, "metadata/m", json!({"max_versions": 8}))),
            "metadata check-and-set parameter required for this call"
        );
        assert_eq!(
            invalid(mount.run(operation, "metadata/m", json!({"max_versions": 8, "metadata_cas": 7}))),
            "metadata check-and-set parameter does not match the current version"
        );
    }
    mount.update("metadata/m", json!({"max_versions": 8, "metadata_cas": 1})).unwrap();
    assert_eq!(shown(mount.read("metadata/m", json!({})))["current_metadata_version"], 2);
}

#[test]
fn lists_keys_and_folders() {
    let mut mount = mount();
    for path in ["l/a", "l/b/x", "l/b/y", "l/b/z/q", "l/b", "l/c/d", "l/e"] {
        put(&mut mount, path, json!({}));
    }
    assert_eq!(mount.list("metadata/", json!({})).unwrap(), ["l/"]);
    for folder in ["metadata/l", "metadata/l/"] {
        assert_eq!(mount.list(folder, json!({})).unwrap(), ["a", "b", "b/", "c/", "e"]);
    }
    assert_eq!(mount.list("metadata/l/b", json!({})).unwrap(), ["x", "y", "z/"]);
    assert_eq!(mount.list("metadata/l", json!({"after": "b", "limit": "2"})).unwrap(), ["b/", "c/"]);
    assert_eq!(mount.list("metadata/l", json!({"limit": -1})).unwrap().len(), 5);
    assert_eq!(mount.list("metadata/l", json!({"after": "zzz"})).unwrap_err(), Error::Absent);
    assert_eq!(mount.list("metadata/l/a", json!({})).unwrap_err(), Error::Absent);
    assert_eq!(mount.list("data/l", json!({})).unwrap_err(), Error::Unsupported);
    let detailed = shown(mount.run(Operation::List, "detailed-metadata/l", json!({})));
    assert_eq!(detailed["key_info"]["c/"], json!({}));
    assert_eq!(detailed["key_info"]["e"]["current_version"], 1);
}

#[test]
fn a_path_of_version_1_is_explained() {
    let mut mount = mount();
    for path in ["", "foo", "foo/bar", "config/x"] {
        let response = mount.read(path, json!({})).unwrap();
        assert!(response.absent && response.data.is_none());
        assert!(response.warnings[0].starts_with("Invalid path for a versioned K/V secrets engine."));
        assert!(response.warnings[0].contains("'vault kv get'"));
    }
    assert_eq!(mount.read("delete/a", json!({})).unwrap_err(), Error::Unsupported);
    assert_eq!(mount.run(Operation::Patch, "config", json!({})).unwrap_err(), Error::Unsupported);
}

#[test]
fn times_have_the_form_of_the_api() {
    assert_eq!(UnixTime(1_700_000_000_120_000_000).rfc3339(), "2023-11-14T22:13:20.12Z");
}
