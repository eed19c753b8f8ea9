//! `kv metadata`: what a KV version 2 store keeps besides the data.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::exactly;
use super::kv::{Mount, path_header, section};
use super::kv_place::Place;
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome};
use crate::client::{ApiRequest, ApiSecret, Client};
use crate::duration::go_text;

/// This command has subcommands for the metadata of a key: its versions, its settings, its custom metadata.
#[derive(Debug, clap::Subcommand)]
pub enum Metadata {
    /// Delete all versions and metadata for a key in the KV store.
    Delete(Args),
    /// Retrieve key metadata from the KV store.
    Get(Args),
    /// Patch key settings in the KV store.
    Patch(PatchArgs),
    /// Set or update key settings in the KV store.
    Put(PutArgs),
}

/// One key.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    mount: Mount,
    #[arg(value_name = "KEY")]
    args: Vec<String>,
}

/// A key's settings.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// Whether every write of the key needs check-and-set; else the mount's setting.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = crate::cli::args::boolean)]
    cas_required: Option<bool>,
    /// A key=value to keep with the key. May be given several times.
    #[arg(long, value_name = "key=value", value_parser = crate::cli::args::pair)]
    custom_metadata: Vec<(String, String)>,
    /// Time after which a version is deleted; else the mount's setting.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration)]
    delete_version_after: Option<Duration>,
    /// How many versions to keep; else the mount's setting.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    max_versions: Option<i64>,
}

/// `kv metadata put`.
#[derive(Debug, clap::Args)]
pub struct PutArgs {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    key: Args,
}

/// `kv metadata patch`.
#[derive(Debug, clap::Args)]
pub struct PatchArgs {
    #[command(flatten)]
    settings: Settings,
    /// A custom metadata key to remove. May be given several times.
    #[arg(long, value_name = "string")]
    remove_custom_metadata: Vec<String>,
    #[command(flatten)]
    key: Args,
}

/// Runs a `kv metadata` command.
pub async fn run(context: &Context, metadata: Metadata) -> Outcome {
    match metadata {
        Metadata::Get(args) => get(context, args).await,
        Metadata::Put(args) => put(context, args).await,
        Metadata::Patch(args) => patch(context, args).await,
        Metadata::Delete(args) => delete(context, args).await,
    }
}

async fn open(context: &Context, key: Args) -> Result<(Client, String), Failure> {
    let [path] = exactly(key.args)?;
    let client = context.client().await?;
    let place = Place::find(context, &client, &key.mount, &path).await?;
    if !place.v2 {
        return Err(Failure::local("Metadata not supported on KV Version 1"));
    }
    Ok((client, place.path("metadata")))
}

async fn get(context: &Context, key: Args) -> Outcome {
    let (client, path) = open(context, key).await?;
    let answer = context.logical(&client, ApiRequest::get(path.clone())).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error reading {path}")))?;
    let Some(secret) = answer else {
        return Err(Failure::server(format!("No value found at {path}")));
    };
    if context.format != Format::Table || secret.wrap_info.is_some() || context.field().is_some() {
        return output::secret(context, &secret);
    }
    show(&secret, &path)
}

fn show(secret: &ApiSecret, path: &str) -> Outcome {
    let mut metadata = secret.data.clone().unwrap_or_default();
    let Some(Value::Object(versions)) = metadata.remove("versions") else {
        return Err(Failure::server(format!("No value found at {path}")));
    };
    path_header(path, "Metadata Path");
    section("Metadata", &metadata);
    let mut versions: Vec<(u64, &Map<String, Value>)> =
        versions.iter().filter_map(|(number, version)| Some((number.parse().ok()?, version.as_object()?))).collect();
    versions.sort_by_key(|(number, _)| *number);
    for (number, version) in versions {
        output::out("");
        section(&format!("Version {number}"), version);
    }
    Ok(0)
}

fn body(settings: &Settings) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(required) = settings.cas_required {
        body.insert("cas_required".to_string(), required.into());
    }
    if let Some(versions) = settings.max_versions.filter(|versions| *versions >= 0) {
        body.insert("max_versions".to_string(), versions.into());
    }
    if let Some(after) = settings.delete_version_after {
        body.insert("delete_version_after".to_string(), go_text(after).into());
    }
    if !settings.custom_metadata.is_empty() {
        body.insert("custom_metadata".to_string(), custom(settings));
    }
    body
}

fn custom(settings: &Settings) -> Value {
    settings
        .custom_metadata
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.clone())))
        .collect::<Map<_, _>>()
        .into()
}

async fn put(context: &Context, args: PutArgs) -> Outcome {
    let body = body(&args.settings);
    let (client, path) = open(context, args.key).await?;
    written(context, &client, ApiRequest::put(path, body.into())).await
}

async fn patch(context: &Context, args: PatchArgs) -> Outcome {
    let mut body = body(&args.settings);
    let mut custom = custom(&args.settings);
    for key in &args.remove_custom_metadata {
        custom[key.as_str()] = Value::Null;
    }
    body.insert("custom_metadata".to_string(), custom);
    let (client, path) = open(context, args.key).await?;
    written(context, &client, ApiRequest::merge_patch(path, json!(body))).await
}

async fn written(context: &Context, client: &Client, request: ApiRequest) -> Outcome {
    let path = request.path.clone();
    let answer = context.write(client, request).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error writing data to {path}")))?;
    output::written(context, answer.as_ref(), &format!("Success! Data written to: {path}"))
}

async fn delete(context: &Context, key: Args) -> Outcome {
    let (client, path) = open(context, key).await?;
    let done = context.send(&client, ApiRequest::delete(path.clone())).await;
    done.map_err(|failure| failure.context(format!("Error deleting {path}")))?;
    output::out(&format!("Success! Data deleted (if it existed) at: {path}"));
    Ok(0)
}
