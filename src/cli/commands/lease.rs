//! `lease`: look up, renew, revoke.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::exactly;
use crate::cli::context::Context;
use crate::cli::output::{self, wrap};
use crate::cli::{Failure, Outcome};
use crate::client::ApiRequest;

/// Interact with leases.
#[derive(Debug, clap::Subcommand)]
pub enum Lease {
    /// Display information about a lease.
    Lookup(Lookup),
    /// Renew the lease of a secret.
    Renew(Renew),
    /// Revoke leases and what they stand for.
    Revoke(Revoke),
}

/// `lease lookup`.
#[derive(Debug, clap::Args)]
pub struct Lookup {
    #[arg(value_name = "ID")]
    args: Vec<String>,
}

/// `lease renew`.
#[derive(Debug, clap::Args)]
pub struct Renew {
    /// The lifetime to ask for; the server may give less.
    #[arg(long, alias = "i", value_name = "duration", value_parser = crate::cli::args::duration, default_value = "0")]
    increment: Duration,
    #[arg(value_name = "ID")]
    args: Vec<String>,
}

/// `lease revoke`.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// Forget the leases even if the engine cannot revoke what they stand for. With -prefix only.
    #[arg(long, alias = "f")]
    force: bool,
    /// The argument is the beginning of ids: revoke all leases below it.
    #[arg(long)]
    prefix: bool,
    /// Wait until it is done; else the server queues it and goes on trying.
    #[arg(long)]
    sync: bool,
    #[arg(value_name = "ID")]
    args: Vec<String>,
}

/// Runs a `lease` command.
pub async fn run(context: &Context, lease: Lease) -> Outcome {
    match lease {
        Lease::Lookup(args) => lookup(context, args).await,
        Lease::Renew(args) => renew(context, args).await,
        Lease::Revoke(args) => revoke(context, args).await,
    }
}

/// The one argument.
fn id(args: Vec<String>, expected: &str) -> Result<String, Failure> {
    match <[String; 1]>::try_from(args) {
        Ok([id]) => Ok(id.trim().to_string()),
        Err(args) if args.is_empty() => Err(Failure::local("Missing ID!")),
        Err(args) => Err(Failure::local(format!("Too many arguments (expected {expected}, got {})", args.len()))),
    }
}

async fn lookup(context: &Context, lookup: Lookup) -> Outcome {
    let id = id(lookup.args, "1")?;
    let client = context.client().await?;
    let answer = context.write(&client, ApiRequest::put("sys/leases/lookup", json!({ "lease_id": id }))).await;
    let answer = answer.map_err(|failure| failure.context(format!("error looking up lease id {id}")))?;
    output::secret(context, &answer.unwrap_or_default())
}

async fn renew(context: &Context, renew: Renew) -> Outcome {
    let id = id(renew.args, "1-2")?;
    let client = context.client().await?;
    let body = json!({ "lease_id": id, "increment": renew.increment.as_secs() });
    let answer = context.write(&client, ApiRequest::put("sys/leases/renew", body)).await;
    let answer = answer.map_err(|failure| failure.context(format!("Error renewing {id}")))?;
    output::secret(context, &answer.unwrap_or_default())
}

async fn revoke(context: &Context, revoke: Revoke) -> Outcome {
    let [id] = exactly(revoke.args)?;
    let id = id.trim();
    if revoke.force && !revoke.prefix {
        return Err(Failure::local("Specifying -force requires also specifying -prefix"));
    }
    let client = context.client().await?;
    let (endpoint, doing, done) = match (revoke.force, revoke.prefix) {
        (true, _) => ("revoke-force", "force revoking leases with prefix", "Force revoked any leases with prefix"),
        (_, true) => ("revoke-prefix", "revoking leases with prefix", "Revoked any leases with prefix"),
        _ => ("revoke", "revoking lease", "Revoked lease"),
    };
    let mut request = ApiRequest::new(Method::PUT, format!("sys/leases/{endpoint}/{id}"));
    if revoke.force && !context.only_shows() {
        output::err(&wrap(
            &format!(
                "Warning! Force-removing leases can cause {} to become out of sync with secret engines!",
                context.brand.product
            ),
            0,
        ));
    }
    if !revoke.force {
        request = request.body(json!({ "sync": revoke.sync }));
    }
    let answer = context.send(&client, request).await;
    answer.map_err(|failure| failure.context(format!("Error {doing} {id}")))?;
    output::out(&match revoke.force || revoke.sync {
        true => format!("Success! {done}: {id}"),
        false => "All revocation operations queued successfully!".to_string(),
    });
    Ok(0)
}
