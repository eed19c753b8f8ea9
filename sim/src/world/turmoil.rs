//! The world: nodes as turmoil hosts, one more host for the load, and the step loop between whose steps the driver's
//! orders (crash, cut, heal) are carried out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use holdfast::runtime::{Clock, Entropy, Network, Offload, Runtime, raft_rt};
use tokio::sync::oneshot;

use super::clock::{EPOCH, SimClock, Skew};
use super::gate::Gate;
use super::host;
use super::net::{Names, SimNetwork};
use super::node::{Node, Status};
use super::offload::SimOffload;
use super::tls::Tls;
use crate::disk::{FaultDisk, MemDisk};
use crate::draw::{Draw, stream_seed};
use crate::fault::damage;
use crate::outcome::Violation;
use crate::trace::TraceLog;
use crate::workload::http::Http;

/// What a world is built from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The seed of everything.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// The run is given up after this much simulated time.
    pub limit: Duration,
    /// The longest time that a message takes on a healthy link.
    pub latency_max: Duration,
    /// After so many bytes of log a node takes a snapshot; none: the seed draws.
    pub log_kept: Option<u64>,
    /// Whether the toy server of [`super::stand_in`] runs on the nodes instead of Holdfast.
    pub stand_in: bool,
}

/// The driver's hands in the world: clones may be used from any task of the load host.
#[derive(Clone)]
pub struct Hands(Arc<Inner>);

struct Inner {
    settings: Settings,
    nodes: Vec<Arc<Node>>,
    names: Names,
    trace: TraceLog,
    tls: Option<Arc<Tls>>,
    orders: Mutex<VecDeque<(Order, oneshot::Sender<()>)>>,
    links: Mutex<Links>,
}

/// What the links shall be like; turmoil's own state is set from it.
#[derive(Clone, Default)]
struct Links {
    /// Directed cuts (from, to), as node numbers; the load host is never cut.
    cut: BTreeSet<(usize, usize)>,
    /// The longest message time of links between nodes, where it differs.
    latency_max: BTreeMap<(usize, usize), Duration>,
    /// Loss per message of links between nodes, in millionths.
    loss_millionths: BTreeMap<(usize, usize), u64>,
}

enum Order {
    Crash(Vec<usize>),
    PowerCut(Vec<usize>),
    Start(usize),
    Links,
}

/// The world, ready to run.
pub struct World {
    sim: turmoil::Sim<'static>,
    hands: Hands,
}

impl World {
    /// Builds a world whose nodes start at once.
    ///
    /// # Errors
    /// A text: the nodes' directories on the real file system, or the certificates.
    pub fn new(settings: Settings, trace: TraceLog) -> Result<World, String> {
        let mut sim = builder(&settings).build();
        let draw = Draw::new(settings.seed, "world");
        let nodes: std::io::Result<Vec<_>> =
            (0..settings.nodes).map(|index| Node::new(index, &draw).map(Arc::new)).collect();
        let nodes = nodes.map_err(|error| error.to_string())?;
        for node in &nodes {
            trace.hide(&node.real_root());
        }
        if settings.seed.is_multiple_of(ROCKS_SHARE) {
            trace.hide_snapshot_bytes();
        }
        let tls = if settings.stand_in { None } else { Some(Arc::new(certificates(&settings, &trace)?)) };
        let (names, orders, links) = Default::default();
        let inner = Inner { nodes, names, trace, tls, orders, links, settings };
        let hands = Hands(Arc::new(inner));
        for node in hands.nodes() {
            hands.0.names.assign(&node.name, address_of(1, node.index));
        }
        hands.0.names.assign(LOAD, IpAddr::from([10, 0, 0, 200]));
        for node in hands.nodes() {
            let (hands, node) = (hands.clone(), Arc::clone(node));
            sim.host(node.name.clone(), move || process(hands.clone(), Arc::clone(&node)));
        }
        Ok(World { sim, hands })
    }

    /// The driver's hands.
    pub fn hands(&self) -> Hands {
        self.hands.clone()
    }

