//! Many seeds of many scenarios, one process a seed, in parallel.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::outcome::Class;

/// What to sweep.
pub struct Sweep {
    /// Names or paths of scenarios.
    pub scenarios: Vec<String>,
    /// The first seed and the one after the last.
    pub seeds: std::ops::Range<u64>,
    /// Processes at once.
    pub jobs: usize,
    /// What each `run` gets besides.
    pub extra: Vec<String>,
}

struct Done {
    scenario: String,
    seed: u64,
    code: i32,
    last_line: String,
    /// Processor time.
    cost: Duration,
}

/// Runs the sweep, scenario after scenario, and returns the exit code: 0, or that of the gravest failure. Each failing
/// seed is printed at once, with the command that replays it; each scenario when its last seed is done. So a sweep that is
/// stopped has said what it knows.
pub fn sweep(sweep: &Sweep) -> i32 {
    let begun = Instant::now();
    let runs = sweep.scenarios.iter().flat_map(|name| sweep.seeds.clone().map(move |seed| (name.clone(), seed)));
    let queue: Mutex<VecDeque<(String, u64)>> = Mutex::new(runs.collect());
    let total = queue.lock().unwrap_or_else(PoisonError::into_inner).len();
    let bar = bar(total as u64);
    let (sender, receiver) = mpsc::channel();
    let mut scenarios: BTreeMap<String, Tally> = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..sweep.jobs.max(1) {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((scenario, seed)) = next else { return };
                    if sender.send(one(sweep, scenario, seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for run in receiver {
            if run.code != 0 {
                bar.suspend(|| println!("{}\n    replay: {}", run.last_line, replay(sweep, &run)));
            }
            let tally = scenarios.entry(run.scenario.clone()).or_default();
            tally.add(&run);
            if tally.costs.len() as u64 == sweep.seeds.end - sweep.seeds.start {
                bar.suspend(|| println!("{:<28} {tally}", run.scenario));
            }
            bar.inc(1);
        }
    });
    bar.finish_and_clear();
    let mut all = Tally::default();
    scenarios.into_values().for_each(|tally| all.merge(tally));
    println!("{:<28} {all}, took {:.0} s", "all", begun.elapsed().as_secs_f64());
    all.code
}

/// What became of some runs.
#[derive(Default)]
struct Tally {
    /// Processor time of each.
    costs: Vec<Duration>,
    failed: usize,
    /// The code of the gravest failure.
    code: i32,
}

impl Tally {
    fn add(&mut self, run: &Done) {
        let failed = usize::from(run.code != 0);
        self.merge(Tally { costs: vec![run.cost], failed, code: run.code });
    }

    fn merge(&mut self, other: Tally) {
        self.costs.extend(other.costs);
        self.failed += other.failed;
        self.code = [self.code, other.code].into_iter().filter(|code| *code != 0).min().unwrap_or(0);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut costs = self.costs.clone();
        costs.sort_unstable();
        let rank = |percent: usize| costs.get((costs.len() * percent).div_ceil(100).saturating_sub(1));
        let seconds = |percent: usize| rank(percent).map_or(0.0, Duration::as_secs_f64);
        write!(f, "runs={} failed={} core seconds: ", costs.len(), self.failed)?;
        write!(f, "median={:.2} p99={:.2} max={:.2}", seconds(50), seconds(99), seconds(100))
    }
}

fn one(sweep: &Sweep, scenario: String, seed: u64) -> Done {
    let begun = Instant::now();
    let program = std::env::current_exe().unwrap_or_else(|_| "holdfast-sim".into());
    let mut command = Command::new(program);
    command.args(["run", &scenario, "--seed", &seed.to_string()]).args(&sweep.extra);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let (code, text) = match output {
        Ok(output) => {
            let code = output.status.code().unwrap_or(Class::Crash as i32);
            (code, String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) => (Class::Harness as i32, error.to_string()),
    };
    let told = text.lines().find_map(|line| line.strip_prefix(COST)?.parse().ok());
    let cost = told.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let last_line = text.lines().last().filter(|line| !line.starts_with(COST)).map(str::to_string);
    let last_line = last_line
        .unwrap_or_else(|| format!("scenario={scenario} seed={seed} VIOLATION ended without a line, exit code {code}"));
    Done { scenario, seed, code, last_line, cost: cost.unwrap_or_else(|| begun.elapsed()) }
}

/// What the line begins with in which a run tells its processor time in seconds; a killed one has none.
pub const COST: &str = "core_seconds=";

fn replay(sweep: &Sweep, run: &Done) -> String {
    let extra: String = sweep.extra.iter().map(|word| format!(" {word}")).collect();
    let program = std::env::args().next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    format!("{program} run {} --seed {}{extra} --trace trace.txt", run.scenario, run.seed)
}

/// A progress bar on a terminal, nothing elsewhere.
fn bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {eta} left");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_tells_ranks_and_the_gravest_code() {
        let mut tally = Tally::default();
        for seed in 1..=200u64 {
            let code = [0, 12, 11][usize::from(seed == 7) + 2 * usize::from(seed == 9)];
            let cost = Duration::from_millis(10 * seed);
            tally.add(&Done { scenario: "x".into(), seed, code, last_line: String::new(), cost });
        }
        assert_eq!(tally.to_string(), "runs=200 failed=2 core seconds: median=1.00 p99=1.98 max=2.00");
        assert_eq!(tally.code, 11);
        assert_eq!(Tally::default().to_string(), "runs=0 failed=0 core seconds: median=0.00 p99=0.00 max=0.00");
    }
}
