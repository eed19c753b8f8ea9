//! `sys/mounts/:path/tune` and `sys/auth/:path/tune`: what can be changed of a mount while it is used.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Ask;
use super::mounts::full_path;
use crate::core::mount::{Class, Mount, Router, Tuned};
use crate::core::{Core, Error, Operation, Request, Response, Result};
use crate::logical::route::{Field, Kind, Route, Verb};

const CONFIG: &[Field] = &[
    Field::new(
        "default_lease_ttl",
        Kind::Duration,
        "Life of a lease that asks for none; 0 or `system` is the system's.",
    ),
    Field::new("max_lease_ttl", Kind::Duration, "The longest life of a lease; 0 or `system` is the system's."),
    Field::new("description", Kind::Text, "For people."),
    Field::new("options", Kind::Map, "What the engine is given; merged with what it has."),
    Field::new(
        "listing_visibility",
        Kind::Text,
        "`unauth` shows the mount without a token; `hidden` or empty does not.",
    ),
    Field::new("passthrough_request_headers", Kind::List, "Headers of requests that the engine sees."),
    Field::new("allowed_response_headers", Kind::List, "Headers that the engine may add to answers."),
    Field::new("audit_non_hmac_request_keys", Kind::List, "Fields of requests that audit devices write in the clear."),
    Field::new("audit_non_hmac_response_keys", Kind::List, "Fields of answers that audit devices write in the clear."),
    Field::new("allowed_managed_keys", Kind::List, "Accepted and ignored: there are no managed keys."),
    Field::new(
        "token_type",
        Kind::Text,
        "Which tokens an auth method gives: default-service, default-batch, service, batch.",
    ),
    Field::new(
        "user_lockout_config",
        Kind::Any,
        "lockout_threshold, lockout_duration, lockout_counter_reset, lockout_disable.",
    ),
    Field::new("plugin_version", Kind::Text, "Accepted if empty; engines are built in."),
    Field::new("force_no_cache", Kind::Flag, "Shown as it was when the mount was enabled."),
];

const VERBS: &[Verb] = &[
    Verb::new(Operation::Read, "Shows the settings, with the system's TTLs where the mount has none.", CONFIG),
    Verb::new(Operation::Update, "Changes the settings that are given.", &[]),
];

/// Both classes' tune.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "mounts/{path...}/tune",
        about: "Settings of a mount of a secret engine.",
        verbs: VERBS,
        fields: CONFIG,
    },
    Route {
        pattern: "auth/{path...}/tune",
        about: "Settings of a mount of an auth method.",
        verbs: VERBS,
        fields: CONFIG,
    },
];

/// Auth methods that lock users out.
const LOCKOUT_KINDS: [&str; 3] = ["userpass", "approle", "ldap"];

impl Core {
    /// Serves them.
    pub(super) async fn sys_tune(&self, ask: Ask<'_>) -> Result<Response> {
        let router = self.router.get(self.raft.state(), &ask.unsealed.keyring).await?;
        let class = if ask.route.pattern.starts_with("auth/") { Class::Auth } else { Class::Secret };
        let path = full_path(class, ask.param());
        match ask.at().1 {
            Operation::Read => self.read_tune(&router, &path),
            _ => self.write_tune(&router, ask, &path),
        }
    }

    fn read_tune(&self, router: &Router, path: &str) -> Result<Response> {
        let found = router.at(path);
        let mount = &found.ok_or_else(|| Error::invalid(format!("cannot fetch sysview for path \"{path}\"")))?.record;
        let mut data = mount.config(self.settings.default_lease_ttl, self.settings.max_lease_ttl);
        data.insert("description".into(), mount.description.clone().into());
        if !mount.options.is_empty() {
            data.insert("options".into(), serde_json::json!(mount.options));
        }
        if mount.external_entropy_access {
            data.insert("external_entropy_access".into(), true.into());
        }
        Ok(Response { data: Some(data), ..Response::default() }.flat())
    }

