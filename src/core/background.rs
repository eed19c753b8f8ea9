//! Work that the active node does by itself: expiry, the rest of revocations, data of disabled mounts, rotation. Each
//! step is small and bound to the Raft term it was begun in: with the leadership it ends, and the next active node
//! takes up what is marked.

use std::time::Duration;

use super::{Core, Error, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::limits;
use crate::raft::command::Body;
use crate::storage::schema;

/// Between two looks for work when there was none.
const PAUSE: Duration = Duration::from_secs(1);

/// Before the next step when one ran into a conflict.
const SHORT_PAUSE: Duration = Duration::from_millis(10);

impl Core {
    /// Works until the term is over.
    pub(crate) async fn work(self, term: u64) {
        let mut version_noted = false;
        while self.is_active_in(term) {
            let began = tokio::time::Instant::now();
            match self.work_once(term, &mut version_noted).await {
                // Requests come first: the work takes half of the time at most, however much there is.
                Ok(true) => tokio::time::sleep(began.elapsed()).await,
                Ok(false) => tokio::time::sleep(PAUSE).await,
                // Somebody else has written what was looked at.
                Err(Error::Conflict) => tokio::time::sleep(SHORT_PAUSE).await,
                Err(error) => {
                    tracing::debug!(%error, "background work will be tried again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// One bounded step of each kind of work; whether there was any.
    async fn work_once(&self, term: u64, version_noted: &mut bool) -> Result<bool> {
        let unsealed = self.unsealed().await?;
        self.linearize().await?;
        if !*version_noted {
            self.note_version(&unsealed, term).await?;
            *version_noted = true;
        }
        let mut busy = self.expire_tokens(&unsealed, term).await?;
        busy |= self.finish_revocations(&unsealed, term).await?;
        busy |= self.finish_orphaning(&unsealed, term).await?;
        busy |= self.finish_tidying(&unsealed, term).await?;
        busy |= self.finish_prefix_revocations(&unsealed, term).await?;
        busy |= self.delete_disabled_mounts(&unsealed, term).await?;
        busy |= self.remove_ended_policies(&unsealed, term).await?;
        busy |= self.finish_removals(&unsealed).await?;
        busy |= self.promote_learners(&unsealed).await?;
        self.rotate_if_worn(&unsealed, term).await?;
        // Last: an object that cannot be read keeps nothing else from being done.
        busy |= self.upgrade_mounts(&unsealed, term).await?;
        Ok(busy)
    }

    pub(super) fn begin_in(&self, unsealed: &Unsealed, term: u64) -> BarrierTxn {
        let mut txn = self.begin(unsealed);
        txn.below().bind_to_term(term);
        txn
    }

    pub(super) async fn delete_prefix(&self, prefix: Vec<u8>) -> Result<()> {
        while self.delete_page(&prefix).await? {}
        Ok(())
    }

    /// Deletes a bounded number of keys; whether more are left.
    async fn delete_page(&self, prefix: &[u8]) -> Result<bool> {
        let (epoch, prefix) = (self.raft.state().epoch(), bytes::Bytes::copy_from_slice(prefix));
        self.propose(Body::DeletePrefix { epoch, prefix, limit: limits::DELETE_PAGE }).await
    }

    /// A page of the data of each disabled mount, so that other work goes on beside a large one; the record goes last.
    async fn delete_disabled_mounts(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let mounts = self.disabling_mounts(unsealed).await?;
        for mount in &mounts {
            if self.delete_page(&schema::mount_prefix(mount.namespace, &mount.uuid)).await? {
                continue;
            }
            let mut txn = self.begin_in(unsealed, term);
            txn.delete(mount.key());
            self.commit(txn).await?;
        }
        Ok(!mounts.is_empty())
    }

    async fn rotate_if_worn(&self, unsealed: &Unsealed, term: u64) -> Result<()> {
        let sealed = self.sealed_with(unsealed.keyring.active()).await?;
        let mut txn = self.begin_in(unsealed, term);
        let age = self.runtime.clock.now().since(unsealed.keyring.info().installed);
        if super::sys::schedule(&mut txn).await?.is_due(age, sealed) {
            self.rotate(unsealed, &mut txn).await?;
            self.commit(txn).await?;
        }
        Ok(())
    }
}
