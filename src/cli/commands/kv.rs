//! `kv`: the key-value store, version 1 or 2 as the mount has it.

use serde_json::{Map, Value, json};

use super::kv_metadata::{self, Metadata};
use super::kv_place::Place;
use super::{data::Listing, exactly, first, mount};
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome, data, table};
use crate::client::{ApiRequest, ApiSecret, Client};

/// Interact with the key-value store.
#[derive(Debug, clap::Subcommand)]
pub enum Kv {
    /// Delete versions in the KV store.
    Delete(Delete),
    /// Permanently remove one or more versions in the KV store.
    Destroy(Versions),
    /// Turn on versioning for a KV store.
    EnableVersioning(EnableVersioning),
    /// Retrieve data from the KV store.
    Get(Get),
    /// List data or secrets.
    List(List),
    /// Interact with metadata of the KV store.
    #[command(subcommand)]
    Metadata(Metadata),
    /// Set or update data in the KV store without overwriting.
    Patch(Patch),
    /// Set or update data in the KV store.
    Put(Put),
    /// Roll back to a previous version of data.
    Rollback(Rollback),
    /// List all names below a path, however deep.
    Scan(List),
    /// Undelete versions in the KV store.
    Undelete(Versions),
}

/// `-mount`.
#[derive(Debug, clap::Args)]
pub struct Mount {
    /// Where the KV store is mounted; the argument is then a path inside it. Else the argument begins with the mount.
    #[arg(long, value_name = "string", default_value = "")]
    pub mount: String,
}

/// `kv get`.
#[derive(Debug, clap::Args)]
pub struct Get {
    #[command(flatten)]
    mount: Mount,
    /// The version to read; else the newest.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    version: Option<i64>,
    #[arg(value_name = "KEY")]
    args: Vec<String>,
}

/// `kv put`.
#[derive(Debug, clap::Args)]
pub struct Put {
    #[command(flatten)]
    mount: Mount,
    /// Write only if this is the current version; 0: only if there is none.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    cas: Option<i64>,
    #[arg(value_name = "KEY [DATA]")]
    args: Vec<String>,
}

/// `kv patch`.
#[derive(Debug, clap::Args)]
pub struct Patch {
    #[command(flatten)]
    mount: Mount,
    /// Patch only if this is the current version.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    cas: Option<i64>,
    /// "patch": one PATCH request; "rw": read, change here, write. The default tries the first, then the second.
    #[arg(long, value_name = "string", default_value = "")]
    method: String,
    /// A key to remove. May be given several times.
    #[arg(long, value_name = "string")]
    remove_data: Vec<String>,
    #[arg(value_name = "KEY [DATA]")]
    args: Vec<String>,
}

/// `kv delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    mount: Mount,
    /// The versions to delete, separated by commas; else the newest.
    #[arg(long, value_name = "string", value_delimiter = ',')]
    versions: Vec<String>,
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// `kv undelete`, `kv destroy`.
#[derive(Debug, clap::Args)]
pub struct Versions {
    #[command(flatten)]
    mount: Mount,
    /// The versions, separated by commas.
    #[arg(long, value_name = "string", value_delimiter = ',')]
    versions: Vec<String>,
    #[arg(value_name = "KEY")]
    args: Vec<String>,
}

/// `kv enable-versioning`.
#[derive(Debug, clap::Args)]
pub struct EnableVersioning {
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// `kv list`, `kv scan`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    mount: Mount,
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// `kv rollback`.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    #[command(flatten)]
    mount: Mount,
    /// The version to make current again.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    version: Option<i64>,
    #[arg(value_name = "KEY")]
    args: Vec<String>,
}

/// Runs a `kv` command.
pub async fn run(context: &Context, kv: Kv) -> Outcome {
    match kv {
        Kv::Get(args) => get(context, args).await,
        Kv::Put(args) => put(context, args).await,
        Kv::Patch(args) => patch(context, args).await,
        Kv::Delete(args) => delete(context, args).await,
        Kv::Undelete(args) => on_versions(context, args, "undelete").await,
        Kv::Destroy(args) => on_versions(context, args, "destroy").await,
        Kv::Metadata(metadata) => kv_metadata::run(context, metadata).await,
        Kv::EnableVersioning(args) => {
            let [path] = exactly(args.args)?;
            mount::enable_versioning(context, &path).await
        }
        Kv::List(args) => list(context, args, ("list", "listing", "value")).await,
        Kv::Scan(args) => list(context, args, ("scan", "scanning", "entries")).await,
        Kv::Rollback(args) => rollback(context, args).await,
    }
}

