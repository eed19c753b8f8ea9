//! `sys/mounts` and `sys/auth`: list, enable and disable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::Ask;
use crate::barrier::BarrierTxn;
use crate::core::mount::{Class, Mount, Router};
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::limits;
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::storage::schema;

const SHOWN: &[Field] = &[
    Field::new("accessor", Kind::Text, "Names the mount in policies and audit entries."),
    Field::new("config", Kind::Any, "What was tuned; a TTL of 0 is the system's."),
    Field::new("deprecation_status", Kind::Text, "`supported`, for an engine that is not the server's own."),
    Field::new("description", Kind::Text, "For people."),
    Field::new("external_entropy_access", Kind::Flag, "As it was enabled."),
    Field::new("local", Kind::Flag, "As it was enabled."),
    Field::new("options", Kind::Map, "What the engine was given, such as its version."),
    Field::new("plugin_version", Kind::Text, "Empty: engines are built in."),
    Field::new("running_plugin_version", Kind::Text, "The server's version."),
    Field::new("running_sha256", Kind::Text, "Empty: engines are built in."),
    Field::new("seal_wrap", Kind::Flag, "As it was enabled."),
    Field::new("type", Kind::Text, "Which engine or method it is."),
    Field::new("uuid", Kind::Text, "Names the place of its data, which a move does not change."),
];

const BY_PATH: &[Field] = &[Field::new("*", Kind::Any, "A mount as at its own path.")];

const ENABLE: &[Field] = &[
    Field::new("path", Kind::Text, "Where it is mounted."),
    Field::new("type", Kind::Text, "Which engine or method, such as kv."),
    Field::new("description", Kind::Text, "For people."),
    Field::new("config", Kind::Any, "An object of the keys that tune takes."),
    Field::new("options", Kind::Map, "What the engine is given, such as version for kv."),
    Field::new("local", Kind::Flag, "Kept and shown; there is one cluster only."),
    Field::new("seal_wrap", Kind::Flag, "Kept and shown; all data is encrypted the same way."),
    Field::new("external_entropy_access", Kind::Flag, "Kept and shown; entropy is the operating system's."),
    Field::new("plugin_name", Kind::Text, "Accepted; engines are built in."),
    Field::new("plugin_version", Kind::Text, "Accepted if empty; engines are built in."),
];

/// `sys/mounts`.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "mounts",
        about: "Secret engines and where they are mounted.",
        verbs: &[Verb::new(Operation::Read, "Shows all mounts of secret engines by their paths.", BY_PATH)],
        fields: &[],
    },
    Route {
        pattern: "mounts/{path...}",
        about: "One mount of a secret engine.",
        verbs: &[
            Verb::new(Operation::Read, "Shows the mount at the path.", SHOWN),
            Verb::new(Operation::Update, "Enables a secret engine at the path.", &[]),
            Verb::new(Operation::Delete, "Disables the mount at the path and deletes its data.", &[]),
        ],
        fields: ENABLE,
    },
];

/// `sys/auth`.
pub(super) static AUTH_ROUTES: &[Route] = &[
    Route {
        pattern: "auth",
        about: "Auth methods and where they are mounted.",
        verbs: &[Verb::new(Operation::Read, "Shows all mounts of auth methods by their paths.", BY_PATH)],
        fields: &[],
    },
    Route {
        pattern: "auth/{path...}",
        about: "One mount of an auth method.",
        verbs: &[
            Verb::new(Operation::Read, "Shows the mount at the path.", SHOWN),
            Verb::new(Operation::Update, "Enables an auth method at the path.", &[]),
            Verb::new(Operation::Delete, "Disables the mount at the path and deletes its data.", &[]),
        ],
        fields: ENABLE,
    },
];

impl Core {
    /// Serves one of the two mount tables.
    pub(super) async fn sys_mounts(&self, ask: Ask<'_>, class: Class) -> Result<Response> {
        let (pattern, operation) = ask.at();
        let path = full_path(class, ask.param());
        if operation == Operation::Update {
            return self.enable(ask, class, path).await;
        }
        let router = self.router.get(self.raft.state(), &ask.unsealed.keyring).await?;
        match operation {
            _ if !pattern.contains('{') => Ok(list_mounts(&router, class)),
            Operation::Read => read_mount(&router, class, &path),
            _ => disable(&router, ask.txn, class, &path),
        }
    }

    /// Makes a mount: its record alone, since its data is under its UUID.
    async fn enable(&self, ask: Ask<'_>, class: Class, path: String) -> Result<Response> {
        let mut mount = self.new_mount(ask.request, class, path)?;
        if let Some(config) = ask.request.data.get("config").filter(|config| !config.is_null()) {
            let Value::Object(config) = config else { return Err(Error::field("config", "expected an object")) };
            self.tune_new(&mut mount, config)?;
        }
        let (router, mounts) = self.router.read_in(ask.txn, limits::MOUNTS_MAX).await?;
        router.check_free(&mount.path)?;
        if mounts >= limits::MOUNTS_MAX as usize {
            return Err(Error::invalid(format!("there are {} mounts already", limits::MOUNTS_MAX)));
        }
        ask.txn.put(mount.key(), &mount.encode());
        Ok(Response::empty())
    }

