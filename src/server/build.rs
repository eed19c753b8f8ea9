//! From a configuration to what the parts are started with.

use std::path::PathBuf;

use crate::config::Config;
use crate::config::listener::{Bind, ClientAuth, Listener, TlsVersion};
use crate::config::storage::StorageKind;
use crate::core::{Access, Settings};
use crate::http::{self, Address, ListenerOptions, TlsOptions};
use crate::raft::log;
use crate::raft::node::Options;
use crate::raft::settings::Timing;
use crate::raft::start::Setup;
use crate::raft::state::EngineKind;
use crate::raft::transport::TransportConfig;
use crate::runtime::Runtime;

/// A checkpoint is taken when the log since the last one is longer.
const CHECKPOINT_LOG_BYTES: u64 = 64 << 20;

/// What differs between production and a simulation beside the runtime.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// How state is kept on disk.
    pub disk_engine: EngineKind,
    /// A directory of the real file system for RocksDB, if the data directory is not one.
    pub engine_dir: Option<PathBuf>,
    /// Whether large writes of state go on in the background.
    pub background_flush: bool,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// A checkpoint is taken when the log since the last one is longer.
    pub checkpoint_log_bytes: u64,
    /// Free space below which nothing more is written to the log.
    pub reserve_bytes: u64,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            disk_engine: EngineKind::Rocks,
            engine_dir: None,
            background_flush: true,
            segment_bytes: 16 << 20,
            checkpoint_log_bytes: CHECKPOINT_LOG_BYTES,
            reserve_bytes: 64 << 20,
        }
    }
}

/// What Raft is started with.
pub(super) fn setup(config: &Config, runtime: &Runtime, tuning: Tuning) -> Setup {
    let storage = &config.storage;
    let engine = match storage.kind {
        StorageKind::Inmem => EngineKind::Memory,
        StorageKind::Raft | StorageKind::File => tuning.disk_engine,
    };
    let data_dir = storage.path.clone().unwrap_or_else(|| PathBuf::from("/data"));
    let listen = config.cluster_listen().first().map_or_else(|| config.cluster_addr.to_string(), ToString::to_string);
    let timing = Timing::new(storage.performance_multiplier);
    let entry_bytes_max = usize::try_from(storage.max_entry_size).unwrap_or(crate::limits::ENTRY_BYTES_MAX);
    Setup {
        options: Options { data_dir, timing, entry_bytes_max, checkpoint_log_bytes: tuning.checkpoint_log_bytes },
        label: storage.node_id.clone().unwrap_or_else(|| runtime.entropy.uuid()),
        node_key_path: config.node_key_path.clone(),
        listen,
        advertise: config.cluster_addr.to_string(),
        engine,
        log: log::Options {
            segment_bytes: tuning.segment_bytes,
            reserve_bytes: tuning.reserve_bytes,
            ..log::Options::default()
        },
        engine_dir: tuning.engine_dir,
        background_flush: tuning.background_flush,
        transport: TransportConfig {
            suspect_after: timing.heartbeat * 4,
            dead_after: timing.without_leader() * 2,
            ..TransportConfig::default()
        },
    }
}

/// What the core takes from the configuration.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        cluster_name: config.cluster_name.clone().unwrap_or_default(),
        api_addr: config.api_addr.to_string(),
        cluster_addr: format!("https://{}", config.cluster_addr),
        default_lease_ttl: config.default_lease_ttl,
        max_lease_ttl: config.max_lease_ttl,
        storage_type: match config.storage.kind {
            StorageKind::Raft => "raft",
            StorageKind::File => "file",
            StorageKind::Inmem => "inmem",
        }
        .into(),
        sanitized: super::sanitized::shown(config),
    }
}

/// What a listener is started with.
pub(super) fn listener(listener: &Listener) -> ListenerOptions {
    let address = match &listener.bind {
        Bind::Tcp { address, .. } => Address::Tcp(address.to_string()),
        Bind::Unix { path, mode } => Address::Unix(path.clone(), *mode),
    };
    let tls = listener.tls.as_ref().map(|tls| {
        let version = |version| match version {
            TlsVersion::Tls12 => http::TlsVersion::Tls12,
            TlsVersion::Tls13 => http::TlsVersion::Tls13,
        };
        let (client_ca_file, require_client_cert) = match &tls.client_auth {
            ClientAuth::None => (None, false),
            ClientAuth::Optional(path) => (Some(path.clone()), false),
            ClientAuth::Required(path) => (Some(path.clone()), true),
        };
        TlsOptions {
            cert_file: tls.cert_file.clone(),
            key_file: tls.key_file.clone(),
            min_version: version(tls.min_version),
            max_version: Some(version(tls.max_version)),
            cipher_suites: tls.cipher_suites.clone(),
            require_client_cert,
            disable_client_certs: client_ca_file.is_none(),
            client_ca_file,
        }
    });
    let bytes = listener.max_request_size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
    ListenerOptions {
        tls,
        http2: listener.http2,
        max_request_size: bytes,
        max_request_duration: listener.max_request_duration,
        idle_time: listener.http_idle_timeout,
        head_time: listener.http_read_header_timeout,
        headers: listener.response_headers.clone(),
        proxy: listener.proxy_protocol.clone(),
        forwarded_for: Some(listener.forwarded_for.clone()).filter(|forwarded| !forwarded.authorized.is_empty()),
        access: Access {
            metrics: listener.unauthenticated_metrics_access,
            in_flight_requests: listener.unauthenticated_in_flight_requests_access,
        },
        closed: closed(listener),
        ..ListenerOptions::new(address)
    }
}

/// What this listener does not offer without a token.
fn closed(listener: &Listener) -> Vec<&'static str> {
    let families = [
        (listener.disable_unauthed_generate_root_endpoints, "sys/generate-root/"),
        (listener.disable_unauthed_rekey_endpoints, "sys/rekey/"),
        (listener.disable_unauthed_rekey_endpoints, "sys/rekey-recovery-key/"),
    ];
    families.into_iter().filter(|(closed, _)| *closed).map(|(_, family)| family).collect()
}