    fn write_tune(&self, router: &Router, ask: Ask<'_>, path: &str) -> Result<Response> {
        let missing = || Error::invalid(format!("tune of path \"{path}\" failed: no mount entry found"));
        let found = router.at(path).ok_or_else(missing)?;
        let request = ask.request;
        let mut mount = Mount::clone(&found.record);
        let mut response = Response::empty();
        if is_fixed(&mount) {
            let known = |name: &&String| ask.route.fields.iter().any(|field| field.name == name.as_str());
            if let Some(name) = request.data.keys().find(known) {
                return Err(Error::invalid(format!("cannot tune parameter {name} of {path}")));
            }
        }
        tune_ttls(&mut mount, &request.data)?;
        tune(&mut mount, &request.data)?;
        if let Some(description) = request.text("description")? {
            mount.description = description;
        }
        if let Some(options) = request.text_map("options")?.filter(|options| !options.is_empty()) {
            let version = |mount: &Mount| mount.options.get("version").cloned().unwrap_or_else(|| "1".into());
            let before = version(&mount);
            check_version(&before, options.get("version"))?;
            mount.options.extend(options);
            crate::engines::catalog::check_options(&mount.kind, &mount.options)?;
            if before == "1" && version(&mount) == "2" {
                mount.upgrading = true;
                response = response.warn(UPGRADING);
            }
        }
        ask.txn.below().expect(&mount.key(), found.revision);
        ask.txn.put(mount.key(), &mount.encode());
        Ok(response)
    }

    /// Takes over the `config` of a mount that is being made.
    pub(super) fn tune_new(&self, mount: &mut Mount, config: &Map<String, Value>) -> Result<()> {
        let fields = fields_of(config);
        let ttl = |name: &str| {
            let unit = if name == "max_lease_ttl" { "max" } else { "default" };
            let given = fields.text(name)?.unwrap_or_default();
            system_or_duration(&fields, name)
                .map_err(|_| Error::invalid(format!("unable to parse {unit} TTL of {given}: {}", no_duration(&given))))
        };
        mount.default_lease_ttl = ttl("default_lease_ttl")?.unwrap_or_default();
        mount.max_lease_ttl = ttl("max_lease_ttl")?.unwrap_or_default();
        if !mount.max_lease_ttl.is_zero() && mount.default_lease_ttl > mount.max_lease_ttl {
            return Err(Error::invalid("given default lease TTL greater than given max lease TTL"));
        }
        if mount.max_lease_ttl.is_zero() && mount.default_lease_ttl > self.settings.max_lease_ttl {
            let bound = self.settings.max_lease_ttl.as_secs();
            let text = format!("given default lease TTL greater than system max lease TTL of {bound}");
            return Err(Error::invalid(text));
        }
        if let Some(flag) = fields.flag("force_no_cache")? {
            mount.tune.insert("force_no_cache".into(), Tuned::Flag(flag));
        }
        let mut config = config.clone();
        if mount.class == Class::Secret {
            config.remove("token_type");
        }
        tune(mount, &config)
    }
}

const UPGRADING: &str = "Upgrading mount from version 1 to version 2. This mount will be unavailable for a brief period and will resume service shortly.";

/// These mounts cannot be tuned.
fn is_fixed(mount: &Mount) -> bool {
    matches!(mount.kind.as_str(), "system" | "identity" | "cubbyhole")
}

fn check_version(before: &str, wanted: Option<&String>) -> Result<()> {
    match (before, wanted.map(String::as_str)) {
        (_, None) | (_, Some("2")) | ("1", Some("1")) => Ok(()),
        (_, Some("" | "0" | "1")) => Err(Error::invalid(format!("cannot downgrade mount from version {before}"))),
        (_, Some(other)) => Err(Error::invalid(format!("invalid version provided: {other}"))),
    }
}

/// Takes over changed TTLs, which must agree with each other.
fn tune_ttls(mount: &mut Mount, config: &Map<String, Value>) -> Result<()> {
    let fields = fields_of(config);
    let default = system_or_duration(&fields, "default_lease_ttl")?;
    let max = system_or_duration(&fields, "max_lease_ttl")?;
    if default.is_none() && max.is_none() {
        return Ok(());
    }
    let default = default.unwrap_or(mount.default_lease_ttl);
    let max = max.unwrap_or(mount.max_lease_ttl);
    if !max.is_zero() && max < default {
        return Err(Error::invalid(format!(
            "backend max lease TTL of {} would be less than backend default lease TTL of {}",
            max.as_secs(),
            default.as_secs()
        )));
    }
    (mount.default_lease_ttl, mount.max_lease_ttl) = (default, max);
    Ok(())
}

