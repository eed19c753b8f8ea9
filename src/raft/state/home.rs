//! Where generations of state live: `state/<generation>/`, named by `state/CURRENT`. Switching that file is the only way
//! to replace state; whatever it does not name is left over from a crash.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::engine::{Engine, EngineKind};
use crate::runtime::{Disk, Offload, Runtime, real};

/// Why a state directory cannot be opened. The message names the directory or file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("state in {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// `CURRENT` is damaged.
    #[error("{}: damaged: {reason}; wipe this node's data directory and let it rejoin", path.display())]
    Current {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// State of another engine.
    #[error("{}: written by the {found} engine, this node is set to {wanted}", path.display())]
    Engine {
        /// The directory.
        path: PathBuf,
        /// Who wrote it.
        found: String,
        /// What the configuration says.
        wanted: &'static str,
    },
    /// The generation that `CURRENT` names does not open.
    #[error("state in {} is damaged: {source}; wipe this node's data directory and let it rejoin", path.display())]
    Generation {
        /// The directory.
        path: PathBuf,
        /// What the engine said; names the file where it is known.
        source: io::Error,
    },
}

/// The directories of one node's state.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) kind: EngineKind,
    /// The disk that `directory` is on: RocksDB's is the real file system in every world.
    pub(crate) disk: Disk,
    pub(crate) offload: Offload,
    /// Whether RocksDB compacts in threads of its own. What they do is in no order with the rest: off in simulations.
    pub(crate) compaction: bool,
    directory: PathBuf,
}

impl Home {
    /// State under `directory`.
    pub(crate) fn new(runtime: &Runtime, kind: EngineKind, directory: &Path, compaction: bool) -> Home {
        let disk = match kind {
            EngineKind::Rocks => real::disk(runtime.offload.clone()),
            EngineKind::Memory => runtime.disk.clone(),
        };
        Home { kind, disk, offload: runtime.offload.clone(), compaction, directory: directory.to_path_buf() }
    }

    /// Opens the present generation, made if there is none, and removes all others.
    pub(crate) async fn open(&self) -> Result<(u64, Engine), OpenError> {
        let io = |source| OpenError::Io { path: self.states(), source };
        self.disk.create_dir_all(&self.states()).await.map_err(io)?;
        self.disk.create_dir_all(&self.snapshots()).await.map_err(io)?;
        self.disk.sync_dir(&self.directory).await.map_err(io)?;
        let opened = match self.current().await? {
            Some(generation) => {
                let path = self.generation(generation);
                let opened = Engine::open(self, &path).await;
                (generation, opened.map_err(|source| OpenError::Generation { path, source })?)
            }
            None => (FIRST, self.create(FIRST).await.map_err(io)?),
        };
        for entry in self.disk.list(&self.states()).await.map_err(io)? {
            if entry.is_dir && entry.name != opened.0.to_string() {
                self.disk.remove_all(&self.states().join(&entry.name)).await.map_err(io)?;
            }
        }
        Ok(opened)
    }

    async fn create(&self, generation: u64) -> io::Result<Engine> {
        let directory = self.prepare(generation).await?;
        let engine = Engine::create(self, &directory).await?;
        self.switch(generation).await?;
        Ok(engine)
    }

    /// Makes an empty directory for a generation.
    pub(crate) async fn prepare(&self, generation: u64) -> io::Result<PathBuf> {
        let directory = self.generation(generation);
        self.disk.remove_all(&directory).await?;
        self.disk.create_dir_all(&directory).await?;
        Ok(directory)
    }

    /// Makes `generation` the present one, durably. Its files have been synced.
    pub(crate) async fn switch(&self, generation: u64) -> io::Result<()> {
        self.disk.sync_dir(&self.generation(generation)).await?;
        self.disk.sync_dir(&self.states()).await?;
        let line = format!("{} {generation}", self.kind.name());
        let line = format!("{line} {:08x}\n", crc32c::crc32c(line.as_bytes()));
        self.disk.replace(&self.current_file(), Bytes::from(line)).await
    }

    async fn current(&self) -> Result<Option<u64>, OpenError> {
        let path = self.current_file();
        let bytes = match self.disk.read_if_exists(&path).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        match parse_current(&bytes) {
            Ok((kind, generation)) if kind == self.kind.name() => Ok(Some(generation)),
            Ok((kind, _)) => Err(OpenError::Engine { path, found: kind.to_string(), wanted: self.kind.name() }),
            Err(reason) => Err(OpenError::Current { path, reason }),
        }
    }

    /// The directory of a generation.
    pub(crate) fn generation(&self, generation: u64) -> PathBuf {
        self.states().join(generation.to_string())
    }

    fn states(&self) -> PathBuf {
        self.directory.join("state")
    }

    fn current_file(&self) -> PathBuf {
        self.states().join("CURRENT")
    }

    /// The directory of checkpoints.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.directory.join("snapshots")
    }
}

/// Parses `<engine> <generation> <CRC32C of what is before, in hex>\n`.
fn parse_current(bytes: &[u8]) -> Result<(&str, u64), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let line = text.strip_suffix('\n').ok_or("its line is cut")?;
    let (line, crc) = line.rsplit_once(' ').ok_or("it has no checksum")?;
    if crc.len() != 8 || u32::from_str_radix(crc, 16) != Ok(crc32c::crc32c(line.as_bytes())) {
        return Err("its checksum is wrong");
    }
    let (kind, generation) = line.split_once(' ').ok_or("it names no generation")?;
    Ok((kind, generation.parse().map_err(|_| "it names no generation")?))
}

const FIRST: u64 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn current_reads_back() {
        let line = b"rocksdb 12";
        let text = format!("rocksdb 12 {:08x}\n", crc32c::crc32c(line));
        assert_eq!(parse_current(text.as_bytes()), Ok(("rocksdb", 12)));
        assert!(parse_current(text.replace("12", "13").as_bytes()).is_err());
        assert!(parse_current(b"").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text: String) {
            let _ = parse_current(&bytes);
            let _ = parse_current(text.as_bytes());
        }
    }
}
