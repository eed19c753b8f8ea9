//! Joining: the active node grants, a new node proves that it can open the seal (cluster-protocol, section 3). The
//! exchange itself is [`crate::raft::join`]; who carries it is the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sealing::{Secrets, bare};
use super::{Core, Error, Request, Response, Result, Unsealed};
use crate::config::HostPort;
use crate::config::storage::RetryJoin;
use crate::raft::command::Body;
use crate::raft::grant::PublicKey;
use crate::raft::identity::Cluster;
use crate::raft::join::{Answer, Challenge, ChallengeRequest, Granted, Granter, SealAccess, granter, joiner};
use crate::raft::transport::Kind;
use crate::raft::types::{Incarnation, Member};
use crate::runtime::Entropy;
use crate::seal::{ChallengeKey, ClusterKey, SealKey};
use crate::storage::plain;
use crate::storage::schema::Kind as Record;

/// How long a challenge can be answered: shares may take hours to come.
const CHALLENGE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A learner this many entries behind is made a voter.
const CAUGHT_UP: u64 = 16;

/// What joining has come to, on the joiner's side.
#[derive(Default)]
pub(crate) struct Joining {
    challenge: Option<Challenge>,
    /// The target that gave the challenge.
    challenger: String,
    opened: Option<joiner::Opened>,
    /// Targets that were asked for by `sys/storage/raft/join`.
    pub(super) requested: Vec<RetryJoin>,
    /// The configuration names targets.
    pub(super) expected: bool,
    /// How many challenges of a target have led to nothing.
    setbacks: BTreeMap<String, u32>,
}

/// What a member answers a joiner on the cluster port.
#[derive(Debug, Serialize, Deserialize)]
pub enum JoinReply {
    /// A challenge to answer.
    Challenge(Box<Challenge>),
    /// The node is granted.
    Granted(Box<Granted>),
    /// Not here: the active node's cluster address.
    Elsewhere(String),
    /// No.
    Refused(String),
}

/// The seal as the exchange needs it.
struct Access<'a>(ChallengeKey, &'a Entropy);

impl SealAccess for Access<'_> {
    fn seal(&self, plain: &[u8]) -> Vec<u8> {
        match plain.try_into() {
            Ok(bytes) => self.0.seal(bytes, self.1),
            Err(_) => Vec::new(),
        }
    }

    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.open(sealed).ok().map(|key| key.danger_expose().to_vec())
    }
}

// ---- the active node ----

impl Core {
    /// Makes a challenge for a node that wants to join.
    ///
    /// # Errors
    /// [`Error::Standby`] if this node is not the active one.
    pub async fn challenge(&self, _request: &ChallengeRequest) -> Result<Challenge> {
        let unsealed = self.unsealed_and_active().await?;
        let seal_config: Option<plain::SealConfig> = self.plain(Record::SealConfig).await?;
        let seal_config = seal_config.ok_or_else(|| Error::Internal("the seal's record is missing".into()))?;
        if seal_config.check_key != unsealed.secrets.check_key {
            return Err(Error::Unavailable("the unseal shares are being replaced: ask again".into()));
        }
        // Whoever asks gets this answer, and a joiner gets the wrapped key with the log.
        let seal_config = plain::SealConfig { wrapped_root_key: bytes::Bytes::new(), ..seal_config };
        let secrets = &unsealed.secrets;
        let entropy = &self.runtime.entropy;
        let challenge_key = ChallengeKey::from_slice(secrets.challenge_key.danger_expose())
            .ok_or_else(|| Error::Internal("the challenge key is malformed".into()))?;
        let identity = self.raft.identity();
        let granter = Granter {
            incarnation: identity.incarnation(),
            label: identity.label(),
            public_key: identity.public_key(),
            cluster_address: self.raft.transport().advertised(),
            api_address: self.settings.api_addr.clone(),
        };
        let (now, init) = (self.runtime.clock.now(), secrets.cluster.clone());
        let access = Access(challenge_key, entropy);
        let cookie_key = &secrets.cookie_key;
        Ok(granter::challenge(&access, cookie_key, entropy, now, CHALLENGE_LIFETIME, seal_config, init, granter))
    }

