//! AES-256-GCM (NIST SP 800-38D) with 96-bit random nonces, for all that is encrypted at rest.

use aes_gcm::aead::AeadInPlace;
use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::{Aes256Gcm, KeyInit};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::runtime::Entropy;

/// A 256-bit key: wiped when dropped, no `Debug`, on the heap so that moving it leaves no copies behind.
pub struct Key(Box<[u8; 32]>);

impl Key {
    /// A new random key.
    pub fn generate(entropy: &Entropy) -> Key {
        let mut key = Key::zero();
        entropy.fill(key.0.as_mut_slice());
        key
    }

    /// A key of all zeros, to be filled in place.
    pub(crate) fn zero() -> Key {
        Key(Box::new([0; 32]))
    }

    /// Copies a key; `None` unless it has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Key> {
        let mut key = Key::zero();
        (bytes.len() == key.0.len()).then(|| {
            key.0.copy_from_slice(bytes);
            key
        })
    }

    /// The bytes themselves: never log, store or send them in plain.
    pub fn danger_expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The bytes, to be filled in place.
    pub(crate) fn danger_expose_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }

    /// Whether both are the same key, in constant time.
    pub fn same(&self, other: &Key) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    /// Encrypts `plaintext` as nonce, ciphertext and tag; `context` must be given again to decrypt.
    pub fn encrypt(&self, entropy: &Entropy, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        encrypt(&self.cipher(), entropy, context, plaintext, &[])
    }

    /// The reverse of [`Key::encrypt`]; `None` if key, context or bytes are not the same.
    pub fn decrypt(&self, context: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        decrypt(&self.cipher(), context, bytes)
    }

    /// The expanded key (the `aes` crate wipes it on drop).
    pub(super) fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(GenericArray::from_slice(self.0.as_slice()))
    }
}

impl Clone for Key {
    fn clone(&self) -> Key {
        Key(self.0.clone())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// `header`, nonce, ciphertext and tag.
pub(super) fn encrypt(
    cipher: &Aes256Gcm,
    entropy: &Entropy,
    context: &[u8],
    plaintext: &[u8],
    header: &[u8],
) -> Vec<u8> {
    let nonce: [u8; NONCE] = entropy.bytes();
    let start = header.len() + NONCE;
    let mut out = Vec::with_capacity(start + plaintext.len() + TAG);
    out.extend_from_slice(header);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plaintext);
    let tag = cipher
        .encrypt_in_place_detached(GenericArray::from_slice(&nonce), context, &mut out[start..])
        .expect("a value is shorter than the 64 GiB that GCM takes");
    out.extend_from_slice(&tag);
    out
}

/// Opens nonce, ciphertext and tag.
pub(super) fn decrypt(cipher: &Aes256Gcm, context: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = bytes.split_at_checked(NONCE)?;
    let (ciphertext, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    cipher
        .decrypt_in_place_detached(GenericArray::from_slice(nonce), context, &mut plain, GenericArray::from_slice(tag))
        .ok()?;
    Some(plain)
}

/// Bytes of a nonce.
pub(super) const NONCE: usize = 12;
/// Bytes of a tag.
pub(super) const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_only_its_own() {
        let entropy = Entropy::seeded_u64(7);
        let (a, b) = (Key::generate(&entropy), Key::generate(&entropy));
        let sealed = a.encrypt(&entropy, b"ctx", b"hello");
        assert_eq!(sealed.len(), NONCE + 5 + TAG);
        assert_eq!(a.decrypt(b"ctx", &sealed).unwrap().as_slice(), b"hello");
        assert!(b.decrypt(b"ctx", &sealed).is_none());
        assert!(a.decrypt(b"other", &sealed).is_none());
        for end in 0..sealed.len() {
            assert!(a.decrypt(b"ctx", &sealed[..end]).is_none());
        }
        assert!(a.same(&a.clone()) && !a.same(&b));
        assert!(Key::from_slice(&[0; 31]).is_none());
    }

    /// Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", AES-256 with associated data.
    #[test]
    fn known_vector() {
        let key = hex::decode("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308").unwrap();
        let bytes = hex::decode(concat!(
            "cafebabefacedbaddecaf888",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b"
        ));
        let context = hex::decode("feedfacedeadbeeffeedfacedeadbeefabaddad2").unwrap();
        let plain = Key::from_slice(&key).unwrap().decrypt(&context, &bytes.unwrap()).unwrap();
        assert!(hex::encode(plain.as_slice()).starts_with("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da"));
    }
}
