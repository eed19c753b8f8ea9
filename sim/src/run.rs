//! One scenario under one seed.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::check::{Evidence, check_all};
use crate::driver::{Driver, Report};
use crate::outcome::{Class, Outcome, Violation};
use crate::scenario::Scenario;
use crate::trace::TraceLog;
use crate::world::World;
use crate::world::turmoil::Settings;

/// Runs `scenario` under `seed`; each event's line goes to `output`. Once a process: what a run leaves behind in
/// process-wide state must not reach another.
pub fn run(scenario: &Scenario, seed: u64, stand_in: bool, output: Option<Box<dyn Write + Send>>) -> Outcome {
    let trace = TraceLog::new(output);
    trace.event("world", "world", format_args!("scenario={} seed={seed} nodes={}", scenario.name, scenario.nodes));
    keep_panics();
    watch_time(scenario.name.clone(), seed, trace.clone());
    let Scenario { nodes, limit, latency_max, log_kept, .. } = *scenario;
    let settings = Settings { seed, nodes, limit, latency_max, log_kept, stand_in };
    let mut violations = match World::new(settings, trace.clone()) {
        Ok(world) => play(world, scenario, &trace),
        Err(error) => vec![Violation::harness(error)],
    };
    violations.sort_by_key(|violation| violation.class);
    for violation in &violations {
        trace.event("world", "violation", format_args!("{violation}"));
    }
    trace.flush();
    let (events, digest) = trace.digest();
    let sim_seconds = trace.now().as_secs_f64();
    Outcome { scenario: scenario.name.clone(), seed, sim_seconds, events, digest, violations }
}

fn play(mut world: World, scenario: &Scenario, trace: &TraceLog) -> Vec<Violation> {
    let report = Report::default();
    let hands = world.hands();
    let driver = Driver::new(hands.clone(), scenario.clone());
    let load = driver.run(report.clone());
    let end = catch_unwind(AssertUnwindSafe(|| world.run(load)));
    let (mut violations, ops, acts) = report.take();
    match end {
        Ok(Ok(())) => drop(world),
        Ok(Err(violation)) => violations.push(violation),
        Err(_) => {
            // Half of the world is gone with the panic: what is left of it cannot be taken down in order.
            std::mem::forget(world);
            violations.push(Violation::crash(last_panic().unwrap_or_else(|| "a panic".to_string())));
        }
    }
    // Not left to the nodes' destructors: a killed process keeps its RocksDB, and with it its node, for good.
    hands.nodes().iter().for_each(|node| node.remove_real_dir());
    // tokio and the server keep a panic of one task or one request from the others: the checkers would not see it.
    if let Some(what) = last_panic().filter(|_| !violations.iter().any(|violation| violation.class == Class::Crash)) {
        violations.push(Violation::crash(what));
    }
    let evidence = Evidence { ops, acts, events: trace.kept() };
    violations.extend(check_all(&evidence));
    violations
}

/// Ends the process when simulated time stands still: a task that never waits keeps a step from ending.
fn watch_time(scenario: String, seed: u64, trace: TraceLog) {
    std::thread::spawn(move || {
        let mut seen = (trace.step_time(), std::time::Instant::now(), processor_time());
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
            let now = trace.step_time();
            let spun = processor_time().saturating_sub(seen.2);
            if now != seen.0 {
                seen = (now, std::time::Instant::now(), processor_time());
            } else if spun > STANDS_STILL || seen.1.elapsed() > STUCK {
                let what = format!("simulated time stands still at {now:?}: a task spins");
                let violations = vec![Violation::liveness("bounded-run", what)];
                let (sim_seconds, (events, digest)) = (now.as_secs_f64(), trace.digest());
                trace.flush();
                println!("{}", Outcome { scenario, seed, sim_seconds, events, digest, violations });
                std::process::exit(crate::outcome::Class::Liveness as i32);
            }
        }
    });
}

/// Processor time of this process. Real time would judge the machine: a run may wait long for its turn on a busy one.
pub fn processor_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// After so much processor time without a step of the simulation the run is given up: a task spins.
const STANDS_STILL: std::time::Duration = std::time::Duration::from_secs(30);
/// And after so much real time: the process waits for something that does not come.
const STUCK: std::time::Duration = std::time::Duration::from_secs(600);

static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the first panic's message and place for the last line.
fn keep_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| info.to_string());
    }));
}

fn last_panic() -> Option<String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
