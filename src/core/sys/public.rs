//! What needs no token: the state of the node, init and unseal, joining.

use serde_json::json;

use super::Ask;
use crate::core::sealing::bare;
use crate::core::{Core, Error, Operation, Raw, Request, Response, Result};
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::telemetry::render::PROMETHEUS_TYPE;

/// The routes; all but the metrics need no token.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "health",
        about: "What load balancers and probes ask: the status tells the node's state.",
        verbs: &[Verb::new(Operation::Read, "Tells the node's state.", HEALTH)],
        fields: &[
            Field::new("standbyok", Kind::Flag, "A standby answers as the active node does."),
            Field::new("perfstandbyok", Kind::Flag, "A performance standby answers as the active node does."),
            Field::new("activecode", Kind::Integer, "The status of an active node; default 200."),
            Field::new("standbycode", Kind::Integer, "The status of a standby; default 429."),
            Field::new("sealedcode", Kind::Integer, "The status of a sealed node; default 503."),
            Field::new("uninitcode", Kind::Integer, "The status without a cluster; default 501."),
            Field::new("removedcode", Kind::Integer, "The status of a removed node; default 530."),
            Field::new(
                "haunhealthycode",
                Kind::Integer,
                "The status of a standby without an active node; default 474.",
            ),
            Field::new("performancestandbycode", Kind::Integer, "The status of a performance standby; default 473."),
            Field::new("drsecondarycode", Kind::Integer, "The status of a secondary; default 472."),
        ],
    },
    Route {
        pattern: "seal-status",
        about: "Whether the node is sealed, and how far an unseal has come.",
        verbs: &[Verb::new(Operation::Read, "Shows it.", SEAL_STATUS)],
        fields: &[],
    },
    Route {
        pattern: "init",
        about: "The beginning of a cluster.",
        verbs: &[
            Verb::new(
                Operation::Read,
                "Tells whether there is a cluster.",
                &[Field::new("initialized", Kind::Flag, "There is.")],
            ),
            Verb::new(
                Operation::Update,
                "Makes a cluster of this node; the shares are shown this once.",
                &[
                    Field::new("keys", Kind::List, "The shares of the seal key, in hex."),
                    Field::new("keys_base64", Kind::List, "The same shares in base64."),
                    Field::new("root_token", Kind::Text, "A token that may do everything."),
                ],
            ),
        ],
        fields: &[
            Field::new("secret_shares", Kind::Integer, "Into how many shares the seal key is split."),
            Field::new("secret_threshold", Kind::Integer, "How many of them unseal a node."),
        ],
    },
    Route {
        pattern: "unseal",
        about: "Gives a node a share of the seal key.",
        verbs: &[Verb::new(Operation::Update, "Takes the share and tells how far the unseal has come.", SEAL_STATUS)],
        fields: &[
            Field::new("key", Kind::Text, "A share, in hex or base64."),
            Field::new("reset", Kind::Flag, "Drops the shares that were given."),
            Field::new("migrate", Kind::Flag, "Refused: there is no migration under way."),
        ],
    },
    Route {
        pattern: "leader",
        about: "Which node is active.",
        verbs: &[Verb::new(
            Operation::Read,
            "Shows the active node's addresses.",
            &[
                Field::new("ha_enabled", Kind::Flag, "There can be several nodes."),
                Field::new("is_self", Kind::Flag, "It is the node that is asked."),
                Field::new("active_time", Kind::Text, "Since when."),
                Field::new("leader_address", Kind::Text, "Its API."),
                Field::new("leader_cluster_address", Kind::Text, "Its cluster port."),
                Field::new("raft_committed_index", Kind::Integer, "The last index of the log."),
                Field::new("raft_applied_index", Kind::Integer, "The last index applied."),
            ],
        )],
        fields: &[],
    },
    Route {
        pattern: "metrics",
        about: "Figures of the node that is asked.",
        verbs: &[Verb::new(Operation::Read, "Shows the figures.", FIGURES)],
        fields: &[Field::new("format", Kind::Text, "`prometheus` or `json`, the default.")],
    },
    Route {
        pattern: "storage/raft/join",
        about: "Has a node without a cluster join one.",
        verbs: &[Verb::new(
            Operation::Update,
            "Joins.",
            &[Field::new("joined", Kind::Flag, "Whether the node knows now what it must be unsealed with.")],
        )],
        fields: &[
            Field::new("leader_api_addr", Kind::Text, "The API of a member."),
            Field::new("leader_ca_cert", Kind::Text, "The CA of that API, in PEM."),
            Field::new("leader_client_cert", Kind::Text, "A client certificate for that API, in PEM."),
            Field::new("leader_client_key", Kind::Text, "Its key, in PEM."),
            Field::new("retry", Kind::Flag, "Tries until it succeeds."),
        ],
    },
    Route {
        pattern: "storage/raft/bootstrap/challenge",
        about: "Between nodes: a challenge for a node that joins.",
        verbs: &[Verb::new(Operation::Update, "Gives a challenge.", &[])],
        fields: &[Field::new("*", Kind::Any, "Who joins.")],
    },
    Route {
        pattern: "storage/raft/bootstrap/answer",
        about: "Between nodes: the proof of a node that joins.",
        verbs: &[Verb::new(Operation::Update, "Takes the proof.", &[])],
        fields: &[Field::new("*", Kind::Any, "The proof.")],
    },
];

