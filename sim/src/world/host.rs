//! What runs on a node: the one file that knows the server's entry point.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use holdfast::config;
use holdfast::raft::state::EngineKind;
use holdfast::runtime::{Disk, Runtime};
use holdfast::server::{Node, Tuning};

use super::stand_in;
use super::tls::Tls;

/// What a node's process is started with.
#[derive(Clone)]
pub struct Spec {
    /// The operator's `node_id`.
    pub label: String,
    /// The node's present address.
    pub address: IpAddr,
    /// The present addresses of the other nodes (`retry_join`).
    pub others: Vec<IpAddr>,
    /// Where the operator puts configuration and certificates: the node's disk without its faults.
    pub disk: Disk,
    /// The cluster's certificates; `None` for the toy server.
    pub tls: Option<Arc<Tls>>,
    /// A directory on the real file system to keep RocksDB's state in; without it, state is kept in memory and written to
    /// the simulated disk.
    pub rocks: Option<PathBuf>,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// A checkpoint is taken when the log since the last one is longer.
    pub checkpoint_log_bytes: u64,
}

/// The port of the API.
pub const API_PORT: u16 = 8200;
const CLUSTER_PORT: u16 = 8201;

/// Runs the server until it stops by itself.
///
/// # Errors
/// What the server said when it gave up.
pub async fn run(spec: Spec, runtime: Runtime) -> Result<(), String> {
    let Some(tls) = spec.tls.clone() else {
        return stand_in::run(spec, runtime).await.map_err(|error| error.to_string());
    };
    install(&spec, &tls).await.map_err(|error| error.to_string())?;
    let files = [PathBuf::from(CONFIG_FILE)];
    let config = config::load(&runtime.disk, &files, &BTreeMap::new()).await.map_err(|error| error.to_string())?;
    let tuning = Tuning {
        disk_engine: if spec.rocks.is_some() { EngineKind::Rocks } else { EngineKind::Memory },
        engine_dir: spec.rocks.clone(),
        background_flush: false,
        segment_bytes: spec.segment_bytes,
        checkpoint_log_bytes: spec.checkpoint_log_bytes,
        ..Tuning::default()
    };
    let node = Node::start(config, runtime, tuning).await.map_err(|error| error.to_string())?;
    std::future::pending::<()>().await;
    drop(node);
    Ok(())
}

/// Writes what an operator would: the configuration file and the certificates.
async fn install(spec: &Spec, tls: &Tls) -> std::io::Result<()> {
    spec.disk.create_dir_all(Path::new(ETC)).await?;
    let files = [
        ("server.hcl", configuration(spec)),
        ("ca.pem", tls.signed.ca.clone()),
        ("cert.pem", tls.signed.cert.clone()),
        ("key.pem", tls.signed.key.clone()),
    ];
    for (name, text) in files {
        spec.disk.replace(&Path::new(ETC).join(name), Bytes::from(text)).await?;
    }
    spec.disk.sync_dir(Path::new("/")).await
}

/// The node's configuration file, in the shape of the guide's.
fn configuration(spec: &Spec) -> String {
    let Spec { label, address, others, .. } = spec;
    let joins: String = others
        .iter()
        .map(|other| {
            format!(
                "  retry_join {{\n    leader_api_addr = \"https://{other}:{API_PORT}\"\n    leader_ca_cert_file = \"{ETC}/ca.pem\"\n  }}\n"
            )
        })
        .collect();
    format!(
        "storage \"raft\" {{\n  path = \"/data\"\n  node_id = \"{label}\"\n  performance_multiplier = 1\n{joins}}}\n\
         listener \"tcp\" {{\n  address = \"{address}:{API_PORT}\"\n  cluster_address = \"{address}:{CLUSTER_PORT}\"\n  \
         tls_cert_file = \"{ETC}/cert.pem\"\n  tls_key_file = \"{ETC}/key.pem\"\n}}\n\
         api_addr = \"https://{address}:{API_PORT}\"\ncluster_addr = \"https://{address}:{CLUSTER_PORT}\"\n\
         disable_mlock = true\n"
    )
}

const ETC: &str = "/etc/holdfast";
const CONFIG_FILE: &str = "/etc/holdfast/server.hcl";
