//! What needs no token: the state of the node, init and unseal, joining.

use serde_json::json;

use crate::core::sealing::bare;
use crate::core::{Core, Error, Operation, Raw, Request, Response, Result};

impl Core {
    /// Serves a path that needs no token; `None` if the path is none of these.
    pub(crate) async fn public(&self, request: &Request) -> Option<Result<Response>> {
        use Operation::{Create, Read, Update};
        let writes = matches!(request.operation, Update | Create);
        let reads = request.operation == Read;
        Some(match request.path.as_str() {
            "sys/seal-status" if reads => self.seal_status(Vec::new()).await,
            "sys/init" if reads => self.init_status().await,
            "sys/init" if writes => self.init(request).await,
            "sys/unseal" if writes => self.unseal(request).await,
            "sys/leader" if reads => self.leader_status().await,
            "sys/metrics" if reads && self.settings.unauthenticated_metrics => self.metrics_answer(request),
            "sys/storage/raft/join" if writes => self.join_request(request).await,
            "sys/storage/raft/bootstrap/challenge" if writes => self.bootstrap_challenge(request).await,
            "sys/storage/raft/bootstrap/answer" if writes => self.bootstrap_answer(request).await,
            "sys/internal/ui/mounts" if reads && request.token.is_none() => self.unauthenticated_mounts().await,
            "sys/wrapping/lookup" if reads || writes => self.wrapping_lookup(request).await,
            "sys/seal-status" | "sys/init" | "sys/unseal" | "sys/leader" | "sys/storage/raft/join" => {
                Err(Error::Unsupported)
            }
            _ => return None,
        })
    }

    async fn init_status(&self) -> Result<Response> {
        Ok(bare(json!({ "initialized": self.seal_config().await?.is_some() })))
    }

    async fn leader_status(&self) -> Result<Response> {
        if self.settings.storage_type != "raft" {
            return Ok(bare(json!({ "ha_enabled": false })));
        }
        let is_self = self.is_active();
        let (_, last, applied) = self.raft.progress();
        let (api, cluster) = self.leader_addresses();
        Ok(bare(json!({
            "ha_enabled": true,
            "is_self": is_self,
            "active_time": self.active_since().map_or_else(|| "0001-01-01T00:00:00Z".into(), |at| at.rfc3339()),
            "leader_address": api,
            "leader_cluster_address": cluster,
            "performance_standby": false,
            "performance_standby_last_remote_wal": 0,
            "raft_committed_index": last,
            "raft_applied_index": applied,
        })))
    }

    async fn unauthenticated_mounts(&self) -> Result<Response> {
        let unsealed = self.unsealed().await?;
        self.active()?;
        self.linearize().await?;
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        Ok(self.visible_mounts(&router, None))
    }

    async fn wrapping_lookup(&self, request: &Request) -> Result<Response> {
        let unsealed = self.unsealed().await?;
        self.active()?;
        self.linearize().await?;
        let mut txn = self.begin(&unsealed);
        self.sys_wrapping(&unsealed, &mut txn, request, "wrapping/lookup").await
    }

    /// `sys/metrics`, as Prometheus text or as JSON.
    pub(crate) fn metrics_answer(&self, request: &Request) -> Result<Response> {
        self.gauge();
        let (content_type, body) = match request.text("format")?.as_deref() {
            Some("prometheus") => ("text/plain; version=0.0.4; charset=utf-8", self.metrics.render_prometheus()),
            None | Some("" | "json") => {
                let figures = self.metrics.render_json();
                return Ok(Response { data: Some(figures), ..Response::default() }.flat());
            }
            Some(other) => return Err(Error::field("format", &format!("{other:?} is neither prometheus nor json"))),
        };
        let raw = Raw { content_type, body: body.into_bytes(), status: 200 };
        Ok(Response { raw: Some(raw), ..Response::default() })
    }
}
