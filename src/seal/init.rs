//! The first records of a cluster, all made here from entropy alone and committed as one batch.

use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use super::{Params, SealKey, shamir};
use crate::barrier::cipher::Key;
use crate::barrier::{BarrierTxn, Keyring, RootKey};
use crate::runtime::{Entropy, UnixTime};
use crate::secret::Secret;
use crate::storage::plain;
use crate::storage::schema::{self, Kind};

/// What an init made. The caller builds the transaction over [`Init::keyring`], lets [`Init::write`] fill it, adds the
/// first mounts, policies and the root token, and commits it.
pub struct Init {
    /// The shares of the seal key, to be handed out once and never stored.
    pub shares: Vec<Secret>,
    /// The keyring to seal the rest of the batch with, and to unseal this node with after the commit.
    pub keyring: Arc<Keyring>,
    /// The record of the cluster.
    pub record: plain::Init,
    /// The cluster's own key, which signs the first node's grant.
    pub cluster_key: ClusterKey,
    plain: Vec<(Bytes, Bytes)>,
    secret: Vec<(Bytes, Zeroizing<Vec<u8>>)>,
}

/// Makes a cluster: id, cluster key, root key, keyring, seal. `name` is the operator's; if empty one is made up.
pub fn init(params: Params, name: &str, now: UnixTime, entropy: &Entropy) -> Init {
    let cluster_key = ClusterKey::generate(entropy);
    let cluster_id = entropy.uuid();
    let cluster_name = match name {
        "" => format!("vault-cluster-{}", hex::encode(entropy.bytes::<4>())),
        name => name.to_string(),
    };
    let record = plain::Init { cluster_id, cluster_name, cluster_keys: vec![cluster_key.public()], created: now };

    let root = RootKey::generate(entropy);
    let keyring = Keyring::generate(entropy, now);
    let seal_key = SealKey::generate(entropy);
    let plain = vec![
        (schema::key(Kind::Init, b""), plain::encode(&record)),
        (schema::key(Kind::SealConfig, b""), plain::encode(&seal_key.wrap_root(&root, params, entropy))),
        (schema::key(Kind::Keyring, b""), plain::encode(&keyring.encrypt(&root, entropy))),
        (schema::key(Kind::RootKey, b""), plain::encode(&root.wrap_under(&keyring, entropy))),
    ];
    let secret = vec![
        (schema::key(Kind::ClusterSecret, schema::CLUSTER_KEY), cluster_key.encode()),
        (schema::key(Kind::ClusterSecret, schema::CHALLENGE_KEY), encode(seal_key.challenge_key().danger_expose())),
    ];
    let shares = split(&seal_key, params, entropy);
    Init { shares, keyring: Arc::new(keyring), record, cluster_key, plain, secret }
}

impl Init {
    /// Writes the records, on condition that there is no cluster yet.
    pub fn write(&self, txn: &mut BarrierTxn) {
        txn.below().expect(&schema::key(Kind::Init, b""), 0);
        for (key, value) in &self.plain {
            txn.below().put_plain(key.clone(), value.clone());
        }
        for (key, value) in &self.secret {
            txn.put(key.clone(), value);
        }
    }

    /// The shares as hex and as base64, in the same order: `keys` and `keys_base64` of the answer.
    pub fn share_texts(&self) -> (Vec<String>, Vec<String>) {
        share_texts(&self.shares)
    }
}

/// Shares as hex and as base64, in the same order: `keys` and `keys_base64` of an answer.
pub fn share_texts(shares: &[Secret]) -> (Vec<String>, Vec<String>) {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD;
    let shares = || shares.iter().map(Secret::danger_expose);
    (shares().map(hex::encode).collect(), shares().map(|share| base64.encode(share)).collect())
}

/// The cluster's Ed25519 key: signs grants and successors. Its public half is in the init record, the private half behind
/// the barrier. Wiped when dropped, no `Debug`.
pub struct ClusterKey(SigningKey);

impl ClusterKey {
    /// A new random key.
    pub fn generate(entropy: &Entropy) -> ClusterKey {
        ClusterKey(SigningKey::from_bytes(Key::generate(entropy).danger_expose()))
    }

