//! What `holdfast server` is called with.

use std::path::PathBuf;
use std::time::Duration;

/// What `holdfast server` was called with, environment included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerArgs {
    /// Files and directories, later ones on top of earlier ones.
    pub config: Vec<PathBuf>,
    /// Run the embedded default server.
    pub dev: bool,
    /// Its root token.
    pub dev_root_token_id: Option<String>,
    /// Its address, `host:port`.
    pub dev_listen_address: Option<String>,
    /// Do not store its root token for the client.
    pub dev_no_store_token: bool,
    /// Where the client's token is stored; `None`: there is no home directory.
    pub dev_token_file: Option<PathBuf>,
    /// It speaks TLS with a certificate of its own making.
    pub dev_tls: bool,
    /// Where that certificate goes.
    pub dev_tls_cert_dir: Option<PathBuf>,
    /// Three nodes.
    pub dev_three_node: bool,
    /// Where the three nodes' addresses go.
    pub dev_cluster_json: Option<PathBuf>,
    /// `trace` to `error`.
    pub log_level: Option<String>,
    /// `standard` or `json`.
    pub log_format: Option<String>,
    /// Where the log goes.
    pub log_file: Option<PathBuf>,
    /// When it is rotated.
    pub log_rotate_bytes: Option<u64>,
    /// When it is rotated.
    pub log_rotate_duration: Option<Duration>,
    /// How many old ones are kept; negative: none.
    pub log_rotate_max_files: Option<i64>,
    /// Exit when the core shuts down.
    pub exit_on_core_shutdown: bool,
    /// `-migrate` was given: say what to do instead.
    pub migrate: bool,
    /// Arguments that are no flags: an error.
    pub unknown: Vec<String>,
}
