//! Snapshots in chunks: the receiver says which chunks it misses, so that a transfer goes on where it broke off, in this
//! process or the next. Memory is bounded by a few chunks on both sides.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::messages::{decode, encode};
use super::mux::CallError;
use super::{Kind, Transport};
use crate::raft::types::{Incarnation, SnapshotMeta, Vote};

/// A snapshot to send: the state machine's snapshot data.
pub trait SnapshotSource: Send + Sync + 'static {
    /// What the snapshot consists of: files, lengths, hashes. It names the chunks and tells one snapshot from another.
    fn manifest(&self) -> BoxFuture<'_, io::Result<Bytes>>;
    /// One chunk, at most [`MAX_CHUNK`] bytes.
    fn read_chunk(&self, chunk: u64) -> BoxFuture<'_, io::Result<Bytes>>;
}

/// Where a snapshot is received. One transfer at a time; a new manifest begins anew.
pub trait SnapshotSink<D>: Send + Sync + 'static {
    /// Begins or resumes the transfer of the snapshot with this manifest; the chunks that are missing, in the order in
    /// which they are wanted.
    fn begin(&self, manifest: Bytes) -> BoxFuture<'_, io::Result<Vec<u64>>>;
    /// Keeps a chunk of the transfer that was begun last, after checking it against the manifest.
    fn write_chunk(&self, chunk: u64, bytes: Bytes) -> BoxFuture<'_, io::Result<()>>;
    /// Checks that nothing is missing and makes it durable; the snapshot data to install.
    fn finish(&self) -> BoxFuture<'_, io::Result<D>>;
}

/// Which transfer a chunk belongs to: the first bytes of the manifest's BLAKE3 hash.
pub(super) type TransferId = [u8; 16];

/// The id of the transfer of a manifest.
pub(super) fn transfer_id(manifest: &[u8]) -> TransferId {
    std::array::from_fn(|at| blake3::hash(manifest).as_bytes()[at])
}

/// Asks which chunks are missing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) vote: Vote,
    pub(super) manifest: Bytes,
}

/// The answer to [`Begin`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Begun {
    Missing(Vec<u64>),
    /// The receiver has seen a higher vote: the sender is no leader any more.
    HigherVote(Vote),
}

/// One chunk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) transfer: TransferId,
    pub(super) chunk: u64,
    pub(super) bytes: Bytes,
}

/// All chunks were sent: install it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finish {
    pub(super) transfer: TransferId,
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
}

/// Why a snapshot was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the snapshot cannot be read: {0}")]
    Read(io::Error),
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Sends what is missing of a snapshot and has it installed; the receiver's vote afterwards.
pub(super) async fn send<D: SnapshotSource>(
    transport: &Transport,
    target: Incarnation,
    vote: Vote,
    meta: SnapshotMeta,
    data: Arc<D>,
    install_deadline: Duration,
) -> Result<Vote, SendError> {
    let manifest = data.manifest().await.map_err(SendError::Read)?;
    let transfer = transfer_id(&manifest);
    let begin = encode(&Begin { vote, manifest });
    let begun = transport.call(target, Kind::SnapshotBegin, begin, CHUNK_DEADLINE).await?;
    let missing = match decode(&begun)? {
        Begun::Missing(missing) => missing,
        Begun::HigherVote(vote) => return Ok(vote),
    };
    let mut sending = futures_util::stream::iter(missing)
        .map(|chunk| {
            let data = Arc::clone(&data);
            async move {
                let bytes = data.read_chunk(chunk).await.map_err(SendError::Read)?;
                let body = encode(&Chunk { transfer, chunk, bytes });
                transport.call(target, Kind::SnapshotChunk, body, CHUNK_DEADLINE).await?;
                Ok::<(), SendError>(())
            }
        })
        .buffered(CHUNKS_IN_FLIGHT);
    while let Some(sent) = sending.next().await {
        sent?;
    }
    drop(sending);
    let finish = encode(&Finish { transfer, vote, meta });
    let answer = transport.call(target, Kind::SnapshotFinish, finish, install_deadline).await?;
    Ok(decode(&answer)?)
}

/// The longest chunk: short enough to share a connection with heartbeats.
pub const MAX_CHUNK: usize = 1 << 20;
/// Chunks on their way at one time.
const CHUNKS_IN_FLIGHT: usize = 4;
/// How long a chunk may take, reading, sending and writing included.
const CHUNK_DEADLINE: Duration = Duration::from_secs(10);
