//! `secrets`: enable, disable, list.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{clean_path, exactly};
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome, table, value};
use crate::client::ApiRequest;
use crate::duration::go_text;

/// This command groups what is done with secrets engines. Each behaves differently.
#[derive(Debug, clap::Subcommand)]
pub enum Secrets {
    /// Disable a secrets engine.
    Disable(Disable),
    /// Enable a secrets engine.
    Enable(Box<Enable>),
    /// List enabled secrets engines.
    List(List),
}

/// `secrets disable`.
#[derive(Debug, clap::Args)]
pub struct Disable {
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// `secrets list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// `secrets enable`.
#[derive(Debug, clap::Args)]
pub struct Enable {
    /// A response header that the engine may set. May be given several times.
    #[arg(long, value_name = "string")]
    allowed_response_headers: Vec<String>,
    /// A key of requests that audit logs show in plain. May be given several times.
    #[arg(long, value_name = "string")]
    audit_non_hmac_request_keys: Vec<String>,
    /// A key of responses that audit logs show in plain. May be given several times.
    #[arg(long, value_name = "string")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Default lifetime of leases; else the server's.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration, default_value = "0")]
    default_lease_ttl: Duration,
    /// For people.
    #[arg(long, value_name = "string", default_value = "")]
    description: String,
    /// Accepted for compatibility.
    #[arg(long)]
    external_entropy_access: bool,
    /// Accepted for compatibility.
    #[arg(long)]
    force_no_cache: bool,
    /// Whether the mount is listed for those who may not read it: "unauth" or "hidden".
    #[arg(long, value_name = "string")]
    listing_visibility: Option<String>,
    /// Not replicated to other clusters.
    #[arg(long)]
    local: bool,
    /// Longest lifetime of leases; else the server's.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration, default_value = "0")]
    max_lease_ttl: Duration,
    /// An option of the engine, key=value. May be given several times.
    #[arg(long, value_name = "key=value", value_parser = crate::cli::args::pair)]
    options: Vec<(String, String)>,
    /// A request header that is passed to the engine. May be given several times.
    #[arg(long, value_name = "string")]
    passthrough_request_headers: Vec<String>,
    /// Where to mount it; the default is its type.
    #[arg(long, value_name = "string")]
    path: Option<String>,
    /// Name of the engine if the type is "plugin".
    #[arg(long, value_name = "string")]
    plugin_name: Option<String>,
    /// Version of the plugin.
    #[arg(long, value_name = "string")]
    plugin_version: Option<String>,
    /// Wrap critical values with the seal as well.
    #[arg(long)]
    seal_wrap: bool,
    /// Version of the engine, where it has several.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    version: Option<i64>,
    #[arg(value_name = "TYPE")]
    args: Vec<String>,
}

/// Runs a `secrets` command.
pub async fn run(context: &Context, secrets: Secrets) -> Outcome {
    match secrets {
        Secrets::Enable(args) => enable(context, *args).await,
        Secrets::Disable(args) => disable(context, args).await,
        Secrets::List(args) => list(context, args).await,
    }
}

async fn enable(context: &Context, enable: Enable) -> Outcome {
    let [kind] = exactly(enable.args.clone())?;
    let mut kind = kind.trim().to_string();
    if kind == "plugin" {
        kind = enable.plugin_name.clone().ok_or_else(|| Failure::local("The plugin type requires -plugin-name"))?;
    }
    let path = match &enable.path {
        Some(path) => clean_path(path),
        None => kind.clone(),
    };
    let body = enable_body(&enable, &kind);
    let client = context.client().await?;
    let done = context.send(&client, ApiRequest::post(format!("sys/mounts/{path}"), body)).await;
    done.map_err(|failure| failure.context("Error enabling"))?;
    output::out(&format!("Success! Enabled the {kind} secrets engine at: {path}/"));
    Ok(0)
}

fn enable_body(enable: &Enable, kind: &str) -> Value {
    let mut options: Map<String, Value> =
        enable.options.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    if let Some(version) = enable.version.filter(|version| *version > 0) {
        options.insert("version".to_string(), version.to_string().into());
    }
    let mut config = json!({
        "options": null,
        "default_lease_ttl": go_text(enable.default_lease_ttl),
        "max_lease_ttl": go_text(enable.max_lease_ttl),
        "force_no_cache": enable.force_no_cache,
    });
    let lists = [
        ("audit_non_hmac_request_keys", &enable.audit_non_hmac_request_keys),
        ("audit_non_hmac_response_keys", &enable.audit_non_hmac_response_keys),
        ("passthrough_request_headers", &enable.passthrough_request_headers),
        ("allowed_response_headers", &enable.allowed_response_headers),
    ];
    for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        config[key] = values.clone().into();
    }
    if let Some(visibility) = &enable.listing_visibility {
        config["listing_visibility"] = visibility.clone().into();
    }
    if let Some(version) = &enable.plugin_version {
        config["plugin_version"] = version.clone().into();
    }
    json!({
        "type": kind,
        "description": enable.description,
        "config": config,
        "local": enable.local,
        "seal_wrap": enable.seal_wrap,
        "external_entropy_access": enable.external_entropy_access,
        "options": if options.is_empty() { Value::Null } else { Value::Object(options) },
    })
}

