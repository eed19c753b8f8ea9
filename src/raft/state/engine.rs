//! What both engines can do. An engine holds one generation of state: data and, written with it atomically, [`Meta`].

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::hash::Hashes;
use super::home::Home;
use super::mem::Memory;
use super::rocks::Rocks;
use super::{Pair, Versioned};
use crate::raft::types::{LogId, SnapshotMeta, StoredMembership};
use crate::runtime::Pool;

/// Which engine keeps a node's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineKind {
    /// RocksDB, for data directories.
    Rocks,
    /// An ordered map in memory, written out as a whole: for `-dev`, `storage "inmem"` and simulations.
    Memory,
}

impl EngineKind {
    /// Its name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Rocks => "rocksdb",
            EngineKind::Memory => "memory",
        }
    }
}

/// What is kept beside the data and written with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The log position that the data is of.
    pub applied: Option<LogId>,
    /// The last membership up to there.
    pub membership: StoredMembership,
    /// Raised by each restore.
    pub epoch: u64,
    /// Set hashes of the data.
    pub hashes: Hashes,
    /// Bytes of all commands applied since the cluster began: differences say how much log lies between two states.
    pub log_bytes: u64,
}

/// The format version of [`Meta`] that this build writes.
const META_FORMAT: u8 = 1;

impl Meta {
    /// The applied index; 0 if nothing was applied.
    pub fn index(&self) -> u64 {
        self.applied.as_ref().map_or(0, |id| id.index)
    }

    /// As openraft wants it of a snapshot.
    pub fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![META_FORMAT]).expect("state metadata always encodes")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Meta> {
        match bytes.split_first() {
            Some((&META_FORMAT, rest)) => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }
}

/// Whether a call may wait for a disk. Where it may not, it fails with `WouldBlock` instead and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocking {
    Yes,
    No,
}

/// Writes of one commit: a key with its new value, or `None` to remove it.
pub(crate) type Changes = std::collections::BTreeMap<Bytes, Option<Versioned>>;

/// Called with key, revision and value until it breaks.
pub(crate) type Visitor<'a> = dyn FnMut(&[u8], u64, &[u8]) -> ControlFlow<()> + 'a;

/// One generation of state. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Engine {
    Rocks(Arc<Rocks>),
    Memory(Arc<Memory>),
}

impl Engine {
    /// A new, empty generation in `directory`, which must be empty.
    pub(crate) async fn create(home: &Home, directory: &Path) -> io::Result<Engine> {
        match home.kind {
            EngineKind::Rocks => {
                let (directory, compaction) = (directory.to_path_buf(), home.compaction);
                let rocks = home.offload.run(Pool::State, move || Rocks::create(&directory, compaction)).await?;
                Ok(Engine::Rocks(Arc::new(rocks)))
            }
            EngineKind::Memory => {
                let memory = Memory::default();
                memory.write_image(&home.disk, directory).await?;
                Ok(Engine::Memory(Arc::new(memory)))
            }
        }
    }

    /// Opens the generation in `directory`, as it was last flushed.
    pub(crate) async fn open(home: &Home, directory: &Path) -> io::Result<Engine> {
        match home.kind {
            EngineKind::Rocks => {
                let (directory, compaction) = (directory.to_path_buf(), home.compaction);
                let rocks = home.offload.run(Pool::State, move || Rocks::open(&directory, compaction)).await?;
                Ok(Engine::Rocks(Arc::new(rocks)))
            }
            EngineKind::Memory => Ok(Engine::Memory(Arc::new(Memory::open(&home.disk, directory).await?))),
        }
    }

    pub(crate) fn kind(&self) -> EngineKind {
        match self {
            Engine::Rocks(_) => EngineKind::Rocks,
            Engine::Memory(_) => EngineKind::Memory,
        }
    }

    /// Whether every call returns without touching a disk.
    pub(crate) fn never_blocks(&self) -> bool {
        matches!(self, Engine::Memory(_))
    }

    /// Whether this is the only handle to the generation.
    pub(crate) fn is_last_handle(&self) -> bool {
        match self {
            Engine::Rocks(rocks) => Arc::strong_count(rocks) == 1,
            Engine::Memory(memory) => Arc::strong_count(memory) == 1,
        }
    }

    /// What is kept beside the data. May block.
    pub(crate) fn meta(&self) -> io::Result<Meta> {
        match self {
            Engine::Rocks(rocks) => rocks.meta(),
            Engine::Memory(memory) => Ok(memory.meta()),
        }
    }

    /// The value of `key`. May block.
    pub(crate) fn get(&self, key: &[u8]) -> io::Result<Option<Versioned>> {
        match self {
            Engine::Rocks(rocks) => rocks.get(key),
            Engine::Memory(memory) => Ok(memory.get(key)),
        }
    }

    /// As [`Engine::get`] of what is about to be replaced: what is read for it takes no room in the cache.
    pub(crate) fn get_once(&self, key: &[u8]) -> io::Result<Option<Versioned>> {
        match self {
            Engine::Rocks(rocks) => rocks.get_once(key),
            Engine::Memory(memory) => Ok(memory.get(key)),
        }
    }

