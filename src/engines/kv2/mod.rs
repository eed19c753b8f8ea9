//! KV version 2: objects with versions. Each key has one metadata record, which knows its versions, and one record a
//! version; a write reads the metadata and replaces both in one transaction.

mod custom;
mod data;
mod metadata;
mod record;
mod subkeys;
mod versions;

use futures_util::future::BoxFuture;

use super::backend::{Backend, Call};
use super::fields;
use crate::logical::{Error, Operation, Response, Result};
use record::{Config, Metadata};

/// The engine.
pub struct Kv2;

/// Where a path leads; the text is the secret's path.
#[derive(Clone, Copy)]
enum Route<'a> {
    Config,
    Data(&'a str),
    Delete(&'a str),
    Undelete(&'a str),
    Destroy(&'a str),
    Metadata(&'a str),
    DetailedMetadata(&'a str),
    Subkeys(&'a str),
    Unknown,
}

impl Backend for Kv2 {
    fn handle<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response>> {
        Box::pin(async move {
            let (request, route) = (call.request, Route::of(call.path));
            let response = dispatch(call, route).await?;
            Ok(fields::warn_of_unknown(request, route.fields(), response))
        })
    }

    fn exists<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Option<bool>>> {
        Box::pin(async move {
            match Route::of(call.path) {
                Route::Data(path) | Route::Metadata(path) => Ok(Some(Metadata::load(call.txn, path).await?.is_some())),
                _ => Ok(None),
            }
        })
    }

    fn help(&self, path: &str) -> Option<&'static str> {
        Some(Route::of(path).help())
    }

    fn operations(&self, path: &str) -> &'static [Operation] {
        use Operation::{Create, Delete, List, Patch, Read, Update};
        match Route::of(path) {
            Route::Config => &[Read, Update],
            Route::Data(_) => &[Create, Read, Update, Patch, Delete],
            Route::Delete(_) | Route::Undelete(_) | Route::Destroy(_) => &[Create, Update],
            Route::Metadata(_) => &[Create, Read, Update, Patch, Delete, List],
            Route::DetailedMetadata(_) => &[List],
            Route::Subkeys(_) => &[Read],
            Route::Unknown => &[Create, Read, Update, Patch, Delete, List],
        }
    }
}

async fn dispatch(call: Call<'_>, route: Route<'_>) -> Result<Response> {
    use Operation::{Create, Delete, List, Patch, Read, Update};
    match (route, call.request.operation) {
        (Route::Config, Read) => Ok(Response::data(Config::load(call.txn).await?.to_json())),
        (Route::Config, Create | Update) => configure(call).await,
        (Route::Data(path), Read) => data::read(call, path).await,
        (Route::Data(path), Create | Update) => data::write(call, path).await,
        (Route::Data(path), Patch) => data::patch(call, path).await,
        (Route::Data(path), Delete) => versions::delete_latest(call, path).await,
        (Route::Delete(path), Create | Update) => versions::delete(call, path).await,
        (Route::Undelete(path), Create | Update) => versions::undelete(call, path).await,
        (Route::Destroy(path), Create | Update) => versions::destroy(call, path).await,
        (Route::Metadata(path), Read) => metadata::read(call, path).await,
        (Route::Metadata(path), Create | Update) => metadata::write(call, path).await,
        (Route::Metadata(path), Patch) => metadata::patch(call, path).await,
        (Route::Metadata(path), Delete) => metadata::delete(call, path).await,
        (Route::Metadata(folder), List) => metadata::list(call, folder).await,
        (Route::DetailedMetadata(folder), List) => metadata::list_detailed(call, folder).await,
        (Route::Subkeys(path), Read) => data::subkeys(call, path).await,
        (Route::Unknown, operation) => Ok(lost(operation)),
        _ => Err(Error::Unsupported),
    }
}

/// Changes the mount's settings; what is not given stays.
async fn configure(call: Call<'_>) -> Result<Response> {
    let mut config = Config::load(call.txn).await?;
    if let Some(max_versions) = record::max_versions(call.request)? {
        config.max_versions = max_versions;
    }
    if let Some(cas_required) = call.request.flag("cas_required")? {
        config.cas_required = cas_required;
    }
    if let Some(required) = call.request.flag("metadata_cas_required")? {
        config.metadata_cas_required = required;
    }
    if let Some(seconds) = fields::signed_seconds(call.request, "delete_version_after")? {
        // Any negative duration turns the deletion off for all keys.
        config.delete_version_after = seconds.max(-1);
    }
    config.store(call.txn);
    Ok(Response::empty())
}

/// The answer for a path of KV version 1: clients show its warning.
fn lost(operation: Operation) -> Response {
    let command = match operation {
        Operation::Read => "get",
        Operation::List => "list",
        Operation::Delete => "delete",
        Operation::Patch => "patch",
        _ => "put",
    };
    let response = Response { absent: true, ..Response::default() };
    response.warn(format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If \
         using the Vault CLI, use 'vault kv {command}' for this operation."
    ))
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Route<'a> {
        let (root, rest) = path.split_once('/').unwrap_or((path, ""));
        match root {
            "config" if rest.is_empty() => Route::Config,
            "data" => Route::Data(rest),
            "delete" => Route::Delete(rest),
            "undelete" => Route::Undelete(rest),
            "destroy" => Route::Destroy(rest),
            "metadata" => Route::Metadata(rest),
            "detailed-metadata" => Route::DetailedMetadata(rest),
            "subkeys" => Route::Subkeys(rest),
            _ => Route::Unknown,
        }
    }

    /// The fields that requests may have here.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Route::Config => &["max_versions", "cas_required", "delete_version_after", "metadata_cas_required"],
            Route::Data(_) => &["data", "options", "version"],
            Route::Delete(_) | Route::Undelete(_) | Route::Destroy(_) => &["versions"],
            Route::Metadata(_) => &[
                "max_versions",
                "cas_required",
                "delete_version_after",
                "metadata_cas",
                "metadata_cas_required",
                "custom_metadata",
                "after",
                "limit",
            ],
            Route::DetailedMetadata(_) => &["after", "limit"],
            Route::Subkeys(_) => &["version", "depth"],
            Route::Unknown => &[],
        }
    }

    fn help(self) -> &'static str {
        match self {
            Route::Config => {
                "Settings of the mount: max_versions (kept for each key; 0 for 10), cas_required, metadata_cas_required, \
                 delete_version_after (a negative duration turns it off for all keys)."
            }
            Route::Data(_) => {
                "Reads a version (version, default the latest), writes a new one (data, options.cas), patches the latest \
                 (a JSON merge patch) or marks it deleted."
            }
            Route::Delete(_) => "Marks versions as deleted; undelete takes it back.",
            Route::Undelete(_) => "Brings deleted versions back.",
            Route::Destroy(_) => "Removes the data of versions for good.",
            Route::Metadata(_) => {
                "Reads and changes a key's settings and custom metadata, lists keys, or removes a key with all its \
                 versions for good."
            }
            Route::DetailedMetadata(_) => "Lists keys with their metadata.",
            Route::Subkeys(_) => "Reads the structure of a version, without its values (version, depth).",
            Route::Unknown => {
                "A store of objects with versions. Paths: config, data/, delete/, undelete/, destroy/, metadata/, \
                 detailed-metadata/, subkeys/."
            }
        }
    }
}

#[cfg(test)]
mod tests;
