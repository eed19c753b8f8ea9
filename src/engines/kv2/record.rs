//! Records of KV version 2 and their JSON: the mount's settings, a key's metadata, a version's data.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::engines::backend::MountTxn;
use crate::engines::fields;
use crate::logical::{Error, Request, Result};
use crate::runtime::UnixTime;
use crate::storage::plain;

/// Settings of the mount.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Config {
    /// Versions kept for each key; 0 for the default.
    pub max_versions: u32,
    pub cas_required: bool,
    pub metadata_cas_required: bool,
    /// Seconds; 0 for never, -1 for never whatever a key says.
    pub delete_version_after: i64,
}

/// What is known of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Metadata {
    pub created: UnixTime,
    pub updated: UnixTime,
    /// The latest version; 0 if none was written yet.
    pub current: u64,
    /// The oldest version kept; 0 until there are as many as are kept.
    pub oldest: u64,
    pub versions: BTreeMap<u64, Version>,
    /// 0 for the mount's.
    pub max_versions: u32,
    pub cas_required: bool,
    /// Seconds; 0 for the mount's.
    pub delete_version_after: i64,
    pub custom: BTreeMap<String, String>,
    /// Counts changes of what is not a version.
    pub metadata_version: u64,
    pub metadata_cas_required: bool,
}

/// What is known of a version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Version {
    pub created: UnixTime,
    /// When it was or will be deleted.
    pub deleted: Option<UnixTime>,
    pub destroyed: bool,
}

impl Config {
    pub async fn load(txn: &mut dyn MountTxn) -> Result<Config> {
        match txn.get(CONFIG).await? {
            Some(bytes) => plain::decode(&bytes).ok_or_else(|| malformed(CONFIG)),
            None => Ok(Config::default()),
        }
    }

    pub fn store(&self, txn: &mut dyn MountTxn) {
        txn.put(CONFIG, &plain::encode(self));
    }

    pub fn to_json(&self) -> Value {
        json!({
            "max_versions": self.max_versions,
            "cas_required": self.cas_required,
            "metadata_cas_required": self.metadata_cas_required,
            "delete_version_after": duration_text(self.delete_version_after),
        })
    }

    /// After which time a version of a key with `metadata` goes: the shorter of the key's and the mount's.
    pub fn delete_after(&self, metadata: &Metadata) -> Option<Duration> {
        let seconds = match (self.delete_version_after, metadata.delete_version_after) {
            (..0, _) => 0,
            (0, key) => key,
            (mount, ..=0) => mount,
            (mount, key) => mount.min(key),
        };
        u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    /// How many versions of a key with `metadata` are kept: the larger of the key's and the mount's number.
    pub fn versions_kept(&self, metadata: &Metadata) -> usize {
        match self.max_versions.max(metadata.max_versions) {
            0 => VERSIONS_KEPT,
            max => max as usize,
        }
    }
}

impl Metadata {
    pub fn new(now: UnixTime) -> Metadata {
        Metadata {
            created: now,
            updated: now,
            current: 0,
            oldest: 0,
            versions: BTreeMap::new(),
            max_versions: 0,
            cas_required: false,
            delete_version_after: 0,
            custom: BTreeMap::new(),
            metadata_version: 0,
            metadata_cas_required: false,
        }
    }

    pub async fn load(txn: &mut dyn MountTxn, path: &str) -> Result<Option<Metadata>> {
        let key = metadata_key(path);
        let Some(bytes) = txn.get(&key).await? else { return Ok(None) };
        plain::decode(&bytes).map(Some).ok_or_else(|| malformed(&key))
    }

    pub fn store(&self, txn: &mut dyn MountTxn, path: &str) {
        txn.put(&metadata_key(path), &plain::encode(self));
    }

    pub fn to_json(&self) -> Value {
        let versions: Map<String, Value> = (self.versions.iter())
            .map(|(number, version)| (number.to_string(), Value::Object(version.to_json())))
            .collect();
        json!({
            "cas_required": self.cas_required,
            "created_time": self.created.rfc3339(),
            "current_metadata_version": self.metadata_version,
            "current_version": self.current,
            "custom_metadata": self.custom_json(),
            "delete_version_after": duration_text(self.delete_version_after),
            "max_versions": self.max_versions,
            "metadata_cas_required": self.metadata_cas_required,
            "oldest_version": self.oldest,
            "updated_time": self.updated.rfc3339(),
            "versions": versions,
        })
    }

