//! Everything that happens on the cluster port: TLS with raw keys, admission by hello, one multiplexed connection per
//! peer and direction, and calls with deadlines that tell *not sent* from *outcome unknown*.
//!
//! | file | what it is |
//! |---|---|
//! | `tls` | proves who holds which key |
//! | `admission` | decides who comes in |
//! | `frame`, `kind`, `outbox`, `mux`, `serve` | one connection |
//! | `link`, `dial` | the connection to one peer, made on demand |
//! | `accept` | the listener |
//! | `peers` | what is known of each peer |
//! | `network`, `raft_server`, `messages`, `snapshot`, `checkpoints` | openraft's RPCs over all this |

mod accept;
pub mod admission;
mod checkpoints;
mod dial;
pub mod frame;
pub mod kind;
mod link;
pub mod messages;
mod mux;
pub mod network;
mod outbox;
mod peers;
mod places;
pub mod raft_server;
mod serve;
pub mod snapshot;
pub mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use admission::{Fitness, REMOVED, Removal};
pub use dial::{DialError, JoinReply};
pub use kind::Kind;
pub use mux::CallError;
pub use peers::{Event, PeerStatus};
pub use raft_server::Served;
pub use serve::Handler;

use self::link::Link;
use self::mux::{LEAVE, Mux};
use self::peers::Facts;
use self::serve::Dispatch;
use self::tls::Tls;
use super::address_book::{AddressBook, PeerCard};
use super::grant::PublicKey;
use super::identity::Identity;
use super::types::{Incarnation, LogId, Member};
use crate::runtime::Runtime;
use crate::runtime::point::mutant;
use crate::telemetry::Seldom;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Between members.
    Member,
    /// From a node that wants to become one.
    Join,
}

/// Who is at the other end of a connection: what TLS and the hello have proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its incarnation. Proved for members; a joiner's own word, bound to its key.
    pub incarnation: Incarnation,
    /// Its label: from the grant for members, a joiner's own word otherwise.
    pub label: String,
    /// The key that TLS has proved.
    pub public_key: PublicKey,
    /// What it came for.
    pub purpose: Purpose,
    /// Its socket address, if it dialled.
    pub remote: Option<SocketAddr>,
}

/// Bounds and deadlines. The defaults suit a heartbeat interval of 100 ms.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// From dialling to the answer of the hello; likewise for who dials us.
    pub handshake: Duration,
    /// How often a connection looks whether its peer is silent.
    pub ping_interval: Duration,
    /// How often an idle connection is pinged.
    pub idle_ping: Duration,
    /// A ping unanswered for so long makes a connection suspect: new requests take another one.
    pub suspect_after: Duration,
    /// A ping unanswered for so long ends a connection.
    pub dead_after: Duration,
    /// The pause after a failed dial; doubled with each, up to `max_backoff`.
    pub min_backoff: Duration,
    /// The longest pause after a failed dial.
    pub max_backoff: Duration,
    /// How often members without a connection are dialled, so that fitness travels; zero turns it off.
    pub keep_connected: Duration,
    /// How long an AppendEntries in a stream may take, the follower's sync included.
    pub append_deadline: Duration,
    /// Connections that may be before their hello's answer at one time.
    pub max_handshakes: usize,
    /// Joiners' connections at one time.
    pub max_joiners: usize,
    /// How long a joiner's connection may last.
    pub joiner_lifetime: Duration,
    /// Bytes of one message.
    pub max_message: usize,
    /// Bytes in flight: a lane's requests on the asking side, all requests of a connection on the answering side.
    pub max_in_flight: u32,
    /// Requests that one connection may have running here.
    pub max_requests: usize,
    /// Bytes of answers that wait for a peer to read them; one that asks and does not read loses its connection.
    pub max_unread: usize,
}

impl TransportConfig {
    /// The bounds of a connection that anyone can open: a joiner asks for a challenge and brings an answer.
    pub(super) fn for_joiners(&self) -> TransportConfig {
        TransportConfig {
            max_message: JOIN_MESSAGE,
            max_in_flight: 2 * JOIN_MESSAGE as u32,
            max_requests: 16,
            max_unread: 2 * JOIN_MESSAGE,
            ..self.clone()
        }
    }
}

/// Bytes of the longest message of a join: a grant with members and address cards.
const JOIN_MESSAGE: usize = 256 << 10;

