//! The command line: what people and scripts know from `vault` and `bao`, flag by flag.
//!
//! It reaches a server only through [`crate::client`]. Flags are Go's: one dash, before the positional arguments; see
//! [`args`]. Texts, exit codes and the environment are those of the peers; called through a link named `vault` or `bao`
//! it names itself so ([`env::Brand`]).
//!
//! Exit codes: 0 done; 1 wrong usage or a local failure; 2 the server refused or has no such thing, and for `status` a
//! sealed server; 127 no such command.

pub mod args;
pub mod commands;
pub mod completion;
pub mod context;
pub mod data;
pub mod env;
pub mod help;
pub mod near;
pub mod output;
pub mod policy_format;
pub mod progress;
pub mod prompt;
pub mod table;
pub mod token_helper;
pub mod value;
pub mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use args::Invocation;
use context::Context;
use env::{Brand, Env};

use crate::runtime::Runtime;

/// Runs the command line `args`, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let brand = Brand::of_program(&args.next().unwrap_or_default());
    let env = Env::of_process();
    if let Some(line) = env.var("COMP_LINE") {
        let point = env.var("COMP_POINT").and_then(|point| point.parse().ok());
        completion::candidates(&line, point).iter().for_each(|name| output::out(name));
        return ExitCode::SUCCESS;
    }
    let invocation = match args.map(OsString::into_string).collect::<Result<Vec<String>, _>>() {
        Ok(args) => args::parse(args),
        Err(bad) => Invocation::Failed(format!("an argument is not UTF-8: {}", bad.to_string_lossy())),
    };
    let cli = match invocation {
        Invocation::Run(cli) => *cli,
        Invocation::Help(path) => {
            output::out(&help::text(&path, &brand));
            return ExitCode::SUCCESS;
        }
        Invocation::Incomplete { path, unknown } => {
            output::err(&help::incomplete(&path, unknown.as_deref(), &brand));
            return ExitCode::from(if path.is_empty() { EXIT_NO_COMMAND } else { EXIT_LOCAL });
        }
        Invocation::Failed(message) => {
            output::err(&message);
            return ExitCode::from(EXIT_LOCAL);
        }
    };
    if let commands::Command::Server(server) = cli.command {
        return crate::server::run(server.into_args(&cli.global, &env));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::err(&format!("Error starting: {error}"));
            return ExitCode::from(EXIT_LOCAL);
        }
    };
    let code = runtime.block_on(run_client(brand, env, cli));
    // A read of standard input or a name look-up that nobody waits for any more must not hold the exit.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn run_client(brand: Brand, env: Env, cli: args::Cli) -> u8 {
    let curl = cli.global.output_curl_string;
    let policy = cli.global.output_policy;
    let result = match Context::new(Runtime::real(), brand, env, cli.global) {
        Ok(context) => commands::run(&context, cli.command).await,
        Err(failure) => Err(failure),
    };
    match result {
        Ok(_) if curl => {
            output::err("Could not generate cURL command");
            EXIT_LOCAL
        }
        Ok(code) => code,
        Err(failure) => {
            if let Some(instead) = failure.instead {
                output::out(&instead);
                return 0;
            }
            if !failure.message.is_empty() {
                output::err(&failure.message);
            }
            if curl {
                output::err("Unable to generate cURL string from command");
            } else if policy {
                output::err("Unable to generate policy from command");
            }
            failure.code
        }
    }
}

/// Why a command ended early.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What goes to standard error; may be empty.
    pub message: String,
    /// Not a failure: what was asked for instead of the request (`-output-curl-string`).
    pub instead: Option<String>,
}

impl Failure {
    /// Wrong usage, or a failure on this side.
    pub fn local(message: impl Into<String>) -> Failure {
        Failure { code: EXIT_LOCAL, message: message.into(), instead: None }
    }

    /// The server refused, was not reached, or has no such thing.
    pub fn server(message: impl Into<String>) -> Failure {
        Failure { code: EXIT_SERVER, message: message.into(), instead: None }
    }

    /// Says what was being done.
    pub fn context(self, doing: impl std::fmt::Display) -> Failure {
        Failure { message: format!("{doing}: {}", self.message), ..self }
    }

    /// With another exit code.
    pub fn exit(self, code: u8) -> Failure {
        Failure { code, ..self }
    }
}

/// What a command returns: its exit code.
pub type Outcome = Result<u8, Failure>;

/// Exit code of wrong usage and local failures.
pub const EXIT_LOCAL: u8 = 1;
/// Exit code when the server refused or has no such thing.
pub const EXIT_SERVER: u8 = 2;
/// Exit code for an unknown command.
pub const EXIT_NO_COMMAND: u8 = 127;
