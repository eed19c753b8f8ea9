//! The state machine as openraft drives it: applies entries, flushes, makes and installs snapshots. It is the only
//! writer of state; openraft calls it from one task, so that nothing is committed while it flushes or checkpoints.
//!
//! Order of syncs: openraft applies what was submitted, not what was synced. So before any flush or checkpoint, and
//! before another generation becomes the present one, the log is synced up to the applied index that it will contain:
//! a state ahead of its own log could never start again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};

use super::command::Applied;
use super::snapshot::store::{Store, Unsealed};
use super::snapshot::{Checkpoint, MAX_CHUNK, Origin};
use super::state::apply::{self, ENTRY_ALLOWANCE};
use super::state::engine::{Blocking, Changes, Engine, EngineKind, Meta};
use super::state::hash::Hashes;
use super::state::home::Home;
use super::state::shared::Shared;
use super::state::{OpenError, State};
use super::types::{Entry, Incarnation, LogId, SnapshotMeta, StoredMembership, TypeConfig};
use crate::runtime::disk::{Disk, Open};
use crate::runtime::point::mutant;
use crate::runtime::{Pool, Runtime, Trace};

/// Returns once every entry that was submitted to the log up to an index is durable, and every truncation before it.
/// An index beyond the log's end (a snapshot is being installed) waits for what there is.
pub type LogSync = Arc<dyn Fn(u64) -> BoxFuture<'static, io::Result<()>> + Send + Sync>;

/// openraft's snapshot with our data.
pub type StateSnapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Checkpoint>;

/// How state is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which engine.
    pub engine: EngineKind,
    /// A directory of the real file system for RocksDB, if `data_dir` is not one (in simulations).
    pub engine_dir: Option<PathBuf>,
    /// This node.
    pub incarnation: Incarnation,
    /// Flush after about so many bytes were written. At most [`MAX_FLUSH_BYTES`].
    pub flush_bytes: u64,
    /// Whether such a flush is written, and RocksDB compacts, in the background. Off in simulations: a power cut would
    /// find it at a random point.
    pub background_flush: bool,
}

impl Options {
    /// Production's settings for a node.
    pub fn new(engine: EngineKind, incarnation: Incarnation) -> Options {
        Options { engine, engine_dir: None, incarnation, flush_bytes: 8 * 1024 * 1024, background_flush: true }
    }
}

/// The writer of replicated state.
pub struct StateMachine {
    home: Home,
    /// Whether received files are on the engine's own disk and can be moved there.
    one_disk: bool,
    options: Options,
    shared: Arc<Shared>,
    engine: Engine,
    generation: u64,
    meta: Meta,
    store: Arc<Store>,
    log_sync: LogSync,
    trace: Trace,
    unflushed: u64,
    /// Generations that were replaced while readers still held them.
    retired: Vec<(Engine, u64)>,
}

impl StateMachine {
    /// Opens the state in `data_dir`, as it was last flushed, or makes an empty one.
    ///
    /// # Errors
    /// If the disk fails or the state is damaged or another engine's; the error names the directory or file.
    pub async fn open(
        runtime: &Runtime,
        data_dir: &Path,
        options: Options,
        log_sync: LogSync,
    ) -> Result<(StateMachine, State), OpenError> {
        let one_disk = options.engine_dir.is_none();
        let directory = options.engine_dir.clone().unwrap_or_else(|| data_dir.to_path_buf());
        let home = Home::new(runtime, options.engine, &directory, options.background_flush);
        let (generation, engine) = home.open().await?;
        let path = home.generation(generation);
        let reader = engine.clone();
        let meta = home.offload.run(Pool::State, move || reader.meta()).await;
        let meta = meta.map_err(|source| OpenError::Generation { path, source })?;
        let told = tell_stored(&runtime.trace, "found", &engine, &meta);
        told.map_err(|source| OpenError::Generation { path: home.generation(generation), source })?;
        let store = Store::open(home.clone(), generation, meta.index()).await;
        let store = store.map_err(|source| OpenError::Io { path: home.snapshots(), source })?;
        let shared = Arc::new(Shared::new(home.offload.clone(), engine.clone(), &meta));
        if let Some(newest) = store.newest() {
            shared.checkpointed(newest.manifest().meta.log_bytes);
        }
        let state = State::new(Arc::clone(&shared));
        let (store, retired) = (Arc::new(store), Vec::new());
        let machine = StateMachine {
            home,
            one_disk,
            options,
            shared,
            engine,
            generation,
            meta,
            store,
            log_sync,
            trace: runtime.trace.clone(),
            unflushed: 0,
            retired,
        };
        Ok((machine, state))
    }

