//! Production's world: the only file that names the operating system's clocks, sockets, files and entropy.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the other side of the seam")]
#![cfg_attr(madsim, allow(deprecated, reason = "compiled there and never used"))]

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use nix::sys::socket::SockaddrStorage;
use tokio::sync::Semaphore;

use super::clock::{ClockSource, UnixTime};
use super::disk::{DiskSource, Entry, FileSource, Lock, Open};
use super::net::{Interface, Listener, ListenerSource, NetworkSource, Peer, Stream};
use super::offload::{Job, Offload, OffloadSource, Pool};
use super::{Clock, Disk, Entropy, Network, Runtime, Trace};

/// Builds production's world.
pub(super) fn runtime() -> Runtime {
    let offload = offload();
    Runtime {
        net: network(),
        disk: Disk::new(RealDisk(offload.clone())),
        clock: Clock::new(RealClock),
        entropy: Entropy::os(fill),
        offload,
        trace: Trace::default(),
    }
}

/// The real pools: blocking threads of the runtime, bounded per kind.
pub fn offload() -> Offload {
    let pool = |size| Arc::new(Semaphore::new(size));
    Offload::new(RealOffload { disk: pool(8), sync: pool(4), state: pool(8), compute: pool(2) })
}

/// The real sockets; compiled for madsim, its simulated ones.
pub fn network() -> Network {
    Network::new(RealNetwork)
}

/// The real file system, for the few parts that need it whatever the world (RocksDB's directories).
pub fn disk(offload: Offload) -> Disk {
    Disk::new(RealDisk(offload))
}

/// Resident and virtual memory of this process in bytes, and its threads. For the figures only; `None` where the system
/// does not tell.
pub fn process() -> Option<(u64, u64, u64)> {
    let memory = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = memory.split(' ').map_while(|word| word.trim().parse::<u64>().ok());
    let (virtual_pages, resident_pages) = (pages.next()?, pages.next()?);
    let threads = fs::read_dir("/proc/self/task").ok()?.count() as u64;
    let page = rustix::param::page_size() as u64;
    Some((resident_pages * page, virtual_pages * page, threads))
}

/// What the system tells of this machine, as it writes it; empty where it does not. For `sys/host-info` only.
#[derive(Clone, Debug, Default)]
pub struct HostTexts {
    /// `/proc/cpuinfo`.
    pub processors: String,
    /// `/proc/stat`.
    pub times: String,
    /// `/proc/meminfo`.
    pub memory: String,
    /// `/etc/os-release`.
    pub release: String,
    /// Host name, kernel's version and the machine's architecture.
    pub names: [String; 3],
    /// Seconds since the machine started.
    pub uptime: u64,
    /// Bytes of the file system of a path: all, free for the server; and its inodes: all, free.
    pub space: [u64; 4],
    /// Processes.
    pub processes: u64,
}

/// Takes from everybody but its owner what they may do with a directory, if it is there.
///
/// # Errors
/// If that cannot be changed by this process.
pub fn keep_to_owner(directory: &Path) -> io::Result<()> {
    let mode = match fs::metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?.permissions().mode(),
    };
    match mode & 0o077 {
        0 => Ok(()),
        _ => fs::set_permissions(directory, fs::Permissions::from_mode(mode & 0o700)),
    }
}

/// Reads [`HostTexts`]; `path` is where the space is looked at. Blocks for as long as the kernel needs.
pub fn host(path: &Path) -> HostTexts {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let names = rustix::system::uname();
    let name = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    let space = rustix::fs::statvfs(path).map_or([0; 4], |stat| {
        [
            stat.f_blocks.saturating_mul(stat.f_frsize),
            stat.f_bavail.saturating_mul(stat.f_frsize),
            stat.f_files,
            stat.f_favail,
        ]
    });
    let is_process = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
    HostTexts {
        processors: text("/proc/cpuinfo"),
        times: text("/proc/stat"),
        memory: text("/proc/meminfo"),
        release: text("/etc/os-release"),
        names: [name(names.nodename()), name(names.release()), name(names.machine())],
        uptime: u64::try_from(uptime).unwrap_or(0),
        space,
        processes: fs::read_dir("/proc").map_or(0, |all| all.flatten().filter(is_process).count() as u64),
    }
}

