//! Mounts: their records, the table that routes a path to one, and which paths may be mounted.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::views::{Found, Table};
use super::{Error, Result};
use crate::storage::plain;
use crate::storage::schema::{Kind, key};

/// Which table a mount belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// `sys/mounts`.
    Secret,
    /// `sys/auth`; its paths begin with `auth/`.
    Auth,
}

/// A mount's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where its data lives, whatever its path.
    pub uuid: [u8; 16],
    /// Which table.
    pub class: Class,
    /// Canonical, with a trailing slash; with `auth/` before an auth mount.
    pub path: String,
    /// `kv`, `cubbyhole`, `system`, `token`, `identity`.
    pub kind: String,
    /// For people.
    pub description: String,
    /// Names it in policies and audit entries.
    pub accessor: String,
    /// `version` and whatever else the engine knows.
    pub options: BTreeMap<String, String>,
    /// Zero: the system's.
    pub default_lease_ttl: Duration,
    /// Zero: the system's.
    pub max_lease_ttl: Duration,
    /// The other keys of `config`, as they were given.
    pub tune: BTreeMap<String, Tuned>,
    /// Accepted and shown.
    pub local: bool,
    /// Accepted and shown.
    pub seal_wrap: bool,
    /// Accepted and shown.
    pub external_entropy_access: bool,
    /// The namespace; always root for now.
    pub namespace: u32,
    /// It was disabled and its data is being deleted: no route leads here.
    pub disabling: bool,
    /// It was a KV mount of version 1 and its objects are being made versions: it serves nothing until that is done.
    pub upgrading: bool,
    /// Its last move to another path.
    pub moved: Option<Moved>,
}

/// A move of a mount from one path to another, done in the commit that tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Names it: a UUID.
    pub id: String,
    /// The path before, with `auth/` before an auth mount.
    pub from: String,
    /// The path after.
    pub to: String,
}

/// A value of a mount's `config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tuned {
    /// A text.
    Text(String),
    /// A flag.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
    /// A whole number.
    Number(i64),
}

impl Tuned {
    fn json(&self) -> Value {
        match self {
            Tuned::Text(text) => json!(text),
            Tuned::Flag(flag) => json!(flag),
            Tuned::List(list) => json!(list),
            Tuned::Number(number) => json!(number),
        }
    }
}

impl Mount {
    /// Whether it is served by KV version 2.
    pub(crate) fn is_versioned_kv(&self) -> bool {
        self.kind == "kv" && crate::engines::catalog::is_versioned(&self.options)
    }

    /// The record's storage key.
    pub fn key(&self) -> Bytes {
        key(Kind::Mount, &self.uuid)
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        plain::encode(self).to_vec()
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Option<Mount> {
        plain::decode(bytes)
    }

    /// The path as its table shows it: without `auth/`.
    pub fn shown_path(&self) -> &str {
        match self.class {
            Class::Secret => &self.path,
            Class::Auth => self.path.strip_prefix("auth/").unwrap_or(&self.path),
        }
    }

    /// Whether it came with the cluster and cannot be disabled or moved.
    pub fn is_built_in(&self) -> bool {
        matches!(self.kind.as_str(), "system" | "identity" | "cubbyhole" | "token")
    }

    /// The JSON that `sys/mounts` shows.
    pub fn shown(&self) -> Value {
        let mut config = self.config(Duration::ZERO, Duration::ZERO);
        let (lockout, mut config): (Map<_, _>, Map<_, _>) =
            std::mem::take(&mut config).into_iter().partition(|(name, _)| name.starts_with("user_lockout_"));
        if !lockout.is_empty() {
            config.insert("user_lockout_config".into(), lockout.into());
        }
        let mut shown = json!({
            "accessor": self.accessor,
            "config": config,
            "description": self.description,
            "external_entropy_access": self.external_entropy_access,
            "local": self.local,
            "options": if self.is_built_in() { Value::Null } else { json!(self.options) },
            "plugin_version": "",
            "running_plugin_version": format!("v{}+builtin.holdfast", env!("CARGO_PKG_VERSION")),
            "running_sha256": "",
            "seal_wrap": self.seal_wrap,
            "type": self.kind,
            "uuid": uuid_text(&self.uuid),
        });
        if !self.is_built_in() {
            shown["deprecation_status"] = json!("supported");
        }
        shown
    }

    /// The JSON that is shown without a token.
    pub fn shown_to_anybody(&self) -> Value {
        json!({ "description": self.description, "options": self.options, "type": self.kind })
    }

    /// The keys of `config`, with the system's TTLs where the mount has none of its own.
    pub fn config(&self, default_ttl: Duration, max_ttl: Duration) -> Map<String, Value> {
        let or = |own: Duration, system: Duration| if own.is_zero() { system } else { own };
        let mut config = Map::new();
        config.insert("default_lease_ttl".into(), json!(or(self.default_lease_ttl, default_ttl).as_secs()));
        config.insert("force_no_cache".into(), json!(false));
        config.insert("max_lease_ttl".into(), json!(or(self.max_lease_ttl, max_ttl).as_secs()));
        if self.class == Class::Auth {
            config.insert("token_type".into(), json!("default-service"));
        }
        for (name, value) in &self.tune {
            config.insert(name.clone(), value.json());
        }
        config
    }
}

/// A UUID's text form.
pub fn uuid_text(uuid: &[u8; 16]) -> String {
    let hex = hex::encode(uuid);
    format!("{}-{}-{}-{}-{}", &hex[0..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

/// All mounts by path.
pub struct Router {
    by_path: BTreeMap<String, Found<Mount>>,
    /// Disabled mounts whose data is being deleted.
    pub disabling: Vec<Found<Mount>>,
}

impl Router {
    /// Builds the routes from the records.
    pub fn new(table: Table<Mount>) -> Router {
        let (disabling, serving): (Vec<_>, Vec<_>) = table.into_values().partition(|found| found.record.disabling);
        Router { by_path: serving.into_iter().map(|found| (found.record.path.clone(), found)).collect(), disabling }
    }

    /// The mount whose path is the longest prefix of `path`, and the rest of it. A path that names a mount without its
    /// slash leads there too.
    pub fn route<'p>(&self, path: &'p str) -> Option<(&Found<Mount>, &'p str)> {
        if let Some(found) = self.by_path.get(&format!("{path}/")) {
            return Some((found, ""));
        }
        let mut end = path.len();
        while let Some(slash) = path[..end].rfind('/') {
            if let Some(found) = self.by_path.get(&path[..=slash]) {
                return Some((found, &path[slash + 1..]));
            }
            end = slash;
        }
        None
    }

    /// The mount at exactly this path (with its slash).
    pub fn at(&self, path: &str) -> Option<&Found<Mount>> {
        self.by_path.get(path)
    }

    /// All mounts of one table, by path.
    pub fn all(&self, class: Class) -> impl Iterator<Item = &Found<Mount>> {
        self.by_path.values().filter(move |found| found.record.class == class)
    }

    /// Whether a mount may be made at `path`.
    ///
    /// # Errors
    /// As Vault: a path in use, and a path below or above another mount, is 400.
    pub fn check_free(&self, path: &str) -> Result<()> {
        match self.conflict(path) {
            Some(taken) => Err(Error::invalid(format!("path is already in use at {taken}"))),
            None => Ok(()),
        }
    }

    /// The mount that is at `path`, below or above it.
    pub fn conflict(&self, path: &str) -> Option<&str> {
        let mut paths = self.by_path.keys().map(String::as_str);
        paths.find(|existing| path.starts_with(existing) || existing.starts_with(path))
    }
}