const FIGURES: &[Field] = &[
    Field::new("Timestamp", Kind::Text, "When they were taken."),
    Field::new("Counters", Kind::Any, "What is counted."),
    Field::new("Gauges", Kind::Any, "What rises and falls."),
    Field::new("Points", Kind::Any, "None."),
    Field::new("Samples", Kind::Any, "What is measured each time."),
    Field::new("Summaries", Kind::Any, "None."),
];

const HEALTH: &[Field] = &[
    Field::new("initialized", Kind::Flag, "There is a cluster."),
    Field::new("sealed", Kind::Flag, "The node is sealed."),
    Field::new("standby", Kind::Flag, "The node is not the active one."),
    Field::new("performance_standby", Kind::Flag, "The node answers reads as a standby."),
    Field::new("replication_dr_mode", Kind::Text, "`disabled`, or `unknown` while the node is sealed."),
    Field::new("replication_performance_mode", Kind::Text, "The same."),
    Field::new("server_time_utc", Kind::Integer, "Seconds since 1970."),
    Field::new("version", Kind::Text, "The server's version."),
    Field::new("cluster_name", Kind::Text, "The cluster's name."),
    Field::new("cluster_id", Kind::Text, "The cluster's id."),
];

const SEAL_STATUS: &[Field] = &[
    Field::new("type", Kind::Text, "How the root key is wrapped."),
    Field::new("initialized", Kind::Flag, "There is a cluster."),
    Field::new("sealed", Kind::Flag, "The node is sealed."),
    Field::new("t", Kind::Integer, "How many shares are needed."),
    Field::new("n", Kind::Integer, "How many there are."),
    Field::new("progress", Kind::Integer, "How many were given."),
    Field::new("nonce", Kind::Text, "Names the attempt."),
    Field::new("version", Kind::Text, "The server's version."),
    Field::new("build_date", Kind::Text, "When the server was built (RFC 3339)."),
    Field::new("commit_date", Kind::Text, "When what it was built from was written (RFC 3339)."),
    Field::new("migration", Kind::Flag, "Whether the seal is being changed."),
    Field::new("recovery_seal", Kind::Flag, "Whether recovery keys stand beside the seal."),
    Field::new("storage_type", Kind::Text, "Where the data is."),
    Field::new("cluster_name", Kind::Text, "The cluster's name."),
    Field::new("cluster_id", Kind::Text, "The cluster's id."),
];

/// Paths of the system mount that are served without a token.
pub(super) const OPEN: &[&str] = &[
    "health",
    "seal-status",
    "init",
    "unseal",
    "leader",
    "storage/raft/join",
    "storage/raft/bootstrap/challenge",
    "storage/raft/bootstrap/answer",
    "internal/ui/mounts",
    "replication/status",
    "generate-root/attempt",
    "generate-root/update",
    "decode-token",
    "rekey/init",
    "rekey/update",
    "rekey/verify",
    "internal/specs/openapi",
    "wrapping/lookup",
];

