//! Work that the active node does by itself: expiry, the rest of revocations, data of disabled mounts, rotation. Each
//! step is small and bound to the Raft term it was begun in: with the leadership it ends, and the next active node
//! takes up what is marked.

use std::time::Duration;

use super::{Core, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::limits;
use crate::raft::command::Body;
use crate::storage::schema;
use crate::token::{self, keys};

/// Between two looks for work when there was none.
const PAUSE: Duration = Duration::from_secs(1);

impl Core {
    /// Works until the term is over.
    pub(crate) async fn work(self, term: u64) {
        while self.is_active_in(term) {
            let busy = match self.work_once(term).await {
                Ok(busy) => busy,
                Err(error) => {
                    tracing::debug!(%error, "background work will be tried again");
                    false
                }
            };
            if !busy {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// One bounded step of each kind of work; whether there was any.
    async fn work_once(&self, term: u64) -> Result<bool> {
        let unsealed = self.unsealed().await?;
        self.linearize().await?;
        let mut busy = self.expire_tokens(&unsealed, term).await?;
        busy |= self.finish_revocations(&unsealed, term).await?;
        busy |= self.delete_disabled_mounts(&unsealed, term).await?;
        busy |= self.remove_ended_policies(&unsealed, term).await?;
        busy |= self.finish_removals(&unsealed).await?;
        busy |= self.promote_learners(&unsealed).await?;
        self.rotate_if_worn(&unsealed, term).await?;
        Ok(busy)
    }

    pub(super) fn begin_in(&self, unsealed: &Unsealed, term: u64) -> BarrierTxn {
        let mut txn = self.begin(unsealed);
        txn.below().bind_to_term(term);
        txn
    }

    async fn expire_tokens(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let mut txn = self.begin_in(unsealed, term);
        let now = self.runtime.clock.now();
        let expired = token::store::expired(&mut txn, now, limits::REVOKE_PAGE as u32).await?;
        for (at, hash) in &expired {
            match token::store::get(&mut txn, hash).await? {
                Some(entry) if entry.is_expired(now) => {
                    token::store::revoke(&mut txn, &unsealed.secrets.salt, hash, &entry);
                }
                // Gone, or renewed: its place in the index is an old one.
                _ => txn.delete(keys::expiry(*at, hash)),
            }
        }
        self.commit(txn).await?;
        Ok(!expired.is_empty())
    }

    /// Takes a step for each token that was revoked: its cubbyhole, then a page of its children, then the mark.
    async fn finish_revocations(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let from = keys::all_revoking();
        let marks = self.raft.state().scan(&from, &schema::prefix_end(&from), limits::REVOKE_PAGE).await?;
        for (mark, _) in &marks {
            let Some(hash) = keys::revoking_of(mark) else { continue };
            self.empty_cubbyhole(unsealed, &hash).await?;
            let mut txn = self.begin_in(unsealed, term);
            let from = keys::children(&hash);
            let children = txn.scan_keys(&from, &schema::prefix_end(&from), limits::REVOKE_PAGE as u32).await?;
            for key in &children {
                let Some(child) = keys::child_of(key) else { continue };
                txn.delete(key.clone());
                if let Some(entry) = token::store::get(&mut txn, &child).await? {
                    token::store::revoke(&mut txn, &unsealed.secrets.salt, &child, &entry);
                }
            }
            if children.len() < limits::REVOKE_PAGE {
                txn.delete(mark.clone());
            }
            self.commit(txn).await?;
        }
        Ok(!marks.is_empty())
    }

    async fn empty_cubbyhole(&self, unsealed: &Unsealed, hash: &token::Hash) -> Result<()> {
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        let Some(found) = router.at("cubbyhole/") else { return Ok(()) };
        let mut prefix = schema::mount_prefix(found.record.namespace, &found.record.uuid);
        prefix.extend_from_slice(format!("{}/", hex::encode(hash)).as_bytes());
        if self.raft.state().scan(&prefix, &schema::prefix_end(&prefix), 1).await?.is_empty() {
            return Ok(());
        }
        self.delete_prefix(prefix).await
    }

    async fn delete_prefix(&self, prefix: Vec<u8>) -> Result<()> {
        let epoch = self.raft.state().epoch();
        let prefix = bytes::Bytes::from(prefix);
        while self.propose(Body::DeletePrefix { epoch, prefix: prefix.clone(), limit: limits::DELETE_PAGE }).await? {}
        Ok(())
    }

    async fn delete_disabled_mounts(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let mounts = self.disabling_mounts(unsealed).await?;
        for mount in &mounts {
            self.delete_prefix(schema::mount_prefix(mount.namespace, &mount.uuid)).await?;
            let mut txn = self.begin_in(unsealed, term);
            txn.delete(mount.key());
            self.commit(txn).await?;
        }
        Ok(!mounts.is_empty())
    }

    async fn rotate_if_worn(&self, unsealed: &Unsealed, term: u64) -> Result<()> {
        let sealed = self.sealed_with(unsealed.keyring.active()).await?;
        if crate::barrier::needs_rotation(sealed) {
            let mut txn = self.begin_in(unsealed, term);
            self.rotate(unsealed, &mut txn).await?;
            self.commit(txn).await?;
        }
        Ok(())
    }
}
