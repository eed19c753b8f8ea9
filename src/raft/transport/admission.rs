//! Who may come in: the first frame of a connection says who dials and what for, and is answered with admitted, retry,
//! refused or removed (cluster-protocol, section 2). The decision is a pure function of the hello, the key that TLS has
//! proved and what this node knows.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{PeerInfo, Purpose};
use crate::raft::address_book::{AddressBook, PeerCard, Start, Unsound};
use crate::raft::grant::{Grant, PublicKey, SignatureBytes};
use crate::raft::identity::{Cluster, Identity};
use crate::raft::types::{Incarnation, LogId};

/// What keeps a node from serving as active. A sealed, audit-less or faulted node is *unfit*: it replicates and votes,
/// but leads only as a caretaker (cluster-protocol, section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fitness {
    /// It has no keys.
    pub sealed: bool,
    /// No audit device accepts entries.
    pub auditless: bool,
    /// Its log or state has failed.
    pub faulted: bool,
}

impl Fitness {
    /// Whether nothing keeps it from serving.
    pub fn is_fit(self) -> bool {
        self == Fitness::default()
    }
}

/// A fitness and its place in time: a later one of the same start has a higher sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitnessReport {
    /// The start counter.
    pub counter: u64,
    /// Raised with every change.
    pub sequence: u64,
    /// What it says.
    pub fitness: Fitness,
}

/// What each side of a connection between members tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The dialler's or the answerer's incarnation.
    pub incarnation: Incarnation,
    /// Which start this is.
    pub start: Start,
    /// The last log id, if known.
    pub last_log: Option<LogId>,
    /// Where its clients are sent to; empty if it has none.
    pub api_address: String,
    /// How fit it is.
    pub fitness: FitnessReport,
    /// Grant and address; absent before the node belongs to a cluster.
    pub card: Option<PeerCard>,
    /// What its address book knows of others.
    pub book: Vec<PeerCard>,
}

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol's version, [`PROTOCOL`] in this build.
    pub protocol: u16,
    /// What the connection is for.
    pub purpose: Purpose,
    /// The operator's `node_id`.
    pub label: String,
    /// Who dials.
    pub introduction: Introduction,
}

/// The answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Come in.
    Admitted(Box<Introduction>),
    /// Not now: nothing is wrong for good.
    Retry(String),
    /// Not as you are. It says nothing about membership.
    Refused(String),
    /// The dialler's removal is committed. Only this makes a node "removed".
    Removed(Box<Removal>),
    /// The dialler's log has lost what it had acknowledged: it must not vote with it.
    LogLost(String),
}

/// As it is said in a log line: short.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Admitted(_) => f.write_str("admitted"),
            Answer::Retry(reason) | Answer::Refused(reason) | Answer::LogLost(reason) => f.write_str(reason),
            Answer::Removed(removal) => write!(f, "it was removed from the cluster (log index {})", removal.index),
        }
    }
}

/// What a removed node says of itself, wherever it is asked for something.
pub const REMOVED: &str = "this node was removed from the cluster; to bring it back, stop it, empty its data directory \
                           and start it again";

/// Says that an incarnation was removed from its cluster, signed by a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Who was removed.
    pub incarnation: Incarnation,
    /// The log index of the removal.
    pub index: u64,
    /// Who says so.
    pub by: Grant,
    signature: SignatureBytes,
}

impl Removal {
    /// Signs the notice; `None` if this node is no member itself.
    pub fn sign(identity: &Identity, incarnation: Incarnation, index: u64) -> Option<Removal> {
        let by = identity.cluster()?.grant;
        let signature = identity.sign(&Removal::message(&by.cluster_id, incarnation, index));
        Some(Removal { incarnation, index, by, signature })
    }

    /// Whether a member of `cluster` says so of `incarnation`.
    pub fn verify(&self, cluster: &Cluster, incarnation: Incarnation) -> bool {
        self.incarnation == incarnation
            && self.by.cluster_id == cluster.id
            && self.by.verify(&cluster.keys)
            && self.signature.verify(&self.by.public_key, &Removal::message(&cluster.id, incarnation, self.index))
    }

    fn message(cluster_id: &str, incarnation: Incarnation, index: u64) -> Vec<u8> {
        postcard::to_extend(&(cluster_id, incarnation, index), b"holdfast removal\0".to_vec())
            .expect("a removal always encodes")
    }
}

/// What the decision depends on.
pub(super) struct Rules<'a> {
    pub(super) identity: &'a Identity,
    pub(super) book: &'a AddressBook,
    /// The log index of an incarnation's committed removal.
    pub(super) removed: &'a (dyn Fn(Incarnation) -> Option<u64> + Send + Sync),
    /// The key of an incarnation that membership knows.
    pub(super) member_key: &'a (dyn Fn(Incarnation) -> Option<PublicKey> + Send + Sync),
}

