//! What is set for the whole cluster while it runs: one record each, by name.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::barrier::BarrierTxn;
use crate::core::{Error, Result};
use crate::storage::{plain, schema};

/// The storage key of a setting.
pub(super) fn key(name: &str) -> Bytes {
    schema::key(schema::Kind::Setting, name.as_bytes())
}

/// A setting; `None` if it was never set.
pub(super) async fn get<T: DeserializeOwned>(txn: &mut BarrierTxn, name: &str) -> Result<Option<T>> {
    let Some(bytes) = txn.get(&key(name)).await? else { return Ok(None) };
    let unknown = || Error::Internal(format!("the setting {name:?} has a format that this build does not know"));
    plain::decode(&bytes).map(Some).ok_or_else(unknown)
}

/// Sets it.
pub(super) fn put<T: Serialize>(txn: &mut BarrierTxn, name: &str, value: &T) {
    txn.put(key(name), &plain::encode(value));
}

/// Removes it; fine if absent.
pub(super) fn delete(txn: &mut BarrierTxn, name: &str) {
    txn.delete(key(name));
}