    /// Whether this state was flushed with more than a log that ends at `last` holds: the log has lost that. The state of
    /// a snapshot is ahead of its log until openraft has purged that.
    pub fn outruns(&self, last: Option<LogId>) -> bool {
        let snapshot = self.store.newest().and_then(|newest| newest.manifest().meta.applied);
        self.meta.applied > last.max(snapshot)
    }

    /// Applies entries that follow the applied index, as one commit, and shows it to readers.
    ///
    /// # Errors
    /// An I/O error; the state is then faulted.
    pub async fn apply_entries(&mut self, entries: Vec<Entry>) -> io::Result<Vec<Applied>> {
        self.shared.check()?;
        let (engine, meta, incarnation) = (self.engine.clone(), self.meta.clone(), self.options.incarnation);
        let told: Vec<(LogId, String)> = if self.trace.is_on() {
            entries.iter().map(|entry| (entry.log_id, digest(entry))).collect()
        } else {
            Vec::new()
        };
        let applied = match self.engine.never_blocks() || entries.len() <= INLINE_ENTRIES {
            true => apply::apply(&engine, meta.clone(), &entries, incarnation, Blocking::No),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        let applied = match applied {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let work = move || apply::apply(&engine, meta, &entries, incarnation, Blocking::Yes);
                self.home.offload.run(Pool::State, work).await
            }
            applied => applied,
        };
        let (meta, changes, answers) = applied.map_err(|error| self.shared.faulted(error))?;
        self.unflushed = self.unflushed.saturating_add(written(&changes, answers.len()));
        self.meta = meta;
        self.shared.publish(&self.meta, changes.keys());
        self.tell_applied(&told);
        Ok(answers)
    }

    /// Tells a simulation's checkers what was applied, and the set hash after the last of it.
    fn tell_applied(&self, entries: &[(LogId, String)]) {
        for (at, (id, digest)) in entries.iter().enumerate() {
            let last = at + 1 == entries.len();
            let state = if last { short(&self.shared.fingerprint().hashes) } else { "-".to_string() };
            let (index, term) = (id.index, id.leader_id.term);
            self.trace.event("raft", format_args!("apply index={index} term={term} entry={digest} state={state}"));
        }
    }

