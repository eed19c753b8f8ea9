//! Reading entries: recent ones from memory, older ones from their segments.

use std::io;
use std::ops::{Bound, RangeBounds};

use super::Shared;
use super::frame::{self, Frame};
use super::memory::{Memory, Segment};
use super::segment;
use crate::raft::types::Entry;

/// A read of entries on disk that lie close together in one file.
struct Span {
    segment: Segment,
    /// In the file.
    offset: u64,
    len: u64,
    /// Index, term, offset in the span and length.
    entries: Vec<(u64, u64, u64, u32)>,
}

impl Shared {
    /// The entries in `range` that the log contains, as of now; cut after `limit` bytes, but not before the first.
    pub(super) async fn read(&self, range: impl RangeBounds<u64>, limit: usize) -> io::Result<Vec<Entry>> {
        let (spans, recent) = plan(&self.memory(), range, limit)?;
        let mut entries = Vec::new();
        for span in spans {
            self.read_span(span, &mut entries).await?;
        }
        entries.extend(recent);
        Ok(entries)
    }

    async fn read_span(&self, span: Span, entries: &mut Vec<Entry>) -> io::Result<()> {
        let len = usize::try_from(span.len).map_err(io::Error::other)?;
        let path = segment::path(&self.dir, span.segment.sequence);
        let fail = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let bytes = span.segment.file.read_at(span.offset, len).await?;
        for (index, term, start, len) in span.entries {
            let start = start as usize;
            let at = span.offset + start as u64;
            match Frame::decode(&bytes.slice(start..start + len as usize)) {
                Ok((Frame::Entry(entry), _)) if (entry.log_id.index, entry.log_id.leader_id.term) == (index, term) => {
                    entries.push(entry);
                }
                Ok(_) => return Err(fail(format!("entry {index} is not at byte {at}"))),
                Err(bad) => return Err(fail(format!("entry {index} at byte {at}: {bad}"))),
            }
        }
        Ok(())
    }
}

/// What to read from disk, and the entries after that, which are in memory.
fn plan(memory: &Memory, range: impl RangeBounds<u64>, limit: usize) -> io::Result<(Vec<Span>, Vec<Entry>)> {
    let (start, end) = bounds(range);
    let (mut spans, mut recent): (Vec<Span>, Vec<Entry>) = (Vec::new(), Vec::new());
    let mut taken = 0;
    for index in start.max(memory.first())..end.min(memory.next()) {
        if let Some(entry) = memory.recent(index) {
            let len = frame::entry_len(entry);
            if taken > 0 && taken + len > limit {
                break;
            }
            taken += len;
            recent.push(entry.clone());
            continue;
        }
        let missing = || io::Error::other(format!("entry {index} is neither in memory nor on disk"));
        let slot = memory.slot(index).ok_or_else(missing)?;
        if taken > 0 && taken + slot.len as usize > limit {
            break;
        }
        taken += slot.len as usize;
        let (segment, offset) = memory.locate(slot.position).ok_or_else(missing)?;
        match spans.last_mut() {
            Some(span) if span.takes(segment, offset, slot.len) => {
                span.len = offset + u64::from(slot.len) - span.offset;
                span.entries.push((index, slot.term, offset - span.offset, slot.len));
            }
            _ => spans.push(Span {
                segment: segment.clone(),
                offset,
                len: u64::from(slot.len),
                entries: vec![(index, slot.term, 0, slot.len)],
            }),
        }
    }
    Ok((spans, recent))
}

impl Span {
    /// Whether a frame is near enough to be read with this span.
    fn takes(&self, segment: &Segment, offset: u64, len: u32) -> bool {
        let end = self.offset + self.len;
        self.segment.sequence == segment.sequence
            && offset >= end
            && offset - end <= GAP
            && offset + u64::from(len) - self.offset <= SPAN
    }
}

pub(super) fn bounds(range: impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

/// Bytes that are read over rather than split a read in two.
const GAP: u64 = 4096;
/// Bytes that one read covers at most, but for a single larger entry.
const SPAN: u64 = 1 << 20;
