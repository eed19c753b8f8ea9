//! The simulator's own test: the toy server passes, twice alike; its planted bugs are found; exit codes name the class.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "outside the simulation: it starts processes")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-sim"));
    let output: Output =
        command.args(arguments).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_toy_server_passes_and_its_runs_are_alike() {
    let (code, out, _) = sim(&["run", "power-loss", "--seed", "7", "--stand-in"]);
    let last = out.lines().last().unwrap();
    assert_eq!(code, 0, "{out}");
    assert!(last.starts_with("scenario=power-loss seed=7 sim_seconds=") && last.ends_with(" ok"), "{last}");
    let (code, out, _) = sim(&["verify", "power-loss", "--seed", "7", "--stand-in"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains(last), "a digest must not depend on where the trace goes:\n{out}\n{last}");
}

#[test]
fn seeds_differ() {
    let digest = |seed| sim(&["run", "power-loss", "--seed", seed, "--stand-in"]).1;
    assert_ne!(digest("1").split("digest=").nth(1), digest("2").split("digest=").nth(1));
}

#[test]
fn each_planted_bug_of_the_toy_server_is_found() {
    for mutant in ["stand-in-skip-sync", "stand-in-ack-first", "stand-in-stale-read"] {
        let (code, out, _) = sim(&["sweep", "power-loss", "--seeds", "1..6", "--stand-in", "--mutant", mutant]);
        assert_eq!(code, 11, "{mutant}: {out}");
        assert!(
            out.contains("VIOLATION safety") && out.contains("replay: holdfast-sim run power-loss --seed"),
            "{out}"
        );
    }
}

#[test]
fn what_is_beyond_the_fault_atlas_is_no_verdict() {
    let (code, out, _) = sim(&["run", "beyond-the-atlas", "--seed", "1", "--stand-in"]);
    assert_eq!(code, 14, "{out}");
    assert!(out.contains("VIOLATION harness") && out.contains("fault atlas"), "{out}");
}

#[test]
fn wrong_command_lines_and_scenarios_are_the_harness_s_fault() {
    let (code, _, err) = sim(&["run", "no-such", "--seed", "1"]);
    assert_eq!(code, 14);
    assert!(err.contains("no scenario `no-such`"), "{err}");
    let (code, _, err) = sim(&["sweep", "power-loss", "--seeds", "many"]);
    assert_eq!(code, 14, "{err}");
}

#[test]
fn every_scenario_parses() {
    let (code, out, err) = sim(&["list"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().count() >= 15, "{out}");
}
