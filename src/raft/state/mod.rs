//! Replicated state as everything above reads it: an ordered map from key to value and revision, at an applied index.
//!
//! [`State`] reads; [`crate::raft::state_machine::StateMachine`] writes and is openraft's alone. Below them are two
//! engines, RocksDB and an ordered map in memory, and `home`, which keeps generations of either on disk.

pub(crate) mod apply;
pub(crate) mod engine;
pub(crate) mod hash;
pub(crate) mod home;
mod mem;
mod rocks;
pub(crate) mod shared;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use bytes::Bytes;

pub use engine::{EngineKind, Meta};
pub use hash::{Hashes, SetHash};
pub use home::OpenError;
pub use shared::{Fingerprint, Listener};

use crate::limits;
use crate::runtime::Pool;
use crate::storage::schema;
use engine::Engine;
use shared::Shared;

/// A value and the log index of its last write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The log index of the last write; never 0.
    pub revision: u64,
    /// The bytes as written.
    pub value: Bytes,
}

/// A key with its value, as listed.
pub type Pair = (Bytes, Versioned);

/// Reads of replicated state. Cheap to clone.
#[derive(Clone)]
pub struct State {
    shared: Arc<Shared>,
}

impl State {
    pub(crate) fn new(shared: Arc<Shared>) -> State {
        State { shared }
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// An I/O error of the engine; the node is then faulted.
    pub async fn get(&self, key: &[u8]) -> io::Result<Option<Versioned>> {
        if let Some(found) = self.get_now(key) {
            return found;
        }
        let (engine, key) = (self.shared.engine(), Bytes::copy_from_slice(key));
        let found = self.shared.offload.run(Pool::State, move || engine.get(&key)).await;
        found.map_err(|error| self.shared.faulted(error))
    }

    /// The value of `key` if it can be had without touching the disk: at once, on any thread. `None` if only
    /// [`State::get`] can tell.
    pub fn get_now(&self, key: &[u8]) -> Option<io::Result<Option<Versioned>>> {
        let found = self.shared.engine().get_now(key)?;
        Some(found.map_err(|error| self.shared.faulted(error)))
    }

    /// At most `limit` pairs with `from <= key < to`, in order, as of one applied index.
    ///
    /// # Errors
    /// An I/O error of the engine; the node is then faulted.
    pub async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Pair>> {
        self.read(from, to, move |engine, from, to| engine.scan(from, to, limit)).await
    }

    /// At most `limit` keys of `from..to`, in order, as of one commit; memory is for the keys alone.
    ///
    /// # Errors
    /// As [`State::scan`].
    pub async fn keys(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Bytes>> {
        self.read(from, to, move |engine, from, to| engine.keys(from, to, limit)).await
    }

    /// All keys that begin with `prefix`, in order, read in pages: a write between two of them may be seen or not.
    ///
    /// # Errors
    /// As [`State::scan`].
    pub async fn all_keys(&self, prefix: &[u8]) -> io::Result<Vec<Bytes>> {
        let (mut from, to) = (prefix.to_vec(), schema::prefix_end(prefix));
        let mut all = Vec::new();
        loop {
            let page = self.keys(&from, &to, limits::SCAN_PAGE_KEYS).await?;
            let is_last = page.len() < limits::SCAN_PAGE_KEYS;
            all.extend(page);
            match all.last() {
                Some(last) if !is_last => from = schema::after(last),
                _ => return Ok(all),
            }
        }
    }

    /// Reads a range of the engine: here if that never waits for a disk, else on a thread that may.
    async fn read<T: Send + 'static>(
        &self,
        from: &[u8],
        to: &[u8],
        work: impl FnOnce(&Engine, &[u8], &[u8]) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let engine = self.shared.engine();
        let found = if engine.never_blocks() {
            work(&engine, from, to)
        } else {
            let (from, to) = (from.to_vec(), to.to_vec());
            self.shared.offload.run(Pool::State, move || work(&engine, &from, &to)).await
        };
        found.map_err(|error| self.shared.faulted(error))
    }

    /// The highest applied index that reads see; 0 if nothing was applied.
    pub fn applied(&self) -> u64 {
        self.shared.fingerprint().applied
    }

    /// Raised by each restore; part of every batch.
    pub fn epoch(&self) -> u64 {
        self.shared.fingerprint().epoch
    }

    /// The set hash of all (key, revision, value): equal on all replicas at one applied index.
    pub fn set_hash(&self) -> SetHash {
        self.shared.fingerprint().hashes.revisions
    }

    /// Applied index, epoch and set hashes, all of one moment.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.fingerprint()
    }

    /// Waits until reads see `index`.
    ///
    /// # Errors
    /// If the state is faulted: it will never get there.
    pub async fn wait_applied(&self, index: u64) -> io::Result<()> {
        self.shared.wait_applied(index).await
    }

    /// Bytes of the log that were applied since the newest checkpoint: the caller triggers a snapshot when they exceed
    /// its limit.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.shared.bytes_since_checkpoint()
    }

    /// Which engine keeps it: a snapshot of another cannot be installed here.
    pub fn engine(&self) -> EngineKind {
        self.shared.engine().kind()
    }

    /// The I/O error that ended this state's work, if one did. Only a new process gets out of it.
    pub fn fault(&self) -> Option<String> {
        self.shared.fault()
    }

    /// Calls `listener` with each written or deleted key before the index that wrote it is visible to readers, and with
    /// `None` when everything may have changed (a snapshot was installed, a generation switched). It runs on the thread
    /// that applies: it marks, and does no work.
    pub fn on_change(&self, listener: Listener) {
        self.shared.listen(listener);
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State at {}", self.applied())
    }
}
