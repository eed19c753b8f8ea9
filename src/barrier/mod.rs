//! Encryption at rest. The [`Barrier`] holds the keyring while the node is unsealed and nothing while it is sealed;
//! below it there is ciphertext only.
//!
//! Root key -> [`Keyring`] (one AES-256-GCM key a term) -> values. The root key itself is not kept in memory: it is
//! stored once more under the keyring ([`RootKey::wrap_under`]) and opened for the moment of a rotation.

pub mod cipher;
pub mod keyring;
mod names;
pub mod root;
pub mod txn;

use std::sync::{Arc, PoisonError, RwLock};

pub use keyring::{KeyInfo, Keyring};
pub use root::RootKey;
pub use txn::BarrierTxn;

use crate::storage::plain;

/// Whether this node is unsealed, and the keyring if so. A cheap handle: clones share the state.
#[derive(Clone, Default)]
pub struct Barrier(Arc<RwLock<Option<Arc<Keyring>>>>);

impl Barrier {
    /// A sealed barrier.
    pub fn new() -> Barrier {
        Barrier::default()
    }

    /// The keyring. Who holds it can finish what it began although the node is sealed meanwhile; so hold it for one
    /// request, not longer.
    ///
    /// # Errors
    /// [`BarrierError::Sealed`].
    pub fn keyring(&self) -> Result<Arc<Keyring>, BarrierError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(BarrierError::Sealed)
    }

    /// Whether the node is sealed.
    pub fn is_sealed(&self) -> bool {
        self.keyring().is_err()
    }

    /// Unseals the node, or replaces the keyring of an unsealed one after a rotation.
    pub fn unseal(&self, keyring: Keyring) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keyring));
    }

    /// Seals the node: its keys are wiped as soon as the last request that uses them ends.
    pub fn seal(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes over a keyring or root key that was replaced in replicated state, as an unsealed standby must.
    ///
    /// # Errors
    /// [`BarrierError::Sealed`]; [`BarrierError::UnknownTerm`] or [`BarrierError::Tampered`] if this node missed so
    /// much that its own keyring does not lead to the new one: then it has to be sealed and unsealed again.
    pub fn follow(&self, keyring: &plain::Keyring, root: &plain::RootKey) -> Result<(), BarrierError> {
        let held = self.keyring()?;
        let root = RootKey::unwrap_under(&held, root)?;
        let newer = Keyring::decrypt(&root, keyring)?;
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Sealed while the keyring was being opened: stay so.
        if slot.is_none() {
            return Err(BarrierError::Sealed);
        }
        *slot = Some(Arc::new(newer));
        Ok(())
    }
}

/// Why the barrier did not seal or open something.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// The node holds no keys.
    #[error("Vault is sealed")]
    Sealed,
    /// A value of a term that this node's keyring lacks (it has not applied the rotation yet).
    #[error("the keyring has no key of term {0}")]
    UnknownTerm(u32),
    /// A value or key record of a format that this build does not know, or too short to be one.
    #[error("a sealed record of an unknown format")]
    Format,
    /// The bytes were altered, belong to another storage key, or the key is wrong.
    #[error("a sealed record does not open: it was altered, moved, or sealed by another key")]
    Tampered,
    /// The storage engine failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Entropy, UnixTime};

    #[test]
    fn a_standby_follows_rotations_of_keyring_and_root_key() {
        let entropy = Entropy::seeded_u64(1);
        let root = RootKey::generate(&entropy);
        let first = Keyring::generate(&entropy, UnixTime(1));
        let barrier = Barrier::new();
        assert!(matches!(barrier.keyring(), Err(BarrierError::Sealed)));
        let wrapped = root.wrap_under(&first, &entropy);
        barrier.unseal(first);

        let second = barrier.keyring().unwrap().rotate(&entropy, UnixTime(2));
        barrier.follow(&second.encrypt(&root, &entropy), &wrapped).unwrap();
        assert_eq!(barrier.keyring().unwrap().active(), 2);

        let new_root = RootKey::generate(&entropy);
        let rewrapped = new_root.wrap_under(&second, &entropy);
        barrier.follow(&second.encrypt(&new_root, &entropy), &rewrapped).unwrap();
        assert!(barrier.follow(&second.encrypt(&root, &entropy), &rewrapped).is_err());

        barrier.seal();
        assert!(barrier.is_sealed());
        assert!(matches!(barrier.follow(&second.encrypt(&root, &entropy), &wrapped), Err(BarrierError::Sealed)));
    }
}
