//! Damage to what is on a disk, done while the node is down: rot, an emptied disk, an older copy put back.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Image;
use crate::draw::Draw;
use crate::world::node::Node;

/// A copy of all that a node keeps: its simulated disk and its directory on the real file system.
pub struct Copy {
    /// Which node's.
    pub node: usize,
    disk: Image,
    real: tempfile::TempDir,
}

/// Copies what `node` keeps.
///
/// # Errors
/// An I/O error of the real file system.
pub fn image(node: &Node) -> io::Result<Copy> {
    let real = tempfile::tempdir()?;
    copy_tree(&node.real_dir(), real.path())?;
    Ok(Copy { node: node.index, disk: node.disk.image(), real })
}

/// Puts an older copy back.
///
/// # Errors
/// An I/O error of the real file system.
pub fn restore(node: &Node, copy: &Copy) -> io::Result<()> {
    empty(&node.real_dir())?;
    copy_tree(copy.real.path(), &node.real_dir())?;
    node.disk.restore(&copy.disk);
    Ok(())
}

/// Empties all that `node` keeps.
///
/// # Errors
/// An I/O error of the real file system.
pub fn wipe(node: &Node) -> io::Result<()> {
    node.disk.wipe();
    empty(&node.real_dir())
}

/// Flips one to three bits of one synced byte in a drawn file whose path contains `part`; says where. The newest bytes
/// are spared (see [`NEWEST`]), and so are zeros: files are preallocated and padded with them, and nothing depends on them.
///
/// # Errors
/// `NotFound` if there is no such byte.
pub fn rot(node: &Node, part: &str, draw: &Draw) -> io::Result<String> {
    let paths = node.disk.paths().into_iter().filter(|path| path.to_string_lossy().contains(part));
    let mut files: Vec<(PathBuf, Vec<u64>)> = paths
        .map(|path| {
            let bytes = node.disk.bytes(&path).unwrap_or_default();
            let written = (0..).zip(bytes).filter(|(_, byte)| *byte != 0).map(|(at, _)| at).collect();
            (path, written)
        })
        .collect();
    // From the newest file back.
    let mut spared = 0;
    for (_, written) in files.iter_mut().rev() {
        let end = written.last().map_or(0, |last| last + 1);
        written.retain(|at| spared + end - at > NEWEST);
        spared += end;
    }
    files.retain(|(_, written)| !written.is_empty());
    if files.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no byte to rot in a file with `{part}` in its path"),
        ));
    }
    let (path, written) = &files[draw.index(files.len())];
    let offset = written[draw.index(written.len())];
    let mask = (0..=draw.below(3)).fold(0, |mask, _| mask | 1 << draw.below(8));
    node.disk.rot(path, offset, mask)?;
    Ok(format!("{}:{offset} mask={mask:08b}", path.display()))
}

/// So many bytes at the end of a log are never rotted. The last group is marked as synced only by the one after it: until
/// then nothing tells its rot from a torn write.
const NEWEST: u64 = 8192;

fn empty(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Copies a folder and all below it, but RocksDB's lock; fine if there is none.
///
/// # Errors
/// An I/O error of the real file system.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    let entries = match std::fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            copy_tree(&path, &to.join(name))?;
        } else if name != "LOCK" {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
