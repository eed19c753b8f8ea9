//! The one task that writes the log. It takes what has arrived, writes it as one group, syncs once, and tells whoever
//! waited; meanwhile the next group arrives.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Shared;
use super::end::End;
use super::frame::{self, Frame, Group, Head};
use super::memory::{Item, Segment, Written, next_index};
use super::segment::{self, Spare};
use crate::raft::types::{LogId, Vote};
use crate::runtime::point::mutant;
use crate::runtime::{Disk, File};

/// Where the next group goes.
pub(super) struct Tail {
    pub(super) log: u64,
    pub(super) sequence: u64,
    /// The position of the file's first byte.
    pub(super) base: u64,
    pub(super) file: File,
    /// The file's size.
    pub(super) len: u64,
    /// Where the next group begins in the file.
    pub(super) end: u64,
    /// The checksum of the last header.
    pub(super) chain: u32,
    pub(super) state: Disked,
}

/// What the frames written so far amount to, but for the entries: repeated at the head of each segment.
#[derive(Clone, Copy, Default)]
pub(super) struct Disked {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// The last entry, or the purge point.
    pub(super) last: Option<LogId>,
}

/// The writer of one log.
pub(super) struct Writer {
    shared: Arc<Shared>,
    tail: Tail,
    /// Every position below it is durable.
    mark: u64,
    /// Whether the last group holds something that no later mark covers yet.
    unmarked: bool,
    /// The end of the last group that holds more than a mark.
    needed: u64,
    /// What the file beside the log says of it.
    noted: u64,
    spare: Option<oneshot::Receiver<std::io::Result<Spare>>>,
}

