//! State, apply and snapshots on both engines, over a real directory.

mod apply;
mod model;
mod restart;
mod snapshots;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{EntryPayload, Membership};

use super::{EngineKind, OpenError, State};
use crate::raft::command::{Applied, Batch, Body, Command, Outcome, Write};
use crate::raft::snapshot::Checkpoint;
use crate::raft::state_machine::{LogSync, Options, StateMachine};
use crate::raft::types::{Entry, LogId, Member};
use crate::runtime::Runtime;

const BOTH: [EngineKind; 2] = [EngineKind::Rocks, EngineKind::Memory];
const DONE: Outcome = Outcome::Done { more: false };

/// One node's state, with a log that is as durable as it was last asked to be.
struct Node {
    directory: tempfile::TempDir,
    runtime: Runtime,
    options: Options,
    log: Vec<Entry>,
    synced: Arc<AtomicU64>,
    log_fails: Arc<AtomicBool>,
    machine: Option<StateMachine>,
    state: Option<State>,
}

impl Node {
    async fn new(kind: EngineKind) -> Node {
        let options = Options { background_flush: false, ..Options::new(kind, 1) };
        let mut node = Node {
            directory: tempfile::tempdir().unwrap(),
            runtime: Runtime::real(),
            options,
            log: Vec::new(),
            synced: Arc::default(),
            log_fails: Arc::default(),
            machine: None,
            state: None,
        };
        node.open().await.unwrap();
        // Index 0 is never a write: openraft puts the first membership there.
        node.apply(vec![EntryPayload::Blank]).await;
        node
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn open(&mut self) -> Result<(), OpenError> {
        let (synced, fails) = (Arc::clone(&self.synced), Arc::clone(&self.log_fails));
        let log_sync: LogSync = Arc::new(move |index| {
            let (synced, fails) = (Arc::clone(&synced), Arc::clone(&fails));
            Box::pin(async move {
                if fails.load(Ordering::Relaxed) {
                    return Err(std::io::Error::other("the log's disk is gone"));
                }
                synced.fetch_max(index, Ordering::Relaxed);
                Ok(())
            })
        });
        let opened = StateMachine::open(&self.runtime, self.path(), self.options.clone(), log_sync).await?;
        (self.machine, self.state) = (Some(opened.0), Some(opened.1));
        Ok(())
    }

    fn close(&mut self) {
        (self.machine, self.state) = (None, None);
    }

    fn machine(&mut self) -> &mut StateMachine {
        self.machine.as_mut().unwrap()
    }

    fn state(&self) -> &State {
        self.state.as_ref().unwrap()
    }

    /// Appends and applies payloads in one go.
    async fn apply(&mut self, payloads: Vec<EntryPayload<Command, u64, Member>>) -> Vec<Applied> {
        let first = self.log.len() as u64;
        let entries: Vec<Entry> = payloads
            .into_iter()
            .zip(first..)
            .map(|(payload, index)| Entry { log_id: log_id(index), payload })
            .collect();
        self.log.extend(entries.iter().cloned());
        self.machine().apply_entries(entries).await.unwrap()
    }

    async fn run(&mut self, body: Body) -> Outcome {
        self.apply(vec![EntryPayload::Normal(Command::encode(&body))]).await.remove(0).outcome
    }

    async fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome {
        self.run(Body::Batch(Batch { writes: vec![put(key, value)], ..Batch::default() })).await
    }

    /// A power cut and a new start, up to replaying the log. The log must hold all that the state has.
    async fn crash(&mut self) {
        self.close();
        self.open().await.unwrap();
        let applied = self.state().applied();
        assert!(applied <= self.synced.load(Ordering::Relaxed), "state is ahead of the log");
        let next = self.machine().applied_state().await.unwrap().0.map_or(0, |id| id.index + 1);
        let rest: Vec<Entry> = self.log[next as usize..].to_vec();
        let stream = futures_util::stream::iter(rest.into_iter().map(|entry| Ok((entry, None))));
        RaftStateMachine::apply(self.machine(), stream).await.unwrap();
    }

    async fn snapshot(&mut self) -> Checkpoint {
        let mut builder = self.machine().try_create_snapshot_builder(true).await.unwrap();
        builder.build_snapshot().await.unwrap().snapshot
    }

    async fn install(&mut self, checkpoint: Checkpoint) -> std::io::Result<()> {
        let meta = checkpoint.manifest().snapshot_meta();
        self.machine().install_snapshot(&meta, checkpoint).await
    }

    async fn everything(&self) -> Vec<super::Pair> {
        self.state().scan(&[], &[0xff; 8], usize::MAX).await.unwrap()
    }
}

fn log_id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(TERM), index)
}

fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put { key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value) }
}

fn membership(voter: u64) -> EntryPayload<Command, u64, Member> {
    let voters = vec![[voter].into()];
    EntryPayload::Membership(
        Membership::new(voters, [(voter, Member::default())].into_iter().collect::<std::collections::BTreeMap<_, _>>())
            .unwrap(),
    )
}

const TERM: u64 = 3;
