//! Joining, without I/O (cluster-protocol, section 3): a node proves that it can open the cluster's seal, and the
//! cluster proves the same to it, before a grant is given and believed.
//!
//! 1. [`granter::challenge`]: 32 random bytes sealed by the seal, with a cookie that holds them for any active node.
//! 2. [`joiner::answer`]: the joiner opens them, maybe hours later, and shows an HMAC; the bytes never travel back.
//! 3. [`granter::grant`]: checks it and answers with a grant and the member list, under an HMAC of its own.
//! 4. [`joiner::accept`]: believes the answer only with that HMAC. The caller then makes it durable with
//!    [`Identity::enter`](super::identity::Identity::enter).
//!
//! A relay or a false target can pass messages on, but cannot open the seal: it can neither have another key granted nor
//! make a joiner believe another cluster.

use std::collections::BTreeMap;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::address_book::PeerCard;
use super::grant::{Grant, PublicKey};
use super::types::{Incarnation, Member};
use crate::runtime::UnixTime;
use crate::storage::plain;

/// The seal, as joining needs it: never the root key and never the keyring. An implementation binds what it seals here to
/// this use (by its associated data), so that nothing else that the seal has wrapped can be passed off as a challenge.
pub trait SealAccess: Send + Sync {
    /// Seals bytes with the seal key.
    fn seal(&self, plain: &[u8]) -> Vec<u8>;
    /// Opens what [`seal`](SealAccess::seal) made; `None` if it was sealed otherwise.
    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>>;
}

/// Asks for a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeRequest {
    /// The joiner's `node_id`.
    pub label: String,
    /// The joiner's incarnation.
    pub incarnation: Incarnation,
}

/// Who gives grants right now, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granter {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its label.
    pub label: String,
    /// Its node key.
    pub public_key: PublicKey,
    /// `host:port` of its cluster listener.
    pub cluster_address: String,
    /// Its API address.
    pub api_address: String,
}

/// What only a node that can open the seal can answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// How the seal is opened: number of shares, threshold, check key.
    pub seal_config: plain::SealConfig,
    /// The cluster: id, name, public keys. Believed only once the seal has been opened.
    pub init: plain::Init,
    /// 32 random bytes under the seal.
    #[serde(with = "base64_if_text")]
    pub sealed: Vec<u8>,
    /// The same bytes and an expiry, for any active node.
    #[serde(with = "base64_if_text")]
    pub cookie: Vec<u8>,
    /// Who takes the answer.
    pub granter: Granter,
}

/// The joiner's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The challenge's cookie.
    #[serde(with = "base64_if_text")]
    pub cookie: Vec<u8>,
    /// The joiner's incarnation.
    pub incarnation: Incarnation,
    /// The joiner's node key.
    pub public_key: PublicKey,
    /// The joiner's `node_id`.
    pub label: String,
    /// `host:port` of the joiner's cluster listener.
    pub cluster_address: String,
    /// The node key of whom this answer is for.
    pub granter_key: PublicKey,
    /// HMAC over all this, keyed by the challenge's bytes.
    #[serde(with = "base64_if_text")]
    pub proof: Vec<u8>,
}

/// The granter's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The joiner's grant.
    pub grant: Grant,
    /// Public halves of the cluster key, newest first.
    pub cluster_keys: Vec<PublicKey>,
    /// The present members.
    pub members: BTreeMap<Incarnation, Member>,
    /// Where they are.
    pub addresses: Vec<PeerCard>,
    /// HMAC over all this and the joiner's answer, keyed by the challenge's bytes.
    #[serde(with = "base64_if_text")]
    pub proof: Vec<u8>,
}

/// Why a join fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The challenge was not sealed by the seal that the joiner can open.
    #[error("the challenge cannot be opened with this seal: wrong shares, or another cluster")]
    Seal,
    /// The cookie is none of this cluster's.
    #[error("the challenge was not made by this cluster; ask for a new one")]
    Cookie,
    /// It took too long.
    #[error("the challenge has expired; ask for a new one")]
    Expired,
    /// The answer is for another node's key.
    #[error("the answer is for another node: answer again to the active one")]
    OtherGranter,
    /// The HMAC is wrong.
    #[error("the proof is wrong")]
    Proof,
    /// Another node with the label is there.
    #[error("a node with node_id \"{label}\" is already connected, at {address}: give this node another node_id")]
    LabelInUse {
        /// The label.
        label: String,
        /// Where the present one is.
        address: String,
    },
    /// The incarnation is a member's with another key.
    #[error("another node has this incarnation")]
    IncarnationInUse,
    /// The incarnation was removed.
    #[error("this node was removed from the cluster; wipe its data directory and join as a new node")]
    Removed,
    /// What was granted is not for this node.
    #[error("the grant is not for this node")]
    Grant,
}

