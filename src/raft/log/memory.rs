//! What the log knows in memory: where each entry is, the recent entries themselves, and what waits to be written.
//! Plain data behind one lock that is never held over I/O.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use openraft::storage::IOFlushed;
use tokio::sync::oneshot;

use super::frame;
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};
use crate::runtime::File;

/// The log in memory.
#[derive(Default)]
pub(super) struct Memory {
    /// The last saved vote that is durable.
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    /// `committed` changed since it was last put into a group.
    pub(super) committed_changed: bool,
    pub(super) purged: Option<LogId>,
    /// Every entry after `purged`.
    slots: VecDeque<Slot>,
    /// The index of `slots[0]`.
    first: u64,
    /// The last entries, up to the newest.
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    /// Entries below this index are durable.
    durable: u64,
    /// Entries below this index are durable once the group in flight is.
    in_flight: u64,
    /// What is to be written, in order.
    queue: VecDeque<Item>,
    /// Who waits for entries up to an index to be durable.
    waiters: Vec<(u64, Reply)>,
    /// By the position that each begins at.
    pub(super) segments: BTreeMap<u64, Segment>,
    /// The position after the last group.
    pub(super) end: u64,
    /// Bytes of the segment prepared in advance.
    pub(super) spare_bytes: u64,
    /// When the disk work in progress began, on the boot clock.
    pub(super) busy_since: Option<Duration>,
    pub(super) fault: Option<String>,
    pub(super) closing: bool,
    /// Callbacks that a fault has cut off. They are neither called nor dropped.
    parked: Vec<IOFlushed<TypeConfig>>,
}

/// Where an entry is.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) term: u64,
    /// Of its frame; [`UNWRITTEN`] before its group is durable.
    pub(super) position: u64,
    /// Length of its frame.
    pub(super) len: u32,
}

/// One file of the log.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) sequence: u64,
    pub(super) file: File,
    /// Its size on disk.
    pub(super) len: u64,
    /// The highest index of an entry in it.
    pub(super) last: Option<u64>,
}

/// One thing to write, or to do once everything before it is durable.
pub(super) enum Item {
    Entry(Entry),
    Vote(Vote),
    Truncate(Option<LogId>),
    Purge(LogId),
    Flushed(IOFlushed<TypeConfig>),
    Reply(Reply),
}

/// Somebody who waits for something to be durable.
pub(super) type Reply = oneshot::Sender<io::Result<()>>;

/// What becomes true when a group is durable.
#[derive(Default)]
pub(super) struct Written {
    /// Index, position and length of each entry.
    pub(super) entries: Vec<(u64, u64, u32)>,
    /// The highest index of an entry in it, even one that the group itself removes again.
    pub(super) highest: Option<u64>,
    pub(super) vote: Option<Vote>,
    /// Whom to tell, in order.
    pub(super) done: Vec<Item>,
}

impl Memory {
    /// A log as recovery found it; everything in it is durable.
    pub(super) fn recovered(purged: Option<LogId>, slots: VecDeque<Slot>) -> Memory {
        let first = next_index(purged);
        let next = first + slots.len() as u64;
        Memory { purged, slots, first, durable: next, in_flight: next, ..Memory::default() }
    }

