//! `token`: create, look up, renew, revoke, capabilities.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::{at_most_one, exactly};
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome};
use crate::client::ApiRequest;
use crate::duration::go_text;

/// This command groups what is done with tokens. Users can create, look up, renew, and revoke tokens.
#[derive(Debug, clap::Subcommand)]
pub enum Token {
    /// Print capabilities of a token on a path.
    Capabilities(Capabilities),
    /// Create a new token.
    Create(Box<Create>),
    /// Display information about a token.
    Lookup(Lookup),
    /// Renew a token lease.
    Renew(Renew),
    /// Revoke a token and its children.
    Revoke(Revoke),
}

/// `token capabilities`.
#[derive(Debug, clap::Args)]
pub struct Capabilities {
    #[arg(value_name = "[TOKEN] PATH")]
    args: Vec<String>,
}

/// `token create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// A name that shows in logs; no secret.
    #[arg(long, value_name = "string", default_value = "")]
    display_name: String,
    /// Entity alias for the token; only with -role.
    #[arg(long, value_name = "string", default_value = "")]
    entity_alias: String,
    /// A lifetime that no renewal exceeds.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration, default_value = "0")]
    explicit_max_ttl: Duration,
    /// The token itself; needs sudo.
    #[arg(long, value_name = "string")]
    id: Option<String>,
    /// A key=value to keep with the token. May be given several times.
    #[arg(long, value_name = "key=value", value_parser = crate::cli::args::pair)]
    metadata: Vec<(String, String)>,
    /// Without the policy "default".
    #[arg(long)]
    no_default_policy: bool,
    /// Without a parent: it outlives the token that made it; needs sudo.
    #[arg(long)]
    orphan: bool,
    /// Each renewal gives this time; needs sudo.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration, default_value = "0")]
    period: Duration,
    /// A policy of the token. May be given several times.
    #[arg(long, value_name = "string")]
    policy: Vec<String>,
    /// Whether it can be renewed. The default is true.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true",
        value_parser = crate::cli::args::boolean, action = clap::ArgAction::Set)]
    renewable: bool,
    /// A token role to create it by.
    #[arg(long, value_name = "string")]
    role: Option<String>,
    /// Initial lifetime.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration, default_value = "0")]
    ttl: Duration,
    /// "service" or "batch". The default is service.
    #[arg(long, value_name = "string", default_value = "service")]
    r#type: String,
    /// How often it can be used; 0: without limit.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer, default_value = "0")]
    use_limit: i64,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// `token lookup`.
#[derive(Debug, clap::Args)]
pub struct Lookup {
    /// The argument is an accessor.
    #[arg(long)]
    accessor: bool,
    #[arg(value_name = "[TOKEN | ACCESSOR]")]
    args: Vec<String>,
}

/// `token renew`.
#[derive(Debug, clap::Args)]
pub struct Renew {
    /// The argument is an accessor.
    #[arg(long)]
    accessor: bool,
    /// The lifetime to ask for.
    #[arg(long, alias = "i", value_name = "duration", value_parser = crate::cli::args::duration, default_value = "0")]
    increment: Duration,
    #[arg(value_name = "[TOKEN | ACCESSOR]")]
    args: Vec<String>,
}

/// `token revoke`.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// The argument is an accessor.
    #[arg(long)]
    accessor: bool,
    /// "orphan": the token without its children; "path": all tokens made at a path.
    #[arg(long, value_name = "string", default_value = "")]
    mode: String,
    /// The token in use.
    #[arg(long = "self")]
    own: bool,
    #[arg(value_name = "[TOKEN | ACCESSOR]")]
    args: Vec<String>,
}

/// Runs a `token` command.
pub async fn run(context: &Context, token: Token) -> Outcome {
    match token {
        Token::Capabilities(args) => capabilities(context, args).await,
        Token::Create(args) => create(context, *args).await,
        Token::Lookup(args) => lookup(context, args).await,
        Token::Renew(args) => renew(context, args).await,
        Token::Revoke(args) => revoke(context, args).await,
    }
}

async fn create(context: &Context, create: Create) -> Outcome {
    exactly::<0>(create.args)?;
    let mut body = json!({
        "ttl": go_text(create.ttl),
        "explicit_max_ttl": go_text(create.explicit_max_ttl),
        "period": go_text(create.period),
        "display_name": create.display_name,
        "num_uses": create.use_limit,
        "renewable": create.renewable,
        "type": create.r#type,
        "entity_alias": create.entity_alias,
    });
    if let Some(id) = create.id {
        body["id"] = id.into();
    }
    if !create.policy.is_empty() {
        body["policies"] = create.policy.into();
    }
    if !create.metadata.is_empty() {
        body["meta"] = create.metadata.into_iter().map(|(k, v)| (k, Value::from(v))).collect::<Map<_, _>>().into();
    }
    if create.orphan {
        body["no_parent"] = true.into();
    }
    if create.no_default_policy {
        body["no_default_policy"] = true.into();
    }
    let path = match create.role {
        Some(role) => format!("auth/token/create/{role}"),
        None => "auth/token/create".to_string(),
    };
    let client = context.client().await?;
    let answer = context.write(&client, ApiRequest::post(path, body)).await;
    let answer = answer.map_err(|failure| failure.context("Error creating token"))?;
    output::secret(context, &answer.unwrap_or_default())
}

