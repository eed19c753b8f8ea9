//! `read`, `write`, `patch`, `delete`, `list`, `scan`, `unwrap`: any path of the API.

use serde_json::{Map, Value, json};

use super::{at_most_one, clean_path, exactly, first};
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome, data};
use crate::client::ApiRequest;

/// `read`.
#[derive(Debug, clap::Args)]
pub struct Read {
    #[arg(value_name = "PATH [DATA K=V...]")]
    args: Vec<String>,
}

/// `write`.
#[derive(Debug, clap::Args)]
pub struct Write {
    /// Go on without data: for paths that need none.
    #[arg(long, alias = "f")]
    force: bool,
    #[arg(value_name = "PATH [DATA K=V...]")]
    args: Vec<String>,
}

/// `patch`.
#[derive(Debug, clap::Args)]
pub struct Patch {
    /// Go on without data: for paths that need none.
    #[arg(long, alias = "f")]
    force: bool,
    #[arg(value_name = "PATH [DATA K=V...]")]
    args: Vec<String>,
}

/// `delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    #[arg(value_name = "PATH [DATA K=V...]")]
    args: Vec<String>,
}

/// `list`, `scan`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// List what comes after this name, where the path can.
    #[arg(long, value_name = "string")]
    after: Option<String>,
    /// List at most so many names, where the path can.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    limit: Option<i64>,
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// `unwrap`.
#[derive(Debug, clap::Args)]
pub struct Unwrap {
    #[arg(value_name = "[TOKEN]")]
    args: Vec<String>,
}

/// Runs `read`.
pub async fn read(context: &Context, read: Read) -> Outcome {
    let (path, rest) = first(read.args, "1")?;
    let path = clean_path(&path);
    let query = query(&data::parse_kv(&context.runtime, &rest).await?);
    let client = context.client().await?;
    let request = ApiRequest { query, ..ApiRequest::get(path.clone()) };
    let failed = |failure: Failure| failure.context(format!("Error reading {path}"));
    if context.format == Format::Raw {
        let response = context.send(&client, request).await.map_err(failed)?;
        output::out(&String::from_utf8_lossy(&response.raw));
        return Ok(0);
    }
    match context.logical(&client, request).await.map_err(failed)? {
        Some(answer) => output::secret(context, &answer),
        None => Err(Failure::server(format!("No value found at {path}"))),
    }
}

/// Runs `write`.
pub async fn write(context: &Context, write: Write) -> Outcome {
    change(context, write.args, write.force, ApiRequest::put).await
}

/// Runs `patch`.
pub async fn patch(context: &Context, patch: Patch) -> Outcome {
    change(context, patch.args, patch.force, ApiRequest::merge_patch).await
}

async fn change(
    context: &Context,
    args: Vec<String>,
    force: bool,
    request: impl Fn(String, Value) -> ApiRequest,
) -> Outcome {
    let (path, rest) = first(args, "1")?;
    if rest.is_empty() && !force {
        return Err(Failure::local("Must supply data or use -force"));
    }
    let data = data::parse_kv(&context.runtime, &rest).await?;
    let path = clean_path(&path);
    let body = if force && rest.is_empty() { Value::Null } else { Value::Object(data) };
    let client = context.client().await?;
    let answer = context.write(&client, request(path.clone(), body)).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error writing data to {path}")))?;
    output::written(context, answer.as_ref(), &format!("Success! Data written to: {path}"))
}

/// Runs `delete`.
pub async fn delete(context: &Context, delete: Delete) -> Outcome {
    let (path, rest) = first(delete.args, "at least 1")?;
    let path = clean_path(&path);
    let query = query(&data::parse_kv(&context.runtime, &rest).await?);
    let client = context.client().await?;
    let answer = context.write(&client, ApiRequest { query, ..ApiRequest::delete(path.clone()) }).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error deleting {path}")))?;
    output::written(context, answer.as_ref(), &format!("Success! Data deleted (if it existed) at: {path}"))
}

/// Runs `list`.
pub async fn list(context: &Context, list: List) -> Outcome {
    names(context, list, ("list", "listing", "value")).await
}

/// Runs `scan`: a list of all names below a path.
pub async fn scan(context: &Context, scan: List) -> Outcome {
    names(context, scan, ("scan", "scanning", "entries")).await
}

/// A parameter of the request, and the words for doing it and for what it finds.
pub type Listing = (&'static str, &'static str, &'static str);

async fn names(context: &Context, list: List, (operation, doing, what): Listing) -> Outcome {
    let [path] = exactly(list.args)?;
    let path = clean_path(&path);
    let mut request = ApiRequest::get(path.clone()).query(operation, "true");
    request.query.extend(list.after.map(|after| ("after".to_string(), after)));
    let limit = list.limit.filter(|limit| *limit >= 0);
    request.query.extend(limit.map(|limit| ("limit".to_string(), limit.to_string())));
    let client = context.client().await?;
    let answer = context.logical(&client, request).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error {doing} {path}")))?;
    if let Some(answer) = answer.as_ref().filter(|answer| answer.wrap_info.is_some()) {
        return output::secret(context, answer);
    }
    let what = if answer.as_ref().is_some_and(|answer| !answer.is_empty()) { what } else { "value" };
    output::list(context, answer.as_ref(), &format!("No {what} found at {path}"))
}

/// Runs `unwrap`.
pub async fn unwrap(context: &Context, unwrap: Unwrap) -> Outcome {
    let wrapped = at_most_one(unwrap.args, "0-1")?;
    let client = context.client().await?;
    let wrapped = wrapped.filter(|token| !client.config().token.same(token.as_bytes()));
    let (client, body) = match wrapped {
        None => (client, Value::Null),
        // Without a token of its own the client shows the wrapping token.
        Some(token) if client.config().token.is_empty() => {
            (client.with(|config| config.token = token.as_str().into()), Value::Null)
        }
        Some(token) => (client, json!({ "token": token })),
    };
    let client = client.with(|config| config.wrap_ttl = None);
    let answer = context.write(&client, ApiRequest::put("sys/wrapping/unwrap", body)).await;
    match answer.map_err(|failure| failure.context("Error unwrapping"))? {
        Some(answer) => output::secret(context, &answer),
        None => Err(Failure::server("Could not find wrapped response")),
    }
}

fn query(data: &Map<String, Value>) -> Vec<(String, String)> {
    let mut query = Vec::new();
    for (key, value) in data {
        match value {
            Value::Array(values) => query.extend(values.iter().map(|value| (key.clone(), plain(value)))),
            value => query.push((key.clone(), plain(value))),
        }
    }
    query
}

fn plain(value: &Value) -> String {
    crate::cli::value::go_text(value)
}
