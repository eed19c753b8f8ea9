//! The loads: as many requests as fit into a time over some connections, and how long a cluster takes no writes after
//! its active node was killed.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use crate::cluster::{Cluster, NODES};
use crate::http::{Connection, request};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A KV version 2 write of 256 bytes.
    Write,
    /// A read of what was written.
    Read,
    /// A new service token.
    Token,
}

/// What came of one load.
pub struct Outcome {
    /// Requests a second.
    pub rate: f64,
    /// All latencies, sorted.
    pub latencies: Vec<Duration>,
    /// CPU time of all three nodes for one request.
    pub cpu: Duration,
}

impl Outcome {
    /// The latency that a share (0 to 1) of requests does not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        quantile(&self.latencies, share)
    }
}

/// The value at a share (0 to 1) of sorted durations.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() as f64 * share) as usize).or(sorted.get(last)).copied().unwrap_or_default()
}

/// Keys that one connection writes in turn: no two connections share one.
const KEYS: usize = 100;

/// Bytes of the value.
const VALUE: usize = 256;

/// Sends requests of one kind to a node over `connections` connections for a time.
///
/// # Errors
/// The first answer that is not 200.
pub async fn run(
    cluster: &Cluster,
    node: usize,
    kind: Kind,
    connections: usize,
    time: Duration,
) -> Result<Outcome, String> {
    let (before, began) = (cluster.cpu(), Instant::now());
    let end = began + time;
    let mut tasks = JoinSet::new();
    let local = LocalSet::new();
    for connection in 0..connections {
        let requests = Rc::new(requests(kind, connection, &cluster.token));
        tasks.spawn_local_on(drive(cluster.address(node), requests, end), &local);
    }
    let mut latencies = Vec::new();
    let outcome = local
        .run_until(async {
            while let Some(done) = tasks.join_next().await {
                latencies.extend(done.map_err(|error| error.to_string())??);
            }
            Ok::<(), String>(())
        })
        .await;
    outcome.map_err(|error| format!("{}: {kind:?}: {error}", cluster.name))?;
    let (elapsed, cpu) = (began.elapsed(), cluster.cpu().saturating_sub(before));
    latencies.sort();
    let count = latencies.len().max(1);
    Ok(Outcome { rate: count as f64 / elapsed.as_secs_f64(), latencies, cpu: cpu / count as u32 })
}

async fn drive(address: SocketAddr, requests: Rc<Vec<Vec<u8>>>, end: Instant) -> Result<Vec<Duration>, String> {
    let mut connection = Connection::open(address).await.map_err(|error| error.to_string())?;
    let mut latencies = Vec::with_capacity(1 << 14);
    for request in requests.iter().cycle() {
        let began = Instant::now();
        if began >= end {
            break;
        }
        let answer = connection.send(request).await.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
        }
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

/// One connection's requests. Every key is written before any is read: `Write` runs first.
fn requests(kind: Kind, connection: usize, token: &str) -> Vec<Vec<u8>> {
    (0..KEYS)
        .map(|key| {
            let path = format!("secret/data/load/{connection}/{key}");
            match kind {
                Kind::Write => request("POST", &path, token, &write_body()),
                Kind::Read => request("GET", &path, token, ""),
                Kind::Token => request("POST", "auth/token/create", token, r#"{"policies":["default"],"ttl":"1h"}"#),
            }
        })
        .collect()
}

fn write_body() -> String {
    format!("{{\"data\":{{\"value\":\"{}\"}}}}", "x".repeat(VALUE))
}

/// Writes all keys of `connections` connections once.
///
/// # Errors
/// The first answer that is not 200.
pub async fn fill(cluster: &Cluster, node: usize, connections: usize) -> Result<(), String> {
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let (address, requests) = (cluster.address(node), requests(Kind::Write, connection, &cluster.token));
        tasks.spawn_local_on(
            async move {
                let mut connection = Connection::open(address).await.map_err(|error| error.to_string())?;
                for request in &requests {
                    let answer = connection.send(request).await.map_err(|error| error.to_string())?;
                    if answer.status != 200 {
                        return Err(format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
                    }
                }
                Ok(())
            },
            &local,
        );
    }
    local
        .run_until(async {
            while let Some(done) = tasks.join_next().await {
                done.map_err(|error| error.to_string())??;
            }
            Ok(())
        })
        .await
}

/// Kills the active node and measures until the first write is acknowledged by another; then brings it back.
///
/// # Errors
/// What went wrong, in words.
pub async fn failover(cluster: &mut Cluster) -> Result<Duration, String> {
    let active = cluster.active().await?;
    let write = Rc::new(request("POST", "secret/data/failover", &cluster.token, &write_body()));
    // The cluster is in its usual state: both others follow and the active node takes writes.
    run(cluster, active, Kind::Write, 1, SETTLE).await?;
    cluster.kill(active);
    let killed = Instant::now();
    let mut probes = JoinSet::new();
    let local = LocalSet::new();
    for node in (0..NODES).filter(|node| *node != active) {
        probes.spawn_local_on(probe(cluster.address(node), Rc::clone(&write)), &local);
    }
    let first = local.run_until(probes.join_next());
    match tokio::time::timeout(GIVE_UP, first).await {
        Ok(Some(Ok(()))) => {}
        _ => return Err(format!("{}: no write was accepted after a kill", cluster.name)),
    }
    let gap = killed.elapsed();
    drop((probes, local));
    cluster.restart(active).await?;
    Ok(gap)
}

/// Writes to one node until it takes one.
async fn probe(address: SocketAddr, write: Rc<Vec<u8>>) {
    loop {
        let attempt = async {
            let mut connection = Connection::open(address).await.ok()?;
            connection.send(&write).await.ok().map(|answer| answer.status)
        };
        if let Ok(Some(200)) = tokio::time::timeout(PROBE, attempt).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Load before each kill.
const SETTLE: Duration = Duration::from_secs(2);

/// How long one write may take during a failover before it is tried anew.
const PROBE: Duration = Duration::from_millis(250);

/// When a failover counts as failed.
const GIVE_UP: Duration = Duration::from_secs(60);
