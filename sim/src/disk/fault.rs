//! The fault layer over a node's disk. The driver switches its faults while the simulation runs; each node has its own.
//!
//! A failed call has one of two effects, drawn: nothing was done, or all of it was done and only the answer is an error.
//! That is what is known after EIO on a real disk: nothing.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use holdfast::runtime::disk::{DiskSource, Entry, File, FileSource, Open};
use holdfast::runtime::{Disk, Trace};

use crate::draw::Draw;
use crate::world::gate::Gate;

/// What is wrong with a disk at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// How long a read or a write takes.
    pub latency: Range<Duration>,
    /// How long a sync takes.
    pub sync_latency: Range<Duration>,
    /// Syncs fail with EIO.
    pub fail_sync: bool,
    /// Writes fail with EIO.
    pub fail_write: bool,
    /// Reads fail with EIO.
    pub fail_read: bool,
    /// Whatever needs space fails with ENOSPC.
    pub full: bool,
}

impl Default for Faults {
    /// A healthy disk: most calls are over at once, a sync takes up to two milliseconds.
    fn default() -> Faults {
        Faults {
            latency: Duration::ZERO..Duration::from_micros(50),
            sync_latency: Duration::ZERO..Duration::from_millis(2),
            fail_sync: false,
            fail_write: false,
            fail_read: false,
            full: false,
        }
    }
}

/// The switches of one node's disk. Clones share them.
#[derive(Clone, Default)]
pub struct DiskFaults {
    faults: Arc<Mutex<Faults>>,
    stuck: Gate,
}

impl DiskFaults {
    /// Changes the faults.
    pub fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Syncs that begin or run from now on do not return.
    pub fn stick_syncs(&self) {
        self.stuck.shut();
    }

    /// Heals the disk; stuck syncs return.
    pub fn heal(&self) {
        self.change(|faults| *faults = Faults::default());
        self.stuck.open();
    }

    /// What is wrong at present.
    pub fn now(&self) -> Faults {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether anything is wrong at present.
    pub fn any(&self) -> bool {
        self.now() != Faults::default() || self.stuck.is_shut()
    }
}

/// A disk with faults over `inner`.
#[derive(Clone)]
pub struct FaultDisk {
    inner: Disk,
    layer: Layer,
}

#[derive(Clone)]
struct Layer {
    faults: DiskFaults,
    draw: Draw,
    gate: Gate,
    trace: Trace,
}

impl FaultDisk {
    /// Puts `faults` over `inner`; `gate` is shut while the process is paused.
    pub fn new(inner: Disk, faults: DiskFaults, draw: Draw, gate: Gate, trace: Trace) -> FaultDisk {
        FaultDisk { inner, layer: Layer { faults, draw, gate, trace } }
    }

    /// The handle for a runtime.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }
}

/// Which fault applies to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    /// A write that needs no space.
    Free,
    Sync,
}

impl Layer {
    /// Runs `call` with the latency and the faults of this moment.
    async fn run<T>(&self, call: Call, what: &str, run: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        self.gate.pass().await;
        let faults = self.faults.now();
        let latency = if call == Call::Sync { &faults.sync_latency } else { &faults.latency };
        let latency = self.draw.duration(latency);
        // Timers tick in whole milliseconds: less than one is drawn as none or one.
        if latency.as_micros() >= 1000 || self.draw.below(1000) < latency.as_micros() as u64 {
            tokio::time::sleep(latency).await;
        }
        if call == Call::Sync {
            self.faults.stuck.pass().await;
        }
        let result = match self.errno(call) {
            None => run.await,
            Some(errno) => {
                if self.draw.one_in(2) {
                    let _ = run.await;
                }
                self.trace.event("disk", format_args!("{what} fails errno={errno}"));
                Err(io::Error::from_raw_os_error(errno))
            }
        };
        self.gate.pass().await;
        result
    }

    fn errno(&self, call: Call) -> Option<i32> {
        let faults = self.faults.now();
        let fails = match call {
            Call::Read => faults.fail_read,
            Call::Write | Call::Free => faults.fail_write,
            Call::Sync => faults.fail_sync,
        };
        let full = faults.full && call == Call::Write;
        if fails { Some(EIO) } else { full.then_some(ENOSPC) }
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl DiskSource for FaultDisk {
    fn open(&self, path: PathBuf, open: Open) -> BoxFuture<'static, io::Result<Box<dyn FileSource>>> {
        let FaultDisk { inner, layer } = self.clone();
        Box::pin(async move {
            let call = if open.create { Call::Write } else { Call::Read };
            let file = layer.run(call, "open", inner.open(&path, open)).await?;
            let name = path.to_string_lossy().into_owned();
            Ok(Box::new(FaultFile { inner: file, name: name.into(), layer }) as Box<dyn FileSource>)
        })
    }

    fn rename(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        let FaultDisk { inner, layer } = self.clone();
        Box::pin(async move {
            layer.trace.event("disk", format_args!("rename {} {}", from.display(), to.display()));
            layer.run(Call::Free, "rename", inner.rename(&from, &to)).await
        })
    }

    fn remove(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        let FaultDisk { inner, layer } = self.clone();
        Box::pin(async move {
            layer.trace.event("disk", format_args!("remove {}", path.display()));
            layer.run(Call::Free, "remove", inner.remove(&path)).await
        })
    }

    fn remove_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        let FaultDisk { inner, layer } = self.clone();
        Box::pin(async move { layer.run(Call::Free, "remove_all", inner.remove_all(&path)).await })
    }

