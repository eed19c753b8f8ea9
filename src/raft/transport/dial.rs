//! Dialling: a stream, TLS, the hello and its answer, all within one deadline.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::admission::{self, Answer, Hello, Introduction, MAX_HELLO, PROTOCOL};
use super::frame;
use super::kind::Kind;
use super::mux::{CallError, Mux};
use super::peers::Event;
use super::{PeerInfo, Purpose, Transport};
use crate::raft::address_book::PeerCard;
use crate::raft::grant::PublicKey;
use crate::raft::types::Incarnation;
use crate::runtime::Stream;

/// Why a peer was not reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No address or no key of it is known.
    #[error("not known here")]
    Unknown,
    /// No connection, no TLS, no hello, or not in time.
    #[error("{address}: {reason}")]
    Unreachable {
        /// What was dialled.
        address: String,
        /// Why.
        reason: String,
    },
    /// Whoever is there holds another key than the one dialled for.
    #[error("{0}: another node is there")]
    WrongKey(String),
    /// The peer asks to try later.
    #[error("{0}")]
    Retry(String),
    /// The peer does not admit this node as it is.
    #[error("refused: {0}")]
    Refused(String),
    /// This node was removed from the cluster (with proof), or the peer was.
    #[error("removed from the cluster")]
    Removed,
}

/// The answer to a joiner's request, and the key of who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReply {
    /// The answer.
    pub body: Bytes,
    /// The key that TLS has proved: the granter's, unless the answer was relayed.
    pub public_key: PublicKey,
}

struct Admitted {
    stream: Stream,
    input: BytesMut,
    key: PublicKey,
    theirs: Introduction,
    told: admission::FitnessReport,
}

