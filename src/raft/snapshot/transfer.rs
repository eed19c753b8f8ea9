//! Checkpoints as the transport sends and receives them.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::{Checkpoint, Manifest, Staging};
use crate::raft::state::State;
use crate::raft::transport::snapshot::{Gap, SnapshotSink, SnapshotSource};
use crate::runtime::Runtime;

impl SnapshotSource for Checkpoint {
    fn manifest(&self) -> io::Result<Bytes> {
        Ok(Checkpoint::manifest(self).encode())
    }

    fn read_chunk<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> BoxFuture<'a, io::Result<Bytes>> {
        Box::pin(Checkpoint::read_chunk(self, file, offset, length))
    }
}

/// Receives checkpoints into a data directory.
pub struct Receiver {
    runtime: Runtime,
    data_dir: PathBuf,
    state: State,
    /// The transfer under way. The lock is fair: chunks are written in the order in which they came.
    staging: Mutex<Option<Staging>>,
}

impl Receiver {
    /// A receiver for the node whose state this is.
    pub fn new(runtime: Runtime, data_dir: PathBuf, state: State) -> Receiver {
        Receiver { runtime, data_dir, state, staging: Mutex::new(None) }
    }
}

impl SnapshotSink<Checkpoint> for Receiver {
    fn begin(&self, manifest: Bytes) -> BoxFuture<'_, io::Result<Vec<Gap>>> {
        Box::pin(async move {
            let mut staging = self.staging.lock().await;
            let manifest = Manifest::decode(&manifest).map_err(io::Error::other)?;
            // Another engine's files could never be installed, and finding out then would stop this node.
            if manifest.engine != self.state.engine() {
                return Err(io::Error::other("the snapshot is of another storage engine"));
            }
            let begun = Staging::begin(&self.runtime, &self.data_dir, manifest).await.map_err(io::Error::other)?;
            let length = |name: &str| begun.manifest().files.iter().find(|file| file.name == name).map(|file| file.len);
            let missing = begun.missing().into_iter();
            let gaps = missing.map(|(file, from)| Gap { to: length(&file).unwrap_or(from), file, from }).collect();
            *staging = Some(begun);
            Ok(gaps)
        })
    }

    fn write_chunk(&self, file: String, offset: u64, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let mut staging = self.staging.lock().await;
            let staging = staging.as_mut().ok_or_else(|| io::Error::other("no transfer was begun"))?;
            staging.write_chunk(&file, offset, bytes).await.map_err(io::Error::other)
        })
    }

    fn finish(&self) -> BoxFuture<'_, io::Result<Checkpoint>> {
        Box::pin(async move {
            let staging = self.staging.lock().await.take();
            let staging = staging.ok_or_else(|| io::Error::other("no transfer was begun"))?;
            staging.finish().await.map_err(io::Error::other)
        })
    }
}
