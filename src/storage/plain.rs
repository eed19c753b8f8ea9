//! Plain records: what a sealed node must be able to read. Each is one format byte and a postcard value.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::runtime::UnixTime;

/// The format version that this build writes.
const FORMAT: u8 = 1;

/// Encodes a record.
pub fn encode<T: Serialize>(record: &T) -> Bytes {
    postcard::to_extend(record, vec![FORMAT]).expect("a record always encodes").into()
}

/// Decodes a record; `None` if it is of another format or malformed.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}

/// `Kind::Init`, key without rest: the cluster exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// A UUID.
    pub cluster_id: String,
    /// The operator's name for it, or one that was made up.
    pub cluster_name: String,
    /// Public halves of the cluster key, newest first.
    pub cluster_keys: Vec<[u8; 32]>,
    /// When.
    pub created: UnixTime,
}

/// `Kind::SealConfig`, key without rest: how the root key is wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealConfig {
    /// `shamir` for now.
    pub kind: String,
    /// Number of shares of the seal key.
    pub shares: u8,
    /// How many open it.
    pub threshold: u8,
    /// The public half of the Ed25519 key derived (HKDF) from the seal key: whoever has it can check shares and the
    /// lifting of a seal record.
    pub check_key: [u8; 32],
    /// The root key, wrapped by the seal key: nonce, ciphertext, tag.
    pub wrapped_root_key: Bytes,
}

/// `Kind::Keyring`, key without rest: all terms' keys, encrypted by the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyring {
    /// The term that new values are sealed with.
    pub active: u32,
    /// Nonce, ciphertext, tag.
    pub encrypted: Bytes,
}

/// `Kind::RootKey`, key without rest: the root key, sealed by the keyring's active term, so that unsealed standbys
/// follow a rotation of the root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKey {
    /// The term that sealed it.
    pub term: u32,
    /// A barrier value: version, term, nonce, ciphertext, tag.
    pub sealed: Bytes,
}

/// `Kind::SealRecord`, key without rest: the cluster was sealed on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealRecord {
    /// Drawn by who sealed it.
    pub id: [u8; 16],
}

/// `Kind::SealRecord`, key [`LIFTED`](crate::storage::schema::LIFTED): the seals that were lifted last, the newest at the
/// end. Whoever still wants to commit one of them comes too late.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifted(pub Vec<[u8; 16]>);

/// `Kind::Removed`, key: the incarnation as eight big-endian bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its label.
    pub label: String,
    /// Its public key.
    pub public_key: [u8; 32],
}

/// `Kind::SealedCount`, key: the term as four big-endian bytes. Values sealed with that term so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCount(pub u64);

/// `Kind::ClusterVersion`, key without rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterVersion(pub u32);

/// The bytes that the lifting of a seal record signs.
pub fn unseal_message(cluster_id: &str, id: &[u8; 16]) -> Vec<u8> {
    [b"holdfast unseal\0".as_slice(), cluster_id.as_bytes(), b"\0", id].concat()
}
