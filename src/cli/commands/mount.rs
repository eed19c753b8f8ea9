//! What `secrets` and `auth` have in common: enabling, disabling, listing, tuning and moving what is mounted.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{clean_path, exactly};
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome, progress, table, value};
use crate::client::{ApiRequest, Client};
use crate::duration::go_text;

/// The two kinds of what can be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `secrets`.
    Secrets,
    /// `auth`.
    Auth,
}

/// One mount's path.
#[derive(Debug, clap::Args)]
pub struct PathArg {
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// Where from and where to.
#[derive(Debug, clap::Args)]
pub struct Move {
    #[arg(value_name = "SOURCE DESTINATION")]
    args: Vec<String>,
}

/// Nothing.
#[derive(Debug, clap::Args)]
pub struct List {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// What can be set when it is enabled and changed later.
#[derive(Debug, Default, clap::Args)]
pub struct Settings {
    /// A response header that may be set. May be given several times.
    #[arg(long, value_name = "string")]
    allowed_response_headers: Vec<String>,
    /// A key of requests that audit logs show in plain. May be given several times.
    #[arg(long, value_name = "string")]
    audit_non_hmac_request_keys: Vec<String>,
    /// A key of responses that audit logs show in plain. May be given several times.
    #[arg(long, value_name = "string")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Default lifetime of leases and tokens; else the server's.
    #[arg(long, value_name = "duration", value_parser = Ttl::parse)]
    default_lease_ttl: Option<Ttl>,
    /// For people.
    #[arg(long, value_name = "string")]
    description: Option<String>,
    /// Whether the mount is listed for those who may not read it: "unauth" or "hidden".
    #[arg(long, value_name = "string")]
    listing_visibility: Option<String>,
    /// Longest lifetime of leases and tokens; else the server's.
    #[arg(long, value_name = "duration", value_parser = Ttl::parse)]
    max_lease_ttl: Option<Ttl>,
    /// An option of what is mounted, key=value. May be given several times.
    #[arg(long, value_name = "key=value", value_parser = crate::cli::args::pair)]
    options: Vec<(String, String)>,
    /// A request header that is passed on. May be given several times.
    #[arg(long, value_name = "string")]
    passthrough_request_headers: Vec<String>,
    /// Version of the plugin.
    #[arg(long, value_name = "string")]
    plugin_version: Option<String>,
    /// Version of what is mounted, where there are several.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    version: Option<i64>,
}

/// What can be set only when it is enabled.
#[derive(Debug, Default, clap::Args)]
pub struct Enable {
    #[command(flatten)]
    settings: Settings,
    /// Accepted for compatibility.
    #[arg(long)]
    external_entropy_access: bool,
    /// Not replicated to other clusters.
    #[arg(long)]
    local: bool,
    /// Where to mount it; the default is its type.
    #[arg(long, value_name = "string")]
    path: Option<String>,
    /// Name of the plugin if the type is "plugin".
    #[arg(long, value_name = "string")]
    plugin_name: Option<String>,
    /// Wrap critical values with the seal as well.
    #[arg(long)]
    seal_wrap: bool,
    #[arg(value_name = "TYPE")]
    args: Vec<String>,
}

/// A lifetime: a duration, or for a negative one the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ttl {
    negative: bool,
    length: Duration,
}

impl Ttl {
    fn parse(text: &str) -> Result<Ttl, String> {
        let length = crate::cli::args::duration(text.strip_prefix('-').unwrap_or(text));
        let length = length.map_err(|_| format!("time: invalid duration {text:?}"))?;
        Ok(Ttl { negative: text.starts_with('-') && !length.is_zero(), length })
    }

    /// As a new mount has it.
    fn initial(ttl: Option<Ttl>) -> String {
        let ttl = ttl.unwrap_or_default();
        format!("{}{}", if ttl.negative { "-" } else { "" }, go_text(ttl.length))
    }

    /// As a change has it: nothing leaves it as it is.
    fn change(ttl: Option<Ttl>) -> String {
        match ttl {
            Some(ttl) if ttl.negative => "system".to_string(),
            Some(ttl) if !ttl.length.is_zero() => go_text(ttl.length),
            _ => String::new(),
        }
    }
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Kind::Secrets => "secrets engine",
            Kind::Auth => "auth method",
        }
    }

    fn api(self) -> &'static str {
        match self {
            Kind::Secrets => "sys/mounts",
            Kind::Auth => "sys/auth",
        }
    }
}

