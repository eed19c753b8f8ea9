//! Many seeds of many scenarios, one process a seed, in parallel.

use std::collections::VecDeque;
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
    took: Duration,
}

/// Runs the sweep, prints each failing seed with the command that replays it, and returns the exit code: 0, or that of
/// the gravest failure.
pub fn sweep(sweep: &Sweep) -> i32 {
    let runs = sweep.seeds.clone().flat_map(|seed| sweep.scenarios.iter().map(move |name| (name.clone(), seed)));
    let queue: Mutex<VecDeque<(String, u64)>> = Mutex::new(runs.collect());
    let total = queue.lock().unwrap_or_else(PoisonError::into_inner).len();
    let bar = bar(total as u64);
    let (sender, receiver) = mpsc::channel();
    let mut done = Vec::new();
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
            bar.inc(1);
            done.push(run);
        }
    });
    bar.finish_and_clear();
    summary(&mut done)
}

fn one(sweep: &Sweep, scenario: String, seed: u64) -> Done {
    let begun = Instant::now();
    let program = std::env::current_exe().unwrap_or_else(|_| "holdfast-sim".into());
    let mut command = Command::new(program);
    command.args(["run", &scenario, "--seed", &seed.to_string()]).args(&sweep.extra);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let took = begun.elapsed();
    let (code, text) = match output {
        Ok(output) => {
            let code = output.status.code().unwrap_or(Class::Crash as i32);
            (code, String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) => (Class::Harness as i32, error.to_string()),
    };
    let last_line = text.lines().last().map(str::to_string);
    let last_line = last_line
        .unwrap_or_else(|| format!("scenario={scenario} seed={seed} VIOLATION ended without a line, exit code {code}"));
    Done { scenario, seed, code, last_line, took }
}

fn replay(sweep: &Sweep, run: &Done) -> String {
    let extra: String = sweep.extra.iter().map(|word| format!(" {word}")).collect();
    let program = std::env::args().next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    format!("{program} run {} --seed {}{extra} --trace trace.txt", run.scenario, run.seed)
}

fn summary(done: &mut [Done]) -> i32 {
    done.sort_by_key(|run| run.took);
    let failed = done.iter().filter(|run| run.code != 0).count();
    let took = |at: usize| done.get(at).map_or(0.0, |run| run.took.as_secs_f64());
    let (median, max) = (took(done.len() / 2), took(done.len().saturating_sub(1)));
    if let Some(slowest) = done.last() {
        println!("slowest: {} --seed {}", slowest.scenario, slowest.seed);
    }
    println!("runs={} failed={failed} median={median:.2}s max={max:.2}s", done.len());
    done.iter().map(|run| run.code).filter(|code| *code != 0).min().unwrap_or(0)
}

/// A progress bar on a terminal, nothing elsewhere.
fn bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {eta} left");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
