//! openraft over the transport: the answering side of its RPCs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::Raft;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use openraft::storage::{RaftStateMachine, Snapshot};

use super::messages::{encode, request};
use super::snapshot::{Begin, Begun, Chunk, Finish, SnapshotSink, TransferId, transfer_id};
use super::{Handler, Kind, PeerInfo, Transport};
use crate::raft::types::{TypeConfig, Vote};
use crate::runtime::Clock;

/// What the answering side knows that openraft's metrics do not tell.
#[derive(Clone, Debug, Default)]
pub struct Served(Arc<AtomicU64>);

impl Served {
    /// When the last AppendEntries of a leader was accepted, on boot time; `None` if never in this process. The age of
    /// this tells a follower whether there is a leader: openraft's `current_leader` does not expire.
    pub fn last_append(&self) -> Option<Duration> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn accepted(&self, clock: &Clock) {
        let nanos = u64::try_from(clock.boot().as_nanos()).unwrap_or(u64::MAX).max(1);
        self.0.fetch_max(nanos, Ordering::AcqRel);
    }
}

/// Hands the RPCs that arrive on `transport` to `raft`, and snapshots by way of `sink`.
pub fn serve<SM>(
    transport: &Transport,
    raft: &Raft<TypeConfig, SM>,
    sink: Arc<dyn SnapshotSink<SM::SnapshotData>>,
) -> Served
where
    SM: RaftStateMachine<TypeConfig>,
{
    let served = Served::default();
    for kind in [Kind::Append, Kind::Heartbeat] {
        let (raft, served, clock) = (raft.clone(), served.clone(), transport.0.runtime.clock.clone());
        handle(transport, kind, move |peer, body| {
            let (raft, served, clock) = (raft.clone(), served.clone(), clock.clone());
            async move {
                let append: AppendEntriesRequest<TypeConfig> = request(&body)?;
                is_own(&peer, &append.vote)?;
                let answer = raft.append_entries(append).await.map_err(text)?;
                if !matches!(answer, openraft::raft::AppendEntriesResponse::HigherVote(_)) {
                    served.accepted(&clock);
                }
                Ok(encode(&answer))
            }
        });
    }
    for kind in [Kind::Vote, Kind::PreVote] {
        let raft = raft.clone();
        handle(transport, kind, move |peer, body| {
            let raft = raft.clone();
            async move {
                let ask: VoteRequest<TypeConfig> = request(&body)?;
                is_own(&peer, &ask.vote)?;
                let answer = match kind {
                    Kind::PreVote => raft.pre_vote(ask).await,
                    _ => raft.vote(ask).await,
                };
                Ok(encode(&answer.map_err(text)?))
            }
        });
    }
    let transferred = raft.clone();
    handle(transport, Kind::Transfer, move |peer, body| {
        let raft = transferred.clone();
        async move {
            let transfer: TransferLeaderRequest<TypeConfig> = request(&body)?;
            is_own(&peer, transfer.from_leader())?;
            Ok(encode(&raft.handle_transfer_leader(transfer).await.map_err(text)?))
        }
    });
    serve_snapshots(transport, raft, sink);
    served
}

fn serve_snapshots<SM>(
    transport: &Transport,
    raft: &Raft<TypeConfig, SM>,
    sink: Arc<dyn SnapshotSink<SM::SnapshotData>>,
) where
    SM: RaftStateMachine<TypeConfig>,
{
    let receiving = Arc::new(Receiving { sink, current: Mutex::new(None), installing: tokio::sync::Mutex::new(()) });
    let (begin, metrics) = (Arc::clone(&receiving), raft.metrics());
    handle(transport, Kind::SnapshotBegin, move |peer, body| {
        let (receiving, metrics) = (Arc::clone(&begin), metrics.clone());
        async move {
            let ask: Begin = request(&body)?;
            is_own(&peer, &ask.vote)?;
            let vote = openraft::async_runtime::WatchReceiver::borrow_watched(&metrics).vote;
            if vote > ask.vote {
                return Ok(encode(&Begun::HigherVote(vote)));
            }
            // What is being installed must not be swept away by the next transfer.
            let _idle = receiving.installing.try_lock().map_err(|_| "a snapshot is being installed")?;
            let transfer = transfer_id(&ask.manifest);
            let missing = receiving.sink.begin(ask.manifest).await.map_err(text)?;
            receiving.set(Some(transfer));
            Ok(encode(&Begun::Missing(missing)))
        }
    });
    let chunks = Arc::clone(&receiving);
    handle(transport, Kind::SnapshotChunk, move |_peer, body| {
        let receiving = Arc::clone(&chunks);
        async move {
            let chunk: Chunk = request(&body)?;
            receiving.check(chunk.transfer)?;
            receiving.sink.write_chunk(chunk.file, chunk.offset, chunk.bytes).await.map_err(text)?;
            Ok(Bytes::new())
        }
    });
    let raft = raft.clone();
    handle(transport, Kind::SnapshotFinish, move |peer, body| {
        let (receiving, raft) = (Arc::clone(&receiving), raft.clone());
        async move {
            let finish: Finish = request(&body)?;
            is_own(&peer, &finish.vote)?;
            receiving.check(finish.transfer)?;
            let _installing = receiving.installing.lock().await;
            let snapshot = receiving.sink.finish().await.map_err(text)?;
            receiving.set(None);
            let snapshot = Snapshot { meta: finish.meta, snapshot };
            let installed = raft.install_full_snapshot(finish.vote, snapshot).await.map_err(text)?;
            Ok(encode(&installed.vote))
        }
    });
}

struct Receiving<D> {
    sink: Arc<dyn SnapshotSink<D>>,
    current: Mutex<Option<TransferId>>,
    installing: tokio::sync::Mutex<()>,
}

impl<D> Receiving<D> {
    fn set(&self, transfer: Option<TransferId>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = transfer;
    }

    fn check(&self, transfer: TransferId) -> Result<(), String> {
        let current = *self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current == Some(transfer) {
            true => Ok(()),
            false => Err("another snapshot is being received: begin again".into()),
        }
    }
}

/// A node speaks only with its own vote: no member can act as another.
fn is_own(peer: &PeerInfo, vote: &Vote) -> Result<(), String> {
    match vote.leader_id.voted_for == peer.incarnation {
        true => Ok(()),
        false => Err("this vote is another node's".into()),
    }
}

fn handle<F>(transport: &Transport, kind: Kind, handler: impl Fn(PeerInfo, Bytes) -> F + Send + Sync + 'static)
where
    F: Future<Output = Result<Bytes, String>> + Send + 'static,
{
    let handler: Handler = Arc::new(move |peer, body| -> BoxFuture<'static, _> { Box::pin(handler(peer, body)) });
    transport.register(kind, handler);
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
