//! A token's record.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Hash;
use crate::runtime::UnixTime;
use crate::storage::plain;

/// What is stored of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its accessor.
    pub accessor: String,
    /// The parent's HMAC; `None` for an orphan.
    pub parent: Option<Hash>,
    /// Policies, sorted.
    pub policies: Vec<String>,
    /// The path that made it.
    pub path: String,
    /// For people.
    pub display_name: String,
    /// Given at creation.
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created: UnixTime,
    /// Life given at creation; zero is for ever.
    pub creation_ttl: Duration,
    /// When it dies; `None` is never.
    pub expires: Option<UnixTime>,
    /// When it was last renewed.
    pub renewed: Option<UnixTime>,
    /// It never lives longer than this from its creation; zero is no such bound.
    pub explicit_max_ttl: Duration,
    /// Each renewal gives it this long; zero is no period.
    pub period: Duration,
    /// Uses left; zero is any number.
    pub num_uses: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The namespace; always root for now.
    pub namespace: u32,
    /// It wraps an answer: what made it and the path of the wrapped request.
    pub wraps: Option<String>,
}

impl Entry {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        plain::encode(self).to_vec()
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Option<Entry> {
        plain::decode(bytes)
    }

    /// Whether it holds the root policy.
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == "root")
    }

    /// Whether it is dead at `now`.
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What is left of its life at `now`; zero for ever or dead.
    pub fn ttl(&self, now: UnixTime) -> Duration {
        self.expires.map_or(Duration::ZERO, |expires| expires.since(now))
    }

    /// The expiry of a renewal at `now` for `increment` (zero: as long as at creation), under the system's `max_ttl`,
    /// and whether it was cut.
    pub fn renewed_until(&self, now: UnixTime, increment: Duration, max_ttl: Duration) -> (UnixTime, bool) {
        let wanted = match (self.period.is_zero(), increment.is_zero()) {
            (false, _) => self.period,
            (true, false) => increment,
            (true, true) => self.creation_ttl,
        };
        let mut end = now.plus(wanted);
        let mut cut = false;
        if self.period.is_zero() {
            let last = self.created.plus(max_ttl);
            cut |= end > last;
            end = end.min(last);
        }
        if !self.explicit_max_ttl.is_zero() {
            let last = self.created.plus(self.explicit_max_ttl);
            cut |= end > last;
            end = end.min(last);
        }
        (end, cut)
    }
}
