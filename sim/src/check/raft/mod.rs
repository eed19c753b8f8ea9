//! Raft's own invariants, judged by the events that a node emits with `runtime.trace.event("raft", ...)`.
//!
//! An event is a name and `key=value` pairs, in any order; `docs/simulation.md` says when each is due:
//!
//! ```text
//! start    incarnation= counter= term= last= applied=   after recovery, before anything is sent
//! role     term= role= last=               role: leader, follower, candidate, learner
//! vote     term= for=                      a vote for `for` is durable
//! durable  index=                          the log is synced up to `index`
//! truncate from=                           entries from `from` on are dropped
//! apply    index= term= entry= state=      entry: hash of the entry; state: set hash after it, or -
//! install  index= state=                   a snapshot took the state machine's place
//! mark     last= committed= applied= flushed= snapshot= purged=   whenever one of them has changed
//! refuse   reason=                         the node does not take part, and why
//! ```

pub mod election_safety;
pub mod leader_completeness;
pub mod monotonic;
pub mod order;
pub mod state_machine_safety;

use std::collections::BTreeMap;

use crate::trace::Event;

/// One Raft event, taken apart.
#[derive(Clone, Debug)]
pub struct RaftEvent<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its name.
    pub name: &'a str,
    fields: BTreeMap<&'a str, &'a str>,
    incarnation: u64,
}

impl<'a> RaftEvent<'a> {
    /// A field's text; empty if it is missing.
    pub fn text(&self, key: &str) -> &'a str {
        self.fields.get(key).copied().unwrap_or("")
    }

    /// A field as a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.text(key).parse().ok()
    }

    /// The emitting node and incarnation: who a durable promise binds.
    pub fn who(&self) -> (&'a str, u64) {
        (self.event.node.as_str(), self.incarnation)
    }
}

impl std::fmt::Display for RaftEvent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} ms: {}", self.event.node, self.event.ns / 1_000_000, self.event.text)
    }
}

/// The Raft events of a run, in order. Where an event does not say which incarnation it is of, it is of that of the
/// node's last `start`.
pub fn events(events: &[Event]) -> impl Iterator<Item = RaftEvent<'_>> {
    let mut incarnations: BTreeMap<&str, u64> = BTreeMap::new();
    events.iter().filter(|event| event.kind == "raft").map(move |event| {
        let mut words = event.text.split(' ');
        let name = words.next().unwrap_or("");
        let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        let node = event.node.as_str();
        let said = fields.get("incarnation").and_then(|text| text.parse().ok());
        let incarnation = said.or_else(|| incarnations.get(node).copied()).unwrap_or(0);
        if name == "start" {
            incarnations.insert(node, incarnation);
        }
        RaftEvent { event, name, fields, incarnation }
    })
}