/// Whether an argument that names a token means the client's own: it is not there, or empty.
fn is_own(argument: Option<&str>) -> bool {
    argument.is_none_or(|text| text.trim().is_empty())
}

fn trimmed(argument: Option<String>) -> String {
    argument.unwrap_or_default().trim().to_string()
}

async fn lookup(context: &Context, lookup: Lookup) -> Outcome {
    let request = match (lookup.accessor, at_most_one(lookup.args, "0-1")?) {
        (true, None) => return Err(Failure::local("Not enough arguments with -accessor (expected 1, got 0)")),
        (_, own) if is_own(own.as_deref()) => ApiRequest::get("auth/token/lookup-self"),
        (true, accessor) => ApiRequest::post("auth/token/lookup-accessor", json!({ "accessor": trimmed(accessor) })),
        (false, token) => ApiRequest::post("auth/token/lookup", json!({ "token": trimmed(token) })),
    };
    let client = context.client().await?;
    let answer = context.write(&client, request).await;
    let answer = answer.map_err(|failure| failure.context("Error looking up token"))?;
    output::secret(context, &answer.unwrap_or_default())
}

async fn renew(context: &Context, renew: Renew) -> Outcome {
    let increment = renew.increment.as_secs();
    let request = match (renew.accessor, at_most_one(renew.args, "1")?) {
        (true, None) => return Err(Failure::local("Not enough arguments with -accessor (expected 1, got 0)")),
        (_, own) if is_own(own.as_deref()) => {
            ApiRequest::put("auth/token/renew-self", json!({ "increment": increment }))
        }
        (true, accessor) => ApiRequest::post(
            "auth/token/renew-accessor",
            json!({ "accessor": trimmed(accessor), "increment": increment }),
        ),
        (false, token) => {
            ApiRequest::put("auth/token/renew", json!({ "token": trimmed(token), "increment": increment }))
        }
    };
    let client = context.client().await?;
    let answer = context.write(&client, request).await;
    let answer = answer.map_err(|failure| failure.context("Error renewing token"))?;
    output::secret(context, &answer.unwrap_or_default())
}

async fn revoke(context: &Context, revoke: Revoke) -> Outcome {
    let got = revoke.args.len();
    let token = revoke.args.into_iter().next().map(|token| token.trim().to_string());
    let wrong = |text: String| Err(Failure::local(text));
    let request = match (revoke.own, revoke.accessor, revoke.mode.as_str(), token) {
        (true, _, _, Some(_)) => return wrong(format!("Too many arguments with -self (expected 0, got {got})")),
        (false, _, _, _) if got > 1 => return wrong(format!("Too many arguments (expected 1 or -self, got {got})")),
        (false, _, _, None) => return wrong("Not enough arguments (expected 1 or -self, got 0)".to_string()),
        (true, true, _, _) => return wrong("Cannot use -self with -accessor!".to_string()),
        (true, _, mode, _) if !mode.is_empty() => return wrong("Cannot use -self with -mode!".to_string()),
        (true, ..) => ApiRequest::new(Method::PUT, "auth/token/revoke-self"),
        (_, true, mode @ ("orphan" | "path"), _) => return wrong(format!("Cannot use -accessor with -mode={mode}!")),
        (_, true, "", Some(accessor)) => {
            ApiRequest::post("auth/token/revoke-accessor", json!({ "accessor": accessor }))
        }
        (_, _, "", Some(token)) => ApiRequest::put("auth/token/revoke", json!({ "token": token })),
        (_, _, "orphan", Some(token)) => ApiRequest::put("auth/token/revoke-orphan", json!({ "token": token })),
        (_, _, "path", Some(path)) => ApiRequest::new(Method::PUT, format!("sys/leases/revoke-prefix/{path}")),
        (_, _, mode, _) => return wrong(format!("Invalid mode: {mode}")),
    };
    let client = context.client().await?;
    let done = context.send(&client, request).await;
    done.map_err(|failure| failure.context("Error revoking token"))?;
    output::out("Success! Revoked token (if it existed)");
    Ok(0)
}

async fn capabilities(context: &Context, capabilities: Capabilities) -> Outcome {
    let got = capabilities.args.len();
    let client = context.client().await?;
    let mut args = capabilities.args.into_iter();
    let (token, path, endpoint) = match (args.next(), args.next()) {
        (Some(path), None) => (client.config().token.danger_expose_text().to_string(), path, "sys/capabilities-self"),
        (Some(token), Some(path)) if got == 2 => (token, path, "sys/capabilities"),
        (None, _) => return Err(Failure::local("Not enough arguments (expected 1-2, got 0)")),
        _ => return Err(Failure::local(format!("Too many arguments (expected 1-2, got {got})"))),
    };
    let answer = context.write(&client, ApiRequest::post(endpoint, json!({ "path": path, "token": token }))).await;
    let answer = answer.map_err(|failure| failure.context("Error listing capabilities"))?.unwrap_or_default();
    let found = answer.get("capabilities").or_else(|| answer.get(&path)).and_then(Value::as_array).cloned();
    let mut found: Vec<String> =
        found.unwrap_or_default().iter().filter_map(Value::as_str).map(str::to_string).collect();
    found.sort();
    match context.format {
        Format::Table => {
            output::out(&found.join(", "));
            Ok(0)
        }
        _ => output::structured(context, &found),
    }
}
