//! Compares a three-node Holdfast cluster with a three-node OpenBao cluster: same machine, same disk, same load, in one
//! run. Both clusters stand side by side; loads alternate between them in short rounds, so that whatever else the
//! machine does meets both alike, and ratios are medians over pairs.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool beside the server: it runs real processes"
)]

mod cluster;
mod cold_start;
mod disk;
mod http;
mod load;
mod report;
mod scale;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use cluster::Cluster;
use load::Kind;
use report::{Pair, Report};

/// Compares Holdfast with OpenBao.
#[derive(Parser)]
struct Args {
    /// The Holdfast binary.
    #[arg(long, default_value = "holdfast")]
    holdfast: PathBuf,
    /// The OpenBao binary.
    #[arg(long, default_value = "bao")]
    bao: PathBuf,
    /// Where the data goes: the disk to measure. A directory is made in it and removed.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The first of 24 free ports.
    #[arg(long, default_value_t = 23100)]
    port: u16,
    /// Rounds of each load.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each load in a round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Kills of the active node; 0 for none.
    #[arg(long, default_value_t = 10)]
    kills: usize,
    /// Only Holdfast.
    #[arg(long)]
    alone: bool,
    /// Only the loads with this text in their names.
    #[arg(long, default_value = "")]
    load: String,
    /// Instead of loads: fill a Holdfast cluster with so many megabytes, then kill and start all nodes.
    #[arg(long)]
    cold_start_mb: Option<u64>,
    /// Instead of loads: a Holdfast cluster with so many secrets, and a tenth as many tokens.
    #[arg(long)]
    scale: Option<u64>,
    /// table or json.
    #[arg(long, default_value = "table")]
    format: String,
}

/// The loads of a round, in order: name, kind, connections.
const LOADS: [(&str, Kind, usize); 5] = [
    ("writes, 64 connections", Kind::Write, 64),
    ("writes, 1 connection", Kind::Write, 1),
    ("reads, 64 connections", Kind::Read, 64),
    ("reads, 1 connection", Kind::Read, 1),
    ("tokens, 16 connections", Kind::Token, 16),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse_from(std::env::args().map(|arg| match arg.strip_prefix("-format=") {
        Some(format) => format!("--format={format}"),
        None => arg,
    }));
    match measure(&args).await {
        Ok(text) => println!("{}", text.trim_end()),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn measure(args: &Args) -> Result<String, String> {
    let directory = args.dir.join(format!("holdfast-load-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let directory = directory.canonicalize().map_err(|error| error.to_string())?;
    let json = args.format == "json";
    let result = match (args.cold_start_mb, args.scale) {
        (Some(megabytes), _) => {
            cold_start(args, &directory, megabytes).await.map(|outcome| report::cold_start(&outcome, json))
        }
        (None, Some(keys)) => scale(args, &directory, keys).await.map(|figures| report::scale(&figures, json)),
        (None, None) => measure_in(args, &directory)
            .await
            .map(|report| if json { report.json().to_string() } else { report.table() }),
    };
    if result.is_ok() {
        let _ = std::fs::remove_dir_all(&directory);
    } else {
        eprintln!("the servers' logs are in {}", directory.display());
    }
    result
}

/// One load on whichever node is active. A cluster that changes its active node meanwhile is measured again.
async fn steady(cluster: &Cluster, kind: Kind, connections: usize, time: Duration) -> Result<load::Outcome, String> {
    let mut last = String::new();
    for _ in 0..5 {
        match load::run(cluster, cluster.active().await?, kind, connections, time).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => last = error,
        }
        eprintln!("again: {last}");
    }
    Err(last)
}

async fn cold_start(args: &Args, directory: &std::path::Path, megabytes: u64) -> Result<cold_start::Outcome, String> {
    let mut cluster = Cluster::start("holdfast", &args.holdfast, directory, args.port).await?;
    cold_start::measure(&mut cluster, megabytes * 1_000_000).await
}

async fn scale(args: &Args, directory: &std::path::Path, keys: u64) -> Result<scale::Figures, String> {
    let cluster = Cluster::start("holdfast", &args.holdfast, directory, args.port).await?;
    scale::measure(&cluster, keys, keys / 10).await
}

async fn measure_in(args: &Args, directory: &std::path::Path) -> Result<Report, String> {
    let mut clusters = vec![Cluster::start("holdfast", &args.holdfast, directory, args.port).await?];
    if !args.alone {
        clusters.push(Cluster::start("bao", &args.bao, directory, args.port + 10).await?);
    }
    let versions = clusters.iter().map(Cluster::version).collect::<Result<Vec<_>, _>>()?;
    let idle_memory = clusters.iter().map(Cluster::memory).collect();
    for cluster in &clusters {
        load::fill(cluster, cluster.active().await?, 64).await?;
    }
    let mut report = Report::new(versions, idle_memory);
    for round in 0..args.rounds {
        report.syncs.extend(disk::sync_latencies(directory, 200).map_err(|error| error.to_string())?);
        for (name, kind, connections) in LOADS.into_iter().filter(|(name, ..)| name.contains(&args.load)) {
            eprintln!("round {} of {}: {name}", round + 1, args.rounds);
            let mut outcomes = Vec::new();
            for cluster in &clusters {
                outcomes.push(steady(cluster, kind, connections, Duration::from_secs(args.seconds)).await?);
            }
            report.add(name, Pair::new(outcomes));
        }
    }
    for kill in 0..args.kills {
        for (at, cluster) in clusters.iter_mut().enumerate() {
            let gap = load::failover(cluster).await?;
            eprintln!("kill {} of {}: {}: {gap:?}", kill + 1, args.kills, cluster.name);
            report.gaps[at].push(gap);
        }
    }
    report.finish();
    Ok(report)
}
