//! What clients did and saw. Outcomes are honest: a timeout, a 5xx or a broken connection may or may not have happened;
//! a 4xx did not happen; a client never repeats a write by itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Write a value with a serial that no other write has; with `cas`, only over that version.
    Put {
        /// The serial.
        serial: u64,
        /// The version that must be the current one (0: none).
        cas: Option<u64>,
    },
    /// Read the current version.
    Get,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A write was acknowledged as this version.
    Written {
        /// The version.
        version: u64,
    },
    /// A read saw this version and serial.
    Read {
        /// The version.
        version: u64,
        /// The serial in the value.
        serial: u64,
    },
    /// A read saw that there is no value: version 0.
    Missing,
    /// A 4xx: it did not happen.
    Rejected {
        /// The status.
        status: u16,
    },
    /// It may or may not have happened.
    Unknown {
        /// Why.
        why: String,
    },
}

/// When in the run a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Under faults.
    Load,
    /// After all faults have ended and the cluster serves again: must succeed.
    Final,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Its number in order of beginning.
    pub id: usize,
    /// Who asked.
    pub client: usize,
    /// Which node was asked.
    pub node: usize,
    /// About which key.
    pub key: String,
    /// What was asked.
    pub ask: Ask,
    /// When in the run.
    pub phase: Phase,
    /// Simulated time of the beginning, in nanoseconds.
    pub start_ns: u64,
    /// Simulated time of the end; the largest number while there is no answer.
    pub end_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
}

impl Op {
    /// The version that this call proves to be the current one at some instant of the call.
    pub fn witness(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Written { version } | Outcome::Read { version, .. } => Some(version),
            Outcome::Missing => Some(0),
            Outcome::Rejected { .. } | Outcome::Unknown { .. } => None,
        }
    }

    /// The serial that this call wrote or may have written.
    pub fn wrote(&self) -> Option<u64> {
        match (&self.ask, &self.outcome) {
            (Ask::Put { serial, .. }, Outcome::Written { .. } | Outcome::Unknown { .. }) => Some(*serial),
            _ => None,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Op { id, client, node, key, ask, start_ns, end_ns, outcome, .. } = self;
        let ms = |ns: u64| if ns == u64::MAX { "-".to_string() } else { format!("{:.3}", ns as f64 / 1e6) };
        write!(f, "op{id} c{client}->n{} {key} {ask:?} {outcome:?} [{}..{} ms]", node + 1, ms(*start_ns), ms(*end_ns))
    }
}

/// The history of a run. Clones share it.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Vec<Op>>>);

impl History {
    /// Notes the beginning of a call and returns its number.
    pub fn begin(&self, mut op: Op) -> usize {
        let mut ops = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        op.id = ops.len();
        op.end_ns = u64::MAX;
        op.outcome = Outcome::Unknown { why: "in flight".to_string() };
        ops.push(op);
        ops.len() - 1
    }

    /// Notes the end of a call.
    pub fn end(&self, id: usize, end_ns: u64, outcome: Outcome) {
        let op = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[id];
        op.outcome = outcome;
        op.end_ns = end_ns;
    }

    /// All calls so far, in order of beginning.
    pub fn ops(&self) -> Vec<Op> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
