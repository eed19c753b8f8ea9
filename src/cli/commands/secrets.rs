//! `secrets`: enable, disable, list, tune, move.

use serde_json::Map;

use super::mount::{self, Kind, List, Move, PathArg, Settings};
use crate::cli::Outcome;
use crate::cli::context::Context;

/// Interact with secrets engines.
#[derive(Debug, clap::Subcommand)]
pub enum Secrets {
    /// Disable a secrets engine.
    Disable(PathArg),
    /// Enable a secrets engine.
    Enable(Box<Enable>),
    /// List enabled secrets engines.
    List(List),
    /// Move a secrets engine to a new path.
    Move(Move),
    /// Tune a secrets engine's configuration.
    Tune(Box<Tune>),
}

/// `secrets enable`.
#[derive(Debug, clap::Args)]
pub struct Enable {
    #[command(flatten)]
    enable: mount::Enable,
    /// Accepted for compatibility.
    #[arg(long)]
    force_no_cache: bool,
}

/// `secrets tune`.
#[derive(Debug, clap::Args)]
pub struct Tune {
    #[command(flatten)]
    settings: Settings,
    #[arg(value_name = "PATH")]
    args: Vec<String>,
}

/// Runs a `secrets` command.
pub async fn run(context: &Context, secrets: Secrets) -> Outcome {
    match secrets {
        Secrets::Disable(args) => mount::disable(context, Kind::Secrets, args).await,
        Secrets::Enable(args) => {
            let config = Map::from_iter([("force_no_cache".to_string(), args.force_no_cache.into())]);
            mount::enable(context, Kind::Secrets, args.enable, config).await
        }
        Secrets::List(args) => mount::list(context, Kind::Secrets, args).await,
        Secrets::Move(args) => mount::relocate(context, Kind::Secrets, args).await,
        Secrets::Tune(args) => mount::tune(context, Kind::Secrets, args.args, &args.settings, Map::new()).await,
    }
}