    /// Simulated time since the start.
    pub fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// Runs until `load` is done.
    ///
    /// # Errors
    /// A liveness violation when the limit passes first.
    pub fn run(&mut self, load: impl Future<Output = ()> + 'static) -> Result<(), Violation> {
        self.sim.client(LOAD, async move {
            load.await;
            Ok(())
        });
        self.set_links();
        loop {
            match self.sim.step() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(Violation::liveness("bounded-run", error.to_string())),
            }
            self.hands.0.trace.set_now(self.sim.elapsed());
            self.carry_out_orders();
            self.bury_exited();
        }
    }

    fn carry_out_orders(&mut self) {
        loop {
            let order = self.hands.0.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((order, done)) = order else { return };
            match order {
                Order::Crash(nodes) => {
                    for node in nodes {
                        self.crash(node);
                        self.hands.0.names.set_refusing(&self.hands.nodes()[node].name, true);
                    }
                }
                Order::PowerCut(nodes) => self.power_cut(&nodes),
                Order::Start(node) => self.start(node),
                Order::Links => self.set_links(),
            }
            let _ = done.send(());
        }
    }

    /// A process that ended by itself leaves no task and no socket behind.
    fn bury_exited(&mut self) {
        for node in self.hands.nodes().to_vec() {
            if matches!(node.status(), Status::Exited(_)) && self.sim.is_host_running(node.name.as_str()) {
                self.sim.crash(node.name.as_str());
                self.hands.0.names.set_refusing(&node.name, true);
            }
        }
    }

    /// Kills the process: its tasks end where they stand, its sockets close, what it wrote stays. What it had not synced
    /// is still not synced: a later power cut takes it, even from under the next process.
    fn crash(&mut self, index: usize) {
        let node = Arc::clone(&self.hands.nodes()[index]);
        self.sim.crash(node.name.as_str());
        node.gate.open();
        node.set_status(Status::Down);
    }

    /// Takes the machines' power: nothing leaves them any more, not even the end of a connection, and what was not
    /// synced is lost.
    fn power_cut(&mut self, indexes: &[usize]) {
        let nodes: Vec<_> = indexes.iter().map(|index| Arc::clone(&self.hands.nodes()[*index])).collect();
        for node in &nodes {
            for other in self.hands.hosts().into_iter().filter(|other| *other != node.name) {
                self.sim.partition(node.name.as_str(), other.as_str());
            }
        }
        for node in &nodes {
            self.crash(node.index);
            let draw = Draw::new(self.hands.0.settings.seed, &format!("power-cut {} {}", node.name, node.starts()));
            node.disk.power_cut(&mut |bound| draw.below(bound));
        }
        self.set_links();
    }

    fn start(&mut self, index: usize) {
        let node = Arc::clone(&self.hands.nodes()[index]);
        node.set_status(Status::Running);
        self.hands.0.names.set_refusing(&node.name, false);
        self.sim.bounce(node.name.as_str());
    }

    /// Sets every link to what it shall be.
    fn set_links(&mut self) {
        let links = self.hands.0.links.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let nodes = self.hands.nodes().to_vec();
        let named = links.cut.iter().map(|(a, b)| (nodes[*a].name.clone(), nodes[*b].name.clone()));
        self.hands.0.names.set_cuts(named.collect());
        for a in &nodes {
            self.sim.repair(a.name.as_str(), LOAD);
            for b in nodes.iter().filter(|b| b.index > a.index) {
                let (x, y) = (a.name.as_str(), b.name.as_str());
                let (there, back) = ((a.index, b.index), (b.index, a.index));
                match (links.cut.contains(&there), links.cut.contains(&back)) {
                    (false, false) => self.sim.repair(x, y),
                    (true, true) => self.sim.partition(x, y),
                    (true, false) => {
                        self.sim.repair(x, y);
                        self.sim.partition_oneway(x, y);
                    }
                    (false, true) => {
                        self.sim.repair(x, y);
                        self.sim.partition_oneway(y, x);
                    }
                }
                let latency = links.latency_max.get(&there).copied().unwrap_or(self.hands.0.settings.latency_max);
                self.sim.set_link_max_message_latency(x, y, latency);
                // Turmoil loses a message by a short break of the link that also ends a one-way cut: never both.
                let cut = links.cut.contains(&there) || links.cut.contains(&back);
                let loss = if cut { 0 } else { links.loss_millionths.get(&there).copied().unwrap_or(0) };
                self.sim.set_link_fail_rate(x, y, loss as f64 / 1e6);
            }
        }
    }
}

