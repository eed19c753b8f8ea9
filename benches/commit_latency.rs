//! Commit latency through Raft against what the same disk needs for one durable write, in one run, for clusters of one,
//! three and five nodes in this process, over loopback and with the real file system.
//!
//! `cargo bench --bench commit_latency [-- DIRECTORY]`: the disk of DIRECTORY is measured, by default the present one's.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark measures the machine itself")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast::config::Config;
use holdfast::core::{Core, Operation, Request};
use holdfast::raft::Raft;
use holdfast::raft::command::{Batch, Body, Write};
use holdfast::runtime::Runtime;
use holdfast::server::{Node, Tuning};
use holdfast::storage::schema::{self, Kind};
use serde_json::{Value, json};

/// Commits measured per cluster, and as many raw writes.
const COUNT: usize = 2000;

/// Commits between two blocks of raw writes, so that both meet the same disk.
const BLOCK: usize = 200;

/// Bytes of the value in a commit.
const VALUE: usize = 300;

const FIRST_PORT: u16 = 23700;

type Outcome<T> = Result<T, String>;

fn main() -> Outcome<()> {
    let directory = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_else(|| ".".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        println!("microseconds; {COUNT} commits one after another, each a put of {VALUE} bytes\n");
        println!(
            "{:<8} {:>8} {:>8} {:>8} {:>10} {:>10} {:>8} | mean: {:>7} {:>8} {:>11} {:>9}",
            "nodes", "p50", "p99", "p99.9", "disk p50", "disk p99", "ratio", "commit", "sync", "round trip", "the rest"
        );
        for nodes in [1, 3, 5] {
            let data = tempfile::tempdir_in(&directory).map_err(text)?;
            measure(nodes, data.path()).await?;
        }
        println!(
            "\ndisk: a write of 512 bytes and its fdatasync on the same disk, between the commits. ratio: of the p50s.\n\
             sync: the leader's own write and sync. round trip: a read index, which passes network and Raft but no disk.\n\
             the rest: a follower's sync as far as it ends later, apply, and the way between tasks (negative: they overlap)."
        );
        Ok(())
    })
}

async fn measure(count: usize, directory: &Path) -> Outcome<()> {
    let nodes = cluster(count, directory).await?;
    let leader = leader(&nodes).await?.clone();
    commits(&leader, BLOCK).await?;
    let (mut latencies, mut disk, mut trips) = (Vec::new(), Vec::new(), Vec::new());
    let before = leader.syncs();
    while latencies.len() < COUNT {
        latencies.extend(commits(&leader, BLOCK).await?);
        disk.extend(raw_syncs(directory, BLOCK).map_err(text)?);
        for _ in 0..BLOCK {
            let began = Instant::now();
            leader.read_index().await.map_err(text)?;
            trips.push(began.elapsed());
        }
    }
    let after = leader.syncs();
    let sync = (after.sum - before.sum).as_secs_f64() * 1e6 / (after.count - before.count).max(1) as f64;
    let (commit, trip) = (mean(&latencies), mean(&trips));
    latencies.sort();
    disk.sort();
    println!(
        "{count:<8} {:>8.0} {:>8.0} {:>8.0} {:>10.0} {:>10.0} {:>8.2} |       {commit:>7.0} {sync:>8.0} {trip:>11.0} {:>9.0}",
        at(&latencies, 0.5),
        at(&latencies, 0.99),
        at(&latencies, 0.999),
        at(&disk, 0.5),
        at(&disk, 0.99),
        at(&latencies, 0.5) / at(&disk, 0.5),
        commit - sync - trip,
    );
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}

/// Commits one after another: the latency of each.
async fn commits(leader: &Raft, count: usize) -> Outcome<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(count);
    for number in 0..count {
        let key = schema::key(Kind::Data, format!("bench/{}", number % 100).as_bytes());
        let writes = vec![Write::Put { key, value: Bytes::from_static(&[7; VALUE]) }];
        let batch = Batch { epoch: leader.state().epoch(), writes, ..Batch::default() };
        let began = Instant::now();
        leader.propose(Body::Batch(batch)).await.map_err(text)?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

/// Small writes into space that is already there, each with its fdatasync.
fn raw_syncs(directory: &Path, count: usize) -> std::io::Result<Vec<Duration>> {
    let file = File::create(directory.join("raw"))?;
    let block = [7u8; 512];
    file.write_all_at(&vec![0; count * block.len()], 0)?;
    file.sync_all()?;
    let mut latencies = Vec::with_capacity(count);
    for number in 0..count {
        let began = Instant::now();
        file.write_all_at(&block, (number * block.len()) as u64)?;
        file.sync_data()?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

/// Starts nodes that join the first one, and unseals all.
async fn cluster(count: usize, directory: &Path) -> Outcome<Vec<Node>> {
    let address = |node: usize| format!("127.0.0.1:{}", FIRST_PORT + 2 * node as u16);
    let mut nodes = Vec::new();
    let mut share = Value::Null;
    for number in 0..count {
        let first = address(0);
        let others: Vec<&str> = if number == 0 { Vec::new() } else { vec![first.as_str()] };
        let label = format!("n{number}");
        let config = Config::dev_member(&address(number), &label, &directory.join(&label), &others).map_err(text)?;
        let node = Node::start(config, Runtime::real(), Tuning::default()).await.map_err(text)?;
        if number == 0 {
            let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
            share = call(node.core(), "sys/init", body).await?["keys_base64"][0].clone();
        }
        let unsealing = async {
            loop {
                // A node that joins takes shares only when it has heard of its cluster.
                match call(node.core(), "sys/unseal", json!({ "key": share })).await {
                    Ok(status) if status["sealed"] == json!(false) => return,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, unsealing).await.map_err(|_| format!("{label} does not unseal"))?;
        nodes.push(node);
    }
    let voters = async {
        while nodes[0].raft().members().iter().filter(|member| member.voter).count() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, voters).await.map_err(|_| "not all nodes vote")?;
    Ok(nodes)
}

async fn leader(nodes: &[Node]) -> Outcome<&Raft> {
    for _ in 0..1000 {
        if let Some(node) = nodes.iter().find(|node| node.core().is_active()) {
            return Ok(node.raft());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("no active node".into())
}

async fn call(core: &Core, path: &str, body: Value) -> Outcome<Value> {
    let request = Request {
        id: String::new(),
        operation: Operation::Update,
        path: path.to_string(),
        data: body.as_object().cloned().unwrap_or_default(),
        token: None,
        wrap_ttl: None,
        client: Default::default(),
        headers: Default::default(),
    };
    let response = core.handle(&request).await.map_err(text)?;
    Ok(match response.raw {
        Some(raw) => serde_json::from_slice(&raw.body).unwrap_or_default(),
        None => response.data.map(Value::Object).unwrap_or_default(),
    })
}

fn at(sorted: &[Duration], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
}

fn mean(latencies: &[Duration]) -> f64 {
    latencies.iter().sum::<Duration>().as_secs_f64() * 1e6 / latencies.len().max(1) as f64
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// How long any step of bringing a cluster up may take.
const PATIENCE: Duration = Duration::from_secs(60);
