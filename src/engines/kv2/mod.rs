//! KV version 2: objects with versions. Each key has one metadata record, which knows its versions, and one record a
//! version; a write reads the metadata and replaces both in one transaction.

mod custom;
mod data;
mod metadata;
mod record;
mod routes;
mod subkeys;
pub(crate) mod upgrade;
mod versions;

use futures_util::future::BoxFuture;

use super::backend::{Backend, Call};
use crate::logical::{Error, Operation, Response, Result, Route};
use record::{Config, Metadata};
use routes::ROUTES;

/// The engine.
pub struct Kv2;

impl Backend for Kv2 {
    fn handle<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response>> {
        Box::pin(async move {
            let (request, path) = (call.request, call.path);
            match Route::find(ROUTES, path) {
                Some((route, params)) => {
                    let response = dispatch(call, route.pattern, params.first().copied().unwrap_or_default()).await?;
                    Ok(route.warn(request, response))
                }
                None => Ok(lost(path, request.operation)),
            }
        })
    }

    fn exists<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Option<bool>>> {
        Box::pin(async move {
            match Route::find(ROUTES, call.path) {
                Some((Route { pattern: routes::DATA | routes::METADATA, .. }, params)) => {
                    Ok(Some(Metadata::load(call.txn, params[0]).await?.is_some()))
                }
                _ => Ok(None),
            }
        })
    }

    fn about(&self) -> &'static str {
        "A store of objects by path, with versions: a write adds a version, older ones can be read, deleted and brought \
         back."
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }
}

/// Carries out a request on a route; `path` is the secret's.
async fn dispatch(call: Call<'_>, pattern: &str, path: &str) -> Result<Response> {
    use Operation::{Create, Delete, List, Patch, Read, Update};
    // A key's name does not end in a slash: what is read or deleted with one is the key itself.
    let path = match call.request.operation {
        Read | Delete => path.strip_suffix('/').unwrap_or(path),
        _ => path,
    };
    match (pattern, call.request.operation) {
        (routes::CONFIG, Read) => Ok(Response::data(Config::load(call.txn).await?.to_json())),
        (routes::CONFIG, Create | Update) => configure(call).await,
        (routes::DATA, Read) => data::read(call, path).await,
        (routes::DATA, Create | Update) => data::write(call, path).await,
        (routes::DATA, Patch) => data::patch(call, path).await,
        (routes::DATA, Delete) => versions::delete_latest(call, path).await,
        (routes::DELETE, Create | Update) => versions::delete(call, path).await,
        (routes::UNDELETE, Create | Update) => versions::undelete(call, path).await,
        (routes::DESTROY, Create | Update) => versions::destroy(call, path).await,
        (routes::METADATA, Read) => metadata::read(call, path).await,
        (routes::METADATA, Create | Update) => metadata::write(call, path).await,
        (routes::METADATA, Patch) => metadata::patch(call, path).await,
        (routes::METADATA, Delete) => metadata::delete(call, path).await,
        (routes::METADATA, List) => metadata::list(call, path).await,
        (routes::DETAILED_METADATA, List) => metadata::list_detailed(call, path).await,
        (routes::SUBKEYS, Read) => data::subkeys(call, path).await,
        _ => Err(Error::Unsupported),
    }
}

/// Changes the mount's settings; what is not given stays.
async fn configure(call: Call<'_>) -> Result<Response> {
    let mut config = Config::load(call.txn).await?;
    if let Some(max_versions) = record::max_versions(call.request)? {
        config.max_versions = max_versions;
    }
    if let Some(cas_required) = record::flag(call.request, "cas_required")? {
        config.cas_required = cas_required;
    }
    if let Some(required) = record::flag(call.request, "metadata_cas_required")? {
        config.metadata_cas_required = required;
    }
    if let Some(seconds) = record::delete_version_after(call.request)? {
        // Any negative duration turns the deletion off for all keys.
        config.delete_version_after = seconds.max(-1);
    }
    config.store(call.txn);
    Ok(Response::empty())
}

/// The answer for a path that is none: most often one of KV version 1. Clients show its warning.
fn lost(path: &str, operation: Operation) -> Response {
    let response = Response { absent: true, ..Response::default() };
    if operation != Operation::List && ["data", "metadata", "delete", "undelete", "destroy"].contains(&path) {
        return response.warn("Non-listing operations on the root of a K/V v2 mount are not supported.");
    }
    let command = match operation {
        Operation::Read => "get",
        Operation::List => "list",
        Operation::Delete => "delete",
        Operation::Patch => "patch",
        _ => "put",
    };
    response.warn(format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If \
         using the Vault CLI, use 'vault kv {command}' for this operation."
    ))
}

#[cfg(test)]
mod tests;