/// The side of the active node.
pub mod granter {
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    use aes_gcm::{Aes256Gcm, Nonce};
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::runtime::Entropy;

    /// Makes a challenge that can be answered for `lifetime` from `now`. `cookie_key` is held behind the barrier, so
    /// that any active node can check it and none has to remember it.
    pub fn challenge(
        seal: &dyn SealAccess,
        cookie_key: &[u8; 32],
        entropy: &Entropy,
        now: UnixTime,
        lifetime: std::time::Duration,
        seal_config: plain::SealConfig,
        init: plain::Init,
        granter: Granter,
    ) -> Challenge {
        let bytes = Zeroizing::new(entropy.bytes::<32>());
        let expires = now.plus(lifetime);
        let mut plain = Zeroizing::new(bytes.to_vec());
        plain.extend_from_slice(&expires.0.to_le_bytes());
        let nonce: [u8; NONCE] = entropy.bytes();
        let associated = associated(&init.cluster_id);
        let encrypted = Aes256Gcm::new(cookie_key.into())
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: &plain, aad: &associated })
            .expect("a cookie always encrypts");
        let cookie = [nonce.as_slice(), &encrypted].concat();
        Challenge { seal_config, init, sealed: seal.seal(bytes.as_slice()), cookie, granter }
    }

    /// What the granting node knows.
    pub struct Context<'a> {
        /// The key that cookies are encrypted with.
        pub cookie_key: &'a [u8; 32],
        /// The cluster's id.
        pub cluster_id: &'a str,
        /// The private half of the cluster key.
        pub cluster_key: &'a SigningKey,
        /// Its public halves, newest first.
        pub cluster_keys: &'a [PublicKey],
        /// The node key of this node.
        pub public_key: PublicKey,
        /// Wall time.
        pub now: UnixTime,
        /// The present members.
        pub members: &'a BTreeMap<Incarnation, Member>,
        /// Where they are.
        pub addresses: Vec<PeerCard>,
        /// Whether a member is connected, and where it is.
        pub connected: &'a dyn Fn(Incarnation) -> Option<String>,
        /// Whether an incarnation was removed.
        pub removed: &'a dyn Fn(Incarnation) -> bool,
    }

    /// Checks an answer and gives the grant. The same answer always gets the same grant; nothing is stored.
    ///
    /// # Errors
    /// [`JoinError`] for whatever the joiner does not prove, and for a label or incarnation that is another node's.
    pub fn grant(context: Context<'_>, answer: &Answer) -> Result<Granted, JoinError> {
        let bytes = open_cookie(&context, &answer.cookie)?;
        if answer.granter_key != context.public_key {
            return Err(JoinError::OtherGranter);
        }
        let proved = mac(&bytes, &answer.message(context.cluster_id)).verify_slice(&answer.proof);
        proved.map_err(|_| JoinError::Proof)?;
        if (context.removed)(answer.incarnation) {
            return Err(JoinError::Removed);
        }
        check_members(&context, answer)?;
        let grant =
            Grant::sign(context.cluster_key, context.cluster_id, answer.incarnation, answer.public_key, &answer.label);
        let mut granted = Granted {
            grant,
            cluster_keys: context.cluster_keys.to_vec(),
            members: context.members.clone(),
            addresses: context.addresses,
            proof: Vec::new(),
        };
        granted.proof = finish(mac(&bytes, &granted.message(context.cluster_id, answer)));
        Ok(granted)
    }

    fn open_cookie(context: &Context<'_>, cookie: &[u8]) -> Result<Zeroizing<[u8; 32]>, JoinError> {
        let (nonce, encrypted) = cookie.split_at_checked(NONCE).ok_or(JoinError::Cookie)?;
        let associated = associated(context.cluster_id);
        let plain = Aes256Gcm::new(context.cookie_key.into())
            .decrypt(Nonce::from_slice(nonce), Payload { msg: encrypted, aad: &associated });
        let plain = Zeroizing::new(plain.map_err(|_| JoinError::Cookie)?);
        let (bytes, expires) = plain.split_first_chunk::<32>().ok_or(JoinError::Cookie)?;
        let expires = i64::from_le_bytes(expires.try_into().map_err(|_| JoinError::Cookie)?);
        if context.now.0 >= expires {
            return Err(JoinError::Expired);
        }
        Ok(Zeroizing::new(*bytes))
    }

    fn check_members(context: &Context<'_>, answer: &Answer) -> Result<(), JoinError> {
        if let Some(member) = context.members.get(&answer.incarnation)
            && member.public_key != answer.public_key
        {
            return Err(JoinError::IncarnationInUse);
        }
        for (incarnation, member) in context.members {
            if *incarnation != answer.incarnation
                && member.label == answer.label
                && let Some(address) = (context.connected)(*incarnation)
            {
                return Err(JoinError::LabelInUse { label: answer.label.clone(), address });
            }
        }
        Ok(())
    }

    fn associated(cluster_id: &str) -> Vec<u8> {
        [b"holdfast join cookie\0".as_slice(), cluster_id.as_bytes()].concat()
    }

    /// Bytes of a nonce of AES-GCM.
    const NONCE: usize = 12;
}

