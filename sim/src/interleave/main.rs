//! The second simulator: the core down to Raft of three nodes, called directly, with tasks in random order (madsim). Same
//! checks, same last line, same exit codes as `holdfast-sim`. `ci/madsim` builds and runs it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "outside the simulation: it writes trace files"
)]

mod drive;
mod load;
mod node;
mod world;

use std::io::Write;

use clap::{Args, Parser, Subcommand};
use holdfast_sim::outcome::{Class, Outcome, Violation};
use holdfast_sim::trace::TraceLog;
use holdfast_sim::{check, sweep, verify};

#[derive(Parser)]
#[command(name = "holdfast-interleave", about = "Runs three nodes' core and Raft under random interleaving", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one seed
    Run {
        #[command(flatten)]
        what: What,
        /// Write the event trace to this file (`-`: standard output)
        #[arg(long, value_name = "FILE")]
        trace: Option<String>,
        /// Write the nodes' log lines of this level and above to standard error: error, warn, info, debug, trace
        #[arg(long, value_name = "LEVEL")]
        log: Option<tracing_subscriber::filter::LevelFilter>,
    },
    /// Run one seed in two processes and stop at the first line in which they differ
    Verify {
        #[command(flatten)]
        what: What,
    },
    /// Run many seeds, one process a seed
    Sweep {
        /// Seeds from A up to, but without, B
        #[arg(long, value_name = "A..B", default_value = "1..21")]
        seeds: String,
        /// Processes at once
        #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
        jobs: usize,
        /// Plant this bug
        #[arg(long, value_name = "NAME")]
        mutant: Option<String>,
    },
}

#[derive(Args)]
struct What {
    /// There is one scenario
    #[arg(default_value = SCENARIO)]
    scenario: String,
    /// The seed
    #[arg(long)]
    seed: u64,
    /// Plant this bug
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
}

const SCENARIO: &str = "interleave";

fn main() {
    let code = match Cli::parse().command {
        Command::Run { what, trace, log } => {
            if let Some(level) = log {
                let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_max_level(level);
                subscriber.with_writer(std::io::stderr).init();
            }
            what.mutant.iter().for_each(|name| holdfast::runtime::point::plant(name));
            run(what.seed, trace.as_deref())
        }
        Command::Verify { what } => {
            let mut words = vec!["run".to_string(), what.scenario, "--seed".to_string(), what.seed.to_string()];
            words.extend(mutant(what.mutant));
            verify::verify(&words)
        }
        Command::Sweep { seeds, jobs, mutant: name, .. } => {
            let range = seeds.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
            match range {
                Some(seeds) => {
                    let scenarios = vec![SCENARIO.to_string()];
                    sweep::sweep(&sweep::Sweep { scenarios, seeds, jobs, extra: mutant(name) })
                }
                None => harness(&format!("--seeds {seeds}: A..B")),
            }
        }
    };
    std::process::exit(code);
}

fn mutant(name: Option<String>) -> Vec<String> {
    name.into_iter().flat_map(|name| ["--mutant".to_string(), name]).collect()
}

fn run(seed: u64, output: Option<&str>) -> i32 {
    let output = match output.map(open).transpose() {
        Ok(output) => output,
        Err(error) => return harness(&error.to_string()),
    };
    let trace = TraceLog::new(output);
    let (evidence, mut violations) = drive::play(seed, &trace);
    violations.extend(check::check_all(&evidence));
    violations.sort_by_key(|violation: &Violation| violation.class);
    for violation in &violations {
        trace.event("world", "violation", format_args!("{violation}"));
    }
    trace.flush();
    let (events, digest) = trace.digest();
    let sim_seconds = trace.step_time().as_secs_f64();
    let outcome = Outcome { scenario: SCENARIO.into(), seed, sim_seconds, events, digest, violations };
    println!("{outcome}");
    outcome.exit_code()
}

fn open(path: &str) -> std::io::Result<Box<dyn Write + Send>> {
    if path == "-" {
        return Ok(Box::new(std::io::BufWriter::new(std::io::stdout())));
    }
    Ok(Box::new(std::io::BufWriter::new(std::fs::File::create(path)?)))
}

fn harness(error: &str) -> i32 {
    eprintln!("error: {error}");
    Class::Harness as i32
}
