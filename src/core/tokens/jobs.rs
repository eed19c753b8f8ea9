//! What the active node does to tokens by itself: expiry, the rest of revocations, orphaning, tidying. Each step is one
//! bounded commit of the term it began in, and begins where a mark says; the next active node goes on from there.

use bytes::Bytes;

use crate::barrier::BarrierTxn;
use crate::core::{Core, Error, Response, Result, Unsealed};
use crate::limits;
use crate::storage::schema::{self, Kind};
use crate::token::{self, Hash, keys};

impl super::Tokens<'_> {
    /// `tidy`: has a job look through the indexes for what nothing leads to any more.
    pub(super) async fn tidy(&mut self) -> Result<Response> {
        if self.txn.get(&keys::tidying()).await?.is_some() {
            return Ok(Response::empty().warn("Tidy operation already in progress."));
        }
        self.txn.put(keys::tidying(), b"");
        let text = "Tidy operation successfully started. Any information from the operation will be printed to \
                    Holdfast's server logs.";
        Ok(Response { accepted: true, ..Response::empty() }.warn(text))
    }
}

impl Core {
    /// Removes a page of the tokens that have expired, in the order of their times.
    pub(crate) async fn expire_tokens(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let mut txn = self.begin_in(unsealed, term);
        let now = self.runtime.clock.now();
        let expired = token::store::expired(&mut txn, now, limits::REVOKE_PAGE as u32).await?;
        let Some(cubbyholes) = self.cubbyholes(unsealed).await? else { return Ok(false) };
        for (at, hash) in &expired {
            tokio::task::yield_now().await;
            match token::store::get(&mut txn, hash).await? {
                Some(entry) if entry.is_expired(now) => {
                    let mut is_bare = true;
                    for from in cubbyholes.and_children_of(hash) {
                        // Both ranges join the read set: what a request that was in time adds to them is not forgotten.
                        is_bare &= txn.scan_keys(&from, &schema::prefix_end(&from), 1).await?.is_empty();
                    }
                    token::store::revoke_whole(&mut txn, &unsealed.secrets.salt, hash, &entry, is_bare);
                }
                // Gone, or renewed: its place in the index is an old one.
                _ => txn.delete(keys::expiry(*at, hash)),
            }
        }
        self.commit(txn).await?;
        Ok(!expired.is_empty())
    }

    /// Takes a step for tokens that were revoked: a page of what is below them, and the marks below which there is
    /// nothing any more.
    pub(crate) async fn finish_revocations(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let marks = self.marks(&keys::all_revoking()).await?;
        let Some(cubbyholes) = self.cubbyholes(unsealed).await? else { return Ok(false) };
        let mut txn = self.begin_in(unsealed, term);
        let mut left = limits::REVOKE_PAGE;
        for mark in &marks {
            let Some(hash) = keys::revoking_of(mark).filter(|_| left > 0) else { break };
            let Some(last) = txn.get(mark).await? else { continue };
            let all = keys::children(&hash);
            // Behind the last child: over what was deleted before it the store would have to step each time.
            let from = if last.is_empty() { all.to_vec() } else { schema::after(&last) };
            if last.is_empty() {
                self.empty(cubbyholes.of(&hash)).await?;
            }
            let children = txn.scan_keys(&from, &schema::prefix_end(&all), left as u32).await?;
            for key in &children {
                let Some(child) = keys::child_of(key) else { continue };
                txn.delete(key.clone());
                // Between two tokens, so that requests need not wait for a page.
                tokio::task::yield_now().await;
                if let Some(entry) = token::store::get(&mut txn, &child).await? {
                    let mut is_bare = true;
                    for from in cubbyholes.and_children_of(&child) {
                        // Not of the read set, which would cost every node a search in `apply`: nothing is added any
                        // more, since whoever adds has the child's parent in its read set, and that is gone.
                        is_bare &= self.raft.state().keys(&from, &schema::prefix_end(&from), 1).await?.is_empty();
                    }
                    token::store::revoke_whole(&mut txn, &unsealed.secrets.salt, &child, &entry, is_bare);
                }
            }
            match children.last() {
                Some(last) if children.len() == left => txn.put(mark.clone(), last),
                _ => txn.delete(mark.clone()),
            }
            left -= children.len();
        }
        self.commit(txn).await?;
        Ok(!marks.is_empty())
    }

