//! What is known of this node and of each peer right now: connected or not, last heard, fitness.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::admission::{Fitness, FitnessReport, Introduction, Removal, encode};
use super::kind::Kind;
use super::mux::Mux;
use super::serve::Handler;
use super::{PeerInfo, Transport};
use crate::raft::address_book::Start;
use crate::raft::types::{Incarnation, LogId, Member};
use crate::runtime::{Clock, UnixTime};

/// A peer, as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub incarnation: Incarnation,
    /// Its label.
    pub label: String,
    /// Where it is, as far as known.
    pub address: Option<String>,
    /// Whether a connection to or from it is open.
    pub connected: bool,
    /// How long ago anything was last received from it, on boot time; `None` if never in this process.
    pub last_heard: Option<Duration>,
    /// What it last said of its fitness; `None` if it never did in this process.
    pub fitness: Option<Fitness>,
    /// Whether it said that it is fit, in this process.
    pub fit: bool,
    /// Where its clients are sent to; empty if it has not said.
    pub api_address: String,
    /// The last log id in its last hello.
    pub last_log: Option<LogId>,
}

impl PeerStatus {
    /// Whether anything was received from it within `limit`.
    pub fn is_recent(&self, limit: Duration) -> bool {
        self.last_heard.is_some_and(|age| age <= limit)
    }

    /// When anything was last received from it, on the wall clock as it is now.
    pub fn last_heard_at(&self, clock: &Clock) -> Option<UnixTime> {
        let age = i64::try_from(self.last_heard?.as_nanos()).unwrap_or(i64::MAX);
        Some(UnixTime(clock.now().0.saturating_sub(age)))
    }
}

/// What happens to peers and to this node among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection to or from a member was opened.
    Connected(Incarnation),
    /// A connection was lost.
    Lost(Incarnation),
    /// A member told a fitness that differs from the last.
    Fitness(Incarnation, Fitness),
    /// A member says, with proof, that this node was removed.
    Removed(Box<Removal>),
    /// A member refuses this node as it is, for example as a copy.
    Refused(String),
    /// A member that was dialled for knows that this node's log has lost what it had acknowledged.
    LogLost(String),
}

/// This node's own facts and those of its peers.
pub(super) struct Facts {
    pub(super) members: BTreeMap<Incarnation, Member>,
    pub(super) peers: BTreeMap<Incarnation, PeerFacts>,
    pub(super) term: u64,
    pub(super) last_log: Option<LogId>,
    pub(super) removed: Option<Removal>,
    /// Why this node is not admitted, by the address that was dialled.
    pub(super) refusals: BTreeMap<String, String>,
    pub(super) api_address: String,
    fitness: FitnessReport,
    advertise: String,
    sequence: u64,
}

/// What is known of one peer beside its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerFacts {
    pub(super) label: String,
    pub(super) api_address: String,
    pub(super) fitness: Option<FitnessReport>,
    pub(super) last_log: Option<LogId>,
    pub(super) heard: Option<Duration>,
}

impl Facts {
    pub(super) fn new(advertise: &str) -> Facts {
        Facts {
            members: BTreeMap::new(),
            peers: BTreeMap::new(),
            term: 0,
            last_log: None,
            removed: None,
            refusals: BTreeMap::new(),
            api_address: String::new(),
            // Until it is told otherwise, a node is sealed.
            fitness: FitnessReport { fitness: Fitness { sealed: true, ..Fitness::default() }, ..Default::default() },
            advertise: advertise.to_string(),
            sequence: 0,
        }
    }

    pub(super) fn advertised(&self) -> (u64, String) {
        (self.sequence, self.advertise.clone())
    }

    /// Takes in a report; the fitness, if it is news.
    fn report(&mut self, peer: Incarnation, report: FitnessReport) -> Option<Fitness> {
        let facts = self.peers.entry(peer).or_default();
        let order = |report: FitnessReport| (report.counter, report.sequence);
        if facts.fitness.is_some_and(|old| order(report) <= order(old)) {
            return None;
        }
        let old = facts.fitness.replace(report);
        (old.map(|old| old.fitness) != Some(report.fitness)).then_some(report.fitness)
    }
}