    /// The record that a request to enable asks for, without its `config`.
    fn new_mount(&self, request: &Request, class: Class, path: String) -> Result<Mount> {
        let kind = match request.text("type")?.unwrap_or_default() {
            // So clients of old name the engine.
            kind if kind == "plugin" => plugin_name(request)?,
            kind => kind,
        };
        if kind.is_empty() {
            return Err(Error::invalid("backend type must be specified as a string"));
        }
        if class == Class::Secret && is_reserved(&path) {
            return Err(Error::invalid(format!("cannot mount \"{path}\"")));
        }
        let (kind, options) = engine(class, kind, request.text_map("options")?.unwrap_or_default())?;
        let entropy = &self.runtime.entropy;
        let class_prefix = if class == Class::Auth { "auth_" } else { "" };
        Ok(Mount {
            uuid: entropy.bytes(),
            class,
            accessor: format!("{class_prefix}{kind}_{}", hex::encode(entropy.bytes::<4>())),
            path,
            kind,
            description: request.text("description")?.unwrap_or_default(),
            options,
            default_lease_ttl: Duration::ZERO,
            max_lease_ttl: Duration::ZERO,
            tune: BTreeMap::new(),
            local: request.flag("local")?.unwrap_or(false),
            seal_wrap: request.flag("seal_wrap")?.unwrap_or(false),
            external_entropy_access: request.flag("external_entropy_access")?.unwrap_or(false),
            namespace: schema::NAMESPACE_ROOT,
            disabling: false,
            upgrading: false,
            moved: None,
        })
    }

    /// Mounts that were disabled and still have data.
    pub(crate) async fn disabling_mounts(&self, unsealed: &Unsealed) -> Result<Vec<Arc<Mount>>> {
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        Ok(router.disabling.iter().map(|found| Arc::clone(&found.record)).collect())
    }
}

/// The engine that a request to enable a `plugin` names, also within its `config`.
fn plugin_name(request: &Request) -> Result<String> {
    let within = request.data.get("config").and_then(|config| config["plugin_name"].as_str()).map(String::from);
    let name = request.text("plugin_name")?.filter(|name| !name.is_empty()).or(within);
    name.ok_or_else(|| Error::invalid("plugin_name must be provided for plugin backend"))
}

/// Whether no secret engine may be mounted there.
pub(super) fn is_reserved(path: &str) -> bool {
    ["auth/", "sys/", "cubbyhole/", "identity/", "audit/"].iter().any(|built_in| path.starts_with(built_in))
}

/// The engine that a `type` names, and its options.
fn engine(
    class: Class,
    kind: String,
    mut options: BTreeMap<String, String>,
) -> Result<(String, BTreeMap<String, String>)> {
    let (kind, version) = match kind.as_str() {
        "kv-v1" => ("kv".to_string(), Some("1")),
        "kv-v2" => ("kv".to_string(), Some("2")),
        "generic" => ("kv".to_string(), Some("1")),
        _ => (kind, None),
    };
    match (class, kind.as_str()) {
        (Class::Auth, "token") => return Err(Error::invalid("token credential backend cannot be instantiated")),
        (Class::Secret, "system" | "identity" | "cubbyhole") => {
            return Err(Error::invalid(format!("mount type of \"{kind}\" is not mountable")));
        }
        (Class::Secret, kind) if crate::engines::catalog::KINDS.contains(&kind) => {}
        _ => return Err(Error::invalid(format!("plugin not found in the catalog: {kind}"))),
    }
    if let Some(version) = version {
        options.insert("version".into(), version.into());
    }
    crate::engines::catalog::check_options(&kind, &options)?;
    Ok((kind, options))
}

fn list_mounts(router: &Router, class: Class) -> Response {
    let shown = router.all(class).map(|found| (found.record.shown_path().to_string(), found.record.shown()));
    Response { data: Some(shown.collect()), ..Response::default() }.flat()
}

fn read_mount(router: &Router, class: Class, path: &str) -> Result<Response> {
    match router.at(path) {
        Some(found) => Ok(Response::data(found.record.shown()).flat()),
        None => Err(Error::invalid(match class {
            Class::Secret => format!("No secret engine mount at {path}"),
            Class::Auth => format!("No auth engine at {}", path.trim_start_matches("auth/")),
        })),
    }
}

/// Takes the mount out of the table, which frees its path at once; its data is deleted in bounded steps afterwards.
fn disable(router: &Router, txn: &mut BarrierTxn, class: Class, path: &str) -> Result<Response> {
    let Some(found) = router.at(path) else { return Ok(Response::empty()) };
    if found.record.is_built_in() || found.record.class != class {
        return Err(Error::invalid(match class {
            Class::Secret => format!("cannot unmount \"{path}\""),
            Class::Auth => "token credential backend cannot be disabled".into(),
        }));
    }
    let disabled = Mount { disabling: true, ..Mount::clone(&found.record) };
    txn.below().expect(&disabled.key(), found.revision);
    txn.put(disabled.key(), &disabled.encode());
    Ok(Response::empty())
}

/// The canonical path of a mount, as its record has it.
pub(super) fn full_path(class: Class, path: &str) -> String {
    let path = path.trim_end_matches('/');
    match class {
        Class::Secret => format!("{path}/"),
        Class::Auth => format!("auth/{path}/"),
    }
}
