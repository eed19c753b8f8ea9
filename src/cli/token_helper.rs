//! The token helper: the file `~/.vault-token`, shared with `vault` and `bao`, mode 0600.

use std::path::PathBuf;

use super::Failure;
use super::env::Env;
use crate::runtime::Runtime;
use crate::secret::Secret;

/// The stored token; empty if there is none.
pub async fn get(runtime: &Runtime, env: &Env) -> Result<Secret, Failure> {
    let Some(path) = path(env) else {
        return Ok(Secret::default());
    };
    let stored = runtime.disk.read_if_exists(&path).await;
    let stored =
        stored.map_err(|error| Failure::server(format!("failed to get token: {}: {error}", path.display())))?;
    Ok(Secret::new(stored.unwrap_or_default().trim_ascii().to_vec()))
}

/// Stores a token.
pub async fn store(runtime: &Runtime, env: &Env, token: &str) -> Result<(), Failure> {
    let path = path(env).ok_or_else(|| Failure::server("HOME is not set"))?;
    let bytes = bytes::Bytes::copy_from_slice(token.trim().as_bytes());
    let stored = runtime.disk.replace(&path, bytes).await;
    stored.map_err(|error| Failure::server(format!("{}: {error}", path.display())))
}

/// `VAULT_TOKEN_PATH`, else the file in the home directory.
fn path(env: &Env) -> Option<PathBuf> {
    env.setting("TOKEN_PATH").map(PathBuf::from).or_else(|| Some(env.home()?.join(".vault-token")))
}
