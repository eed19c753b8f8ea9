//! Collecting shares until they open the seal.
//!
//! A node takes shares even when it cannot use them yet: before it has joined, or has caught up with the cluster and so
//! knows the present seal configuration. They stay here (a *pending unseal*) until [`UnsealProgress::resolve`] can tell;
//! a reset or the end of the process drops them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{SealError, SealKey, shamir};
use crate::runtime::Entropy;
use crate::secret::Secret;
use crate::storage::plain::SealConfig;

/// The shares of one attempt to unseal. Without I/O and time.
#[derive(Default)]
pub struct UnsealProgress {
    shares: Vec<Secret>,
    nonce: String,
}

impl UnsealProgress {
    /// No shares yet.
    pub fn new() -> UnsealProgress {
        UnsealProgress::default()
    }

    /// Takes a share, as hex or base64. The first one of an attempt draws its nonce; a share that is here already
    /// changes nothing.
    ///
    /// # Errors
    /// If the text cannot be a share; the attempt goes on.
    pub fn add(&mut self, text: &str, entropy: &Entropy) -> Result<(), SealError> {
        let share = decode(text)?;
        if self.shares.iter().any(|known| known.same(share.danger_expose())) {
            return Ok(());
        }
        // Bounded whoever sends what: a seal has at most 255 shares.
        if self.shares.len() >= usize::from(u8::MAX) {
            self.reset();
        }
        if self.shares.is_empty() {
            self.nonce = entropy.uuid();
        }
        self.shares.push(share);
        Ok(())
    }

    /// Drops all shares.
    pub fn reset(&mut self) {
        *self = UnsealProgress::default();
    }

    /// How many different shares there are.
    pub fn count(&self) -> usize {
        self.shares.len()
    }

    /// Names this attempt; empty if there are no shares.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The bytes that a text stands for, of whatever size.
    ///
    /// # Errors
    /// If it is empty, or neither hex nor base64.
    pub fn read(text: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SealError::NoShare);
        }
        let bytes = hex::decode(text).or_else(|_| STANDARD.decode(text)).map_err(|_| SealError::NotHexOrBase64)?;
        Ok(Zeroizing::new(bytes))
    }

    /// Whether the shares suffice for `config`. With a `config` that may be out of date that only says that the answer
    /// is a pending unseal.
    pub fn is_complete(&self, config: &SealConfig) -> bool {
        self.shares.len() >= usize::from(config.threshold.max(1))
    }

    /// Decides with the present `config`: the seal key if the shares give it, `None` if there are not enough of them.
    /// Call it after each share once the node has caught up, and once when it has with shares pending.
    ///
    /// # Errors
    /// If the shares are enough and do not open this seal. With an error as with a key, the attempt is over.
    pub fn resolve(&mut self, config: &SealConfig) -> Result<Option<SealKey>, SealError> {
        if !self.is_complete(config) {
            return Ok(None);
        }
        let shares = std::mem::take(self).shares;
        let key = match shares.as_slice() {
            [whole] if config.threshold <= 1 => SealKey::from_slice(whole.danger_expose())?,
            shares => SealKey::from_slice(shamir::combine(shares)?.danger_expose())?,
        };
        key.verify(config)?;
        Ok(Some(key))
    }
}

/// A share from its text.
fn decode(text: &str) -> Result<Secret, SealError> {
    let bytes = UnsealProgress::read(text)?;
    match bytes.len() {
        ..SHARE_MIN => Err(SealError::TooShort),
        SHARE_MIN..=SHARE_MAX => Ok(Secret::new(bytes.to_vec())),
        _ => Err(SealError::TooLong),
    }
}

