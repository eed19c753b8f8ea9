//! Where a log ended when it was closed. Groups behind the last mark look like a torn write when they go bad, and like
//! nothing at all when they turn to zeros: after an orderly end this file says that they were there. It is never removed:
//! positions only grow, so an old one is a lower bound.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::raft::node_file;
use crate::runtime::Disk;

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Which log.
    pub(super) log: u64,
    /// The position behind the last group that holds more than a mark.
    pub(super) position: u64,
}

impl End {
    /// Makes it durable.
    pub(super) async fn write(&self, disk: &Disk, dir: &Path) -> io::Result<()> {
        disk.replace(&path(dir), node_file::encode(MAGIC, self)).await
    }

    /// The end of the log in `dir`, if it was ever closed. A damaged file is left aside: it only bears witness.
    pub(super) async fn read(disk: &Disk, dir: &Path) -> io::Result<Option<End>> {
        let path = path(dir);
        let Some(bytes) = disk.read_if_exists(&path).await? else { return Ok(None) };
        let end = node_file::decode(MAGIC, &bytes);
        Ok(end.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "not used")).ok())
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("end")
}

const MAGIC: &[u8; 4] = b"HFLE";