impl Settings {
    /// What a mount's `config` says of these.
    fn config(&self) -> Map<String, Value> {
        let mut config = Map::from_iter([("force_no_cache".to_string(), false.into())]);
        let lists = [
            ("audit_non_hmac_request_keys", &self.audit_non_hmac_request_keys),
            ("audit_non_hmac_response_keys", &self.audit_non_hmac_response_keys),
            ("passthrough_request_headers", &self.passthrough_request_headers),
            ("allowed_response_headers", &self.allowed_response_headers),
        ];
        for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            config.insert(key.to_string(), values.clone().into());
        }
        let texts = [("listing_visibility", &self.listing_visibility), ("plugin_version", &self.plugin_version)];
        for (key, text) in texts {
            if let Some(text) = text {
                config.insert(key.to_string(), text.clone().into());
            }
        }
        config
    }

    fn options(&self) -> Value {
        let mut options: Map<String, Value> =
            self.options.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        if let Some(version) = self.version.filter(|version| *version > 0) {
            options.insert("version".to_string(), version.to_string().into());
        }
        if options.is_empty() { Value::Null } else { Value::Object(options) }
    }

    /// The body that changes a mount.
    fn change(&self) -> Map<String, Value> {
        let mut body = self.config();
        body.insert("options".to_string(), self.options());
        body.insert("default_lease_ttl".to_string(), Ttl::change(self.default_lease_ttl).into());
        body.insert("max_lease_ttl".to_string(), Ttl::change(self.max_lease_ttl).into());
        if let Some(description) = &self.description {
            body.insert("description".to_string(), description.clone().into());
        }
        body
    }
}

/// Enables an engine or a method; `config` is what only this kind has in its configuration.
pub async fn enable(context: &Context, kind: Kind, enable: Enable, config: Map<String, Value>) -> Outcome {
    let [name] = exactly(enable.args.clone())?;
    let mut name = name.trim().to_string();
    if name == "plugin" {
        name = enable.plugin_name.clone().ok_or_else(|| Failure::local("The plugin type requires -plugin-name"))?;
    }
    let path = match &enable.path {
        Some(path) => clean_path(path),
        None => name.clone(),
    };
    let body = enable_body(&enable, &name, config);
    let client = context.client().await?;
    let done = context.send(&client, ApiRequest::post(format!("{}/{path}", kind.api()), body)).await;
    match kind {
        Kind::Secrets => {
            done.map_err(|failure| failure.context("Error enabling"))?;
            output::out(&format!("Success! Enabled the {name} secrets engine at: {path}/"));
        }
        Kind::Auth => {
            done.map_err(|failure| failure.context(format!("Error enabling {name} auth")))?;
            output::out(&format!("Success! Enabled {name} auth method at: {path}/"));
        }
    }
    Ok(0)
}

fn enable_body(enable: &Enable, name: &str, more: Map<String, Value>) -> Value {
    let settings = &enable.settings;
    let mut config = settings.config();
    config.insert("options".to_string(), Value::Null);
    config.insert("default_lease_ttl".to_string(), Ttl::initial(settings.default_lease_ttl).into());
    config.insert("max_lease_ttl".to_string(), Ttl::initial(settings.max_lease_ttl).into());
    config.extend(more);
    json!({
        "type": name,
        "description": settings.description.as_deref().unwrap_or_default(),
        "config": config,
        "local": enable.local,
        "seal_wrap": enable.seal_wrap,
        "external_entropy_access": enable.external_entropy_access,
        "options": settings.options(),
    })
}

/// Disables what is at a path.
pub async fn disable(context: &Context, kind: Kind, disable: PathArg) -> Outcome {
    let [path] = exactly(disable.args)?;
    let path = clean_path(&path);
    let client = context.client().await?;
    let done = context.send(&client, ApiRequest::delete(format!("{}/{path}", kind.api()))).await;
    done.map_err(|failure| failure.context(format!("Error disabling {} at {path}/", kind.noun())))?;
    output::out(&format!("Success! Disabled the {} (if it existed) at: {path}/", kind.noun()));
    Ok(0)
}

