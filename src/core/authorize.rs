//! Who asks, and whether they may: token and policy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::mount::Mount;
use super::pipeline::no_route;
use super::{Core, Error, Operation, Request, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::engines::catalog;
use crate::engines::view::MountView;
use crate::limits;
use crate::policy::{Acl, Ask, Policy, Verdict};
use crate::runtime::UnixTime;
use crate::runtime::point::mutant;
use crate::token::{Entry, Hash, batch, cidr, keys};

/// The token that a request came with, alive.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The token itself, for answers that show it.
    pub id: Arc<crate::secret::Secret>,
    /// What stands for it in storage keys.
    pub hash: Hash,
    /// Its record.
    pub entry: Arc<Entry>,
    /// Revision of the record.
    pub revision: u64,
    /// How many parents it has.
    pub depth: usize,
}

/// A token that is alive with all its parents.
pub(crate) struct Live {
    /// What stands for it in storage keys.
    pub hash: Hash,
    /// Its record.
    pub entry: Arc<Entry>,
    /// Revision of the record; 0 for a batch token, which is not stored.
    pub revision: u64,
    /// How many parents it has.
    pub depth: usize,
}

impl Caller {
    /// What names the token's cubbyhole.
    pub(crate) fn cubbyhole(&self) -> String {
        hex::encode(self.hash)
    }
}

/// Proof that the policies allow the request.
pub(crate) struct Authorized {
    /// Who asks; `None` for a path that needs no token.
    pub caller: Option<Caller>,
    /// Which mount serves it.
    pub mount: Arc<Mount>,
    /// The path within the mount.
    pub rest: String,
    /// A write is a create or an update, as the engine's existence check found.
    pub operation: Operation,
    /// The policies grant `sudo` here.
    pub sudo: bool,
    /// All that the caller may do.
    pub acl: Arc<Acl>,
}

impl Authorized {
    /// The caller, on paths that need one.
    pub(crate) fn caller(&self) -> Result<&Caller> {
        self.caller.as_ref().ok_or_else(Error::denied)
    }
}

impl Core {
    /// Finds the request's token, which must be alive together with all its parents and used from where it may be. Their
    /// records join the read set, so that nothing is committed under a tree that was revoked meanwhile. `spent` tells
    /// that this request has taken its use already, which may have been the last.
    pub(crate) async fn authenticate(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
        spent: bool,
    ) -> Result<Option<Caller>> {
        let Some(id) = super::wrap::presented(&unsealed.secrets.salt, request) else { return Ok(None) };
        let found = self.token_of(unsealed, txn, id.danger_expose_text()).await?;
        let Some(Live { hash, entry, revision, depth }) = found else { return Ok(None) };
        if entry.is_used_up() && !spent || !cidr::allows(&entry.bound_cidrs, &request.client.address) {
            return Ok(None);
        }
        Ok(Some(Caller { id: Arc::new(id), hash, entry, revision, depth }))
    }

    /// The record of a token that is alive, with all its parents.
    pub(crate) async fn live_token(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        hash: &Hash,
    ) -> Result<Option<(Arc<Entry>, u64)>> {
        let found = self.token_with_parents(unsealed, txn, hash).await?;
        Ok(found.filter(|found| !found.entry.is_used_up()).map(|found| (found.entry, found.revision)))
    }

    /// The token of an id, also of a batch token, if it is alive with all its parents.
    pub(crate) async fn live_token_of(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        id: &str,
    ) -> Result<Option<Live>> {
        Ok(self.token_of(unsealed, txn, id).await?.filter(|found| !found.entry.is_used_up()))
    }

    /// As [`Core::live_token_of`], but for a token whose last use may be under way.
    async fn token_of(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, id: &str) -> Result<Option<Live>> {
        let hash = unsealed.secrets.salt.hash(id);
        if !batch::is_batch(id) {
            return self.token_with_parents(unsealed, txn, &hash).await;
        }
        let Some(entry) = batch::open(&unsealed.secrets.salt, id) else { return Ok(None) };
        if self.is_over(&entry) {
            return Ok(None);
        }
        let depth = self.parents(unsealed, txn, &entry).await?;
        Ok(depth.map(|depth| Live { hash, entry: Arc::new(entry), revision: 0, depth }))
    }

    async fn token_with_parents(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, hash: &Hash) -> Result<Option<Live>> {
        let key = keys::token(hash);
        let found = self.tokens.get(self.raft.state(), &unsealed.keyring, &key).await?;
        let Some(found) = found else { return Ok(None) };
        if self.is_over(&found.record) || found.record.orphaning {
            return Ok(None);
        }
        txn.below().expect(&key, found.revision);
        let depth = self.parents(unsealed, txn, &found.record).await?;
        Ok(depth.map(|depth| Live { hash: *hash, entry: found.record, revision: found.revision, depth }))
    }

    /// How many parents a token has, if all of them live.
    async fn parents(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, entry: &Entry) -> Result<Option<usize>> {
        let mut next = entry.parent.filter(|_| !mutant("parents-not-asked"));
        let mut depth = 0;
        while let Some(hash) = next {
            let key = keys::token(&hash);
            let found = self.tokens.get(self.raft.state(), &unsealed.keyring, &key).await?;
            let Some(found) = found else { return Ok(None) };
            depth += 1;
            if self.is_over(&found.record) || depth >= limits::TOKEN_DEPTH_MAX {
                return Ok(None);
            }
            txn.below().expect(&key, found.revision);
            // Whose parent was revoked without its children is an orphan, whether its record says so yet or not.
            next = found.record.parent.filter(|_| !found.record.orphaning);
        }
        Ok(Some(depth))
    }

