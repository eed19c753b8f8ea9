//! Reading the log back at start-up: what is there, where it ends, and whether its end is a torn write or damage.
//!
//! Whatever was synced must still be there. A group is written only after the sync of the one before, and says so in
//! its mark: so a bad frame with a later group behind it was once durable, and the log is damaged. Only at the very end
//! can a bad group be one whose write the crash cut off; nothing in it was acknowledged, and it is erased.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::OpenError;
use super::end::End;
use super::frame::{self, ALIGN, Frame, GROUP_HEADER, Header};
use super::memory::{Memory, Segment, Slot, next_index};
use super::segment;
use super::writer::{Disked, Tail};
use crate::raft::types::LogId;
use crate::runtime::disk::Open;
use crate::runtime::point::mutant;
use crate::runtime::{Disk, File};

/// A log that was read back.
pub(super) struct Recovered {
    pub(super) memory: Memory,
    pub(super) tail: Tail,
    /// Bytes of a torn write that were erased.
    pub(super) torn: u64,
}

/// Reads the log in `dir`; `None` if there is none. The end of the log is repaired and synced.
pub(super) async fn recover(disk: &Disk, dir: &Path) -> Result<Option<Recovered>, OpenError> {
    let (mut sequences, old) = segments(disk, dir).await?;
    let mut replay = Replay::default();
    let mut tail: Option<(Walked, Bytes)> = None;
    let mut surplus: Vec<PathBuf> = old.into_iter().map(|sequence| segment::path(dir, sequence)).collect();
    while let Some(sequence) = sequences.pop_front() {
        let path = segment::path(dir, sequence);
        let bytes = disk.read(&path).await.map_err(|error| OpenError::io(&path, error))?;
        let walked = replay.walk(&bytes, sequence, &path)?;
        let is_last = sequences.is_empty();
        match walked.judge(&replay, &bytes, is_last, tail.as_ref().map(|(before, _)| before)) {
            Verdict::Good => {
                let open = Open { read_only: !is_last, ..Open::default() };
                let file = disk.open(&path, open).await.map_err(|error| OpenError::io(&path, error))?;
                replay.add_segment(&walked, file, bytes.len() as u64);
                tail = Some((walked, bytes));
            }
            Verdict::NeverUsed => surplus.push(path),
            Verdict::Damaged(damage) if mutant("cut-below-mark") && walked.has_head => {
                tracing::warn!("{damage}: cut");
                let file = disk.open(&path, Open::default()).await.map_err(|error| OpenError::io(&path, error))?;
                replay.add_segment(&walked, file, bytes.len() as u64);
                tail = Some((walked, bytes));
                surplus.extend(sequences.drain(..).map(|sequence| segment::path(dir, sequence)));
            }
            Verdict::Damaged(damage) => return Err(damage),
        }
    }
    replay.check_complete(dir)?;
    let closed = End::read(disk, dir).await.map_err(|error| OpenError::io(dir, error))?;
    replay.check_end(closed, tail.as_ref().map(|(walked, _)| walked), dir)?;
    for path in &surplus {
        disk.remove(path).await.map_err(|error| OpenError::io(path, error))?;
    }
    disk.sync_dir(dir).await.map_err(|error| OpenError::io(dir, error))?;
    let Some((walked, bytes)) = tail else { return Ok(None) };
    replay.finish(disk, walked, bytes).await.map(Some)
}

/// The sequences of the segments in `dir`, in order, and of those before a gap: left over from a purge, if nothing is
/// missing.
async fn segments(disk: &Disk, dir: &Path) -> Result<(VecDeque<u64>, Vec<u64>), OpenError> {
    let entries = disk.list(dir).await.map_err(|error| OpenError::io(dir, error))?;
    let mut sequences: Vec<u64> = entries.iter().filter_map(|entry| segment::sequence(&entry.name)).collect();
    sequences.sort_unstable();
    let gap = sequences.windows(2).rposition(|pair| pair[0] + 1 != pair[1]);
    let kept = sequences.split_off(gap.map_or(0, |gap| gap + 1));
    Ok((kept.into(), sequences))
}

/// The log as far as it was read.
#[derive(Default)]
struct Replay {
    log: Option<u64>,
    /// The position that the next group has.
    position: u64,
    /// The checksum of the last header.
    chain: Option<u32>,
    /// The highest mark.
    mark: u64,
    state: Disked,
    slots: VecDeque<Slot>,
    /// The index of `slots[0]`.
    first: u64,
    segments: BTreeMap<u64, Segment>,
}

/// How far a segment could be read.
struct Walked {
    path: PathBuf,
    sequence: u64,
    /// The bytes of the file.
    len: u64,
    /// The position of the file's first byte.
    base: u64,
    /// Where the good groups end.
    end: u64,
    /// Whether the segment's head is good.
    has_head: bool,
    /// The highest index of an entry.
    last: Option<u64>,
    /// What is wrong with the bytes after `end`, if anything: where and what.
    bad: Option<(u64, String)>,
    /// A good header that belongs to another place: a group or segment before it is missing.
    misplaced: bool,
}

