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

pub use keyring::{KeyInfo, Keyring, SEALED_MAX, needs_rotation};
pub use root::RootKey;
pub use txn::BarrierTxn;

use crate::runtime::{Entropy, UnixTime};
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
        match slot.as_ref() {
            // Sealed while the keyring was being opened: stay so.
            None => return Err(BarrierError::Sealed),
            // Somebody who looked later was faster: never go back.
            Some(present) if present.active() >= newer.active() => {}
            Some(_) => *slot = Some(Arc::new(newer)),
        }
        Ok(())
    }
}

/// The next edition of `keyring`, with a new active term, and the record to commit for it.
///
/// Only the keyring's record changes. The root key's record must stay as it is: it is what leads a node that has the
/// present keyring to the next one, and that node does not have the new term yet ([`Barrier::follow`]).
///
/// # Errors
/// As [`Keyring::open`], if `root` is not the root key's present record.
pub fn rotate(
    keyring: &Keyring,
    root: &plain::RootKey,
    entropy: &Entropy,
    now: UnixTime,
) -> Result<(Keyring, plain::Keyring), BarrierError> {
    let root = RootKey::unwrap_under(keyring, root)?;
    let next = keyring.rotate(entropy, now);
    let record = next.encrypt(&root, entropy);
    Ok((next, record))
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

    #[test]
    fn a_standby_follows_rotations_of_keyring_and_root_key() {
        let entropy = Entropy::seeded_u64(1);
        let root = RootKey::generate(&entropy);
        let first = Keyring::generate(&entropy, UnixTime(1));
        let barrier = Barrier::new();
        assert!(matches!(barrier.keyring(), Err(BarrierError::Sealed)));
        let wrapped = root.wrap_under(&first, &entropy);
        barrier.unseal(first);

        let (second, record) = rotate(&barrier.keyring().unwrap(), &wrapped, &entropy, UnixTime(2)).unwrap();
        // A root key's record under the new term would lead nobody to it.
        let too_new = barrier.follow(&record, &root.wrap_under(&second, &entropy));
        assert!(matches!(too_new, Err(BarrierError::UnknownTerm(2))));
        barrier.follow(&record, &wrapped).unwrap();
        assert_eq!(barrier.keyring().unwrap().active(), 2);

        let new_root = RootKey::generate(&entropy);
        let rewrapped = new_root.wrap_under(&second, &entropy);
        barrier.follow(&second.encrypt(&new_root, &entropy), &rewrapped).unwrap();
        assert!(barrier.follow(&second.encrypt(&root, &entropy), &rewrapped).is_err());

        barrier.seal();
        assert!(barrier.keyring().is_err());
        assert!(matches!(barrier.follow(&second.encrypt(&root, &entropy), &wrapped), Err(BarrierError::Sealed)));
    }
}
