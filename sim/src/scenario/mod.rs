//! Scenarios: TOML files in `scenarios/`, each a cluster, a load and a list of steps that disturb them. Times and choices
//! are ranges; the seed draws from them.

mod schema;
mod span;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use schema::parse;

/// A scenario, checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name: that of its file.
    pub name: String,
    /// One sentence: what is disturbed and what must hold.
    pub about: String,
    /// How many nodes.
    pub nodes: usize,
    /// Whether the steps themselves initialise the cluster and start the load.
    pub bare: bool,
    /// The run is given up after this much simulated time.
    pub limit: Duration,
    /// The longest time of a message on a healthy link.
    pub latency_max: Duration,
    /// After so many bytes of log a node takes a snapshot and drops the log before it; none: the seed draws.
    pub log_kept: Option<u64>,
    /// The load.
    pub load: crate::workload::kv::Shape,
    /// The load of tokens, policies, mounts and wrapped answers, if there is one.
    pub access: Option<crate::workload::access::Shape>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One step: a line to name it by, and what it does.
#[derive(Clone, Debug)]
pub struct Step {
    /// The line in the scenario's file.
    pub line: usize,
    /// What it does.
    pub action: Action,
    /// The name under which later steps know the nodes of this one.
    pub bind: Option<String>,
}

/// Which nodes a step means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// All of them.
    All,
    /// The active node; waits for one.
    Leader,
    /// One running node that is not active, drawn.
    Follower,
    /// One running node, drawn.
    Any,
    /// A node by number, from 0.
    Node(usize),
    /// What an earlier step has bound to this name.
    Bound(String),
    /// All but those (`others:a,b`).
    Others(Vec<String>),
    /// One of all but those, drawn (`other:a,b`).
    Other(Vec<String>),
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Lets time pass.
    Wait(Range<Duration>),
    /// Initialises the cluster through the first node.
    Init,
    /// Enters unseal shares at nodes until they are unsealed or hold them pending.
    Unseal(Who),
    /// Mounts KV v2 at `secret/`.
    Mount,
    /// Starts the clients.
    StartLoad,
    /// Stops the clients and waits for their last calls.
    StopLoad,
    /// Kills processes; what they wrote stays.
    Crash(Who),
    /// Starts processes; unless `sealed`, shares are entered as soon as they answer.
    Start {
        /// Which.
        who: Who,
        /// Leave them sealed.
        sealed: bool,
    },
    /// Takes the power of machines: unsynced data is lost.
    PowerCut(Who),
    /// Stops all I/O of processes for a while.
    Pause {
        /// Which.
        who: Who,
        /// For how long.
        span: Range<Duration>,
    },
    /// Cuts what `from` sends to `to`.
    Cut {
        /// Senders.
        from: Who,
        /// Receivers.
        to: Who,
    },
    /// Cuts nodes off from all other nodes, both ways.
    Isolate(Who),
    /// Ends every cut, loss and latency.
    HealLinks,
    /// Message loss and latency on the links of nodes.
    Degrade {
        /// Which.
        who: Who,
        /// Loss a message, in millionths.
        loss_millionths: u64,
        /// The longest time of a message.
        latency_max: Option<Duration>,
    },
    /// Breaks disks.
    Disk {
        /// Which.
        who: Who,
        /// How.
        fault: DiskFault,
    },
    /// Heals disks.
    HealDisk(Who),
    /// Flips bits of a synced byte in a file whose path contains `path`; the node must be down.
    Rot {
        /// Which.
        who: Who,
        /// A part of the path.
        path: String,
    },
    /// Empties the disks of nodes that are down.
    Wipe(Who),
    /// Copies the disks of nodes that are down, under the step's `as`.
    Image(Who),
    /// Puts an image back on the disk of the node that it is of; the node must be down.
    RestoreImage(String),
    /// Gives nodes new addresses, for their next start.
    Readdress(Who),
    /// Seals the cluster by `sys/seal`.
    Seal,
    /// Asks the active node to step down.
    StepDown,
    /// Removes nodes from the cluster.
    RemovePeer(Who),
    /// Waits until one node is active, at most this long (L1).
    WaitActive(Duration),
    /// Waits until a fresh write through a node is acknowledged, at most this long (L1).
    Progress {
        /// Through which.
        who: Who,
        /// At most this long.
        within: Duration,
    },
    /// For this long no node may be active.
    ExpectNoActive(Range<Duration>),
    /// Within this time nodes must be sealed, and no plaintext path of theirs may work.
    ExpectSealed {
        /// Which.
        who: Who,
        /// At most this long.
        within: Duration,
    },
    /// Within this time a node must refuse to take part: it ends by itself or says `refuse`.
    ExpectRefusal {
        /// Which.
        who: Who,
        /// At most this long.
        within: Duration,
    },
    /// Within this time a node must say that it was removed, serve nothing, and be no member.
    ExpectRemoved {
        /// Which.
        who: Who,
        /// At most this long.
        within: Duration,
    },
    /// Only binds nodes to a name.
    Choose(Who),
    /// From now on nodes are out of the cluster: the final phase leaves them dead.
    Abandon(Who),
    /// Steps several times over.
    Repeat {
        /// How often.
        times: Range<u64>,
        /// What.
        steps: Vec<Step>,
    },
}

/// How a disk is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Each sync takes this long.
    SlowSync(Range<Duration>),
    /// Syncs do not return.
    StuckSync,
    /// Syncs fail with EIO.
    FailSync,
    /// Writes fail with EIO.
    FailWrite,
    /// Reads fail with EIO.
    FailRead,
    /// Whatever needs space fails with ENOSPC.
    Full,
}

/// Why a scenario cannot be run: one text with file, line and key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ScenarioError(pub String);

/// Reads the scenario `name`: a path, or the name of a file in `scenarios/` or a folder below it.
///
/// # Errors
/// [`ScenarioError`] if there is none or it is wrong.
pub fn load(name: &str) -> Result<Scenario, ScenarioError> {
    let path = find(name)?;
    let text = std::fs::read_to_string(&path).map_err(|error| ScenarioError(format!("{}: {error}", path.display())))?;
    let scenario = parse(&path.display().to_string(), &text)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if scenario.name != stem {
        return Err(ScenarioError(format!("{}: name: must be that of the file, `{stem}`", path.display())));
    }
    Ok(scenario)
}

/// All scenarios of the folder `scenarios/`, without those below `negative/`, sorted by path.
pub fn all() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&folder(), &mut found);
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "negative"));
    found.sort();
    found
}

fn find(name: &str) -> Result<PathBuf, ScenarioError> {
    let as_path = PathBuf::from(name);
    if as_path.extension().is_some_and(|extension| extension == "toml") {
        return Ok(as_path);
    }
    let mut found = Vec::new();
    collect(&folder(), &mut found);
    let near = found.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name)).cloned();
    near.ok_or_else(|| ScenarioError(format!("no scenario `{name}` in {}; `list` shows them", folder().display())))
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
}

/// `scenarios/` of the present directory, or of the checkout that this was built from.
fn folder() -> PathBuf {
    let here = PathBuf::from("scenarios");
    if here.is_dir() { here } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios") }
}