/// The error that makes a log faulted, with what failed.
struct Fault(String);

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, tail: Tail) -> Writer {
        let mark = tail.base + tail.end;
        Writer { shared, tail, mark, unmarked: true, needed: 0, noted: 0, spare: None }
    }

    /// Writes until the log is closed or faulted.
    pub(super) async fn run(mut self) {
        self.prepare_spare();
        loop {
            let (items, committed, closing) = {
                let mut memory = self.shared.memory();
                let items = memory.take(self.shared.options.group_bytes);
                let committed = if items.is_empty() { None } else { memory.take_committed() };
                (items, committed, memory.closing)
            };
            if items.is_empty() && !closing && self.wait().await {
                continue;
            }
            // Whatever is done to the disk holds up what is appended next: all of it counts as busy.
            self.shared.memory().busy_since = Some(self.shared.clock.boot());
            let goes_on = if !items.is_empty() {
                self.write(items, committed).await
            } else if closing {
                return self.close().await;
            } else {
                self.mark_end().await && self.note_end().await
            };
            if !goes_on {
                return;
            }
            self.shared.memory().busy_since = None;
        }
    }

    /// Leaves a log whose end is marked and that nobody writes to any more.
    async fn close(mut self) {
        if self.unmarked || self.shared.memory().committed_changed {
            self.mark_end().await;
        }
        self.note_end().await;
        if let Some(spare) = self.spare.take() {
            // Its error no longer matters: the file is made anew at the next start.
            let _ = spare.await;
        }
        self.shared.trace(format_args!("close at={}", self.mark));
    }

    /// Waits for work; false if there was none for a while and the end of the log wants its mark.
    async fn wait(&self) -> bool {
        if !self.unmarked {
            self.shared.work.notified().await;
            return true;
        }
        tokio::time::timeout(self.shared.options.idle, self.shared.work.notified()).await.is_ok()
    }

    /// Writes a group that says that the one before it is durable: else nothing could tell damage to the last group from
    /// a torn write. Only when the log is idle: whatever is appended next says the same.
    async fn mark_end(&mut self) -> bool {
        let committed = self.shared.memory().take_committed();
        let written = self.write(Vec::new(), committed).await;
        self.unmarked = false;
        written
    }

    /// Notes beside the log where it ends; always true, since nothing depends on it.
    async fn note_end(&mut self) -> bool {
        if self.noted < self.needed {
            let end = End { log: self.tail.log, position: self.needed };
            match end.write(&self.shared.disk, &self.shared.dir).await {
                Ok(()) => self.noted = self.needed,
                Err(error) => {
                    tracing::warn!("{}: where the log ends was not noted: {error}", self.shared.dir.display());
                }
            }
        }
        true
    }

    /// Makes one group durable and tells who waited for it; false if the log is now faulted.
    async fn write(&mut self, items: Vec<Item>, committed: Option<Option<LogId>>) -> bool {
        let mut state = self.tail.state;
        let is_mark = items.is_empty();
        let (group, mut written) = encode(items, committed, &mut state);
        match self.commit(group, &mut written).await {
            Ok(()) => {
                self.tail.state = state;
                if !is_mark {
                    self.needed = self.mark;
                }
                self.complete(written);
                self.remove_purged().await;
                true
            }
            Err(Fault(reason)) => {
                self.shared.fail(&reason, written.done);
                false
            }
        }
    }

    async fn commit(&mut self, group: Group, written: &mut Written) -> Result<(), Fault> {
        let len = frame::align(group.len() as u64);
        if self.tail.end + len > self.tail.len {
            self.roll(len).await?;
        }
        let at = self.tail.base + self.tail.end;
        for (_, position, _) in &mut written.entries {
            *position += at;
        }
        let (first, count) = (written.entries.first().map_or(0, |(index, _, _)| *index), written.entries.len());
        self.shared.trace(format_args!("group at={at} bytes={len} first={first} entries={count}"));
        let (bytes, checksum) = group.finish(self.tail.log, at, self.mark, self.tail.chain);
        self.write_and_sync(bytes).await?;
        self.tail.end += len;
        self.tail.chain = checksum;
        self.mark = at + len;
        self.unmarked = true;
        if let Some(segment) = self.shared.memory().segments.get_mut(&self.tail.base) {
            segment.last = segment.last.max(written.highest);
        }
        self.shared.trace(format_args!("synced to={}", self.mark));
        Ok(())
    }

    async fn write_and_sync(&self, bytes: Bytes) -> Result<(), Fault> {
        let (shared, file) = (&self.shared, &self.tail.file);
        let began = shared.clock.boot();
        let written = match mutant("skip-fsync") {
            true => file.write_at(self.tail.end, bytes).await,
            false => file.write_and_sync(self.tail.end, bytes).await,
        };
        written.map_err(|error| self.fault("write or sync", &error))?;
        shared.syncs.record(shared.clock.boot().saturating_sub(began));
        Ok(())
    }

    /// Goes on in a new segment with room for a group of `len` bytes.
    async fn roll(&mut self, len: u64) -> Result<(), Fault> {
        let spare = self.take_spare(len).await?;
        let (base, sequence) = (self.tail.base + self.tail.end, self.tail.sequence + 1);
        self.tail = begin_segment(&self.shared.disk, &self.shared.dir, spare, sequence, base, &self.tail)
            .await
            .map_err(|error| self.fault("new segment", &error))?;
        self.mark = base + self.tail.end;
        {
            let mut memory = self.shared.memory();
            memory.segments.insert(base, self.tail.segment());
            memory.spare_bytes = 0;
        }
        self.shared.trace(format_args!("segment sequence={sequence} at={base}"));
        self.prepare_spare();
        Ok(())
    }

    /// The prepared file, or one made now. A full disk is waited out: nothing of the log has been touched yet.
    async fn take_spare(&mut self, len: u64) -> Result<Spare, Fault> {
        let wanted = len + HEAD_ROOM;
        let prepared = match self.spare.take() {
            Some(receiver) => receiver.await.ok(),
            None => None,
        };
        let mut made = match prepared {
            Some(Ok(spare)) if spare.len < wanted => None,
            other => other,
        };
        loop {
            match made.take() {
                Some(Ok(spare)) => return Ok(spare),
                Some(Err(error)) if !segment::is_full(&error) => return Err(self.fault("new segment", &error)),
                Some(Err(_)) => {
                    self.shared.set_space(false);
                    tokio::time::sleep(self.shared.options.space_interval).await;
                }
                None => {}
            }
            let len = wanted.max(self.shared.options.segment_bytes);
            made = Some(segment::prepare(&self.shared.disk, &self.shared.dir, len).await);
        }
    }

    fn prepare_spare(&mut self) {
        let len = self.shared.options.segment_bytes;
        self.spare = Some(segment::prepare_in_background(&self.shared.disk, &self.shared.dir, len));
        self.shared.memory().spare_bytes = len;
    }

    /// Shows a durable group to readers, then calls back in order.
    fn complete(&self, written: Written) {
        let (waiters, durable) = {
            let mut memory = self.shared.memory();
            let waiters = memory.complete(&written, self.mark, self.shared.options.recent_bytes);
            (waiters, memory.durable())
        };
        self.shared.promise(&written, durable);
        for item in written.done {
            match item {
                Item::Flushed(callback) => callback.io_completed(Ok(())),
                // Nobody waits any more if the receiver is gone.
                Item::Reply(reply) => drop(reply.send(Ok(()))),
                _ => {}
            }
        }
        for reply in waiters {
            drop(reply.send(Ok(())));
        }
    }

    /// Removes the files that a durable purge has emptied. One that stays behind is removed at the next start.
    async fn remove_purged(&self) {
        let removed = self.shared.memory().take_purged_segments(self.tail.state.purged);
        if removed.is_empty() {
            return;
        }
        for segment in &removed {
            self.shared.trace(format_args!("remove sequence={}", segment.sequence));
            let path = segment::path(&self.shared.dir, segment.sequence);
            if let Err(error) = self.shared.disk.remove(&path).await {
                tracing::warn!("{}: cannot remove a purged segment of the log: {error}", path.display());
            }
        }
        if let Err(error) = self.shared.disk.sync_dir(&self.shared.dir).await {
            tracing::warn!("{}: cannot sync: {error}", self.shared.dir.display());
        }
    }

    fn fault(&self, what: &str, error: &std::io::Error) -> Fault {
        let path = segment::path(&self.shared.dir, self.tail.sequence);
        Fault(format!("{}: {what} failed at byte {}: {error}", path.display(), self.tail.end))
    }
}

