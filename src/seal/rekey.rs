//! New shares for a root key that stays: a new seal key wraps it, and nothing below it is encrypted anew.

use super::{ChallengeKey, Params, SealKey, init};
use crate::barrier::RootKey;
use crate::runtime::Entropy;
use crate::secret::Secret;
use crate::storage::plain::SealConfig;

/// A seal that takes the place of another. The shares are for who asked for them and for nobody else.
pub struct Rekeyed {
    /// The shares of the new seal key.
    pub shares: Vec<Secret>,
    /// What is to be committed.
    pub seal: NewSeal,
}

/// The records of a new seal.
pub struct NewSeal {
    /// How the root key is wrapped now.
    pub config: SealConfig,
    /// Seals the challenges of joining nodes from now on.
    pub challenge_key: ChallengeKey,
}

/// Wraps the root key of `present`, which `key` opens, under a new seal key.
///
/// # Errors
/// [`super::SealError::WrongKey`] if it does not open it.
pub fn rekey(
    key: &SealKey,
    present: &SealConfig,
    params: Params,
    entropy: &Entropy,
) -> Result<Rekeyed, super::SealError> {
    let root: RootKey = key.unwrap_root(present)?;
    let new = SealKey::generate(entropy);
    let config = new.wrap_root(&root, params, entropy);
    let seal = NewSeal { config, challenge_key: new.challenge_key() };
    Ok(Rekeyed { shares: init::split(&new, params, entropy), seal })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{SealError, UnsealProgress};

    #[test]
    fn new_shares_open_the_same_root_key_and_the_old_ones_open_nothing() {
        let entropy = Entropy::seeded_u64(1);
        let (old, root) = (SealKey::generate(&entropy), RootKey::generate(&entropy));
        let present = old.wrap_root(&root, Params { shares: 1, threshold: 1 }, &entropy);
        for (shares, threshold) in [(1, 1), (3, 2), (5, 5)] {
            let made = rekey(&old, &present, Params { shares, threshold }, &entropy).expect("it opens");
            let config = &made.seal.config;
            assert_eq!((made.shares.len(), config.shares, config.threshold), (shares.into(), shares, threshold));
            let mut progress = UnsealProgress::new();
            for share in made.shares.iter().rev().take(threshold.into()) {
                progress.add(&hex::encode(share.danger_expose()), &entropy).expect("a share");
            }
            let key = progress.resolve(config).expect("they fit").expect("they are enough");
            assert!(key.unwrap_root(config).expect("it opens").key().same(root.key()));
            assert_eq!(key.challenge_key().danger_expose(), made.seal.challenge_key.danger_expose());
            assert_eq!(old.unwrap_root(config).err(), Some(SealError::WrongKey));
            assert_eq!(rekey(&old, config, Params { shares, threshold }, &entropy).err(), Some(SealError::WrongKey));
        }
    }
}
