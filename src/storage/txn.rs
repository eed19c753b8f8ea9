//! A transaction: what a request read and what it writes, committed as one command that holds only if all it read is
//! still so (cluster-protocol, section 7).

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use super::schema;
use crate::raft::command::{Batch, Check, RangeCheck, Write};
use crate::raft::state::{Pair, State, Versioned};

/// Bytes that the barrier sealed for one key. Only `barrier/` makes them: below it there is ciphertext only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub(crate) term: u32,
    pub(crate) bytes: Bytes,
}

/// A transaction in preparation.
pub struct Txn {
    state: State,
    epoch: u64,
    term: Option<u64>,
    checks: BTreeMap<Bytes, u64>,
    ranges: Vec<RangeCheck>,
    writes: BTreeMap<Bytes, Option<Bytes>>,
    sealed: BTreeMap<u32, u32>,
}

impl Txn {
    /// A transaction over `state` as it is now.
    pub fn new(state: State) -> Txn {
        let epoch = state.epoch();
        Txn {
            state,
            epoch,
            term: None,
            checks: BTreeMap::new(),
            ranges: Vec::new(),
            writes: BTreeMap::new(),
            sealed: BTreeMap::new(),
        }
    }

    /// The state below, for reads that are not part of the read set.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Binds the commit to a Raft term: background work of an earlier leadership must fail.
    pub fn bind_to_term(&mut self, term: u64) {
        self.term = Some(term);
    }

    /// The stored bytes of `key`, which becomes part of the read set. A key written before in this transaction cannot
    /// be read again: keep what you wrote.
    pub async fn get(&mut self, key: &[u8]) -> io::Result<Option<Versioned>> {
        debug_assert!(!self.writes.contains_key(key), "a transaction reads a key it has written");
        let found = self.state.get(key).await?;
        self.expect(key, found.as_ref().map_or(0, |found| found.revision));
        Ok(found)
    }

    /// Puts a key that was read elsewhere (a view) into the read set. The first revision seen stays.
    pub fn expect(&mut self, key: &[u8], revision: u64) {
        self.checks.entry(Bytes::copy_from_slice(key)).or_insert(revision);
    }

    /// Empties the read set: only planted bugs do so.
    pub fn forget_reads(&mut self) {
        self.checks.clear();
        self.ranges.clear();
    }

    /// At most `limit` pairs of `from..to`; the range becomes part of the read set.
    pub async fn list(&mut self, from: &[u8], to: &[u8], limit: u32) -> io::Result<Vec<Pair>> {
        let pairs = self.state.scan(from, to, limit as usize).await?;
        self.ranges.push(RangeCheck {
            from: Bytes::copy_from_slice(from),
            to: Bytes::copy_from_slice(to),
            limit,
            count: pairs.len() as u32,
            revision: pairs.iter().map(|(_, found)| found.revision).max().unwrap_or(0),
        });
        Ok(pairs)
    }

    /// Sets `key` to bytes sealed for it.
    pub fn put(&mut self, key: Bytes, value: Sealed) {
        debug_assert!(schema::is_sealed(&key), "a sealed value under a plain key");
        *self.sealed.entry(value.term).or_insert(0) += 1;
        self.writes.insert(key, Some(value.bytes));
    }

    /// Sets a plain record that a sealed node must read.
    pub fn put_plain(&mut self, key: Bytes, value: Bytes) {
        assert!(!schema::is_sealed(&key), "a plain value under a sealed key");
        self.writes.insert(key, Some(value));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: Bytes) {
        self.writes.insert(key, None);
    }

    /// Whether there is nothing to commit.
    pub fn is_read_only(&self) -> bool {
        self.writes.is_empty()
    }

    /// The batch to propose.
    pub fn into_batch(self) -> Batch {
        Batch {
            epoch: self.epoch,
            term: self.term,
            checks: self.checks.into_iter().map(|(key, revision)| Check { key, revision }).collect(),
            ranges: self.ranges,
            writes: self
                .writes
                .into_iter()
                .map(|(key, value)| match value {
                    Some(value) => Write::Put { key, value },
                    None => Write::Delete { key },
                })
                .collect(),
            sealed: self.sealed.into_iter().collect(),
        }
    }
}
