//! The receiving side of a snapshot: files grow from chunks under `staging/<manifest id>/` until they are whole and
//! verified. What a broken transfer or a restart leaves behind is taken up again; the hashes decide in the end.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Checkpoint, MAX_CHUNK, Manifest, ManifestError, Origin, hash_file, no_file};
use crate::runtime::Runtime;
use crate::runtime::disk::{Disk, File, Open};

/// A snapshot being received. Memory use does not grow with it.
pub struct Staging {
    disk: Disk,
    directory: PathBuf,
    manifest: Manifest,
    /// Bytes had of each file, in the manifest's order.
    had: Vec<u64>,
    /// The file written last.
    open: Option<(usize, File)>,
}

/// Why a snapshot cannot be received.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The sender's manifest is not acceptable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The disk failed.
    #[error("receiving a snapshot in {}: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// A chunk that does not continue its file.
    #[error("a snapshot chunk that does not continue {file:?}: {reason}")]
    Chunk {
        /// The file that was named.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A file is not complete.
    #[error("the snapshot's file {file:?} has {had} of {len} bytes")]
    Incomplete {
        /// The file.
        file: String,
        /// Bytes received.
        had: u64,
        /// Bytes wanted.
        len: u64,
    },
    /// A file's hash differs; it will be received anew.
    #[error("the snapshot's file {file:?} arrived damaged: its hash differs")]
    Damaged {
        /// The file.
        file: String,
    },
}

impl Staging {
    /// Begins to receive, or goes on with what was received of the same manifest. Any other transfer is forgotten.
    ///
    /// # Errors
    /// If the manifest is not acceptable or the disk fails.
    pub async fn begin(runtime: &Runtime, data_dir: &Path, manifest: Manifest) -> Result<Staging, StagingError> {
        manifest.check()?;
        let (disk, root) = (runtime.disk.clone(), data_dir.join(STAGING));
        let name = hex::encode(manifest.id());
        let directory = root.join(&name);
        let mut staging = Staging { had: vec![0; manifest.files.len()], disk, directory, manifest, open: None };
        staging.resume(&root, &name).await.map_err(|source| StagingError::Io { path: root, source })?;
        Ok(staging)
    }

    async fn resume(&mut self, root: &Path, name: &str) -> io::Result<()> {
        self.disk.create_dir_all(root).await?;
        for entry in self.disk.list(root).await? {
            if entry.name != name {
                remove(&self.disk, &root.join(&entry.name), entry.is_dir).await?;
            }
        }
        self.disk.create_dir_all(&self.directory).await?;
        for entry in self.disk.list(&self.directory).await? {
            let wanted = self.manifest.files.iter().position(|file| file.name == entry.name);
            match wanted {
                Some(position) if entry.len <= self.manifest.files[position].len => self.had[position] = entry.len,
                _ => remove(&self.disk, &self.directory.join(&entry.name), entry.is_dir).await?,
            }
        }
        Ok(())
    }

    /// What is received.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files that are not complete, each with the offset of the next chunk.
    pub fn missing(&self) -> Vec<(String, u64)> {
        let files = self.manifest.files.iter().zip(&self.had);
        files.filter(|(file, had)| **had < file.len).map(|(file, had)| (file.name.clone(), *had)).collect()
    }

    /// Takes the next chunk of a file: at the offset that [`Staging::missing`] named, at most [`MAX_CHUNK`] bytes.
    /// A chunk that was received before is taken without effect.
    ///
    /// # Errors
    /// If the chunk does not fit or the disk fails.
    pub async fn write_chunk(&mut self, file: &str, offset: u64, bytes: Bytes) -> Result<(), StagingError> {
        let refuse = |reason: String| StagingError::Chunk { file: file.to_string(), reason };
        let position = self.manifest.files.iter().position(|entry| entry.name == file);
        let position = position.ok_or_else(|| refuse(no_file(file).to_string()))?;
        let end = offset.saturating_add(bytes.len() as u64);
        if bytes.len() > MAX_CHUNK || end > self.manifest.files[position].len {
            return Err(refuse(format!("{} bytes at {offset} are too many", bytes.len())));
        }
        if end <= self.had[position] {
            return Ok(());
        }
        if offset != self.had[position] {
            return Err(refuse(format!("it is at {offset}, not {}", self.had[position])));
        }
        let path = self.directory.join(file);
        let written = self.append(position, &path, offset, bytes).await;
        written.map_err(|source| StagingError::Io { path, source })?;
        self.had[position] = end;
        Ok(())
    }

    async fn append(&mut self, position: usize, path: &Path, offset: u64, bytes: Bytes) -> io::Result<()> {
        let file = match &self.open {
            Some((open, file)) if *open == position => file.clone(),
            _ => self.disk.open(path, Open::WRITE).await?,
        };
        self.open = Some((position, file.clone()));
        file.write_at(offset, bytes).await
    }

    /// Verifies and syncs what was received. On [`StagingError::Damaged`] that file is to be received again: begin with
    /// the same manifest.
    ///
    /// # Errors
    /// If a file is missing bytes or damaged, or the disk fails. The error names the file.
    pub async fn finish(self) -> Result<Checkpoint, StagingError> {
        for (file, had) in self.manifest.files.iter().zip(&self.had) {
            if *had < file.len {
                return Err(StagingError::Incomplete { file: file.name.clone(), had: *had, len: file.len });
            }
        }
        for file in &self.manifest.files {
            let path = self.directory.join(&file.name);
            match self.verify(&path, file.len, &file.hash).await {
                Ok(true) => {}
                Ok(false) => return Err(StagingError::Damaged { file: file.name.clone() }),
                Err(source) => return Err(StagingError::Io { path, source }),
            }
        }
        match self.sync_names().await {
            Ok(()) => Ok(Checkpoint::new(self.disk, self.directory, self.manifest, Origin::Received)),
            Err(source) => Err(StagingError::Io { path: self.directory, source }),
        }
    }

    /// Syncs a file and compares its hash; a damaged one is emptied.
    async fn verify(&self, path: &Path, len: u64, hash: &[u8; 32]) -> io::Result<bool> {
        let file = self.disk.open(path, Open::WRITE).await?;
        file.sync().await?;
        let intact = hash_file(&self.disk, path, len).await? == *hash;
        if !intact {
            file.set_len(0).await?;
        }
        Ok(intact)
    }

    async fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.directory).await?;
        for parent in self.directory.ancestors().skip(1).take(2) {
            self.disk.sync_dir(parent).await?;
        }
        Ok(())
    }
}

async fn remove(disk: &Disk, path: &Path, is_dir: bool) -> io::Result<()> {
    if is_dir { disk.remove_all(path).await } else { disk.remove(path).await }
}

/// The directory of transfers in a data directory.
const STAGING: &str = "staging";
