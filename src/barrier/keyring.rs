//! The keyring: one AES-256-GCM key a term. New values are sealed with the active term; older terms only open.
//!
//! A sealed value is a format byte, the term (u32, big-endian), a 96-bit random nonce, ciphertext and tag, with the
//! whole storage key as associated data: a value opens only under the key that it was written to.

use std::collections::BTreeMap;
use std::sync::Arc;

use aes_gcm::Aes256Gcm;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::cipher::{self, Key};
use super::{BarrierError, RootKey};
use crate::runtime::{Entropy, UnixTime};
use crate::storage::schema::{self, Kind};
use crate::storage::{Sealed, plain};

/// All terms' keys. No `Debug`; the keys are wiped when dropped.
pub struct Keyring {
    active: u32,
    terms: BTreeMap<u32, Arc<Term>>,
}

/// One term's key, expanded once.
struct Term {
    key: Key,
    cipher: Aes256Gcm,
    installed: UnixTime,
}

/// What may be said of the active key (`sys/key-status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The term.
    pub term: u32,
    /// When its key was made.
    pub installed: UnixTime,
}

impl Keyring {
    /// A keyring with a first random key, of term 1.
    pub fn generate(entropy: &Entropy, now: UnixTime) -> Keyring {
        Keyring { active: 1, terms: BTreeMap::from([(1, Arc::new(Term::new(Key::generate(entropy), now)))]) }
    }

    /// This keyring with a new active term.
    ///
    /// # Panics
    /// After 2^32 rotations.
    #[must_use]
    pub fn rotate(&self, entropy: &Entropy, now: UnixTime) -> Keyring {
        let active = self.active.checked_add(1).expect("fewer than 2^32 rotations");
        let mut terms = self.terms.clone();
        terms.insert(active, Arc::new(Term::new(Key::generate(entropy), now)));
        Keyring { active, terms }
    }

    /// The term that new values are sealed with.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// Term and installation time of the active key.
    pub fn info(&self) -> KeyInfo {
        KeyInfo { term: self.active, installed: self.terms[&self.active].installed }
    }

    /// Seals a value for the storage key `key`.
    pub fn seal(&self, entropy: &Entropy, key: &[u8], plaintext: &[u8]) -> Sealed {
        let mut header = [FORMAT; HEADER];
        header[1..].copy_from_slice(&self.active.to_be_bytes());
        let bytes = cipher::encrypt(&self.terms[&self.active].cipher, entropy, key, plaintext, &header);
        Sealed { term: self.active, bytes: bytes.into() }
    }

    /// Opens the value stored under `key`.
    ///
    /// # Errors
    /// If it is of an unknown format or term, was altered, or was sealed for another key.
    pub fn open(&self, key: &[u8], stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, BarrierError> {
        let (header, rest) = stored.split_at_checked(HEADER).ok_or(BarrierError::Format)?;
        if header[0] != FORMAT {
            return Err(BarrierError::Format);
        }
        let term = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let term = self.terms.get(&term).ok_or(BarrierError::UnknownTerm(term))?;
        cipher::decrypt(&term.cipher, key, rest).ok_or(BarrierError::Tampered)
    }

    /// The stored form, encrypted by the root key.
    pub fn encrypt(&self, root: &RootKey, entropy: &Entropy) -> plain::Keyring {
        let encrypted = root.key().encrypt(entropy, &context(self.active), &self.serialize());
        plain::Keyring { active: self.active, encrypted: encrypted.into() }
    }

    /// Opens the stored form.
    ///
    /// # Errors
    /// [`BarrierError::Tampered`] if the root key is another or the record was altered; [`BarrierError::Format`] if
    /// what was encrypted is no keyring of this build.
    pub fn decrypt(root: &RootKey, stored: &plain::Keyring) -> Result<Keyring, BarrierError> {
        let bytes = root.key().decrypt(&context(stored.active), &stored.encrypted).ok_or(BarrierError::Tampered)?;
        Keyring::deserialize(&bytes).filter(|keyring| keyring.active == stored.active).ok_or(BarrierError::Format)
    }

    /// Format byte, active term, then (term, installation time, key) of each; big-endian. Made in one allocation, so
    /// that no copy is left behind.
    fn serialize(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(HEADER + self.terms.len() * TERM));
        out.push(FORMAT);
        out.extend_from_slice(&self.active.to_be_bytes());
        for (number, term) in &self.terms {
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(&term.installed.0.to_be_bytes());
            out.extend_from_slice(term.key.danger_expose());
        }
        out
    }

