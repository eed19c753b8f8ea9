//! Blocking work: RocksDB, file system calls, password hashes. Production runs it on bounded pools, one a kind, so that
//! a stuck disk does not take the hashes with it; a simulation runs it inline.

use std::sync::Arc;

use futures_util::future::BoxFuture;

/// Kinds of blocking work, each with a pool of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pool {
    /// Reads and writes of files.
    Disk,
    /// Syncs of the log: few, long, and never behind other work.
    Sync,
    /// RocksDB.
    State,
    /// Slow computations.
    Compute,
}

/// A job to run.
pub type Job = Box<dyn FnOnce() + Send>;

/// What a world has to offer for blocking work.
pub trait OffloadSource: Send + Sync + 'static {
    /// Runs the job to its end. The future may be dropped: the job still runs.
    fn run(&self, pool: Pool, job: Job) -> BoxFuture<'static, ()>;
}

/// A handle to the pools.
#[derive(Clone)]
pub struct Offload(Arc<dyn OffloadSource>);

impl Offload {
    /// Wraps a source.
    pub fn new(source: impl OffloadSource) -> Offload {
        Offload(Arc::new(source))
    }

    /// Runs every job at once on the calling thread. For simulations and tests.
    pub fn inline() -> Offload {
        struct Inline;
        impl OffloadSource for Inline {
            fn run(&self, _pool: Pool, job: Job) -> BoxFuture<'static, ()> {
                job();
                Box::pin(std::future::ready(()))
            }
        }
        Offload::new(Inline)
    }

    /// Runs a computation over so many bytes: here if they are few, else on a pool, since heartbeats wait on the calling
    /// thread too.
    ///
    /// # Panics
    /// Panics if `work` panicked.
    pub async fn compute<T: Send + 'static>(&self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
        match Offload::is_short(bytes) {
            true => work(),
            false => self.run(Pool::Compute, work).await,
        }
    }

    /// Whether so many bytes are read or written as JSON in less than a millisecond.
    pub fn is_short(bytes: usize) -> bool {
        bytes <= 64 << 10
    }

    /// Runs `work` on a pool and waits for its result.
    ///
    /// # Panics
    /// Panics if `work` panicked.
    pub async fn run<T: Send + 'static>(&self, pool: Pool, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.0.run(pool, Box::new(move || drop(sender.send(work())))).await;
        receiver.await.expect("blocking work panicked")
    }
}

impl std::fmt::Debug for Offload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offload")
    }
}