async fn get(context: &Context, get: Get) -> Outcome {
    let [path] = exactly(get.args)?;
    let client = context.client().await?;
    let place = Place::find(context, &client, &get.mount, &path).await?;
    let path = place.path("data");
    let mut request = ApiRequest::get(path.clone());
    if let Some(version) = get.version.filter(|version| *version > 0 && place.v2) {
        request = request.query("version", version.to_string());
    }
    let answer = context.logical(&client, request).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error reading {path}")))?;
    let Some(secret) = answer else {
        return Err(Failure::server(format!("No value found at {path}")));
    };
    if let Some(name) = context.field() {
        return get_field(context, &secret, name, &place, &path);
    }
    if secret.wrap_info.is_some() || context.format != Format::Table {
        return output::secret(context, &secret);
    }
    if !secret.warnings().is_empty() {
        output::err(&output::warnings(secret.warnings(), &context.brand));
    }
    if place.v2 {
        path_header(&path, "Secret Path");
    }
    if let Some(metadata) = secret.get("metadata").and_then(Value::as_object).filter(|_| place.v2) {
        section("Metadata", metadata);
        output::out("");
    }
    let data = if place.v2 { secret.get("data").and_then(Value::as_object) } else { secret.data.as_ref() };
    if let Some(data) = data {
        section("Data", data);
    }
    Ok(0)
}

fn get_field(context: &Context, secret: &ApiSecret, name: &str, place: &Place, path: &str) -> Outcome {
    if !place.v2 {
        return output::secret(context, secret);
    }
    let Some(data) = secret.get("data").and_then(Value::as_object) else {
        return Err(Failure::server(format!("No data found at {path}")));
    };
    // `-field=data` is the field of that name, or else all of the data.
    let value = match data.get(name) {
        None if name == "data" => Some(Value::Object(data.clone())),
        value => value.cloned(),
    };
    output::field(context, value, name, "map")
}

async fn put(context: &Context, put: Put) -> Outcome {
    let (path, rest) = first(put.args, ">1")?;
    let data = data::parse_kv(&context.runtime, &rest).await?;
    if rest.is_empty() {
        return Err(Failure::local("Must supply data"));
    }
    let client = context.client().await?;
    let place = Place::find(context, &client, &put.mount, &path).await?;
    let path = place.path("data");
    let body = if place.v2 { versioned(data, put.cas.filter(|cas| *cas >= 0)) } else { Value::Object(data) };
    let answer = write(context, &client, ApiRequest::put(path.clone(), body)).await?;
    show_written(context, answer, &path, place.v2)
}

/// The body of a version 2 write.
fn versioned(data: Map<String, Value>, cas: Option<i64>) -> Value {
    let options = cas.map_or_else(|| json!({}), |cas| json!({ "cas": cas }));
    json!({ "data": data, "options": options })
}

async fn write(context: &Context, client: &Client, request: ApiRequest) -> Result<Option<ApiSecret>, Failure> {
    let path = request.path.clone();
    let answer = context.write(client, request).await;
    answer.map_err(|failure| failure.context(format!("Error writing data to {path}")))
}

fn show_written(context: &Context, answer: Option<ApiSecret>, path: &str, v2: bool) -> Outcome {
    let success = format!("Success! Data written to: {path}");
    let Some(secret) = answer else {
        return output::written(context, None, &success);
    };
    if context.field().is_some() || secret.wrap_info.is_some() || context.format != Format::Table || !v2 {
        return output::secret(context, &secret);
    }
    if !secret.warnings().is_empty() {
        output::err(&output::warnings(secret.warnings(), &context.brand));
    }
    path_header(path, "Secret Path");
    if let Some(metadata) = &secret.data {
        section("Metadata", metadata);
    }
    Ok(0)
}