/// Bytes of the shortest share that is looked at.
pub(super) const SHARE_MIN: usize = 16;
/// Bytes of a share: a byte for each of the seal key, and x.
pub(super) const SHARE_MAX: usize = 33;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barrier::RootKey;
    use crate::seal::Params;

    struct Cluster {
        config: SealConfig,
        shares: Vec<String>,
    }

    fn cluster(seed: u64, shares: u8, threshold: u8) -> Cluster {
        let entropy = Entropy::seeded_u64(seed);
        let key = SealKey::generate(&entropy);
        let config = key.wrap_root(&RootKey::generate(&entropy), Params { shares, threshold }, &entropy);
        let parts = crate::seal::init::split(&key, Params { shares, threshold }, &entropy);
        Cluster { config, shares: parts.iter().map(|part| hex::encode(part.danger_expose())).collect() }
    }

    /// Adds a share and resolves at once, as a node that has caught up.
    fn step(progress: &mut UnsealProgress, share: &str, cluster: &Cluster) -> Result<bool, String> {
        progress.add(share, &Entropy::seeded_u64(9)).map_err(|error| error.to_string())?;
        progress.resolve(&cluster.config).map(|key| key.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_threshold_of_different_shares_opens() {
        let a = cluster(1, 5, 3);
        let mut progress = UnsealProgress::new();
        assert_eq!((progress.count(), progress.nonce()), (0, ""));
        assert_eq!(step(&mut progress, &a.shares[4], &a), Ok(false));
        let nonce = progress.nonce().to_string();
        assert_eq!(nonce.len(), 36);
        assert_eq!(step(&mut progress, &a.shares[4].to_uppercase(), &a), Ok(false));
        assert_eq!((progress.count(), progress.nonce()), (1, nonce.as_str()));
        let base64 = STANDARD.encode(hex::decode(&a.shares[0]).unwrap());
        assert_eq!(step(&mut progress, &base64, &a), Ok(false));
        assert_eq!(progress.count(), 2);
        assert_eq!(step(&mut progress, &a.shares[2], &a), Ok(true));
        assert_eq!((progress.count(), progress.nonce()), (0, ""));
    }

    #[test]
    fn a_single_share_is_the_key() {
        let a = cluster(2, 1, 1);
        assert_eq!(a.shares[0].len(), 64);
        assert_eq!(step(&mut UnsealProgress::new(), &a.shares[0], &a), Ok(true));
        assert!(step(&mut UnsealProgress::new(), &"ab".repeat(32), &a).unwrap_err().contains("another cluster"));
    }

    #[test]
    fn wrong_shares_end_the_attempt_in_the_words_of_the_api() {
        let (a, b) = (cluster(1, 3, 2), cluster(2, 3, 2));
        let end = |shares: [&str; 2]| {
            let mut progress = UnsealProgress::new();
            assert_eq!(step(&mut progress, shares[0], &a), Ok(false));
            let error = step(&mut progress, shares[1], &a).unwrap_err();
            assert_eq!(progress.count(), 0);
            error
        };
        assert!(end([&a.shares[0], &b.shares[0]]).starts_with(
            "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: message \
             authentication failed"
        ));
        assert_eq!(
            end([&a.shares[0], &"ab".repeat(20)]),
            "invalid key: failed to compute combined key: all parts must be the same length"
        );
        let same_x = format!("{}{}", "11".repeat(32), &a.shares[0][64..]);
        assert_eq!(
            end([&a.shares[0], &same_x]),
            "invalid key: failed to compute combined key: duplicate part detected"
        );
        assert_eq!(
            end([&"ab".repeat(32), &"ac".repeat(32)]),
            "invalid key: failed to setup unseal key: invalid key size 31"
        );
    }

    #[test]
    fn bad_texts_do_not_end_the_attempt() {
        let a = cluster(1, 3, 2);
        let mut progress = UnsealProgress::new();
        step(&mut progress, &a.shares[0], &a).unwrap();
        for (text, error) in [
            ("", "'key' must be specified in request body as JSON, or 'reset' set to true"),
            ("zz!", "'key' must be a valid hex or base64 string"),
            ("abababab", "invalid key: key is shorter than minimum 16 bytes"),
            (&"ab".repeat(34), "invalid key: key is longer than maximum 33 bytes"),
        ] {
            assert_eq!(step(&mut progress, text, &a), Err(error.to_string()));
        }
        assert_eq!(step(&mut progress, &a.shares[1], &a), Ok(true));
    }

    #[test]
    fn pending_shares_wait_for_the_present_configuration() {
        let (old, new) = (cluster(1, 3, 2), cluster(2, 5, 3));
        let mut progress = UnsealProgress::new();
        let entropy = Entropy::seeded_u64(5);
        for share in &new.shares[..2] {
            progress.add(share, &entropy).unwrap();
        }
        // The node's own configuration is out of date and thinks that two suffice.
        assert!(progress.is_complete(&old.config));
        assert!(!progress.is_complete(&new.config));
        assert!(progress.resolve(&new.config).unwrap().is_none());
        progress.add(&new.shares[2], &entropy).unwrap();
        progress.add(&new.shares[3], &entropy).unwrap();
        let key = progress.resolve(&new.config).unwrap().unwrap();
        assert!(key.unwrap_root(&new.config).is_ok());

        progress.add(&old.shares[0], &entropy).unwrap();
        progress.reset();
        assert_eq!((progress.count(), progress.nonce()), (0, ""));
    }
}
