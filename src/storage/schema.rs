//! Every storage key, and nothing else builds one. A key is one kind byte and what the kind says; kinds below
//! [`SEALED_FROM`] hold plain records that a sealed node must read, all others hold values sealed by the barrier with
//! the key as associated data. Retired kinds stay reserved.

use bytes::Bytes;

/// The only namespace for now; part of every mount's keys so that namespaces need no migration.
pub const NAMESPACE_ROOT: u32 = 0;

/// Kinds from here on are sealed by the barrier.
pub const SEALED_FROM: u8 = 0x40;

/// What a key's first byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Plain: the init record (cluster id, cluster public keys, name, time).
    Init = 0x01,
    /// Plain: the seal configuration and the wrapped root keys.
    SealConfig = 0x02,
    /// Plain: the keyring, encrypted by the root key.
    Keyring = 0x03,
    /// Plain: the root key, encrypted by the keyring's active term.
    RootKey = 0x04,
    /// Plain: the record of a deliberate seal.
    SealRecord = 0x05,
    /// Plain: incarnations that were removed, one key each.
    Removed = 0x06,
    /// Plain: the lineage list.
    Lineage = 0x07,
    /// Plain: the cluster's version.
    ClusterVersion = 0x08,
    /// Plain: how many values each barrier term has sealed, one key a term.
    SealedCount = 0x09,
    /// Sealed: the cluster's private key and other secrets of the cluster itself.
    ClusterSecret = 0x40,
    /// Sealed: one record a mount, by UUID.
    Mount = 0x41,
    /// Sealed: one record a policy, by name.
    Policy = 0x42,
    /// Sealed: one record a token, by HMAC of its id.
    Token = 0x43,
    /// Sealed: accessor to token, by HMAC of the accessor.
    Accessor = 0x44,
    /// Sealed: parent to child, by both HMACs.
    TokenChild = 0x45,
    /// Sealed: time to token, ordered by expiry.
    TokenExpiry = 0x46,
    /// Sealed: work that was marked and is not finished (a mount being deleted, a tree being revoked).
    Pending = 0x47,
    /// Sealed: one record a token role, by namespace and name.
    TokenRole = 0x48,
    /// Sealed: time to policy, ordered by the policies' ends.
    PolicyExpiry = 0x49,
    /// Sealed: what was set for the whole cluster while it runs, one record each, by name.
    Setting = 0x50,
    /// Sealed: data of a mount, by namespace, mount UUID and the backend's own path.
    Data = 0x80,
}

/// `Kind::ClusterSecret`: the seed of the cluster's Ed25519 key.
pub const CLUSTER_KEY: &[u8] = b"cluster-key";

/// `Kind::ClusterSecret`: the seal's key for the challenges of joining nodes.
pub const CHALLENGE_KEY: &[u8] = b"challenge-key";

/// Under `Kind::ClusterSecret`: the salt that hides token ids in storage keys.
pub const TOKEN_SALT: &[u8] = b"token-salt";

/// Under `Kind::ClusterSecret`: the key of the cookies that joining nodes bring back.
pub const COOKIE_KEY: &[u8] = b"cookie-key";

/// Under `Kind::SealRecord`: the ids of the seals that were lifted last.
pub const LIFTED: &[u8] = b"lifted";

/// A key of kind `kind` with `rest` behind it.
pub fn key(kind: Kind, rest: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(kind as u8);
    key.extend_from_slice(rest);
    key.into()
}

/// The prefix of all data of one mount.
pub fn mount_prefix(namespace: u32, mount: &[u8; 16]) -> Vec<u8> {
    let mut key = Vec::with_capacity(21);
    key.push(Kind::Data as u8);
    key.extend_from_slice(&namespace.to_be_bytes());
    key.extend_from_slice(mount);
    key
}

/// The first key behind `key`: where what follows a page begins.
pub fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The first key behind all keys that begin with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0xff; prefix.len() + 1]
}

/// Whether the value under `key` is sealed by the barrier.
pub fn is_sealed(key: &[u8]) -> bool {
    key.first().is_some_and(|kind| *kind >= SEALED_FROM)
}