    /// What is shown of a version with its data.
    pub fn version_json(&self, number: u64, version: &Version) -> Value {
        let mut shown = version.to_json();
        shown.insert("version".to_string(), json!(number));
        shown.insert("custom_metadata".to_string(), self.custom_json());
        Value::Object(shown)
    }

    fn custom_json(&self) -> Value {
        if self.custom.is_empty() { Value::Null } else { json!(self.custom) }
    }
}

impl Version {
    /// Whether its data may be read.
    pub fn is_readable(&self, now: UnixTime) -> bool {
        !self.destroyed && !self.is_deleted(now)
    }

    pub fn is_deleted(&self, now: UnixTime) -> bool {
        self.deleted.is_some_and(|deleted| deleted <= now)
    }

    fn to_json(&self) -> Map<String, Value> {
        Map::from_iter([
            ("created_time".to_string(), json!(self.created.rfc3339())),
            ("deletion_time".to_string(), json!(self.deleted.map(UnixTime::rfc3339).unwrap_or_default())),
            ("destroyed".to_string(), json!(self.destroyed)),
        ])
    }
}

/// The data of a version, as it was written.
pub(super) async fn load_data(txn: &mut dyn MountTxn, path: &str, number: u64) -> Result<Value> {
    let key = data_key(path, number);
    match txn.get(&key).await? {
        Some(bytes) => fields::decode_json(&bytes),
        None => Err(malformed(&key)),
    }
}

/// Writes the data of a version.
pub(super) fn store_data(txn: &mut dyn MountTxn, path: &str, number: u64, data: &Value) {
    txn.put(&data_key(path, number), &fields::encode_json(data));
}

/// Writes the data of a version that is encoded already.
pub(super) fn store_object(txn: &mut dyn MountTxn, path: &str, number: u64, object: &[u8]) {
    txn.put(&data_key(path, number), object);
}

/// Removes the data of a version.
pub(super) fn delete_data(txn: &mut dyn MountTxn, path: &str, number: u64) {
    txn.delete(&data_key(path, number));
}

/// Removes the metadata of a key.
pub(super) fn delete_metadata(txn: &mut dyn MountTxn, path: &str) {
    txn.delete(&metadata_key(path));
}

/// The field `max_versions`; null and the empty text are 0.
pub(super) fn max_versions(request: &Request) -> Result<Option<u32>> {
    let wrong = || Error::field("max_versions", "expected a whole number that is not negative");
    integer(request, "max_versions")?.map(|number| u32::try_from(number).map_err(|_| wrong())).transpose()
}

/// A boolean among the settings; null and the empty text are false.
pub(super) fn flag(request: &Request, field: &str) -> Result<Option<bool>> {
    if is_nothing(request, field) { Ok(Some(false)) } else { request.flag(field) }
}

/// A number among the settings; null and the empty text are 0.
pub(super) fn integer(request: &Request, field: &str) -> Result<Option<i64>> {
    if is_nothing(request, field) { Ok(Some(0)) } else { request.integer(field) }
}

/// The field `delete_version_after` in seconds; the empty text is 0.
pub(super) fn delete_version_after(request: &Request) -> Result<Option<i64>> {
    let seconds = fields::signed_seconds(request, "delete_version_after")?;
    let is_empty = request.data.get("delete_version_after").is_some_and(|value| value == "");
    Ok(seconds.or(is_empty.then_some(0)))
}

/// Whether a field is there without a value.
fn is_nothing(request: &Request, field: &str) -> bool {
    request.data.get(field).is_some_and(|value| value.is_null() || value == "")
}

fn metadata_key(path: &str) -> String {
    format!("{METADATA}{path}")
}

/// The number has a fixed length at the end: no two (path, number) have one key.
fn data_key(path: &str, number: u64) -> String {
    format!("{DATA}{path}\0{number:016x}")
}

fn malformed(key: &str) -> Error {
    Error::Internal(format!("the record {key:?} is missing or of an unknown format"))
}

fn duration_text(seconds: i64) -> String {
    match u64::try_from(seconds) {
        Ok(seconds) => crate::duration::go_text(Duration::from_secs(seconds)),
        Err(_) => format!("-{}", crate::duration::go_text(Duration::from_secs(seconds.unsigned_abs()))),
    }
}

/// Below it is one metadata record a key.
pub(super) const METADATA: &str = "metadata/";
const DATA: &str = "versions/";
const CONFIG: &str = "config";
const VERSIONS_KEPT: usize = 10;