impl Default for TransportConfig {
    fn default() -> TransportConfig {
        TransportConfig {
            handshake: Duration::from_secs(1),
            ping_interval: Duration::from_millis(100),
            idle_ping: Duration::from_secs(1),
            suspect_after: Duration::from_millis(300),
            dead_after: Duration::from_secs(2),
            min_backoff: Duration::from_millis(20),
            max_backoff: Duration::from_millis(500),
            keep_connected: Duration::from_millis(500),
            append_deadline: Duration::from_secs(5),
            max_handshakes: 64,
            max_joiners: 16,
            joiner_lifetime: Duration::from_secs(60),
            max_message: 32 << 20,
            max_in_flight: 64 << 20,
            max_requests: 4096,
            max_unread: 512 << 20,
        }
    }
}

/// A node's end of the cluster port. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    identity: Identity,
    book: AddressBook,
    tls: Tls,
    config: Arc<TransportConfig>,
    for_joiners: Arc<TransportConfig>,
    dispatch: Dispatch,
    links: Mutex<BTreeMap<Incarnation, Arc<Link>>>,
    accepted: accept::Accepted,
    facts: Mutex<Facts>,
    hooks: RwLock<Hooks>,
    /// Lines about nodes that were not admitted here, and about this one where it is not.
    not_admitted: Seldom,
    stopped: AtomicBool,
    /// One each for the listener, the keeper and the saver, so that each waits alone.
    stop: [Notify; 3],
}

/// Answers questions about removals: the log index of an incarnation's committed removal.
pub type RemovedHook = Arc<dyn Fn(Incarnation) -> Option<u64> + Send + Sync>;
/// Hears what happens to peers. It must not block.
pub type EventHook = Arc<dyn Fn(Event) + Send + Sync>;

#[derive(Clone, Default)]
struct Hooks {
    removed: Option<RemovedHook>,
    event: Option<EventHook>,
}

impl Transport {
    /// Listens on `listen` (`host:port`) and tells peers that it can be reached at `advertise`. The address book is
    /// that of the identity's directory.
    ///
    /// # Errors
    /// If the address cannot be listened on or the address book cannot be read.
    pub async fn start(
        runtime: &Runtime,
        identity: Identity,
        listen: &str,
        advertise: &str,
        config: TransportConfig,
    ) -> io::Result<Transport> {
        let book = AddressBook::open(runtime, identity.directory()).await?;
        let tls = Tls::new(&identity, &runtime.clock)?;
        let listener = runtime.net.listen(listen).await?;
        let facts = Mutex::new(Facts::new(advertise));
        let transport = Transport(Arc::new(Inner {
            runtime: runtime.clone(),
            identity,
            book,
            tls,
            dispatch: Dispatch::default(),
            links: Mutex::default(),
            accepted: accept::Accepted::new(&config),
            for_joiners: Arc::new(config.for_joiners()),
            config: Arc::new(config),
            facts,
            hooks: RwLock::default(),
            not_admitted: Seldom::default(),
            stopped: AtomicBool::new(false),
            stop: [Notify::new(), Notify::new(), Notify::new()],
        }));
        transport.register(Kind::Fitness, peers::fitness_handler(&transport));
        tokio::spawn(transport.clone().listen(listener));
        tokio::spawn(transport.clone().keep_connected());
        tokio::spawn(transport.clone().save_book());
        Ok(transport)
    }

    /// Sends a request to a member and waits for its answer, dialling it if need be.
    ///
    /// # Errors
    /// [`CallError`] says whether it may be repeated.
    pub async fn call(
        &self,
        peer: Incarnation,
        kind: Kind,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let result = self.call_once(peer, kind, body.clone(), deadline).await;
        match result {
            Err(CallError::Unknown(_)) if kind == Kind::Forward && mutant("repeat-forward") => {
                self.call_once(peer, kind, body, deadline).await
            }
            result => result,
        }
    }

    async fn call_once(
        &self,
        peer: Incarnation,
        kind: Kind,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let until = tokio::time::Instant::now() + deadline;
        let mux = self.connection(peer, deadline).await?;
        mux.call(kind, body, until.saturating_duration_since(tokio::time::Instant::now())).await
    }

    /// Registers or replaces the handler of a kind.
    pub fn register(&self, kind: Kind, handler: Handler) {
        self.0.dispatch.register(kind, handler);
    }

    /// Sets who knows about removals. Until then nobody is removed.
    pub fn on_removed(&self, hook: RemovedHook) {
        self.0.hooks.write().unwrap_or_else(PoisonError::into_inner).removed = Some(hook);
    }

    /// Sets who hears about peers.
    pub fn on_event(&self, hook: EventHook) {
        self.0.hooks.write().unwrap_or_else(PoisonError::into_inner).event = Some(hook);
    }

    /// Tells the transport the present membership: whom to keep connections to, their keys, and where they were.
    pub fn set_members(&self, members: BTreeMap<Incarnation, Member>) {
        self.facts().members = members;
    }