    /// Grants a node that has answered its challenge, and makes it a learner; the active node promotes it when it has
    /// caught up.
    ///
    /// # Errors
    /// [`Error::Standby`] if this node is not the active one; 400 for what the joiner does not prove.
    pub async fn grant(&self, answer: &Answer) -> Result<Granted> {
        let unsealed = self.unsealed_and_active().await?;
        let granted = self.check_answer(&unsealed.secrets, answer)?;
        if !granted.members.contains_key(&answer.incarnation) {
            let (label, address) = (answer.label.clone(), answer.cluster_address.clone());
            self.raft.add_learner(answer.incarnation, Member { label, address, public_key: answer.public_key }).await?;
            tracing::info!(node = answer.label, "a node was granted and is a learner now");
        }
        Ok(granted)
    }

    fn check_answer(&self, secrets: &Secrets, answer: &Answer) -> Result<Granted> {
        let transport = self.raft.transport();
        let members = self.raft.member_map();
        let mut addresses = transport.address_book().cards();
        addresses.extend(transport.card());
        let peers = transport.peers();
        let context = granter::Context {
            cookie_key: &secrets.cookie_key,
            cluster_id: &secrets.cluster.cluster_id,
            cluster_key: secrets.cluster_key.signing_key(),
            cluster_keys: &secrets.cluster.cluster_keys,
            public_key: self.raft.identity().public_key(),
            now: self.runtime.clock.now(),
            members: &members,
            addresses,
            connected: &|id| {
                // This node is about, although it has no connection to itself.
                if id == self.raft.identity().incarnation() {
                    return Some(transport.advertised());
                }
                let peer = peers.iter().find(|peer| peer.incarnation == id && peer.connected)?;
                Some(peer.address.clone().unwrap_or_default())
            },
            removed: &|id| self.is_removed(id).is_some(),
        };
        granter::grant(context, answer).map_err(|error| Error::invalid(error.to_string()))
    }

    /// Makes learners voters that have caught up, in place of those of the same label; one step of the active node's
    /// background work.
    pub(crate) async fn promote_learners(&self, unsealed: &Unsealed) -> Result<bool> {
        let members = self.raft.members();
        let Some(learner) = members
            .iter()
            .find(|member| !member.voter && self.raft.lag(member.incarnation).is_some_and(|lag| lag <= CAUGHT_UP))
        else {
            return Ok(false);
        };
        let replaced: Vec<_> = members
            .iter()
            .filter(|other| other.label == learner.label && other.incarnation != learner.incarnation)
            .collect();
        for old in &replaced {
            self.mark_removal(unsealed, old, true).await?;
        }
        let ids: BTreeSet<Incarnation> = replaced.iter().map(|old| old.incarnation).collect();
        self.raft.promote(learner.incarnation, ids).await?;
        tracing::info!(node = learner.label, replaced = replaced.len(), "a learner has caught up and is a voter now");
        Ok(true)
    }

    /// `sys/storage/raft/bootstrap/challenge`.
    pub(crate) async fn bootstrap_challenge(&self, request: &Request) -> Result<Response> {
        let challenge = self.challenge(&read(request)?).await?;
        Ok(bare(serde_json::to_value(challenge).map_err(|error| Error::Internal(error.to_string()))?))
    }

    /// `sys/storage/raft/bootstrap/answer`.
    pub(crate) async fn bootstrap_answer(&self, request: &Request) -> Result<Response> {
        let granted = self.grant(&read(request)?).await?;
        Ok(bare(serde_json::to_value(granted).map_err(|error| Error::Internal(error.to_string()))?))
    }
}

fn read<T: DeserializeOwned>(request: &Request) -> Result<T> {
    serde_json::from_value(Value::Object(request.data.clone())).map_err(|error| Error::invalid(error.to_string()))
}

// ---- the joiner ----

impl Core {
    /// Whether this node belongs to a cluster, or founds one.
    pub fn belongs(&self) -> bool {
        self.raft.identity().cluster().is_some() || self.raft.has_members()
    }

    /// Whether nobody is known to lead, or the leader is out of reach.
    pub fn knows_no_leader(&self) -> bool {
        !self.raft.has_leader()
    }

    /// Meets the member at a cluster address, if one is there.
    pub async fn introduce(&self, address: &str) -> bool {
        self.raft.transport().introduce(address).await.is_ok()
    }

    /// What a node that joins asks with.
    pub fn challenge_request(&self) -> ChallengeRequest {
        let identity = self.raft.identity();
        ChallengeRequest { label: identity.label(), incarnation: identity.incarnation() }
    }

