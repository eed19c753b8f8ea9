//! The Raft log: entries, vote and committed index in append-only segments on [`Disk`].
//!
//! **One sync a group.** [`Log`] keeps what is appended in memory and hands it to one writer task. The writer puts all
//! that has arrived during the last sync into one group, writes it with one write, syncs it with one fdatasync, and
//! calls back in order. Votes, truncations and purges are frames in the same stream, so whatever is acknowledged has
//! everything before it durable too. `save_committed` waits for nothing: its frame goes with the next group.
//!
//! **Damage or torn write.** Each group says up to where the log was synced when it was written, and carries the
//! checksum of the group before. See [`recover`] for what follows from that. [`frame`] has the format. The very last
//! groups have no later one that speaks for them: for a log that was idle since, the file of [`end`] does, and what was
//! acknowledged to a leader, the leader remembers (`address_book`).
//!
//! **Faults.** After a failed write or sync nobody can know what is on the disk: the log is *faulted* until the process
//! ends. It keeps taking entries in memory, so that a leader can hand over, but acknowledges nothing more; only a vote
//! fails at once. A disk without space is no fault: segments are made, whole, before they are needed, and if that cannot
//! be done the log waits.

mod end;
mod frame;
mod latency;
mod memory;
mod read;
mod recover;
mod segment;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

pub use self::latency::{Figures, Latency};
use self::memory::{Item, Memory};
use self::recover::Recovered;
use self::writer::{Tail, Writer};
use crate::raft::types::LogId;
use crate::runtime::{Clock, Disk, Runtime, Trace};

/// Sizes and times of a [`Log`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a segment. A purge frees disk space in units of it.
    pub segment_bytes: u64,
    /// At most so many bytes go into one group, but for a single larger entry.
    pub group_bytes: usize,
    /// Bytes of recent entries that are kept in memory.
    pub recent_bytes: usize,
    /// Bytes that one limited read returns, but for a single larger entry.
    pub read_bytes: usize,
    /// With less free space than this, [`Log::has_space`] is false.
    pub reserve_bytes: u64,
    /// How often free space is looked at.
    pub space_interval: Duration,
    /// How long the log must be idle before the end of the last group is marked as durable.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: 16 << 20,
            group_bytes: 4 << 20,
            recent_bytes: 4 << 20,
            read_bytes: 1 << 20,
            reserve_bytes: 64 << 20,
            space_interval: Duration::from_secs(1),
            idle: Duration::from_millis(500),
        }
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk fails.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
    /// What else is on the disk shows that something durable is gone: this node must not vote with this log.
    #[error("{}: the log is damaged: {what}; wipe the data directory and join again", dir.display())]
    Lost {
        /// The log's directory.
        dir: PathBuf,
        /// What is gone.
        what: String,
    },
    /// Something that was durable has changed: this node must not vote with this log.
    #[error("{}: the log is damaged at byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Entries that were not purged are not there: a file is missing.
    #[error("{}: the log is damaged: entries {from} to {to} are missing", dir.display())]
    Missing {
        /// The log's directory.
        dir: PathBuf,
        /// The first missing index.
        from: u64,
        /// The last missing index.
        to: u64,
    },
}

/// A Raft log. Clones share it; it ends when the last is dropped or at [`Log::shutdown`].
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    /// Ends the tasks with the last clone.
    _owner: Arc<Owner>,
}

/// What the log's tasks and its handles share.
struct Shared {
    dir: PathBuf,
    is_new: bool,
    options: Options,
    disk: Disk,
    clock: Clock,
    trace: Trace,
    memory: Mutex<Memory>,
    /// Something was queued, or the log is closing.
    work: Notify,
    space: AtomicBool,
    syncs: Latency,
    faulted: watch::Sender<Option<String>>,
    /// True once the writer has ended.
    ended: watch::Sender<bool>,
}

struct Owner {
    shared: Arc<Shared>,
    space: tokio::task::JoinHandle<()>,
}