/// Decides about a hello; `Ok` names who comes in.
pub(super) fn admit(hello: &Hello, proven: PublicKey, rules: &Rules<'_>) -> Result<PeerInfo, Answer> {
    let incarnation = hello.introduction.incarnation;
    if hello.protocol != PROTOCOL {
        return Err(Answer::Refused(format!("protocol {}; this node speaks {PROTOCOL}", hello.protocol)));
    }
    if hello.label.len() > MAX_LABEL || hello.introduction.api_address.len() > MAX_LABEL {
        return Err(Answer::Refused("the node_id or the api_addr is too long".into()));
    }
    let Some(cluster) = rules.identity.cluster() else {
        return Err(Answer::Retry("this node belongs to no cluster yet".into()));
    };
    if incarnation == rules.identity.incarnation() {
        return Err(Answer::Refused("this node dialled itself, or its directory was copied".into()));
    }
    let peer = |label: &str| PeerInfo {
        incarnation,
        label: label.to_string(),
        public_key: proven,
        purpose: hello.purpose,
        remote: None,
    };
    match hello.purpose {
        Purpose::Join => admit_joiner(incarnation, proven, rules).map(|()| peer(&hello.label)),
        Purpose::Member => admit_member(hello, proven, rules, &cluster).map(|()| {
            let card = hello.introduction.card.as_ref();
            peer(card.map_or(hello.label.as_str(), |card| card.grant.label.as_str()))
        }),
    }
}

/// A join can change nothing about who is a member already.
fn admit_joiner(incarnation: Incarnation, proven: PublicKey, rules: &Rules<'_>) -> Result<(), Answer> {
    if let Some(removed) = removal(incarnation, rules) {
        return Err(removed);
    }
    match (rules.member_key)(incarnation) {
        Some(key) if key != proven => Err(Answer::Refused("another node has this incarnation".into())),
        _ => Ok(()),
    }
}

fn admit_member(hello: &Hello, proven: PublicKey, rules: &Rules<'_>, cluster: &Cluster) -> Result<(), Answer> {
    let introduction = &hello.introduction;
    check_member(introduction, proven, cluster).map_err(|reason| Answer::Refused(reason.into()))?;
    if let Some(removed) = removal(introduction.incarnation, rules) {
        return Err(removed);
    }
    rules.book.observe(introduction.incarnation, introduction.start, introduction.last_log).map_err(|unsound| {
        match unsound {
            Unsound::Outdated => Answer::Refused(unsound.to_string()),
            Unsound::LogLost { .. } => Answer::LogLost(unsound.to_string()),
        }
    })?;
    learn(introduction, rules.book, cluster);
    Ok(())
}

/// Whether the introduction is one of a member of `cluster` that holds the proven key.
fn check_member(introduction: &Introduction, proven: PublicKey, cluster: &Cluster) -> Result<(), &'static str> {
    let Some(card) = &introduction.card else { return Err("a member shows its grant") };
    if card.grant.cluster_id != cluster.id {
        return Err("the grant is of another cluster");
    }
    if card.grant.incarnation != introduction.incarnation || card.grant.public_key != proven {
        return Err("the grant is another node's");
    }
    if !card.verify(cluster) {
        return Err("the grant is not signed by this cluster");
    }
    Ok(())
}

fn removal(incarnation: Incarnation, rules: &Rules<'_>) -> Option<Answer> {
    let index = (rules.removed)(incarnation)?;
    let refused = || Answer::Refused("this node was removed".into());
    Some(
        Removal::sign(rules.identity, incarnation, index)
            .map_or_else(refused, |removal| Answer::Removed(Box::new(removal))),
    )
}

fn learn(introduction: &Introduction, book: &AddressBook, cluster: &Cluster) {
    for card in introduction.card.iter().chain(&introduction.book) {
        book.learn(card, cluster);
    }
}

/// Checks the answerer in its turn: a copied directory must not be believed because it was dialled.
pub(super) fn check_welcome(
    welcome: &Introduction,
    proven: PublicKey,
    cluster: &Cluster,
    book: &AddressBook,
) -> Result<(), String> {
    check_member(welcome, proven, cluster)?;
    book.observe(welcome.incarnation, welcome.start, welcome.last_log)
        .map_err(|unsound| format!("the peer's directory is unsound: {unsound}"))?;
    learn(welcome, book, cluster);
    Ok(())
}

/// Encodes a hello or an answer.
pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).expect("a hello always encodes")
}

/// Decodes a hello or an answer.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> std::io::Result<T> {
    postcard::from_bytes(bytes).map_err(std::io::Error::other)
}

/// The version of hellos and frames that this build speaks.
pub const PROTOCOL: u16 = 1;
/// Bytes of a `node_id` or an `api_addr`.
const MAX_LABEL: usize = 512;
/// The longest hello or answer: [`MAX_CARDS`](crate::raft::address_book::MAX_CARDS) cards of some 600 bytes.
pub(super) const MAX_HELLO: usize = 64 << 10;

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
