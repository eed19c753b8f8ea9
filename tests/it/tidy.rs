//! The house rules that the compiler does not check.
use std::fs;
use std::path::PathBuf;

/// Lines of one file, tests included.
const FILE_LINES_MAX: usize = 900;

/// What only one room may do: a text, where it may stand, and what to use instead.
const ROOMS: &[(&str, &[&str], &str)] = &[
    ("std::fs::", &["src/runtime/real.rs"], "runtime.disk"),
    ("std::net::TcpStream", &["src/runtime/real.rs"], "runtime.net"),
    ("SystemTime", &["src/runtime/real.rs"], "runtime.clock"),
    ("getrandom", &["src/runtime/real.rs"], "runtime.entropy"),
    ("Kind::Data as u8", &["src/storage/schema.rs"], "storage::schema"),
    ("#[allow(unsafe_code)]", &[], "safe code"),
];

/// What a room does without although it may stand above it: the room, what it never names, and what to use instead.
/// Tests are free.
const WITHOUT: &[(&str, &[&str], &str)] = &[
    ("src/engines/", &["crate::raft", "tokio::net", "tokio::task"], "engines::view and the Runtime"),
    ("src/policy/", &["crate::raft", "crate::storage", "tokio::"], "plain values: a policy decides, it does not fetch"),
    ("src/cli/", &["crate::http", "crate::core", "crate::raft", "crate::storage", "crate::barrier"], "client"),
    ("src/client/", &["crate::http", "crate::core", "crate::raft", "crate::storage", "crate::barrier"], "the HTTP API"),
    ("src/raft/state_machine.rs", &["clock.", "entropy", "std::env", "crate::config"], "what the command carries"),
    ("src/raft/state/apply.rs", &["clock.", "entropy", "std::env", "crate::config"], "what the command carries"),
    ("src/", &["holdfast_sim", "turmoil::"], "the Runtime: the server does not know its simulator"),
];

#[test]
fn modules_use_only_what_is_below_them() {
    let layers = layers();
    let layer = |module: &str| layers.iter().position(|row| row.iter().any(|known| known == module));
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some(own) = module_of(&path) else { continue };
        let Some(own_layer) = layer(&own) else {
            broken.push(format!("{path}: module {own} is not in the table of src/lib.rs"));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap_or("");
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if layer(&used).is_some_and(|used| used < own_layer) {
                    broken.push(format!("{path}:{}: {own} may not use {used}", number + 1));
                }
            }
            if line.contains("use crate::{") {
                broken.push(format!("{path}:{}: one line for each module, so that it can be seen here", number + 1));
            }
        }
    }
    assert!(layers.len() > 10, "the table of src/lib.rs was not understood: {layers:?}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn one_room_a_decision() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (what, rooms, instead) in ROOMS {
            if !rooms.contains(&path.as_str()) {
                broken.extend(lines_with(&path, &text, what).map(|line| format!("{line}: {what}: use {instead}")));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn rooms_do_without_what_is_not_theirs() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
        for (room, without, instead) in WITHOUT.iter().filter(|(room, _, _)| path.starts_with(room)) {
            for what in *without {
                broken.extend(
                    lines_with(&path, text, what)
                        .map(|line| format!("{line}: {room} may not use {what}: use {instead}")),
                );
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn secrets_are_compared_in_constant_time() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let compares = line.contains("==") || line.contains("!=");
            if compares && line.contains("danger_expose") && !line.contains("assert") && !is_test(&path) {
                broken.push(format!("{path}:{}: use Secret::same", number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A planted bug that nothing plants would show nothing.
#[test]
fn every_planted_bug_is_sought() {
    let listed = fs::read_to_string(root().join("scenarios/mutants.txt")).expect("scenarios/mutants.txt");
    let by_scenario: Vec<&str> =
        listed.lines().filter_map(|line| line.split('#').next()?.split_whitespace().next()).collect();
    let sources = sources();
    let all: String = sources.iter().map(|(_, text)| text.as_str()).collect();
    let names = |begin: &str| -> Vec<String> {
        all.split(begin).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_string())).collect()
    };
    let (planted, by_test) = (names("mutant(\""), names("plant_here(\""));
    let sought = |name: &String| by_scenario.contains(&name.as_str()) || by_test.contains(name);
    let lost: Vec<&String> = planted.iter().filter(|name| !sought(name)).collect();
    assert!(planted.len() > 20 && lost.is_empty(), "no scenario and no test plants {lost:?}");
    let unknown: Vec<&&str> = by_scenario.iter().filter(|name| !planted.iter().any(|known| known == *name)).collect();
    assert!(unknown.is_empty(), "scenarios/mutants.txt names {unknown:?}, which is nowhere in the code");
}

#[test]
fn no_file_is_a_book() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > FILE_LINES_MAX)
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// The rows of the table in `src/lib.rs`, top to bottom.
fn layers() -> Vec<Vec<String>> {
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let rows = library.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let modules = rows.filter_map(|row| row.split(" | ").next());
    modules.map(|cell| cell.split(" [`").map(|name| name.trim_end_matches("`]").to_string()).collect()).collect()
}

/// Where a text stands in code.
fn lines_with<'a>(path: &'a str, text: &'a str, what: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines = text.lines().enumerate();
    let found = lines.filter(move |(_, line)| line.contains(what) && !line.trim_start().starts_with("//"));
    found.map(move |(number, _)| format!("{path}:{}", number + 1))
}

fn module_of(path: &str) -> Option<String> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let name = first.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main")).then(|| name.to_string())
}

/// Whether a whole file is for tests.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs") || path.ends_with("testing.rs")
}

/// Every source file of the library, by its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                let inside = path.strip_prefix(root()).expect("below the root");
                found.push((inside.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
