//! `version`, `version-history`.

use serde_json::{Map, Value, json};

use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome, table};
use crate::client::ApiRequest;

/// `version`. Other arguments are ignored.
#[derive(Debug, clap::Args)]
pub struct Version {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// `version-history`. Arguments are ignored.
#[derive(Debug, clap::Args)]
pub struct VersionHistory {
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

/// Runs `version-history`.
pub async fn history(context: &Context, _history: VersionHistory) -> Outcome {
    let client = context.client().await?;
    let answer = context.logical(&client, ApiRequest::list("sys/version-history")).await;
    let answer = answer.map_err(|failure| failure.context("Error reading version history"))?;
    let answer = answer.ok_or_else(|| Failure::server("The server keeps no history of its versions"))?;
    if context.format != Format::Table || context.field().is_some() {
        return output::secret(context, &answer);
    }
    let none = Map::new();
    let info = answer.get("key_info").and_then(Value::as_object).unwrap_or(&none);
    let text = |info: &Value, key: &str| info[key].as_str().unwrap_or_default().to_string();
    let keys = answer.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let rows: Vec<Vec<String>> = keys
        .map(|key| {
            let info = &info.get(key).cloned().unwrap_or_default();
            vec![key.to_string(), text(info, "timestamp_installed"), text(info, "commit_date")]
        })
        .collect();
    output::out(&table::table(&["Version", "Installation Time", "Commit Date"], &rows));
    Ok(0)
}
