//! The bytes of one file: what was written, and what a power cut can bring back.

use std::collections::BTreeMap;
use std::io;

/// The unit that a power cut keeps or loses as a whole, in bytes.
pub(super) const SECTOR: u64 = 512;

type Sector = Box<[u8; SECTOR as usize]>;

/// A sparse file. A sector that is not in the map holds zeros; no sector holds anything but zeros past the length.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    sectors: BTreeMap<u64, Sector>,
    synced_len: u64,
    /// The durable bytes of each sector that was written since the last sync.
    synced: BTreeMap<u64, Option<Sector>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; len];
        for (number, within, range) in pieces(offset, len) {
            if let Some(sector) = self.sectors.get(&number) {
                let piece = &sector[within..within + range.len()];
                bytes[range].copy_from_slice(piece);
            }
        }
        Ok(bytes)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        for (number, within, range) in pieces(offset, bytes.len()) {
            let piece = &bytes[range];
            if !self.sectors.contains_key(&number) && piece.iter().all(|byte| *byte == 0) {
                continue;
            }
            self.touch(number);
            let sector = self.sectors.entry(number).or_insert_with(zeros);
            sector[within..within + piece.len()].copy_from_slice(piece);
        }
        self.len = self.len.max(end);
        Ok(())
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.len = len;
        let first = len / SECTOR;
        for number in self.sectors.range(first..).map(|(number, _)| *number).collect::<Vec<_>>() {
            self.touch(number);
        }
        self.clear_past_len();
    }

    pub(super) fn sync(&mut self) {
        self.synced.clear();
        self.synced_len = self.len;
    }

    /// Keeps or loses each sector and the length that were not synced, as `draw` says.
    pub(super) fn power_cut(&mut self, draw: &mut dyn FnMut(u64) -> u64) {
        for (number, durable) in std::mem::take(&mut self.synced) {
            if draw(2) == 0 {
                match durable {
                    Some(sector) => drop(self.sectors.insert(number, sector)),
                    None => drop(self.sectors.remove(&number)),
                }
            }
        }
        if self.len != self.synced_len && draw(2) == 0 {
            self.len = self.synced_len;
        }
        self.clear_past_len();
        self.sync();
    }

    /// Flips the bits of `mask` in one byte; whether there is such a byte.
    pub(super) fn rot(&mut self, offset: u64, mask: u8) -> bool {
        if offset >= self.len {
            return false;
        }
        let (number, within) = (offset / SECTOR, (offset % SECTOR) as usize);
        self.sectors.entry(number).or_insert_with(zeros)[within] ^= mask;
        if let Some(durable) = self.synced.get_mut(&number) {
            durable.get_or_insert_with(zeros)[within] ^= mask;
        }
        true
    }

    /// Remembers the durable bytes of a sector that is about to change.
    fn touch(&mut self, number: u64) {
        self.synced.entry(number).or_insert_with(|| self.sectors.get(&number).cloned());
    }

    fn clear_past_len(&mut self) {
        self.sectors.split_off(&self.len.div_ceil(SECTOR));
        let within = (self.len % SECTOR) as usize;
        if within > 0
            && let Some(sector) = self.sectors.get_mut(&(self.len / SECTOR))
        {
            sector[within..].fill(0);
        }
    }
}

/// Splits a range of a file at sector boundaries: sector number, offset in it, range of the caller's bytes.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        (done < len).then(|| {
            let at = offset + done as u64;
            let within = (at % SECTOR) as usize;
            let start = done;
            done += (SECTOR as usize - within).min(len - done);
            (at / SECTOR, within, start..done)
        })
    })
}

fn zeros() -> Sector {
    Box::new([0; SECTOR as usize])
}
