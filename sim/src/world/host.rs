//! What runs on a node: the one file that knows the server's entry point.

use std::net::IpAddr;
use std::path::PathBuf;

use holdfast::runtime::Runtime;

use super::stand_in;

/// What a node's process is started with: what an operator would write in its configuration file.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The operator's `node_id`.
    pub label: String,
    /// The node's present address.
    pub address: IpAddr,
    /// The present addresses of the other nodes (`retry_join`).
    pub others: Vec<IpAddr>,
    /// A directory of the node on the real file system.
    pub real_dir: PathBuf,
    /// Whether to run the toy server instead.
    pub stand_in: bool,
}

/// The port of the API.
pub const API_PORT: u16 = 8200;

/// Whether clients speak TLS to the nodes.
pub const TLS: bool = false;

/// Runs the server until it stops by itself.
///
/// # Errors
/// What the server said when it gave up.
pub async fn run(spec: Spec, runtime: Runtime) -> Result<(), String> {
    if spec.stand_in {
        return stand_in::run(spec, runtime).await.map_err(|error| error.to_string());
    }
    Err("the server is not connected yet".to_string())
}