/// The side of the node that joins.
pub mod joiner {
    use super::*;

    /// Who joins.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Joiner {
        /// Its incarnation.
        pub incarnation: Incarnation,
        /// Its node key.
        pub public_key: PublicKey,
        /// Its `node_id`.
        pub label: String,
        /// `host:port` of its cluster listener.
        pub cluster_address: String,
    }

    /// An opened challenge: what [`accept`] needs to believe the granter. In memory only; wiped when dropped.
    pub struct Opened {
        bytes: Zeroizing<[u8; 32]>,
        cluster_id: String,
        answer: Answer,
    }

    /// Opens a challenge and answers it to the node whose key is `granter_key`: the key that TLS has proved on the
    /// cluster port, or that of [`Challenge::granter`] over HTTP.
    ///
    /// # Errors
    /// If the seal does not open it.
    pub fn answer(
        challenge: &Challenge,
        seal: &dyn SealAccess,
        joiner: &Joiner,
        granter_key: PublicKey,
    ) -> Result<(Answer, Opened), JoinError> {
        let bytes = Zeroizing::new(seal.open(&challenge.sealed).ok_or(JoinError::Seal)?);
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| JoinError::Seal)?);
        let cluster_id = challenge.init.cluster_id.clone();
        let mut answer = Answer {
            cookie: challenge.cookie.clone(),
            incarnation: joiner.incarnation,
            public_key: joiner.public_key,
            label: joiner.label.clone(),
            cluster_address: joiner.cluster_address.clone(),
            granter_key,
            proof: Vec::new(),
        };
        answer.proof = finish(mac(&bytes, &answer.message(&cluster_id)));
        Ok((answer.clone(), Opened { bytes, cluster_id, answer }))
    }

    /// Checks what was granted; the cluster to enter. Only a node that can open the seal can have made it.
    ///
    /// # Errors
    /// If it was not made for this answer by such a node.
    pub fn accept(opened: &Opened, granted: &Granted) -> Result<crate::raft::identity::Cluster, JoinError> {
        let proved = mac(&opened.bytes, &granted.message(&opened.cluster_id, &opened.answer));
        proved.verify_slice(&granted.proof).map_err(|_| JoinError::Proof)?;
        let (grant, answer) = (&granted.grant, &opened.answer);
        let fits = grant.cluster_id == opened.cluster_id
            && grant.incarnation == answer.incarnation
            && grant.public_key == answer.public_key
            && grant.verify(&granted.cluster_keys);
        if !fits {
            return Err(JoinError::Grant);
        }
        let (id, keys) = (opened.cluster_id.clone(), granted.cluster_keys.clone());
        Ok(crate::raft::identity::Cluster { id, keys, grant: grant.clone() })
    }
}

impl Answer {
    /// What the joiner's HMAC covers.
    fn message(&self, cluster_id: &str) -> Vec<u8> {
        let covered = (
            "join",
            cluster_id,
            &self.public_key,
            &self.granter_key,
            &self.label,
            self.incarnation,
            &self.cluster_address,
        );
        postcard::to_allocvec(&covered).expect("an answer always encodes")
    }
}

impl Granted {
    /// What the granter's HMAC covers.
    fn message(&self, cluster_id: &str, answer: &Answer) -> Vec<u8> {
        let covered = (
            "grant",
            cluster_id,
            &answer.public_key,
            &answer.granter_key,
            (&self.grant, &self.cluster_keys, &self.members, &self.addresses),
        );
        postcard::to_allocvec(&covered).expect("a grant always encodes")
    }
}

fn mac(bytes: &[u8; 32], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(bytes).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

fn finish(mac: Hmac<Sha256>) -> Vec<u8> {
    mac.finalize().into_bytes().to_vec()
}

/// Encodes a message for the cluster port.
pub fn encode(message: &impl Serialize) -> Bytes {
    postcard::to_allocvec(message).expect("a join message always encodes").into()
}

/// Decodes a message from the cluster port.
///
/// # Errors
/// If it is malformed.
pub fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|error| format!("a malformed join message: {error}"))
}

/// Bytes as they are in postcard, in Base64 where text is wanted (JSON).
mod base64_if_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => STANDARD.encode(bytes).serialize(serializer),
            false => bytes.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if !deserializer.is_human_readable() {
            return Vec::deserialize(deserializer);
        }
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
