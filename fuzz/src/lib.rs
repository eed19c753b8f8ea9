//! Fuzz targets: everything that reads what comes from outside takes any bytes without a panic, and keeps what it
//! promises of them. `corpus/TARGET/` holds inputs to begin with and those that found something.
#![allow(clippy::missing_panics_doc, reason = "a panic is how a target tells that it found something")]

mod server;
mod text;
mod wire;

/// A target: any bytes may come.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("path", text::path),
    ("policy", text::policy),
    ("policy-name", text::policy_name),
    ("config", text::config),
    ("head", wire::head),
    ("body", wire::body),
    ("frame", wire::frame),
    ("request", server::request),
];

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the corpus is files of this repository")]
mod tests {
    use std::path::Path;

    /// Each target with its corpus: what was found once stays fixed, on machines without libFuzzer too.
    #[test]
    fn the_corpus_passes() {
        for (name, target) in super::TARGETS {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
            let entries =
                std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
            let mut files: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
            files.sort();
            assert!(!files.is_empty(), "{name} has no corpus");
            for file in files {
                println!("{}", file.display());
                target(&std::fs::read(&file).expect("a readable file"));
            }
        }
    }
}