fn fill(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        match rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(filled) => bytes = &mut bytes[filled..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("the operating system gives no entropy: {errno}"),
        }
    }
}

struct RealClock;

impl ClockSource for RealClock {
    fn now(&self) -> UnixTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        UnixTime(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
    }

    fn boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

struct RealOffload {
    disk: Arc<Semaphore>,
    sync: Arc<Semaphore>,
    state: Arc<Semaphore>,
    compute: Arc<Semaphore>,
}

impl OffloadSource for RealOffload {
    fn run(&self, pool: Pool, job: Job) -> BoxFuture<'static, ()> {
        let semaphore = match pool {
            Pool::Disk => &self.disk,
            Pool::Sync => &self.sync,
            Pool::State => &self.state,
            Pool::Compute => &self.compute,
        };
        let semaphore = Arc::clone(semaphore);
        Box::pin(async move {
            let permit = semaphore.acquire_owned().await;
            let ended = tokio::task::spawn_blocking(move || {
                job();
                drop(permit);
            });
            // A panic of the job reaches the caller through the channel that it never answers. A job that was not run
            // because the process ends is no panic: its caller is about to be dropped, too.
            if ended.await.is_err_and(|error| error.is_cancelled()) {
                std::future::pending::<()>().await;
            }
        })
    }
}

struct RealDisk(Offload);

impl RealDisk {
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<T>> {
        let offload = self.0.clone();
        Box::pin(async move { offload.run(Pool::Disk, work).await })
    }
}

impl DiskSource for RealDisk {
    fn open(&self, path: PathBuf, open: Open) -> BoxFuture<'static, io::Result<Box<dyn FileSource>>> {
        let offload = self.0.clone();
        self.run(move || {
            let file = fs::OpenOptions::new()
                .read(true)
                .write(!open.read_only)
                .create(open.create && !open.exclusive)
                .create_new(open.create && open.exclusive)
                .truncate(open.truncate)
                .mode(0o600)
                .open(&path)?;
            Ok(Box::new(RealFile { file: Arc::new(file), offload }) as Box<dyn FileSource>)
        })
    }

    fn rename(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.run(move || fs::rename(from, to))
    }

    fn remove(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.run(move || fs::remove_file(path))
    }

    fn remove_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.run(move || match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        })
    }

    fn create_dir_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.run(move || {
            if path.is_dir() {
                return Ok(());
            }
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
        })
    }

    fn list(&self, path: PathBuf) -> BoxFuture<'static, io::Result<Vec<Entry>>> {
        self.run(move || {
            let mut entries = Vec::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                let name = entry.file_name().into_string().map_err(|_| io::Error::other("a file name is not UTF-8"))?;
                entries.push(Entry { name, is_dir: metadata.is_dir(), len: metadata.len() });
            }
            entries.sort();
            Ok(entries)
        })
    }

    fn sync_dir(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.run(move || fs::File::open(path)?.sync_all())
    }

    fn lock(&self, path: PathBuf) -> BoxFuture<'static, io::Result<Lock>> {
        self.run(move || {
            let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            file.try_lock()?;
            Ok(Lock::new(file))
        })
    }

    fn free_space(&self, path: PathBuf) -> BoxFuture<'static, io::Result<u64>> {
        self.run(move || {
            let stat = rustix::fs::statvfs(&path)?;
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
        })
    }
}

struct RealFile {
    file: Arc<fs::File>,
    offload: Offload,
}

impl RealFile {
    fn run<T: Send + 'static>(
        &self,
        pool: Pool,
        work: impl FnOnce(&fs::File) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<T>> {
        let (offload, file) = (self.offload.clone(), Arc::clone(&self.file));
        Box::pin(async move { offload.run(pool, move || work(&file)).await })
    }
}