/// Changes settings; `more` is what only this kind has.
pub async fn tune(
    context: &Context,
    kind: Kind,
    args: Vec<String>,
    settings: &Settings,
    more: Map<String, Value>,
) -> Outcome {
    let [path] = exactly(args)?;
    let path = clean_path(&path);
    let mut body = settings.change();
    body.extend(more);
    send_tune(context, kind, &path, Value::Object(body)).await
}

/// Makes a KV store versioned.
pub async fn enable_versioning(context: &Context, path: &str) -> Outcome {
    let settings = Settings { version: Some(2), ..Settings::default() };
    send_tune(context, Kind::Secrets, &clean_path(path), Value::Object(settings.change())).await
}

async fn send_tune(context: &Context, kind: Kind, path: &str, body: Value) -> Outcome {
    let below = if kind == Kind::Auth { "auth/" } else { "" };
    let client = context.client().await?;
    // The answer may warn of `force_no_cache`, which peers send as well and do not know either: it is not shown.
    let done = context.send(&client, ApiRequest::post(format!("sys/mounts/{below}{path}/tune"), body)).await;
    done.map_err(|failure| failure.context(format!("Error tuning {} {path}/", kind.noun())))?;
    output::out(&format!("Success! Tuned the {} at: {path}/", kind.noun()));
    Ok(0)
}

/// Moves what is mounted and waits until that is done.
pub async fn relocate(context: &Context, kind: Kind, relocate: Move) -> Outcome {
    let [from, to] = exactly(relocate.args)?;
    let (from, to) = (place(kind, &from), place(kind, &to));
    let what = format!("{} {from} to {to}", kind.noun());
    let client = context.client().await?;
    let request = ApiRequest::post("sys/remount", json!({ "from": from, "to": to }));
    let answer = context.write(&client, request).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error moving {what}")))?.unwrap_or_default();
    let id = answer.get("migration_id").and_then(Value::as_str).unwrap_or_default().to_string();
    output::out(&format!("Started moving {what}, with migration ID {id}"));
    if !progress::during(&format!("Moving {what}"), moved(context, &client, &what, &id)).await? {
        return Err(Failure::server(format!("Failure! Error encountered moving {what}, with migration ID {id}")));
    }
    output::out(&format!("Success! Finished moving {what}, with migration ID {id}"));
    Ok(0)
}