enum Verdict {
    Good,
    /// The file was made for the next segment, but the crash came before its head was durable.
    NeverUsed,
    Damaged(OpenError),
}

impl Replay {
    /// Reads the groups of one segment up to the first that is bad or missing.
    fn walk(&mut self, bytes: &Bytes, sequence: u64, path: &Path) -> Result<Walked, OpenError> {
        if self.log.is_none()
            && let Some(header) = Header::decode(bytes)
        {
            // The first segment says where the log now begins.
            (self.log, self.position, self.chain) = (Some(header.log), header.position, Some(header.chain));
        }
        let base = self.position;
        let mut walked = Walked {
            path: path.to_path_buf(),
            sequence,
            len: bytes.len() as u64,
            base,
            end: 0,
            has_head: false,
            last: None,
            bad: None,
            misplaced: false,
        };
        while let Some(header) = self.next_header(bytes, &mut walked) {
            let group = bytes.slice(walked.end as usize..(walked.end + header.group_len()) as usize);
            let frames = match read_frames(&header, &group) {
                Ok(frames) => frames,
                Err((offset, what)) => {
                    walked.bad = Some((walked.end + offset, what));
                    break;
                }
            };
            for (offset, len, frame) in frames {
                let at = walked.end + offset;
                self.apply(frame, at, len, &mut walked).map_err(|what| OpenError::Corrupt {
                    path: path.to_path_buf(),
                    offset: at,
                    what,
                })?;
            }
            walked.end += header.group_len();
            self.position += header.group_len();
            self.mark = self.mark.max(header.mark);
            self.chain = Some(header.checksum);
        }
        Ok(walked)
    }

    /// The header at the end of what was read, if it is the one that must follow.
    fn next_header(&self, bytes: &Bytes, walked: &mut Walked) -> Option<Header> {
        let rest = bytes.get(walked.end as usize..).unwrap_or_default();
        let Some(header) = Header::decode(rest) else {
            let sector = &rest[..rest.len().min(ALIGN as usize)];
            if sector.iter().any(|byte| *byte != 0) {
                walked.bad = Some((walked.end, "no valid group header".into()));
            }
            return None;
        };
        let wrong = if Some(header.log) != self.log {
            Some("the group belongs to another log")
        } else if header.position != self.position || Some(header.chain) != self.chain {
            walked.misplaced = true;
            Some("the group does not follow the one before it")
        } else if header.group_len() > rest.len() as u64 {
            Some("the group reaches past the end of the file")
        } else {
            None
        };
        walked.bad = wrong.map(|what| (walked.end, what.to_string()));
        wrong.is_none().then_some(header)
    }

    fn apply(&mut self, frame: Frame, offset: u64, len: u32, walked: &mut Walked) -> Result<(), String> {
        if matches!(frame, Frame::Head(_)) == walked.has_head {
            return Err("a segment has one head, at its beginning".into());
        }
        match frame {
            Frame::Head(head) => {
                if head.sequence != walked.sequence {
                    return Err(format!("the head of segment {}", head.sequence));
                }
                if head.len > walked.len {
                    return Err(format!("the file was cut: it had {} bytes and has {}", head.len, walked.len));
                }
                if self.segments.is_empty() {
                    self.first = next_index(head.last.max(head.purged));
                } else if next_index(head.last) != self.first + self.slots.len() as u64 {
                    return Err("the segment does not go on where the one before it ends".into());
                }
                walked.has_head = true;
                self.state = Disked::from(&head);
            }
            Frame::Entry(entry) => {
                let (index, expected) = (entry.log_id.index, self.first + self.slots.len() as u64);
                if index != expected {
                    return Err(format!("entry {index} where {expected} must be"));
                }
                let position = walked.base + offset;
                self.slots.push_back(Slot { term: entry.log_id.leader_id.term, position, len });
                self.state.last = Some(entry.log_id);
                walked.last = walked.last.max(Some(index));
            }
            Frame::Vote(vote) => self.state.vote = Some(vote),
            Frame::Committed(committed) => self.state.committed = committed,
            Frame::Truncate(after) => self.truncate(after),
            Frame::Purge(upto) => self.purge(upto),
        }
        Ok(())
    }

