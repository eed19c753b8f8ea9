//! `storage "raft" | "file" | "inmem"`.

use std::path::PathBuf;
use std::time::Duration;

use super::address::Url;
use super::error::ConfigError;
use super::section::{Environment, Section};

/// Where state is kept. All kinds are Raft: `file` and `inmem` are clusters of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Which kind.
    pub kind: StorageKind,
    /// The data directory; none for `inmem`.
    pub path: Option<PathBuf>,
    /// The operator's label of this node; one is made and kept if there is none.
    pub node_id: Option<String>,
    /// Factor on Raft's timeouts, 1 (quick) to 10.
    pub performance_multiplier: u32,
    /// Whom to join, all at once.
    pub retry_join: Vec<RetryJoin>,
    /// The longest log entry, in bytes.
    pub max_entry_size: u64,
}

/// The word behind `storage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// Several nodes.
    Raft,
    /// One node, on disk.
    File,
    /// One node, in memory.
    Inmem,
}

/// One member of the cluster to join by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryJoin {
    /// Its API address, or its cluster address.
    pub leader_api_addr: Url,
    /// Whom to trust; the system's authorities if none.
    pub ca_cert: Option<Pem>,
    /// The client certificate and key to show.
    pub client: Option<(Pem, Pem)>,
    /// The name to find in the certificate; the host of the address if none.
    pub tls_servername: Option<String>,
}

/// PEM text, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file, read when needed.
    File(PathBuf),
    /// The text itself.
    Inline(String),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pem::File(path) => write!(f, "File({})", path.display()),
            Pem::Inline(_) => f.write_str("Inline"),
        }
    }
}

impl Storage {
    /// A cluster of one in memory.
    pub fn inmem() -> Storage {
        Storage {
            kind: StorageKind::Inmem,
            path: None,
            node_id: None,
            performance_multiplier: DEFAULT_MULTIPLIER,
            retry_join: Vec::new(),
            max_entry_size: DEFAULT_ENTRY_SIZE,
        }
    }
}

pub(super) fn read(top: &Section<'_>, env: &Environment<'_>, later: &mut Vec<String>) -> Result<Storage, ConfigError> {
    let mut stanzas = top.labelled("storage")?;
    stanzas.extend(top.labelled("backend")?);
    if let [_, (_, second), ..] = stanzas.as_slice() {
        return Err(second.missing("only one storage stanza is permitted"));
    }
    let Some((label, section)) = stanzas.pop() else {
        return Err(ConfigError::Whole("no storage stanza: add storage \"raft\" { path = \"...\" }".to_string()));
    };
    let kind = match label {
        "raft" => StorageKind::Raft,
        "file" => StorageKind::File,
        "inmem" => StorageKind::Inmem,
        _ => return Err(section.missing("this type is not supported: raft, file or inmem")),
    };
    let mut storage = Storage { kind, path: section.path("path")?, ..Storage::inmem() };
    if kind == StorageKind::Raft {
        read_raft(&mut storage, &section, env, later)?;
    }
    match kind {
        StorageKind::Inmem => storage.path = None,
        _ if storage.path.is_none() => return Err(section.missing("\"path\" is missing")),
        _ => {}
    }
    if let Some(size) = section.number("max_entry_size", 4096, 1 << 30)? {
        storage.max_entry_size = size.unsigned_abs();
    }
    section.finish(later)?;
    Ok(storage)
}

fn read_raft(
    storage: &mut Storage,
    section: &Section<'_>,
    env: &Environment<'_>,
    later: &mut Vec<String>,
) -> Result<(), ConfigError> {
    storage.node_id = section.text("node_id")?;
    env.set("RAFT_NODE_ID", &mut storage.node_id, |text| Ok(Some(text.to_string())))?;
    env.set("RAFT_PATH", &mut storage.path, |text| Ok(Some(PathBuf::from(text))))?;
    match section.number("performance_multiplier", 0, 10)? {
        None | Some(0) => {}
        Some(factor) => storage.performance_multiplier = u32::try_from(factor).unwrap_or(DEFAULT_MULTIPLIER),
    }
    for key in ["autopilot_reconcile_interval", "autopilot_update_interval", "snapshot_interval"] {
        let _: Option<Duration> = section.duration(key)?;
    }
    for key in [
        "snapshot_threshold",
        "trailing_logs",
        "max_batch_entries",
        "max_batch_size",
        "max_mount_and_namespace_table_entry_size",
    ] {
        section.number(key, 0, i64::MAX)?;
    }
    section.flag("retry_join_as_non_voter")?;
    section.later(LATER);
    for join in section.blocks("retry_join")? {
        storage.retry_join.push(read_join(&join)?);
        join.finish(later)?;
    }
    Ok(())
}

fn read_join(section: &Section<'_>) -> Result<RetryJoin, ConfigError> {
    if section.text("auto_join")?.is_some() {
        return Err(section.fault("auto_join", "is not supported yet: name the nodes by leader_api_addr"));
    }
    section.later(&["auto_join_scheme", "auto_join_port"]);
    let Some(leader_api_addr) = section.url("leader_api_addr")? else {
        return Err(section.missing("\"leader_api_addr\" is missing"));
    };
    let pem = |inline: &'static str, file: &'static str| match (section.text(inline)?, section.path(file)?) {
        (Some(_), Some(_)) => Err(section.fault(inline, &format!("and {file:?} exclude each other"))),
        (Some(text), None) => Ok(Some(Pem::Inline(text))),
        (None, path) => Ok(path.map(Pem::File)),
    };
    let client = match (
        pem("leader_client_cert", "leader_client_cert_file")?,
        pem("leader_client_key", "leader_client_key_file")?,
    ) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(section.missing("a client certificate needs its key, and a key its certificate")),
    };
    Ok(RetryJoin {
        leader_api_addr,
        ca_cert: pem("leader_ca_cert", "leader_ca_cert_file")?,
        client,
        tls_servername: section.text("leader_tls_servername")?,
    })
}

/// Known, checked and without effect for now: checkpoints are taken by bytes of log, autopilot comes with its commands.
const LATER: &[&str] = &[
    "autopilot_reconcile_interval",
    "autopilot_redundancy_zone",
    "autopilot_update_interval",
    "autopilot_upgrade_version",
    "max_batch_entries",
    "max_batch_size",
    "max_mount_and_namespace_table_entry_size",
    "retry_join_as_non_voter",
    "snapshot_interval",
    "snapshot_threshold",
    "trailing_logs",
];

/// The documented default of `performance_multiplier`.
const DEFAULT_MULTIPLIER: u32 = 5;
const DEFAULT_ENTRY_SIZE: u64 = 1024 * 1024;
