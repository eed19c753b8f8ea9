//! The environment, and the name the program goes by.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Environment variables. Of each setting the first non-empty of `HOLDFAST_X`, `BAO_X`, `VAULT_X` counts, whatever the
/// program is called.
#[derive(Clone, Debug, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The process's environment; what is not UTF-8 is left out.
    pub fn of_process() -> Env {
        let pairs = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Env(pairs.collect())
    }

    /// An environment for tests.
    pub fn of(pairs: &[(&str, &str)]) -> Env {
        Env(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    /// A setting of this product: `setting("ADDR")`.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.named(name).map(|(_, value)| value)
    }

    /// As [`Env::setting`], with the name of the variable that it is from.
    pub fn named(&self, name: &str) -> Option<(String, String)> {
        PREFIXES
            .iter()
            .map(|prefix| format!("{prefix}{name}"))
            .find_map(|name| self.var(&name).map(|value| (name, value)))
    }

    /// Any variable by its whole name, if it is not empty.
    pub fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }
}

/// What the program calls itself in its texts: it may run through a link named `vault` or `bao`, and scripts and eyes
/// know those texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    /// The command in examples: `holdfast`, `vault`, `bao`.
    pub program: String,
    /// The product in sentences: `Holdfast`, `Vault`, `OpenBao`.
    pub product: &'static str,
    /// Beginning of variable names in advice.
    pub prefix: &'static str,
}

impl Brand {
    /// By the program's path.
    pub fn of_program(path: &OsStr) -> Brand {
        let name = Path::new(path).file_name().and_then(OsStr::to_str).unwrap_or("holdfast");
        let (product, prefix) = match name {
            "vault" => ("Vault", "VAULT_"),
            "bao" => ("OpenBao", "BAO_"),
            _ => ("Holdfast", "HOLDFAST_"),
        };
        Brand { program: name.to_string(), product, prefix }
    }
}

const PREFIXES: [&str; 3] = ["HOLDFAST_", "BAO_", "VAULT_"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_before_baos_before_vaults() {
        let env = Env::of(&[("VAULT_ADDR", "v"), ("BAO_ADDR", "b"), ("HOLDFAST_ADDR", ""), ("VAULT_TOKEN", "t")]);
        assert_eq!(env.setting("ADDR").as_deref(), Some("b"));
        assert_eq!(env.setting("TOKEN").as_deref(), Some("t"));
        assert_eq!(env.named("TOKEN"), Some(("VAULT_TOKEN".into(), "t".into())));
        assert_eq!(env.setting("FORMAT"), None);
    }

    #[test]
    fn goes_by_its_links_name() {
        assert_eq!(Brand::of_program(OsStr::new("/usr/bin/vault")).product, "Vault");
        assert_eq!(Brand::of_program(OsStr::new("bao")).prefix, "BAO_");
        assert_eq!(Brand::of_program(OsStr::new("./holdfast")).program, "holdfast");
    }
}
