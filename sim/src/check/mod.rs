//! The properties, one file each. A checker sees the whole run: the clients' history and the events of the nodes.
//!
//! | property | invariant | source | file |
//! |---|---|---|---|
//! | `durable` | I1: an acknowledged write is readable later | Jepsen's set and register tests | [`durable`] |
//! | `linearizable` | I2: per key, reads and writes take effect in one order that respects real time | Herlihy and Wing 1990, section 3 | [`linearizable`] |
//! | `cas` | I3: of concurrent check-and-sets on one version one succeeds; versions are dense | Herlihy 1991, section 3 (compare-and-swap) | [`cas`] |
//! | `phantom` | I5: what is read was written by an attempt that was not rejected | Crooks et al. 2017, read provenance | [`phantom`] |
//! | `authority` | I9: nothing is served by a policy that was closed, nothing denied that was open | Anderson 1972, reference monitor | [`authority`] |
//! | `lifetime` | I12, I13: a revoked or expired token is dead, and all below it; a living one is not | Gray and Cheriton 1989 | [`lifetime`] |
//! | `once` | I14: an answer is unwrapped once, n uses serve n requests | Herlihy 1991, section 3 | [`once`] |
//! | `mounts` | I5: a mount holds what was written since it was enabled | Herlihy and Wing 1990, section 3 | [`mounts`] |
//! | `election-safety` | I6: at most one leader a term | Ongaro and Ousterhout 2014, figure 3; TLA+ `OneLeaderPerTerm` | [`raft::election_safety`] |
//! | `state-machine-safety` | I6: one entry an index, on all nodes and for ever | ibid., figure 3; TLA+ `StateMachineSafety` | [`raft::state_machine_safety`] |
//! | `leader-completeness` | I6: a new leader has every entry applied before | ibid., figure 3; TLA+ `LeaderCompleteness` | [`raft::leader_completeness`] |
//! | `raft-order` | I6: purged <= snapshot <= flushed <= applied <= committed <= last | openraft's invariants, and no RocksDB WAL | [`raft::order`] |
//! | `raft-monotonic` | I6: term, commit and applied index never fall within a process | ibid., section 5.1 | [`raft::monotonic`] |
//! | `replica-equality` | I7: equal state hash at an equal applied index | TigerBeetle's state checker | [`replica`] |
//! | `honest-recovery` | I8: a node that lost synced data never votes as if it had it | Alagappan et al. 2018 (protocol-aware recovery) | [`recovery`] |
//! | `serves-again` | L1, L2: after all faults end, the cluster converges and takes fresh writes | TigerBeetle's liveness mode, openraft's `liveness.rs` | [`liveness`] |
//! | `answers-in-time` | L3: a call on a healthy cluster ends with an answer within its deadline | the L3 | [`liveness`] |

pub mod authority;
pub mod cas;
pub mod durable;
pub mod lifetime;
pub mod linearizable;
pub mod liveness;
pub mod mounts;
pub mod once;
pub mod phantom;
pub mod raft;
pub mod recovery;
pub mod replica;
pub mod tokens;

use crate::outcome::Violation;
use crate::trace::Event;
use crate::workload::acts::Act;
use crate::workload::history::Op;

/// What a run leaves to be judged.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The clients' calls, in order of beginning.
    pub ops: Vec<Op>,
    /// What they did with tokens, policies, mounts and wrapped answers, in order of beginning.
    pub acts: Vec<Act>,
    /// The events of nodes and world, in order.
    pub events: Vec<Event>,
}

/// A property by name.
pub struct Property {
    /// The name, as printed with a violation.
    pub name: &'static str,
    /// Judges a run.
    pub check: fn(&Evidence) -> Vec<Violation>,
}

/// All properties, the gravest first.
pub const PROPERTIES: &[Property] = &[
    Property { name: "durable", check: durable::check },
    Property { name: "phantom", check: phantom::check },
    Property { name: "linearizable", check: linearizable::check },
    Property { name: "cas", check: cas::check },
    Property { name: "authority", check: authority::check },
    Property { name: "lifetime", check: lifetime::check },
    Property { name: "once", check: once::check },
    Property { name: "mounts", check: mounts::check },
    Property { name: "election-safety", check: raft::election_safety::check },
    Property { name: "state-machine-safety", check: raft::state_machine_safety::check },
    Property { name: "leader-completeness", check: raft::leader_completeness::check },
    Property { name: "raft-order", check: raft::order::check },
    Property { name: "raft-monotonic", check: raft::monotonic::check },
    Property { name: "replica-equality", check: replica::check },
    Property { name: "honest-recovery", check: recovery::check },
    Property { name: "answers-in-time", check: liveness::check },
];

/// Judges a run by every property.
pub fn check_all(evidence: &Evidence) -> Vec<Violation> {
    PROPERTIES.iter().flat_map(|property| (property.check)(evidence)).collect()
}

/// The calls of each key, in order of beginning.
fn by_key(ops: &[Op]) -> std::collections::BTreeMap<&str, Vec<&Op>> {
    let mut keys: std::collections::BTreeMap<&str, Vec<&Op>> = Default::default();
    for op in ops {
        keys.entry(op.key.as_str()).or_default().push(op);
    }
    keys
}

/// Hand-written histories for the checkers' negative tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use crate::workload::history::{Ask, Outcome, Phase};

    pub fn op(id: usize, ask: Ask, span: (u64, u64), outcome: Outcome) -> Op {
        let (client, node, key) = (id, 0, "k".to_string());
        Op { id, client, node, key, ask, phase: Phase::Load, start_ns: span.0, end_ns: span.1, outcome }
    }

    pub fn put(id: usize, serial: u64, span: (u64, u64), version: u64) -> Op {
        op(id, Ask::Put { serial, cas: None }, span, Outcome::Written { version })
    }

    pub fn cas(id: usize, serial: u64, cas: u64, span: (u64, u64), outcome: Outcome) -> Op {
        op(id, Ask::Put { serial, cas: Some(cas) }, span, outcome)
    }

    pub fn lost_put(id: usize, serial: u64, start: u64) -> Op {
        op(id, Ask::Put { serial, cas: None }, (start, u64::MAX), Outcome::Unknown { why: "deadline".into() })
    }

    pub fn get(id: usize, span: (u64, u64), version: u64, serial: u64) -> Op {
        op(id, Ask::Get, span, Outcome::Read { version, serial })
    }

    pub fn missing(id: usize, span: (u64, u64)) -> Op {
        op(id, Ask::Get, span, Outcome::Missing)
    }

    pub fn history(ops: Vec<Op>) -> Evidence {
        Evidence { ops, ..Evidence::default() }
    }

    pub fn events(lines: &[(&str, &'static str, &str)]) -> Evidence {
        let events = lines.iter().enumerate().map(|(i, (node, kind, text))| Event {
            ns: i as u64,
            node: node.to_string(),
            kind,
            text: text.to_string(),
        });
        Evidence { events: events.collect(), ..Evidence::default() }
    }
}
