//! Token ids. An id is never stored: keys hold its HMAC under a salt behind the barrier.

use hmac::{Hmac, Mac};
use zeroize::ZeroizeOnDrop;

use crate::runtime::Entropy;

/// Random characters of an id or accessor.
const RANDOM_CHARACTERS: usize = 24;

/// Prefix of a service token.
pub const SERVICE: &str = "hvs.";

/// Characters of a service token's id.
pub const SERVICE_LENGTH: usize = SERVICE.len() + RANDOM_CHARACTERS;

/// HMAC-SHA-256 of an id under the salt.
pub type Hash = [u8; 32];

/// The salt; it lives behind the barrier.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Salt(pub [u8; 32]);

impl Salt {
    /// What stands for `id` in storage keys.
    pub fn hash(&self, id: &str) -> Hash {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        mac.update(id.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// A new service token's id.
pub fn service(entropy: &Entropy) -> String {
    format!("{SERVICE}{}", entropy.base62(RANDOM_CHARACTERS))
}

/// A new accessor.
pub fn accessor(entropy: &Entropy) -> String {
    entropy.base62(RANDOM_CHARACTERS)
}