async fn patch(context: &Context, patch: Patch) -> Outcome {
    let (path, rest) = first(patch.args, ">1")?;
    let mut data = data::parse_kv(&context.runtime, &rest).await?;
    if data.is_empty() && patch.remove_data.is_empty() {
        return Err(Failure::local("Must supply data"));
    }
    data.extend(patch.remove_data.into_iter().map(|key| (key, Value::Null)));
    let client = context.client().await?;
    let place = Place::find(context, &client, &patch.mount, &path).await?;
    if !place.v2 {
        return Err(Failure::server("K/V engine mount must be version 2 for patch support"));
    }
    let path = place.path("data");
    let cas = patch.cas.filter(|cas| *cas > 0);
    let answer = match patch.method.as_str() {
        "rw" => read_then_write(context, &client, &path, data).await?,
        "" | "patch" => {
            let request = ApiRequest::merge_patch(path.clone(), versioned(data.clone(), cas));
            match write(context, &client, request).await {
                Err(failure) if patch.method.is_empty() && is_refused(&failure) => {
                    let answer = read_then_write(context, &client, &path, data).await?;
                    output::err(&format!(
                        "Data was written to {path} but we recommend that you add the \"patch\" capability to your ACL \
                         policy in order to use HTTP PATCH in the future."
                    ));
                    answer
                }
                answer => answer?,
            }
        }
        other => return Err(Failure::server(format!("Unsupported method provided to -method flag: {other}"))),
    };
    show_written(context, answer, &path, true)
}

/// Whether a PATCH is not allowed, where reading and writing may be.
fn is_refused(failure: &Failure) -> bool {
    failure.message.contains("\nCode: 403.") || failure.message.contains("\nCode: 405.")
}

/// Reads the newest version, changes it here and writes it back with check-and-set.
async fn read_then_write(
    context: &Context,
    client: &Client,
    path: &str,
    changes: Map<String, Value>,
) -> Result<Option<ApiSecret>, Failure> {
    let (mut data, version) = read_version(context, client, ApiRequest::get(path)).await?;
    for (key, value) in changes {
        match value {
            Value::Null => drop(data.remove(&key)),
            value => drop(data.insert(key, value)),
        }
    }
    write(context, client, ApiRequest::put(path, versioned(data, Some(version)))).await
}

/// A version's data and number.
async fn read_version(
    context: &Context,
    client: &Client,
    request: ApiRequest,
) -> Result<(Map<String, Value>, i64), Failure> {
    let (secret, version) = read_existing(context, client, request.clone()).await?;
    let path = &request.path;
    let data = secret.get("data").and_then(Value::as_object).cloned();
    let data = data.ok_or_else(|| {
        Failure::server(format!("No existing data found at {path}; patch only works on existing data"))
    })?;
    Ok((data, version))
}

/// What is at a path, deleted or not, and its version.
async fn read_existing(context: &Context, client: &Client, request: ApiRequest) -> Result<(ApiSecret, i64), Failure> {
    let path = request.path.clone();
    let answer = context.logical(client, request).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error doing pre-read at {path}")))?;
    let secret = answer.ok_or_else(|| Failure::server(format!("No value found at {path}")))?;
    let version = secret.get("metadata").and_then(|metadata| metadata.get("version")).and_then(Value::as_i64);
    let version = version.ok_or_else(|| {
        Failure::server(format!("No existing metadata found at {path}; patch only works on existing data"))
    })?;
    Ok((secret, version))
}

async fn delete(context: &Context, delete: Delete) -> Outcome {
    let [path] = exactly(delete.args)?;
    let client = context.client().await?;
    let place = Place::find(context, &client, &delete.mount, &path).await?;
    let path = place.path("data");
    let request = match delete.versions.is_empty() || !place.v2 {
        true => ApiRequest::delete(path.clone()),
        false => ApiRequest::put(place.path("delete"), json!({ "versions": numbers(&delete.versions) })),
    };
    let answer = context.write(&client, request).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error deleting {path}")))?;
    output::written(context, answer.as_ref(), &format!("Success! Data deleted (if it existed) at: {path}"))
}

