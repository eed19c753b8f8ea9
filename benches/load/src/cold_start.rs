//! A cluster with much data: what its log takes on disk while it is filled, and how soon it serves after all of its nodes
//! were killed and started again.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::{JoinSet, LocalSet};

use crate::cluster::{Cluster, NODES};
use crate::http::{Connection, request};

/// What was measured.
pub struct Outcome {
    /// Bytes written as values.
    pub filled: u64,
    /// The largest log directory of a node that was seen, in bytes on disk.
    pub log_peak: u64,
    /// All of a node's data after the fill, in bytes on disk.
    pub data: u64,
    /// From the start of all processes until the first read was answered, unsealing included.
    pub until_read: Duration,
    /// From the last unseal until the first read was answered.
    pub read_after_unseal: Duration,
    /// From the last unseal until the first write was acknowledged.
    pub write_after_unseal: Duration,
    /// Resident memory of each node after it, in bytes.
    pub memory: Vec<u64>,
}

/// Fills a cluster with so many bytes, kills all nodes and starts them again.
///
/// # Errors
/// What went wrong, in words.
pub async fn measure(cluster: &mut Cluster, bytes: u64) -> Result<Outcome, String> {
    let count = bytes / VALUE as u64;
    let log_peak = fill(cluster, count).await?;
    let data = disk_use(&cluster.data(0));
    for node in 0..NODES {
        cluster.kill(node);
    }
    let started = Instant::now();
    for node in 0..NODES {
        cluster.start_node(node)?;
    }
    for node in 0..NODES {
        cluster.unseal(node).await?;
    }
    let unsealed = Instant::now();
    let read = request("GET", &path(0, (count - 1) / CONNECTIONS), &cluster.token, "");
    let write = request("POST", "secret/data/after", &cluster.token, r#"{"data":{"a":"b"}}"#);
    first(cluster, &read).await?;
    let read = Instant::now();
    first(cluster, &write).await?;
    Ok(Outcome {
        filled: count * VALUE as u64,
        log_peak,
        data,
        until_read: read - started,
        read_after_unseal: read - unsealed,
        write_after_unseal: unsealed.elapsed(),
        memory: cluster.memory(),
    })
}

/// Writes `count` values and returns the largest size of a log that was seen meanwhile.
async fn fill(cluster: &Cluster, count: u64) -> Result<u64, String> {
    let active = cluster.active().await?;
    let (address, token) = (cluster.address(active), Rc::new(cluster.token.clone()));
    let body = Rc::new(json!({ "data": { "value": "x".repeat(VALUE) } }).to_string());
    let (local, mut tasks) = (LocalSet::new(), JoinSet::new());
    for connection in 0..CONNECTIONS {
        let (token, body) = (Rc::clone(&token), Rc::clone(&body));
        tasks.spawn_local_on(
            async move {
                let mut client = Connection::open(address).await.map_err(|error| error.to_string())?;
                for at in (connection..count).step_by(CONNECTIONS as usize) {
                    let sent = request("POST", &path(connection, at / CONNECTIONS), &token, &body);
                    let answer = client.send(&sent).await.map_err(|error| error.to_string())?;
                    if answer.status != 200 {
                        return Err(format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
                    }
                }
                Ok(())
            },
            &local,
        );
    }
    let log = cluster.data(active).join("raft");
    let mut peak = 0;
    let mut look = tokio::time::interval(Duration::from_millis(200));
    local
        .run_until(async {
            loop {
                tokio::select! {
                    biased;
                    done = tasks.join_next() => match done {
                        None => return Ok(peak),
                        Some(done) => done.map_err(|error| error.to_string())??,
                    },
                    _ = look.tick() => peak = peak.max(disk_use(&log)),
                }
            }
        })
        .await
}

/// Sends a request to all nodes in turn until one answers with 200.
async fn first(cluster: &Cluster, sent: &[u8]) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = String::from("no answer");
    while Instant::now() < deadline {
        for node in 0..NODES {
            let Ok(mut connection) = Connection::open(cluster.address(node)).await else { continue };
            match connection.send(sent).await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => last = format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)),
                Err(error) => last = error.to_string(),
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("nothing is served after the start: {last}"))
}

fn path(connection: u64, at: u64) -> String {
    format!("secret/data/fill/{connection}/{at}")
}

/// Bytes that a directory takes on disk; a file with two names counts once.
fn disk_use(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut seen = std::collections::BTreeMap::new();
    let mut open: Vec<PathBuf> = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                Ok(metadata) => drop(seen.insert(metadata.ino(), metadata.blocks() * 512)),
                Err(_) => {}
            }
        }
    }
    seen.values().sum()
}

/// Bytes of one value.
const VALUE: usize = 190_000;

const CONNECTIONS: u64 = 4;

/// How long the cluster may take to serve again.
const PATIENCE: Duration = Duration::from_secs(60);
