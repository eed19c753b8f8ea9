//! One file a command or family of commands.

pub mod auth;
pub mod data;
pub mod generate_root;
pub mod kv;
pub mod kv_metadata;
pub mod kv_place;
pub mod lease;
pub mod login;
pub mod login_methods;
pub mod mount;
pub mod operator;
pub mod path_help;
pub mod policy;
pub mod raft;
pub mod rekey;
pub mod secrets;
pub mod server;
mod share;
pub mod status;
pub mod token;
pub mod version;

use super::context::Context;
use super::{Failure, Outcome, completion, output, token_helper};

/// What the program can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Read data and retrieve secrets.
    Read(data::Read),
    /// Write data, configuration, and secrets.
    Write(data::Write),
    /// Delete secrets and configuration.
    Delete(data::Delete),
    /// List data or secrets.
    List(data::List),
    /// Authenticate locally.
    Login(login::Login),
    /// Start a server.
    Server(server::Server),
    /// Print seal and HA status.
    Status(status::Status),
    /// Unwrap a wrapped secret.
    Unwrap(data::Unwrap),
    /// Interact with auth methods.
    #[command(subcommand)]
    Auth(auth::Auth),
    /// Interact with the key-value store.
    #[command(subcommand)]
    Kv(kv::Kv),
    /// Interact with leases.
    #[command(subcommand)]
    Lease(lease::Lease),
    /// Perform operator-specific tasks.
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Patch data, configuration, and secrets.
    Patch(data::Patch),
    /// Retrieve API help for paths.
    PathHelp(path_help::PathHelp),
    /// Interact with policies.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Print what this client is configured with.
    #[command(subcommand)]
    Print(Print),
    /// List all names below a path, however deep.
    Scan(data::List),
    /// Interact with secrets engines.
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// Interact with tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Print a completion script for a shell.
    Completion(completion::Completion),
    /// Print the version of this program.
    Version(version::Version),
    /// Print which versions the server has run.
    VersionHistory(version::VersionHistory),
}

/// `print`.
#[derive(Debug, clap::Subcommand)]
pub enum Print {
    /// Print the token in use.
    Token(PrintToken),
}

/// `print token`. Arguments are ignored.
#[derive(Debug, clap::Args)]
pub struct PrintToken {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Runs a command.
pub async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Read(args) => data::read(context, args).await,
        Command::Write(args) => data::write(context, args).await,
        Command::Delete(args) => data::delete(context, args).await,
        Command::List(args) => data::list(context, args).await,
        Command::Unwrap(args) => data::unwrap(context, args).await,
        Command::Login(args) => login::run(context, args).await,
        Command::Status(args) => status::run(context, args).await,
        Command::Patch(args) => data::patch(context, args).await,
        Command::Scan(args) => data::scan(context, args).await,
        Command::Auth(auth) => auth::run(context, auth).await,
        Command::Kv(kv) => kv::run(context, kv).await,
        Command::Lease(lease) => lease::run(context, lease).await,
        Command::PathHelp(args) => path_help::run(context, args).await,
        Command::Operator(operator) => operator::run(context, operator).await,
        Command::Policy(policy) => policy::run(context, policy).await,
        Command::Secrets(secrets) => secrets::run(context, secrets).await,
        Command::Token(token) => token::run(context, token).await,
        Command::Completion(args) => completion::run(context, args).await,
        Command::Version(args) => version::run(context, args),
        Command::VersionHistory(args) => version::history(context, args).await,
        Command::Print(Print::Token(_)) => print_token(context).await,
        // It does not get here: a server makes a runtime of its own.
        Command::Server(_) => Err(Failure::local("the server is started elsewhere")),
    }
}

async fn print_token(context: &Context) -> Outcome {
    let token = match context.env.setting("TOKEN") {
        Some(token) => token,
        None => token_helper::get(&context.runtime, &context.env).await?.danger_expose_text().to_string(),
    };
    output::out(&token);
    Ok(0)
}

/// Takes exactly `N` arguments, with the peers' words for fewer and more.
pub fn exactly<const N: usize>(args: Vec<String>) -> Result<[String; N], Failure> {
    let got = args.len();
    args.try_into().map_err(|_| {
        let too = if got < N { "Not enough" } else { "Too many" };
        Failure::local(format!("{too} arguments (expected {N}, got {got})"))
    })
}

/// Takes `N` arguments, with the words that some commands have for any other number.
pub fn incorrect<const N: usize>(args: Vec<String>) -> Result<[String; N], Failure> {
    let got = args.len();
    args.try_into().map_err(|_| Failure::local(format!("Incorrect arguments (expected {N}, got {got})")))
}

/// Takes at most one argument; `expected` is the number that the message names.
pub fn at_most_one(args: Vec<String>, expected: &str) -> Result<Option<String>, Failure> {
    match args.len() {
        0 | 1 => Ok(args.into_iter().next()),
        got => Err(Failure::local(format!("Too many arguments (expected {expected}, got {got})"))),
    }
}

/// Takes the first of at least one argument, and the rest.
pub fn first(mut args: Vec<String>, expected: &str) -> Result<(String, Vec<String>), Failure> {
    if args.is_empty() {
        return Err(Failure::local(format!("Not enough arguments (expected {expected}, got 0)")));
    }
    let rest = args.split_off(1);
    Ok((args.remove(0), rest))
}

/// A path without the slashes and white space around it.
pub fn clean_path(path: &str) -> String {
    path.trim().trim_matches('/').to_string()
}