    /// Whether a token's life has ended by this node's clock.
    fn is_over(&self, entry: &Entry) -> bool {
        entry.is_expired(self.runtime.clock.now()) && !mutant("late-expiry")
    }

    /// Checks the request against the caller's policies.
    pub(crate) async fn authorize(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        caller: Option<Caller>,
        request: &Request,
    ) -> Result<Authorized> {
        let caller = caller.ok_or_else(|| match request.path.as_str() {
            "sys/wrapping/unwrap" => super::wrap::not_opened(request),
            _ => Error::no_token(),
        })?;
        let acl = self.acl(unsealed, &caller.entry.policies).await?;
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        let routed = router.route(&request.path);
        let mut operation = request.operation;
        if let (Operation::Update, Some((found, rest))) = (operation, &routed) {
            operation = self.create_or_update(txn, &found.record, rest, request, &caller).await?;
        }
        let ask = Ask { operation, path: &request.path, data: &request.data, wrap_ttl: request.wrap_ttl };
        let verdict = match routed.is_some_and(|(found, _)| passes_over_slash(&found.record)) {
            true => verdict_without_slash(&acl, &ask),
            false => acl.check(&ask),
        };
        if !verdict.allowed && !is_open_to_all(request) {
            return Err(Error::denied());
        }
        let (found, rest) = routed.ok_or_else(|| no_route(&request.path))?;
        txn.below().expect(&found.record.key(), found.revision);
        Ok(Authorized {
            mount: Arc::clone(&found.record),
            rest: rest.to_string(),
            operation,
            sudo: verdict.sudo,
            caller: Some(caller),
            acl,
        })
    }

    /// Asks the engine whether what a write names exists.
    async fn create_or_update(
        &self,
        txn: &mut BarrierTxn,
        mount: &Mount,
        rest: &str,
        request: &Request,
        caller: &Caller,
    ) -> Result<Operation> {
        let Some(backend) = catalog::find(&mount.kind, &mount.options) else { return Ok(Operation::Update) };
        let cubbyhole = caller.cubbyhole();
        let mut view = MountView::new(txn, mount.namespace, &mount.uuid);
        Ok(match backend.exists(self.call(request, mount, rest, Some(&cubbyhole), &mut view)).await? {
            Some(false) => Operation::Create,
            Some(true) | None => Operation::Update,
        })
    }

    /// What the policies of these names allow together.
    pub(crate) async fn acl(&self, unsealed: &Unsealed, names: &[String]) -> Result<Arc<Acl>> {
        let mut revisions = Vec::with_capacity(names.len());
        let mut policies = Vec::with_capacity(names.len());
        for name in names {
            if let Some(found) = self.policy(unsealed, name).await? {
                revisions.push(found.revision);
                policies.push(Arc::clone(&found.record.parsed));
            } else {
                revisions.push(0);
            }
        }
        Ok(self.acls.get(names, &revisions, self.runtime.clock.now(), &policies))
    }
}

/// Whether a mount serves many a path with a slash at the end as it does without it: the server's own endpoints, and KV
/// version 2.
fn passes_over_slash(mount: &Mount) -> bool {
    matches!(mount.kind.as_str(), "system" | "token") || mount.is_versioned_kv()
}

/// What the policies say of a request to a mount that passes over a slash at the end: with and without it, it must be
/// allowed, or a rule that denies `sys/mounts/a` would say nothing of `sys/mounts/a/`. Lists are of folders, and the
/// policies see to their slash themselves.
fn verdict_without_slash(acl: &Acl, ask: &Ask<'_>) -> Verdict {
    let verdict = acl.check(ask);
    match ask.path.strip_suffix('/').filter(|_| ask.operation != Operation::List) {
        None => verdict,
        Some(path) => {
            let bare = acl.check(&Ask { path, ..*ask });
            Verdict { allowed: verdict.allowed && bare.allowed, sudo: verdict.sudo && bare.sudo, ..verdict }
        }
    }
}

/// What every living token may ask: the answer itself is cut to what its policies reach.
fn is_open_to_all(request: &Request) -> bool {
    let path = request.path.as_str();
    let open = [UI_MOUNTS, "sys/internal/specs/openapi"].contains(&path) || path.starts_with("sys/internal/ui/mounts/");
    request.operation == Operation::Read && open
}

const UI_MOUNTS: &str = "sys/internal/ui/mounts";

/// Compiled policies by their names, as long as none of them changes.
#[derive(Default)]
pub(crate) struct AclCache(Mutex<BTreeMap<Vec<String>, Compiled>>);

/// The revisions that a combination was compiled from, and what came of it.
type Compiled = (Vec<u64>, Arc<Acl>);

impl AclCache {
    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get(&self, names: &[String], revisions: &[u64], now: UnixTime, policies: &[Arc<Policy>]) -> Arc<Acl> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, acl)) = cache.get(names)
            && known == revisions
            && acl.holds(now)
        {
            return Arc::clone(acl);
        }
        let acl = Arc::new(Acl::new(policies, now));
        if cache.len() >= limits::VIEW_RECORDS {
            cache.pop_first();
        }
        cache.insert(names.to_vec(), (revisions.to_vec(), Arc::clone(&acl)));
        acl
    }
}
