//! `auth`: enable, disable, list, tune, move, help.

use std::time::Duration;

use serde_json::{Map, Value};

use super::mount::{self, Kind, List, Move, PathArg, Settings};
use super::{clean_path, exactly, login_methods};
use crate::cli::context::Context;
use crate::cli::{EXIT_SERVER, Failure, Outcome, output};
use crate::duration::go_text;

/// Interact with auth methods.
#[derive(Debug, clap::Subcommand)]
pub enum Auth {
    /// Disable an auth method.
    Disable(PathArg),
    /// Enable a new auth method.
    Enable(Box<Enable>),
    /// Print how to log in by an auth method.
    Help(Help),
    /// List enabled auth methods.
    List(List),
    /// Move an auth method to a new path.
    Move(Move),
    /// Tune an auth method's configuration.
    Tune(Box<Tune>),
}

/// `auth enable`.
#[derive(Debug, clap::Args)]
pub struct Enable {
    #[command(flatten)]
    enable: mount::Enable,
    /// Type of the tokens that it makes: "service", "batch", "default-service" or "default-batch".
    #[arg(long, value_name = "string")]
    token_type: Option<String>,
}

/// `auth help`.
#[derive(Debug, clap::Args)]
pub struct Help {
    #[arg(value_name = "TYPE | PATH")]
    args: Vec<String>,
}

/// `auth tune`.
#[derive(Debug, clap::Args)]
pub struct Tune {
    #[command(flatten)]
    settings: Settings,
    /// Type of the tokens that it makes: "service", "batch", "default-service" or "default-batch".
    #[arg(long, value_name = "string")]
    token_type: Option<String>,
    /// Time after which failed log-ins are forgotten.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration)]
    user_lockout_counter_reset_duration: Option<Duration>,
    /// Whether users are never locked out.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = crate::cli::args::boolean)]
    user_lockout_disable: Option<bool>,
    /// How long a user stays locked out.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration)]
    user_lockout_duration: Option<Duration>,
    /// How many failed log-ins lock a user out.
    #[arg(long, value_name = "uint", value_parser = crate::cli::args::unsigned)]
    user_lockout_threshold: Option<u64>,
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// Runs an `auth` command.
pub async fn run(context: &Context, auth: Auth) -> Outcome {
    match auth {
        Auth::Disable(args) => mount::disable(context, Kind::Auth, args).await,
        Auth::Enable(args) => mount::enable(context, Kind::Auth, args.enable, token_type(args.token_type)).await,
        Auth::Help(args) => help(context, args).await,
        Auth::List(args) => mount::list(context, Kind::Auth, args).await,
        Auth::Move(args) => mount::relocate(context, Kind::Auth, args).await,
        Auth::Tune(args) => {
            let more = more(&args);
            mount::tune(context, Kind::Auth, args.args, &args.settings, more).await
        }
    }
}

fn token_type(name: Option<String>) -> Map<String, Value> {
    name.into_iter().map(|name| ("token_type".to_string(), name.into())).collect()
}

/// What only auth methods have.
fn more(tune: &Tune) -> Map<String, Value> {
    let mut more = token_type(tune.token_type.clone());
    let time = |time: Option<Duration>| time.map(|time| Value::from(go_text(time)));
    let lockout: Map<String, Value> = [
        ("lockout_threshold", tune.user_lockout_threshold.map(|count| count.to_string().into())),
        ("lockout_duration", time(tune.user_lockout_duration)),
        ("lockout_counter_reset_duration", time(tune.user_lockout_counter_reset_duration)),
        ("lockout_disable", tune.user_lockout_disable.map(Value::from)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_string(), value?)))
    .collect();
    if !lockout.is_empty() {
        more.insert("user_lockout_config".to_string(), lockout.into());
    }
    more
}

async fn help(context: &Context, help: Help) -> Outcome {
    let [given] = exactly(help.args)?;
    let given = given.trim().to_string();
    let method = match login_methods::find(&given) {
        Some(method) => method,
        None => {
            let path = format!("{}/", clean_path(&given));
            let client = context.client().await?;
            let mounts = mount::read_all(context, &client, Kind::Auth).await;
            let mounts = mounts.map_err(|failure| failure.context("Error listing auth methods"))?;
            let kind = mounts.get(&path).and_then(|mount| mount["type"].as_str());
            let kind =
                kind.ok_or_else(|| Failure::local(format!("No auth method available on the server at {path:?}")))?;
            login_methods::find(kind).ok_or_else(|| {
                let text = format!("No method-specific CLI handler available for auth method {kind:?}");
                Failure { code: EXIT_SERVER, message: text, ..Failure::default() }
            })?
        }
    };
    output::out(&method.help(&context.brand));
    Ok(0)
}
