//! openraft with the real log and state over the transport, on a network in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{Config, SnapshotPolicy};

use super::*;
use crate::raft::command::{Batch, Body, Command, Write};
use crate::raft::log::{self, Log};
use crate::raft::state::{EngineKind, State};
use crate::raft::state_machine::{self, StateMachine};
use crate::raft::transport::raft_server::Served;
use crate::raft::transport::testing::{TestNet, TestNode, enter};
use crate::runtime::raft_rt;

struct Node {
    inner: TestNode,
    raft: openraft::Raft<TypeConfig, StateMachine>,
    state: State,
    served: Served,
}

async fn start(net: &TestNet, root: &std::path::Path, label: &str, seed: u64) -> Node {
    let inner = TestNode::start(net, root, label).await;
    let (transport, runtime) = (&inner.transport, net.runtime());
    if transport.identity().cluster().is_none() {
        enter(transport.identity()).await;
    }
    let log = Log::open(&runtime, &inner.directory.join("log"), log::Options::default()).await.unwrap();
    let log_sync: state_machine::LogSync = {
        let log = log.clone();
        Arc::new(move |index| {
            let log = log.clone();
            Box::pin(async move { log.sync_to(index).await })
        })
    };
    let options = state_machine::Options::new(EngineKind::Memory, inner.id());
    let (machine, state) = StateMachine::open(&runtime, &inner.directory, options, log_sync).await.unwrap();
    let config = Config {
        heartbeat_interval: 100,
        election_timeout_min: 400,
        election_timeout_max: 800,
        enable_pre_vote: Some(true),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    };
    let built =
        openraft::Raft::build(inner.id(), Arc::new(config.validate().unwrap()), transport.network(), log, machine);
    let raft = raft_rt::scope(seed, built).await.unwrap();
    let served = transport.serve_raft(&raft, &inner.directory, EngineKind::Memory);
    raft_rt::scope(seed ^ 1, async { raft.run() }).await;
    Node { inner, raft, state, served }
}

impl Node {
    async fn write(&self, key: &str, length: usize) -> u64 {
        let put = Write::Put { key: key.to_string().into(), value: vec![7; length].into() };
        let command = Command::encode(&Body::Batch(Batch { writes: vec![put], ..Batch::default() }));
        for _ in 0..300 {
            match self.raft.client_write(command.clone()).await {
                Ok(written) => return written.data.index,
                // A leader takes nothing before a quorum has acknowledged it: it was not appended.
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no leader in time")
    }

    fn leader(&self) -> Option<u64> {
        self.raft.metrics().borrow_watched().current_leader
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in time: {what}");
}

/// `count` nodes, the first of which leads.
async fn cluster(net: &TestNet, root: &std::path::Path, count: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    for at in 0..count {
        nodes.push(start(net, root, &format!("n{at}"), at * 10).await);
    }
    let first = &nodes[0];
    first.raft.initialize(BTreeMap::from([(first.inner.id(), first.inner.member())])).await.unwrap();
    until("the first node leads", || first.leader() == Some(first.inner.id())).await;
    // Membership may change once something of this term is committed.
    first.write("first", 1).await;
    for node in &nodes[1..] {
        first.raft.add_learner(node.inner.id(), node.inner.member(), true).await.unwrap();
    }
    let voters: BTreeSet<u64> = nodes.iter().map(|node| node.inner.id()).collect();
    first.raft.change_membership(voters, false).await.unwrap();
    nodes
}

#[tokio::test]
async fn three_nodes_replicate_and_survive_their_leader() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let mut nodes = cluster(&net, directory.path(), 3).await;
    let writes = (0..300).map(|n| {
        let (key, leader) = (format!("key-{n}"), &nodes[0]);
        async move { leader.write(&key, if n % 50 == 0 { 200_000 } else { 100 }).await }
    });
    let last = futures_util::future::join_all(writes).await.into_iter().max().unwrap();
    for node in &nodes {
        until("all have applied", || node.state.applied() >= last).await;
        assert!(node.state.get(b"key-299").await.unwrap().is_some());
    }
    assert!(nodes[1].served.last_append().is_some() && nodes[0].served.last_append().is_none());

    let dead = nodes.remove(0);
    dead.raft.shutdown().await.unwrap();
    dead.inner.transport.shutdown().await;
    let dials = net.dials();
    until("another leads", || nodes.iter().any(|node| node.leader() == Some(node.inner.id()))).await;
    let leader = nodes.iter().position(|node| node.leader() == Some(node.inner.id())).unwrap();
    let last = nodes[leader].write("after", 10).await;
    for node in &nodes {
        until("both have applied", || node.state.applied() >= last).await;
    }
    // The dead one is tried again and again, with pauses.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(net.dials() - dials < 60, "{} dials", net.dials() - dials);
}

#[tokio::test]
async fn leadership_is_handed_over_without_an_election_timeout() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 3).await;
    nodes[0].write("before", 10).await;
    let target = nodes[2].inner.id();
    let began = tokio::time::Instant::now();
    nodes[0].raft.trigger().transfer_leader(target).await.unwrap();
    until("it leads", || nodes.iter().all(|node| node.leader() == Some(target))).await;
    assert!(began.elapsed() < Duration::from_millis(350), "{:?}", began.elapsed());
    nodes[2].write("after", 10).await;
}

#[tokio::test]
async fn a_new_member_gets_a_snapshot_and_the_rest_of_the_log() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 1).await;
    for n in 0..40 {
        nodes[0].write(&format!("key-{n}"), 100_000).await;
    }
    nodes[0].raft.trigger().snapshot().await.unwrap();
    let metrics = nodes[0].raft.metrics();
    until("a snapshot is there", || metrics.borrow_watched().snapshot.is_some()).await;
    let purged = metrics.borrow_watched().snapshot.unwrap().index;
    nodes[0].raft.trigger().purge_log(purged).await.unwrap();
    until("the log is purged", || metrics.borrow_watched().purged.is_some_and(|id| id.index >= purged)).await;
    let last = nodes[0].write("behind", 10).await;

    let late = start(&net, directory.path(), "late", 99).await;
    nodes[0].raft.add_learner(late.inner.id(), late.inner.member(), true).await.unwrap();
    until("it has all", || late.state.applied() >= last).await;
    for key in ["key-0", "key-39", "behind"] {
        assert!(late.state.get(key.as_bytes()).await.unwrap().is_some(), "{key}");
    }
}

#[tokio::test]
async fn lost_bytes_cost_a_connection_not_the_cluster() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 3).await;
    nodes[0].write("before", 10).await;
    for _ in 0..3 {
        // All streams that carry anything now are dead for good.
        net.silence(true);
        tokio::time::sleep(Duration::from_millis(120)).await;
        net.silence(false);
        let began = tokio::time::Instant::now();
        until("somebody leads and commits", || nodes.iter().any(|node| node.leader() == Some(node.inner.id()))).await;
        let leader = nodes.iter().find(|node| node.leader() == Some(node.inner.id())).unwrap();
        tokio::time::timeout(Duration::from_secs(5), leader.write("again", 10)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}
