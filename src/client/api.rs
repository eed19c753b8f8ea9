//! Typed helpers for the parts of the API that tools and workloads use most.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{ApiRequest, ApiResponse, ApiSecret, Client, ClientError};

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

/// What a KV v2 write reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct KvVersion {
    /// RFC 3339.
    pub created_time: String,
    /// RFC 3339, or empty.
    pub deletion_time: String,
    /// Whether its data is gone for good.
    pub destroyed: bool,
    /// From 1.
    pub version: u64,
}

/// What a KV v2 read gives.
#[derive(Clone, Debug, PartialEq)]
pub struct KvRead {
    /// `None` for a deleted or destroyed version.
    pub data: Option<Map<String, Value>>,
    /// The version that was read.
    pub version: KvVersion,
}

impl Client {
    /// Reads a path; `None` for 404 without data.
    pub async fn read(&self, path: &str, query: Vec<(String, String)>) -> Result<Option<ApiSecret>, ClientError> {
        self.logical(ApiRequest { query, ..ApiRequest::get(path) }).await
    }

    /// Lists a path; `None` for 404.
    pub async fn list(&self, path: &str) -> Result<Option<ApiSecret>, ClientError> {
        self.logical(ApiRequest::list(path)).await
    }

    /// Writes a path; `None` for an empty answer.
    pub async fn write(&self, path: &str, body: Value) -> Result<Option<ApiSecret>, ClientError> {
        Ok(self.send(ApiRequest::put(path, body)).await?.secret())
    }

    /// Sends a reading request; `None` for a 404 that carries nothing.
    pub async fn logical(&self, request: ApiRequest) -> Result<Option<ApiSecret>, ClientError> {
        match self.send(request).await {
            Ok(response) => Ok(response.secret()),
            Err(ClientError::Api(error)) if error.response.status.as_u16() == 404 => Ok(error.secret()),
            Err(error) => Err(error),
        }
    }

    /// `sys/health` by GET: the status code and the body, whatever they say.
    pub async fn health(&self) -> Result<ApiResponse, ClientError> {
        self.send_any(ApiRequest::get("sys/health").once()).await
    }

    /// `sys/seal-status`.
    pub async fn seal_status(&self) -> Result<SealStatus, ClientError> {
        self.send(ApiRequest::get("sys/seal-status")).await?.parse()
    }

    /// `sys/leader`.
    pub async fn leader(&self) -> Result<Leader, ClientError> {
        self.send(ApiRequest::get("sys/leader")).await?.parse()
    }

    /// Whether the cluster is initialised.
    pub async fn init_status(&self) -> Result<bool, ClientError> {
        let body: Value = self.send(ApiRequest::get("sys/init")).await?.parse()?;
        Ok(body["initialized"].as_bool().unwrap_or(false))
    }

    /// Initialises the cluster.
    pub async fn init(&self, request: &InitRequest) -> Result<InitResponse, ClientError> {
        let body = serde_json::to_value(request).map_err(|error| ClientError::Body(error.to_string()))?;
        self.send(ApiRequest::put("sys/init", body)).await?.parse()
    }

    /// Gives one unseal share.
    pub async fn unseal(&self, share: &str, migrate: bool) -> Result<SealStatus, ClientError> {
        let body = json!({ "key": share, "reset": false, "migrate": migrate });
        self.send(ApiRequest::put("sys/unseal", body)).await?.parse()
    }

    /// Discards the unseal shares given so far.
    pub async fn unseal_reset(&self) -> Result<SealStatus, ClientError> {
        self.send(ApiRequest::put("sys/unseal", json!({ "reset": true }))).await?.parse()
    }

    /// Seals: the whole cluster, or this node only.
    pub async fn seal(&self, node_only: bool) -> Result<(), ClientError> {
        let request = ApiRequest::new(http::Method::PUT, "sys/seal");
        self.send(if node_only { request.query("scope", "node") } else { request }).await.map(drop)
    }

    /// Makes the active node step down.
    pub async fn step_down(&self) -> Result<(), ClientError> {
        self.send(ApiRequest::new(http::Method::PUT, "sys/step-down")).await.map(drop)
    }

