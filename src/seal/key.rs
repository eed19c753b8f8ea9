//! The seal key and what is derived from it (HKDF-SHA-256, RFC 5869): the key that wraps the root key, the Ed25519 key by
//! which sealed nodes check shares and the lifting of a seal record, and the key for the challenges of joining nodes.

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use sha2::Sha256;

use super::{Params, SealError};
use crate::barrier::RootKey;
use crate::barrier::cipher::Key;
use crate::runtime::Entropy;
use crate::storage::plain::{self, SealConfig};

/// The 32 bytes that Shamir's shares split. Wiped when dropped, no `Debug`.
#[derive(Clone)]
pub struct SealKey(Key);

impl SealKey {
    /// A new random seal key.
    pub fn generate(entropy: &Entropy) -> SealKey {
        SealKey(Key::generate(entropy))
    }

    /// A seal key from combined shares.
    ///
    /// # Errors
    /// [`SealError::KeySize`] unless it has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<SealKey, SealError> {
        Key::from_slice(bytes).map(SealKey).ok_or(SealError::KeySize(bytes.len()))
    }

    /// The key itself, to be split.
    pub(super) fn danger_expose(&self) -> &[u8; 32] {
        self.0.danger_expose()
    }

    /// The seal configuration under which this key opens `root`.
    pub fn wrap_root(&self, root: &RootKey, params: Params, entropy: &Entropy) -> SealConfig {
        let check_key = self.check_key();
        let wrapped = self.derive(WRAP).encrypt(entropy, &wrap_context(&check_key), root.key().danger_expose());
        SealConfig {
            kind: SHAMIR.to_string(),
            shares: params.shares,
            threshold: params.threshold,
            check_key,
            wrapped_root_key: wrapped.into(),
        }
    }

    /// The root key that `config` wraps.
    ///
    /// # Errors
    /// [`SealError::WrongKey`] if this is not the seal key of `config`, or the record was altered.
    pub fn unwrap_root(&self, config: &SealConfig) -> Result<RootKey, SealError> {
        self.verify(config)?;
        let root = self.derive(WRAP).decrypt(&wrap_context(&config.check_key), &config.wrapped_root_key);
        root.and_then(|root| RootKey::from_slice(&root)).ok_or(SealError::WrongKey)
    }

    /// Whether this is the seal key of `config`: what any sealed node can check, without barrier.
    ///
    /// # Errors
    /// [`SealError::WrongKey`].
    pub fn verify(&self, config: &SealConfig) -> Result<(), SealError> {
        if self.check_key() == config.check_key { Ok(()) } else { Err(SealError::WrongKey) }
    }

    /// The public half of the Ed25519 key derived from this key.
    pub fn check_key(&self) -> [u8; 32] {
        self.signing_key().verifying_key().to_bytes()
    }

    /// Signs the lifting of the seal record `id` ([`plain::unseal_message`]).
    pub fn sign_unseal(&self, cluster_id: &str, id: &[u8; 16]) -> Bytes {
        let signature = self.signing_key().sign(&plain::unseal_message(cluster_id, id));
        Bytes::copy_from_slice(&signature.to_bytes())
    }

    /// The key for the challenges of joining nodes.
    pub fn challenge_key(&self) -> ChallengeKey {
        ChallengeKey(self.derive(CHALLENGE))
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(self.derive(SIGN).danger_expose())
    }

    fn derive(&self, purpose: &[u8]) -> Key {
        let mut key = Key::zero();
        Hkdf::<Sha256>::new(None, self.danger_expose())
            .expand(purpose, key.danger_expose_mut())
            .expect("HKDF gives 32 bytes");
        key
    }
}

/// The part of a seal that seals challenges. The active node keeps it behind the barrier, so that it need not hold the
/// seal key itself; it opens nothing else.
#[derive(Clone)]
pub struct ChallengeKey(Key);

