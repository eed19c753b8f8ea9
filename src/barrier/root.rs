//! The root key: encrypts the keyring, and is itself stored wrapped, once a seal and once under the keyring.

use super::cipher::Key;
use super::{BarrierError, Keyring};
use crate::runtime::Entropy;
use crate::storage::plain;
use crate::storage::schema::{self, Kind};

/// The root key. Held only while it is used.
pub struct RootKey(Key);

impl RootKey {
    /// A new random root key.
    pub fn generate(entropy: &Entropy) -> RootKey {
        RootKey(Key::generate(entropy))
    }

    /// A root key that a seal has opened; `None` unless it has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<RootKey> {
        Key::from_slice(bytes).map(RootKey)
    }

    /// The key itself.
    pub fn key(&self) -> &Key {
        &self.0
    }

    /// The root key under the keyring's active term, so that an unsealed node can follow a new root key and open the
    /// keyring's next edition without its seal. A rotation of the keyring leaves this record alone: the term that sealed
    /// it is one that every node has which has not seen the rotation yet.
    pub fn wrap_under(&self, keyring: &Keyring, entropy: &Entropy) -> plain::RootKey {
        let sealed = keyring.seal(entropy, &schema::key(Kind::RootKey, b""), self.0.danger_expose());
        plain::RootKey { term: sealed.term, sealed: sealed.bytes }
    }

    /// The reverse of [`RootKey::wrap_under`].
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn unwrap_under(keyring: &Keyring, stored: &plain::RootKey) -> Result<RootKey, BarrierError> {
        let bytes = keyring.open(&schema::key(Kind::RootKey, b""), &stored.sealed)?;
        RootKey::from_slice(&bytes).ok_or(BarrierError::Format)
    }
}
