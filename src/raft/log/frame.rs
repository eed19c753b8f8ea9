//! The bytes of the log.
//!
//! A segment is a file of *groups*, each begun at a multiple of [`ALIGN`] bytes, so that writing one never touches a
//! sector of another. A group is a header and *frames*; the first group of a segment holds one [`Frame::Head`]. All
//! numbers are little-endian.
//!
//! | group header | bytes | |
//! |---|---|---|
//! | magic | 4 | `HfL1` |
//! | body | 4 | length of the frames |
//! | log | 8 | drawn when the log is created |
//! | position | 8 | of this header: grows through all segments of a log |
//! | mark | 8 | every position below it was synced when this group was written |
//! | chain | 4 | the checksum of the header before |
//! | frames | 4 | CRC32C of the frames |
//! | checksum | 4 | CRC32C of the header up to here |
//!
//! | frame | bytes | |
//! |---|---|---|
//! | length | 4 | of the payload |
//! | checksum | 4 | CRC32C of kind and payload |
//! | kind | 1 | |
//! | payload | | |

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use serde::{Deserialize, Serialize};

use crate::raft::command::Command;
use crate::raft::types::{Entry, LogId, Vote};

/// Where groups begin: a multiple of the sector, the unit that disks write as a whole.
pub(super) const ALIGN: u64 = 512;
/// Length of a group's header.
pub(super) const GROUP_HEADER: usize = 44;
/// Length of a frame before its payload.
pub(super) const FRAME_HEADER: usize = 9;
/// The format that this build writes.
const FORMAT: u8 = 1;

/// The header of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) body: u32,
    pub(super) log: u64,
    pub(super) position: u64,
    pub(super) mark: u64,
    pub(super) chain: u32,
    pub(super) frames: u32,
    pub(super) checksum: u32,
}

/// What a segment begins with, so that the segments before it can be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u8,
    /// The number in the file's name.
    pub(super) sequence: u64,
    /// The bytes of the file, which never change: a shorter one was cut.
    pub(super) len: u64,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// The last entry before this segment.
    pub(super) last: Option<LogId>,
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    Head(Head),
    Entry(Entry),
    Vote(Vote),
    Committed(Option<LogId>),
    /// Removes the entries after this one, or all.
    Truncate(Option<LogId>),
    /// Removes the entries up to this one.
    Purge(LogId),
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("it reaches past the end of its group")]
    Length,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its payload has an unknown form")]
    Payload,
    #[error("it has format {0}; this build reads format {FORMAT}")]
    Format(u8),
}

impl Head {
    pub(super) fn new(
        sequence: u64,
        len: u64,
        vote: Option<Vote>,
        committed: Option<LogId>,
        purged: Option<LogId>,
        last: Option<LogId>,
    ) -> Head {
        Head { format: FORMAT, sequence, len, vote, committed, purged, last }
    }
}

/// A group while it is put together: room for the header, then frames.
pub(super) struct Group {
    bytes: Vec<u8>,
}

impl Group {
    /// A group without frames, with room for `capacity` bytes of them.
    pub(super) fn new(capacity: usize) -> Group {
        let mut bytes = Vec::with_capacity(align((GROUP_HEADER + capacity) as u64) as usize);
        bytes.resize(GROUP_HEADER, 0);
        Group { bytes }
    }

    /// Length with header, before alignment.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a frame; returns its offset in the group and its length.
    pub(super) fn push(&mut self, frame: &Frame) -> (u32, u32) {
        let start = self.bytes.len();
        self.bytes.resize(start + FRAME_HEADER, 0);
        match frame {
            Frame::Head(head) => self.postcard(head),
            Frame::Entry(entry) => return self.push_entry_from(start, entry),
            Frame::Vote(vote) => self.postcard(vote),
            Frame::Committed(committed) => self.postcard(committed),
            Frame::Truncate(after) => self.postcard(after),
            Frame::Purge(upto) => self.postcard(upto),
        }
        self.finish_frame(start, frame.kind())
    }

    /// Adds an entry; returns its frame's offset in the group and its length.
    pub(super) fn push_entry(&mut self, entry: &Entry) -> (u32, u32) {
        let start = self.bytes.len();
        self.bytes.resize(start + FRAME_HEADER, 0);
        self.push_entry_from(start, entry)
    }