/// Puts items together as frames, and `state` forward. Positions are counted from the group's beginning.
fn encode(items: Vec<Item>, committed: Option<Option<LogId>>, state: &mut Disked) -> (Group, Written) {
    let mut group = Group::new(items.iter().map(Item::len).sum::<usize>() + 64);
    let mut written = Written::default();
    for item in items {
        match item {
            Item::Entry(entry) => {
                let (offset, len) = group.push_entry(&entry);
                written.entries.push((entry.log_id.index, u64::from(offset), len));
                written.highest = written.highest.max(Some(entry.log_id.index));
                state.last = Some(entry.log_id);
            }
            Item::Vote(vote) => {
                group.push(&Frame::Vote(vote));
                state.vote = Some(vote);
                written.vote = Some(vote);
            }
            Item::Truncate(after) => {
                group.push(&Frame::Truncate(after));
                let next = next_index(after);
                written.entries.retain(|(index, _, _)| *index < next);
                state.last = after.max(state.purged);
            }
            Item::Purge(upto) => {
                group.push(&Frame::Purge(upto));
                state.purged = Some(upto);
                state.last = state.last.max(Some(upto));
            }
            done @ (Item::Flushed(_) | Item::Reply(_)) => written.done.push(done),
        }
    }
    if let Some(committed) = committed {
        group.push(&Frame::Committed(committed));
        state.committed = committed;
    }
    (group, written)
}

impl Tail {
    /// What readers need to know of this segment.
    pub(super) fn segment(&self) -> Segment {
        Segment { sequence: self.sequence, file: self.file.clone(), len: self.len, last: None }
    }

    /// The first segment of a new log.
    pub(super) async fn create(disk: &Disk, dir: &Path, log: u64, len: u64) -> std::io::Result<Tail> {
        let spare = segment::prepare(disk, dir, len).await?;
        let before = Tail {
            log,
            sequence: 0,
            base: 0,
            file: spare.file.clone(),
            len: 0,
            end: 0,
            chain: 0,
            state: Disked::default(),
        };
        begin_segment(disk, dir, spare, 0, 0, &before).await
    }
}

/// Makes the head of a prepared file durable and gives it the name of a segment. Everything before it is durable.
async fn begin_segment(
    disk: &Disk,
    dir: &Path,
    spare: Spare,
    sequence: u64,
    base: u64,
    before: &Tail,
) -> std::io::Result<Tail> {
    let state = before.state;
    let mut group = Group::new(256);
    let head = Head::new(sequence, spare.len, state.vote, state.committed, state.purged, state.last);
    group.push(&Frame::Head(head));
    let end = frame::align(group.len() as u64);
    let (bytes, chain) = group.finish(before.log, base, base, before.chain);
    spare.file.write_at(0, bytes).await?;
    spare.file.sync().await?;
    disk.rename(&segment::spare_path(dir), &segment::path(dir, sequence)).await?;
    disk.sync_dir(dir).await?;
    Ok(Tail { log: before.log, sequence, base, file: spare.file, len: spare.len, end, chain, state })
}

impl From<&Head> for Disked {
    fn from(head: &Head) -> Disked {
        Disked { vote: head.vote, committed: head.committed, purged: head.purged, last: head.last }
    }
}

/// Bytes of a segment that its head may take.
const HEAD_ROOM: u64 = 1024;
