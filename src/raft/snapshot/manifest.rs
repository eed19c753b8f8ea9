//! What a snapshot consists of. A manifest crosses the network, so it is checked before a name of it touches a disk.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::raft::state::engine::is_checkpoint_file;
use crate::raft::state::{EngineKind, Meta};
use crate::raft::types::SnapshotMeta;

/// The files of a checkpoint and what state they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The engine whose files these are.
    pub engine: EngineKind,
    /// Log position, membership, epoch and set hashes, read from the checkpoint itself.
    pub meta: Meta,
    /// Its files, sorted by name.
    pub files: Vec<FileEntry>,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name, without directory.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// The BLAKE3 hash of its bytes.
    pub hash: [u8; 32],
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Written by a newer build, or no manifest at all.
    #[error("a snapshot manifest of format {0}; this build reads format {FORMAT}")]
    Format(u8),
    /// Not the postcard form of a manifest.
    #[error("a malformed snapshot manifest: {0}")]
    Malformed(postcard::Error),
    /// More files than a checkpoint can have.
    #[error("a snapshot of {0} files")]
    Files(usize),
    /// A name that no checkpoint has, or has twice.
    #[error("a snapshot with a file named {0:?}")]
    Name(String),
}

impl Manifest {
    /// Encodes it, behind a format version.
    pub fn encode(&self) -> Bytes {
        postcard::to_extend(self, vec![FORMAT]).expect("a manifest always encodes").into()
    }

    /// Decodes and checks a manifest.
    ///
    /// # Errors
    /// If the bytes are no manifest or it names files that no checkpoint has.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = match bytes.split_first() {
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(ManifestError::Malformed)?,
            Some((&format, _)) => return Err(ManifestError::Format(format)),
            None => return Err(ManifestError::Format(0)),
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks number and names of its files.
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        if self.files.len() > MAX_FILES {
            return Err(ManifestError::Files(self.files.len()));
        }
        let mut before = "";
        for file in &self.files {
            let plain = file.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
            let known = is_checkpoint_file(self.engine, &file.name);
            if !plain || !known || file.name.len() > MAX_NAME || file.name.as_str() <= before {
                return Err(ManifestError::Name(file.name.chars().take(MAX_NAME).collect()));
            }
            before = &file.name;
        }
        Ok(())
    }

    /// Identifies the very files, not only the state in them: a transfer resumes under one id.
    pub fn id(&self) -> [u8; 32] {
        *blake3::hash(&self.encode()).as_bytes()
    }

    /// As openraft wants it.
    pub fn snapshot_meta(&self) -> SnapshotMeta {
        self.meta.snapshot_meta()
    }

    /// Length of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.len))
    }

    /// The file of that name.
    pub(super) fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }
}

const FORMAT: u8 = 1;
const MAX_FILES: usize = 100_000;
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(names: &[&str]) -> Manifest {
        let files = names.iter().map(|name| FileEntry { name: name.to_string(), len: 1, hash: [0; 32] }).collect();
        Manifest { engine: EngineKind::Rocks, meta: Meta::default(), files }
    }

    #[test]
    fn names_are_checked() {
        let good = manifest(&["000012.sst", "CURRENT", "MANIFEST-000004"]);
        assert_eq!(Manifest::decode(&good.encode()).unwrap(), good);
        for bad in ["../1.sst", "a/b.sst", "/etc/x.sst", "LOG", "", "\0.sst", "MANIFEST-/../x"] {
            assert!(Manifest::decode(&manifest(&[bad]).encode()).is_err(), "{bad:?}");
        }
        assert!(Manifest::decode(&manifest(&["CURRENT", "CURRENT"]).encode()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>) {
            let _ = Manifest::decode(&bytes);
            bytes.insert(0, FORMAT);
            let _ = Manifest::decode(&bytes);
        }
    }
}