    /// The value of `key` if no disk must be asked.
    pub(crate) fn get_now(&self, key: &[u8]) -> Option<io::Result<Option<Versioned>>> {
        match self {
            Engine::Rocks(rocks) => rocks.get_cached(key),
            Engine::Memory(memory) => Some(Ok(memory.get(key))),
        }
    }

    /// Visits the pairs of `from..to` in order, as of one commit. May block.
    pub(crate) fn visit(&self, from: &[u8], to: &[u8], visitor: &mut Visitor<'_>) -> io::Result<()> {
        if from >= to {
            return Ok(());
        }
        match self {
            Engine::Rocks(rocks) => rocks.visit(from, to, visitor),
            Engine::Memory(memory) => {
                memory.visit(from, to, visitor);
                Ok(())
            }
        }
    }

    /// The set hashes of all data, from the data itself. May block, for long.
    pub(crate) fn hashes(&self) -> io::Result<Hashes> {
        let mut hashes = Hashes::default();
        self.visit(&[], &[0xff; 8], &mut |key, revision, value| {
            hashes.insert(key, &Versioned { revision, value: Bytes::copy_from_slice(value) });
            ControlFlow::Continue(())
        })?;
        Ok(hashes)
    }

    /// At most `limit` pairs of `from..to`, in order, as of one commit. May block.
    pub(crate) fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Pair>> {
        let mut pairs = Vec::new();
        if limit == 0 {
            return Ok(pairs);
        }
        self.visit(from, to, &mut |key, revision, value| {
            let found = Versioned { revision, value: Bytes::copy_from_slice(value) };
            pairs.push((Bytes::copy_from_slice(key), found));
            if pairs.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(pairs)
    }

    /// At most `limit` keys of `from..to`, in order, as of one commit. Their values, which may be large, are not copied.
    /// May block.
    pub(crate) fn keys(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<Bytes>> {
        let mut keys = Vec::new();
        if limit == 0 {
            return Ok(keys);
        }
        self.visit(from, to, &mut |key, _, _| {
            keys.push(Bytes::copy_from_slice(key));
            if keys.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(keys)
    }

    /// Writes changes and metadata, all or nothing, visible at once and not yet durable.
    pub(crate) fn commit(&self, changes: &Changes, meta: &Meta, blocking: Blocking) -> io::Result<()> {
        match self {
            Engine::Rocks(rocks) => rocks.commit(changes, meta, blocking),
            Engine::Memory(memory) => {
                memory.commit(changes, meta);
                Ok(())
            }
        }
    }

    /// Makes all commits so far durable. `wait` may be false for RocksDB only: what was committed before the call is
    /// then written in the background and what comes after it is not part of it.
    ///
    /// The caller has synced the log up to the applied index, and commits nothing until this returns.
    pub(crate) async fn flush(&self, home: &Home, directory: &Path, wait: bool) -> io::Result<()> {
        match self {
            Engine::Rocks(rocks) => {
                let rocks = Arc::clone(rocks);
                home.offload.run(Pool::State, move || rocks.flush(wait)).await
            }
            Engine::Memory(memory) => memory.write_image(&home.disk, directory).await,
        }
    }

    /// Puts a durable copy of the state as it is now at `directory`, which must not exist and whose parent must. The
    /// caller has flushed and commits nothing until this returns.
    pub(crate) async fn checkpoint(&self, home: &Home, directory: &Path) -> io::Result<()> {
        match self {
            Engine::Rocks(rocks) => {
                let (rocks, directory) = (Arc::clone(rocks), directory.to_path_buf());
                home.offload.run(Pool::State, move || rocks.checkpoint(&directory)).await
            }
            Engine::Memory(memory) => {
                home.disk.create_dir_all(directory).await?;
                memory.write_image(&home.disk, directory).await
            }
        }
    }
}

/// Reads the metadata of a checkpoint from its own files.
pub(crate) async fn checkpoint_meta(home: &Home, directory: &Path) -> io::Result<Meta> {
    match home.kind {
        EngineKind::Rocks => {
            let directory = directory.to_path_buf();
            home.offload.run(Pool::State, move || Rocks::checkpoint_meta(&directory)).await
        }
        EngineKind::Memory => Ok(Memory::open(&home.disk, directory).await?.meta()),
    }
}

/// Whether `name` is a file that a checkpoint consists of. The rest of the directory is made anew by whoever opens it.
pub(crate) fn is_checkpoint_file(kind: EngineKind, name: &str) -> bool {
    match kind {
        EngineKind::Rocks => name == "CURRENT" || name.starts_with("MANIFEST-") || name.ends_with(".sst"),
        EngineKind::Memory => name == super::mem::IMAGE,
    }
}

/// Whether a file of this name never changes once written, so that its hash may be remembered within a generation.
pub(crate) fn is_immutable(name: &str) -> bool {
    name.ends_with(".sst")
}
