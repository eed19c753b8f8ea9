//! `version`.

use serde_json::json;

use crate::cli::Outcome;
use crate::cli::context::Context;
use crate::cli::output::{self, Format};

/// `version`. Other arguments are ignored.
#[derive(Debug, clap::Args)]
pub struct Version {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Runs `version`.
pub fn run(context: &Context, _version: Version) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    match context.format {
        Format::Json | Format::Yaml => output::structured(context, &json!({ "version": version })),
        _ => {
            output::out(&format!("Holdfast v{version}"));
            Ok(0)
        }
    }
}
