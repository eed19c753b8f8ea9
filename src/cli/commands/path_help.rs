//! `path-help`: what the server says of a path.

use serde_json::Value;

use super::{clean_path, exactly};
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome};
use crate::client::ApiRequest;

/// `path-help`.
#[derive(Debug, clap::Args)]
pub struct PathHelp {
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// Runs `path-help`. As JSON or YAML it is an OpenAPI document.
pub async fn run(context: &Context, path_help: PathHelp) -> Outcome {
    let [path] = exactly(path_help.args)?;
    let client = context.client().await?;
    let request = ApiRequest::get(clean_path(&path)).query("help", "1");
    let answer: Result<Value, Failure> = context.typed(&client, request).await;
    let mut answer = answer.map_err(|failure| failure.context("Error retrieving help"))?;
    // Some servers put it into the envelope.
    if answer["help"].is_null() && answer["data"].is_object() {
        answer = answer["data"].take();
    }
    if context.format != Format::Table {
        return output::structured(context, &answer["openapi"]);
    }
    output::out(answer["help"].as_str().unwrap_or_default());
    Ok(0)
}