async fn disable(context: &Context, disable: Disable) -> Outcome {
    let [path] = exactly(disable.args)?;
    let path = clean_path(&path);
    let client = context.client().await?;
    let done = context.send(&client, ApiRequest::delete(format!("sys/mounts/{path}"))).await;
    done.map_err(|failure| failure.context(format!("Error disabling secrets engine at {path}/")))?;
    output::out(&format!("Success! Disabled the secrets engine (if it existed) at: {path}/"));
    Ok(0)
}

async fn list(context: &Context, list: List) -> Outcome {
    exactly::<0>(list.args)?;
    let client = context.client().await?;
    let answer = context.logical(&client, ApiRequest::get("sys/mounts")).await;
    let answer = answer.map_err(|failure| failure.context("Error listing secrets engines"))?;
    let mut mounts = answer.and_then(|answer| answer.data).unwrap_or_default();
    for mount in mounts.values_mut().filter_map(Value::as_object_mut) {
        for key in ["deprecation_status", "plugin_version", "running_plugin_version", "running_sha256"] {
            mount.entry(key).or_insert_with(|| "".into());
        }
    }
    if context.format != Format::Table {
        return output::structured(context, &mounts);
    }
    let mut mounts: Vec<_> = mounts.iter().collect();
    mounts.sort_by_key(|(path, _)| *path);
    let detailed = context.detailed();
    let rows = mounts.into_iter().map(|(path, mount)| if detailed { details(path, mount) } else { brief(path, mount) });
    let rows: Vec<Vec<String>> = rows.collect();
    output::out(&table::table(if detailed { &DETAILED } else { &BRIEF }, &rows));
    Ok(0)
}

fn text(mount: &Value, key: &str) -> String {
    match &mount[key] {
        Value::Null => String::new(),
        value => value::go_text(value),
    }
}

fn brief(path: &str, mount: &Value) -> Vec<String> {
    vec![path.to_string(), text(mount, "type"), text(mount, "accessor"), text(mount, "description")]
}

fn details(path: &str, mount: &Value) -> Vec<String> {
    let config = &mount["config"];
    let kind = text(mount, "type");
    let without_leases = matches!(kind.as_str(), "system" | "cubbyhole");
    let ttl = |key: &str| match config[key].as_i64() {
        _ if without_leases => String::new(),
        None | Some(0) => "system".to_string(),
        Some(seconds) => seconds.to_string(),
    };
    let options = match &mount["options"] {
        Value::Null => "map[]".to_string(),
        options => value::go_text(options),
    };
    let flag = |value: &Value| value.as_bool().unwrap_or(false).to_string();
    vec![
        path.to_string(),
        kind.clone(),
        text(mount, "accessor"),
        ttl("default_lease_ttl"),
        ttl("max_lease_ttl"),
        flag(&config["force_no_cache"]),
        if mount["local"].as_bool() == Some(true) { "local" } else { "replicated" }.to_string(),
        flag(&mount["seal_wrap"]),
        flag(&mount["external_entropy_access"]),
        options,
        text(mount, "description"),
        text(mount, "uuid"),
        text(mount, "plugin_version"),
        text(mount, "running_plugin_version"),
        text(mount, "running_sha256"),
        text(mount, "deprecation_status"),
    ]
}

const BRIEF: [&str; 4] = ["Path", "Type", "Accessor", "Description"];
const DETAILED: [&str; 16] = [
    "Path",
    "Plugin",
    "Accessor",
    "Default TTL",
    "Max TTL",
    "Force No Cache",
    "Replication",
    "Seal Wrap",
    "External Entropy Access",
    "Options",
    "Description",
    "UUID",
    "Version",
    "Running Version",
    "Running SHA256",
    "Deprecation Status",
];
