//! The simulator's command line; `docs/simulation.md` is its manual.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "outside the simulation: it writes trace files"
)]

use std::io::Write;

use clap::{Args, Parser, Subcommand};
use holdfast_sim::outcome::Class;
use holdfast_sim::{run, scenario, sweep, verify};

#[derive(Parser)]
#[command(name = "holdfast-sim", about = "Runs whole Holdfast clusters in a deterministic simulation", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one scenario under one seed
    Run {
        #[command(flatten)]
        what: What,
        /// Write the event trace to this file (`-`: standard output)
        #[arg(long, value_name = "FILE")]
        trace: Option<String>,
        /// Write the servers' log lines of this level and above to standard error: error, warn, info, debug, trace
        #[arg(long, value_name = "LEVEL")]
        log: Option<tracing_subscriber::filter::LevelFilter>,
        /// Say before the last line how much processor time it took: for `sweep`
        #[arg(long, hide = true)]
        cost: bool,
    },
    /// Run one seed in two processes and stop at the first line in which they differ
    Verify {
        #[command(flatten)]
        what: What,
    },
    /// Run many seeds, one process a seed
    Sweep {
        /// Names or paths of scenarios; none: all
        scenarios: Vec<String>,
        /// Seeds from A up to, but without, B
        #[arg(long, value_name = "A..B", default_value = "1..21")]
        seeds: String,
        /// Processes at once
        #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
        jobs: usize,
        /// Plant this bug
        #[arg(long, value_name = "NAME")]
        mutant: Option<String>,
        /// Run the toy server instead of Holdfast
        #[arg(long)]
        stand_in: bool,
    },
    /// List the scenarios
    List,
}

#[derive(Args)]
struct What {
    /// A scenario's name or path
    scenario: String,
    /// The seed
    #[arg(long)]
    seed: u64,
    /// Plant this bug
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// Run the toy server instead of Holdfast
    #[arg(long)]
    stand_in: bool,
}

fn main() {
    let code = match Cli::parse().command {
        Command::Run { what, trace, log, cost } => {
            log.into_iter().for_each(show_log);
            run_one(&what, trace.as_deref(), cost)
        }
        Command::Verify { what } => verify::verify(&what.arguments()),
        Command::Sweep { scenarios, seeds, jobs, mutant, stand_in } => {
            sweep_all(scenarios, &seeds, jobs, mutant, stand_in)
        }
        Command::List => list(),
    };
    std::process::exit(code);
}

/// The servers' log, in the order of the simulation; turmoil's span names the node.
fn show_log(level: tracing_subscriber::filter::LevelFilter) {
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_max_level(level);
    subscriber.with_writer(std::io::stderr).init();
}

impl What {
    fn arguments(&self) -> Vec<String> {
        let mut words = vec!["run".to_string(), self.scenario.clone(), "--seed".to_string(), self.seed.to_string()];
        words.extend(extra(self.mutant.as_deref(), self.stand_in));
        words
    }
}

fn extra(mutant: Option<&str>, stand_in: bool) -> Vec<String> {
    let mutant = mutant.into_iter().flat_map(|name| ["--mutant".to_string(), name.to_string()]);
    mutant.chain(stand_in.then(|| "--stand-in".to_string())).collect()
}

fn run_one(what: &What, trace: Option<&str>, cost: bool) -> i32 {
    let scenario = match scenario::load(&what.scenario) {
        Ok(scenario) => scenario,
        Err(error) => return harness(&error.to_string()),
    };
    if let Some(name) = &what.mutant {
        holdfast::runtime::point::plant(name);
    }
    let output = match trace.map(open).transpose() {
        Ok(output) => output,
        Err(error) => return harness(&format!("{}: {error}", trace.unwrap_or_default())),
    };
    let outcome = run::run(&scenario, what.seed, what.stand_in, output);
    if cost {
        println!("{}{:.3}", sweep::COST, run::processor_time().as_secs_f64());
    }
    println!("{outcome}");
    outcome.exit_code()
}

fn open(path: &str) -> std::io::Result<Box<dyn Write + Send>> {
    if path == "-" {
        return Ok(Box::new(std::io::BufWriter::new(std::io::stdout())));
    }
    Ok(Box::new(std::io::BufWriter::new(std::fs::File::create(path)?)))
}

fn sweep_all(scenarios: Vec<String>, seeds: &str, jobs: usize, mutant: Option<String>, stand_in: bool) -> i32 {
    let range = seeds.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    let Some(seeds) = range else { return harness(&format!("--seeds {seeds}: A..B")) };
    let all = || scenario::all().iter().map(|path| path.display().to_string()).collect();
    let scenarios = if scenarios.is_empty() { all() } else { scenarios };
    for name in &scenarios {
        if let Err(error) = scenario::load(name) {
            return harness(&error.to_string());
        }
    }
    let mut extra = extra(mutant.as_deref(), stand_in);
    extra.push("--cost".to_string());
    sweep::sweep(&sweep::Sweep { scenarios, seeds, jobs, extra })
}

fn list() -> i32 {
    let mut code = 0;
    for path in scenario::all() {
        match scenario::load(&path.display().to_string()) {
            Ok(scenario) => println!("{:<28} {}", scenario.name, scenario.about),
            Err(error) => code = harness(&error.to_string()),
        }
    }
    code
}

fn harness(what: &str) -> i32 {
    eprintln!("error: {what}");
    Class::Harness as i32
}