    /// The index of the first entry.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The index after the last entry.
    pub(super) fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// The last entry's id, or the purge point if there is none.
    pub(super) fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(LogId { leader_id: slot.term.into(), index: self.next() - 1 }),
            None => self.purged,
        }
    }

    pub(super) fn slot(&self, index: u64) -> Option<Slot> {
        self.slots.get(usize::try_from(index.checked_sub(self.first)?).ok()?).copied()
    }

    /// The recent entry at `index`, if it is still in memory.
    pub(super) fn recent(&self, index: u64) -> Option<&Entry> {
        let first = self.next() - self.recent.len() as u64;
        self.recent.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// Adds an entry behind the last; refuses a hole.
    pub(super) fn append(&mut self, entry: Entry) -> io::Result<()> {
        let index = entry.log_id.index;
        if index != self.next() {
            let expected = self.next();
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("entry {index} appended to a log whose next index is {expected}"),
            ));
        }
        self.slots.push_back(Slot { term: entry.log_id.leader_id.term, position: UNWRITTEN, len: 0 });
        self.recent_bytes += frame::entry_len(&entry);
        self.recent.push_back(entry.clone());
        self.push(Item::Entry(entry));
        Ok(())
    }

    /// Removes the entries after `after`.
    pub(super) fn truncate(&mut self, after: Option<LogId>) {
        let next = next_index(after).max(self.first);
        if next >= self.next() {
            return;
        }
        while self.next() > next {
            self.slots.pop_back();
            if let Some(entry) = self.recent.pop_back() {
                self.recent_bytes -= frame::entry_len(&entry);
            }
        }
        self.durable = self.durable.min(next);
        self.in_flight = self.in_flight.min(next);
        self.push(Item::Truncate(after));
    }

    /// Removes the entries up to `upto`; a purge point beyond the last entry leaves a log that begins behind it.
    pub(super) fn purge(&mut self, upto: LogId) {
        if next_index(self.purged) > upto.index {
            return;
        }
        let first = upto.index + 1;
        while self.first < first && self.slots.pop_front().is_some() {
            self.first += 1;
        }
        while self.recent.len() > self.slots.len() {
            if let Some(entry) = self.recent.pop_front() {
                self.recent_bytes -= frame::entry_len(&entry);
            }
        }
        self.first = first;
        self.durable = self.durable.max(first);
        self.in_flight = self.in_flight.max(first);
        self.purged = Some(upto);
        self.push(Item::Purge(upto));
    }

    /// Queues an item; after a fault, nothing is written any more: callbacks are parked and replies are errors.
    pub(super) fn push(&mut self, item: Item) {
        match (&self.fault, item) {
            (None, item) => self.queue.push_back(item),
            (Some(_), Item::Flushed(callback)) => self.parked.push(callback),
            (Some(fault), Item::Reply(reply)) => drop(reply.send(Err(io::Error::other(fault.clone())))),
            (Some(_), _) => {}
        }
    }

    /// Takes what makes up the next group: at most `bytes`, but for the first item.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<Item> {
        self.in_flight = self.durable;
        let mut items = Vec::new();
        let mut taken = 0;
        while let Some(item) = self.queue.front() {
            let len = item.len();
            if taken > 0 && len > 0 && taken + len > bytes {
                break;
            }
            taken += len;
            match item {
                Item::Entry(entry) => self.in_flight = entry.log_id.index + 1,
                Item::Truncate(after) => self.in_flight = self.in_flight.min(next_index(*after)),
                _ => {}
            }
            items.extend(self.queue.pop_front());
        }
        self.take_back_truncated();
        items
    }

    /// The committed log id, if it has changed since it was last taken.
    pub(super) fn take_committed(&mut self) -> Option<Option<LogId>> {
        std::mem::take(&mut self.committed_changed).then_some(self.committed)
    }

    /// Makes a durable group visible; returns the waiters that it satisfies.
    pub(super) fn complete(&mut self, written: &Written, end: u64, recent_limit: usize) -> Vec<Reply> {
        for (index, position, len) in &written.entries {
            if *index >= self.in_flight {
                continue;
            }
            if let Some(at) = index.checked_sub(self.first)
                && let Some(slot) = self.slots.get_mut(at as usize)
            {
                (slot.position, slot.len) = (*position, *len);
            }
        }
        if written.vote.is_some() {
            self.vote = written.vote;
        }
        self.durable = self.in_flight;
        self.end = end;
        while self.recent_bytes > recent_limit && self.next() - (self.recent.len() as u64) < self.durable {
            if let Some(entry) = self.recent.pop_front() {
                self.recent_bytes -= frame::entry_len(&entry);
            }
        }
        let durable = self.durable;
        let (ready, waiting) = std::mem::take(&mut self.waiters).into_iter().partition(|(index, _)| *index < durable);
        self.waiters = waiting;
        ready.into_iter().map(|(_, reply): (u64, Reply)| reply).collect()
    }

    /// Entries below this index are durable.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Waits for the entries up to `index` to be durable: answers at once, or keeps `reply` for later. Beyond the log's
    /// end (a snapshot is being installed) it waits for what there is.
    pub(super) fn wait_durable(&mut self, index: u64, reply: Reply) {
        let last = self.next().saturating_sub(1);
        let answer = match &self.fault {
            _ if index < self.durable => Ok(()),
            Some(fault) => Err(io::Error::other(fault.clone())),
            None if self.next() <= self.durable => Ok(()),
            None => return self.waiters.push((index.min(last), reply)),
        };
        // Nobody waits any more if the receiver is gone.
        let _ = reply.send(answer);
    }

    /// Stops everything for good.
    pub(super) fn fail(&mut self, reason: &str, in_flight: Vec<Item>) {
        self.fault.get_or_insert_with(|| reason.to_string());
        self.busy_since = None;
        let queue = std::mem::take(&mut self.queue);
        for item in in_flight.into_iter().chain(queue) {
            self.push(item);
        }
        for (_, reply) in std::mem::take(&mut self.waiters) {
            self.push(Item::Reply(reply));
        }
    }

    /// The segment that holds a position, and where the position is in its file.
    pub(super) fn locate(&self, position: u64) -> Option<(&Segment, u64)> {
        let (base, segment) = self.segments.range(..=position).next_back()?;
        Some((segment, position - base))
    }

    /// Segments that hold nothing but purged entries, oldest first, without the one in use. They are forgotten here.
    pub(super) fn take_purged_segments(&mut self, upto: Option<LogId>) -> Vec<Segment> {
        let mut removed = Vec::new();
        while self.segments.len() > 1
            && let Some(first) = self.segments.first_entry()
            && first.get().last.is_none_or(|last| last < next_index(upto))
        {
            removed.push(first.remove());
        }
        removed
    }

    /// The last entry of each term from `from` to `to`, which both exist.
    pub(super) fn last_of_each_term(&self, from: u64, to: u64) -> Option<Vec<LogId>> {
        let mut ids = Vec::new();
        for index in from..=to {
            let term = self.slot(index)?.term;
            if index == to || self.slot(index + 1)?.term != term {
                ids.push(LogId { leader_id: term.into(), index });
            }
        }
        Some(ids)
    }

    /// A truncation that still waits in the queue has already replaced, in memory, some of what is being written.
    fn take_back_truncated(&mut self) {
        for item in &self.queue {
            if let Item::Truncate(after) = item {
                self.in_flight = self.in_flight.min(next_index(*after));
            }
        }
        self.in_flight = self.in_flight.min(self.next()).max(self.first);
    }
}

impl Item {
    /// Bytes that it takes in a group, about.
    pub(super) fn len(&self) -> usize {
        match self {
            Item::Entry(entry) => frame::entry_len(entry),
            Item::Vote(_) | Item::Truncate(_) | Item::Purge(_) => 64,
            Item::Flushed(_) | Item::Reply(_) => 0,
        }
    }
}

/// The index that follows a log id; 0 if there is none.
pub(super) fn next_index(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

/// The position of an entry that is in no durable group.
pub(super) const UNWRITTEN: u64 = u64::MAX;
