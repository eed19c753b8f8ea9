//! The request pipeline, mount table, seal state, role changes and views.

mod authorize;
pub mod background;
pub mod commit;
pub mod health;
mod in_flight;
pub mod join;
mod join_request;
pub mod mount;
pub mod pipeline;
pub mod policies;
mod removal;
pub mod role;
pub mod sealing;
pub mod sys;
mod tokens;
mod unsealing;
mod upgrade;
pub mod views;
mod wrap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

pub use health::HealthFacts;

pub use crate::logical::{Access, Auth, Client, Error, Operation, Raw, Request, Response, Result, WrapInfo};

use crate::barrier::{Barrier, Keyring};
use crate::limits;
use crate::raft::Raft;
use crate::runtime::Runtime;
use crate::runtime::point::mutant;
use crate::seal::UnsealProgress;
use crate::storage::schema;
use crate::token;
use mount::{Mount, Router};
use policies::PolicyRecord;
use views::{TableView, View};

/// What the core takes from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Named at init; made up if empty.
    pub cluster_name: String,
    /// How clients reach this node.
    pub api_addr: String,
    /// How members reach this node.
    pub cluster_addr: String,
    /// Life of a token or lease that asks for none.
    pub default_lease_ttl: Duration,
    /// The longest life.
    pub max_lease_ttl: Duration,
    /// As `sys/seal-status` tells it: `raft`, `inmem`, `file`.
    pub storage_type: String,
    /// The configuration without its secrets, as `sys/config/state/sanitized` shows it.
    pub sanitized: serde_json::Map<String, serde_json::Value>,
}

/// One node's core. Cheap to clone.
#[derive(Clone)]
pub struct Core(Arc<Inner>);

/// What [`Core`] is made of.
pub struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) settings: Settings,
    pub(crate) raft: Raft,
    pub(crate) barrier: Barrier,
    pub(crate) metrics: crate::telemetry::Metrics,
    /// Secrets of the cluster that live behind the barrier; present while unsealed.
    secrets: RwLock<Option<Arc<sealing::Secrets>>>,
    /// Shares as they come in.
    progress: Mutex<UnsealProgress>,
    /// A seal key that was found right and waits for something else (cluster-protocol, section 5).
    held_seal_key: Mutex<Option<Arc<crate::seal::SealKey>>>,
    /// What this node had heard of when its shares were complete.
    shares_know: Mutex<unsealing::Known>,
    /// One attempt to open the seal at a time.
    opening: tokio::sync::Mutex<()>,
    /// Tells that shares have made an answer to a challenge possible.
    shares: tokio::sync::Notify,
    /// The background work of the present term.
    work: Mutex<Option<tokio::task::AbortHandle>>,
    /// Since when this node is active.
    active_since: Mutex<Option<crate::runtime::UnixTime>>,
    /// Removed incarnations and the log index of each removal.
    removed: Mutex<BTreeMap<crate::raft::types::Incarnation, u64>>,
    /// A snapshot has brought a list of its own.
    removed_stale: AtomicBool,
    /// There is a cluster: its first record was seen.
    initialized: AtomicBool,
    /// Where the leader's clients are to be sent.
    leader_api: Mutex<Option<(crate::raft::types::Incarnation, String)>>,
    /// Counts the writes of the seal record, the keyring and the seal: look before the next use.
    keys_written: AtomicU64,
    /// What of `keys_written` has been looked at.
    keys_seen: AtomicU64,
    /// The Raft term whose post-unseal steps are done here; 0 for none.
    active_term: AtomicU64,
    router: TableView<Mount, Router>,
    policies: View<PolicyRecord>,
    tokens: View<token::Entry>,
    acls: authorize::AclCache,
    /// OpenAPI documents for everybody.
    documents: sys::Documents,
    /// Attempts to do something with unseal shares.
    attempts: sys::Attempts,
    /// Requests that are being served.
    pub(crate) in_flight: in_flight::InFlight,
    /// Requests that ran into too many conflicts wait in line here, by key.
    line: commit::Line,
    /// What joining this node's cluster has come to.
    joining: Mutex<join::Joining>,
    /// Asks a target to let this node in.
    asker: std::sync::OnceLock<join_request::Asker>,
}