/// Takes over the settings that need nothing but the mount's record.
fn tune(mount: &mut Mount, config: &Map<String, Value>) -> Result<()> {
    let fields = fields_of(config);
    for name in LISTS {
        if let Some(list) = fields.list(name)? {
            set(mount, name, Some(Tuned::List(list)).filter(|list| *list != Tuned::List(Vec::new())));
        }
    }
    if let Some(visibility) = fields.text("listing_visibility")? {
        match visibility.as_str() {
            "" => set(mount, "listing_visibility", None),
            "unauth" | "hidden" => set(mount, "listing_visibility", Some(Tuned::Text(visibility))),
            other => return Err(Error::invalid(format!("invalid listing_visibility {other}"))),
        }
    }
    if let Some(token_type) = fields.text("token_type")? {
        tune_token_type(mount, token_type)?;
    }
    if let Some(version) = fields.text("plugin_version")?.filter(|version| !version.is_empty()) {
        return Err(Error::invalid(format!("plugin not found in the catalog: {}, version={version}", mount.kind)));
    }
    match config.get("user_lockout_config") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(lockout)) => tune_lockout(mount, lockout),
        Some(_) => Err(Error::field("user_lockout_config", "expected an object")),
    }
}

fn tune_token_type(mount: &mut Mount, token_type: String) -> Result<()> {
    if mount.class == Class::Secret {
        return Err(Error::invalid("'token_type' can only be modified on auth mounts"));
    }
    if mount.kind == "token" {
        return Err(Error::invalid("'token_type' cannot be set for 'token' or 'ns_token' auth mounts"));
    }
    match token_type.as_str() {
        "" | "default-service" => set(mount, "token_type", None),
        "default-batch" | "service" | "batch" => set(mount, "token_type", Some(Tuned::Text(token_type))),
        _ => return Err(Error::invalid("invalid value for 'token_type'")),
    }
    Ok(())
}

fn tune_lockout(mount: &mut Mount, lockout: &Map<String, Value>) -> Result<()> {
    if !LOCKOUT_KINDS.contains(&mount.kind.as_str()) {
        let text = format!("tuning of user lockout configuration for auth type \"{}\" not allowed", mount.kind);
        return Err(Error::invalid(text));
    }
    let fields = fields_of(lockout);
    let seconds = |name: &str| -> Result<Option<Tuned>> {
        let given = fields.duration(name)?;
        Ok(given.map(|duration| Tuned::Number(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))))
    };
    let given = [
        ("user_lockout_threshold", fields.integer("lockout_threshold")?.map(Tuned::Number)),
        ("user_lockout_duration", seconds("lockout_duration")?),
        ("user_lockout_counter_reset_duration", seconds("lockout_counter_reset")?),
        ("user_lockout_disable", fields.flag("lockout_disable")?.map(Tuned::Flag)),
    ];
    for (name, value) in given {
        let zero = if name.ends_with("disable") { Tuned::Flag(false) } else { Tuned::Number(0) };
        let value = value.or_else(|| mount.tune.get(name).cloned()).unwrap_or(zero);
        mount.tune.insert(name.into(), value);
    }
    Ok(())
}

const LISTS: [&str; 4] = [
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
    "allowed_response_headers",
];

fn set(mount: &mut Mount, name: &str, value: Option<Tuned>) {
    match value {
        Some(value) => drop(mount.tune.insert(name.into(), value)),
        None => drop(mount.tune.remove(name)),
    }
}

/// A duration; `system` and an empty text are the system's (zero).
fn system_or_duration(fields: &Request, name: &str) -> Result<Option<Duration>> {
    match fields.text(name)?.as_deref() {
        Some("system") => Ok(Some(Duration::ZERO)),
        Some("") | None => Ok(None),
        Some(text) => match crate::duration::parse(text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(Error::invalid(no_duration(text))),
        },
    }
}

fn no_duration(text: &str) -> String {
    format!("time: invalid duration {text:?}")
}

/// An object's fields, with the leniency of a request's.
fn fields_of(data: &Map<String, Value>) -> Request {
    Request {
        id: String::new(),
        operation: Operation::Update,
        path: String::new(),
        data: data.clone(),
        token: None,
        wrap_ttl: None,
        client: crate::core::Client::default(),
        headers: BTreeMap::new(),
    }
}
