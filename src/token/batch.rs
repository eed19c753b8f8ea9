//! Batch tokens: the record is the token. It is encrypted under a key of its own, derived from the salt that lives
//! behind the barrier, so that nothing is stored and no nonce can come twice under one key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Entry, Salt};
use crate::barrier::cipher::Key;
use crate::runtime::Entropy;

/// Prefix of a batch token.
pub const PREFIX: &str = "hvb.";

/// What binds a ciphertext to this use, and the format's version.
const CONTEXT: &[u8] = b"holdfast batch token 1";

/// Random bytes that make each token's key its own.
const SEED_BYTES: usize = 16;

/// Whether an id is, or pretends to be, a batch token's.
pub fn is_batch(id: &str) -> bool {
    id.starts_with(PREFIX)
}

/// The id of a batch token: seed, nonce, ciphertext and tag in base64.
pub fn seal(salt: &Salt, entropy: &Entropy, entry: &Entry) -> String {
    let seed: [u8; SEED_BYTES] = entropy.bytes();
    let sealed = key(salt, &seed).encrypt(entropy, CONTEXT, &entry.encode());
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([seed.as_slice(), &sealed].concat()))
}

/// The record in a batch token; `None` if this cluster did not make it.
pub fn open(salt: &Salt, id: &str) -> Option<Entry> {
    let bytes = URL_SAFE_NO_PAD.decode(id.strip_prefix(PREFIX)?).ok()?;
    let (seed, sealed) = bytes.split_at_checked(SEED_BYTES)?;
    Entry::decode(&key(salt, seed).decrypt(CONTEXT, sealed)?)
}

fn key(salt: &Salt, seed: &[u8]) -> Key {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    hkdf::Hkdf::<sha2::Sha256>::new(Some(seed), &salt.0)
        .expand(CONTEXT, key.as_mut_slice())
        .expect("32 bytes are within HKDF's bound");
    Key::from_slice(key.as_slice()).expect("a key has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;

    #[test]
    fn a_batch_token_opens_with_its_salt_only_and_whole() {
        let entropy = Runtime::real().entropy;
        let salt = Salt([7; 32]);
        let entry = Entry { display_name: "token".into(), policies: vec!["a".into()], ..Entry::default() };
        let id = seal(&salt, &entropy, &entry);
        assert!(is_batch(&id));
        assert_eq!(open(&salt, &id), Some(entry));
        assert_eq!(open(&Salt([8; 32]), &id), None);
        for damaged in [&id[..id.len() - 2], "hvb.", "hvb.AAAA", "hvb.!", "hvs.abc", ""] {
            assert_eq!(open(&salt, damaged), None, "{damaged}");
        }
        let mut flipped = id.into_bytes();
        flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
        assert_eq!(open(&salt, std::str::from_utf8(&flipped).expect("ASCII")), None);
    }
}
