//! Deleting, undeleting and destroying versions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::record::{self, Config, Metadata, Version};
use crate::engines::backend::Call;
use crate::engines::fields;
use crate::logical::{Error, Request, Response, Result};
use crate::runtime::UnixTime;

/// Marks the latest version as deleted.
pub(super) async fn delete_latest(call: Call<'_>, path: &str) -> Result<Response> {
    let Some(metadata) = Metadata::load(call.txn, path).await? else { return Ok(Response::empty()) };
    let latest = BTreeSet::from([metadata.current]);
    Ok(change(call, path, metadata, &latest, mark_deleted))
}

/// Marks versions as deleted.
pub(super) async fn delete(call: Call<'_>, path: &str) -> Result<Response> {
    let path = fields::writable(path)?;
    let numbers = numbers(call.request, "No version number provided")?;
    let Some(metadata) = Metadata::load(call.txn, path).await? else { return Ok(Response::empty()) };
    Ok(change(call, path, metadata, &numbers, mark_deleted))
}

/// Takes the mark back; the time after which versions go begins anew.
pub(super) async fn undelete(call: Call<'_>, path: &str) -> Result<Response> {
    let path = fields::writable(path)?;
    let numbers = numbers(call.request, "No version number provided")?;
    let Some(metadata) = Metadata::load(call.txn, path).await? else { return Ok(Response::empty()) };
    let after = Config::load(call.txn).await?.delete_after(&metadata);
    Ok(change(call, path, metadata, &numbers, |version, now| {
        if !version.destroyed {
            version.deleted = after.map(|after| now.plus(after));
        }
    }))
}

/// Removes the data of versions.
pub(super) async fn destroy(call: Call<'_>, path: &str) -> Result<Response> {
    let path = fields::writable(path)?;
    let numbers = numbers(call.request, "no version number provided")?;
    let Some(metadata) = Metadata::load(call.txn, path).await? else { return Ok(Response::empty()) };
    for number in numbers.iter().filter(|number| metadata.versions.contains_key(number)) {
        record::delete_data(call.txn, path, *number);
    }
    Ok(change(call, path, metadata, &numbers, |version, _| version.destroyed = true))
}

/// Changes those of the versions that there are.
fn change(
    call: Call<'_>,
    path: &str,
    mut metadata: Metadata,
    numbers: &BTreeSet<u64>,
    change: impl Fn(&mut Version, UnixTime),
) -> Response {
    for number in numbers {
        if let Some(version) = metadata.versions.get_mut(number) {
            change(version, call.now);
        }
    }
    metadata.store(call.txn, path);
    Response::empty()
}

fn mark_deleted(version: &mut Version, now: UnixTime) {
    if version.is_readable(now) {
        version.deleted = Some(now);
    }
}

/// The field `versions`: an array, a text with commas, or one number. Numbers that no version can have say nothing.
fn numbers(request: &Request, if_none: &str) -> Result<BTreeSet<u64>> {
    let wrong = || Error::field("versions", "expected a list of version numbers");
    let numbers: Vec<i64> = match request.data.get("versions") {
        Some(Value::Number(number)) => vec![number.as_i64().ok_or_else(wrong)?],
        _ => (request.list("versions")?.unwrap_or_default().iter())
            .map(|text| text.parse().map_err(|_| wrong()))
            .collect::<Result<_>>()?,
    };
    if numbers.is_empty() {
        return Err(Error::invalid(if_none));
    }
    Ok(numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect())
}
