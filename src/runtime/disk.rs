//! Files. Every method is async and may take arbitrarily long: a slow or stuck disk is a fault to simulate.
//!
//! Durability: [`File::sync`] makes a file's bytes durable, not its name; a new, renamed or removed name is durable
//! after [`Disk::sync_dir`] of its directory (and of the parent, for a new directory). Files are created with mode 0600
//! and directories with 0700 whatever the umask.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// How [`Disk::open`] opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Create the file if it is missing.
    pub create: bool,
    /// Fail if the file exists (with `create`).
    pub exclusive: bool,
    /// Cut it to length zero.
    pub truncate: bool,
    /// Open for reading only.
    pub read_only: bool,
}

impl Open {
    /// For reading only; the file must exist.
    pub const READ: Open = Open { create: false, exclusive: false, truncate: false, read_only: true };
    /// For reading and writing; created if missing.
    pub const WRITE: Open = Open { create: true, exclusive: false, truncate: false, read_only: false };
    /// A new file for reading and writing; an error if it exists.
    pub const NEW: Open = Open { create: true, exclusive: true, truncate: false, read_only: false };
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes, for a file.
    pub len: u64,
}

/// What a world has to offer as a disk. Paths are absolute or relative to the process.
pub trait DiskSource: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: PathBuf, open: Open) -> BoxFuture<'static, io::Result<Box<dyn FileSource>>>;
    /// Renames a file or directory, replacing a file.
    fn rename(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'static, io::Result<()>>;
    /// Removes a file.
    fn remove(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>>;
    /// Removes a directory and all below; fine if missing.
    fn remove_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>>;
    /// Creates a directory and its parents, 0700.
    fn create_dir_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>>;
    /// Names in a directory, sorted.
    fn list(&self, path: PathBuf) -> BoxFuture<'static, io::Result<Vec<Entry>>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>>;
    /// Keeps other processes from locking the same file, which is made if it is missing, until the lock is dropped;
    /// `WouldBlock` if one has. A world without other processes has nothing to keep out.
    fn lock(&self, path: PathBuf) -> BoxFuture<'static, io::Result<Lock>> {
        let _ = path;
        Box::pin(async { Ok(Lock::new(())) })
    }
    /// Bytes free for this process.
    fn free_space(&self, path: PathBuf) -> BoxFuture<'static, io::Result<u64>>;
}

/// A lock on a file, held until it is dropped.
pub struct Lock {
    _guard: Box<dyn Send + Sync>,
}

impl Lock {
    /// A lock that `guard` gives back when it is dropped.
    pub fn new(guard: impl Send + Sync + 'static) -> Lock {
        Lock { _guard: Box::new(guard) }
    }
}

/// What a world has to offer as an open file.
#[allow(clippy::len_without_is_empty, reason = "a length is a question to the disk, asked once")]
pub trait FileSource: Send + Sync + 'static {
    /// Reads exactly `len` bytes at `offset`; `UnexpectedEof` if the file is shorter.
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>>;
    /// Writes all bytes at `offset`.
    fn write_at(&self, offset: u64, bytes: Bytes) -> BoxFuture<'static, io::Result<()>>;
    /// Makes the file's bytes and length durable (fdatasync).
    fn sync(&self) -> BoxFuture<'static, io::Result<()>>;
    /// [`FileSource::write_at`] and [`FileSource::sync`], one behind the other; as one job where that is cheaper.
    fn write_and_sync(&self, offset: u64, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.write_at(offset, bytes).await?;
            self.sync().await
        })
    }
    /// The file's length in bytes.
    fn len(&self) -> BoxFuture<'static, io::Result<u64>>;
    /// Cuts or extends (with zeros) to `len`.
    fn set_len(&self, len: u64) -> BoxFuture<'static, io::Result<()>>;
    /// Reserves space up to `len` and sets the length, so that later writes need no metadata.
    fn preallocate(&self, len: u64) -> BoxFuture<'static, io::Result<()>>;
}

/// An open file.
#[derive(Clone)]
pub struct File(Arc<dyn FileSource>);

impl File {
    /// Wraps a source.
    pub fn new(source: Box<dyn FileSource>) -> File {
        File(Arc::from(source))
    }

    /// Reads exactly `len` bytes at `offset`.
    pub async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.0.read_at(offset, len).await
    }

    /// Writes all bytes at `offset`.
    pub async fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        self.0.write_at(offset, bytes).await
    }

    /// Makes the file's bytes and length durable (fdatasync). After an error the file's state is unknown: never retry.
    pub async fn sync(&self) -> io::Result<()> {
        self.0.sync().await
    }

    /// Writes all bytes at `offset` and makes the file durable. After an error its state is unknown: never retry.
    pub async fn write_and_sync(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        self.0.write_and_sync(offset, bytes).await
    }

    /// The file's length in bytes.
    pub async fn size(&self) -> io::Result<u64> {
        self.0.len().await
    }

    /// Cuts or extends (with zeros) to `len`.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len).await
    }

    /// Reserves space up to `len` and sets the length.
    pub async fn preallocate(&self, len: u64) -> io::Result<()> {
        self.0.preallocate(len).await
    }
}

/// A handle to the node's disk.
#[derive(Clone)]
pub struct Disk(Arc<dyn DiskSource>);

impl Disk {
    /// Wraps a source.
    pub fn new(source: impl DiskSource) -> Disk {
        Disk(Arc::new(source))
    }

    /// Opens a file.
    pub async fn open(&self, path: &Path, open: Open) -> io::Result<File> {
        Ok(File::new(self.0.open(path.to_path_buf(), open).await?))
    }

    /// Reads a whole file.
    pub async fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = self.open(path, Open::READ).await?;
        let len = file.size().await?;
        file.read_at(0, usize::try_from(len).map_err(io::Error::other)?).await
    }

    /// Reads a whole file; `None` if it is missing.
    pub async fn read_if_exists(&self, path: &Path) -> io::Result<Option<Bytes>> {
        match self.read(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file atomically and durably: a temporary name, sync, rename, sync of the directory. After a crash the
    /// file holds the old bytes or the new ones.
    pub async fn replace(&self, path: &Path, bytes: Bytes) -> io::Result<()> {
        let directory = match path.parent().ok_or_else(|| io::Error::other("a file without a directory"))? {
            here if here.as_os_str().is_empty() => Path::new("."),
            directory => directory,
        };
        let mut temporary = path.as_os_str().to_os_string();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let file = self.open(&temporary, Open { create: true, truncate: true, ..Open::default() }).await?;
        file.write_at(0, bytes).await?;
        file.sync().await?;
        self.rename(&temporary, path).await?;
        self.sync_dir(directory).await
    }

    /// Renames a file or directory, replacing a file.
    pub async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from.to_path_buf(), to.to_path_buf()).await
    }

    /// Keeps other processes from locking the same file, which is made if it is missing, until the lock is dropped.
    ///
    /// # Errors
    /// `WouldBlock` if another process has locked it.
    pub async fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.0.lock(path.to_path_buf()).await
    }

    /// Removes a file.
    pub async fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path.to_path_buf()).await
    }

    /// Removes a directory and all below; fine if missing.
    pub async fn remove_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_all(path.to_path_buf()).await
    }

    /// Creates a directory and its parents, 0700. The caller syncs the parent.
    pub async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path.to_path_buf()).await
    }

    /// Names in a directory, sorted.
    pub async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(path.to_path_buf()).await
    }

    /// Makes the names in a directory durable.
    pub async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path.to_path_buf()).await
    }

    /// Bytes free for this process on the file system of `path`.
    pub async fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.0.free_space(path.to_path_buf()).await
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}