impl Transport {
    /// Dials `address`, whoever is there, as a member, and learns what it knows: how a cluster whose every address has
    /// changed forms again.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn introduce(&self, address: &str) -> Result<PeerCard, DialError> {
        let admitted = self.hello(address, Purpose::Member, None).await?;
        let card = admitted.theirs.card.clone().ok_or(DialError::Unknown)?;
        let mux = self.open(admitted, &card.grant.label, Purpose::Member);
        if !self.link(card.grant.incarnation).adopt(&mux) {
            mux.close();
        }
        Ok(card)
    }

    /// Sends one request to `address` as a node that is no member yet. Nothing is known of who is there but the key.
    ///
    /// # Errors
    /// Not sent if the dial failed; else as for [`call`](Transport::call).
    pub async fn join_call(
        &self,
        address: &str,
        kind: Kind,
        body: Bytes,
        deadline: Duration,
    ) -> Result<JoinReply, CallError> {
        let until = tokio::time::Instant::now() + deadline;
        let admitted = tokio::time::timeout(deadline, self.hello(address, Purpose::Join, None)).await;
        let admitted = admitted.map_err(|_| CallError::NotSent(format!("{address}: not reached in time")))?;
        let admitted = admitted.map_err(|error| CallError::NotSent(error.to_string()))?;
        let public_key = admitted.key;
        let mux = self.open(admitted, "", Purpose::Join);
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let result = mux.call(kind, body, left).await;
        mux.close();
        result.map(|body| JoinReply { body, public_key })
    }

    /// Dials a member. Each attempt takes the next of the addresses that are known of it.
    pub(super) async fn dial(&self, peer: Incarnation, attempt: u32) -> Result<Mux, DialError> {
        if self.removed(peer).is_some() {
            return Err(DialError::Removed);
        }
        let card = self.0.book.card(peer);
        let member = self.facts().members.get(&peer).cloned();
        let key = member.as_ref().map(|member| member.public_key);
        let key = key.or_else(|| card.as_ref().map(|card| card.grant.public_key)).ok_or(DialError::Unknown)?;
        let mut addresses: Vec<String> = card.map(|card| card.record.address).into_iter().collect();
        addresses.extend(member.map(|member| member.address).filter(|hint| !addresses.contains(hint)));
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let address = addresses.get((attempt % count.max(1)) as usize).ok_or(DialError::Unknown)?;
        let admitted = self.hello(address, Purpose::Member, Some((peer, key))).await?;
        let label = admitted.theirs.card.as_ref().map(|card| card.grant.label.clone()).unwrap_or_default();
        let mux = self.open(admitted, &label, Purpose::Member);
        if self.removed(peer).is_some() {
            mux.close();
            return Err(DialError::Removed);
        }
        Ok(mux)
    }

    async fn hello(
        &self,
        address: &str,
        purpose: Purpose,
        expected: Option<(Incarnation, PublicKey)>,
    ) -> Result<Admitted, DialError> {
        let unreachable = |reason: String| DialError::Unreachable { address: address.to_string(), reason };
        let introduction = self.introduction(purpose);
        let told = introduction.fitness;
        let exchange = async {
            let stream = self.0.runtime.net.connect(address).await.map_err(|error| unreachable(error.to_string()))?;
            let (mut stream, key) = self.0.tls.connect(stream).await.map_err(|error| unreachable(error.to_string()))?;
            if expected.is_some_and(|(_, expected)| expected != key) {
                return Err(DialError::WrongKey(address.to_string()));
            }
            let label = self.0.identity.label();
            let hello = admission::encode(&Hello { protocol: PROTOCOL, purpose, label, introduction });
            self.trace("send", "Hello", address, &hello);
            frame::write(&mut stream, Kind::Hello, &hello).await.map_err(|error| unreachable(error.to_string()))?;
            let mut input = BytesMut::new();
            let answer = frame::read(&mut stream, &mut input, MAX_HELLO).await;
            let answer = answer.map_err(|error| unreachable(error.to_string()))?;
            self.trace("recv", "Answer", address, &answer.body);
            let answer = admission::decode(&answer.body).map_err(|error| unreachable(error.to_string()))?;
            Ok((stream, input, key, answer))
        };
        let (stream, input, key, answer) = match tokio::time::timeout(self.0.config.handshake, exchange).await {
            Ok(result) => result?,
            Err(_) => return Err(unreachable("no answer in time".into())),
        };
        let theirs = self.answered(address, answer, purpose, key, expected.map(|(peer, _)| peer))?;
        if purpose == Purpose::Member {
            self.facts().refusals.remove(address);
        }
        Ok(Admitted { stream, input, key, theirs, told })
    }

    /// Judges the answer to a hello.
    fn answered(
        &self,
        address: &str,
        answer: Answer,
        purpose: Purpose,
        key: PublicKey,
        expected: Option<Incarnation>,
    ) -> Result<Introduction, DialError> {
        match answer {
            Answer::Admitted(theirs) if purpose == Purpose::Join => Ok(*theirs),
            Answer::Admitted(theirs) => {
                let cluster = self.0.identity.cluster().ok_or(DialError::Unknown)?;
                if expected.is_some_and(|expected| expected != theirs.incarnation) {
                    return Err(DialError::Refused("another incarnation answered".into()));
                }
                admission::check_welcome(&theirs, key, &cluster, &self.0.book).map_err(DialError::Refused)?;
                Ok(*theirs)
            }
            Answer::Retry(reason) => Err(DialError::Retry(reason)),
            Answer::Refused(reason) => {
                self.refused(address, &reason);
                self.tell(Event::Refused(reason.clone()));
                Err(DialError::Refused(reason))
            }
            Answer::LogLost(reason) => {
                self.refused(address, &reason);
                // Whoever happens to be at an address is not believed that much.
                let told = if expected.is_some() { Event::LogLost } else { Event::Refused };
                self.tell(told(reason.clone()));
                Err(DialError::Refused(reason))
            }
            Answer::Removed(removal) => {
                let cluster = self.0.identity.cluster().ok_or(DialError::Removed)?;
                if !removal.verify(&cluster, self.0.identity.incarnation()) {
                    return Err(DialError::Refused("a removal without proof".into()));
                }
                let first = self.facts().removed.replace((*removal).clone()).is_none();
                if first {
                    tracing::error!(index = removal.index, "{}", admission::REMOVED);
                    self.tell(Event::Removed(removal));
                }
                Err(DialError::Removed)
            }
        }
    }

    /// Says, and remembers for health, that a peer does not admit this node.
    fn refused(&self, address: &str, reason: &str) {
        if self.0.not_admitted.lets(&self.0.runtime.clock, &format!("{address} {reason}")) {
            tracing::warn!(peer = address, %reason, "a peer does not admit this node");
        }
        self.0.runtime.trace.event("raft", format_args!("refuse reason={}", reason.replace(' ', "_")));
        let mut facts = self.facts();
        if facts.refusals.len() < MAX_REFUSALS || facts.refusals.contains_key(address) {
            facts.refusals.insert(address.to_string(), reason.to_string());
        }
    }

    /// Starts the task of an admitted connection.
    fn open(&self, admitted: Admitted, label: &str, purpose: Purpose) -> Mux {
        let peer = PeerInfo {
            incarnation: admitted.theirs.incarnation,
            label: label.to_string(),
            public_key: admitted.key,
            purpose,
            remote: None,
        };
        let mux = Mux::new(peer, &self.0.runtime, self.bounds(purpose));
        if purpose == Purpose::Member {
            self.met(&mux, &admitted.theirs, admitted.told);
        }
        let (transport, running) = (self.clone(), mux.clone());
        tokio::spawn(async move {
            let dispatch = transport.0.dispatch.clone();
            let reason = running.clone().run(admitted.stream, admitted.input, dispatch).await;
            tracing::debug!(peer = running.peer().label, reason, "a connection has ended");
            if purpose == Purpose::Member {
                transport.parted(&running);
            }
        });
        mux
    }

    pub(super) fn trace(&self, direction: &str, kind: &str, peer: &str, body: &[u8]) {
        if self.0.runtime.trace.is_on() {
            let (length, digest) = (body.len(), crc32c::crc32c(body));
            self.0.runtime.trace.event("rpc", format_args!("{direction} {peer} {kind} {length} {digest:08x}"));
        }
    }
}

/// Addresses whose refusals are remembered.
const MAX_REFUSALS: usize = 64;
