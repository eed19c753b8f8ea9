//! Random draws of the simulator itself: one stream a purpose, each derived from the seed, so that a draw more in one
//! place does not change what another place draws.

use std::ops::Range;
use std::time::Duration;

use holdfast::runtime::Entropy;
use sha2::{Digest, Sha256};

/// The 32-byte seed of the stream `purpose` under `seed`.
pub fn stream_seed(seed: u64, purpose: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"holdfast-sim stream");
    hasher.update(seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.finalize().into()
}

/// A stream of draws. Clones share the stream.
#[derive(Clone)]
pub struct Draw(Entropy);

impl Draw {
    /// The stream `purpose` under `seed`.
    pub fn new(seed: u64, purpose: &str) -> Draw {
        Draw(Entropy::seeded(stream_seed(seed, purpose)))
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.below(bound) }
    }

    /// An index into something of length `len`.
    ///
    /// # Panics
    /// Panics if `len` is zero.
    pub fn index(&self, len: usize) -> usize {
        assert!(len > 0, "a draw from nothing");
        self.below(len as u64) as usize
    }

    /// True once in `n` times; never for 0.
    pub fn one_in(&self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// True with a probability of `percent` in a hundred.
    pub fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A duration in `range`, in whole microseconds; the start if the range is empty.
    pub fn duration(&self, range: &Range<Duration>) -> Duration {
        let spread = range.end.saturating_sub(range.start).as_micros() as u64;
        range.start + Duration::from_micros(self.below(spread))
    }

    /// A number of 64 bits.
    pub fn bits(&self) -> u64 {
        self.0.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_apart() {
        let (a, b, c) = (Draw::new(7, "a"), Draw::new(7, "a"), Draw::new(7, "b"));
        let drawn: Vec<u64> = (0..8).map(|_| a.bits()).collect();
        assert_eq!(drawn, (0..8).map(|_| b.bits()).collect::<Vec<_>>());
        assert_ne!(drawn, (0..8).map(|_| c.bits()).collect::<Vec<_>>());
    }

    #[test]
    fn an_empty_range_gives_its_start() {
        let second = Duration::from_secs(1);
        assert_eq!(Draw::new(1, "x").duration(&(second..second)), second);
    }
}
