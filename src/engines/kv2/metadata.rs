//! `metadata/`: a key's settings and custom metadata, its removal, and lists of keys.

use serde_json::{Map, Value, json};

use super::custom;
use super::record::{self, Config, METADATA, Metadata};
use crate::engines::backend::Call;
use crate::engines::fields;
use crate::logical::{Error, Request, Response, Result};

/// Shows what is known of a key.
pub(super) async fn read(call: Call<'_>, path: &str) -> Result<Response> {
    let metadata = Metadata::load(call.txn, path).await?.ok_or(Error::Absent)?;
    Ok(Response::data(metadata.to_json()))
}

/// Changes settings; makes the key if there is none. Custom metadata is replaced as a whole.
pub(super) async fn write(call: Call<'_>, path: &str) -> Result<Response> {
    let path = fields::writable(path)?;
    let found = Metadata::load(call.txn, path).await?;
    change(call, path, found, |metadata, request| {
        if let Some(replacement) = request.text_map("custom_metadata")? {
            custom::check(&replacement)?;
            metadata.custom = replacement;
        }
        Ok(())
    })
    .await
}

/// Changes settings of a key that exists, by a merge patch.
pub(super) async fn patch(call: Call<'_>, path: &str) -> Result<Response> {
    let path = fields::writable(path)?;
    let found = Metadata::load(call.txn, path).await?.ok_or(Error::Absent)?;
    change(call, path, Some(found), |metadata, request| {
        // In a merge patch, null takes a setting back; elsewhere it leaves this one.
        if request.data.get("delete_version_after") == Some(&Value::Null) {
            metadata.delete_version_after = 0;
        }
        match request.data.get("custom_metadata") {
            Some(patch) => custom::patch(&mut metadata.custom, patch),
            None => Ok(()),
        }
    })
    .await
}

/// Removes a key with all its versions for good.
pub(super) async fn delete(call: Call<'_>, path: &str) -> Result<Response> {
    if let Some(metadata) = Metadata::load(call.txn, path).await? {
        for number in metadata.versions.keys() {
            record::delete_data(call.txn, path, *number);
        }
        record::delete_metadata(call.txn, path);
    }
    Ok(Response::empty())
}

/// Lists keys and folders.
pub(super) async fn list(call: Call<'_>, folder: &str) -> Result<Response> {
    let (after, limit) = fields::page(call.request)?;
    fields::list(call.txn, METADATA, folder, &after, limit).await.map(Response::keys)
}

/// Lists keys and folders, keys with their metadata.
pub(super) async fn list_detailed(call: Call<'_>, folder: &str) -> Result<Response> {
    let (after, limit) = fields::page(call.request)?;
    let keys = fields::list(call.txn, METADATA, folder, &after, limit).await?;
    let folder = folder.trim_end_matches('/');
    let mut info = Map::new();
    for key in &keys {
        let path = if folder.is_empty() { key.clone() } else { format!("{folder}/{key}") };
        let shown = if key.ends_with('/') { None } else { Metadata::load(call.txn, &path).await? };
        info.insert(key.clone(), shown.map_or_else(|| json!({}), |metadata| metadata.to_json()));
    }
    Ok(Response::data(json!({ "keys": keys, "key_info": info })))
}

/// Applies what the request says, and `more` of it; a request that says nothing changes nothing.
async fn change(
    call: Call<'_>,
    path: &str,
    found: Option<Metadata>,
    more: impl FnOnce(&mut Metadata, &Request) -> Result<()> + Send,
) -> Result<Response> {
    let request = call.request;
    if !SETTINGS.iter().any(|field| request.data.contains_key(*field)) {
        return Ok(Response::empty());
    }
    let config = Config::load(call.txn).await?;
    check_cas(record::integer(request, "metadata_cas")?, &config, found.as_ref())?;
    let mut metadata = found.unwrap_or_else(|| Metadata::new(call.now));
    let mut response = Response::empty();
    if let Some(max_versions) = record::max_versions(request)? {
        metadata.max_versions = max_versions;
    }
    if let Some(cas_required) = record::flag(request, "cas_required")? {
        metadata.cas_required = cas_required;
        if config.cas_required && !cas_required {
            response = response.warn(mandated("cas_required"));
        }
    }
    if let Some(required) = record::flag(request, "metadata_cas_required")? {
        metadata.metadata_cas_required = required;
        if config.metadata_cas_required && !required {
            response = response.warn(mandated("metadata_cas_required"));
        }
    }
    if let Some(seconds) = record::delete_version_after(request)? {
        if seconds < 0 {
            return Err(Error::invalid(format!(
                "error converting input for field \"delete_version_after\": cannot provide negative value '{seconds}'"
            )));
        }
        metadata.delete_version_after = seconds;
    }
    more(&mut metadata, request)?;
    metadata.metadata_version += 1;
    metadata.updated = call.now;
    metadata.store(call.txn, path);
    Ok(response)
}

fn check_cas(cas: Option<i64>, config: &Config, found: Option<&Metadata>) -> Result<()> {
    let is_required = config.metadata_cas_required || found.is_some_and(|metadata| metadata.metadata_cas_required);
    let problem = match (cas, found) {
        (None, _) if is_required => "metadata check-and-set parameter required for this call",
        (Some(cas), None) if cas != 0 => "metadata_cas must be 0 when creating new metadata",
        (Some(cas), Some(metadata)) if u64::try_from(cas) != Ok(metadata.metadata_version) => {
            "metadata check-and-set parameter does not match the current version"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid(problem))
}

fn mandated(field: &str) -> String {
    format!("\"{field}\" set to false, but is mandated by backend config. This value will be ignored.")
}

/// The fields that change something.
const SETTINGS: [&str; 5] =
    ["max_versions", "cas_required", "metadata_cas_required", "delete_version_after", "custom_metadata"];