impl Hands {
    /// The nodes.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.0.nodes
    }

    /// The trace.
    pub fn trace(&self) -> &TraceLog {
        &self.0.trace
    }

    /// What the world was built from.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The present address of a node.
    pub fn address(&self, node: usize) -> IpAddr {
        self.0.names.address(&self.0.nodes[node].name)
    }

    /// A client on the load host.
    pub fn http(&self) -> Http {
        let seed = self.0.settings.seed;
        let runtime = self.runtime(LOAD, 0, SimDisk::None, Gate::default(), Skew::default(), Duration::ZERO, seed);
        Http::new(runtime, self.0.tls.as_ref().map(|tls| Arc::clone(&tls.client)))
    }

    /// Records an event of the world's own.
    pub fn note(&self, text: std::fmt::Arguments<'_>) {
        self.0.trace.event("world", "world", text);
    }

    /// Kills the processes of `nodes`.
    pub async fn crash(&self, nodes: &[usize]) {
        self.note(format_args!("crash {}", self.names_of(nodes)));
        self.order(Order::Crash(nodes.to_vec())).await;
    }

    /// Takes the power of `nodes`.
    pub async fn power_cut(&self, nodes: &[usize]) {
        self.note(format_args!("power-cut {}", self.names_of(nodes)));
        self.order(Order::PowerCut(nodes.to_vec())).await;
    }

    /// Starts the process of `node`, ending the present one first if there is one.
    pub async fn start(&self, node: usize) {
        self.note(format_args!("start {}", self.names_of(&[node])));
        self.order(Order::Start(node)).await;
    }

    /// Gives `node` a new address, for its next start.
    pub fn readdress(&self, node: usize, generation: u8) {
        let address = address_of(generation, node);
        self.note(format_args!("readdress {} {address}", self.names_of(&[node])));
        self.0.names.assign(&self.0.nodes[node].name, address);
    }

    /// Cuts what `from` sends to `to`.
    pub async fn cut(&self, from: &[usize], to: &[usize]) {
        self.note(format_args!("cut {} -> {}", self.names_of(from), self.names_of(to)));
        self.change_links(|links| links.cut.extend(pairs(from, to))).await;
    }

    /// Ends every cut.
    pub async fn heal_cuts(&self) {
        self.note(format_args!("heal cuts"));
        self.change_links(|links| links.cut.clear()).await;
    }

    /// Ends cuts, loss and latency of all links.
    pub async fn heal_links(&self) {
        self.note(format_args!("heal links"));
        self.change_links(|links| *links = Links::default()).await;
    }

    /// Sets loss (in millionths a message) and the longest message time of the links of `nodes`.
    pub async fn degrade(&self, nodes: &[usize], loss_millionths: u64, latency_max: Option<Duration>) {
        self.note(format_args!("degrade {} loss={loss_millionths} latency={latency_max:?}", self.names_of(nodes)));
        let all: Vec<usize> = (0..self.0.nodes.len()).collect();
        self.change_links(|links| {
            for (a, b) in pairs(nodes, &all) {
                let pair = (a.min(b), a.max(b));
                links.loss_millionths.insert(pair, loss_millionths);
                match latency_max {
                    Some(latency) => links.latency_max.insert(pair, latency),
                    None => links.latency_max.remove(&pair),
                };
            }
        })
        .await;
    }

    async fn change_links(&self, change: impl FnOnce(&mut Links)) {
        change(&mut self.0.links.lock().unwrap_or_else(PoisonError::into_inner));
        self.order(Order::Links).await;
    }

    async fn order(&self, order: Order) {
        let (done, carried_out) = oneshot::channel();
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back((order, done));
        let _ = carried_out.await;
    }

    /// The names of `nodes`, for the trace.
    pub fn names_of(&self, nodes: &[usize]) -> String {
        nodes.iter().map(|node| self.0.nodes[*node].name.as_str()).collect::<Vec<_>>().join(",")
    }

    fn hosts(&self) -> Vec<String> {
        self.0.nodes.iter().map(|node| node.name.clone()).chain([LOAD.to_string()]).collect()
    }

    fn runtime(
        &self,
        name: &str,
        start: u64,
        disk: SimDisk<'_>,
        gate: Gate,
        skew: Skew,
        booted: Duration,
        seed: u64,
    ) -> Runtime {
        let trace = self.0.trace.for_node(name);
        let draw = |what: &str| Draw::new(seed, &format!("{what} {name} {start}"));
        let disk = match disk {
            SimDisk::None => MemDisk::new().disk(),
            SimDisk::Of(node) => {
                let faults = node.faults.clone();
                FaultDisk::new(node.disk.disk(), faults, draw("disk"), gate.clone(), trace.clone()).disk()
            }
        };
        let names = self.0.names.clone();
        let net = SimNetwork { host: name.to_string(), names, gate: gate.clone(), trace: trace.clone() };
        Runtime {
            net: Network::new(net),
            disk,
            clock: Clock::new(SimClock::new(self.0.trace.clone(), skew, booted)),
            entropy: Entropy::seeded(stream_seed(seed, &format!("entropy {name} {start}"))),
            offload: Offload::new(SimOffload::new(draw("offload"), gate)),
            trace,
        }
    }
}

