//! The library's `Runtime` over madsim, and the nodes that run on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use holdfast::core::{Core, Error, Request, Response};
use holdfast::runtime::clock::ClockSource;
use holdfast::runtime::mem_disk::MemDisk;
use holdfast::runtime::offload::{Job, OffloadSource, Pool};
use holdfast::runtime::{Clock, Entropy, Offload, Runtime, UnixTime, raft_rt, real};
use holdfast_sim::draw::{Draw, stream_seed};
use holdfast_sim::trace::TraceLog;
use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId;

use super::node::{self, Spec};

/// How many nodes.
pub const NODES: usize = 3;

/// Where the wall clock stands at the start: 2026-01-05T00:00:00Z.
const EPOCH: UnixTime = UnixTime(1_767_571_200_000_000_000);

/// The world. Clones share it.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    seed: u64,
    trace: TraceLog,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    id: NodeId,
    disk: MemDisk,
    skew_ns: i64,
    starts: AtomicU64,
    /// The running process's core.
    core: Mutex<Option<Core>>,
}

impl World {
    /// The machines, with nothing running on them.
    pub fn new(seed: u64, trace: &TraceLog) -> World {
        let draw = Draw::new(seed, "skew");
        let nodes = (0..NODES).map(|index| {
            let name = format!("n{}", index + 1);
            let id = Handle::current().create_node().name(&name).ip([10, 0, 0, index as u8 + 1].into()).build().id();
            let skew_ns = draw.below(400_000_000) as i64 - 200_000_000;
            Node { name, id, disk: MemDisk::new(), skew_ns, starts: AtomicU64::new(0), core: Mutex::new(None) }
        });
        World(Arc::new(Inner { seed, trace: trace.clone(), nodes: nodes.collect() }))
    }

    /// The trace.
    pub fn trace(&self) -> &TraceLog {
        &self.0.trace
    }

    /// A stream of draws.
    pub fn draw(&self, purpose: &str) -> Draw {
        Draw::new(self.0.seed, purpose)
    }

    /// The core of a node that runs.
    pub fn core(&self, node: usize) -> Option<Core> {
        self.0.nodes[node].core.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records an event of the world's own.
    pub fn note(&self, text: std::fmt::Arguments<'_>) {
        self.0.trace.event("world", "world", text);
    }

    /// Starts a process on a machine that has none.
    pub fn start(&self, index: usize) {
        self.note(format_args!("start n{}", index + 1));
        let (world, node) = (self.clone(), &self.0.nodes[index]);
        Handle::current().restart(node.id);
        let machine = Handle::current().get_node(node.id).expect("a machine of this world");
        machine.spawn(async move { world.process(index).await });
    }

    async fn process(&self, index: usize) {
        let node = &self.0.nodes[index];
        let start = node.starts.fetch_add(1, Ordering::Relaxed) + 1;
        let trace = &self.0.trace;
        trace.event(&node.name, "node", format_args!("start {start}"));
        let sizes = self.draw("sizes");
        let spec = Spec {
            label: node.name.clone(),
            address: address(index),
            others: (0..NODES).filter(|other| *other != index).map(address).collect(),
            segment_bytes: 1 << (15 + sizes.below(5)),
            checkpoint_log_bytes: 1 << (13 + sizes.below(6)),
        };
        let raft_seed = self.draw(&format!("raft {} {start}", node.name)).bits();
        match raft_rt::scope(raft_seed, node::start(spec, self.runtime(node, start))).await {
            Ok(core) => *node.core.lock().unwrap_or_else(PoisonError::into_inner) = Some(core),
            Err(error) => trace.event(&node.name, "node", format_args!("exit {error}")),
        }
    }

    fn runtime(&self, node: &Node, start: u64) -> Runtime {
        let stream = |what: &str| format!("{what} {} {start}", node.name);
        Runtime {
            net: real::network(),
            disk: node.disk.disk(),
            clock: Clock::new(MadsimClock { trace: self.0.trace.clone(), skew_ns: node.skew_ns }),
            entropy: Entropy::seeded(stream_seed(self.0.seed, &stream("entropy"))),
            offload: Offload::new(Inline(self.draw(&stream("offload")))),
            trace: self.0.trace.for_node(&node.name),
        }
    }

    /// Kills a process; with `power`, what was not synced is lost as well.
    pub fn kill(&self, index: usize, power: bool) {
        self.note(format_args!("{} n{}", if power { "power-cut" } else { "crash" }, index + 1));
        let node = &self.0.nodes[index];
        Handle::current().kill(node.id);
        *node.core.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match power {
            true => {
                let draw = self.draw(&format!("power {} {}", node.name, node.starts.load(Ordering::Relaxed)));
                node.disk.power_cut(&mut |bound| draw.below(bound));
            }
            false => node.disk.crash(),
        }
    }

    /// Holds back what `from` sends to `to`, or lets it go.
    pub fn clog(&self, from: usize, to: usize, clogged: bool) {
        self.note(format_args!("{} n{} -> n{}", if clogged { "cut" } else { "heal" }, from + 1, to + 1));
        let (net, from, to) = (NetSim::current(), self.0.nodes[from].id, self.0.nodes[to].id);
        if clogged { net.clog_link(from, to) } else { net.unclog_link(from, to) }
    }

    /// Carries out a request on a node, as a task of that node. `None` if there was no answer in `deadline`.
    pub async fn call(&self, node: usize, request: Request, deadline: Duration) -> Option<Result<Response, Error>> {
        let Some(core) = self.core(node) else { return Some(Err(Error::Unavailable("the node is down".into()))) };
        let machine = Handle::current().get_node(self.0.nodes[node].id)?;
        let task = machine.spawn(async move { core.handle(&request).await });
        tokio::time::timeout(deadline, task).await.ok()?.ok()
    }
}

/// Where a node's cluster port is.
fn address(index: usize) -> String {
    format!("10.0.0.{}:8201", index + 1)
}

struct MadsimClock {
    trace: TraceLog,
    skew_ns: i64,
}

impl ClockSource for MadsimClock {
    fn now(&self) -> UnixTime {
        UnixTime(EPOCH.plus(self.trace.now()).0.saturating_add(self.skew_ns))
    }

    fn boot(&self) -> Duration {
        Duration::from_secs(1000) + self.trace.now()
    }
}

/// Blocking work, inline; how many other tasks run before its answer, or how much time passes, is drawn.
struct Inline(Draw);

impl OffloadSource for Inline {
    fn run(&self, pool: Pool, job: Job) -> BoxFuture<'static, ()> {
        let draw = self.0.clone();
        Box::pin(async move {
            job();
            let slow = if pool == Pool::Sync { 8 } else { 64 };
            match draw.one_in(slow) {
                true => tokio::time::sleep(Duration::from_micros(1 + draw.below(4000))).await,
                false => {
                    for _ in 0..=draw.below(3) {
                        tokio::task::yield_now().await;
                    }
                }
            }
        })
    }
}