async fn on_versions(context: &Context, args: Versions, what: &str) -> Outcome {
    let [path] = exactly(args.args)?;
    if args.versions.is_empty() {
        return Err(Failure::local(format!(
            "No versions provided, use the \"-versions\" flag to specify the version to {what}."
        )));
    }
    let client = context.client().await?;
    let place = Place::find(context, &client, &args.mount, &path).await?;
    if !place.v2 {
        let (first, rest) = what.split_at(1);
        return Err(Failure::local(format!("{}{rest} not supported on KV Version 1", first.to_uppercase())));
    }
    let path = place.path(what);
    let answer =
        write(context, &client, ApiRequest::put(path.clone(), json!({ "versions": numbers(&args.versions) }))).await?;
    output::written(context, answer.as_ref(), &format!("Success! Data written to: {path}"))
}

fn numbers(versions: &[String]) -> Vec<&str> {
    versions.iter().map(|version| version.trim()).filter(|version| !version.is_empty()).collect()
}

async fn list(context: &Context, list: List, (operation, doing, what): Listing) -> Outcome {
    let path = match (list.args.is_empty(), list.mount.mount.is_empty()) {
        // With -mount alone the whole mount is listed.
        (true, false) => String::new(),
        _ => {
            let [path] = exactly(list.args)?;
            path
        }
    };
    let client = context.client().await?;
    let place = Place::find(context, &client, &list.mount, &path).await?;
    let path = place.path("metadata");
    let answer = context.logical(&client, ApiRequest::get(path.clone()).query(operation, "true")).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error {doing} {path}")))?;
    if let Some(answer) = answer.as_ref().filter(|answer| answer.wrap_info.is_some()) {
        return output::secret(context, answer);
    }
    // Unlike `list` this fails whatever warnings there are.
    let answer = answer.filter(|answer| !answer.is_empty());
    let what = if answer.is_some() { what } else { "value" };
    output::list(context, answer.as_ref(), &format!("No {what} found at {path}"))
}

async fn rollback(context: &Context, rollback: Rollback) -> Outcome {
    let [path] = exactly(rollback.args)?;
    let version = match rollback.version {
        None => return Err(Failure::local("Version flag must be specified")),
        Some(version) if version <= 0 => {
            return Err(Failure::local(format!("Invalid value {version} for the version flag")));
        }
        Some(version) => version,
    };
    let client = context.client().await?;
    let place = Place::find(context, &client, &rollback.mount, &path).await?;
    if !place.v2 {
        return Err(Failure::server("K/V engine mount must be version 2 for rollback support"));
    }
    let path = place.path("data");
    let (_, current) = read_existing(context, &client, ApiRequest::get(path.clone())).await?;
    let request = ApiRequest::get(path.clone()).query("version", version.to_string());
    let (old, _) = read_existing(context, &client, request).await?;
    let metadata = old.get("metadata");
    let deleted = metadata.and_then(|m| m.get("deletion_time")).and_then(Value::as_str).is_some_and(|t| !t.is_empty());
    if deleted {
        return Err(Failure::server("Cannot roll back to a version that has been deleted"));
    }
    if metadata.and_then(|m| m.get("destroyed")).and_then(Value::as_bool) == Some(true) {
        return Err(Failure::server("Cannot roll back to a version that has been destroyed"));
    }
    let data = old.get("data").and_then(Value::as_object).cloned();
    let data = data.ok_or_else(|| Failure::server(format!("No data found at {path}")))?;
    let answer = write(context, &client, ApiRequest::put(path.clone(), versioned(data, Some(current)))).await?;
    output::written(context, answer.as_ref(), &format!("Success! Data written to: {path}"))
}

/// The path under its title.
pub fn path_header(path: &str, title: &str) {
    output::out(&table::padded(title, path.len()));
    output::out(&format!("{path}\n"));
}

/// A map under its title.
pub fn section(title: &str, map: &Map<String, Value>) {
    output::out(&table::map_header(title, map));
    if !map.is_empty() {
        output::out(&table::map(map));
    }
}