    fn create_dir_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        let FaultDisk { inner, layer } = self.clone();
        Box::pin(async move { layer.run(Call::Write, "create_dir_all", inner.create_dir_all(&path)).await })
    }

    fn list(&self, path: PathBuf) -> BoxFuture<'static, io::Result<Vec<Entry>>> {
        let FaultDisk { inner, layer } = self.clone();
        Box::pin(async move { layer.run(Call::Read, "list", inner.list(&path)).await })
    }

    fn sync_dir(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        let FaultDisk { inner, layer } = self.clone();
        Box::pin(async move {
            layer.run(Call::Sync, "sync_dir", inner.sync_dir(&path)).await?;
            layer.trace.event("disk", format_args!("sync_dir {}", path.display()));
            Ok(())
        })
    }

    fn free_space(&self, path: PathBuf) -> BoxFuture<'static, io::Result<u64>> {
        let FaultDisk { inner, layer } = self.clone();
        Box::pin(async move {
            let free = layer.run(Call::Read, "free_space", inner.free_space(&path)).await?;
            Ok(if layer.faults.now().full { 0 } else { free })
        })
    }
}

struct FaultFile {
    inner: File,
    name: Arc<str>,
    layer: Layer,
}

impl FileSource for FaultFile {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        Box::pin(async move { layer.run(Call::Read, "read", inner.read_at(offset, len)).await })
    }

    fn write_at(&self, offset: u64, bytes: Bytes) -> BoxFuture<'static, io::Result<()>> {
        let (inner, layer, name) = (self.inner.clone(), self.layer.clone(), Arc::clone(&self.name));
        Box::pin(async move {
            // The bytes themselves are in the digest: ciphertext, nonces and all.
            let hash = u32::from_le_bytes(first_4(&bytes));
            layer.trace.event("disk", format_args!("write {name} {offset}+{} {hash:08x}", bytes.len()));
            layer.run(Call::Write, "write", inner.write_at(offset, bytes)).await
        })
    }

    fn sync(&self) -> BoxFuture<'static, io::Result<()>> {
        let (inner, layer, name) = (self.inner.clone(), self.layer.clone(), Arc::clone(&self.name));
        Box::pin(async move {
            layer.run(Call::Sync, "sync", inner.sync()).await?;
            layer.trace.event("disk", format_args!("sync {name}"));
            Ok(())
        })
    }

    fn len(&self) -> BoxFuture<'static, io::Result<u64>> {
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        Box::pin(async move { layer.run(Call::Read, "len", inner.size()).await })
    }

    fn set_len(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        Box::pin(async move { layer.run(Call::Write, "set_len", inner.set_len(len)).await })
    }

    fn preallocate(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        Box::pin(async move { layer.run(Call::Write, "preallocate", inner.preallocate(len)).await })
    }
}

fn first_4(bytes: &[u8]) -> [u8; 4] {
    use sha2::{Digest, Sha256};
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;
    use std::path::Path;

    fn layered(faults: &DiskFaults) -> Disk {
        let draw = Draw::new(1, "disk");
        FaultDisk::new(MemDisk::new().disk(), faults.clone(), draw, Gate::default(), Trace::default()).disk()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
    }

    #[test]
    fn faults_come_and_go_at_run_time() {
        run(async {
            let faults = DiskFaults::default();
            let disk = layered(&faults);
            let file = disk.open(Path::new("/log"), Open::WRITE).await.unwrap();
            faults.change(|faults| faults.fail_sync = true);
            assert_eq!(file.sync().await.unwrap_err().raw_os_error(), Some(EIO));
            faults.change(|faults| faults.full = true);
            assert_eq!(file.write_at(0, Bytes::from_static(b"x")).await.unwrap_err().raw_os_error(), Some(ENOSPC));
            assert_eq!(disk.free_space(Path::new("/")).await.unwrap(), 0);
            faults.heal();
            file.write_at(0, Bytes::from_static(b"x")).await.unwrap();
            file.sync().await.unwrap();
        });
    }

    #[test]
    fn a_stuck_sync_returns_only_when_released() {
        run(async {
            let faults = DiskFaults::default();
            let file = layered(&faults).open(Path::new("/log"), Open::WRITE).await.unwrap();
            faults.stick_syncs();
            let hour = Duration::from_secs(3600);
            assert!(tokio::time::timeout(hour, file.sync()).await.is_err());
            let syncing = tokio::spawn(async move { file.sync().await });
            tokio::time::sleep(hour).await;
            faults.heal();
            syncing.await.unwrap().unwrap();
        });
    }
}
