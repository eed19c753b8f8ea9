//! The server's configuration: HCL and JSON files and the environment to a typed, validated [`Config`].
//!
//! Each reader asks a [`section::Section`] for the keys it knows; a key that nobody asked for is an error that names
//! file, line and the nearest known name. Keys that Vault or OpenBao know and that have no effect here yet are listed in
//! [`Config::later`], to be logged at the start.

pub mod address;
mod check;
mod error;
pub mod listener;
pub mod logging;
mod response_headers;
mod section;
pub mod storage;
pub mod telemetry;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::{Cidr, HostPort, Url};
pub use error::ConfigError;
pub use listener::{Bind, Listener, Tls};
pub use logging::Log;
pub use storage::{Pem, RetryJoin, Storage, StorageKind};
pub use telemetry::Telemetry;

use crate::hcl::{Body, Value};
use crate::runtime::Disk;
use crate::runtime::net::Interface;
use section::{Environment, Section, Source};

/// A server's configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where state is kept.
    pub storage: Storage,
    /// Where the API is served; never empty.
    pub listeners: Vec<Listener>,
    /// The API address that other nodes and redirected clients use.
    pub api_addr: Url,
    /// The cluster address that other nodes use. The scheme has no meaning: the port is always TLS.
    pub cluster_addr: HostPort,
    /// The cluster's name; one is made if there is none.
    pub cluster_name: Option<String>,
    /// Where this node's own private key is kept; in the data directory if not given.
    pub node_key_path: Option<PathBuf>,
    /// The server's log.
    pub log: Log,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Whether memory may be swapped.
    pub disable_mlock: bool,
    /// The life of leases and tokens that ask for none.
    pub default_lease_ttl: Duration,
    /// The longest life of leases and tokens.
    pub max_lease_ttl: Duration,
    /// Whether the UI was asked for.
    pub ui: bool,
    /// Metrics.
    pub telemetry: Telemetry,
    /// Keys that are known and have no effect yet.
    pub later: Vec<String>,
    /// What an operator should be told at the start.
    pub warnings: Vec<String>,
}

/// Reads files, and directories' `*.hcl` and `*.json` in the order of their names, then the variable `LOCAL_CONFIG`; of a
/// key in several files the last holds, listeners add up. `env` is the process's environment; variables with the prefix
/// `HOLDFAST_`, `BAO_` or `VAULT_` (in this order) override the files.
///
/// # Errors
/// The first thing wrong, by file, line and key.
pub async fn load(disk: &Disk, paths: &[PathBuf], env: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
    load_on(disk, paths, env, &[]).await
}

/// As [`load`], on a machine with these addresses: templates in addresses choose among them.
///
/// # Errors
/// As [`load`].
pub async fn load_on(
    disk: &Disk,
    paths: &[PathBuf],
    env: &BTreeMap<String, String>,
    interfaces: &[Interface],
) -> Result<Config, ConfigError> {
    let mut sources = Vec::new();
    for path in paths {
        for file in files(disk, path).await? {
            let bytes = disk.read(&file).await.map_err(|source| ConfigError::Read { path: file.clone(), source })?;
            let name = file.display().to_string();
            let text = std::str::from_utf8(&bytes).map_err(|_| ConfigError::At {
                file: name.clone(),
                line: 1,
                message: "the file is not UTF-8".to_string(),
            })?;
            sources.push(source(name, text)?);
        }
    }
    let env = Environment(env);
    if let Some((variable, text)) = env.get("LOCAL_CONFIG") {
        sources.push(source(variable, text)?);
    }
    if sources.is_empty() {
        return Err(ConfigError::Whole("no configuration: give -config=FILE, or -dev to try it out".to_string()));
    }
    for source in &mut sources {
        expand(&source.file, &mut source.body, interfaces)?;
    }
    let mut expanded = env.0.clone();
    for name in ["API_ADDR", "CLUSTER_ADDR"] {
        if let Some((variable, text)) = env.get(name) {
            let text = template::expand(text, interfaces)
                .map_err(|message| ConfigError::Environment { variable: variable.clone(), message })?;
            expanded.insert(variable, text);
        }
    }
    read(&sources, &Environment(&expanded))
}

