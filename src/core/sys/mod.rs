//! `sys/*`: the server's own endpoints, one file an area.

mod capabilities;
mod cluster;
mod keys;
mod mounts;
pub(crate) mod policies;
mod public;

use super::authorize::Authorized;
use super::mount::Class;
use super::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::barrier::BarrierTxn;

impl Core {
    /// Serves the system mount.
    pub(crate) async fn sys(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
    ) -> Result<Response> {
        let path = authorized.rest.as_str();
        let (area, rest) = path.split_once('/').unwrap_or((path, ""));
        match area {
            "mounts" => self.sys_mounts(unsealed, txn, authorized, request, Class::Secret, rest).await,
            "auth" => self.sys_mounts(unsealed, txn, authorized, request, Class::Auth, rest).await,
            "policy" | "policies" => self.sys_policies(unsealed, txn, authorized, request).await,
            "capabilities" | "capabilities-self" | "capabilities-accessor" => {
                self.sys_capabilities(unsealed, txn, authorized, request).await
            }
            "internal" => self.sys_internal(unsealed, authorized, rest).await,
            "wrapping" => self.sys_wrapping(unsealed, txn, request, path).await,
            "key-status" | "rotate" => self.sys_keys(unsealed, txn, authorized, path).await,
            "seal" | "step-down" | "storage" | "ha-status" => {
                self.sys_cluster(unsealed, authorized, request, path).await
            }
            "metrics" if authorized.operation == Operation::Read => self.metrics_answer(request),
            _ => Err(unsupported_path()),
        }
    }
}

/// The error of a path that the mount does not know.
pub(crate) fn unsupported_path() -> Error {
    Error::NoRoute("1 error occurred:\n\t* unsupported path\n\n".into())
}