/// Waits for the end of a move; whether it went well.
async fn moved(context: &Context, client: &Client, what: &str, id: &str) -> Result<bool, Failure> {
    let mut pause = POLL_FIRST;
    loop {
        let answer = context.logical(client, ApiRequest::get(format!("sys/remount/status/{id}"))).await;
        let answer = answer.map_err(|failure| failure.context(format!("Error checking migration status of {what}")))?;
        let info = answer.as_ref().and_then(|answer| answer.get("migration_info"));
        match info.and_then(|info| info["status"].as_str()).unwrap_or_default() {
            "success" => return Ok(true),
            "failure" => return Ok(false),
            _ => {}
        }
        if pause == POLL_FIRST {
            output::out(&format!("Waiting for terminal status in migration of {what}, with migration ID {id}"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL_LAST);
    }
}

/// A path with its slash. The API knows auth methods by their place below `auth/`, which people leave out.
fn place(kind: Kind, path: &str) -> String {
    let path = clean_path(path);
    let below = path.starts_with("auth/") || path.contains("/auth/");
    if kind == Kind::Auth && !below { format!("auth/{path}/") } else { format!("{path}/") }
}

/// Lists what is mounted.
pub async fn list(context: &Context, kind: Kind, list: List) -> Outcome {
    exactly::<0>(list.args)?;
    let client = context.client().await?;
    let plural = match kind {
        Kind::Secrets => "Error listing secrets engines",
        Kind::Auth => "Error listing enabled authentications",
    };
    let mut mounts = read_all(context, &client, kind).await.map_err(|failure| failure.context(plural))?;
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
    // The variable DETAILED is for `list` alone.
    let detailed = context.global.detailed;
    let row = if detailed { details } else { brief };
    let rows: Vec<Vec<String>> = mounts.into_iter().map(|(path, mount)| row(kind, path, mount)).collect();
    let header = match (kind, detailed) {
        (Kind::Secrets, false) => BRIEF[..4].to_vec(),
        (Kind::Auth, false) => BRIEF.to_vec(),
        (_, true) => DETAILED.map(|title| if title == SPECIFIC { kind.specific().0 } else { title }).to_vec(),
    };
    output::out(&table::table(&header, &rows));
    Ok(0)
}

/// All mounts by path.
pub async fn read_all(context: &Context, client: &Client, kind: Kind) -> Result<Map<String, Value>, Failure> {
    let answer = context.logical(client, ApiRequest::get(kind.api())).await?;
    Ok(answer.and_then(|answer| answer.data).unwrap_or_default())
}

impl Kind {
    /// The column that only one kind has, and its key in the configuration.
    fn specific(self) -> (&'static str, &'static str) {
        match self {
            Kind::Secrets => ("Force No Cache", "force_no_cache"),
            Kind::Auth => ("Token Type", "token_type"),
        }
    }
}

fn text(mount: &Value, key: &str) -> String {
    match &mount[key] {
        Value::Null => String::new(),
        value => value::go_text(value),
    }
}

fn brief(kind: Kind, path: &str, mount: &Value) -> Vec<String> {
    let mut row = vec![path.to_string(), text(mount, "type"), text(mount, "accessor"), text(mount, "description")];
    if kind == Kind::Auth {
        row.push(text(mount, "plugin_version"));
    }
    row
}

fn details(kind: Kind, path: &str, mount: &Value) -> Vec<String> {
    let config = &mount["config"];
    let name = text(mount, "type");
    let without_leases = matches!(name.as_str(), "system" | "cubbyhole");
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
        name.clone(),
        text(mount, "accessor"),
        ttl("default_lease_ttl"),
        ttl("max_lease_ttl"),
        match kind {
            Kind::Secrets => flag(&config["force_no_cache"]),
            Kind::Auth => text(config, kind.specific().1),
        },
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

const BRIEF: [&str; 5] = ["Path", "Type", "Accessor", "Description", "Version"];
const SPECIFIC: &str = "";
const DETAILED: [&str; 16] = [
    "Path",
    "Plugin",
    "Accessor",
    "Default TTL",
    "Max TTL",
    SPECIFIC,
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
const POLL_FIRST: Duration = Duration::from_millis(50);
const POLL_LAST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_holds_what_was_given() {
        assert_eq!(
            Value::Object(Settings::default().change()),
            json!({ "options": null, "default_lease_ttl": "", "max_lease_ttl": "", "force_no_cache": false })
        );
        let settings = Settings {
            default_lease_ttl: Some(Ttl::parse("-1").unwrap()),
            max_lease_ttl: Some(Ttl::parse("100h").unwrap()),
            description: Some(String::new()),
            options: vec![("a".into(), "b".into())],
            version: Some(2),
            allowed_response_headers: vec!["X".into(), "Y".into()],
            ..Settings::default()
        };
        assert_eq!(
            Value::Object(settings.change()),
            json!({
                "options": { "a": "b", "version": "2" }, "default_lease_ttl": "system", "max_lease_ttl": "100h0m0s",
                "description": "", "force_no_cache": false, "allowed_response_headers": ["X", "Y"],
            })
        );
    }

    #[test]
    fn lifetimes_as_gos() {
        assert!(Ttl::parse("x").is_err());
        assert_eq!(Ttl::initial(None), "0s");
        assert_eq!(Ttl::initial(Ttl::parse("-1s").ok()), "-1s");
        assert_eq!(Ttl::change(Ttl::parse("0").ok()), "");
    }

    #[test]
    fn methods_lie_below_auth() {
        for (kind, path, full) in [
            (Kind::Secrets, "/secret/", "secret/"),
            (Kind::Auth, "userpass", "auth/userpass/"),
            (Kind::Auth, "auth/userpass/", "auth/userpass/"),
            (Kind::Auth, "ns1/auth/userpass", "ns1/auth/userpass/"),
        ] {
            assert_eq!(place(kind, path), full);
        }
    }
}
