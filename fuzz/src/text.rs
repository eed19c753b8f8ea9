//! Texts: paths, policies and their names, configuration files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast::logical::Operation;
use holdfast::policy::{Acl, Ask, Policy, name, path as paths};
use holdfast::runtime::mem_disk::MemDisk;

use crate::server::block_on;

/// A canonical path stays what it is, and has no segment that a file system or a client would understand differently.
pub fn path(data: &[u8]) {
    let raw = String::from_utf8_lossy(data);
    if let Ok(canonical) = paths::canonical(&raw) {
        assert_eq!(paths::canonical(&canonical).as_ref(), Ok(&canonical), "not stable");
        assert!(!canonical.split('/').any(|segment| segment == "." || segment == ".."), "{canonical:?}");
        assert!(!canonical.contains("//") && !canonical.chars().any(char::is_control), "{canonical:?}");
        let listed = paths::listed(canonical.clone());
        assert_eq!(listed.trim_end_matches('/'), canonical.trim_end_matches('/'));
    }
}

/// The first line is a path, the rest a policy. A denied path grants nothing, and a policy that was read and written as
/// JSON says the same.
pub fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (path, text) = text.split_once('\n').unwrap_or(("secret/data/a", &text));
    let (Ok(path), Ok(policy)) = (paths::canonical(path), Policy::parse("fuzz", text)) else { return };
    let acl = Acl::new([&Arc::new(policy)], holdfast::runtime::UnixTime(0));
    let capabilities = acl.capabilities(&path);
    let denied = capabilities.contains(&"deny");
    for operation in [Operation::Read, Operation::Update, Operation::Create, Operation::Delete, Operation::Patch] {
        let ask = Ask { operation, path: &path, data: &serde_json::Map::new(), wrap_ttl: None };
        assert!(!(denied && acl.check(&ask).allowed), "{operation:?} of {path:?} is allowed and denied");
    }
    let _ = acl.resultant();
}

/// No text folds to the name of the policy that allows everything but `root` itself, which nobody may write.
pub fn policy_name(data: &[u8]) {
    let raw = String::from_utf8_lossy(data);
    if let Ok(writable) = name::writable(&raw) {
        assert_ne!(writable, "root");
        assert_eq!(name::fold(&writable), writable, "not stable");
    }
    let _ = name::deletable(&raw);
}

/// A configuration file, HCL or JSON.
pub fn config(data: &[u8]) {
    let disk = MemDisk::new().disk();
    let text = data.to_vec();
    block_on(async move {
        let file = PathBuf::from("/fuzz.hcl");
        if disk.replace(&file, text.into()).await.is_ok() {
            let _ = holdfast::config::load(&disk, &[file], &BTreeMap::new()).await;
        }
    });
}
