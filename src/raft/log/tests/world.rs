//! A disk in memory behind a layer that lets other tasks run within each call, and fails on demand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftVote;
use openraft::{EntryPayload, RaftLogReader};

use super::super::{Log, OpenError, Options};
use crate::raft::command::Command;
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};
use crate::runtime::disk::{Disk, DiskSource, Entry as Name, FileSource, Open};
use crate::runtime::mem_disk::MemDisk;
use crate::runtime::{Entropy, Offload, Runtime};

pub(super) struct World {
    pub(super) memory: MemDisk,
    entropy: Entropy,
    faults: Arc<Mutex<Faults>>,
    /// Of the present process.
    dead: Mutex<Arc<AtomicBool>>,
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) sync: Option<io::ErrorKind>,
    pub(super) create: Option<io::ErrorKind>,
    pub(super) free: Option<u64>,
}

/// Acknowledgement of an append.
pub(super) type Acknowledged = openraft::type_config::alias::OneshotReceiverOf<TypeConfig, io::Result<()>>;

impl World {
    pub(super) fn new(seed: u64) -> World {
        let memory = MemDisk::new();
        let disk = memory.disk();
        // The data directory is made by others.
        disk.create_dir_all(Path::new("/data")).now_or_never().unwrap().unwrap();
        disk.sync_dir(Path::new("/")).now_or_never().unwrap().unwrap();
        World { memory, entropy: Entropy::seeded_u64(seed), faults: Arc::default(), dead: Mutex::default() }
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap()
    }

    /// Opens the log as a new process.
    pub(super) async fn open(&self) -> Result<Log, OpenError> {
        let dead = Arc::new(AtomicBool::new(false));
        self.dead.lock().unwrap().store(true, Ordering::Relaxed);
        *self.dead.lock().unwrap() = Arc::clone(&dead);
        let slow = Slow(Layer {
            inner: Arc::new(self.memory.clone()),
            entropy: self.entropy.clone(),
            faults: Arc::clone(&self.faults),
            dead,
        });
        let runtime = Runtime {
            disk: Disk::new(slow),
            entropy: Entropy::seeded_u64(1),
            offload: Offload::inline(),
            ..Runtime::real()
        };
        Log::open(&runtime, Path::new("/data/raft/log"), options()).await
    }

    /// Cuts the power: whatever the process still does has no effect.
    pub(super) fn cut(&self, seed: u64) {
        self.dead.lock().unwrap().store(true, Ordering::Relaxed);
        let draws = Entropy::seeded_u64(seed);
        self.memory.power_cut(&mut |n| if seed == 0 { 0 } else { draws.below(n) });
    }

    /// Kills the process.
    pub(super) fn kill(&self) {
        self.dead.lock().unwrap().store(true, Ordering::Relaxed);
        self.memory.crash();
    }

    /// Appends without waiting.
    pub(super) async fn submit(&self, log: &mut Log, entries: Vec<Entry>) -> Acknowledged {
        let (sender, receiver) = TypeConfig::oneshot();
        log.append(entries, IOFlushed::signal(sender)).await.unwrap();
        receiver
    }

    pub(super) async fn append(&self, log: &mut Log, entries: Vec<Entry>) {
        self.submit(log, entries).await.await.unwrap().unwrap();
    }

