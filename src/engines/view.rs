//! A mount's part of a transaction: keys relative to the mount's prefix.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::backend::MountTxn;
use crate::barrier::BarrierTxn;
use crate::core::Result;
use crate::storage::schema;

/// A [`MountTxn`] over a [`BarrierTxn`].
pub struct MountView<'a> {
    txn: &'a mut BarrierTxn,
    prefix: Vec<u8>,
}

impl<'a> MountView<'a> {
    /// The part of `txn` that belongs to the mount with this UUID.
    pub fn new(txn: &'a mut BarrierTxn, namespace: u32, mount: &[u8; 16]) -> MountView<'a> {
        MountView { txn, prefix: schema::mount_prefix(namespace, mount) }
    }

    fn key(&self, key: &str) -> Bytes {
        [self.prefix.as_slice(), key.as_bytes()].concat().into()
    }
}

impl MountTxn for MountView<'_> {
    fn get<'a>(&'a mut self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        let key = self.key(key);
        Box::pin(async move { Ok(self.txn.get(&key).await?) })
    }

    fn put(&mut self, key: &str, value: &[u8]) {
        self.txn.put(self.key(key), value);
    }

    fn delete(&mut self, key: &str) {
        self.txn.delete(self.key(key));
    }

    fn list<'a>(&'a mut self, prefix: &'a str, after: &'a str, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        let prefix = self.key(prefix);
        Box::pin(async move { Ok(self.txn.list(&prefix, after, limit).await?) })
    }
}
