//! Applying log entries: a function of state and entries and nothing else. No clock, entropy, configuration or
//! environment is read here; the limits below are part of the command format, so changing one needs a new format.

use std::collections::BTreeMap;
use std::io;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use openraft::EntryPayload;
use serde::de::DeserializeOwned;

use super::Versioned;
use super::engine::{Blocking, Changes, Engine, Meta, Visitor};
use crate::raft::command::{Applied, Batch, Body, Command, Outcome, RangeCheck, Write};
use crate::raft::types::{Entry, Incarnation, LogId, StoredMembership};
use crate::runtime::point::mutant;
use crate::storage::plain::{self, ClusterVersion, Init, Lifted, SealConfig, SealRecord, SealedCount};
use crate::storage::schema::{self, Kind};

/// Applies `entries` to the state of `engine`, whose metadata is `meta`, and commits the result as one. Returns the new
/// metadata, what changed, and an answer for each entry.
///
/// # Errors
/// An I/O error of the engine, or an entry that does not follow the last applied one: nothing was committed. With
/// [`Blocking::No`] also `WouldBlock`, where a disk would have to be waited for.
pub(crate) fn apply(
    engine: &Engine,
    meta: Meta,
    entries: &[Entry],
    incarnation: Incarnation,
    blocking: Blocking,
) -> io::Result<(Meta, Changes, Vec<Applied>)> {
    let mut applier = Applier { engine, meta, changes: BTreeMap::new(), incarnation, blocking };
    let answers = entries.iter().map(|entry| applier.entry(entry)).collect::<io::Result<Vec<_>>>()?;
    engine.commit(&applier.changes, &applier.meta, blocking)?;
    Ok((applier.meta, applier.changes, answers))
}

/// State as the next entry sees it: the engine's under the changes of the entries before.
struct Applier<'a> {
    engine: &'a Engine,
    meta: Meta,
    changes: Changes,
    incarnation: Incarnation,
    blocking: Blocking,
}

