//! The types that openraft is instantiated with.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::command::{Applied, Command};
use crate::runtime::raft_rt::RaftRuntime;

/// Raft's node id: drawn at random when a data directory is created and bound to it. The operator's `node_id` is only a
/// label (cluster-protocol, section 1).
pub type Incarnation = u64;

/// What membership says of a member. The address is a hint of where it was when it joined; the address book knows
/// better.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The operator's `node_id`.
    pub label: String,
    /// `host:port` of the cluster listener when the member joined.
    pub address: String,
    /// The incarnation's Ed25519 public key.
    pub public_key: [u8; 32],
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.label, self.address)
    }
}

openraft::declare_raft_types!(
    /// Holdfast's instance of openraft: one leader a term, as in the paper.
    pub TypeConfig:
        D = Command,
        R = Applied,
        NodeId = Incarnation,
        Node = Member,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = RaftRuntime,
);

/// A log position: term and index.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;

/// Where a log ends, in words.
pub struct EndOf(pub Option<LogId>);

impl std::fmt::Display for EndOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("its very beginning"),
        }
    }
}

/// A vote: term, candidate and whether a quorum granted it.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// A log entry.
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// A membership and the log position that set it.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// What identifies a snapshot.
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