impl Transport {
    /// All peers that are members or were heard of, by incarnation.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let mut open: BTreeMap<Incarnation, Vec<Mux>> = self.0.accepted.muxes();
        for (incarnation, link) in self.links().iter() {
            open.entry(*incarnation).or_default().extend(link.mux());
        }
        let now = self.0.runtime.clock.boot();
        let facts = self.facts();
        let own = self.0.identity.incarnation();
        let known = facts.members.keys().chain(facts.peers.keys()).chain(open.keys());
        let known: std::collections::BTreeSet<Incarnation> = known.copied().filter(|peer| *peer != own).collect();
        let status = |incarnation: Incarnation| {
            let (member, peer) = (facts.members.get(&incarnation), facts.peers.get(&incarnation));
            let open = open.get(&incarnation).map_or(&[][..], Vec::as_slice);
            let fitness = peer.and_then(|peer| peer.fitness).map(|report| report.fitness);
            let heard = open.iter().map(Mux::heard_boot).chain(peer.and_then(|peer| peer.heard)).max();
            PeerStatus {
                incarnation,
                label: peer
                    .filter(|peer| !peer.label.is_empty())
                    .map(|peer| peer.label.clone())
                    .or_else(|| member.map(|member| member.label.clone()))
                    .unwrap_or_default(),
                address: self.0.book.address(incarnation).or_else(|| member.map(|member| member.address.clone())),
                connected: open.iter().any(Mux::is_usable),
                last_heard: heard.map(|heard| now.saturating_sub(heard)),
                fitness,
                fit: fitness.is_some_and(Fitness::is_fit),
                api_address: peer.map(|peer| peer.api_address.clone()).unwrap_or_default(),
                last_log: peer.and_then(|peer| peer.last_log),
            }
        };
        known.into_iter().map(status).collect()
    }

    /// One peer.
    pub fn peer(&self, incarnation: Incarnation) -> Option<PeerStatus> {
        self.peers().into_iter().find(|peer| peer.incarnation == incarnation)
    }

    /// The proof that this node was removed, once a member has shown it.
    pub fn removal(&self) -> Option<Removal> {
        self.facts().removed.clone()
    }

    /// Whether a member has shown that this node was removed.
    pub fn is_removed(&self) -> bool {
        self.facts().removed.is_some()
    }

    /// Why this node is not admitted: each refusal that its last dial to an address has met, with the address.
    pub fn refusals(&self) -> Vec<(String, String)> {
        self.facts().refusals.iter().map(|(address, reason)| (address.clone(), reason.clone())).collect()
    }

    /// This node's fitness, as peers are told.
    pub fn fitness(&self) -> Fitness {
        self.facts().fitness.fitness
    }

    /// Sets this node's fitness and tells it to all peers over open connections.
    pub fn set_fitness(&self, fitness: Fitness) {
        let report = {
            let mut facts = self.facts();
            if facts.fitness.fitness == fitness && facts.fitness.sequence > 0 {
                return;
            }
            facts.fitness.fitness = fitness;
            facts.fitness.sequence += 1;
            self.own_report(&facts)
        };
        let body = bytes::Bytes::from(encode(&report));
        let mut open: Vec<Mux> = self.links().values().filter_map(|link| link.mux()).collect();
        open.extend(self.0.accepted.muxes().into_values().flatten());
        for mux in open.iter().filter(|mux| mux.peer().purpose == super::Purpose::Member) {
            mux.notify(Kind::Fitness, body.clone());
        }
    }

    /// Whether this node may serve: unsealed and able to audit. See [`Transport::set_fitness`].
    pub fn set_fit(&self, fit: bool) {
        self.set_fitness(Fitness { sealed: !fit, ..Fitness::default() });
    }

    /// What this node tells of itself when a connection is made.
    pub(super) fn introduction(&self, purpose: super::Purpose) -> Introduction {
        let (card, book) = match purpose {
            super::Purpose::Member => (self.card(), self.0.book.cards()),
            super::Purpose::Join => (None, Vec::new()),
        };
        let identity = &self.0.identity;
        let facts = self.facts();
        Introduction {
            incarnation: identity.incarnation(),
            start: Start { counter: identity.counter(), nonce: identity.nonce(), term: facts.term },
            last_log: facts.last_log,
            api_address: facts.api_address.clone(),
            fitness: self.own_report(&facts),
            card,
            book,
        }
    }

    /// Takes in what a member told when a connection to or from it was made, and tells it what has changed here since
    /// `told`.
    pub(super) fn met(&self, mux: &Mux, theirs: &Introduction, told: FitnessReport) {
        let peer = mux.peer().incarnation;
        let (news, own) = {
            let mut facts = self.facts();
            let entry = facts.peers.entry(peer).or_default();
            entry.label = mux.peer().label.clone();
            entry.last_log = theirs.last_log;
            entry.api_address = theirs.api_address.clone();
            (facts.report(peer, theirs.fitness), self.own_report(&facts))
        };
        if own != told {
            mux.notify(Kind::Fitness, encode(&own).into());
        }
        self.tell(Event::Connected(peer));
        if let Some(fitness) = news {
            self.tell(Event::Fitness(peer, fitness));
        }
    }

    /// A connection has ended.
    pub(super) fn parted(&self, mux: &Mux) {
        let peer = mux.peer().incarnation;
        if let Some(facts) = self.facts().peers.get_mut(&peer) {
            facts.heard = facts.heard.max(Some(mux.heard_boot()));
        }
        self.0.book.keep_acknowledged();
        self.tell(Event::Lost(peer));
    }

    fn own_report(&self, facts: &Facts) -> FitnessReport {
        FitnessReport { counter: self.0.identity.counter(), ..facts.fitness }
    }

    fn heard_fitness(&self, peer: &PeerInfo, body: &[u8]) {
        let Ok(report) = super::admission::decode::<FitnessReport>(body) else { return };
        let news = self.facts().report(peer.incarnation, report);
        if let Some(fitness) = news {
            self.tell(Event::Fitness(peer.incarnation, fitness));
        }
    }
}

/// Takes in the one-way messages that tell a peer's fitness.
pub(super) fn fitness_handler(transport: &Transport) -> Handler {
    let weak: Weak<super::Inner> = Arc::downgrade(&transport.0);
    Arc::new(move |peer, body| {
        if let Some(inner) = weak.upgrade() {
            Transport(inner).heard_fitness(&peer, &body);
        }
        Box::pin(std::future::ready(Ok(bytes::Bytes::new())))
    })
}