impl Applier<'_> {
    fn entry(&mut self, entry: &Entry) -> io::Result<Applied> {
        let id = entry.log_id;
        // openraft's first entry has index 0.
        let next = self.meta.applied.map_or(0, |applied| applied.index + 1);
        if id.index != next || self.meta.applied.is_some_and(|applied| id < applied) {
            return Err(io::Error::other(format!("entry {id} cannot follow the applied index {}", self.meta.index())));
        }
        let outcome = match &entry.payload {
            EntryPayload::Blank => Outcome::Done { more: false },
            EntryPayload::Normal(command) => {
                self.meta.log_bytes = self.meta.log_bytes.saturating_add(command.size() as u64);
                self.command(id, command)?
            }
            EntryPayload::Membership(membership) => {
                self.meta.membership = StoredMembership::new(Some(id), membership.clone());
                Outcome::Done { more: false }
            }
        };
        self.meta.applied = Some(id);
        self.meta.log_bytes = self.meta.log_bytes.saturating_add(ENTRY_ALLOWANCE);
        Ok(Applied { index: id.index, outcome })
    }

    fn command(&mut self, id: LogId, command: &Command) -> io::Result<Outcome> {
        let body = command.decode();
        if let Ok(body) = &body
            && body.epoch().is_some_and(|epoch| epoch != self.meta.epoch)
        {
            return Ok(Outcome::Conflict { key: Bytes::new() });
        }
        match body {
            Ok(Body::Batch(batch)) => self.batch(id, batch),
            Ok(Body::DeletePrefix { epoch, prefix, limit }) => self.delete_prefix(id, epoch, &prefix, limit),
            Ok(Body::Seal { id: record, .. }) => self.seal(id, record),
            Ok(Body::Unseal { id: record, signature, .. }) => self.unseal(id, record, &signature),
            Ok(Body::ClusterVersion { version, .. }) => self.cluster_version(id, version),
            Ok(Body::Noop) => Ok(Outcome::Done { more: false }),
            Err(error) => Ok(Outcome::Refused { reason: error.to_string() }),
        }
    }

    fn batch(&mut self, id: LogId, batch: Batch) -> io::Result<Outcome> {
        if let Some(outcome) = self.violated(id, &batch)? {
            return Ok(outcome);
        }
        let mut counts = Vec::with_capacity(batch.sealed.len());
        for (term, count) in &batch.sealed {
            let key = schema::key(Kind::SealedCount, &term.to_be_bytes());
            match self.record::<SealedCount>(&key)? {
                Record::Absent => counts.push((key, u64::from(*count))),
                Record::Found(SealedCount(before)) => counts.push((key, before.saturating_add(u64::from(*count)))),
                Record::Malformed => {
                    return Ok(refused(format!("the count of sealed values of term {term} is malformed")));
                }
            }
        }
        self.write(id.index, &batch.writes, &counts)?;
        if mutant("apply-twice") && self.incarnation % 2 == 1 {
            self.write(id.index + 1, &batch.writes, &counts)?;
        }
        Ok(Outcome::Done { more: false })
    }

    fn write(&mut self, revision: u64, writes: &[Write], counts: &[(Bytes, u64)]) -> io::Result<()> {
        for write in writes {
            match write {
                Write::Put { key, value } => self.set(key.clone(), Some(value.clone()), revision)?,
                Write::Delete { key } => self.set(key.clone(), None, revision)?,
            }
        }
        for (key, count) in counts {
            self.set(key.clone(), Some(plain::encode(&SealedCount(*count))), revision)?;
        }
        Ok(())
    }

    /// The outcome of a batch whose epoch, term, checks or ranges do not hold.
    fn violated(&self, id: LogId, batch: &Batch) -> io::Result<Option<Outcome>> {
        let term = id.committed_leader_id().term;
        if batch.epoch != self.meta.epoch || batch.term.is_some_and(|bound| bound != term) {
            return Ok(Some(Outcome::Conflict { key: Bytes::new() }));
        }
        for check in &batch.checks {
            if self.get(&check.key)?.map_or(0, |found| found.revision) != check.revision {
                return Ok(Some(Outcome::Conflict { key: check.key.clone() }));
            }
        }
        for range in &batch.ranges {
            if range.limit > MAX_RANGE {
                return Ok(Some(refused(format!("a range check of more than {MAX_RANGE} keys"))));
            }
            if !self.range_holds(range)? {
                return Ok(Some(Outcome::Conflict { key: range.from.clone() }));
            }
        }
        Ok(None)
    }

    fn range_holds(&self, range: &RangeCheck) -> io::Result<bool> {
        let (mut count, mut highest) = (0, 0);
        if range.limit > 0 {
            self.visit(&range.from, &range.to, &mut |_, revision, _| {
                count += 1;
                highest = highest.max(revision);
                if count < range.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(count == range.count && highest == range.revision)
    }

    fn delete_prefix(&mut self, id: LogId, epoch: u64, prefix: &[u8], limit: u32) -> io::Result<Outcome> {
        if epoch != self.meta.epoch {
            return Ok(Outcome::Conflict { key: Bytes::new() });
        }
        let limit = limit.min(MAX_DELETE) as usize;
        let (mut keys, mut bytes, mut more) = (Vec::new(), 0, false);
        self.visit(prefix, &schema::prefix_end(prefix), &mut |key, _, value| {
            if keys.len() >= limit || bytes >= MAX_DELETE_BYTES {
                more = true;
                return ControlFlow::Break(());
            }
            bytes += key.len() + value.len();
            keys.push(Bytes::copy_from_slice(key));
            ControlFlow::Continue(())
        })?;
        for key in keys {
            self.set(key, None, id.index)?;
        }
        Ok(Outcome::Done { more })
    }

    fn seal(&mut self, id: LogId, record: [u8; 16]) -> io::Result<Outcome> {
        let key = schema::key(Kind::SealRecord, &[]);
        if self.get(&key)?.is_some() {
            return Ok(Outcome::Conflict { key });
        }
        // A proposal whose outcome nobody knew is made again: it must not undo the unsealing that came between.
        if self.lifted()?.0.contains(&record) {
            return Ok(Outcome::Done { more: false });
        }
        self.set(key, Some(plain::encode(&SealRecord { id: record })), id.index)?;
        Ok(Outcome::Done { more: false })
    }

    fn lifted(&self) -> io::Result<Lifted> {
        match self.record::<Lifted>(&schema::key(Kind::SealRecord, schema::LIFTED))? {
            Record::Found(lifted) => Ok(lifted),
            Record::Absent | Record::Malformed => Ok(Lifted::default()),
        }
    }

    fn unseal(&mut self, id: LogId, record: [u8; 16], signature: &[u8]) -> io::Result<Outcome> {
        let key = schema::key(Kind::SealRecord, &[]);
        match self.record::<SealRecord>(&key)? {
            Record::Found(present) if present.id == record => {}
            Record::Malformed => return Ok(refused("the seal record is malformed")),
            // Lifted before, perhaps sealed anew since: a second lift of one id does nothing.
            _ => return Ok(Outcome::Done { more: false }),
        }
        let init = self.record::<Init>(&schema::key(Kind::Init, &[]))?;
        let config = self.record::<SealConfig>(&schema::key(Kind::SealConfig, &[]))?;
        let (Record::Found(init), Record::Found(config)) = (init, config) else {
            return Ok(refused("the cluster has no seal configuration"));
        };
        if !signed(&config.check_key, &plain::unseal_message(&init.cluster_id, &record), signature) {
            return Ok(refused("the signature is not that of the seal's check key"));
        }
        // A removal keeps no revision.
        self.set(key, None, 0)?;
        let mut lifted = self.lifted()?;
        lifted.0.push(record);
        let surplus = lifted.0.len().saturating_sub(MAX_LIFTED);
        lifted.0.drain(..surplus);
        self.set(schema::key(Kind::SealRecord, schema::LIFTED), Some(plain::encode(&lifted)), id.index)?;
        Ok(Outcome::Done { more: false })
    }

    fn cluster_version(&mut self, id: LogId, version: u32) -> io::Result<Outcome> {
        let key = schema::key(Kind::ClusterVersion, &[]);
        match self.record::<ClusterVersion>(&key)? {
            Record::Malformed => return Ok(refused("the record of the cluster's version is malformed")),
            Record::Found(ClusterVersion(present)) if present >= version => {}
            _ => self.set(key, Some(plain::encode(&ClusterVersion(version))), id.index)?,
        }
        Ok(Outcome::Done { more: false })
    }

    fn record<T: DeserializeOwned>(&self, key: &[u8]) -> io::Result<Record<T>> {
        Ok(match self.get(key)? {
            None => Record::Absent,
            Some(found) => plain::decode(&found.value).map_or(Record::Malformed, Record::Found),
        })
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Versioned>> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => match self.blocking {
                Blocking::Yes => self.engine.get_once(key),
                Blocking::No => self.engine.get_now(key).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into())),
            },
        }
    }

    /// Sets or removes a key and keeps the set hash true.
    fn set(&mut self, key: Bytes, value: Option<Bytes>, revision: u64) -> io::Result<()> {
        let before = self.get(&key)?;
        if let Some(before) = &before {
            self.meta.hashes.remove(&key, before);
        }
        let after = value.map(|value| Versioned { revision, value });
        if let Some(after) = &after {
            self.meta.hashes.insert(&key, after);
        }
        if before.is_some() || after.is_some() {
            self.changes.insert(key, after);
        }
        Ok(())
    }

    /// Visits the pairs of `from..to` in order, with the changes so far.
    fn visit(&self, from: &[u8], to: &[u8], visitor: &mut Visitor<'_>) -> io::Result<()> {
        if from >= to {
            return Ok(());
        }
        if self.blocking == Blocking::No && !self.engine.never_blocks() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut changes = self.changes.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))).peekable();
        let mut flow = ControlFlow::Continue(());
        self.engine.visit(from, to, &mut |key, revision, value| {
            while let Some((changed, change)) = changes.next_if(|(changed, _)| changed.as_ref() < key) {
                if let Some(found) = change {
                    flow = visitor(changed, found.revision, &found.value);
                    if flow.is_break() {
                        return flow;
                    }
                }
            }
            flow = match changes.next_if(|(changed, _)| changed.as_ref() == key) {
                Some((_, Some(found))) => visitor(key, found.revision, &found.value),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visitor(key, revision, value),
            };
            flow
        })?;
        while flow.is_continue() {
            match changes.next() {
                Some((key, Some(found))) => flow = visitor(key, found.revision, &found.value),
                Some((_, None)) => {}
                None => break,
            }
        }
        Ok(())
    }
}

/// A plain record as it was found.
enum Record<T> {
    Absent,
    Malformed,
    Found(T),
}

fn refused(reason: impl Into<String>) -> Outcome {
    Outcome::Refused { reason: reason.into() }
}

fn signed(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(key), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

/// Seals that are remembered as lifted.
const MAX_LIFTED: usize = 64;

/// Keys that one range check may count.
const MAX_RANGE: u32 = 65_536;

/// Keys that one command may delete by prefix.
const MAX_DELETE: u32 = 16_384;

/// Bytes of keys and values after which a deletion by prefix stops: with the largest values it ends after a few keys.
const MAX_DELETE_BYTES: usize = 4 * 1024 * 1024;

/// What an entry costs in the log besides its command, about.
pub(crate) const ENTRY_ALLOWANCE: u64 = 64;
