//! KV mounts on their way from version 1 to 2: each object becomes the first version of a key.
//!
//! The commit that changes the mount's option marks its record, and from then on no request reads or writes its data.
//! The active node moves the objects a page at a time, each page in one commit that takes them out of their old place:
//! what is left there is what is left to do, for the next active node too. The last commit takes the mark away.

use bytes::Bytes;

use super::mount::{Class, Mount};
use super::views::Found;
use super::{Core, Error, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::engines::view::MountView;
use crate::engines::{kv1, kv2};
use crate::limits;
use crate::storage::schema;

/// 400: the mount's data is being moved.
pub(crate) fn unavailable() -> Error {
    Error::invalid(
        "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will \
         resume service shortly.",
    )
}

impl Core {
    /// Moves a page of each mount that is being upgraded; whether there was any.
    pub(super) async fn upgrade_mounts(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        let mut busy = false;
        for found in router.all(Class::Secret).filter(|found| found.record.upgrading) {
            self.upgrade_page(unsealed, term, found).await?;
            busy = true;
        }
        Ok(busy)
    }

    async fn upgrade_page(&self, unsealed: &Unsealed, term: u64, mount: &Found<Mount>) -> Result<()> {
        let mut txn = self.begin_upgrade(unsealed, term, mount);
        let root = schema::mount_prefix(mount.record.namespace, &mount.record.uuid);
        let from = [root.as_slice(), kv1::DATA.as_bytes()].concat();
        let keys = self.raft.state().keys(&from, &schema::prefix_end(&from), limits::UPGRADE_PAGE_KEYS).await?;
        if keys.is_empty() {
            let done = Mount { upgrading: false, ..Mount::clone(&mount.record) };
            txn.put(done.key(), &done.encode());
            return self.commit(txn).await;
        }
        let now = self.runtime.clock.now();
        let mut bytes = 0;
        for key in &keys {
            let path =
                std::str::from_utf8(&key[from.len()..]).map_err(|_| Error::Internal("a key is no text".into()))?;
            // Read outside of the read set: nobody else writes here, and an object may fill a whole entry.
            let Some(stored) = self.raft.state().get(key).await? else { continue };
            let is_large = stored.value.len() > limits::UPGRADE_PAGE_BYTES;
            bytes += 4 * key.len() + stored.value.len();
            if bytes > limits::UPGRADE_PAGE_BYTES && key != &keys[0] {
                break;
            }
            let object = Bytes::from_owner(unsealed.keyring.open(key, &stored.value)?);
            let mut view = MountView::new(&mut txn, mount.record.namespace, &mount.record.uuid);
            kv2::upgrade::put_data(&mut view, path, &object);
            if is_large {
                self.commit(txn).await?;
                txn = self.begin_upgrade(unsealed, term, mount);
            }
            let mut view = MountView::new(&mut txn, mount.record.namespace, &mount.record.uuid);
            kv2::upgrade::put_metadata(&mut view, path, now);
            txn.delete(key.clone());
        }
        self.commit(txn).await
    }

    fn begin_upgrade(&self, unsealed: &Unsealed, term: u64, mount: &Found<Mount>) -> BarrierTxn {
        let mut txn = self.begin_in(unsealed, term);
        txn.below().expect(&mount.record.key(), mount.revision);
        txn
    }
}
