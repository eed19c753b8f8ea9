//! A token's record.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Hash;
use super::cidr::Cidr;
use crate::runtime::UnixTime;
use crate::storage::plain;

/// What is stored of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Uses left; zero is any number, [`Entry::USED_UP`] none.
    pub num_uses: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The namespace; always root for now.
    pub namespace: u32,
    /// It wraps an answer: what made it and the path of the wrapped request.
    pub wraps: Option<String>,
    /// The role that it was made through.
    pub role: Option<String>,
    /// Where it may be used; empty is anywhere.
    pub bound_cidrs: Vec<Cidr>,
    /// Stored nowhere: the token carries this record itself.
    pub batch: bool,
    /// It was revoked and its children are being made orphans: it is dead itself, and they live without it.
    pub orphaning: bool,
}

impl Entry {
    /// `num_uses` of a token whose last use was taken.
    pub const USED_UP: u64 = u64::MAX;

    /// The record after one more use. With its last one a token is dead for everything but the request that took it; its
    /// record stays for a while, so that what that request still reads is there, and then expires.
    pub fn used(&self, now: UnixTime, while_in_use: Duration) -> Entry {
        match self.num_uses {
            0 | Entry::USED_UP => self.clone(),
            1 => {
                let end = now.plus(while_in_use);
                let expires = Some(self.expires.map_or(end, |expires| expires.min(end)));
                Entry { num_uses: Entry::USED_UP, expires, ..self.clone() }
            }
            uses => Entry { num_uses: uses - 1, ..self.clone() },
        }
    }

    /// Whether its last use was taken.
    pub fn is_used_up(&self) -> bool {
        self.num_uses == Entry::USED_UP
    }

    /// Uses left as the API shows them: -1 while the last one is under way.
    pub fn shown_uses(&self) -> i64 {
        if self.is_used_up() { -1 } else { i64::try_from(self.num_uses).unwrap_or(i64::MAX) }
    }

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

    /// The life that it was given last: at its creation or with its last renewal.
    pub fn last_ttl(&self) -> Duration {
        match (self.renewed, self.expires) {
            (Some(renewed), Some(expires)) => expires.since(renewed),
            _ => self.creation_ttl,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is kept in memory of tokens is a bounded number of decoded records.
    #[test]
    fn memory_for_each_of_100_000_tokens_is_under_200_bytes() {
        let typical = Entry {
            accessor: "x".repeat(24),
            policies: vec!["default".into(), "some-policy".into()],
            path: "auth/token/create".into(),
            display_name: "token-something".into(),
            ..Entry::default()
        };
        let heap = typical.encode().len() + typical.policies.len() * size_of::<String>();
        // The record, its key, and what the table and the allocator add to both.
        let kept = size_of::<Entry>() + heap + 200;
        assert!(kept * crate::limits::VIEW_RECORDS / 100_000 < 200, "{kept} bytes a record");
    }
}
