//! One node's process: Raft, the core over it, and what joins a cluster; `server/` without its listeners.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use holdfast::barrier::Barrier;
use holdfast::core::join::JoinReply;
use holdfast::core::{Core, Settings};
use holdfast::raft::node::Options;
use holdfast::raft::settings::Timing;
use holdfast::raft::start::Setup;
use holdfast::raft::state::EngineKind;
use holdfast::raft::transport::{Kind, TransportConfig};
use holdfast::raft::{Raft, join, log};
use holdfast::runtime::Runtime;
use holdfast::telemetry::Metrics;

/// What a process is started with.
pub struct Spec {
    /// The operator's `node_id`.
    pub label: String,
    /// `host:port` of the cluster port.
    pub address: String,
    /// Those of the other nodes.
    pub others: Vec<String>,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// A checkpoint is taken when the log since the last one is longer.
    pub checkpoint_log_bytes: u64,
}

/// Starts the node; its tasks run on until the process is killed.
///
/// # Errors
/// What the node says when it gives up.
pub async fn start(spec: Spec, runtime: Runtime) -> Result<Core, String> {
    let timing = Timing::new(1);
    let setup = Setup {
        options: Options {
            data_dir: PathBuf::from("/data"),
            timing,
            entry_bytes_max: holdfast::limits::ENTRY_BYTES_MAX,
            checkpoint_log_bytes: spec.checkpoint_log_bytes,
        },
        label: spec.label,
        node_key_path: None,
        listen: spec.address.clone(),
        advertise: spec.address.clone(),
        engine: EngineKind::Memory,
        engine_dir: None,
        log: log::Options { segment_bytes: spec.segment_bytes, ..log::Options::default() },
        background_flush: false,
        transport: TransportConfig {
            suspect_after: timing.heartbeat * 4,
            dead_after: timing.without_leader() * 2,
            ..TransportConfig::default()
        },
    };
    let raft = Raft::start(&runtime, setup).await.map_err(|error| error.to_string())?;
    let settings = Settings {
        cluster_name: "interleave".into(),
        api_addr: format!("https://{}", spec.address),
        cluster_addr: format!("https://{}", spec.address),
        default_lease_ttl: Duration::from_secs(32 * 24 * 3600),
        max_lease_ttl: Duration::from_secs(32 * 24 * 3600),
        storage_type: "raft".into(),
        sanitized: Default::default(),
    };
    let metrics = Metrics::new(runtime.clock.clone());
    let core = Core::new(runtime, settings, raft, Barrier::new(), metrics);
    core.load_known().await.map_err(|error| error.to_string())?;
    core.serve_cluster_port();
    tokio::spawn(core.clone().follow_role());
    tokio::spawn(core.clone().follow_seal());
    tokio::spawn(follow_others(core.clone(), spec.others));
    Ok(core)
}

/// Joins the cluster of whoever answers; finds the others again when there is no leader.
async fn follow_others(core: Core, others: Vec<String>) {
    loop {
        for address in &others {
            match core.belongs() {
                true if core.knows_no_leader() => drop(core.introduce(address).await),
                true => {}
                false => join_at(&core, address).await,
            }
        }
        let _ = tokio::time::timeout(Duration::from_millis(500), core.shares_came()).await;
    }
}

async fn join_at(core: &Core, address: &str) {
    if core.wants_challenge()
        && let Some(JoinReply::Challenge(challenge)) =
            ask(core, address, Kind::JoinChallenge, join::encode(&core.challenge_request())).await
    {
        core.take_challenge(*challenge, address);
    }
    let Some(Ok(answer)) = core.join_answer(None) else { return };
    let granted = match ask(core, address, Kind::JoinAnswer, join::encode(&answer)).await {
        Some(JoinReply::Granted(granted)) => core.accept_grant(&granted).await.is_ok(),
        _ => false,
    };
    if !granted {
        core.drop_challenge();
    }
}

/// Asks at `address`, and once more where the reply points.
async fn ask(core: &Core, address: &str, kind: Kind, message: Bytes) -> Option<JoinReply> {
    let mut address = address.to_string();
    for _ in 0..2 {
        let bytes = core.join_call(&address, kind, message.clone(), Duration::from_secs(3)).await.ok()?;
        match join::decode(&bytes).ok()? {
            JoinReply::Elsewhere(active) => address = active,
            reply => return Some(reply),
        }
    }
    None
}
