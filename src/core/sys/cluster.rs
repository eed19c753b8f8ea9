//! `sys/seal`, `sys/step-down`, `sys/ha-status` and `sys/storage/raft/*`: what acts on the cluster itself.

use serde_json::{Value, json};

use super::Ask;
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::logical::route::{Field, Kind, Route, Verb};

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "seal",
        about: "Seals the cluster, or one node of it: keys are forgotten until enough shares are given again.",
        verbs: &[Verb::new(Operation::Update, "Seals.", &[])],
        fields: &[Field::new("scope", Kind::Text, "`node` seals only the node that is asked; default is the cluster.")],
    },
    Route {
        pattern: "step-down",
        about: "Has the active node hand its role to another.",
        verbs: &[Verb::new(Operation::Update, "Steps down.", &[])],
        fields: &[],
    },
    Route {
        pattern: "ha-status",
        about: "The members of the cluster as the active node sees them.",
        verbs: &[Verb::new(
            Operation::Read,
            "Shows the members.",
            &[Field::new("nodes", Kind::Any, "One object each.")],
        )],
        fields: &[],
    },
    Route {
        pattern: "storage/raft/configuration",
        about: "The voters and learners of the cluster.",
        verbs: &[Verb::new(
            Operation::Read,
            "Shows them with their addresses.",
            &[Field::new("config", Kind::Any, "The index of the membership, and `servers`.")],
        )],
        fields: &[],
    },
    Route {
        pattern: "storage/raft/remove-peer",
        about: "Takes a member out of the cluster for good.",
        verbs: &[Verb::new(Operation::Update, "Removes it.", &[])],
        fields: &[Field::new("server_id", Kind::Text, "Its node id.")],
    },
];

impl Core {
    /// Serves them. They act by themselves, not within the request's transaction.
    pub(super) async fn sys_cluster(&self, ask: Ask<'_>) -> Result<Response> {
        match ask.route.pattern {
            "seal" => self.seal_cluster(ask.request).await,
            "step-down" => {
                self.raft.step_down().await.map_err(Error::Unavailable)?;
                Ok(Response::empty())
            }
            "ha-status" => Ok(self.ha_status().await.flat()),
            "storage/raft/configuration" => Ok(self.raft_configuration()),
            _ => self.remove_peer(ask.unsealed, ask.request).await,
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
