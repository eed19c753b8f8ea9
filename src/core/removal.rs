//! Members that leave: out of the membership, onto the list of removed incarnations, off the network. The two commits
//! cannot be one, so a mark comes before them: whatever becomes of the leader in between, the next one finishes.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{Core, Error, Result, Unsealed};
use crate::raft::MemberStatus;
use crate::raft::transport::REMOVED;
use crate::raft::types::Incarnation;
use crate::storage::plain;
use crate::storage::schema::{self, Kind};

/// A removal that was begun.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    label: String,
    public_key: [u8; 32],
    /// Another incarnation of its label takes its place, and both change in one membership change: until then it stays.
    replaced: bool,
}

impl Core {
    /// Removes a member by its label.
    ///
    /// # Errors
    /// 400 for an unknown label or the last voter; [`Error::Unknown`] once the removal is marked: it goes on by itself.
    pub(crate) async fn remove_member(&self, unsealed: &Unsealed, label: &str) -> Result<()> {
        let members = self.raft.members();
        let Some(member) = members.iter().find(|member| member.label == label) else {
            return Err(Error::invalid(format!("no member has the node id {label:?}")));
        };
        if member.voter && members.iter().filter(|member| member.voter).count() == 1 {
            return Err(Error::invalid("the last voter cannot be removed"));
        }
        if member.incarnation == self.raft.identity().incarnation() && self.hands_over().await {
            return Err(Error::Standby);
        }
        self.mark_removal(unsealed, member, false).await?;
        let removed = async {
            self.raft.remove(member.incarnation).await?;
            crate::runtime::point::die_at("a removal's commits");
            self.finish_removals(unsealed).await.map(drop)
        };
        removed.await.map_err(|error| Error::Unknown(format!("the removal was begun and goes on by itself: {error}")))
    }

    /// A leader that is to go hands over first, and its successor removes it: who leads while it is no member any more
    /// may have to stop half-way. Whether somebody else leads now; if nobody can, the removal is no less possible.
    async fn hands_over(&self) -> bool {
        let handed_over = self.raft.step_down().await;
        if let Err(error) = &handed_over {
            tracing::warn!(error, "the leader is to be removed and cannot hand over first");
        }
        handed_over.is_ok()
    }

    /// Remembers that a member is to go, before it leaves the membership.
    pub(crate) async fn mark_removal(&self, unsealed: &Unsealed, member: &MemberStatus, replaced: bool) -> Result<()> {
        let mut txn = self.begin(unsealed);
        let begun = Begun { label: member.label.clone(), public_key: member.public_key, replaced };
        txn.put(mark(member.incarnation), &plain::encode(&begun));
        self.commit(txn).await
    }

    /// Finishes removals that were begun: takes out of the membership who is still in it, and puts on the list who is
    /// not. Whether there was anything to do.
    pub(crate) async fn finish_removals(&self, unsealed: &Unsealed) -> Result<bool> {
        let from = schema::key(Kind::Pending, MARK);
        let marks = self.raft.state().scan(&from, &schema::prefix_end(&from), crate::limits::REVOKE_PAGE).await?;
        let members = self.raft.member_map();
        let mut busy = false;
        for (key, stored) in marks {
            let id = key.get(from.len()..).and_then(|id| id.try_into().ok()).map(Incarnation::from_be_bytes);
            let begun: Option<Begun> = plain::decode(&unsealed.keyring.open(&key, &stored.value)?);
            let (Some(id), Some(begun)) = (id, begun) else {
                return Err(Error::Internal("the mark of a removal has an unknown format".into()));
            };
            if members.contains_key(&id) {
                if !begun.replaced {
                    self.raft.remove(id).await?;
                    busy = true;
                }
                continue;
            }
            let mut txn = self.begin(unsealed);
            let removed = plain::Removed { label: begun.label, public_key: begun.public_key };
            txn.below().put_plain(schema::key(Kind::Removed, &id.to_be_bytes()), plain::encode(&removed));
            txn.delete(key);
            self.commit(txn).await?;
            tracing::info!(node = removed.label, "a member was removed");
            busy = true;
        }
        Ok(busy)
    }

    /// The log index at which an incarnation was removed.
    pub(crate) fn is_removed(&self, incarnation: Incarnation) -> Option<u64> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).get(&incarnation).copied()
    }

    /// Whether this node itself was removed, as far as it has heard.
    pub fn is_out(&self) -> bool {
        self.raft.transport().is_removed()
    }

    /// Drops what a removed node has no business with any more: keys, and shares that wait.
    pub(crate) fn leave(&self) {
        self.with_progress(|progress| progress.reset());
        self.drop_held_seal_key();
        if self.secrets_now().is_some() {
            self.drop_keys(REMOVED);
        }
    }

    /// What a client of a removed node is told: neither a seal nor a missing leader is what it would wait for.
    pub(crate) fn told_if_out(&self, error: Error) -> Error {
        match error {
            Error::Sealed | Error::Standby if self.is_out() => Error::Unavailable(REMOVED.into()),
            error => error,
        }
    }

    /// Reads what is to be known later without waiting for the disk: whether there is a cluster, and who was removed.
    /// What comes later is heard of as it is applied, but for what a snapshot brings.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub async fn load_known(&self) -> Result<()> {
        let init = self.raft.state().get(&schema::key(Kind::Init, b"")).await?;
        self.initialized.fetch_or(init.is_some(), Ordering::SeqCst);
        let from = schema::key(Kind::Removed, b"");
        let pairs = self.raft.state().scan(&from, &schema::prefix_end(&from), usize::MAX).await?;
        for (key, stored) in pairs {
            let Some(id) = key.get(1..).and_then(|id| id.try_into().ok()).map(Incarnation::from_be_bytes) else {
                continue;
            };
            let known = self.removed.lock().unwrap_or_else(PoisonError::into_inner).insert(id, stored.revision);
            if known.is_none() {
                self.raft.evict(id);
            }
        }
        Ok(())
    }

    /// Reads it again after a snapshot was installed.
    pub(crate) async fn follow_removed(&self) {
        if self.removed_stale.swap(false, Ordering::SeqCst)
            && let Err(error) = self.load_known().await
        {
            tracing::warn!(%error, "the list of removed members cannot be read");
            self.removed_stale.store(true, Ordering::SeqCst);
        }
    }
}

/// The storage key of a mark.
fn mark(incarnation: Incarnation) -> bytes::Bytes {
    schema::key(Kind::Pending, &[MARK, &incarnation.to_be_bytes()].concat())
}

/// Under `Kind::Pending`: marks of removals.
const MARK: &[u8] = b"removal/";
