//! openraft over the transport: the asking side of its RPCs. AppendEntries with entries are pipelined over one
//! connection and answered in order; heartbeats never wait behind them.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::messages::{decode, encode};
use super::mux::{CallError, Mux, Pending};
use super::snapshot::{self, SendError, SnapshotSource};
use super::{Kind, Transport};
use crate::raft::types::{Incarnation, LogId, Member, TypeConfig, Vote};

/// Makes openraft's clients. `D` is the state machine's snapshot data.
pub struct NetworkFactory<D> {
    transport: Transport,
    data: PhantomData<fn() -> D>,
}

impl<D: SnapshotSource> NetworkFactory<D> {
    /// Clients over `transport`.
    pub fn new(transport: &Transport) -> NetworkFactory<D> {
        NetworkFactory { transport: transport.clone(), data: PhantomData }
    }

    fn client(&self, target: Incarnation, kind: Kind) -> Network<D> {
        Network { transport: self.transport.clone(), target, kind, data: PhantomData }
    }
}

impl<D: SnapshotSource> RaftNetworkFactory<TypeConfig> for NetworkFactory<D> {
    type Network = Network<D>;

    async fn new_client(&mut self, target: Incarnation, node: &Member) -> Network<D> {
        // openraft speaks to a new member before anybody has told the transport of it.
        self.transport.facts().members.entry(target).or_insert_with(|| node.clone());
        self.client(target, Kind::Append)
    }

    async fn new_heartbeat_client(&mut self, target: Incarnation, node: &Member) -> Network<D> {
        self.transport.facts().members.entry(target).or_insert_with(|| node.clone());
        self.client(target, Kind::Heartbeat)
    }
}

/// openraft's client for one peer.
pub struct Network<D> {
    transport: Transport,
    target: Incarnation,
    kind: Kind,
    data: PhantomData<fn() -> D>,
}

impl<D: SnapshotSource> Network<D> {
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: Kind,
        action: RPCTypes,
        request: &Q,
        deadline: Duration,
    ) -> Result<A, RPCError<TypeConfig>> {
        let answer = self.transport.call(self.target, kind, encode(request), deadline).await;
        answer.and_then(|answer| decode(&answer)).map_err(|error| self.failed(action, deadline, error))
    }

    fn failed(&self, action: RPCTypes, timeout: Duration, error: CallError) -> RPCError<TypeConfig> {
        failed(&self.transport, self.target, action, timeout, error)
    }

    /// How long one AppendEntries may take. Entries wait for the peer's disk; whether the peer is there at all is the
    /// connection's own business.
    fn append_deadline(&self, option: &RPCOption) -> Duration {
        match self.kind {
            Kind::Heartbeat => option.soft_ttl(),
            _ => option.soft_ttl().max(self.transport.config().append_deadline),
        }
    }
}