    /// Fills in the header and pads to [`ALIGN`]; returns the bytes and the header's checksum, which the next group
    /// carries as its chain.
    pub(super) fn finish(mut self, log: u64, position: u64, mark: u64, chain: u32) -> (Bytes, u32) {
        let frames = &self.bytes[GROUP_HEADER..];
        let (body, frames) = (frames.len() as u32, crc32c::crc32c(frames));
        let mut header = Header { body, log, position, mark, chain, frames, checksum: 0 };
        header.checksum = crc32c::crc32c(&header.encode()[..GROUP_HEADER - 4]);
        self.bytes[..GROUP_HEADER].copy_from_slice(&header.encode());
        self.bytes.resize(align(self.bytes.len() as u64) as usize, 0);
        (self.bytes.into(), header.checksum)
    }

    fn push_entry_from(&mut self, start: usize, entry: &Entry) -> (u32, u32) {
        self.bytes.extend_from_slice(&entry.log_id.leader_id.term.to_le_bytes());
        self.bytes.extend_from_slice(&entry.log_id.index.to_le_bytes());
        match &entry.payload {
            EntryPayload::Blank => self.bytes.push(BLANK),
            EntryPayload::Normal(command) => {
                self.bytes.push(NORMAL);
                self.bytes.extend_from_slice(&command.0);
            }
            EntryPayload::Membership(membership) => {
                self.bytes.push(MEMBERSHIP);
                self.postcard(membership);
            }
        }
        self.finish_frame(start, ENTRY)
    }

    fn postcard(&mut self, value: &impl Serialize) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(value, bytes).expect("plain numbers and collections always encode");
    }

    fn finish_frame(&mut self, start: usize, kind: u8) -> (u32, u32) {
        let length = (self.bytes.len() - start - FRAME_HEADER) as u32;
        self.bytes[start + 8] = kind;
        let checksum = crc32c::crc32c(&self.bytes[start + 8..]);
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
        (start as u32, length + FRAME_HEADER as u32)
    }
}

impl Header {
    /// Reads a header; `None` if these bytes are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; GROUP_HEADER] = bytes.get(..GROUP_HEADER)?.try_into().ok()?;
        let header = Header {
            body: u32_at(bytes, 4)?,
            log: u64_at(bytes, 8)?,
            position: u64_at(bytes, 16)?,
            mark: u64_at(bytes, 24)?,
            chain: u32_at(bytes, 32)?,
            frames: u32_at(bytes, 36)?,
            checksum: u32_at(bytes, 40)?,
        };
        (bytes[..4] == MAGIC && header.checksum == crc32c::crc32c(&bytes[..GROUP_HEADER - 4])).then_some(header)
    }

    /// Length of the whole group on disk.
    pub(super) fn group_len(&self) -> u64 {
        align(GROUP_HEADER as u64 + u64::from(self.body))
    }

    fn encode(&self) -> [u8; GROUP_HEADER] {
        let mut bytes = [0; GROUP_HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.body.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.log.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.mark.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.chain.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.frames.to_le_bytes());
        bytes[40..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }
}

impl Frame {
    /// Reads the frame at the start of `bytes`; returns it with its length. A command shares the memory of `bytes`.
    pub(super) fn decode(bytes: &Bytes) -> Result<(Frame, usize), BadFrame> {
        let length = u32_at(bytes, 0).ok_or(BadFrame::Length)? as usize;
        let checksum = u32_at(bytes, 4).ok_or(BadFrame::Length)?;
        let end = length.checked_add(FRAME_HEADER).ok_or(BadFrame::Length)?;
        let checked = bytes.get(8..end).ok_or(BadFrame::Length)?;
        if crc32c::crc32c(checked) != checksum {
            return Err(BadFrame::Checksum);
        }
        let payload = bytes.slice(FRAME_HEADER..end);
        let frame = match checked[0] {
            HEAD => match payload.first() {
                Some(&FORMAT) => Frame::Head(decode(&payload)?),
                other => return Err(BadFrame::Format(other.copied().unwrap_or(0))),
            },
            ENTRY => Frame::Entry(decode_entry(&payload)?),
            VOTE => Frame::Vote(decode(&payload)?),
            COMMITTED => Frame::Committed(decode(&payload)?),
            TRUNCATE => Frame::Truncate(decode(&payload)?),
            PURGE => Frame::Purge(decode(&payload)?),
            _ => return Err(BadFrame::Payload),
        };
        Ok((frame, end))
    }

