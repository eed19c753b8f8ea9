//! Snapshots: a checkpoint of state, read in chunks by who sends it ([`Checkpoint`]), put together by who receives it
//! ([`Staging`]), and kept while it is the newest or being sent (`store`).

mod manifest;
mod staging;
pub(crate) mod store;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

pub use manifest::{FileEntry, Manifest, ManifestError};
pub use staging::{Staging, StagingError};

use crate::runtime::Disk;
use crate::runtime::disk::Open;

/// The largest chunk in bytes that is read or written at once.
pub const MAX_CHUNK: usize = 1024 * 1024;

/// A complete checkpoint of state: openraft's snapshot data. Cheap to clone; its files stay while a clone lives.
#[derive(Clone)]
pub struct Checkpoint(Arc<Inner>);

struct Inner {
    disk: Disk,
    directory: PathBuf,
    manifest: Manifest,
    origin: Origin,
}

/// How a checkpoint came to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Made of this node's state.
    Built,
    /// Received; whoever installs it may move its files.
    Received,
}

impl Checkpoint {
    pub(crate) fn new(disk: Disk, directory: PathBuf, manifest: Manifest, origin: Origin) -> Checkpoint {
        Checkpoint(Arc::new(Inner { disk, directory, manifest, origin }))
    }

    /// What it consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// Reads `len` bytes (at most [`MAX_CHUNK`]) of one file at `offset`, fewer at its end.
    ///
    /// # Errors
    /// If the checkpoint has no such file, `offset` is behind its end, or the disk fails.
    pub async fn read_chunk(&self, file: &str, offset: u64, len: usize) -> io::Result<Bytes> {
        let entry = self.0.manifest.file(file).ok_or_else(|| no_file(file))?;
        let left = entry.len.checked_sub(offset).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("offset {offset} is behind the end of {file}"))
        })?;
        let len = len.min(MAX_CHUNK).min(usize::try_from(left).unwrap_or(usize::MAX));
        let opened = self.0.disk.open(&self.0.directory.join(file), Open::READ).await?;
        opened.read_at(offset, len).await
    }

    /// Whether a file still has the bytes that the manifest says: what to ask when a receiver finds it damaged. If not,
    /// this node's own state is rotten too (its files are linked, not copied).
    ///
    /// # Errors
    /// If the checkpoint has no such file or the disk fails.
    pub async fn verify(&self, file: &str) -> io::Result<bool> {
        let entry = self.0.manifest.file(file).ok_or_else(|| no_file(file))?;
        Ok(hash_file(&self.0.disk, &self.0.directory.join(file), entry.len).await? == entry.hash)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0.directory
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.0.disk
    }

    pub(crate) fn origin(&self) -> Origin {
        self.0.origin
    }

    /// Whether no one else holds it.
    pub(crate) fn is_last_handle(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint at {} ({} bytes)", self.0.manifest.meta.index(), self.0.manifest.bytes())
    }
}

/// The BLAKE3 hash of a file, read in chunks.
pub(crate) async fn hash_file(disk: &Disk, path: &Path, len: u64) -> io::Result<[u8; 32]> {
    let file = disk.open(path, Open::READ).await?;
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    while offset < len {
        let chunk = usize::try_from(len - offset).unwrap_or(usize::MAX).min(MAX_CHUNK);
        hasher.update(&file.read_at(offset, chunk).await?);
        offset += chunk as u64;
    }
    Ok(*hasher.finalize().as_bytes())
}

fn no_file(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the snapshot has no file {file:?}"))
}
