//! The house rules that the compiler does not check.
use std::fs;
use std::path::{Path, PathBuf};

/// Layers from top to bottom: a module may use those of its own row and of rows below.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["server"],
    &["client"],
    &["core", "http", "engines"],
    &["token", "policy", "telemetry"],
    &["seal"],
    &["barrier"],
    &["storage", "raft"],
    &["config"],
    &["hcl"],
    &["runtime", "secret", "duration", "limits"],
];

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

#[test]
fn modules_use_only_what_is_below_them() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some(own) = module_of(&path) else { continue };
        let Some(own_layer) = layer(&own) else {
            broken.push(format!("{}: module {own} has no layer in tests/it/tidy.rs", path.display()));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap_or("");
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if layer(&used).is_some_and(|used| used < own_layer) {
                    broken.push(format!("{}:{}: {own} may not use {used}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn one_room_a_decision() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (what, rooms, instead) in ROOMS {
            if rooms.iter().any(|room| path.ends_with(room)) {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                if line.contains(what) && !line.trim_start().starts_with("//") {
                    broken.push(format!("{}:{}: {what}: use {instead}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_file_is_a_book() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > FILE_LINES_MAX)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    let name = first.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main")).then(|| name.to_string())
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
