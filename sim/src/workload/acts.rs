//! What clients did with tokens, policies, mounts and wrapped answers, and what they saw. As honest as
//! [`history`](super::history): a timeout, a 5xx or a broken connection may or may not have happened; a 4xx did not.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::history::Phase;

/// What a token was made with. Tokens are numbered by the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The token that made it; `None` is the root token.
    pub parent: Option<usize>,
    /// The one policy of the workload that it has; `None` has them all.
    pub policy: Option<usize>,
    /// How often it may be used; 0 is any number of times.
    pub uses: u64,
    /// Its life, and what a renewal gives.
    pub ttl: Duration,
    /// It never lives longer than this.
    pub max: Duration,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Make a token, by its parent.
    Create {
        /// Its number.
        token: usize,
        /// What it is made with.
        terms: Terms,
    },
    /// Renew a token, by itself.
    Renew {
        /// Which.
        token: usize,
    },
    /// Revoke a token and all below it, by root.
    Revoke {
        /// Which.
        token: usize,
    },
    /// Read, by a token, the secret that a policy opens.
    Use {
        /// The token.
        token: usize,
        /// The policy.
        policy: usize,
    },
    /// Write a policy that opens its secret or closes it.
    SetPolicy {
        /// Which.
        policy: usize,
        /// Whether it opens.
        open: bool,
        /// The version that must be the current one: a write with a lower one than that of an acknowledged write can no
        /// longer take effect.
        cas: u64,
    },
    /// Wrap an answer.
    Wrap {
        /// Its number.
        wrap: usize,
        /// How long it can be unwrapped.
        ttl: Duration,
    },
    /// Unwrap it.
    Unwrap {
        /// Which.
        wrap: usize,
    },
    /// Enable a mount.
    Enable {
        /// Which.
        mount: usize,
    },
    /// Disable it, with all that it holds.
    Disable {
        /// Which.
        mount: usize,
    },
    /// Write a serial, that nothing else has, into a mount.
    Store {
        /// Which.
        mount: usize,
        /// The serial.
        serial: u64,
    },
    /// Read what was written into a mount.
    Load {
        /// Which.
        mount: usize,
    },
}

impl Deed {
    /// The token that asks; `None` is the root token, or a wrapping token.
    pub fn by(&self) -> Option<usize> {
        match self {
            Deed::Create { terms, .. } => terms.parent,
            Deed::Renew { token } | Deed::Use { token, .. } => Some(*token),
            _ => None,
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Done,
    /// A read saw this serial.
    Saw {
        /// The serial.
        serial: u64,
    },
    /// 403: it did not happen, though a use of the token was taken.
    Denied,
    /// Another 4xx: it did not happen.
    Refused {
        /// The status.
        status: u16,
    },
    /// No connection came about: it did not happen, and nothing was asked.
    Unsent,
    /// It may or may not have happened.
    Unknown {
        /// Why.
        why: String,
    },
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Its number in order of beginning.
    pub id: usize,
    /// Who asked.
    pub client: usize,
    /// Which node was asked.
    pub node: usize,
    /// What was asked.
    pub deed: Deed,
    /// When in the run.
    pub phase: Phase,
    /// Simulated time of the beginning, in nanoseconds.
    pub start_ns: u64,
    /// Simulated time of the end; the largest number while there is no answer.
    pub end_ns: u64,
    /// How it ended.
    pub verdict: Verdict,
}

impl Act {
    /// Whether it was acknowledged.
    pub fn is_done(&self) -> bool {
        matches!(self.verdict, Verdict::Done | Verdict::Saw { .. })
    }

    /// Whether it may have taken effect.
    pub fn may_be_done(&self) -> bool {
        self.is_done() || matches!(self.verdict, Verdict::Unknown { .. })
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Act { id, client, node, deed, start_ns, end_ns, verdict, .. } = self;
        let ms = |ns: u64| if ns == u64::MAX { "-".to_string() } else { format!("{:.3}", ns as f64 / 1e6) };
        write!(f, "act{id} c{client}->n{} {deed:?} {verdict:?} [{}..{} ms]", node + 1, ms(*start_ns), ms(*end_ns))
    }
}

/// The acts of a run. Clones share them.
#[derive(Clone, Default)]
pub struct Acts(Arc<Mutex<Vec<Act>>>);

impl Acts {
    /// Notes the beginning of a call and returns its number.
    pub fn begin(&self, mut act: Act) -> usize {
        let mut acts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act.id = acts.len();
        acts.push(act);
        acts.len() - 1
    }

    /// Notes the end of a call.
    pub fn end(&self, id: usize, end_ns: u64, verdict: Verdict) -> Act {
        let act = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[id];
        if !matches!(verdict, Verdict::Unknown { .. }) {
            act.end_ns = end_ns;
        }
        act.verdict = verdict;
        act.clone()
    }

    /// All calls so far, in order of beginning.
    pub fn all(&self) -> Vec<Act> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