    /// Takes a step for tokens that were revoked without their children.
    pub(crate) async fn finish_orphaning(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let marks = self.marks(&keys::all_orphaning()).await?;
        for mark in &marks {
            let Some(hash) = keys::orphaning_of(mark) else { continue };
            let mut txn = self.begin_in(unsealed, term);
            let from = keys::children(&hash);
            let children = txn.scan_keys(&from, &schema::prefix_end(&from), limits::REVOKE_PAGE as u32).await?;
            token::store::make_orphans(&mut txn, &children).await?;
            if children.len() < limits::REVOKE_PAGE {
                // Nobody needs it any more; its cubbyhole is left to the mark of a revocation.
                txn.delete(mark.clone());
                txn.delete(keys::token(&hash));
                txn.put(keys::revoking(&hash), b"");
            }
            self.commit(txn).await?;
        }
        Ok(!marks.is_empty())
    }

    /// Looks at the next page of accessors and children, if somebody has asked for a tidying. What it looks for cannot
    /// come about: an index is written with its record.
    pub(crate) async fn finish_tidying(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let mut txn = self.begin_in(unsealed, term);
        let Some(last) = txn.get(&keys::tidying()).await? else { return Ok(false) };
        let from = if last.is_empty() { vec![Kind::Accessor as u8] } else { schema::after(&last) };
        let page = self.raft.state().scan(&from, &[Kind::TokenExpiry as u8], limits::TIDY_PAGE).await?;
        let mut removed = 0u32;
        for (key, stored) in &page {
            removed += u32::from(match keys::child_of(key).filter(|_| key[0] == Kind::TokenChild as u8) {
                Some(child) => self.tidy_child(&mut txn, key, &child).await?,
                None => self.tidy_accessor(&mut txn, key, &unsealed.keyring.open(key, &stored.value)?).await?,
            });
        }
        match page.last() {
            Some((last, _)) if page.len() == limits::TIDY_PAGE => txn.put(keys::tidying(), last),
            _ => txn.delete(keys::tidying()),
        }
        self.commit(txn).await?;
        tracing::info!(looked_at = page.len(), removed, "token: tidied a page of the indexes");
        Ok(true)
    }

    /// Removes an accessor without a token.
    async fn tidy_accessor(&self, txn: &mut BarrierTxn, key: &Bytes, token: &[u8]) -> Result<bool> {
        let hash: Hash = token.try_into().map_err(|_| Error::Internal("an accessor names no token".into()))?;
        let token = keys::token(&hash);
        // The first look is cheap and no part of the read set.
        let lost = self.raft.state().get(&token).await?.is_none() && txn.get(&token).await?.is_none();
        if lost {
            txn.delete(key.clone());
        }
        Ok(lost)
    }

    /// Removes the place of a child that is gone; has a lost child revoked.
    async fn tidy_child(&self, txn: &mut BarrierTxn, key: &Bytes, child: &Hash) -> Result<bool> {
        let (state, child) = (self.raft.state(), keys::token(child));
        let Some(parent) = key.get(1..33).and_then(|hash| Hash::try_from(hash).ok()) else { return Ok(false) };
        if state.get(&child).await?.is_none() && txn.get(&child).await?.is_none() {
            txn.delete(key.clone());
            return Ok(true);
        }
        let (token, mark) = (keys::token(&parent), keys::revoking(&parent));
        let lost = state.get(&token).await?.is_none()
            && state.get(&mark).await?.is_none()
            && txn.get(&token).await?.is_none()
            && txn.get(&mark).await?.is_none();
        if lost {
            txn.put(mark, b"");
        }
        Ok(lost)
    }

    async fn marks(&self, from: &[u8]) -> Result<Vec<Bytes>> {
        let found = self.raft.state().scan(from, &schema::prefix_end(from), limits::REVOKE_PAGE).await?;
        Ok(found.into_iter().map(|(mark, _)| mark).collect())
    }

    async fn empty(&self, cubbyhole: Vec<u8>) -> Result<()> {
        if self.raft.state().scan(&cubbyhole, &schema::prefix_end(&cubbyhole), 1).await?.is_empty() {
            return Ok(());
        }
        self.delete_prefix(cubbyhole).await
    }

    async fn cubbyholes(&self, unsealed: &Unsealed) -> Result<Option<Cubbyholes>> {
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        let mount = router.at("cubbyhole/").map(|found| &found.record);
        Ok(mount.map(|mount| Cubbyholes(schema::mount_prefix(mount.namespace, &mount.uuid))))
    }
}

/// Where tokens' cubbyholes are.
struct Cubbyholes(Vec<u8>);

impl Cubbyholes {
    /// The prefix of one token's cubbyhole.
    fn of(&self, hash: &Hash) -> Vec<u8> {
        [&self.0[..], hex::encode(hash).as_bytes(), b"/"].concat()
    }

    /// The prefixes of all that a token may leave behind.
    fn and_children_of(&self, hash: &Hash) -> [Vec<u8>; 2] {
        [keys::children(hash).to_vec(), self.of(hash)]
    }
}
