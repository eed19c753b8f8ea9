//! What is proposed to Raft and what applying it answers. A command is encoded once, by its proposer, behind a format
//! version; log, replication and followers pass the bytes on and only `apply` decodes them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The format version that this build writes.
pub const FORMAT: u8 = 1;

/// An encoded command: one format byte and the postcard form of [`Body`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command(pub Bytes);

impl Command {
    /// Encodes a body.
    pub fn encode(body: &Body) -> Command {
        let bytes = postcard::to_extend(body, vec![FORMAT]).expect("a command body always encodes");
        Command(bytes.into())
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// If the format is newer than this build or the bytes are no command.
    pub fn decode(&self) -> Result<Body, DecodeError> {
        match self.0.split_first() {
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(DecodeError::Malformed),
            Some((&format, _)) => Err(DecodeError::Format(format)),
            None => Err(DecodeError::Format(0)),
        }
    }

    /// Encoded size in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Why bytes are no command.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer build.
    #[error("a command of format {0}; this build reads format {FORMAT}")]
    Format(u8),
    /// Not the postcard form of a body.
    #[error("a malformed command: {0}")]
    Malformed(postcard::Error),
}

/// What a command does. New kinds go to the end: postcard numbers the variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Applies all writes if every check still holds, else nothing.
    Batch(Batch),
    /// Deletes at most `limit` keys that begin with `prefix`, in order; [`Outcome::Done`] says whether more is left.
    DeletePrefix {
        /// The state epoch it was prepared in.
        epoch: u64,
        /// Which keys.
        prefix: Bytes,
        /// At most so many.
        limit: u32,
    },
    /// Seals the cluster: sets the seal record (cluster-protocol, section 5). A conflict if one is set.
    Seal {
        /// The state epoch it was prepared in.
        epoch: u64,
        /// The record's id, drawn by the proposer.
        id: [u8; 16],
    },
    /// Lifts the seal record `id`; `apply` checks the signature of the seal's check key over cluster id and record id.
    /// A second lift of one id does nothing.
    Unseal {
        /// The state epoch it was prepared in.
        epoch: u64,
        /// Which record.
        id: [u8; 16],
        /// Ed25519 over cluster id and record id.
        signature: Bytes,
    },
    /// Raises the version of the cluster; never lowers it.
    ClusterVersion {
        /// The state epoch it was prepared in.
        epoch: u64,
        /// The version.
        version: u32,
    },
    /// Nothing.
    Noop,
}

impl Body {
    /// The state epoch that the command was prepared in: in another it is a conflict (cluster-protocol, section 6).
    pub fn epoch(&self) -> Option<u64> {
        match self {
            Body::Batch(batch) => Some(batch.epoch),
            Body::DeletePrefix { epoch, .. }
            | Body::Seal { epoch, .. }
            | Body::Unseal { epoch, .. }
            | Body::ClusterVersion { epoch, .. } => Some(*epoch),
            Body::Noop => None,
        }
    }
}

/// Checks and writes, all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The state epoch it was prepared in; a conflict in another (a restore raises it).
    pub epoch: u64,
    /// If set, a conflict in any other Raft term: background work dies with the leadership it was started for.
    pub term: Option<u64>,
    /// Keys that must still have these revisions.
    pub checks: Vec<Check>,
    /// Listed ranges that must still hold the same keys at the same revisions.
    pub ranges: Vec<RangeCheck>,
    /// What to write, in order.
    pub writes: Vec<Write>,
    /// How many values each barrier term sealed in this batch; `apply` counts them.
    pub sealed: Vec<(u32, u32)>,
}

/// A key and the revision that it was read at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The storage key.
    pub key: Bytes,
    /// The log index of its last write; 0 if it was absent.
    pub revision: u64,
}

/// A listed range: the first `limit` keys in `from..to` were `count` keys whose highest revision was `revision`. Since
/// revisions only grow, any insert, write or delete changes one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeCheck {
    /// First key, inclusive.
    pub from: Bytes,
    /// Last key, exclusive.
    pub to: Bytes,
    /// How many keys were asked for.
    pub limit: u32,
    /// How many there were.
    pub count: u32,
    /// The highest revision among them; 0 if none.
    pub revision: u64,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// Sets a key.
    Put {
        /// The storage key.
        key: Bytes,
        /// Its bytes, sealed by the barrier or plain by schema.
        value: Bytes,
    },
    /// Removes a key; fine if absent.
    Delete {
        /// The storage key.
        key: Bytes,
    },
}

/// The answer of applying a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The log index; the revision of what was written.
    pub index: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done; `more` only for a bounded deletion that has not reached its end.
    Done {
        /// Whether keys are left.
        more: bool,
    },
    /// A check failed: nothing was written.
    Conflict {
        /// The first key whose check failed; empty for epoch and term.
        key: Bytes,
    },
    /// The command cannot be applied (a wrong signature, an unknown format): nothing was written.
    Refused {
        /// Why, in the same words on every node.
        reason: String,
    },
}
