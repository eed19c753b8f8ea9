//! The incremental set hash: a sum over all pairs of a hash of each, so that a write costs two hashes whatever the size
//! of the set, and the order of writes does not matter (AdHash: Bellare and Micciancio, "A new paradigm for collision-free
//! hashing", 1997). It tells diverged replicas apart; it is no proof against who can choose the stored bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Versioned;

/// A sum modulo 2^256 of one BLAKE3 hash a pair, least significant word first.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetHash([u64; 4]);

impl SetHash {
    fn add(&mut self, element: &[u64; 4]) {
        let mut carry = false;
        for (sum, term) in self.0.iter_mut().zip(element) {
            let (partial, over) = sum.overflowing_add(*term);
            let (total, over_again) = partial.overflowing_add(u64::from(carry));
            (*sum, carry) = (total, over || over_again);
        }
    }

    fn subtract(&mut self, element: &[u64; 4]) {
        let mut borrow = false;
        for (sum, term) in self.0.iter_mut().zip(element) {
            let (partial, under) = sum.overflowing_sub(*term);
            let (total, under_again) = partial.overflowing_sub(u64::from(borrow));
            (*sum, borrow) = (total, under || under_again);
        }
    }
}

impl fmt::Display for SetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for SetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The set hash kept twice: replicas are compared with revisions, archives without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    /// Over (key, revision, value).
    pub revisions: SetHash,
    /// Over (key, value).
    pub content: SetHash,
}

impl Hashes {
    /// Takes a pair in.
    pub(super) fn insert(&mut self, key: &[u8], found: &Versioned) {
        let (content, revisions) = elements(key, found);
        self.content.add(&content);
        self.revisions.add(&revisions);
    }

    /// Takes a pair out that was taken in before.
    pub(super) fn remove(&mut self, key: &[u8], found: &Versioned) {
        let (content, revisions) = elements(key, found);
        self.content.subtract(&content);
        self.revisions.subtract(&revisions);
    }
}

/// The hash of (key, value), and of that hash with the revision.
fn elements(key: &[u8], found: &Versioned) -> ([u64; 4], [u64; 4]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key).update(&found.value);
    let content = hasher.finalize();
    let mut hasher = blake3::Hasher::new();
    hasher.update(content.as_bytes()).update(&found.revision.to_le_bytes());
    (words(content.as_bytes()), words(hasher.finalize().as_bytes()))
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
    }
    words
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sum_carries_over_all_words() {
        let mut sum = SetHash([u64::MAX; 4]);
        sum.add(&[1, 0, 0, 0]);
        assert_eq!(sum, SetHash::default());
        sum.subtract(&[1, 0, 0, 0]);
        assert_eq!(sum, SetHash([u64::MAX; 4]));
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter_and_removal_undoes(
            pairs in prop::collection::vec((any::<Vec<u8>>(), 1..u64::MAX, any::<Vec<u8>>()), 0..20),
        ) {
            let pairs: Vec<_> = pairs
                .into_iter()
                .map(|(key, revision, value)| (key, Versioned { revision, value: Bytes::from(value) }))
                .collect();
            let (mut forward, mut backward) = (Hashes::default(), Hashes::default());
            pairs.iter().for_each(|(key, found)| forward.insert(key, found));
            pairs.iter().rev().for_each(|(key, found)| backward.insert(key, found));
            prop_assert_eq!(forward, backward);
            pairs.iter().for_each(|(key, found)| forward.remove(key, found));
            prop_assert_eq!(forward, Hashes::default());
        }
    }
}