    /// Serves a removed incarnation no more, ends its connections once what is under way is answered (it may be the answer to
    /// its very removal), and forgets where it was. Called when its removal has been committed and the hook of
    /// [`on_removed`](Transport::on_removed) knows it.
    pub fn evict(&self, incarnation: Incarnation) {
        let link = self.links().remove(&incarnation);
        if let Some(link) = link {
            link.leave("the peer was removed");
        }
        self.0.accepted.leave(incarnation);
        self.0.book.forget(incarnation);
        let mut facts = self.facts();
        facts.members.remove(&incarnation);
        facts.peers.remove(&incarnation);
    }

    /// This node's identity.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Where everybody is.
    pub fn address_book(&self) -> &AddressBook {
        &self.0.book
    }

    /// Bounds and deadlines.
    pub fn config(&self) -> &TransportConfig {
        &self.0.config
    }

    /// This node's own card; `None` before it belongs to a cluster.
    pub fn card(&self) -> Option<PeerCard> {
        let grant = self.0.identity.cluster()?.grant;
        let (sequence, address) = self.facts().advertised();
        Some(PeerCard { grant, record: super::address_book::AddressRecord::sign(&self.0.identity, sequence, &address) })
    }

    /// Where this node says that it can be reached.
    pub fn advertised(&self) -> String {
        self.facts().advertised().1
    }

    /// Where a peer said that it can be reached; `None` if it never did.
    pub fn address_of(&self, incarnation: Incarnation) -> Option<String> {
        self.0.book.address(incarnation)
    }

    /// Sets the API address that peers are told, in hellos from now on.
    pub fn set_api_address(&self, address: &str) {
        self.facts().api_address = address.to_string();
    }

    /// Sets what hellos tell of this node's log: the term of the vote that was on disk when the process started (it
    /// never goes back; a lower one in a later start shows a rolled-back disk), and the last log id.
    pub fn set_log_facts(&self, term_at_start: u64, last_log: Option<LogId>) {
        let mut facts = self.facts();
        (facts.term, facts.last_log) = (term_at_start, last_log);
    }

    /// Declines requests of that kind from now on: who asks learns that they were not carried out.
    pub fn decline(&self, kind: Kind) {
        self.0.dispatch.forget(kind);
    }

    /// Declines all requests from now on.
    pub fn decline_all(&self) {
        self.0.dispatch.clear();
    }

    /// Stops listening, lets answers go out, closes all connections and writes the address book. Handlers are forgotten.
    pub async fn shutdown(&self) {
        if self.0.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        for stop in &self.0.stop {
            stop.notify_one();
        }
        self.0.dispatch.clear();
        let links = std::mem::take(&mut *self.links());
        let mut muxes: Vec<Mux> = links.values().filter_map(|link| link.any_mux()).collect();
        muxes.extend(self.0.accepted.muxes().into_values().flatten());
        let answered = async {
            while !muxes.iter().all(Mux::has_answered) {
                tokio::time::sleep(ANSWERED_POLL).await;
            }
        };
        let _ = tokio::time::timeout(LEAVE, answered).await;
        for link in links.values() {
            link.close("this node is stopping");
        }
        self.0.accepted.close_all();
        self.0.book.keep_acknowledged();
        if let Err(error) = self.0.book.save().await {
            tracing::warn!(%error, "the address book was not written");
        }
    }

    /// The bounds of a connection of that purpose.
    fn bounds(&self, purpose: Purpose) -> &Arc<TransportConfig> {
        match purpose {
            Purpose::Member => &self.0.config,
            Purpose::Join => &self.0.for_joiners,
        }
    }

    fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    fn removed(&self, incarnation: Incarnation) -> Option<u64> {
        let hook = self.0.hooks.read().unwrap_or_else(PoisonError::into_inner).removed.clone();
        hook.and_then(|hook| hook(incarnation))
    }

    fn tell(&self, event: Event) {
        let hook = self.0.hooks.read().unwrap_or_else(PoisonError::into_inner).event.clone();
        if let Some(hook) = hook {
            hook(event);
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<Incarnation, Arc<Link>>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn save_book(self) {
        loop {
            tokio::select! {
                biased;
                () = self.0.stop[2].notified() => return,
                () = self.0.book.changed() => {}
                () = tokio::time::sleep(SAVE_ACKNOWLEDGED) => self.0.book.keep_acknowledged(),
            }
            if let Err(error) = self.0.book.save().await {
                tracing::warn!(%error, "the address book was not written");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Between two looks whether all is answered.
const ANSWERED_POLL: Duration = Duration::from_millis(5);

/// How old the acknowledgements in the file of the address book may be.
const SAVE_ACKNOWLEDGED: Duration = Duration::from_secs(10);

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transport({:016x})", self.0.identity.incarnation())
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
