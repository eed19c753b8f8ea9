//! A disk in memory: what `-dev` and `storage "inmem"` run on, and what simulations put their faults over.
//!
//! It models durability. What was written and not synced (bytes by 512-byte sector, lengths, names in directories) may
//! be lost in a [`MemDisk::power_cut`]; nothing is lost in a [`MemDisk::crash`]. Every call completes at once, and with
//! the same calls and draws the same image results.

mod content;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};

use self::tree::Tree;
use super::disk::{Disk, DiskSource, Entry, FileSource, Open};

/// A disk in memory. Clones share it. Paths begin at its root, whether absolute or not.
#[derive(Clone)]
pub struct MemDisk(Arc<Mutex<World>>);

/// A copy of all files of a [`MemDisk`] at one moment.
#[derive(Clone)]
pub struct Image(Tree);

struct World {
    tree: Tree,
    /// Raised by whatever makes open files stale.
    boot: u64,
    /// How many handles each file has.
    open: BTreeMap<u64, u64>,
}

impl MemDisk {
    /// An empty disk.
    pub fn new() -> MemDisk {
        MemDisk(Arc::new(Mutex::new(World { tree: Tree::new(), boot: 0, open: BTreeMap::new() })))
    }

    /// A handle for a [`super::Runtime`].
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    /// The power fails. `draw(n)` answers a number in `0..n`: each sector and each length that was not synced is kept or
    /// lost, and of the names of each directory that changed without [`DiskSource::sync_dir`] a prefix of the changes
    /// survives. Open files become stale: all their methods fail.
    pub fn power_cut(&self, draw: &mut dyn FnMut(u64) -> u64) {
        let mut world = self.world();
        world.tree.power_cut(draw);
        world.restart();
    }

    /// The process ends: everything written survives, open files become stale.
    pub fn crash(&self) {
        let mut world = self.world();
        world.tree.settle();
        world.restart();
    }

    /// A copy of everything, as written.
    pub fn image(&self) -> Image {
        let mut tree = self.world().tree.clone();
        tree.settle();
        Image(tree)
    }

    /// Puts an earlier copy in the place of everything; open files become stale.
    pub fn restore(&self, image: &Image) {
        let mut world = self.world();
        world.tree = image.0.clone();
        world.restart();
    }

    /// Empties the disk; open files become stale.
    pub fn wipe(&self) {
        self.restore(&Image(Tree::new()));
    }

    /// Silently flips the bits of `mask` in the byte at `offset` of a file.
    ///
    /// # Errors
    /// If there is no such file or byte.
    pub fn rot(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut world = self.world();
        let node = world.tree.find_file(path)?.ok_or(io::ErrorKind::NotFound)?;
        let rotten = world.tree.file(node).is_some_and(|content| content.rot(offset, mask));
        rotten.then_some(()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// All files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.world().tree.paths()
    }

    /// A file's bytes as written; `None` if it is missing.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let mut world = self.world();
        let node = world.tree.find_file(path).ok()??;
        let content = world.tree.file(node)?;
        content.read(0, usize::try_from(content.len()).ok()?).ok()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> BoxFuture<'static, io::Result<T>> {
        Box::pin(ready(work(&mut self.world())))
    }
}

impl World {
    fn restart(&mut self) {
        self.boot += 1;
        self.open.clear();
    }

    fn collect(&mut self) {
        let open: BTreeSet<u64> = self.open.keys().copied().collect();
        self.tree.collect(&open);
    }

    fn open(&mut self, path: &Path, open: Open) -> io::Result<u64> {
        let node = match self.tree.find_file(path)? {
            Some(_) if open.create && open.exclusive => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(node) => node,
            None if open.create && !open.read_only => self.tree.create_file(path)?,
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        if open.truncate
            && let Some(content) = self.tree.file(node)
        {
            content.set_len(0);
        }
        *self.open.entry(node).or_default() += 1;
        Ok(node)
    }
}

impl DiskSource for MemDisk {
    fn open(&self, path: PathBuf, open: Open) -> BoxFuture<'static, io::Result<Box<dyn FileSource>>> {
        let disk = self.clone();
        self.now(|world| {
            let node = world.open(&path, open)?;
            Ok(Box::new(MemFile { disk, node, boot: world.boot, read_only: open.read_only }) as Box<dyn FileSource>)
        })
    }

    fn rename(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.now(|world| world.tree.rename(&from, &to))
    }

    fn remove(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.now(|world| world.tree.remove_file(&path))
    }

    fn remove_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.now(|world| world.tree.remove_all(&path))
    }

    fn create_dir_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.now(|world| world.tree.create_dir_all(&path))
    }

    fn list(&self, path: PathBuf) -> BoxFuture<'static, io::Result<Vec<Entry>>> {
        self.now(|world| {
            let entry = |(name, is_dir, len)| Entry { name, is_dir, len };
            Ok(world.tree.list(&path)?.into_iter().map(entry).collect())
        })
    }

    fn sync_dir(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        self.now(|world| {
            world.tree.sync_dir(&path)?;
            world.collect();
            Ok(())
        })
    }

    fn free_space(&self, _path: PathBuf) -> BoxFuture<'static, io::Result<u64>> {
        Box::pin(ready(Ok(FREE_SPACE)))
    }
}

struct MemFile {
    disk: MemDisk,
    node: u64,
    boot: u64,
    read_only: bool,
}

impl MemFile {
    fn now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut content::Content) -> io::Result<T>,
    ) -> BoxFuture<'static, io::Result<T>> {
        let (boot, node) = (self.boot, self.node);
        self.disk.now(|world| {
            if world.boot != boot {
                return Err(io::Error::other("a file that was opened before the disk was restarted"));
            }
            work(world.tree.file(node).ok_or(io::ErrorKind::NotFound)?)
        })
    }

    fn change(&self, work: impl FnOnce(&mut content::Content) -> io::Result<()>) -> BoxFuture<'static, io::Result<()>> {
        if self.read_only {
            return Box::pin(ready(Err(io::ErrorKind::PermissionDenied.into())));
        }
        self.now(work)
    }
}

impl FileSource for MemFile {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        self.now(|content| content.read(offset, len).map(Bytes::from))
    }

    fn write_at(&self, offset: u64, bytes: Bytes) -> BoxFuture<'static, io::Result<()>> {
        self.change(|content| content.write(offset, &bytes))
    }

    fn sync(&self) -> BoxFuture<'static, io::Result<()>> {
        self.now(|content| {
            content.sync();
            Ok(())
        })
    }

    fn len(&self) -> BoxFuture<'static, io::Result<u64>> {
        self.now(|content| Ok(content.len()))
    }

    fn set_len(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        self.change(|content| {
            content.set_len(len);
            Ok(())
        })
    }

    fn preallocate(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        self.change(|content| {
            content.set_len(len.max(content.len()));
            Ok(())
        })
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        let mut world = self.disk.world();
        if world.boot == self.boot
            && let Some(handles) = world.open.get_mut(&self.node)
        {
            *handles -= 1;
            if *handles == 0 {
                world.open.remove(&self.node);
            }
        }
    }
}

impl Default for MemDisk {
    fn default() -> MemDisk {
        MemDisk::new()
    }
}

impl std::fmt::Debug for MemDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemDisk")
    }
}

/// Bytes that a disk in memory says are free: more than any reserve. Running out is the fault layer's part.
const FREE_SPACE: u64 = 1 << 40;
