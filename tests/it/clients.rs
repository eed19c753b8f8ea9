//! Clients that others wrote for this API, unmodified: each makes the calls of a script of `tests/clients/`, once on the
//! peer and once on Holdfast, and the same comes of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::differential::pair::Pair;

/// A step, or the beginning of the names of several, of which something else is meant to come, and why.
type Meant = (&'static str, &'static str);

const OF_HVAC: &[Meant] = &[
    ("policy of no rules", "the place and what is missing are told"),
    ("token with an id", "a chosen id is kept under the same keyed hash as every other: no warning"),
    ("sys seal status", "the build's date is told, as Vault does"),
    ("sys reset", "the build's date is told, as Vault does"),
    ("sys health", "`performance_standby` is told, which clients of Vault look at"),
    ("sys root generation", "the peer has it at sys/generate-root-token only"),
    ("sys start root generation", "the peer has it at sys/generate-root-token only"),
    ("sys cancel root generation", "the peer has it at sys/generate-root-token only"),
];

const OF_NODE_VAULT: &[Meant] = &[
    ("status", "the build's date is told, as Vault does"),
    ("health", "`performance_standby` is told, which clients of Vault look at"),
    ("revoke a prefix", "the path that it asks is of older servers, and the peer has it no more"),
    ("unseal", "the build's date is told, as Vault does"),
    ("step down", "a node that nobody can take over from keeps the leadership"),
];

#[test]
fn hvac_sees_no_difference() {
    compare(&python(), "hvac_calls.py", &[], OF_HVAC);
}

#[test]
fn node_vault_sees_no_difference() {
    let modules = venv().join("node/node_modules");
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("not run: there is no `node`");
        return;
    }
    assert!(modules.is_dir(), "`node-vault` is missing: run `ci/setup --tests`");
    compare(Path::new("node"), "node_vault_calls.js", &[("NODE_PATH", &modules)], OF_NODE_VAULT);
}

#[test]
fn a_client_made_of_the_openapi_document_works() {
    let pair = Pair::start("openapi-client");
    let folder = tempfile::tempdir().expect("a folder");
    for (generic, name) in [("false", "of_this_server"), ("true", "generated")] {
        let path = format!("/v1/sys/internal/specs/openapi?generic_mount_paths={generic}");
        let document = pair.own.ask("GET", &path, &[("X-Vault-Token", "root")], "");
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, document.ok().to_string()).expect("a file");
        let mut command = Command::new(venv().join("bin/openapi-python-client"));
        command.args(["generate", "--meta", "none", "--fail-on-warning", "--path"]).arg(&file);
        command.arg("--output-path").arg(folder.path().join(name)).env("PATH", path_with_venv());
        let said = run(&mut command);
        // A path or schema that it leaves out is only a line of its output.
        assert_eq!(said.trim(), format!("Generating {}", folder.path().join(name).display()));
    }
    let script = scripts().join("openapi_client.py");
    run(Command::new(python()).arg(script).arg(folder.path()).args([&pair.own.address(), "root"]));
}

/// Runs a script on both servers and compares its output line by line.
#[track_caller]
fn compare(program: &Path, script: &str, environment: &[(&str, &Path)], meant: &[Meant]) {
    let pair = Pair::start(script);
    let said = [&pair.peer, &pair.own].map(|side| {
        let mut command = Command::new(program);
        command.arg(scripts().join(script)).args([&side.address(), "root"]);
        command.envs(environment.iter().copied());
        run(&mut command).lines().map(String::from).collect::<Vec<_>>()
    });
    let [peer, own] = said;
    assert!(peer.len() > 40, "{} steps", peer.len());
    let mut problems = String::new();
    let mut seen = vec![false; meant.len()];
    for at in 0..peer.len().max(own.len()) {
        let [peer, own] = [&peer, &own].map(|lines| lines.get(at).map_or("(nothing)", String::as_str));
        if peer == own {
            continue;
        }
        match meant.iter().position(|(step, _)| own.starts_with(step)) {
            Some(known) => seen[known] = true,
            None => problems.push_str(&format!("peer  {peer}\nown   {own}\n")),
        }
    }
    for ((step, why), _) in meant.iter().zip(seen).filter(|(_, seen)| !seen) {
        problems.push_str(&format!("no longer differs: {step} ({why})\n"));
    }
    assert!(problems.is_empty(), "\n{problems}");
}

/// What a command that succeeds prints.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run `ci/setup --tests`"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn scripts() -> PathBuf {
    crate::differential::table::root().join("tests/clients")
}

/// Where `ci/setup --tests` has put the clients.
fn venv() -> PathBuf {
    std::env::var_os("HOLDFAST_VENV").map(PathBuf::from).expect("HOLDFAST_VENV: source ci/env")
}

fn python() -> PathBuf {
    venv().join("bin/python3")
}

/// The generator calls a formatter that is installed with it.
fn path_with_venv() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(venv().join("bin")).chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("a path")
}