/// Puts addresses in the place of their templates, in a body and all below it.
fn expand(file: &str, body: &mut Body, interfaces: &[Interface]) -> Result<(), ConfigError> {
    for item in &mut body.items {
        let is_address = item.keys.len() == 1 && TEMPLATED.contains(&item.key());
        let (key, line) = (item.key().to_string(), item.line);
        match &mut item.value.value {
            Value::Text(text) if is_address => {
                *text = template::expand(text, interfaces).map_err(|message| ConfigError::At {
                    file: file.to_string(),
                    line,
                    message: format!("{key:?}: {message}"),
                })?;
            }
            Value::Object(body) => expand(file, body, interfaces)?,
            Value::List(nodes) => {
                for node in nodes {
                    if let Value::Object(body) = &mut node.value {
                        expand(file, body, interfaces)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Keys whose values may be templates.
const TEMPLATED: &[&str] = &["address", "api_addr", "cluster_addr", "cluster_address", "redirect_addr"];

impl Config {
    /// The configuration of `-dev`: one node in memory that serves the API in plain text at `listen` (`HOST:PORT`).
    ///
    /// # Errors
    /// If `listen` is no address, or leaves no port for the cluster.
    pub fn dev(listen: &str) -> Result<Config, ConfigError> {
        let invalid = |message: String| ConfigError::Whole(format!("-dev-listen-address: {message}"));
        let address = HostPort::parse(listen, Some(8200)).map_err(invalid)?;
        let cluster_addr = address.next_port().ok_or_else(|| invalid("leaves no port for the cluster".to_string()))?;
        Ok(Config {
            storage: Storage { performance_multiplier: 1, ..Storage::inmem() },
            api_addr: Url { tls: false, at: reachable(&address) },
            cluster_addr: reachable(&cluster_addr),
            listeners: vec![Listener::plain(Bind::Tcp { address, cluster_address: cluster_addr })],
            cluster_name: None,
            node_key_path: None,
            log: Log::default(),
            pid_file: None,
            disable_mlock: true,
            default_lease_ttl: DEFAULT_LEASE_TTL,
            max_lease_ttl: DEFAULT_LEASE_TTL,
            ui: false,
            telemetry: Telemetry::default(),
            later: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// One member of `-dev-three-node`: like [`Config::dev`], in the directory `path` of the disk given to the server,
    /// joining by the API addresses of `others`.
    ///
    /// # Errors
    /// If an address is none.
    pub fn dev_member(listen: &str, node_id: &str, path: &Path, others: &[&str]) -> Result<Config, ConfigError> {
        let mut config = Config::dev(listen)?;
        config.storage.kind = StorageKind::Raft;
        config.storage.path = Some(path.to_path_buf());
        config.storage.node_id = Some(node_id.to_string());
        for other in others {
            let at = HostPort::parse(other, Some(8200)).map_err(ConfigError::Whole)?;
            let leader_api_addr = Url { tls: false, at };
            config.storage.retry_join.push(RetryJoin {
                leader_api_addr,
                ca_cert: None,
                client: None,
                tls_servername: None,
            });
        }
        Ok(config)
    }

    /// The addresses at which the cluster port listens, one for each TCP listener.
    pub fn cluster_listen(&self) -> Vec<HostPort> {
        let cluster = |listener: &Listener| match &listener.bind {
            Bind::Tcp { cluster_address, .. } => Some(cluster_address.clone()),
            Bind::Unix { .. } => None,
        };
        self.listeners.iter().filter_map(cluster).collect()
    }
}

/// A file itself, or the configuration files in a directory.
async fn files(disk: &Disk, path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    // No directory: what is wrong with it, if anything is, shows when it is read.
    let Ok(entries) = disk.list(path).await else { return Ok(vec![path.to_path_buf()]) };
    let is_config = |name: &str| !name.starts_with('.') && (name.ends_with(".hcl") || name.ends_with(".json"));
    let files: Vec<PathBuf> = entries
        .iter()
        .filter(|entry| !entry.is_dir && is_config(&entry.name))
        .map(|entry| path.join(&entry.name))
        .collect();
    if files.is_empty() {
        return Err(no_files(path));
    }
    Ok(files)
}

fn no_files(directory: &Path) -> ConfigError {
    ConfigError::Whole(format!("{}: no *.hcl or *.json file in this directory", directory.display()))
}

fn source(file: String, text: &str) -> Result<Source, ConfigError> {
    match crate::hcl::parse(text) {
        Ok(body) => Ok(Source { file, body }),
        Err(error) => Err(ConfigError::At { file, line: error.line, message: error.message }),
    }
}

fn read(sources: &[Source], env: &Environment<'_>) -> Result<Config, ConfigError> {
    let top = Section::top(sources);
    let mut later = Vec::new();
    let storage = storage::read(&top, env, &mut later)?;
    let listeners = read_listeners(&top, &mut later)?;
    read_seals(&top, &mut later)?;
    let log = logging::read(&top, env)?;
    let telemetry = telemetry::read(&top, &mut later)?;
    let mut api_addr = top.url("api_addr")?;
    env.set("API_ADDR", &mut api_addr, |text| Url::parse(text).map(Some))?;
    // `redirect_addr` is the old name.
    let api_addr = match api_addr.or(top.url("redirect_addr")?) {
        Some(address) => address,
        None => default_api_addr(&listeners),
    };
    let mut cluster_addr = top.url("cluster_addr")?;
    env.set("CLUSTER_ADDR", &mut cluster_addr, |text| Url::parse(text).map(Some))?;
    let cluster_addr = match cluster_addr {
        Some(address) => address.at,
        None => api_addr
            .at
            .next_port()
            .ok_or_else(|| top.fault("api_addr", "leaves no port for the cluster: set cluster_addr"))?,
    };
    let mut disable_mlock = top.flag("disable_mlock")?.unwrap_or(false);
    env.set("DISABLE_MLOCK", &mut disable_mlock, |text| {
        text.parse().map_err(|_| format!("expected true or false, got {text:?}"))
    })?;
    let mut config = Config {
        storage,
        listeners,
        api_addr,
        cluster_addr,
        cluster_name: top.text("cluster_name")?,
        node_key_path: top.path("node_key_path")?,
        log,
        pid_file: top.path("pid_file")?,
        disable_mlock,
        default_lease_ttl: top.duration("default_lease_ttl")?.unwrap_or(DEFAULT_LEASE_TTL),
        max_lease_ttl: top.duration("max_lease_ttl")?.unwrap_or(DEFAULT_LEASE_TTL),
        ui: top.flag("ui")?.unwrap_or(false),
        telemetry,
        later: Vec::new(),
        warnings: Vec::new(),
    };
    check::lease_ttls(&top, &config)?;
    top.later(LATER);
    top.finish(&mut later)?;
    config.later = later;
    check::check(&mut config)?;
    Ok(config)
}

fn read_listeners(top: &Section<'_>, later: &mut Vec<String>) -> Result<Vec<Listener>, ConfigError> {
    let default_duration = top.duration("default_max_request_duration")?;
    let mut listeners = Vec::new();
    for (label, section) in top.labelled("listener")? {
        listeners.push(listener::read(label, section, default_duration, later)?);
    }
    if listeners.is_empty() {
        return Err(ConfigError::Whole("no listener stanza: add listener \"tcp\" { address = \"...\" }".to_string()));
    }
    Ok(listeners)
}

/// Another seal than Shamir's is an error, not a warning: to wrap the root key by shares where a KMS was asked for would
/// be another cluster than the operator meant.
fn read_seals(top: &Section<'_>, later: &mut Vec<String>) -> Result<(), ConfigError> {
    for (label, section) in top.labelled("seal")? {
        if label != "shamir" {
            return Err(section.missing(&format!("seal type {label:?} is not supported yet")));
        }
        section.later(&["disabled", "name", "priority"]);
        section.finish(later)?;
    }
    Ok(())
}

/// From the first TCP listener, as others may reach it from this machine.
fn default_api_addr(listeners: &[Listener]) -> Url {
    listeners
        .iter()
        .find_map(|listener| match &listener.bind {
            Bind::Tcp { address, .. } => Some(Url { tls: listener.tls.is_some(), at: reachable(address) }),
            Bind::Unix { .. } => None,
        })
        .unwrap_or_else(|| Url { tls: false, at: HostPort { host: "127.0.0.1".to_string(), port: 8200 } })
}

/// The address itself, or the loopback address for all interfaces.
fn reachable(address: &HostPort) -> HostPort {
    let host = match address.host.as_str() {
        _ if !address.is_unspecified() => &address.host,
        host if host.contains(':') => "::1",
        _ => "127.0.0.1",
    };
    HostPort { host: host.to_string(), port: address.port }
}

/// The default of both lease TTLs: 768 h.
pub const DEFAULT_LEASE_TTL: Duration = Duration::from_secs(768 * 3600);

/// Known at the top level and without effect for now.
const LATER: &[&str] = &[
    "adaptive_overload_protection",
    "administrative_namespace_path",
    "allow_audit_log_prefixing",
    "allow_unauthenticated_workflows",
    "audit",
    "cache_size",
    "cluster_cipher_suites",
    "detect_deadlocks",
    "development",
    "disable_cache",
    "disable_clustering",
    "disable_indexing",
    "disable_performance_standby",
    "disable_printable_check",
    "disable_sealwrap",
    "disable_sentinel_trace",
    "disable_ssct_tokens",
    "disable_standby_reads",
    "enable_multiseal",
    "enable_post_unseal_trace",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "enable_ui",
    "entropy",
    "experiments",
    "feature_flags",
    "ha_storage",
    "imprecise_lease_role_tracking",
    "initialize",
    "introspection_endpoint",
    "kms_library",
    "license_path",
    "log_requests_level",
    "observations",
    "plugin",
    "plugin_auto_download",
    "plugin_auto_register",
    "plugin_directory",
    "plugin_download_behavior",
    "plugin_download_max_size",
    "plugin_file_permissions",
    "plugin_file_uid",
    "plugin_tmpdir",
    "post_unseal_trace_directory",
    "raw_storage_endpoint",
    "remove_irrevocable_lease_after",
    "replication",
    "reporting",
    "request_limiter",
    "sentinel",
    "service_registration",
    "ui",
    "unsafe_allow_api_audit_creation",
    "unsafe_cross_namespace_identity",
    "unsafe_relative_paths",
    "user_lockout",
];

#[cfg(test)]
mod tests;
