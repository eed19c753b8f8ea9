//! Replicated state as everything above reads it: an ordered map from key to value and revision, at an applied index.

use std::io;

use bytes::Bytes;

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
pub struct State {}

impl State {
    /// The value of `key`.
    ///
    /// # Errors
    /// An I/O error of the engine; the node is then faulted.
    pub async fn get(&self, key: &[u8]) -> io::Result<Option<Versioned>> {
        let _ = key;
        unimplemented!()
    }

    /// At most `limit` pairs with `from <= key < to`, in order, as of one applied index.
    pub async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Pair>> {
        let _ = (from, to, limit);
        unimplemented!()
    }

    /// The highest applied index that reads see.
    pub fn applied(&self) -> u64 {
        unimplemented!()
    }

    /// Raised by each restore; part of every batch.
    pub fn epoch(&self) -> u64 {
        unimplemented!()
    }

    /// Calls `listener` with each written or deleted key before the index that wrote it is visible to readers, and with
    /// `None` when everything may have changed (a snapshot was installed, a generation switched).
    pub fn on_change(&self, listener: std::sync::Arc<dyn Fn(Option<&[u8]>) + Send + Sync>) {
        let _ = listener;
        unimplemented!()
    }
}
