//! `sys/seal`, `sys/step-down`, `sys/ha-status` and `sys/storage/raft/*`: what acts on the cluster itself.

use serde_json::{Value, json};

use super::unsupported_path;
use crate::core::authorize::Authorized;
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};

impl Core {
    /// Serves them. They act by themselves, not within the request's transaction.
    pub(crate) async fn sys_cluster(
        &self,
        unsealed: &Unsealed,
        authorized: &Authorized,
        request: &Request,
        path: &str,
    ) -> Result<Response> {
        let writes = matches!(authorized.operation, Operation::Update | Operation::Create);
        match path {
            "seal" if writes => self.seal_cluster(request).await,
            "step-down" if writes => {
                self.raft.step_down().await.map_err(Error::Unavailable)?;
                Ok(Response::empty())
            }
            "ha-status" if authorized.operation == Operation::Read => Ok(self.ha_status().await.flat()),
            "storage/raft/configuration" if authorized.operation == Operation::Read => Ok(self.raft_configuration()),
            "storage/raft/remove-peer" if writes => self.remove_peer(unsealed, request).await,
            "seal" | "step-down" | "ha-status" | "storage/raft/configuration" | "storage/raft/remove-peer" => {
                Err(Error::Unsupported)
            }
            _ => Err(unsupported_path()),
        }
    }

    fn raft_configuration(&self) -> Response {
        let servers: Vec<Value> = self
            .raft
            .members()
            .into_iter()
            .map(|member| {
                json!({
                    "address": member.address,
                    "leader": member.leader,
                    "node_id": member.label,
                    "protocol_version": "3",
                    "voter": member.voter,
                })
            })
            .collect();
        Response::data(json!({ "config": { "index": self.raft.membership_index(), "servers": servers } }))
    }

    async fn ha_status(&self) -> Response {
        let mut nodes = Vec::new();
        for member in self.raft.members() {
            nodes.push(json!({
                "hostname": member.label,
                "api_address": self.api_address(member.incarnation).await.unwrap_or_default(),
                "cluster_address": format!("https://{}", member.address),
                "active_node": member.leader,
                "last_echo": member.last_heard.map(|at| at.rfc3339()),
                "version": crate::VERSION,
            }));
        }
        Response::data(json!({ "nodes": nodes }))
    }

    /// Removes a member by its label: out of the membership, onto the list of removed incarnations, off the network.
    async fn remove_peer(&self, unsealed: &Unsealed, request: &Request) -> Result<Response> {
        let label = match request.text("server_id")? {
            Some(label) if !label.is_empty() => label,
            _ => return Err(Error::invalid("no server id provided")),
        };
        self.remove_member(unsealed, &label).await?;
        Ok(Response::empty())
    }
}
