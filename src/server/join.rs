//! Joins a cluster: asks all targets at once for a challenge until one gives it, and brings the answer as soon as there
//! are shares. A target may be an API or a cluster address.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{ApiRequest, Client, ClientConfig};
use crate::config::storage::{Pem, RetryJoin};
use crate::core::Core;
use crate::core::join::{JoinReply, cluster_port_of};
use crate::raft::join::{Answer, Challenge, Granted, decode, encode};
use crate::raft::transport::Kind;
use crate::runtime::Runtime;
use crate::telemetry::Seldom;

/// Between two rounds over the targets.
const PAUSE: Duration = Duration::from_millis(500);

/// Addresses that are asked for one target: its API's, its cluster port, and where the answers point.
const ADDRESSES_MAX: usize = 5;

/// How long one address of a target has to answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// How long a target has to give a challenge, by any of its addresses.
const TARGET_DEADLINE: Duration = Duration::from_secs(10);

/// How much later than the others a target is asked for each challenge of its that led to nothing.
const SETBACK: Duration = Duration::from_secs(1);

/// Of how many such challenges that counts.
const SETBACKS_MAX: u32 = 8;

/// Follows `retry_join` and what operators ask for until the node belongs to a cluster; from then on asks the targets
/// where everybody is whenever there is no leader, so that a cluster re-forms whose every address has changed.
pub(super) async fn follow(core: Core, runtime: Runtime, configured: Vec<RetryJoin>) {
    let told = Seldom::default();
    loop {
        let targets: Vec<RetryJoin> = configured.iter().cloned().chain(core.requested_targets()).collect();
        if core.is_out() {
            return;
        }
        if core.belongs() {
            if core.knows_no_leader() {
                let meeting: FuturesUnordered<_> = targets.iter().map(|target| introduce(&core, target)).collect();
                meeting.collect::<()>().await;
            }
        } else {
            if core.wants_challenge() {
                ask_all(&core, &runtime, &targets, &told).await;
            }
            bring_answer(&core, &runtime, &targets, &told).await;
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

/// Asks all targets and takes the first challenge. Whether it is any good shows only when there are shares: a target
/// whose challenge led to nothing comes after the others from then on, or a false one that is quick would keep this node
/// out for ever.
async fn ask_all(core: &Core, runtime: &Runtime, targets: &[RetryJoin], told: &Seldom) {
    let in_turn = async |target| {
        tokio::time::sleep(SETBACK * core.setbacks(&name(target)).min(SETBACKS_MAX)).await;
        (target, challenge_of(core, runtime, target).await)
    };
    let mut asked: FuturesUnordered<_> = targets.iter().map(in_turn).collect();
    while let Some((target, challenge)) = asked.next().await {
        match challenge {
            // An operator may have named a target meanwhile that was quicker.
            Ok(_) if !core.wants_challenge() => return,
            Ok(challenge) => return core.take_challenge(challenge, &name(target)),
            Err(error) if told.lets(&runtime.clock, &name(target)) => {
                tracing::warn!(at = name(target), error, "joining: this target does not let this node in (yet)");
            }
            Err(error) => tracing::debug!(at = name(target), error, "joining: this target did not help"),
        }
    }
}

/// Asks one target for an operator who waits.
pub(super) fn ask_one(core: Core, target: RetryJoin) -> BoxFuture<'static, Result<Challenge, String>> {
    Box::pin(async move {
        let runtime = core.runtime.clone();
        challenge_of(&core, &runtime, &target).await
    })
}

/// A target's challenge: by its API, or by its cluster port.
async fn challenge_of(core: &Core, runtime: &Runtime, target: &RetryJoin) -> Result<Challenge, String> {
    let asked = async {
        let request = core.challenge_request();
        let by_api = match Api::new(runtime, target).await {
            Ok(api) => api.post::<_, Challenge>("challenge", &request).await,
            Err(error) => Err(error),
        };
        match by_api {
            Ok(challenge) => Ok(challenge),
            Err(error) => match at_cluster_port(core, target, Kind::JoinChallenge, &request).await {
                Some(JoinReply::Challenge(challenge)) => Ok(*challenge),
                Some(JoinReply::Refused(reason)) => Err(reason),
                _ => Err(error),
            },
        }
    };
    tokio::time::timeout(TARGET_DEADLINE, asked).await.unwrap_or_else(|_| Err("no answer in time".into()))
}

/// Brings the answer, if there are shares, to the target that gave the challenge.
async fn bring_answer(core: &Core, runtime: &Runtime, targets: &[RetryJoin], told: &Seldom) {
    let Some(answer) = core.join_answer(None) else { return };
    let brought = async {
        let answer = answer.map_err(|error| error.to_string())?;
        let from = core.challenger();
        let target = targets.iter().find(|target| name(target) == from).ok_or("its target is not known any more")?;
        let granted = granted_by(core, runtime, target, &answer).await?;
        core.accept_grant(&granted).await.map_err(|error| error.to_string())
    };
    if let Err(error) = brought.await {
        // The challenge may have expired, or be another active node's: the next round begins with a new one.
        if told.lets(&runtime.clock, &format!("answer {}", core.challenger())) {
            tracing::warn!(at = core.challenger(), error, "joining: not granted; a new challenge is asked for");
        }
        core.drop_challenge();
    }
}

async fn granted_by(core: &Core, runtime: &Runtime, target: &RetryJoin, answer: &Answer) -> Result<Granted, String> {
    let by_api = match Api::new(runtime, target).await {
        Ok(api) => api.post::<_, Granted>("answer", answer).await,
        Err(error) => Err(error),
    };
    match by_api {
        Ok(granted) => Ok(granted),
        Err(error) => match at_cluster_port(core, target, Kind::JoinAnswer, answer).await {
            Some(JoinReply::Granted(granted)) => Ok(*granted),
            Some(JoinReply::Refused(reason)) => Err(reason),
            _ => Err(error),
        },
    }
}

/// A target's address, which names it.
fn name(target: &RetryJoin) -> String {
    target.leader_api_addr.to_string()
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
        // Read here, so that a file that is missing is named as the reason even if nobody is at the target.
        if let Some(ca) = &target.ca_cert {
            config.tls.ca_cert_bytes = Some(pem(runtime, ca).await?);
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