impl FileSource for RealFile {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        self.run(Pool::Disk, move |file| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes.into())
        })
    }

    fn write_at(&self, offset: u64, bytes: Bytes) -> BoxFuture<'static, io::Result<()>> {
        self.run(Pool::Sync, move |file| file.write_all_at(&bytes, offset))
    }

    fn sync(&self) -> BoxFuture<'static, io::Result<()>> {
        self.run(Pool::Sync, |file| file.sync_data())
    }

    fn write_and_sync(&self, offset: u64, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        self.run(Pool::Sync, move |file| {
            file.write_all_at(&bytes, offset)?;
            file.sync_data()
        })
    }

    fn len(&self) -> BoxFuture<'static, io::Result<u64>> {
        self.run(Pool::Disk, |file| Ok(file.metadata()?.len()))
    }

    fn set_len(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        self.run(Pool::Disk, move |file| file.set_len(len))
    }

    fn preallocate(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        self.run(Pool::Disk, move |file| {
            match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len) {
                // Not every file system can reserve; the length alone keeps later syncs free of size changes.
                Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(len),
                result => result.map_err(io::Error::from),
            }
        })
    }
}

struct RealNetwork;

impl NetworkSource for RealNetwork {
    fn connect(&self, address: String) -> BoxFuture<'static, io::Result<Stream>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Stream)
        })
    }

    fn listen(&self, address: String) -> BoxFuture<'static, io::Result<Listener>> {
        Box::pin(async move { Ok(Listener::new(RealTcpListener(tokio::net::TcpListener::bind(address).await?))) })
    }

    fn listen_unix(&self, path: &Path, mode: u32) -> io::Result<Listener> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket"));
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = tokio::net::UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        let inode = fs::metadata(path)?.ino();
        Ok(Listener::new(RealUnixListener { listener, path: path.to_path_buf(), inode }))
    }

    fn connect_unix(&self, path: &Path) -> BoxFuture<'static, io::Result<Stream>> {
        let path = path.to_path_buf();
        Box::pin(async move { Ok(Box::new(tokio::net::UnixStream::connect(path).await?) as Stream) })
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let default = default_interfaces();
        let one = |found: nix::ifaddrs::InterfaceAddress| {
            let ip = |address: &SockaddrStorage| match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
                (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
                _ => None,
            };
            let prefix = match found.netmask.as_ref().and_then(ip) {
                Some(IpAddr::V4(mask)) => mask.to_bits().count_ones(),
                Some(IpAddr::V6(mask)) => mask.to_bits().count_ones(),
                None => 0,
            };
            Some(Interface {
                address: found.address.as_ref().and_then(ip)?,
                prefix: u8::try_from(prefix).unwrap_or(0),
                is_up: found.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP),
                is_default: default.contains(&found.interface_name),
                name: found.interface_name,
            })
        };
        Ok(nix::ifaddrs::getifaddrs()?.filter_map(one).collect())
    }
}

/// The names of the interfaces that a default route leads through, as Linux tells them.
fn default_interfaces() -> Vec<String> {
    let v4 = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let v4 = v4.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let v4 = v4.filter(|words| words.get(1) == Some(&"00000000")).filter_map(|words| words.first().copied());
    let v6 = v6.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let v6 = v6.filter(|words| words.get(1) == Some(&"00")).filter_map(|words| words.last().copied());
    v4.chain(v6).filter(|name| *name != "lo").map(String::from).collect()
}

struct RealTcpListener(tokio::net::TcpListener);

impl ListenerSource for RealTcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Peer)>> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Stream, Peer::Tcp(peer)))
        })
    }

    fn local(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }
}

/// A socket whose file goes with it, unless another one has taken its place.
struct RealUnixListener {
    listener: tokio::net::UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Drop for RealUnixListener {
    fn drop(&mut self) {
        if fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl ListenerSource for RealUnixListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Peer)>> {
        Box::pin(async move {
            let (stream, _) = self.listener.accept().await?;
            Ok((Box::new(stream) as Stream, Peer::Unix))
        })
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }
}