/// Paths of the system mount that answer without the envelope.
pub(super) const BARE: &[&str] = &[
    "health",
    "seal-status",
    "init",
    "unseal",
    "leader",
    "storage/raft/join",
    "in-flight-req",
    "generate-root/attempt",
    "generate-root/update",
    "rekey/init",
    "rekey/update",
    "rekey/verify",
];

/// Paths of the system mount whose answers show their data at the top as well ([`Response::flat`]).
pub(super) const FLAT: &[&str] = &[
    "mounts",
    "mounts/{path...}",
    "mounts/{path...}/tune",
    "auth",
    "auth/{path...}",
    "auth/{path...}/tune",
    "policy",
    "policy/{name...}",
    "capabilities",
    "capabilities-accessor",
    "capabilities-self",
    "config/cors",
    "ha-status",
    "key-status",
    "metrics",
    "remount",
];

impl Core {
    /// Serves what of these takes a token; the others never get here.
    pub(super) async fn sys_public(&self, ask: Ask<'_>) -> Result<Response> {
        match ask.route.pattern {
            "metrics" => self.metrics_answer(ask.request),
            _ => Err(Error::Unsupported),
        }
    }

    /// Serves a path that needs no token; `None` if the path is none of these.
    pub(crate) async fn public(&self, request: &Request) -> Option<Result<Response>> {
        use Operation::{Create, Read, Update};
        let writes = matches!(request.operation, Update | Create);
        let reads = request.operation == Read;
        // Help of these paths is asked for as of any other.
        if request.operation == Operation::Help {
            return None;
        }
        Some(match request.path.as_str() {
            "sys/seal-status" if reads => self.seal_status(Vec::new()).await,
            "sys/init" if reads => self.init_status().await,
            "sys/init" if writes => self.init(request).await,
            "sys/unseal" if writes => self.unseal(request).await,
            "sys/leader" if reads => self.leader_status().await,
            "sys/metrics" if reads && request.client.access.metrics => self.metrics_answer(request),
            "sys/generate-root/attempt" | "sys/generate-root/update" => self.generate_root_openly(request).await,
            "sys/decode-token" if writes => self.decode_token(request).await,
            "sys/rekey/init" | "sys/rekey/update" | "sys/rekey/verify" => self.rekey_openly(request).await,
            "sys/in-flight-req" if reads && request.client.access.in_flight_requests => Ok(self.in_flight_answer()),
            "sys/replication/status" if reads => Ok(super::node::replication_status()),
            "sys/storage/raft/join" if writes => self.join_request(request).await,
            "sys/storage/raft/bootstrap/challenge" if writes => self.bootstrap_challenge(request).await,
            "sys/storage/raft/bootstrap/answer" if writes => self.bootstrap_answer(request).await,
            "sys/internal/ui/mounts" if reads && request.token.is_none() => self.unauthenticated_mounts().await,
            "sys/internal/specs/openapi" if (reads || writes) && request.token.is_none() => {
                self.openapi_for_all(request).await
            }
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
        let unsealed = self.unsealed_and_active().await?;
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        Ok(self.visible_mounts(&router, None))
    }

    async fn openapi_for_all(&self, request: &Request) -> Result<Response> {
        let unsealed = self.unsealed_and_active().await?;
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        self.documents.get(&router, request, || self.openapi(&router, None, request))
    }

    async fn wrapping_lookup(&self, request: &Request) -> Result<Response> {
        let unsealed = self.unsealed_and_active().await?;
        let mut txn = self.begin(&unsealed);
        self.sys_wrapping(&unsealed, &mut txn, request, "wrapping/lookup").await
    }

    /// `sys/metrics`, as Prometheus text or as JSON.
    pub(crate) fn metrics_answer(&self, request: &Request) -> Result<Response> {
        self.gauge();
        let (content_type, body) = match request.text("format")?.as_deref() {
            Some("prometheus") => (PROMETHEUS_TYPE, self.metrics.render_prometheus()),
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
