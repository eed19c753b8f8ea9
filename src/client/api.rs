//! What the command line reads of answers as types of its own; all else it shows as it comes.

use serde::{Deserialize, Serialize};

use super::{ApiRequest, ApiSecret, Client, ClientError};

/// `sys/seal-status`, also the answer of `sys/unseal`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SealStatus {
    /// `shamir`, `awskms`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether there is a root key at all.
    pub initialized: bool,
    /// Whether this node holds no key.
    pub sealed: bool,
    /// Shares needed.
    pub t: i64,
    /// Shares made.
    pub n: i64,
    /// Shares given so far.
    pub progress: i64,
    /// Of the unseal attempt.
    pub nonce: String,
    /// Of the server.
    pub version: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_date: Option<String>,
    /// A seal migration is under way.
    pub migration: bool,
    /// Set once unsealed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_name: String,
    /// Set once unsealed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_id: String,
    /// An auto-unseal cluster: the shares are recovery shares.
    pub recovery_seal: bool,
    /// `raft`, `inmem`, ...
    #[serde(skip_serializing_if = "String::is_empty")]
    pub storage_type: String,
    /// RFC 3339.
    pub build_date: String,
    /// What is wrong with the seal, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `sys/leader`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Leader {
    /// Whether the storage can elect a leader.
    pub ha_enabled: bool,
    /// This node is active.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_self: bool,
    /// When it became active (RFC 3339); the year 1 stands for never.
    #[serde(skip_serializing_if = "is_never")]
    pub active_time: String,
    /// API address of the active node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub leader_address: String,
    /// Cluster address of the active node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub leader_cluster_address: String,
    /// This node serves reads as a standby.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub performance_standby: bool,
    /// Highest committed log index.
    #[serde(skip_serializing_if = "is_zero")]
    pub raft_committed_index: u64,
    /// Highest applied log index.
    #[serde(skip_serializing_if = "is_zero")]
    pub raft_applied_index: u64,
}

/// Whether a time is the one that stands for never.
pub fn is_never(time: &str) -> bool {
    time.is_empty() || time.starts_with("0001-")
}

/// What `sys/init` is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InitRequest {
    /// Unseal shares to make; 0 with an auto-unseal.
    pub secret_shares: i64,
    /// Unseal shares needed.
    pub secret_threshold: i64,
    /// PGP keys to encrypt the shares with.
    pub pgp_keys: Option<Vec<String>>,
    /// Recovery shares to make; 0 without an auto-unseal.
    pub recovery_shares: i64,
    /// Recovery shares needed.
    pub recovery_threshold: i64,
    /// PGP keys to encrypt the recovery shares with.
    pub recovery_pgp_keys: Option<Vec<String>>,
    /// PGP key to encrypt the root token with.
    pub root_token_pgp_key: String,
}

/// The answer of `sys/init`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InitResponse {
    /// Unseal shares in hex.
    pub keys: Vec<String>,
    /// Unseal shares in base64.
    pub keys_base64: Vec<String>,
    /// Recovery shares in hex.
    pub recovery_keys: Option<Vec<String>>,
    /// Recovery shares in base64.
    pub recovery_keys_base64: Option<Vec<String>>,
    /// The initial root token.
    pub root_token: String,
}

/// One server of `sys/storage/raft/configuration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RaftPeer {
    /// The operator's label.
    pub node_id: String,
    /// Cluster address without scheme.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it votes.
    pub voter: bool,
}

impl Client {
    /// Sends a reading request; `None` for a 404 that carries nothing.
    pub async fn logical(&self, request: ApiRequest) -> Result<Option<ApiSecret>, ClientError> {
        match self.send(request).await {
            Ok(response) => Ok(response.secret()),
            Err(ClientError::Api(error)) if error.response.status.as_u16() == 404 => Ok(error.secret()),
            Err(error) => Err(error),
        }
    }

    /// `sys/seal-status`.
    pub async fn seal_status(&self) -> Result<SealStatus, ClientError> {
        self.send(ApiRequest::get("sys/seal-status")).await?.parse()
    }

    /// `sys/leader`.
    pub async fn leader(&self) -> Result<Leader, ClientError> {
        self.send(ApiRequest::get("sys/leader")).await?.parse()
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
