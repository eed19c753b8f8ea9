//! A transaction above the barrier: plain values in and out, sealed on the way down at commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::names::Names;
use super::{BarrierError, Keyring};
use crate::raft::command::Batch;
use crate::raft::state::Versioned;
use crate::runtime::Entropy;
use crate::storage::{Txn, schema};

/// A [`Txn`] that seals and opens. Reads see its own writes; a key is read from the store at most once.
pub struct BarrierTxn {
    txn: Txn,
    keyring: Arc<Keyring>,
    entropy: Entropy,
    known: BTreeMap<Bytes, Known>,
}

/// A plain value this transaction knows of; the bytes are wiped with their last handle.
enum Known {
    Read(Option<Bytes>),
    Written(Option<Bytes>),
}

impl BarrierTxn {
    /// Wraps a transaction that has not written yet.
    pub fn new(txn: Txn, keyring: Arc<Keyring>, entropy: Entropy) -> BarrierTxn {
        BarrierTxn { txn, keyring, entropy, known: BTreeMap::new() }
    }

    /// The plain value of `key`, a key of a sealed kind; the key becomes part of the read set.
    ///
    /// # Errors
    /// An I/O error of the store, or a value that does not open.
    pub async fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, BarrierError> {
        if let Some(Known::Read(value) | Known::Written(value)) = self.known.get(key) {
            return Ok(value.clone());
        }
        let value = match self.txn.get(key).await? {
            Some(found) => Some(Bytes::from_owner(self.keyring.open(key, &found.value)?)),
            None => None,
        };
        self.known.insert(Bytes::copy_from_slice(key), Known::Read(value.clone()));
        Ok(value)
    }

    /// Sets `key`, a key of a sealed kind.
    pub fn put(&mut self, key: Bytes, value: &[u8]) {
        assert!(schema::is_sealed(&key), "a value to be sealed under a plain key");
        let value = Bytes::from_owner(zeroize::Zeroizing::new(value.to_vec()));
        self.known.insert(key, Known::Written(Some(value)));
    }

    /// Removes `key`, a key of a sealed kind; fine if absent.
    pub fn delete(&mut self, key: Bytes) {
        self.known.insert(key, Known::Written(None));
    }

    /// At most `limit` names right below `prefix`, behind `after`, in byte order; a folder ends with `/` and comes once.
    /// Sees this transaction's own writes; not part of the read set.
    ///
    /// # Errors
    /// An I/O error of the store.
    pub async fn list(&mut self, prefix: &[u8], after: &str, limit: usize) -> Result<Vec<String>, BarrierError> {
        let mut names = Names::new(prefix.to_vec(), after, limit);
        let mut size = PAGE_MIN;
        while let Some((from, to)) = names.range() {
            let before = names.len();
            let page = self.txn.state().keys(&from, &to, size).await?;
            let complete = page.len() < size;
            names.feed(page.iter().map(AsRef::as_ref), complete, |key| {
                matches!(self.known.get(key), Some(Known::Written(None)))
            });
            // Of a folder one key is wanted, of names all: the pages grow as long as their keys are of use.
            let is_useful = names.len() - before > size / 2;
            size = if is_useful { (2 * size).min(PAGE_MAX) } else { PAGE_MIN };
        }
        let own = self.known.range(Bytes::copy_from_slice(prefix)..);
        Ok(names.finish(
            own.take_while(|(key, _)| key.starts_with(prefix))
                .filter(|(_, known)| matches!(known, Known::Written(Some(_))))
                .map(|(key, _)| key.as_ref()),
        ))
    }

    /// At most `limit` keys of `from..to`; the range becomes part of the read set. It does not see this transaction's own
    /// writes.
    ///
    /// # Errors
    /// An I/O error of the store.
    pub async fn scan_keys(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<Bytes>, BarrierError> {
        Ok(self.txn.list(from, to, limit).await?.into_iter().map(|(key, _)| key).collect())
    }

    /// At most `limit` records of `from..to` with revision and plain value, in order, without this transaction's own
    /// writes; the range becomes part of the read set.
    ///
    /// # Errors
    /// As [`BarrierTxn::get`].
    pub async fn scan(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<(Bytes, u64, Bytes)>, BarrierError> {
        let pairs = self.txn.list(from, to, limit).await?;
        let open = |(key, found): (Bytes, Versioned)| {
            let plain = self.keyring.open(&key, &found.value)?;
            Ok((key, found.revision, Bytes::from_owner(plain)))
        };
        pairs.into_iter().map(open).collect()
    }

    /// The transaction below, for what is not sealed: plain records, expectations of views, the bound term.
    pub fn below(&mut self) -> &mut Txn {
        &mut self.txn
    }

    /// Whether there is nothing to commit.
    pub fn is_read_only(&self) -> bool {
        self.txn.is_read_only() && !self.known.values().any(|known| matches!(known, Known::Written(_)))
    }

    /// Seals what was written, in key order, and gives the batch to propose.
    pub fn into_batch(mut self) -> Batch {
        for (key, known) in self.known {
            match known {
                Known::Read(_) => {}
                Known::Written(None) => self.txn.delete(key),
                Known::Written(Some(value)) => {
                    let sealed = self.keyring.seal(&self.entropy, &key, &value);
                    self.txn.put(key, sealed);
                }
            }
        }
        self.txn.into_batch()
    }
}

/// Keys read at a time while listing, at first and among folders.
const PAGE_MIN: usize = 64;

/// Keys read at a time while listing a long folder.
const PAGE_MAX: usize = 4096;