enum SimDisk<'a> {
    None,
    Of(&'a Node),
}

/// One process of `node`, from its start until it is killed.
async fn process(hands: Hands, node: Arc<Node>) -> turmoil::Result {
    let before = node.real_dir();
    let start = node.next_start();
    // RocksDB stays open in this process when its node is killed, lock and all: the next one gets the files as they are.
    damage::copy_tree(&before, &node.real_dir())?;
    let seed = hands.0.settings.seed;
    let (gate, skew) = (node.gate.clone(), node.skew.clone());
    let runtime = hands.runtime(&node.name, start, SimDisk::Of(&node), gate, skew, node.booted, seed);
    let trace = runtime.trace.clone();
    trace.event("node", format_args!("start {start}"));
    let sizes = Draw::new(seed, "sizes");
    let (segment_bytes, checkpoint_log_bytes) = (1 << (15 + sizes.below(5)), 1 << (13 + sizes.below(6)));
    let spec = host::Spec {
        label: node.name.clone(),
        address: hands.address(node.index),
        others: (0..hands.nodes().len()).filter(|i| *i != node.index).map(|i| hands.address(i)).collect(),
        disk: node.disk.disk(),
        tls: hands.0.tls.clone(),
        rocks: seed.is_multiple_of(ROCKS_SHARE).then(|| node.real_dir()),
        segment_bytes,
        checkpoint_log_bytes: hands.0.settings.log_kept.unwrap_or(checkpoint_log_bytes),
    };
    let raft_seed = Draw::new(seed, &format!("raft {} {start}", node.name)).bits();
    let said = match raft_rt::scope(raft_seed, host::run(spec, runtime)).await {
        Ok(()) => "stopped".to_string(),
        Err(error) => error,
    };
    trace.event("node", format_args!("exit {said}"));
    node.set_status(Status::Exited(said));
    // The step loop ends what is left of the process; an answer of this future would freeze it instead.
    std::future::pending().await
}

/// Certificates for all addresses that the nodes may get.
fn certificates(settings: &Settings, trace: &TraceLog) -> Result<Tls, String> {
    let generations =
        (1..=ADDRESS_GENERATIONS).flat_map(|generation| (0..settings.nodes).map(move |node| (generation, node)));
    let addresses: Vec<IpAddr> = generations.map(|(generation, node)| address_of(generation, node)).collect();
    let clock = Clock::new(SimClock::new(trace.clone(), Skew::default(), Duration::ZERO));
    Tls::new(settings.seed, &addresses, clock)
}

fn builder(settings: &Settings) -> turmoil::Builder {
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(settings.seed)
        .enable_random_order()
        .tick_duration(TICK)
        .simulation_duration(settings.limit)
        .tcp_capacity(65536)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(settings.latency_max)
        .epoch(UNIX_EPOCH + Duration::from_nanos(EPOCH.0 as u64));
    builder
}

fn address_of(generation: u8, index: usize) -> IpAddr {
    IpAddr::from([10, 0, generation, index as u8 + 1])
}

fn pairs(from: &[usize], to: &[usize]) -> Vec<(usize, usize)> {
    from.iter().flat_map(|a| to.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b).collect()
}

/// How often nodes may change their addresses.
const ADDRESS_GENERATIONS: u8 = 12;
/// One of so many seeds keeps state in RocksDB, the others in memory.
const ROCKS_SHARE: u64 = 8;
/// The turmoil host that clients and driver run on.
const LOAD: &str = "load";
/// How long a step is.
const TICK: Duration = Duration::from_millis(1);