impl Log {
    /// Opens the log in `dir`, or begins one, and starts its writer.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged. A torn write at the end is repaired.
    pub async fn open(runtime: &Runtime, dir: &Path, options: Options) -> Result<Log, OpenError> {
        let disk = &runtime.disk;
        make_dir(disk, dir).await?;
        let (found, is_new) = match recover::recover(disk, dir).await? {
            Some(found) => (found, false),
            None => (create(runtime, dir, &options).await?, true),
        };
        let Recovered { memory, tail, torn } = found;
        runtime.trace.event(
            "log",
            format_args!(
                "open first={} next={} at={} torn={torn} vote={:?}",
                memory.first(),
                memory.next(),
                memory.end,
                memory.vote.as_ref().map(ToString::to_string),
            ),
        );
        let shared = Arc::new(Shared {
            dir: dir.to_path_buf(),
            is_new,
            options,
            disk: disk.clone(),
            clock: runtime.clock.clone(),
            trace: runtime.trace.clone(),
            memory: Mutex::new(memory),
            work: Notify::new(),
            space: AtomicBool::new(true),
            syncs: Latency::default(),
            faulted: watch::Sender::new(None),
            ended: watch::Sender::new(false),
        });
        shared.look_at_space().await;
        let writer = Writer::new(Arc::clone(&shared), tail);
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                writer.run().await;
                // Whoever still comes is told; nobody is told of a fault, because there is none.
                shared.memory().fail("the log is closed", Vec::new());
                shared.ended.send_replace(true);
            }
        });
        let space = tokio::spawn(Arc::clone(&shared).watch_space());
        Ok(Log { shared: Arc::clone(&shared), _owner: Arc::new(Owner { shared, space }) })
    }

    /// The last index and the term of the vote that recovery found; right after [`Log::open`].
    pub(super) fn found(&self) -> (Option<u64>, u64) {
        let memory = self.shared.memory();
        (memory.last().map(|last| last.index), memory.vote.as_ref().map_or(0, |vote| vote.leader_id.term))
    }

    /// The last entry's id, durable or not, or the purge point.
    pub fn last(&self) -> Option<LogId> {
        self.shared.memory().last()
    }

    /// The term of the entry at `index`; `None` if the log does not hold it (any more).
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.shared.memory().slot(index).map(|slot| slot.term)
    }

    /// Waits until the entries up to `index` are durable, or those that there are if it is beyond the log's end. Purged
    /// ones count as durable.
    ///
    /// # Errors
    /// If the log is faulted.
    pub async fn sync_to(&self, index: u64) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        self.shared.memory().wait_durable(index, reply);
        answer.await.map_err(|_| io::Error::other("the log has ended"))?
    }

    /// Why the log acknowledges nothing more, if so. Only a new process recovers from it.
    pub fn fault(&self) -> Option<String> {
        self.shared.faulted.borrow().clone()
    }

    /// Faults the log although its disk works: it has turned out not to hold what it had acknowledged.
    pub fn disown(&self, reason: &str) {
        if self.fault().is_none() {
            self.shared.fail(reason, Vec::new());
        }
    }

    /// Whether [`Log::open`] found no log and has begun one.
    pub fn is_new(&self) -> bool {
        self.shared.is_new
    }

    /// Becomes `Some` with the first fault.
    pub fn watch_fault(&self) -> watch::Receiver<Option<String>> {
        self.shared.faulted.subscribe()
    }

    /// Whether more space is free than the reserve, as of a moment ago. Ask before proposing: out of space is refused
    /// before the log is touched.
    pub fn has_space(&self) -> bool {
        self.shared.space.load(Ordering::Relaxed)
    }

    /// For how long the disk work in progress has run; zero if there is none. Counts the time of a suspend.
    pub fn stuck_for(&self) -> Duration {
        let since = self.shared.memory().busy_since;
        since.map_or(Duration::ZERO, |since| self.shared.clock.boot().saturating_sub(since))
    }

    /// Tells the duration of each sync to `observer`, which must not block.
    pub fn observe_syncs(&self, observer: impl Fn(Duration) + Send + Sync + 'static) {
        self.shared.syncs.observe(observer);
    }

    /// How long syncs have taken.
    pub fn syncs(&self) -> Figures {
        self.shared.syncs.figures()
    }

    /// Bytes that the log's files take, with the one prepared in advance.
    pub fn bytes_on_disk(&self) -> u64 {
        let memory = self.shared.memory();
        memory.segments.values().map(|segment| segment.len).sum::<u64>() + memory.spare_bytes
    }

    /// Writes what is queued, marks the end and ends the writer. Nothing appended later becomes durable.
    pub async fn shutdown(&self) {
        self.shared.close();
        // The sender lives as long as `self`.
        let _ = self.shared.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what `change` puts into memory and wakes the writer.
    fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        let result = change(&mut self.memory());
        self.work.notify_one();
        result
    }

    fn close(&self) {
        self.change(|memory| memory.closing = true);
    }

    /// Faults the log; `in_flight` is what the failed group would have completed.
    fn fail(&self, reason: &str, in_flight: Vec<Item>) {
        tracing::error!("the log is faulted: {reason}");
        self.trace(format_args!("fault {reason}"));
        self.memory().fail(reason, in_flight);
        self.faulted.send_replace(Some(reason.to_string()));
    }

    fn trace(&self, text: fmt::Arguments<'_>) {
        self.trace.event("log", text);
    }

    /// Tells a simulation's checkers what is durable and about to be acknowledged.
    fn promise(&self, written: &memory::Written, durable: u64) {
        if let Some(vote) = &written.vote {
            let (term, voted_for, granted) = (vote.leader_id.term, vote.leader_id.voted_for, vote.committed);
            self.trace.event("raft", format_args!("vote term={term} for={voted_for} committed={granted}"));
        }
        if let (false, Some(index)) = (written.entries.is_empty(), durable.checked_sub(1)) {
            self.trace.event("raft", format_args!("durable index={index}"));
        }
    }

    async fn watch_space(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.options.space_interval).await;
            self.look_at_space().await;
        }
    }

    async fn look_at_space(&self) {
        // What the disk cannot tell is no reason to refuse writes.
        if let Ok(free) = self.disk.free_space(&self.dir).await {
            self.set_space(free >= self.options.reserve_bytes);
        }
    }

    fn set_space(&self, has_space: bool) {
        if self.space.swap(has_space, Ordering::Relaxed) != has_space {
            self.trace(format_args!("space={has_space}"));
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.space.abort();
        self.shared.close();
    }
}

impl OpenError {
    fn io(path: &Path, error: io::Error) -> OpenError {
        OpenError::Io { path: path.to_path_buf(), error }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.shared.dir.display())
    }
}

/// Makes the log's directory and the names that lead to it durable.
async fn make_dir(disk: &Disk, dir: &Path) -> Result<(), OpenError> {
    disk.create_dir_all(dir).await.map_err(|error| OpenError::io(dir, error))?;
    // The data directory itself, two levels up, is the caller's.
    for parent in dir.ancestors().skip(1).take(2).filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_dir(parent).await.map_err(|error| OpenError::io(parent, error))?;
    }
    Ok(())
}

/// Begins a log.
async fn create(runtime: &Runtime, dir: &Path, options: &Options) -> Result<Recovered, OpenError> {
    let log = runtime.entropy.next_u64();
    let tail = Tail::create(&runtime.disk, dir, log, options.segment_bytes)
        .await
        .map_err(|error| OpenError::io(dir, error))?;
    let mut memory = Memory::recovered(None, Default::default());
    memory.end = tail.end;
    memory.segments.insert(tail.base, tail.segment());
    Ok(Recovered { memory, tail, torn: 0 })
}