    /// Makes the state durable as it is now, the log first. Once this returns nothing before the applied index is
    /// needed to start again.
    ///
    /// # Errors
    /// An I/O error; the state is then faulted.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.flush_now(true).await
    }

    async fn flush_now(&mut self, wait: bool) -> io::Result<()> {
        self.shared.check()?;
        let flushed = self.sync_log_and_flush(wait).await;
        flushed.map_err(|error| self.shared.faulted(error))?;
        self.unflushed = 0;
        if wait {
            self.trace.event("raft", format_args!("mark flushed={}", self.meta.index()));
        }
        Ok(())
    }

    async fn sync_log_and_flush(&self, wait: bool) -> io::Result<()> {
        if !mutant("flush-ahead-of-log") {
            (self.log_sync)(self.meta.index()).await?;
        }
        self.engine.flush(&self.home, &self.home.generation(self.generation), wait).await
    }

    /// Flushes when enough was written. The image of the engine in memory is written as a whole, so that it waits until
    /// as much was written again.
    async fn flush_if_due(&mut self) -> io::Result<()> {
        let due = match self.options.engine {
            EngineKind::Rocks => self.options.flush_bytes.min(MAX_FLUSH_BYTES),
            EngineKind::Memory => self.options.flush_bytes.max(self.image_bytes()),
        };
        if self.unflushed >= due { self.flush_now(!self.options.background_flush).await } else { Ok(()) }
    }

    fn image_bytes(&self) -> u64 {
        self.store.newest().map_or(0, |checkpoint| checkpoint.manifest().bytes())
    }

    /// Flushes and puts a checkpoint's files on disk; `Ok(None)` if one of this very state is there.
    async fn take_checkpoint(&mut self) -> io::Result<Option<Unsealed>> {
        self.remove_retired().await?;
        self.flush_now(true).await?;
        if self.present_checkpoint().is_some() {
            return Ok(None);
        }
        self.store.take(&self.engine, self.generation, &self.meta).await.map(Some)
    }

    fn present_checkpoint(&self) -> Option<Checkpoint> {
        self.store.newest().filter(|checkpoint| checkpoint.manifest().meta == self.meta)
    }

    /// Replaces the state by a snapshot's. Each step may be the last before a crash: until `CURRENT` is switched the old
    /// state is the state; a newer checkpoint that is already there makes openraft install it at the next start.
    async fn install(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let manifest = checkpoint.manifest();
        if manifest.engine != self.options.engine {
            let (theirs, ours) = (manifest.engine.name(), self.options.engine.name());
            return Err(io::Error::other(format!(
                "a snapshot of the {theirs} engine; this node keeps state in {ours}"
            )));
        }
        if manifest.meta.applied < self.meta.applied {
            return Err(io::Error::other(format!(
                "a snapshot at {} for a state at {}",
                manifest.meta.index(),
                self.meta.index()
            )));
        }
        let generation = self.generation + 1;
        let directory = self.home.prepare(generation).await?;
        self.bring_files(checkpoint, &directory).await?;
        let engine = Engine::open(&self.home, &directory).await?;
        let reader = engine.clone();
        let meta = self.home.offload.run(Pool::State, move || reader.meta()).await?;
        if meta != manifest.meta {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a snapshot whose files hold another state than its manifest says",
            ));
        }
        // The log may have been cut for this snapshot: a state that has switched must not meet the old end again.
        (self.log_sync)(meta.index()).await?;
        if self.store.newest().is_none_or(|newest| newest.manifest().meta != meta) {
            let unsealed = self.store.take(&engine, generation, &meta).await?;
            self.store.seal(unsealed).await?;
        }
        self.home.switch(generation).await?;
        let before = self.shared.switch(engine.clone(), &meta);
        self.shared.checkpointed(meta.log_bytes);
        self.retired.push((before, self.generation));
        (self.engine, self.generation, self.meta, self.unflushed) = (engine, generation, meta, 0);
        if checkpoint.origin() == Origin::Received {
            checkpoint.disk().remove_all(checkpoint.directory()).await?;
        }
        self.remove_retired().await
    }

    /// Moves or copies a checkpoint's files into a generation, durably.
    async fn bring_files(&self, checkpoint: &Checkpoint, directory: &Path) -> io::Result<()> {
        let movable = self.one_disk && checkpoint.origin() == Origin::Received;
        for file in &checkpoint.manifest().files {
            let target = directory.join(&file.name);
            if movable {
                self.home.disk.rename(&checkpoint.directory().join(&file.name), &target).await?;
            } else {
                copy(checkpoint, &file.name, file.len, &self.home.disk, &target).await?;
            }
        }
        self.home.disk.sync_dir(directory).await
    }

    /// Removes replaced generations that no reader holds any more.
    async fn remove_retired(&mut self) -> io::Result<()> {
        let (unused, held) =
            std::mem::take(&mut self.retired).into_iter().partition(|(engine, _)| engine.is_last_handle());
        self.retired = held;
        let unused: Vec<(Engine, u64)> = unused;
        for (engine, generation) in unused {
            // Closing a database waits for its threads.
            self.home.offload.run(Pool::State, move || drop(engine)).await;
            self.home.disk.remove_all(&self.home.generation(generation)).await?;
        }
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Checkpoint;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        self.shared.check()?;
        Ok((self.meta.applied, self.meta.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let mut entries = entries.fuse();
        loop {
            let (chunk, responders) = next_chunk(&mut entries).await?;
            if chunk.is_empty() {
                return Ok(());
            }
            let answers = self.apply_entries(chunk).await?;
            for (responder, answer) in responders.into_iter().zip(answers) {
                if let Some(responder) = responder {
                    responder.send(answer);
                }
            }
            self.flush_if_due().await?;
        }
    }

    /// Flushes and links the files here, while nothing is applied; the builder hashes them beside further work.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        let taken = match self.take_checkpoint().await {
            Ok(Some(unsealed)) => Ok(Taken::Unsealed(unsealed)),
            Ok(None) => match self.present_checkpoint() {
                Some(checkpoint) => Ok(Taken::Sealed(checkpoint)),
                None => Err(io::Error::other("the newest checkpoint has gone")),
            },
            // Out of space passes by itself, and a snapshot can wait.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && !force && self.shared.fault().is_none() => {
                tracing::warn!(%error, "no space for a snapshot");
                return None;
            }
            Err(error) => Err(self.shared.faulted(error)),
        };
        Some(Builder { taken: Some(taken), store: Arc::clone(&self.store), shared: Arc::clone(&self.shared) })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.try_create_snapshot_builder(true).await.expect("a forced builder is always made")
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, snapshot: Checkpoint) -> Result<(), io::Error> {
        self.shared.check()?;
        let installed = self.install(&snapshot).await;
        installed.map_err(|error| self.shared.faulted(error))?;
        tell_stored(&self.trace, "install", &self.engine, &self.meta)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<StateSnapshot>, io::Error> {
        Ok(self.store.newest().map(snapshot))
    }
}

