//! Checkpoints of state as the snapshots that the transport carries.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::Transport;
use super::network::NetworkFactory;
use super::raft_server::{Served, serve};
use super::snapshot::{Gap, SnapshotSink, SnapshotSource};
use crate::raft::snapshot::{Checkpoint, Manifest, Staging};
use crate::raft::state::EngineKind;
use crate::raft::state_machine::StateMachine;
use crate::raft::types::TypeConfig;
use crate::runtime::Runtime;

impl Transport {
    /// openraft's clients over this transport.
    pub fn network(&self) -> NetworkFactory<Checkpoint> {
        NetworkFactory::new(self)
    }

    /// Hands arriving RPCs to `raft`; snapshots of `engine` are received below `data_dir`.
    pub fn serve_raft(
        &self,
        raft: &openraft::Raft<TypeConfig, StateMachine>,
        data_dir: &Path,
        engine: EngineKind,
    ) -> Served {
        let (runtime, data_dir) = (self.0.runtime.clone(), data_dir.to_path_buf());
        serve(self, raft, Arc::new(Receiver { runtime, data_dir, engine, staging: Mutex::new(None) }))
    }
}

impl SnapshotSource for Checkpoint {
    fn manifest(&self) -> io::Result<Bytes> {
        Ok(Checkpoint::manifest(self).encode())
    }

    fn read_chunk<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> BoxFuture<'a, io::Result<Bytes>> {
        Box::pin(Checkpoint::read_chunk(self, file, offset, length))
    }
}

struct Receiver {
    runtime: Runtime,
    data_dir: PathBuf,
    engine: EngineKind,
    staging: Mutex<Option<Staging>>,
}

impl SnapshotSink<Checkpoint> for Receiver {
    fn begin(&self, manifest: Bytes) -> BoxFuture<'_, io::Result<Vec<Gap>>> {
        Box::pin(async move {
            let manifest = Manifest::decode(&manifest).map_err(io::Error::other)?;
            // Another engine's files could never be installed, and finding out then would stop this node.
            if manifest.engine != self.engine {
                return Err(io::Error::other("the snapshot is of another storage engine"));
            }
            let mut staging = self.staging.lock().await;
            let begun = Staging::begin(&self.runtime, &self.data_dir, manifest).await.map_err(io::Error::other)?;
            let length = |file: &str| begun.manifest().files.iter().find(|entry| entry.name == file);
            let gap = |(file, from): (String, u64)| length(&file).map(|entry| Gap { from, to: entry.len, file });
            let gaps = begun.missing().into_iter().filter_map(gap).collect();
            *staging = Some(begun);
            Ok(gaps)
        })
    }

    fn write_chunk(&self, file: String, offset: u64, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let mut staging = self.staging.lock().await;
            let staging = staging.as_mut().ok_or_else(not_begun)?;
            staging.write_chunk(&file, offset, bytes).await.map_err(io::Error::other)
        })
    }

    fn finish(&self) -> BoxFuture<'_, io::Result<Checkpoint>> {
        Box::pin(async move {
            let staging = self.staging.lock().await.take().ok_or_else(not_begun)?;
            staging.finish().await.map_err(io::Error::other)
        })
    }
}

fn not_begun() -> io::Error {
    io::Error::other("no snapshot is being received: begin again")
}