    /// Waits until the log has nothing to do.
    pub(super) async fn settle(&self, log: &mut Log) {
        let vote = log.read_vote().await.unwrap().unwrap_or(vote(0));
        log.save_vote(&vote).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a test on one thread.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(test)
}

/// Small, so that everything happens.
pub(super) fn options() -> Options {
    Options {
        segment_bytes: 8192,
        group_bytes: 3000,
        recent_bytes: 2500,
        read_bytes: 2000,
        space_interval: Duration::from_millis(5),
        idle: Duration::from_millis(2),
        ..Options::default()
    }
}

pub(super) fn id(term: u64, index: u64) -> LogId {
    LogId { leader_id: term.into(), index }
}

/// An entry whose payload begins with its index.
pub(super) fn entry(term: u64, index: u64, len: usize) -> Entry {
    let mut bytes = index.to_le_bytes().to_vec();
    bytes.resize(8 + len, term as u8 ^ index as u8);
    Entry::new(id(term, index), EntryPayload::Normal(Command(bytes.into())))
}

/// What the payloads begin with.
pub(super) fn payloads(entries: &[Entry]) -> Vec<u64> {
    let begin = |entry: &Entry| match &entry.payload {
        EntryPayload::Normal(command) => u64::from_le_bytes(command.0[..8].try_into().unwrap()),
        _ => panic!("not an entry of these tests"),
    };
    entries.iter().map(begin).collect()
}

pub(super) fn vote(term: u64) -> Vote {
    Vote::from_leader_id(openraft::impls::leader_id_std::LeaderId { term, voted_for: 1 }, false)
}

struct Layer<T: ?Sized> {
    inner: Arc<T>,
    entropy: Entropy,
    faults: Arc<Mutex<Faults>>,
    dead: Arc<AtomicBool>,
}

struct Slow(Layer<MemDisk>);
struct SlowFile(Layer<dyn FileSource>);

impl<T: ?Sized + Send + Sync + 'static> Layer<T> {
    fn later<R: Send + 'static>(
        &self,
        fault: impl FnOnce(&Faults) -> Option<io::ErrorKind> + Send + 'static,
        call: impl FnOnce(&T) -> BoxFuture<'static, io::Result<R>> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<R>> {
        let (inner, entropy, faults, dead) =
            (Arc::clone(&self.inner), self.entropy.clone(), Arc::clone(&self.faults), Arc::clone(&self.dead));
        Box::pin(async move {
            for _ in 0..entropy.below(4) {
                tokio::task::yield_now().await;
            }
            let failed = fault(&faults.lock().unwrap());
            if let Some(kind) = failed {
                return Err(kind.into());
            }
            if dead.load(Ordering::Relaxed) {
                return Err(io::Error::other("the process is dead"));
            }
            let result = call(&inner).await;
            for _ in 0..entropy.below(3) {
                tokio::task::yield_now().await;
            }
            result
        })
    }

    fn with<U: ?Sized>(&self, inner: Arc<U>) -> Layer<U> {
        let (entropy, faults, dead) = (self.entropy.clone(), Arc::clone(&self.faults), Arc::clone(&self.dead));
        Layer { inner, entropy, faults, dead }
    }
}

fn never(_: &Faults) -> Option<io::ErrorKind> {
    None
}

impl DiskSource for Slow {
    fn open(&self, path: PathBuf, open: Open) -> BoxFuture<'static, io::Result<Box<dyn FileSource>>> {
        let create = open.create;
        let opened = self.0.later(move |faults| faults.create.filter(|_| create), move |disk| disk.open(path, open));
        let layer = self.0.with::<MemDisk>(Arc::clone(&self.0.inner));
        Box::pin(async move { Ok(Box::new(SlowFile(layer.with(Arc::from(opened.await?)))) as Box<dyn FileSource>) })
    }
    fn rename(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(never, move |disk| disk.rename(from, to))
    }
    fn remove(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(never, move |disk| disk.remove(path))
    }
    fn remove_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(never, move |disk| disk.remove_all(path))
    }
    fn create_dir_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(never, move |disk| disk.create_dir_all(path))
    }
    fn list(&self, path: PathBuf) -> BoxFuture<'static, io::Result<Vec<Name>>> {
        self.0.later(never, move |disk| disk.list(path))
    }
    fn sync_dir(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(never, move |disk| disk.sync_dir(path))
    }
    fn free_space(&self, path: PathBuf) -> BoxFuture<'static, io::Result<u64>> {
        let free = self.0.faults.lock().unwrap().free;
        match free {
            Some(free) => Box::pin(std::future::ready(Ok(free))),
            None => self.0.later(never, move |disk| disk.free_space(path)),
        }
    }
}

impl FileSource for SlowFile {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        self.0.later(never, move |file| file.read_at(offset, len))
    }
    fn write_at(&self, offset: u64, bytes: Bytes) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(never, move |file| file.write_at(offset, bytes))
    }
    fn sync(&self) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(|faults| faults.sync, |file| file.sync())
    }
    fn len(&self) -> BoxFuture<'static, io::Result<u64>> {
        self.0.later(never, |file| file.len())
    }
    fn set_len(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(never, move |file| file.set_len(len))
    }
    fn preallocate(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        self.0.later(never, move |file| file.preallocate(len))
    }
}