impl ChallengeKey {
    /// Reads the stored form; `None` unless it has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<ChallengeKey> {
        Key::from_slice(bytes).map(ChallengeKey)
    }

    /// The form to be stored behind the barrier.
    pub fn danger_expose(&self) -> &[u8; 32] {
        self.0.danger_expose()
    }

    /// Seals 32 random bytes that only who can open the seal gets to know.
    pub fn seal(&self, challenge: &[u8; 32], entropy: &Entropy) -> Vec<u8> {
        self.0.encrypt(entropy, CHALLENGE, challenge)
    }

    /// Opens a challenge.
    ///
    /// # Errors
    /// [`SealError::WrongKey`] if it was sealed by another seal.
    pub fn open(&self, sealed: &[u8]) -> Result<Key, SealError> {
        self.0.decrypt(CHALLENGE, sealed).and_then(|bytes| Key::from_slice(&bytes)).ok_or(SealError::WrongKey)
    }
}

/// What the wrapped root key is bound to.
fn wrap_context(check_key: &[u8; 32]) -> Vec<u8> {
    [WRAP, b"\0", check_key.as_slice()].concat()
}

/// The kind of seal that this module makes.
pub const SHAMIR: &str = "shamir";

const WRAP: &[u8] = b"holdfast seal 1: wrap root key";
const SIGN: &[u8] = b"holdfast seal 1: check key";
const CHALLENGE: &[u8] = b"holdfast seal 1: join challenge";

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};

    use super::*;

    const PARAMS: Params = Params { shares: 5, threshold: 3 };

    #[test]
    fn opens_what_it_wrapped_and_nothing_else() {
        let entropy = Entropy::seeded_u64(1);
        let (seal, root) = (SealKey::generate(&entropy), RootKey::generate(&entropy));
        let config = seal.wrap_root(&root, PARAMS, &entropy);
        assert_eq!((config.kind.as_str(), config.shares, config.threshold), ("shamir", 5, 3));
        assert!(seal.unwrap_root(&config).unwrap().key().same(root.key()));

        let other = SealKey::generate(&entropy);
        assert_eq!(other.unwrap_root(&config).err(), Some(SealError::WrongKey));
        let forged = SealConfig { check_key: other.check_key(), ..config.clone() };
        assert_eq!(other.unwrap_root(&forged).err(), Some(SealError::WrongKey));
        let mut altered = config.wrapped_root_key.to_vec();
        altered[20] ^= 1;
        let altered = SealConfig { wrapped_root_key: altered.into(), ..config };
        assert_eq!(seal.unwrap_root(&altered).err(), Some(SealError::WrongKey));
    }

    #[test]
    fn signs_the_lifting_of_a_seal_record() {
        let seal = SealKey::generate(&Entropy::seeded_u64(2));
        let signature = Signature::from_slice(&seal.sign_unseal("cluster", &[7; 16])).unwrap();
        let key = VerifyingKey::from_bytes(&seal.check_key()).unwrap();
        assert!(key.verify_strict(&plain::unseal_message("cluster", &[7; 16]), &signature).is_ok());
        assert!(key.verify_strict(&plain::unseal_message("cluster", &[8; 16]), &signature).is_err());
        assert!(key.verify_strict(&plain::unseal_message("other", &[7; 16]), &signature).is_err());
    }

    #[test]
    fn challenges_open_with_the_same_seal_only() {
        let entropy = Entropy::seeded_u64(3);
        let seal = SealKey::generate(&entropy);
        let sealed = seal.challenge_key().seal(&[9; 32], &entropy);
        assert_eq!(seal.challenge_key().open(&sealed).unwrap().danger_expose(), &[9; 32]);
        let stored = ChallengeKey::from_slice(seal.challenge_key().danger_expose()).unwrap();
        assert_eq!(stored.open(&sealed).unwrap().danger_expose(), &[9; 32]);
        assert_eq!(SealKey::generate(&entropy).challenge_key().open(&sealed).err(), Some(SealError::WrongKey));
        assert_eq!(seal.challenge_key().open(&sealed[1..]).err(), Some(SealError::WrongKey));
    }
}