impl<D: SnapshotSource> RaftNetworkV2<TypeConfig> for Network<D> {
    type SnapshotData = D;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask(self.kind, RPCTypes::AppendEntries, &rpc, self.append_deadline(&option)).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendStream<'s>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let deadline = self.append_deadline(&option);
        let connect = match self.kind {
            Kind::Heartbeat => deadline,
            _ => self.transport.config().handshake,
        };
        let pipeline = Pipeline {
            transport: self.transport.clone(),
            target: self.target,
            kind: self.kind,
            connect,
            deadline,
            mux: None,
            input: Some(input),
            pending: VecDeque::new(),
        };
        let answers = futures_util::stream::unfold(Some(pipeline), |pipeline| async move { pipeline?.next().await });
        Box::pin(std::future::ready(Ok(Box::pin(answers) as AppendStream<'s>)))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask(Kind::Vote, RPCTypes::Vote, &rpc, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask(Kind::PreVote, RPCTypes::Vote, &rpc, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::type_config::alias::SnapshotOf<TypeConfig, D>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let Snapshot { meta, snapshot } = snapshot;
        let deadline = option.soft_ttl().max(INSTALL_DEADLINE);
        let sending = snapshot::send(&self.transport, self.target, vote, meta, &snapshot, deadline);
        let sent = tokio::select! {
            biased;
            closed = cancel => return Err(closed.into()),
            sent = sending => sent,
        };
        match sent {
            Ok(vote) => Ok(SnapshotResponse::new(vote)),
            Err(SendError::Call(error)) => Err(self.failed(RPCTypes::InstallSnapshot, deadline, error).into()),
            // A snapshot that cannot be read is this node's fault, but the next one may be good: not the end of Raft.
            Err(error @ SendError::Read(_)) => Err(Unreachable::from_string(error).into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask(Kind::Transfer, RPCTypes::TransferLeader, &request, option.soft_ttl()).await
    }

    fn backoff(&self) -> Option<Backoff> {
        let pauses = (0u32..).map(|failures| FIRST_PAUSE.saturating_mul(1 << failures.min(4)).min(LONGEST_PAUSE));
        Some(Backoff::new(pauses))
    }
}

type AppendStream<'s> = BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;

/// AppendEntries on their way over one connection, answered in order.
struct Pipeline<S> {
    transport: Transport,
    target: Incarnation,
    kind: Kind,
    connect: Duration,
    deadline: Duration,
    /// Connected with the first request: openraft paces its retries by when it hands that out, so a session that failed
    /// before would be repeated without a pause.
    mux: Option<Mux>,
    input: Option<S>,
    pending: VecDeque<Sent>,
}

/// An AppendEntries that was sent: the log ids before and at its end, and until when it may take.
struct Sent {
    pending: Pending,
    term: u64,
    previous: Option<LogId>,
    last: Option<LogId>,
    until: Instant,
}

type Answered<S> = (Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>, Option<Pipeline<S>>);

impl<S> Pipeline<S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
{
    /// The next answer, sending what there is meanwhile. After an error the pipeline is over.
    async fn next(mut self) -> Option<Answered<S>> {
        loop {
            let room = self.pending.len() < MAX_PIPELINED;
            let answer = tokio::select! {
                biased;
                answer = front(&mut self.pending), if !self.pending.is_empty() => answer,
                request = next(&mut self.input), if room && self.input.is_some() => {
                    match request {
                        None => self.input = None,
                        Some(request) => if let Err(error) = self.send(&request).await {
                            return Some((Err(self.failed(error)), None));
                        },
                    }
                    continue;
                }
                else => return None,
            };
            let sent = self.pending.pop_front()?;
            let result = answer.and_then(|answer| result(&answer, sent.previous, sent.last));
            return Some(match result {
                Ok(Ok(log_id)) => {
                    if let Some(log) = log_id {
                        self.transport.0.book.acknowledged(self.target, sent.term, log);
                    }
                    (Ok(Ok(log_id)), Some(self))
                }
                Ok(Err(refused)) => (Ok(Err(refused)), None),
                Err(error) => (Err(self.failed(error)), None),
            });
        }
    }

    async fn send(&mut self, request: &AppendEntriesRequest<TypeConfig>) -> Result<(), CallError> {
        let previous = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id).or(previous);
        let mux = match &self.mux {
            Some(mux) => mux,
            None => self.mux.insert(self.transport.connection(self.target, self.connect).await?),
        };
        let pending = tokio::time::timeout(self.deadline, mux.start(self.kind, encode(request))).await;
        let pending = pending.map_err(|_| CallError::NotSent("no room on the connection in time".into()))??;
        let (term, until) = (request.vote.leader_id.term, Instant::now() + self.deadline);
        self.pending.push_back(Sent { pending, term, previous, last, until });
        Ok(())
    }

    fn failed(&self, error: CallError) -> RPCError<TypeConfig> {
        failed(&self.transport, self.target, RPCTypes::AppendEntries, self.deadline, error)
    }
}

async fn front(pending: &mut VecDeque<Sent>) -> Result<Bytes, CallError> {
    match pending.front_mut() {
        Some(sent) => sent.pending.answer(sent.until).await,
        None => std::future::pending().await,
    }
}

async fn next<S: Stream + Unpin>(input: &mut Option<S>) -> Option<S::Item> {
    match input {
        Some(input) => input.next().await,
        None => None,
    }
}

fn result(
    answer: &[u8],
    previous: Option<LogId>,
    last: Option<LogId>,
) -> Result<StreamAppendResult<TypeConfig>, CallError> {
    let answer: AppendEntriesResponse<TypeConfig> = decode(answer)?;
    if answer.is_conflict() && previous.is_none() {
        return Err(CallError::Remote("a conflict where there is nothing to conflict with".into()));
    }
    Ok(answer.into_stream_result(previous, last))
}

fn failed(
    transport: &Transport,
    target: Incarnation,
    action: RPCTypes,
    timeout: Duration,
    error: CallError,
) -> RPCError<TypeConfig> {
    match error {
        CallError::NotSent(_) | CallError::Remote(_) => Unreachable::from_string(error).into(),
        CallError::Unknown(reason) if reason == super::mux::TIMED_OUT => {
            let id = transport.identity().incarnation();
            Timeout { action, id, target, timeout }.into()
        }
        CallError::Unknown(_) => NetworkError::from_string(error).into(),
    }
}

/// AppendEntries without an answer at one time.
const MAX_PIPELINED: usize = 32;
/// How long installing a snapshot may take.
const INSTALL_DEADLINE: Duration = Duration::from_secs(120);
/// Pauses after failures.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