    /// Whether a challenge is still to be had.
    pub fn wants_challenge(&self) -> bool {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner).challenge.is_none()
    }

    /// Keeps a challenge of the target `from` until shares come.
    pub fn take_challenge(&self, challenge: Challenge, from: &str) {
        tracing::info!(from, cluster = challenge.init.cluster_name, "joining: unseal with the cluster's shares");
        let mut joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        (joining.challenge, joining.opened) = (Some(challenge), None);
        joining.challenger = from.to_string();
    }

    /// The target that gave the present challenge, or the last one.
    pub fn challenger(&self) -> String {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner).challenger.clone()
    }

    /// How many challenges of a target have led to nothing.
    pub fn setbacks(&self, target: &str) -> u32 {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner).setbacks.get(target).copied().unwrap_or(0)
    }

    /// Drops the challenge, which led to nothing: another one is needed.
    pub fn drop_challenge(&self) {
        let mut joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        if joining.challenge.take().is_some() {
            let from = joining.challenger.clone();
            *joining.setbacks.entry(from).or_insert(0) += 1;
        }
        joining.opened = None;
    }

    /// The answer to the challenge, for the node with this key (that of the challenge's granter if `None`), once the
    /// shares are there.
    pub fn join_answer(&self, granter_key: Option<PublicKey>) -> Option<Result<Answer>> {
        let key = self.held_seal_key()?;
        let mut joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        let challenge = joining.challenge.as_ref()?;
        let identity = self.raft.identity();
        let me = joiner::Joiner {
            incarnation: identity.incarnation(),
            public_key: identity.public_key(),
            label: identity.label(),
            cluster_address: self.raft.transport().advertised(),
        };
        let access = Access(key.challenge_key(), &self.runtime.entropy);
        let granter_key = granter_key.unwrap_or(challenge.granter.public_key);
        Some(match joiner::answer(challenge, &access, &me, granter_key) {
            Ok((answer, opened)) => {
                joining.opened = Some(opened);
                Ok(answer)
            }
            Err(error) => Err(Error::invalid(error.to_string())),
        })
    }

    /// Believes a grant if only a node that can open the seal can have made it, and makes it durable.
    ///
    /// # Errors
    /// If it does not prove that, or the disk fails.
    pub async fn accept_grant(&self, granted: &Granted) -> Result<()> {
        let cluster = {
            let joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
            let opened = joining.opened.as_ref().ok_or_else(|| Error::invalid("nothing was asked for"))?;
            joiner::accept(opened, granted).map_err(|error| Error::invalid(error.to_string()))?
        };
        let transport = self.raft.transport();
        for card in &granted.addresses {
            transport.address_book().learn(card, &cluster);
        }
        self.raft.identity().enter(cluster).await.map_err(|error| Error::Internal(error.to_string()))?;
        crate::runtime::point::die_at("granted");
        transport.set_members(granted.members.clone());
        let mut joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        (joining.challenge, joining.opened) = (None, None);
        drop(joining);
        tracing::info!("joined: this node was granted and waits for the log");
        Ok(())
    }

    /// How the seal of the cluster that this node joins is opened.
    pub(crate) fn joining_seal_config(&self) -> Option<plain::SealConfig> {
        let joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        joining.challenge.as_ref().map(|challenge| challenge.seal_config.clone())
    }

    /// Turns the shares into the seal key that answers the challenge; whether the node has been admitted and has the
    /// cluster's records (never at once: the server carries the answer).
    pub(crate) async fn join_with_shares(&self) -> Result<bool> {
        if self.held_seal_key().is_some() {
            return Ok(false);
        }
        let Some(config) = self.joining_seal_config() else { return Ok(false) };
        // Shares that do not fit: the challenge may be wrong, or older than the seal; another one is asked for.
        let resolved = self.with_progress(|progress| progress.resolve(&config)).inspect_err(|_| self.drop_challenge());
        if let Some(key) = resolved? {
            self.hold_seal_key(Arc::new(key));
            self.shares.notify_one();
        }
        Ok(false)
    }

    /// Waits until shares have made an answer to the challenge possible.
    pub async fn shares_came(&self) {
        self.shares.notified().await;
    }

    pub(crate) fn held_seal_key(&self) -> Option<Arc<SealKey>> {
        self.held_seal_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn hold_seal_key(&self, key: Arc<SealKey>) {
        *self.held_seal_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    pub(crate) fn drop_held_seal_key(&self) {
        *self.held_seal_key.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Enters the cluster that this node founded, by a grant of its own making.
    pub(crate) async fn enter_own_cluster(&self, record: &plain::Init, key: &ClusterKey) -> Result<()> {
        let identity = self.raft.identity();
        let grant = crate::raft::grant::Grant::sign(
            key.signing_key(),
            &record.cluster_id,
            identity.incarnation(),
            identity.public_key(),
            &identity.label(),
        );
        let cluster = Cluster { id: record.cluster_id.clone(), keys: record.cluster_keys.clone(), grant };
        identity.enter(cluster).await.map_err(|error| Error::Internal(error.to_string()))
    }
}

// ---- the cluster port ----

impl Core {
    /// What other members, and joiners, ask the core for.
    pub fn serve_cluster_port(&self) {
        let transport = self.raft.transport();
        let core = self.clone();
        transport.register(
            Kind::Status,
            Arc::new(move |_, _| {
                let address = core.settings.api_addr.clone();
                Box::pin(async move { Ok(bytes::Bytes::from(address)) })
            }),
        );
        let core = self.clone();
        transport.register(
            Kind::Propose,
            Arc::new(move |_, bytes| {
                let core = core.clone();
                Box::pin(async move { core.serve_propose(&bytes).await })
            }),
        );
        for kind in [Kind::JoinChallenge, Kind::JoinAnswer] {
            let core = self.clone();
            transport.register(
                kind,
                Arc::new(move |peer, bytes| {
                    let core = core.clone();
                    Box::pin(async move {
                        let reply = core.serve_join(kind, peer.public_key, &bytes).await?;
                        Ok(crate::raft::join::encode(&reply))
                    })
                }),
            );
        }
        let core = self.clone();
        transport.on_removed(Arc::new(move |incarnation| core.is_removed(incarnation)));
    }

    async fn serve_join(&self, kind: Kind, key: PublicKey, bytes: &[u8]) -> Result<JoinReply, String> {
        let outcome = match kind {
            Kind::JoinChallenge => {
                let request = crate::raft::join::decode(bytes)?;
                self.challenge(&request).await.map(|challenge| JoinReply::Challenge(Box::new(challenge)))
            }
            _ => {
                let answer: Answer = crate::raft::join::decode(bytes)?;
                if answer.public_key != key {
                    return Ok(JoinReply::Refused("the answer is for another key than the connection's".into()));
                }
                self.grant(&answer).await.map(|granted| JoinReply::Granted(Box::new(granted)))
            }
        };
        Ok(match outcome {
            Ok(reply) => reply,
            Err(Error::Standby) => {
                let members = self.raft.members();
                let leader = members.iter().find(|member| member.leader);
                JoinReply::Elsewhere(leader.map_or_else(String::new, |leader| leader.address.clone()))
            }
            Err(error) => JoinReply::Refused(error.to_string()),
        })
    }

    /// A seal or its lifting, handed over by a member: the leader proposes it whether it is unsealed or not.
    async fn serve_propose(&self, bytes: &[u8]) -> Result<bytes::Bytes, String> {
        let body = crate::raft::command::Command(bytes::Bytes::copy_from_slice(bytes)).decode();
        let body = body.map_err(|error| error.to_string())?;
        match body {
            Body::Seal { .. } | Body::Unseal { .. } => {}
            _ => return Err("only a seal or its lifting may be handed over".into()),
        }
        self.propose(body).await.map_err(|error| error.to_string())?;
        Ok(bytes::Bytes::new())
    }

    /// Proposes a seal or its lifting, here or at the leader.
    pub(crate) async fn propose_at_leader(&self, body: Body) -> Result<()> {
        let encoded = crate::raft::command::Command::encode(&body);
        match self.propose(body).await {
            Err(Error::Standby) => {}
            outcome => return outcome.map(drop),
        }
        let own = self.raft.identity().incarnation();
        let leader = self.raft.leader().filter(|leader| *leader != own).ok_or(Error::Standby)?;
        let handed = self.raft.transport().call(leader, Kind::Propose, encoded.0, Duration::from_secs(5)).await;
        handed.map(drop).map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// Asks at a cluster port, as a node that wants to join.
    ///
    /// # Errors
    /// If nobody answers there.
    pub async fn join_call(
        &self,
        address: &str,
        kind: Kind,
        message: bytes::Bytes,
        deadline: Duration,
    ) -> Result<bytes::Bytes, String> {
        let reply = self.raft.transport().join_call(address, kind, message, deadline).await;
        reply.map(|reply| reply.body).map_err(|error| error.to_string())
    }
}

/// The default port of a target's cluster listener: the one after its API port.
pub fn cluster_port_of(target: &HostPort) -> Option<String> {
    target.next_port().map(|at| at.to_string())
}