impl std::ops::Deref for Core {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Core {
    /// A core over a running Raft.
    pub fn new(
        runtime: Runtime,
        settings: Settings,
        raft: Raft,
        barrier: Barrier,
        metrics: crate::telemetry::Metrics,
    ) -> Core {
        let core = Core(Arc::new(Inner {
            runtime,
            settings,
            raft,
            barrier,
            metrics,
            secrets: RwLock::new(None),
            progress: Mutex::new(UnsealProgress::default()),
            held_seal_key: Mutex::new(None),
            shares_know: Mutex::default(),
            opening: tokio::sync::Mutex::new(()),
            shares: tokio::sync::Notify::new(),
            work: Mutex::new(None),
            active_since: Mutex::new(None),
            removed: Mutex::new(BTreeMap::new()),
            removed_stale: AtomicBool::new(false),
            initialized: AtomicBool::new(false),
            leader_api: Mutex::new(None),
            keys_written: AtomicU64::new(1),
            keys_seen: AtomicU64::new(0),
            active_term: AtomicU64::new(0),
            router: TableView::new(schema::Kind::Mount, Mount::decode, Router::new),
            policies: View::new(PolicyRecord::decode, limits::VIEW_RECORDS),
            tokens: View::new(token::Entry::decode, limits::VIEW_RECORDS),
            acls: authorize::AclCache::default(),
            documents: sys::Documents::default(),
            attempts: sys::Attempts::default(),
            in_flight: in_flight::InFlight::default(),
            line: commit::Line::default(),
            joining: Mutex::new(join::Joining::default()),
            asker: std::sync::OnceLock::new(),
        }));
        let weak = Arc::downgrade(&core.0);
        core.raft.state().on_change(Arc::new(move |key: Option<&[u8]>| {
            if let Some(inner) = weak.upgrade() {
                inner.mark_dirty(key);
            }
        }));
        core
    }
}

impl Inner {
    /// Marks every view that `key` belongs to; `None` is everything. Called by `apply` before readers see the write.
    fn mark_dirty(&self, key: Option<&[u8]>) {
        let kind = key.and_then(|key| key.first().copied());
        let is = |wanted: schema::Kind| kind.is_none_or(|kind| kind == wanted as u8);
        if is(schema::Kind::Token) {
            self.tokens.mark_dirty(key);
        }
        let forgotten = mutant("view-not-marked") || kind.is_none() && mutant("stale-policy-after-install");
        if is(schema::Kind::Policy) && !forgotten {
            self.policies.mark_dirty(key);
        }
        if is(schema::Kind::Mount) {
            self.router.mark_dirty(key);
        }
        if kind.is_none() && !mutant("removal-lost-in-snapshot") {
            self.removed_stale.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        if kind == Some(schema::Kind::Removed as u8) {
            let id = key.and_then(|key| key.get(1..9)).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
            if let Some(id) = id {
                self.removed.lock().unwrap_or_else(PoisonError::into_inner).insert(id, self.raft.state().applied() + 1);
                self.raft.evict(id);
            }
        }
        if is(schema::Kind::SealRecord) || is(schema::Kind::Keyring) || is(schema::Kind::SealConfig) {
            self.keys_written.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn secrets_now(&self) -> Option<Arc<sealing::Secrets>> {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Proof that the node is unsealed: the keyring and the cluster's secrets, taken once for a request.
#[derive(Clone)]
pub struct Unsealed {
    /// Opens and seals values.
    pub keyring: Arc<Keyring>,
    /// Secrets of the cluster.
    pub secrets: Arc<sealing::Secrets>,
}