    /// Reads the stored form, under `Kind::ClusterSecret` and [`schema::CLUSTER_KEY`]; `None` if it is malformed.
    pub fn decode(bytes: &[u8]) -> Option<ClusterKey> {
        decode(bytes).map(|seed| ClusterKey(SigningKey::from_bytes(seed.danger_expose())))
    }

    /// The form to be stored behind the barrier.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode(self.0.as_bytes())
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The key itself, for what signs grants.
    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// Signs `message` (Ed25519: the same message always gives the same signature).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// The shares of a seal key; of one share, the key itself.
pub(super) fn split(key: &SealKey, params: Params, entropy: &Entropy) -> Vec<Secret> {
    match params.threshold {
        ..=1 => vec![Secret::new(key.danger_expose().to_vec())],
        threshold => shamir::split(key.danger_expose(), params.shares, threshold, entropy)
            .expect("parameters of a seal are checked when they are made"),
    }
}

/// The stored form of a 32-byte key among the cluster's secrets: a format byte and the key.
pub fn encode(key: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([[FORMAT].as_slice(), key].concat())
}

/// The reverse of [`encode`]; `None` if it is malformed.
pub fn decode(bytes: &[u8]) -> Option<Key> {
    match bytes.split_first() {
        Some((&FORMAT, key)) => Key::from_slice(key),
        _ => None,
    }
}

const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::UnsealProgress;
    use crate::storage::plain::SealConfig;

    const NOW: UnixTime = UnixTime(1_700_000_000_000_000_000);

    fn record<T: serde::de::DeserializeOwned>(init: &Init, kind: Kind) -> T {
        let key = schema::key(kind, b"");
        let (_, bytes) = init.plain.iter().find(|(found, _)| *found == key).unwrap();
        plain::decode(bytes).unwrap()
    }

    #[test]
    fn its_shares_lead_to_its_values() {
        let init = init(Params { shares: 5, threshold: 3 }, "", NOW, &Entropy::seeded_u64(1));
        let config: SealConfig = record(&init, Kind::SealConfig);
        let (hex, base64) = init.share_texts();
        assert_eq!((hex.len(), base64.len()), (5, 5));

        let mut progress = UnsealProgress::new();
        for share in [&hex[1], &base64[4], &hex[0]] {
            progress.add(share, &Entropy::seeded_u64(2)).unwrap();
        }
        let seal_key = progress.resolve(&config).unwrap().unwrap();
        let root = seal_key.unwrap_root(&config).unwrap();
        let keyring = Keyring::decrypt(&root, &record(&init, Kind::Keyring)).unwrap();
        let sealed = init.keyring.seal(&Entropy::seeded_u64(3), b"k", b"v");
        assert_eq!(keyring.open(b"k", &sealed.bytes).unwrap().as_slice(), b"v");
        let rewrapped = RootKey::unwrap_under(&keyring, &record(&init, Kind::RootKey)).unwrap();
        assert!(rewrapped.key().same(root.key()));

        let cluster_key = ClusterKey::decode(&init.secret[0].1).unwrap();
        assert_eq!(init.record.cluster_keys, [cluster_key.public()]);
        assert_eq!(decode(&init.secret[1].1).unwrap().danger_expose(), seal_key.challenge_key().danger_expose());
    }

    #[test]
    fn repeats_from_a_seed_and_names_the_cluster() {
        let make = |seed, name| init(Params { shares: 1, threshold: 1 }, name, NOW, &Entropy::seeded_u64(seed));
        let (a, b) = (make(1, ""), make(1, ""));
        assert_eq!(a.plain, b.plain);
        assert_eq!(a.share_texts(), b.share_texts());
        assert!(a.record.cluster_name.starts_with("vault-cluster-"));
        assert_eq!(make(1, "prod").record.cluster_name, "prod");
        assert_ne!(a.record.cluster_id, make(2, "").record.cluster_id);
        assert!(a.plain.iter().all(|(key, _)| !schema::is_sealed(key)));
        assert!(a.secret.iter().all(|(key, _)| schema::is_sealed(key)));
    }
}
