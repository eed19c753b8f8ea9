//! Which engines there are, and which serves a mount.

use std::collections::BTreeMap;

use super::backend::Backend;
use super::cubbyhole::Cubbyhole;
use super::kv1::Kv1;
use super::kv2::Kv2;
use crate::logical::{Error, Result};

/// Kinds that an operator may mount.
pub const KINDS: &[&str] = &["kv"];

/// The engine of a mount; `None` if the core serves it itself.
pub fn find(kind: &str, options: &BTreeMap<String, String>) -> Option<&'static dyn Backend> {
    match kind {
        "kv" if is_versioned(options) => Some(&Kv2),
        "kv" => Some(&Kv1),
        "cubbyhole" => Some(&Cubbyhole),
        _ => None,
    }
}

/// Whether the options of a `kv` mount ask for version 2.
pub fn is_versioned(options: &BTreeMap<String, String>) -> bool {
    options.get("version").is_some_and(|version| version == "2")
}

/// # Errors
/// If an engine of this kind cannot be had with these options.
pub fn check_options(kind: &str, options: &BTreeMap<String, String>) -> Result<()> {
    match options.get("version").map(String::as_str) {
        None | Some("1" | "2") => Ok(()),
        Some(version) => Err(Error::invalid(format!("there is no version {version:?} of the {kind} engine"))),
    }
}
