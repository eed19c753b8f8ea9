//! Stand-in for the library's `MemDisk` until that is merged: same interface, simple power cuts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use holdfast::runtime::Disk;
use holdfast::runtime::disk::{DiskSource, Entry, FileSource, Open};

/// A disk in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemDisk(Arc<Mutex<Tree>>);

/// What a disk holds.
#[derive(Clone, Default)]
pub struct Image(Tree);

#[derive(Clone, Default)]
struct Tree {
    files: BTreeMap<PathBuf, Arc<Mutex<Data>>>,
    directories: BTreeSet<PathBuf>,
}

#[derive(Clone, Default)]
struct Data {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Bytes),
    Len(u64),
}

impl Data {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(offset, written) => {
                let end = *offset as usize + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset as usize..end].copy_from_slice(written);
            }
            Change::Len(len) => bytes.resize(*len as usize, 0),
        }
    }

    fn change(&mut self, change: Change) {
        Data::apply(&mut self.bytes, &change);
        self.unsynced.push(change);
    }
}

impl MemDisk {
    /// An empty disk.
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// The handle for a runtime.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    fn tree(&self) -> std::sync::MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses power: of each file's unsynced changes a drawn prefix survives, the last one torn.
    pub fn power_cut(&self, choose: &mut dyn FnMut(u64) -> u64) {
        for data in self.tree().files.values() {
            let mut data = data.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = data.synced.clone();
            let kept = choose(data.unsynced.len() as u64 + 1) as usize;
            for change in &data.unsynced[..kept] {
                Data::apply(&mut bytes, change);
            }
            if let Some(Change::Write(offset, written)) = data.unsynced.get(kept) {
                let torn = choose(written.len() as u64) as usize;
                Data::apply(&mut bytes, &Change::Write(*offset, written.slice(..torn)));
            }
            *data = Data { synced: bytes.clone(), bytes, unsynced: Vec::new() };
        }
    }

    /// The process dies; what it wrote stays.
    pub fn crash(&self) {}

    /// A copy of what is on the disk.
    pub fn image(&self) -> Image {
        let tree = self.tree();
        let files = tree.files.iter().map(|(path, data)| {
            let data = data.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (path.clone(), Arc::new(Mutex::new(data)))
        });
        Image(Tree { files: files.collect(), directories: tree.directories.clone() })
    }

    /// Puts `image` in place of what is on the disk.
    pub fn restore(&self, image: &Image) {
        let copy = MemDisk(Arc::new(Mutex::new(image.0.clone()))).image();
        *self.tree() = copy.0;
    }

    /// Empties the disk.
    pub fn wipe(&self) {
        *self.tree() = Tree::default();
    }

    /// Flips the bits of `mask` in the byte at `offset`.
    pub fn rot(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let tree = self.tree();
        let mut data = tree.files.get(path).ok_or(io::ErrorKind::NotFound)?.lock().unwrap_or_else(PoisonError::into_inner);
        for bytes in [0, 1] {
            let bytes = if bytes == 0 { &mut data.bytes } else { &mut data.synced };
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= mask;
            }
        }
        Ok(())
    }
}

fn ready<T: Send + 'static>(result: io::Result<T>) -> BoxFuture<'static, io::Result<T>> {
    Box::pin(std::future::ready(result))
}

impl DiskSource for MemDisk {
    fn open(&self, path: PathBuf, open: Open) -> BoxFuture<'static, io::Result<Box<dyn FileSource>>> {
        let mut tree = self.tree();
        let found = tree.files.get(&path).cloned();
        let data = match found {
            Some(_) if open.exclusive => return ready(Err(io::ErrorKind::AlreadyExists.into())),
            Some(data) => data,
            None if open.create => {
                let data = Arc::<Mutex<Data>>::default();
                tree.files.insert(path, Arc::clone(&data));
                data
            }
            None => return ready(Err(io::ErrorKind::NotFound.into())),
        };
        if open.truncate {
            data.lock().unwrap_or_else(PoisonError::into_inner).change(Change::Len(0));
        }
        ready(Ok(Box::new(MemFile(data)) as Box<dyn FileSource>))
    }

    fn rename(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        let mut tree = self.tree();
        ready(tree.files.remove(&from).ok_or(io::ErrorKind::NotFound.into()).map(|data| drop(tree.files.insert(to, data))))
    }

    fn remove(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        ready(self.tree().files.remove(&path).ok_or(io::ErrorKind::NotFound.into()).map(drop))
    }

    fn remove_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        let mut tree = self.tree();
        tree.files.retain(|name, _| !name.starts_with(&path));
        tree.directories.retain(|name| !name.starts_with(&path));
        ready(Ok(()))
    }

    fn create_dir_all(&self, path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        let mut tree = self.tree();
        tree.directories.extend(path.ancestors().map(Path::to_path_buf));
        ready(Ok(()))
    }

    fn list(&self, path: PathBuf) -> BoxFuture<'static, io::Result<Vec<Entry>>> {
        let tree = self.tree();
        let name = |p: &Path| p.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let files = tree.files.iter().filter(|(p, _)| p.parent() == Some(&path)).map(|(p, data)| {
            let len = data.lock().unwrap_or_else(PoisonError::into_inner).bytes.len() as u64;
            Entry { name: name(p), is_dir: false, len }
        });
        let directories = tree.directories.iter().filter(|p| p.parent() == Some(&path));
        let directories = directories.map(|p| Entry { name: name(p), is_dir: true, len: 0 });
        let mut entries: Vec<Entry> = files.chain(directories).collect();
        entries.sort();
        ready(Ok(entries))
    }

    fn sync_dir(&self, _path: PathBuf) -> BoxFuture<'static, io::Result<()>> {
        ready(Ok(()))
    }

    fn free_space(&self, _path: PathBuf) -> BoxFuture<'static, io::Result<u64>> {
        ready(Ok(1 << 40))
    }
}

struct MemFile(Arc<Mutex<Data>>);

impl MemFile {
    fn with<T: Send + 'static>(&self, f: impl FnOnce(&mut Data) -> io::Result<T>) -> BoxFuture<'static, io::Result<T>> {
        ready(f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl FileSource for MemFile {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        self.with(|data| {
            let found = data.bytes.get(offset as usize..offset as usize + len);
            found.map(Bytes::copy_from_slice).ok_or(io::ErrorKind::UnexpectedEof.into())
        })
    }

    fn write_at(&self, offset: u64, bytes: Bytes) -> BoxFuture<'static, io::Result<()>> {
        self.with(|data| {
            data.change(Change::Write(offset, bytes));
            Ok(())
        })
    }

    fn sync(&self) -> BoxFuture<'static, io::Result<()>> {
        self.with(|data| {
            data.synced = data.bytes.clone();
            data.unsynced.clear();
            Ok(())
        })
    }

    fn len(&self) -> BoxFuture<'static, io::Result<u64>> {
        self.with(|data| Ok(data.bytes.len() as u64))
    }

    fn set_len(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        self.with(|data| {
            data.change(Change::Len(len));
            Ok(())
        })
    }

    fn preallocate(&self, len: u64) -> BoxFuture<'static, io::Result<()>> {
        self.set_len(len)
    }
}
