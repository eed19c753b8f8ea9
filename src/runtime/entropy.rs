//! Randomness for nonces, ids and keys. Production asks the operating system; a simulation seeds it by node and
//! incarnation, so that whatever reaches a log, a file or an answer repeats.

use std::sync::{Arc, Mutex, PoisonError};

use rand_core::{RngCore, SeedableRng};

#[derive(Clone)]
enum Source {
    Os(fn(&mut [u8])),
    Seeded(Arc<Mutex<rand_chacha::ChaCha12Rng>>),
}

/// A handle to the node's entropy.
#[derive(Clone)]
pub struct Entropy(Source);

impl Entropy {
    /// Entropy of the operating system, filled by `fill`.
    pub(crate) fn os(fill: fn(&mut [u8])) -> Entropy {
        Entropy(Source::Os(fill))
    }

    /// A repeatable stream. For simulations and tests only.
    pub fn seeded(seed: [u8; 32]) -> Entropy {
        Entropy(Source::Seeded(Arc::new(Mutex::new(rand_chacha::ChaCha12Rng::from_seed(seed)))))
    }

    /// A repeatable stream from a number. For simulations and tests only.
    pub fn seeded_u64(seed: u64) -> Entropy {
        Entropy(Source::Seeded(Arc::new(Mutex::new(rand_chacha::ChaCha12Rng::seed_from_u64(seed)))))
    }

    /// A generator of its own (ChaCha12), seeded once from this one: for what many draw from all the time.
    #[must_use]
    pub fn stream(&self) -> Entropy {
        Entropy::seeded(self.bytes())
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.0 {
            Source::Os(fill) => fill(bytes),
            Source::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes),
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random number.
    pub fn next_u64(&self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A uniformly drawn number in `0..bound`; `bound` must not be zero.
    pub fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "a random number below zero");
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let drawn = self.next_u64();
            if drawn < zone {
                return drawn % bound;
            }
        }
    }

    /// A random UUID (RFC 9562, version 4) in its usual text form.
    pub fn uuid(&self) -> String {
        let mut b: [u8; 16] = self.bytes();
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let mut text = hex::encode(b);
        for dash in [8, 13, 18, 23] {
            text.insert(dash, '-');
        }
        text
    }

    /// `length` characters drawn uniformly from `A-Za-z0-9`.
    pub fn base62(&self, length: usize) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(ALPHABET[self.below(62) as usize])).collect()
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}
