//! Policies as records: what is stored, which one holds, and their end.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::views::Found;
use super::{Core, Result, Unsealed};
use crate::limits;
use crate::policy::{Policy, builtin};
use crate::runtime::UnixTime;
use crate::storage::{plain, schema};

/// The stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Folded.
    pub name: String,
    /// As it was written.
    pub text: String,
    /// Counts the writes.
    pub version: u64,
    /// When it was last written.
    pub modified: UnixTime,
    /// Whether a write must name the version that it replaces.
    pub cas_required: bool,
    /// From then on it is as if it had never been written.
    pub expires: Option<UnixTime>,
    /// Kept and shown; there are no identities yet that a template could take a value from.
    pub slashes_in_templates: bool,
    /// Kept and shown, likewise.
    pub wildcards_in_templates: bool,
}

impl Stored {
    /// A policy that is written for the first time.
    pub fn new(name: &str, text: &str, now: UnixTime) -> Stored {
        Stored {
            name: name.into(),
            text: text.into(),
            version: 1,
            modified: now,
            cas_required: false,
            expires: None,
            slashes_in_templates: false,
            wildcards_in_templates: false,
        }
    }

    /// The bytes of the record.
    pub fn encode(&self) -> Vec<u8> {
        plain::encode(self).to_vec()
    }

    /// Whether it has ended.
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A policy's record, parsed.
pub struct PolicyRecord {
    /// The record.
    pub stored: Stored,
    /// What it allows.
    pub parsed: Arc<Policy>,
}

impl PolicyRecord {
    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Option<PolicyRecord> {
        let stored: Stored = plain::decode(bytes)?;
        let parsed = Arc::new(Policy::parse(&stored.name, &stored.text).ok()?);
        Some(PolicyRecord { stored, parsed })
    }
}

/// The storage key of a policy's record.
pub fn key(name: &str) -> Bytes {
    schema::key(schema::Kind::Policy, name.as_bytes())
}

/// From the end of a policy to its name, in order of time.
pub fn expiry_key(at: UnixTime, name: &str) -> Bytes {
    schema::key(schema::Kind::PolicyExpiry, &[at.0.max(0).to_be_bytes().as_slice(), name.as_bytes()].concat())
}

/// The name in a key that [`expiry_key`] made.
fn expiring(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(9..)?).ok()
}

impl Core {
    /// The record of a policy that holds now; the built-in `root` has none in the store.
    pub(crate) async fn policy(&self, unsealed: &Unsealed, name: &str) -> Result<Option<Found<PolicyRecord>>> {
        let found = self.policy_record(unsealed, name).await?;
        let now = self.runtime.clock.now();
        Ok(found.filter(|found| !found.record.stored.is_expired(now)))
    }

    /// The record of a policy, also of one that has ended and is still there.
    pub(crate) async fn policy_record(&self, unsealed: &Unsealed, name: &str) -> Result<Option<Found<PolicyRecord>>> {
        if let Some(parsed) = builtin::unwritten(name) {
            let stored = Stored { version: 0, ..Stored::new(name, &parsed.text, UnixTime(0)) };
            let record = PolicyRecord { stored, parsed: Arc::new(parsed) };
            return Ok(Some(Found { revision: 0, record: Arc::new(record) }));
        }
        self.policies.get(self.raft.state(), &unsealed.keyring, &key(name)).await
    }

    /// Removes a page of policies that have ended; whether there were any. They have been without effect since their end.
    pub(super) async fn remove_ended_policies(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let now = self.runtime.clock.now();
        let mut txn = self.begin_in(unsealed, term);
        let from = schema::key(schema::Kind::PolicyExpiry, b"");
        let until = expiry_key(UnixTime(now.0.saturating_add(1)), "");
        let ended = txn.scan_keys(&from, &until, limits::REVOKE_PAGE as u32).await?;
        for index in &ended {
            txn.delete(index.clone());
            let Some(name) = expiring(index) else { continue };
            let stored = txn.get(&key(name)).await?.and_then(|bytes| plain::decode::<Stored>(&bytes));
            // Written anew since, it may have another end or none.
            if stored.is_some_and(|stored| stored.is_expired(now)) {
                txn.delete(key(name));
            }
        }
        self.commit(txn).await?;
        Ok(!ended.is_empty())
    }
}
