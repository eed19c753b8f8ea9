//! What engines share in reading requests and shaping answers, with the leniency of the Vault API.

use serde_json::Value;

use super::backend::MountTxn;
use crate::logical::route::{Field, Kind};
use crate::logical::{Error, Request, Result};

/// Of a listing: where it begins.
pub(crate) const AFTER: Field =
    Field { name: "after", kind: Kind::Text, about: "A list begins behind this name, which need not exist." };

/// Of a listing: how long it is.
pub(crate) const LIMIT: Field =
    Field { name: "limit", kind: Kind::Integer, about: "A list has at most so many names; all without it." };

/// What a list answers.
pub(crate) const KEYS: Field =
    Field { name: "keys", kind: Kind::List, about: "Names in byte order; those of folders end with a slash." };

/// Of a write that stores its whole body: any field.
pub(crate) const FREE: Field = Field { name: "*", kind: Kind::Any, about: "Whatever is to be stored." };

/// The path of a write: not empty, no folder.
pub(super) fn writable(path: &str) -> Result<&str> {
    if path.is_empty() || path.ends_with('/') {
        return Err(Error::invalid("cannot write to a path ending in '/'"));
    }
    Ok(path)
}

/// Whole seconds of a duration that may be negative; fractions are cut off.
pub(crate) fn signed_seconds(request: &Request, field: &str) -> Result<Option<i64>> {
    let Some(text) = request.text(field)? else { return Ok(None) };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    match crate::duration::parse(digits) {
        Some(duration) => Ok(Some(sign * i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))),
        None => Err(Error::field(field, "expected a duration such as 300, \"300s\" or \"1h\"")),
    }
}

/// Where a listing begins and how many names it has: fields `after` and `limit`.
pub(super) fn page(request: &Request) -> Result<(String, usize)> {
    let after = request.text("after")?.unwrap_or_default();
    let limit = match request.integer("limit")? {
        Some(limit @ 1..) => usize::try_from(limit).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    Ok((after, limit))
}

/// Lists the names below `root` + `folder`; 404 if there are none.
pub(super) async fn list(
    txn: &mut dyn MountTxn,
    root: &str,
    folder: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>> {
    let slash = if folder.is_empty() || folder.ends_with('/') { "" } else { "/" };
    let names = txn.list(&format!("{root}{folder}{slash}"), after, limit).await?;
    if names.is_empty() { Err(Error::Absent) } else { Ok(names) }
}

/// A record that is a JSON value: a format byte and its text, numbers as they were sent.
pub(super) fn encode_json(value: &Value) -> Vec<u8> {
    let mut bytes = vec![JSON];
    serde_json::to_writer(&mut bytes, value).expect("a JSON value always encodes");
    bytes
}

/// The reverse of [`encode_json`].
pub(super) fn decode_json(bytes: &[u8]) -> Result<Value> {
    match bytes.split_first() {
        Some((&JSON, text)) => serde_json::from_slice(text).ok(),
        _ => None,
    }
    .ok_or_else(|| Error::Internal("a record of an unknown format".to_string()))
}

const JSON: u8 = 1;
