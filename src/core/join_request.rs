//! Which targets a node asks to let it in: those of its configuration, and those that operators name.

use std::sync::PoisonError;

use futures_util::future::BoxFuture;
use serde_json::json;

use super::sealing::bare;
use super::{Core, Error, Request, Response, Result};
use crate::config::Url;
use crate::config::storage::{Pem, RetryJoin};
use crate::raft::join::Challenge;
use crate::raft::transport::REMOVED;

/// Asks one target for a challenge, once; set by the server, which can reach targets.
pub type Asker = fn(Core, RetryJoin) -> BoxFuture<'static, std::result::Result<Challenge, String>>;

/// Targets that operators may ask for.
const REQUESTED_MAX: usize = 16;

impl Core {
    /// Sets who asks a target.
    pub fn set_asker(&self, asker: Asker) {
        let _ = self.asker.set(asker);
    }

    /// Notes that the configuration names targets: this node is to belong to a cluster.
    pub fn expect_to_join(&self) {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner).expected = true;
    }

    /// Whether somebody has named a target for this node.
    pub(crate) fn expects_to_join(&self) -> bool {
        let joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        joining.expected || !joining.requested.is_empty()
    }

    /// `POST sys/storage/raft/join`: with `retry` the target is asked until the node belongs to a cluster; without, once
    /// and before this is answered.
    pub(crate) async fn join_request(&self, request: &Request) -> Result<Response> {
        if self.settings.storage_type != "raft" {
            return Err(Error::invalid("raft storage is not in use"));
        }
        if self.is_out() {
            return Err(Error::invalid(REMOVED));
        }
        if self.belongs() {
            return Err(Error::invalid("this node belongs to a cluster already"));
        }
        let address = request.text("leader_api_addr")?.unwrap_or_default();
        let inline = |name: &str| Ok::<_, Error>(request.text(name)?.filter(|pem| !pem.is_empty()).map(Pem::Inline));
        let client = match (inline("leader_client_cert")?, inline("leader_client_key")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => None,
        };
        let target = RetryJoin {
            leader_api_addr: Url::parse(&address).map_err(|error| Error::field("leader_api_addr", &error))?,
            ca_cert: inline("leader_ca_cert")?,
            client,
            tls_servername: request.text("leader_tls_servername")?.filter(|name| !name.is_empty()),
        };
        let retry = request.flag("retry")?.unwrap_or(false);
        let asker = self.asker.get().filter(|_| !retry);
        let joined = asker.is_some();
        if let Some(asker) = asker {
            let asked = asker(self.clone(), target.clone()).await;
            let challenge = asked.map_err(|error| {
                Error::invalid(format!("failed to join raft cluster: failed to get raft challenge: {error}"))
            })?;
            self.take_challenge(challenge, &target.leader_api_addr.to_string());
        }
        let mut joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        if joining.requested.len() < REQUESTED_MAX && !joining.requested.contains(&target) {
            joining.requested.push(target);
        }
        drop(joining);
        self.shares.notify_one();
        Ok(bare(json!({ "joined": joined })))
    }

    /// Targets that operators asked for.
    pub fn requested_targets(&self) -> Vec<RetryJoin> {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner).requested.clone()
    }
}
