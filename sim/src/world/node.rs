//! A node of the world: what outlives its process.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::clock::Skew;
use super::gate::Gate;
use crate::disk::{DiskFaults, MemDisk};
use crate::draw::Draw;

/// A node: what outlives its process.
pub struct Node {
    /// Its label and turmoil host: `n1`, `n2`, ...
    pub name: String,
    /// Its number, from 0.
    pub index: usize,
    /// Its disk.
    pub disk: MemDisk,
    /// What is wrong with its disk.
    pub faults: DiskFaults,
    /// Shut while its process is paused.
    pub gate: Gate,
    /// How far its wall clock is off.
    pub skew: Skew,
    real_dir: tempfile::TempDir,
    pub(super) booted: Duration,
    starts: AtomicU64,
    status: Mutex<Status>,
}

/// What a node's process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Running,
    /// It was killed and not started again.
    Down,
    /// It ended by itself, saying this.
    Exited(String),
}

impl Node {
    /// A whole node, number `index`, not started yet.
    ///
    /// # Errors
    /// An I/O error of its directory on the real file system.
    pub fn new(index: usize, draw: &Draw) -> std::io::Result<Node> {
        let second = Duration::from_secs(1);
        let skew = Skew::default();
        skew.set_ns(draw.below(400_000_000) as i64 - 200_000_000);
        Ok(Node {
            name: format!("n{}", index + 1),
            index,
            disk: MemDisk::new(),
            faults: DiskFaults::default(),
            gate: Gate::default(),
            skew,
            real_dir: real_dir()?,
            booted: draw.duration(&(60 * second..1_000_000 * second)),
            starts: AtomicU64::new(0),
            status: Mutex::new(Status::Running),
        })
    }

    /// What its process does.
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what its process does.
    pub(super) fn set_status(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// What its present or last process keeps on the real file system: RocksDB's files.
    pub fn real_dir(&self) -> PathBuf {
        self.real_dir.path().join(self.starts().to_string())
    }

    /// The directory that all of it is in.
    pub(super) fn real_root(&self) -> String {
        self.real_dir.path().display().to_string()
    }

    /// Counts a start of its process; returns its number, from 1.
    pub(super) fn next_start(&self) -> u64 {
        self.starts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Removes all that it keeps on the real file system.
    pub fn remove_real_dir(&self) {
        let _ = std::fs::remove_dir_all(self.real_dir.path());
    }

    /// How often its process was started.
    pub fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }
}

/// A directory in memory where there is one: RocksDB's files are no part of the simulated disk.
fn real_dir() -> std::io::Result<tempfile::TempDir> {
    let shm = std::path::Path::new("/dev/shm");
    let builder = || tempfile::Builder::new().prefix(crate::trace::REAL_DIR_PREFIX).to_owned();
    builder().tempdir_in(shm).or_else(|_| builder().tempdir())
}
