//! Grants: what makes a node a member. The cluster key, whose private half is behind the barrier, signs who it is;
//! nothing in it expires (cluster-protocol, section 1).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::types::Incarnation;

/// An Ed25519 public key.
pub type PublicKey = [u8; 32];

/// An Ed25519 signature in two halves, since serde knows arrays up to 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureBytes([u8; 32], [u8; 32]);

impl SignatureBytes {
    /// Signs `message`.
    pub fn sign(key: &SigningKey, message: &[u8]) -> SignatureBytes {
        let bytes = key.sign(message).to_bytes();
        let (mut first, mut second) = ([0; 32], [0; 32]);
        first.copy_from_slice(&bytes[..32]);
        second.copy_from_slice(&bytes[32..]);
        SignatureBytes(first, second)
    }

    /// Whether `key` signed `message`. Malleable signatures and weak keys are refused.
    pub fn verify(&self, key: &PublicKey, message: &[u8]) -> bool {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.0);
        bytes[32..].copy_from_slice(&self.1);
        VerifyingKey::from_bytes(key)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok())
    }
}

/// Says that a node is a member of a cluster, signed by the cluster key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Which cluster.
    pub cluster_id: String,
    /// Which incarnation.
    pub incarnation: Incarnation,
    /// The public half of that incarnation's key.
    pub public_key: PublicKey,
    /// The operator's `node_id`.
    pub label: String,
    signature: SignatureBytes,
}

impl Grant {
    /// Makes a grant. Signing the same facts twice gives the same bytes.
    pub fn sign(
        cluster_key: &SigningKey,
        cluster_id: &str,
        incarnation: Incarnation,
        public_key: PublicKey,
        label: &str,
    ) -> Grant {
        let message = message(cluster_id, incarnation, &public_key, label);
        Grant {
            cluster_id: cluster_id.to_string(),
            incarnation,
            public_key,
            label: label.to_string(),
            signature: SignatureBytes::sign(cluster_key, &message),
        }
    }

    /// Whether one of the cluster's public keys signed this grant. The caller compares cluster id, incarnation and key.
    pub fn verify(&self, cluster_keys: &[PublicKey]) -> bool {
        let message = message(&self.cluster_id, self.incarnation, &self.public_key, &self.label);
        cluster_keys.iter().any(|key| self.signature.verify(key, &message))
    }
}

/// What a grant's signature covers: unambiguous, since every part of variable length has its length before it.
fn message(cluster_id: &str, incarnation: Incarnation, public_key: &PublicKey, label: &str) -> Vec<u8> {
    postcard::to_extend(&(cluster_id, incarnation, public_key, label), CONTEXT.to_vec())
        .expect("a grant always encodes")
}

const CONTEXT: &[u8] = b"holdfast grant\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_holds_only_for_what_it_says() {
        let cluster = SigningKey::from_bytes(&[1; 32]);
        let keys = [[9; 32], cluster.verifying_key().to_bytes()];
        let grant = Grant::sign(&cluster, "c-1", 7, [3; 32], "node-1");
        assert!(grant.verify(&keys));
        assert_eq!(grant, Grant::sign(&cluster, "c-1", 7, [3; 32], "node-1"));
        assert!(!grant.verify(&keys[..1]));
        assert!(!grant.verify(&[]));
        for change in [
            Grant { cluster_id: "c-2".into(), ..grant.clone() },
            Grant { incarnation: 8, ..grant.clone() },
            Grant { public_key: [4; 32], ..grant.clone() },
            Grant { label: "node-2".into(), ..grant.clone() },
        ] {
            assert!(!change.verify(&keys));
        }
        let other = SigningKey::from_bytes(&[2; 32]);
        assert!(!Grant::sign(&other, "c-1", 7, [3; 32], "node-1").verify(&keys));
    }
}
