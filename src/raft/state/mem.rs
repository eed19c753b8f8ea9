//! The engine in memory: an ordered map that is written out as a whole. After a power cut it is what the last flush
//! wrote, as with RocksDB.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::Versioned;
use super::engine::{Changes, Meta, Visitor};
use crate::runtime::disk::{Disk, Open};

/// The image's name in a generation or checkpoint.
pub(super) const IMAGE: &str = "image";

/// First bytes of an image; the last is the format version. Behind it: length of the metadata (u32), the metadata, and
/// for each pair length of the key (u32), length of the value (u32), revision (u64), key, value; at the end the BLAKE3
/// hash of all before it. Numbers are little-endian.
const MAGIC: &[u8; 8] = b"hfstate\x01";

/// An image is written in pieces of about this many bytes.
const PIECE: usize = 256 * 1024;

#[derive(Clone, Default)]
struct Image {
    data: BTreeMap<Bytes, Versioned>,
    meta: Meta,
}

/// State in memory.
#[derive(Default)]
pub(crate) struct Memory(RwLock<Arc<Image>>);

impl Memory {
    /// Reads the image in `directory`.
    pub(super) async fn open(disk: &Disk, directory: &Path) -> io::Result<Memory> {
        let path = directory.join(IMAGE);
        let bytes = disk.read(&path).await?;
        let image = decode(&bytes)
            .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display())))?;
        Ok(Memory(RwLock::new(Arc::new(image))))
    }

    fn image(&self) -> Arc<Image> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn meta(&self) -> Meta {
        self.0.read().unwrap_or_else(PoisonError::into_inner).meta.clone()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Versioned> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).data.get(key).cloned()
    }

    pub(super) fn visit(&self, from: &[u8], to: &[u8], visitor: &mut Visitor<'_>) {
        let image = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (key, found) in image.data.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
            if visitor(key, found.revision, &found.value).is_break() {
                break;
            }
        }
    }

    pub(super) fn commit(&self, changes: &Changes, meta: &Meta) {
        let mut image = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Copies only while an image is being written, which the state machine does not overlap with commits.
        let image = Arc::make_mut(&mut *image);
        for (key, change) in changes {
            match change {
                Some(found) => image.data.insert(key.clone(), found.clone()),
                None => image.data.remove(key),
            };
        }
        image.meta = meta.clone();
    }

    /// Replaces the image in `directory` atomically and durably.
    pub(super) async fn write_image(&self, disk: &Disk, directory: &Path) -> io::Result<()> {
        let image = self.image();
        let (path, temporary) = (directory.join(IMAGE), directory.join("image.new"));
        let file = disk.open(&temporary, Open { create: true, truncate: true, ..Open::default() }).await?;
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        let mut piece = head(&image.meta);
        for (key, found) in &image.data {
            put_pair(&mut piece, key, found);
            if piece.len() >= PIECE {
                hasher.update(&piece);
                let bytes = Bytes::from(std::mem::take(&mut piece));
                let written = bytes.len() as u64;
                file.write_at(offset, bytes).await?;
                offset += written;
            }
        }
        hasher.update(&piece);
        piece.extend_from_slice(hasher.finalize().as_bytes());
        file.write_at(offset, piece.into()).await?;
        file.sync().await?;
        disk.rename(&temporary, &path).await?;
        disk.sync_dir(directory).await
    }
}

fn head(meta: &Meta) -> Vec<u8> {
    let meta = meta.encode();
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&meta);
    bytes
}

fn put_pair(bytes: &mut Vec<u8>, key: &[u8], found: &Versioned) {
    bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(found.value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&found.revision.to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&found.value);
}

fn decode(bytes: &[u8]) -> Result<Image, &'static str> {
    let (body, hash) = bytes.split_last_chunk::<32>().ok_or("the image is truncated")?;
    if blake3::hash(body).as_bytes() != hash {
        return Err("the image is damaged: its hash differs");
    }
    let mut rest = body.strip_prefix(MAGIC).ok_or("not an image of state that this build reads")?;
    let length = take_u32(&mut rest)?;
    let meta = Meta::decode(take(&mut rest, length)?).ok_or("the image's metadata is of another format")?;
    let mut data = BTreeMap::new();
    while !rest.is_empty() {
        let (key, value) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
        let revision = u64::from_le_bytes(take(&mut rest, 8)?.try_into().expect("eight bytes"));
        let key = Bytes::copy_from_slice(take(&mut rest, key)?);
        data.insert(key, Versioned { revision, value: Bytes::copy_from_slice(take(&mut rest, value)?) });
    }
    Ok(Image { data, meta })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(length).ok_or("the image is truncated")?;
    *rest = left;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<usize, &'static str> {
    Ok(u32::from_le_bytes(take(rest, 4)?.try_into().expect("four bytes")) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = head(&Meta { epoch: 7, ..Meta::default() });
        put_pair(&mut bytes, b"key", &Versioned { revision: 3, value: Bytes::from_static(b"value") });
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    #[test]
    fn an_image_reads_back() {
        let image = decode(&sample()).unwrap();
        assert_eq!(image.meta.epoch, 7);
        assert_eq!(image.data[b"key".as_slice()].value, "value");
    }

    proptest! {
        #[test]
        fn damage_is_an_error(at in 0..sample().len(), bit in 0..8u32, cut in 0..sample().len()) {
            let mut flipped = sample();
            flipped[at] ^= 1 << bit;
            prop_assert!(decode(&flipped).is_err());
            prop_assert!(decode(&sample()[..cut]).is_err());
        }

        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>) {
            let _ = decode(&bytes);
            bytes.splice(0..0, *MAGIC);
            let hash = blake3::hash(&bytes);
            bytes.extend_from_slice(hash.as_bytes());
            let _ = decode(&bytes);
        }
    }
}