    /// The servers of the Raft configuration; empty if there is none.
    pub async fn list_peers(&self) -> Result<Vec<RaftPeer>, ClientError> {
        let secret = self.read("sys/storage/raft/configuration", Vec::new()).await?;
        let servers = secret.and_then(|secret| Some(secret.get("config")?.get("servers")?.clone()));
        match servers {
            Some(servers) => serde_json::from_value(servers).map_err(|error| ClientError::Body(error.to_string())),
            None => Ok(Vec::new()),
        }
    }

    /// Removes a peer by its label.
    pub async fn remove_peer(&self, node_id: &str) -> Result<(), ClientError> {
        let body = json!({ "server_id": node_id });
        self.send(ApiRequest::put("sys/storage/raft/remove-peer", body)).await.map(drop)
    }

    /// Writes a new version of a KV v2 secret, if `cas` is the current version (0: there is none; `None`: whatever).
    pub async fn kv_put(
        &self,
        mount: &str,
        path: &str,
        data: Map<String, Value>,
        cas: Option<u64>,
    ) -> Result<KvVersion, ClientError> {
        let options = cas.map_or_else(|| json!({}), |cas| json!({ "cas": cas }));
        let body = json!({ "data": data, "options": options });
        let secret = self.write(&format!("{mount}/data/{path}"), body).await?;
        version(secret.and_then(|secret| secret.data).map(Value::Object))
    }

    /// Reads a version of a KV v2 secret (`None`: the newest); `None` if there is no such version.
    pub async fn kv_get(&self, mount: &str, path: &str, wanted: Option<u64>) -> Result<Option<KvRead>, ClientError> {
        let query = wanted.map(|version| ("version".to_string(), version.to_string())).into_iter().collect();
        let Some(secret) = self.read(&format!("{mount}/data/{path}"), query).await? else {
            return Ok(None);
        };
        let data = secret.get("data").and_then(Value::as_object).cloned();
        Ok(Some(KvRead { data, version: version(secret.get("metadata").cloned())? }))
    }

    /// Deletes the newest version of a KV v2 secret.
    pub async fn kv_delete(&self, mount: &str, path: &str) -> Result<(), ClientError> {
        self.send(ApiRequest::delete(format!("{mount}/data/{path}"))).await.map(drop)
    }

    /// Names below a path of a KV v2 mount, sorted by the server; empty if there are none.
    pub async fn kv_list(&self, mount: &str, path: &str) -> Result<Vec<String>, ClientError> {
        let secret = self.list(&format!("{mount}/metadata/{path}")).await?;
        let keys = secret.and_then(|secret| secret.get("keys").and_then(Value::as_array).cloned()).unwrap_or_default();
        Ok(keys.iter().filter_map(Value::as_str).map(str::to_string).collect())
    }

    /// Enables a secrets engine at `path`.
    pub async fn mount(&self, path: &str, kind: &str, options: Value) -> Result<(), ClientError> {
        let body = json!({ "type": kind, "options": options });
        self.send(ApiRequest::post(format!("sys/mounts/{path}"), body)).await.map(drop)
    }

    /// Writes a policy in HCL or JSON.
    pub async fn policy_put(&self, name: &str, policy: &str) -> Result<(), ClientError> {
        self.send(ApiRequest::put(format!("sys/policies/acl/{name}"), json!({ "policy": policy }))).await.map(drop)
    }

    /// Creates a token with the given parameters of `auth/token/create`.
    pub async fn token_create(&self, parameters: Value) -> Result<ApiSecret, ClientError> {
        let response = self.send(ApiRequest::post("auth/token/create", parameters)).await?;
        response.secret().ok_or_else(|| ClientError::Body("no token in the answer".to_string()))
    }
}

fn version(value: Option<Value>) -> Result<KvVersion, ClientError> {
    let value = value.ok_or_else(|| ClientError::Body("no version metadata in the answer".to_string()))?;
    serde_json::from_value(value).map_err(|error| ClientError::Body(error.to_string()))
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