    fn truncate(&mut self, after: Option<LogId>) {
        let next = next_index(after).max(next_index(self.state.purged));
        // Entries that are missing at the beginning may be among those that go.
        self.slots.truncate(usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX));
        self.first = self.first.min(next);
        self.state.last = after.max(self.state.purged);
    }

    fn purge(&mut self, upto: LogId) {
        while self.first <= upto.index && self.slots.pop_front().is_some() {
            self.first += 1;
        }
        self.first = self.first.max(upto.index + 1);
        self.state.purged = Some(upto);
        self.state.last = self.state.last.max(Some(upto));
    }

    fn add_segment(&mut self, walked: &Walked, file: File, len: u64) {
        let segment = Segment { sequence: walked.sequence, file, len, last: walked.last };
        self.segments.insert(walked.base, segment);
    }

    /// Every entry that was not purged must be there.
    fn check_complete(&self, dir: &Path) -> Result<(), OpenError> {
        let from = next_index(self.state.purged);
        if from < self.first {
            return Err(OpenError::Missing { dir: dir.to_path_buf(), from, to: self.first - 1 });
        }
        Ok(())
    }

    /// What was there when the log was last closed must still be there.
    fn check_end(&self, closed: Option<End>, tail: Option<&Walked>, dir: &Path) -> Result<(), OpenError> {
        match (closed, tail) {
            (Some(closed), Some(tail)) if Some(closed.log) == self.log && self.position < closed.position => {
                let (offset, what) = tail.stop();
                let what =
                    format!("{what}; {} bytes more were there when it was closed", closed.position - self.position);
                Err(OpenError::Corrupt { path: tail.path.clone(), offset, what })
            }
            (Some(_), None) => Err(OpenError::Lost { dir: dir.to_path_buf(), what: "its files are gone".into() }),
            _ => Ok(()),
        }
    }

    /// Repairs the end. What no mark covers may be in memory only, whatever an earlier sync said, so it is written once
    /// more before it is synced.
    async fn finish(mut self, disk: &Disk, walked: Walked, bytes: Bytes) -> Result<Recovered, OpenError> {
        let fail = |error| OpenError::io(&walked.path, error);
        let file = disk.open(&walked.path, Open::default()).await.map_err(fail)?;
        let unmarked = self.mark.saturating_sub(walked.base).min(walked.end);
        file.write_at(unmarked, bytes.slice(unmarked as usize..walked.end as usize)).await.map_err(fail)?;
        let rest = &bytes[walked.end as usize..];
        let torn = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if torn > 0 {
            file.write_at(walked.end, Bytes::from(vec![0; torn])).await.map_err(fail)?;
        }
        file.sync().await.map_err(fail)?;
        if let Some(segment) = self.segments.get_mut(&walked.base) {
            segment.file = file.clone();
        }
        // All slots are after the purge point: `check_complete` has seen to the one side, `purge` to the other.
        let mut memory = Memory::recovered(self.state.purged, self.slots);
        (memory.vote, memory.committed) = (self.state.vote, self.state.committed);
        (memory.segments, memory.end) = (self.segments, self.position);
        let tail = Tail {
            log: self.log.unwrap_or(0),
            sequence: walked.sequence,
            base: walked.base,
            file,
            len: bytes.len() as u64,
            end: walked.end,
            chain: self.chain.unwrap_or(0),
            state: self.state,
        };
        Ok(Recovered { memory, tail, torn: torn as u64 })
    }
}

impl Walked {
    /// Whether the end of what was read is the end of what was ever durable.
    fn judge(&self, replay: &Replay, bytes: &Bytes, is_last: bool, before: Option<&Walked>) -> Verdict {
        let mark = self.highest_mark_behind(replay.log, bytes);
        if self.has_head {
            let (offset, _) = self.stop();
            let was_synced = mark.is_some_and(|mark| mark > self.base + offset);
            return if was_synced || (is_last && self.misplaced) { self.damaged() } else { Verdict::Good };
        }
        match before {
            // The file before is complete, or this one would not have been begun.
            Some(before) if self.misplaced || before.bad.is_some() => before.damaged(),
            // Nothing is promised before the head is durable; a log begins with segment 0.
            before if is_last && mark.is_none() && (before.is_some() || self.sequence == 0) => Verdict::NeverUsed,
            _ => self.damaged(),
        }
    }

    /// Where reading stopped, and why.
    fn stop(&self) -> (u64, String) {
        self.bad.clone().unwrap_or((self.end, "zeros where a group must be".into()))
    }

    fn damaged(&self) -> Verdict {
        let (offset, what) = self.stop();
        Verdict::Damaged(OpenError::Corrupt { path: self.path.clone(), offset, what })
    }

    /// The highest mark of the groups behind the first that could not be read.
    fn highest_mark_behind(&self, log: Option<u64>, bytes: &Bytes) -> Option<u64> {
        let len = bytes.len() as u64;
        (self.end + ALIGN..len)
            .step_by(ALIGN as usize)
            .filter_map(|offset| {
                let header = Header::decode(&bytes[offset as usize..])?;
                let belongs = header.position == self.base + offset && log.is_none_or(|log| log == header.log);
                belongs.then_some(header.mark)
            })
            .max()
    }
}

/// Frames with offset in their group and length.
type Frames = Vec<(u64, u32, Frame)>;

/// The frames of a group; or where it is bad, and how.
fn read_frames(header: &Header, group: &Bytes) -> Result<Frames, (u64, String)> {
    let end = GROUP_HEADER + header.body as usize;
    let mut frames = Vec::new();
    let mut at = GROUP_HEADER;
    while at < end {
        let (frame, len) =
            Frame::decode(&group.slice(at..end)).map_err(|bad| (at as u64, format!("a bad frame: {bad}")))?;
        frames.push((at as u64, len as u32, frame));
        at += len;
    }
    if crc32c::crc32c(&group[GROUP_HEADER..end]) != header.frames {
        return Err((0, "the frames are not those that the group's header names".into()));
    }
    debug_assert!(header.group_len() == frame::align(end as u64));
    Ok(frames)
}