/// Tells a simulation's checkers the set hash of what is stored, worked out anew: that in `meta` came with the data, and
/// would be right of data that is not.
fn tell_stored(trace: &Trace, event: &str, engine: &Engine, meta: &Meta) -> io::Result<()> {
    if trace.is_on() {
        let (index, state) = (meta.index(), short(&engine.hashes()?));
        trace.event("raft", format_args!("{event} index={index} state={state}"));
    }
    Ok(())
}

fn short(hashes: &Hashes) -> String {
    short_hash(format!("{hashes:?}").as_bytes())
}

/// A short hash of an entry, for the trace.
fn digest(entry: &Entry) -> String {
    match &entry.payload {
        openraft::EntryPayload::Normal(command) => short_hash(&command.0),
        other => short_hash(format!("{other:?}").as_bytes()),
    }
}

fn short_hash(bytes: &[u8]) -> String {
    hex::encode(&blake3::hash(bytes).as_bytes()[..8])
}

/// Finishes a checkpoint whose files are taken.
pub struct Builder {
    taken: Option<io::Result<Taken>>,
    store: Arc<Store>,
    shared: Arc<Shared>,
}

enum Taken {
    Unsealed(Unsealed),
    Sealed(Checkpoint),
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Checkpoint;

    async fn build_snapshot(&mut self) -> Result<StateSnapshot, io::Error> {
        let taken = self.taken.take().unwrap_or_else(|| Err(io::Error::other("a snapshot is built once")))?;
        let checkpoint = match taken {
            Taken::Sealed(checkpoint) => checkpoint,
            Taken::Unsealed(unsealed) => self.store.seal(unsealed).await.map_err(|error| self.shared.faulted(error))?,
        };
        self.shared.checkpointed(checkpoint.manifest().meta.log_bytes);
        Ok(snapshot(checkpoint))
    }
}

fn snapshot(checkpoint: Checkpoint) -> StateSnapshot {
    Snapshot { meta: checkpoint.manifest().snapshot_meta(), snapshot: checkpoint }
}

/// The next entries of a stream, bounded in number and bytes: what one commit may hold.
async fn next_chunk<S>(entries: &mut S) -> io::Result<(Vec<Entry>, Vec<Option<ApplyResponder<TypeConfig>>>)>
where
    S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin,
{
    let (mut chunk, mut responders, mut bytes) = (Vec::new(), Vec::new(), 0);
    while chunk.len() < CHUNK_ENTRIES && bytes < CHUNK_BYTES {
        let Some(item) = entries.next().await else { break };
        let (entry, responder) = item?;
        if let openraft::EntryPayload::Normal(command) = &entry.payload {
            bytes += command.size();
        }
        chunk.push(entry);
        responders.push(responder);
    }
    Ok((chunk, responders))
}

/// About how much memory a commit takes in an engine, on the high side.
fn written(changes: &Changes, entries: usize) -> u64 {
    let pairs = changes.iter().map(|(key, change)| {
        (key.len() + change.as_ref().map_or(0, |found| found.value.len())) as u64 + PAIR_ALLOWANCE
    });
    pairs.sum::<u64>() + COMMIT_ALLOWANCE + entries as u64 * ENTRY_ALLOWANCE
}

async fn copy(from: &Checkpoint, name: &str, len: u64, disk: &Disk, target: &Path) -> io::Result<()> {
    let file = disk.open(target, Open::NEW).await?;
    let mut offset = 0;
    while offset < len {
        let chunk = from.read_chunk(name, offset, MAX_CHUNK).await?;
        let copied = chunk.len() as u64;
        file.write_at(offset, chunk).await?;
        offset += copied;
    }
    file.sync().await
}

/// The largest [`Options::flush_bytes`] in effect: far below what makes RocksDB flush by itself.
pub const MAX_FLUSH_BYTES: u64 = 64 * 1024 * 1024;

/// Up to so many entries are applied at once on the runtime's thread, if no disk must be waited for: a hop to another
/// thread and back costs more than they do.
const INLINE_ENTRIES: usize = 32;

/// Entries that one commit holds at most.
const CHUNK_ENTRIES: usize = 512;

/// Bytes of commands after which a commit takes no further entry.
const CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// What a pair takes in a memtable besides its bytes.
const PAIR_ALLOWANCE: u64 = 64;

/// What a commit's metadata takes.
const COMMIT_ALLOWANCE: u64 = 1024;
