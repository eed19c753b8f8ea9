//! Joins a cluster: asks the targets for a challenge until one gives it, and brings the answer as soon as there are
//! shares. A target may be an API or a cluster address.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{ApiRequest, Client, ClientConfig};
use crate::config::storage::{Pem, RetryJoin};
use crate::core::Core;
use crate::core::join::{JoinReply, cluster_port_of};
use crate::raft::join::{Challenge, Granted, decode, encode};
use crate::raft::transport::Kind;
use crate::runtime::Runtime;

/// Between two rounds over the targets.
const PAUSE: Duration = Duration::from_millis(500);

/// Addresses that are asked for one target: its API's, its cluster port, and where the answers point.
const ADDRESSES_MAX: usize = 5;

/// How long one target has to answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// Follows `retry_join` and what operators ask for until the node belongs to a cluster; from then on asks the targets
/// where everybody is whenever there is no leader, so that a cluster re-forms whose every address has changed.
pub(super) async fn follow(core: Core, runtime: Runtime, configured: Vec<RetryJoin>) {
    loop {
        let targets: Vec<RetryJoin> = configured.iter().cloned().chain(core.requested_targets()).collect();
        for target in &targets {
            if core.belongs() {
                if core.knows_no_leader() {
                    introduce(&core, target).await;
                }
            } else if let Err(error) = step(&core, &runtime, target).await {
                tracing::debug!(target = %target.leader_api_addr, error, "joining: this target did not help");
            }
        }
        let _ = tokio::time::timeout(PAUSE, core.shares_came()).await;
    }
}

/// Meets whoever is at the target's cluster port and learns the addresses that it knows.
async fn introduce(core: &Core, target: &RetryJoin) {
    let at = &target.leader_api_addr.at;
    for address in cluster_port_of(at).into_iter().chain([at.to_string()]) {
        if core.introduce(&address).await {
            return;
        }
    }
}

/// The next step at one target: a challenge if there is none, else the answer if there are shares.
async fn step(core: &Core, runtime: &Runtime, target: &RetryJoin) -> Result<(), String> {
    let by_api = Api::new(runtime, target).await;
    if core.wants_challenge() {
        let request = core.challenge_request();
        let by_api = match by_api {
            Ok(api) => api.post::<_, Challenge>("challenge", &request).await,
            Err(error) => Err(error),
        };
        let challenge = match by_api {
            Ok(challenge) => challenge,
            Err(error) => match at_cluster_port(core, target, Kind::JoinChallenge, &request).await {
                Some(JoinReply::Challenge(challenge)) => *challenge,
                _ => return Err(error),
            },
        };
        core.take_challenge(challenge);
    }
    bring_answer(core, runtime, target).await
}

async fn bring_answer(core: &Core, runtime: &Runtime, target: &RetryJoin) -> Result<(), String> {
    let Some(answer) = core.join_answer(None) else { return Ok(()) };
    let answer = answer.map_err(|error| refused(core, &error.to_string()))?;
    let by_api = match Api::new(runtime, target).await {
        Ok(api) => api.post::<_, Granted>("answer", &answer).await,
        Err(error) => Err(error),
    };
    let granted = match by_api {
        Ok(granted) => granted,
        Err(error) => match at_cluster_port(core, target, Kind::JoinAnswer, &answer).await {
            Some(JoinReply::Granted(granted)) => *granted,
            // The challenge may have expired, or be another active node's: the next round begins with a new one.
            _ => return Err(refused(core, &error)),
        },
    };
    core.accept_grant(&granted).await.map_err(|error| refused(core, &error.to_string()))
}

fn refused(core: &Core, error: &str) -> String {
    tracing::warn!(error, "joining: not granted; a new challenge is asked for");
    core.drop_challenge();
    error.to_string()
}

/// Asks at the target's own port and at the one after it, and once more where the reply points.
async fn at_cluster_port(
    core: &Core,
    target: &RetryJoin,
    kind: Kind,
    message: &(impl Serialize + Clone),
) -> Option<JoinReply> {
    let at = &target.leader_api_addr.at;
    let mut addresses = vec![at.to_string()];
    addresses.extend(cluster_port_of(at));
    // Whoever is at the target may point at anybody: that is followed a few times, not for ever.
    for _ in 0..ADDRESSES_MAX {
        let Some(address) = addresses.pop() else { break };
        match core.join_call(&address, kind, encode(message), DEADLINE).await {
            Ok(bytes) => match decode(&bytes) {
                Ok(JoinReply::Elsewhere(active)) if !active.is_empty() && active != address => addresses.push(active),
                Ok(JoinReply::Elsewhere(_)) | Err(_) => {}
                Ok(reply) => return Some(reply),
            },
            Err(error) => tracing::debug!(address, error, "joining: not by this cluster address"),
        }
    }
    None
}

/// The target's API.
struct Api(Client);

impl Api {
    async fn new(runtime: &Runtime, target: &RetryJoin) -> Result<Api, String> {
        let mut config = ClientConfig::at(target.leader_api_addr.to_string());
        config.timeout = DEADLINE;
        config.max_retries = 0;
        // Who is asked to let this node join does not choose where else it sends requests.
        config.disable_redirects = true;
        match &target.ca_cert {
            Some(Pem::File(path)) => config.tls.ca_cert = Some(path.clone()),
            Some(Pem::Inline(text)) => config.tls.ca_cert_bytes = Some(text.clone().into_bytes()),
            None => {}
        }
        if let Some((certificate, key)) = &target.client {
            config.tls.client_pem = Some((pem(runtime, certificate).await?, pem(runtime, key).await?));
        }
        config.tls.server_name = target.tls_servername.clone();
        Ok(Api(Client::new(runtime.clone(), config)))
    }

    async fn post<Q: Serialize, A: DeserializeOwned>(&self, what: &str, message: &Q) -> Result<A, String> {
        let path = format!("sys/storage/raft/bootstrap/{what}");
        let body = serde_json::to_value(message).map_err(|error| error.to_string())?;
        let answer = self.0.send(ApiRequest::put(path, body).anonymous()).await.map_err(|error| error.to_string())?;
        answer.parse().map_err(|error| error.to_string())
    }
}

async fn pem(runtime: &Runtime, pem: &Pem) -> Result<Vec<u8>, String> {
    match pem {
        Pem::Inline(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => {
            let bytes = runtime.disk.read(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(bytes.to_vec())
        }
    }
}