    fn kind(&self) -> u8 {
        match self {
            Frame::Head(_) => HEAD,
            Frame::Entry(_) => ENTRY,
            Frame::Vote(_) => VOTE,
            Frame::Committed(_) => COMMITTED,
            Frame::Truncate(_) => TRUNCATE,
            Frame::Purge(_) => PURGE,
        }
    }
}

/// Bytes that an entry takes in the log, about.
pub(super) fn entry_len(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(command) => command.size(),
        EntryPayload::Membership(membership) => {
            membership.nodes().map(|(_, node)| 64 + node.label.len() + node.address.len()).sum()
        }
    };
    FRAME_HEADER + ENTRY_HEADER + payload
}

/// `len` rounded up to [`ALIGN`].
pub(super) fn align(len: u64) -> u64 {
    len.next_multiple_of(ALIGN)
}

fn decode_entry(payload: &Bytes) -> Result<Entry, BadFrame> {
    let term = u64_at(payload, 0).ok_or(BadFrame::Payload)?;
    let index = u64_at(payload, 8).ok_or(BadFrame::Payload)?;
    let rest = payload.slice(ENTRY_HEADER.min(payload.len())..);
    let payload = match payload.get(16) {
        Some(&BLANK) => EntryPayload::Blank,
        Some(&NORMAL) => EntryPayload::Normal(Command(rest)),
        Some(&MEMBERSHIP) => EntryPayload::Membership(decode(&rest)?),
        _ => return Err(BadFrame::Payload),
    };
    Ok(Entry::new(LogId { leader_id: term.into(), index }, payload))
}

fn decode<T: for<'de> Deserialize<'de>>(payload: &[u8]) -> Result<T, BadFrame> {
    postcard::from_bytes(payload).map_err(|_| BadFrame::Payload)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

const MAGIC: [u8; 4] = *b"HfL1";
/// Term, index and kind of payload.
const ENTRY_HEADER: usize = 17;

const HEAD: u8 = 1;
const ENTRY: u8 = 2;
const VOTE: u8 = 3;
const COMMITTED: u8 = 4;
const TRUNCATE: u8 = 5;
const PURGE: u8 = 6;

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raft::types::Member;

    fn payload() -> impl Strategy<Value = EntryPayload<Command, u64, Member>> {
        let member = ("[a-z]{0,9}", any::<[u8; 32]>()).prop_map(|(label, public_key)| Member {
            address: format!("{label}:8201"),
            label,
            public_key,
        });
        prop_oneof![
            Just(EntryPayload::Blank),
            prop::collection::vec(any::<u8>(), 0..2000).prop_map(|bytes| EntryPayload::Normal(Command(bytes.into()))),
            prop::collection::btree_map(any::<u64>(), member, 1..5)
                .prop_map(|members| EntryPayload::Membership(members.into())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(entries in prop::collection::vec((any::<u64>(), any::<u64>(), payload()), 0..5)) {
            let mut group = Group::new(0);
            let mut expected = Vec::new();
            for (term, index, payload) in entries {
                let entry = Entry::new(LogId { leader_id: term.into(), index }, payload);
                let (offset, len) = group.push_entry(&entry);
                expected.push((offset as usize, len as usize, Frame::Entry(entry)));
            }
            let len = group.len();
            let (bytes, checksum) = group.finish(1, 512, 3, 4);
            let header = Header::decode(&bytes).unwrap();
            prop_assert_eq!((header.log, header.position, header.mark, header.chain), (1, 512, 3, 4));
            prop_assert_eq!((header.checksum, header.group_len()), (checksum, bytes.len() as u64));
            prop_assert_eq!(header.body as usize, len - GROUP_HEADER);
            for (offset, len, frame) in expected {
                prop_assert_eq!(Frame::decode(&bytes.slice(offset..)), Ok((frame, len)));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..8) {
            let _ = (Header::decode(&bytes), Frame::decode(&bytes.clone().into()));
            if bytes.len() >= FRAME_HEADER {
                // With a right length and checksum, so that the payload is looked at.
                let length = (bytes.len() - FRAME_HEADER) as u32;
                bytes[..4].copy_from_slice(&length.to_le_bytes());
                bytes[8] = kind;
                let checksum = crc32c::crc32c(&bytes[8..]);
                bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
                let _ = Frame::decode(&bytes.into());
            }
        }
    }
}
