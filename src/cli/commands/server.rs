//! `server`: flags only; the server itself is [`crate::server`].

use std::path::PathBuf;

use crate::cli::context::Global;
use crate::cli::env::Env;
use crate::server::ServerArgs;

/// `server`.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// A configuration file, or a directory whose .hcl and .json files are loaded. May be given several times. Also from
    /// VAULT_CONFIG_PATH.
    #[arg(long, value_name = "string")]
    config: Vec<PathBuf>,
    /// Exit when the core shuts down.
    #[arg(long)]
    exit_on_core_shutdown: bool,
    /// File to log to.
    #[arg(long, value_name = "string")]
    log_file: Option<PathBuf>,
    /// "standard" or "json". Also from VAULT_LOG_FORMAT.
    #[arg(long, value_name = "string")]
    log_format: Option<String>,
    /// "trace", "debug", "info", "warn" or "error". Also from VAULT_LOG_LEVEL.
    #[arg(long, value_name = "string")]
    log_level: Option<String>,
    /// Bytes after which the log file is rotated.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer)]
    log_rotate_bytes: Option<i64>,
    /// Time after which the log file is rotated.
    #[arg(long, value_name = "duration", value_parser = crate::cli::args::duration)]
    log_rotate_duration: Option<std::time::Duration>,
    /// How many rotated log files are kept.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer, allow_hyphen_values = true)]
    log_rotate_max_files: Option<i64>,
    /// Only explained: a seal migration is done by `operator unseal -migrate`.
    #[arg(long)]
    migrate: bool,
    /// Accepted for compatibility; there is no recovery mode.
    #[arg(long, hide = true)]
    recovery: bool,
    /// A server to play with: one process, nothing on disk, unsealed, KV version 2 at secret/.
    #[arg(long, help_heading = DEV)]
    dev: bool,
    /// File to write the addresses and token of a -dev-three-node cluster to.
    #[arg(long, value_name = "string", help_heading = DEV)]
    dev_cluster_json: Option<PathBuf>,
    /// Address to listen on; the default is 127.0.0.1:8200. Also from VAULT_DEV_LISTEN_ADDRESS.
    #[arg(long, value_name = "string", help_heading = DEV)]
    dev_listen_address: Option<String>,
    /// Do not store the root token for the client on this machine.
    #[arg(long, help_heading = DEV)]
    dev_no_store_token: bool,
    /// Initial root token. Also from VAULT_DEV_ROOT_TOKEN_ID.
    #[arg(long, value_name = "string", help_heading = DEV)]
    dev_root_token_id: Option<String>,
    /// Three nodes in one process, one of them active.
    #[arg(long, help_heading = DEV)]
    dev_three_node: bool,
    /// As -dev, with TLS and a certificate made for it.
    #[arg(long, help_heading = DEV)]
    dev_tls: bool,
    /// Directory for the certificates of -dev-tls; else a temporary one.
    #[arg(long, value_name = "string", help_heading = DEV)]
    dev_tls_cert_dir: Option<PathBuf>,
    #[arg(hide = true)]
    args: Vec<String>,
}

impl Server {
    /// Flags, and the variables that stand for them.
    pub fn into_args(self, _global: &Global, env: &Env) -> ServerArgs {
        let mut config = self.config;
        if config.is_empty() {
            config.extend(env.setting("CONFIG_PATH").map(PathBuf::from));
        }
        let token_file = env.setting("TOKEN_PATH").map(PathBuf::from);
        ServerArgs {
            config,
            dev: self.dev || self.dev_tls || self.dev_three_node,
            dev_root_token_id: self.dev_root_token_id.or_else(|| env.setting("DEV_ROOT_TOKEN_ID")),
            dev_listen_address: self.dev_listen_address.or_else(|| env.setting("DEV_LISTEN_ADDRESS")),
            dev_no_store_token: self.dev_no_store_token,
            dev_token_file: token_file.or_else(|| Some(env.home()?.join(".vault-token"))),
            dev_tls: self.dev_tls,
            dev_tls_cert_dir: self.dev_tls_cert_dir,
            dev_three_node: self.dev_three_node,
            dev_cluster_json: self.dev_cluster_json,
            log_level: self.log_level.or_else(|| env.setting("LOG_LEVEL")),
            log_format: self.log_format.or_else(|| env.setting("LOG_FORMAT")),
            log_file: self.log_file,
            log_rotate_bytes: self.log_rotate_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            log_rotate_duration: self.log_rotate_duration,
            log_rotate_max_files: self.log_rotate_max_files,
            exit_on_core_shutdown: self.exit_on_core_shutdown,
            migrate: self.migrate,
            unknown: self.args,
        }
    }
}

const DEV: &str = "Dev Options";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Invocation, parse};
    use crate::cli::commands::Command;

    fn args(line: &str, env: &[(&str, &str)]) -> ServerArgs {
        match parse(line.split(' ').map(str::to_string).collect()) {
            Invocation::Run(cli) => match cli.command {
                Command::Server(server) => server.into_args(&cli.global, &Env::of(env)),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_come_before_the_environment() {
        let env = [("VAULT_CONFIG_PATH", "/e"), ("VAULT_LOG_LEVEL", "warn"), ("HOME", "/root")];
        let server = args("server -config=a.hcl -config b -log-level=debug -dev-tls -dev-tls-cert-dir=/d", &env);
        assert_eq!(server.config, [PathBuf::from("a.hcl"), PathBuf::from("b")]);
        assert_eq!((server.log_level.as_deref(), server.dev, server.dev_tls), (Some("debug"), true, true));
        let server = args("server", &env);
        assert_eq!((server.config, server.log_level.as_deref(), server.dev), (vec!["/e".into()], Some("warn"), false));
        assert_eq!(server.dev_token_file, Some("/root/.vault-token".into()));
    }
}
