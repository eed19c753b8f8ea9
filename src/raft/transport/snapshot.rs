//! Snapshots in chunks: the receiver says what it misses, so that a transfer goes on where it broke off, in this
//! process or the next. Memory is bounded by a few chunks on both sides.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::messages::{decode, encode};
use super::mux::{CallError, Pending};
use super::{Kind, Transport};
use crate::raft::types::{Incarnation, SnapshotMeta, Vote};

/// A snapshot to send: the state machine's snapshot data.
pub trait SnapshotSource: Send + Sync + 'static {
    /// What the snapshot consists of: files, lengths, hashes. It tells one snapshot from another.
    ///
    /// # Errors
    /// If it cannot be read.
    fn manifest(&self) -> io::Result<Bytes>;
    /// At most `length` bytes (at most [`MAX_CHUNK`]) of a file at `offset`, fewer only at its end.
    fn read_chunk<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> BoxFuture<'a, io::Result<Bytes>>;
}

/// Where a snapshot is received. One transfer at a time; a new manifest begins anew.
pub trait SnapshotSink<D>: Send + Sync + 'static {
    /// Begins or resumes the transfer of the snapshot with this manifest; what is missing.
    fn begin(&self, manifest: Bytes) -> BoxFuture<'_, io::Result<Vec<Gap>>>;
    /// Keeps a chunk of the transfer that was begun last. Calls are polled in the order in which the chunks were sent,
    /// each file's without gaps, but the next may begin before the last has ended: hold a lock that is fair.
    fn write_chunk(&self, file: String, offset: u64, bytes: Bytes) -> BoxFuture<'_, io::Result<()>>;
    /// Checks that nothing is missing or damaged and makes it durable; the snapshot data to install. What was damaged is
    /// missing again at the next `begin`.
    fn finish(&self) -> BoxFuture<'_, io::Result<D>>;
}

/// A part of a file that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The file, as the manifest names it.
    pub file: String,
    /// The first byte that is missing.
    pub from: u64,
    /// The file's length.
    pub to: u64,
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
    Missing(Vec<Gap>),
    /// The receiver has seen a higher vote: the sender is no leader any more.
    HigherVote(Vote),
}

/// One chunk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) transfer: TransferId,
    pub(super) file: String,
    pub(super) offset: u64,
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
    data: &D,
    install_deadline: Duration,
) -> Result<Vote, SendError> {
    let manifest = data.manifest().map_err(SendError::Read)?;
    let transfer = transfer_id(&manifest);
    let begin = encode(&Begin { vote, manifest });
    let begun = transport.call(target, Kind::SnapshotBegin, begin, CHUNK_DEADLINE).await?;
    let missing = match decode(&begun)? {
        Begun::Missing(missing) => missing,
        Begun::HigherVote(vote) => return Ok(vote),
    };
    // One connection for all chunks, since they are written in the order in which they are sent.
    let mux = transport.connection(target, transport.config().handshake).await?;
    let mut sent: VecDeque<Pending> = VecDeque::new();
    for Gap { file, from, to } in missing {
        let mut offset = from;
        while offset < to {
            let bytes = data.read_chunk(&file, offset, MAX_CHUNK).await.map_err(SendError::Read)?;
            if bytes.is_empty() {
                return Err(SendError::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            let next = offset + bytes.len() as u64;
            let chunk = encode(&Chunk { transfer, file: file.clone(), offset, bytes });
            sent.push_back(mux.start(Kind::SnapshotChunk, chunk).await?);
            offset = next;
            if sent.len() >= CHUNKS_IN_FLIGHT
                && let Some(first) = sent.pop_front()
            {
                first.wait(CHUNK_DEADLINE).await?;
            }
        }
    }
    for pending in sent {
        pending.wait(CHUNK_DEADLINE).await?;
    }
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