    fn deserialize(bytes: &[u8]) -> Option<Keyring> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        if header[0] != FORMAT || rest.len() % TERM != 0 {
            return None;
        }
        let active = u32::from_be_bytes(header[1..].try_into().ok()?);
        let mut terms = BTreeMap::new();
        for entry in rest.chunks_exact(TERM) {
            let number = u32::from_be_bytes(entry[..4].try_into().ok()?);
            let installed = UnixTime(i64::from_be_bytes(entry[4..12].try_into().ok()?));
            terms.insert(number, Arc::new(Term::new(Key::from_slice(&entry[12..])?, installed)));
        }
        terms.contains_key(&active).then_some(Keyring { active, terms })
    }
}

impl Term {
    fn new(key: Key, installed: UnixTime) -> Term {
        let cipher = key.cipher();
        Term { key, cipher, installed }
    }
}

/// Whether a term that has sealed `sealed` values must be replaced: random 96-bit nonces are safe for 2^32 values (NIST
/// SP 800-38D, 8.3); a rotation takes time, so it begins at a quarter of that.
pub fn needs_rotation(sealed: u64) -> bool {
    sealed >= SEALED_MAX
}

/// What the encrypted keyring is bound to: its place and its active term.
fn context(active: u32) -> Bytes {
    schema::key(Kind::Keyring, &active.to_be_bytes())
}

/// Values that one term seals before it is due to be replaced.
pub const SEALED_MAX: u64 = 1 << 30;

const FORMAT: u8 = 1;
const HEADER: usize = 1 + 4;
const TERM: usize = 4 + 8 + 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entropy() -> Entropy {
        Entropy::seeded_u64(42)
    }

    #[test]
    fn older_terms_still_open() {
        let first = Keyring::generate(&entropy(), UnixTime(5));
        let old = first.seal(&entropy(), b"k", b"v");
        let second = first.rotate(&entropy(), UnixTime(9));
        assert_eq!(second.info(), KeyInfo { term: 2, installed: UnixTime(9) });
        assert_eq!(second.open(b"k", &old.bytes).unwrap().as_slice(), b"v");
        let new = second.seal(&entropy(), b"k", b"v");
        assert_eq!(new.term, 2);
        assert!(matches!(first.open(b"k", &new.bytes), Err(BarrierError::UnknownTerm(2))));
    }

    #[test]
    fn the_stored_form_comes_back_and_is_bound_to_root_key_and_term() {
        let root = RootKey::generate(&entropy());
        let keyring = Keyring::generate(&entropy(), UnixTime(5)).rotate(&entropy(), UnixTime(6));
        let value = keyring.seal(&entropy(), b"k", b"v");
        let stored = keyring.encrypt(&root, &entropy());
        let back = Keyring::decrypt(&root, &stored).unwrap();
        assert_eq!(back.info(), keyring.info());
        assert_eq!(back.open(b"k", &value.bytes).unwrap().as_slice(), b"v");

        let other = Entropy::seeded_u64(1);
        assert!(matches!(Keyring::decrypt(&RootKey::generate(&other), &stored), Err(BarrierError::Tampered)));
        let lowered = plain::Keyring { active: 1, ..stored };
        assert!(matches!(Keyring::decrypt(&root, &lowered), Err(BarrierError::Tampered)));
    }

    #[test]
    fn rotation_is_due_at_a_quarter_of_the_safe_number() {
        assert!(!needs_rotation((1 << 30) - 1));
        assert!(needs_rotation(1 << 30));
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(key: Vec<u8>, value: Vec<u8>, seed: u64) {
            let entropy = Entropy::seeded_u64(seed);
            let keyring = Keyring::generate(&entropy, UnixTime(0));
            let sealed = keyring.seal(&entropy, &key, &value);
            prop_assert_eq!(sealed.bytes.len(), HEADER + cipher::NONCE + value.len() + cipher::TAG);
            let opened = keyring.open(&key, &sealed.bytes).unwrap();
            prop_assert_eq!(opened.as_slice(), value.as_slice());
        }

        #[test]
        fn an_altered_value_does_not_open(value: Vec<u8>, at: prop::sample::Index, bit in 0..8u32) {
            let keyring = Keyring::generate(&entropy(), UnixTime(0));
            let mut bytes = keyring.seal(&entropy(), b"key", &value).bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(keyring.open(b"key", &bytes).is_err());
        }

        #[test]
        fn a_value_does_not_open_under_another_key(a: Vec<u8>, b: Vec<u8>, value: Vec<u8>) {
            prop_assume!(a != b);
            let keyring = Keyring::generate(&entropy(), UnixTime(0));
            let sealed = keyring.seal(&entropy(), &a, &value);
            prop_assert!(matches!(keyring.open(&b, &sealed.bytes), Err(BarrierError::Tampered)));
        }

        #[test]
        fn garbage_is_an_error(key: Vec<u8>, bytes: Vec<u8>) {
            let keyring = Keyring::generate(&entropy(), UnixTime(0));
            prop_assert!(keyring.open(&key, &bytes).is_err());
            prop_assert!(Keyring::deserialize(&bytes).is_none() || bytes.len() >= HEADER + TERM);
        }
    }
}
