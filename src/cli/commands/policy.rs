//! `policy`: write, read, list, delete, fmt.

use std::path::Path;

use serde_json::{Value, json};

use super::exactly;
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome, data, policy_format};
use crate::client::ApiRequest;
use crate::runtime::disk::Open;

/// This command groups what is done with policies. Users can write, read, and list policies.
#[derive(Debug, clap::Subcommand)]
pub enum Policy {
    /// Delete a policy by name.
    Delete(Args),
    /// Format a policy on disk.
    Fmt(FmtArgs),
    /// List the installed policies.
    List(NoArgs),
    /// Print the contents of a policy.
    Read(Args),
    /// Upload a named policy from a file, or from standard input for "-".
    Write(WriteArgs),
}

/// One name.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_name = "NAME")]
    args: Vec<String>,
}

/// One file.
#[derive(Debug, clap::Args)]
pub struct FmtArgs {
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// Nothing.
#[derive(Debug, clap::Args)]
pub struct NoArgs {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// A name and a file.
#[derive(Debug, clap::Args)]
pub struct WriteArgs {
    #[arg(value_name = "NAME PATH")]
    args: Vec<String>,
}

/// Runs a `policy` command.
pub async fn run(context: &Context, policy: Policy) -> Outcome {
    match policy {
        Policy::Write(args) => write(context, exactly(args.args)?).await,
        Policy::Read(args) => read(context, exactly(args.args)?).await,
        Policy::List(args) => list(context, args.args).await,
        Policy::Delete(args) => delete(context, exactly(args.args)?).await,
        Policy::Fmt(args) => format(context, exactly(args.args)?).await,
    }
}

async fn write(context: &Context, [given, path]: [String; 2]) -> Outcome {
    let name = given.trim().to_lowercase();
    let text = match path.trim() {
        "-" => data::Stdin::default().take().map_err(|reason| format!("Error reading stdin: {reason}")),
        path => {
            data::read(&context.runtime, path).await.map_err(|reason| format!("Error opening policy file: {reason}"))
        }
    };
    let text = String::from_utf8(text.map_err(Failure::server)?);
    let text = text.map_err(|_| Failure::server("Error reading policy: it is not UTF-8"))?;
    let client = context.client().await?;
    let request = ApiRequest::put(format!("sys/policies/acl/{name}"), json!({ "policy": text }));
    let answer = context.write(&client, request).await;
    let answer = answer.map_err(|failure| failure.context("Error uploading policy"))?;
    if name != given {
        output::err(&format!("Policy name was converted from {given:?} to {name:?}"));
    }
    if let Some(answer) = answer.filter(|answer| !answer.warnings().is_empty()) {
        output::err(&output::warnings(answer.warnings(), &context.brand));
    }
    output::out(&format!("Success! Uploaded policy: {name}"));
    Ok(0)
}

async fn read(context: &Context, [name]: [String; 1]) -> Outcome {
    let name = name.trim().to_lowercase();
    let client = context.client().await?;
    let answer = context.logical(&client, ApiRequest::get(format!("sys/policies/acl/{name}"))).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error reading policy named {name}")))?;
    let text = answer.as_ref().and_then(|answer| answer.get("policy").or(answer.get("rules"))?.as_str());
    let Some(text) = text else {
        return Err(Failure::server(format!("No policy named: {name}")));
    };
    match context.format {
        Format::Table => {
            output::out(text.trim());
            Ok(0)
        }
        _ => output::structured(context, &json!({ "policy": text })),
    }
}

async fn list(context: &Context, args: Vec<String>) -> Outcome {
    exactly::<0>(args)?;
    let client = context.client().await?;
    let answer = context.logical(&client, ApiRequest::list("sys/policies/acl")).await;
    let answer = answer.map_err(|failure| failure.context("Error listing policies"))?;
    let names = answer.and_then(|answer| answer.get("keys").and_then(Value::as_array).cloned()).unwrap_or_default();
    match context.format {
        Format::Table => {
            names.iter().filter_map(Value::as_str).for_each(output::out);
            Ok(0)
        }
        _ => output::structured(context, &names),
    }
}

async fn delete(context: &Context, [name]: [String; 1]) -> Outcome {
    let name = name.trim().to_lowercase();
    let client = context.client().await?;
    let done = context.send(&client, ApiRequest::delete(format!("sys/policies/acl/{name}"))).await;
    done.map_err(|failure| failure.context(format!("Error deleting {name}")))?;
    output::out(&format!("Success! Deleted policy: {name}"));
    Ok(0)
}

async fn format(context: &Context, [path]: [String; 1]) -> Outcome {
    let path = path.trim().to_string();
    let text = data::read(&context.runtime, &path).await;
    let text = text.map_err(|reason| Failure::local(format!("Error reading source file: {reason}")))?;
    let text = String::from_utf8(text).map_err(|_| Failure::local("failed to parse policy: it is not UTF-8"))?;
    let formatted = policy_format::format(&text);
    let formatted = formatted.map_err(|reason| Failure::local(format!("failed to parse policy: {reason}")))?;
    let written = overwrite(context, Path::new(&path), formatted).await;
    written.map_err(|error| Failure::local(format!("Error writing result: {}", data::open_error(&path, &error))))?;
    output::out(&format!("Success! Formatted policy: {path}"));
    Ok(0)
}

/// In place: the file keeps its owner, mode and links.
async fn overwrite(context: &Context, path: &Path, text: String) -> std::io::Result<()> {
    let file = context.runtime.disk.open(path, Open { truncate: true, ..Open::default() }).await?;
    file.write_at(0, text.into()).await?;
    file.sync().await
}
