//! Brings a node's Raft up: identity, log, state, transport, openraft, in the order in which each needs the other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Raft;
use super::identity::{Identity, IdentityError};
use super::log::{self, Log};
use super::node::{OpenRaft, Options};
use super::observe;
use super::settings;
use super::state::{EngineKind, OpenError};
use super::state_machine::{self, LogSync, StateMachine};
use super::transport::{Event, Kind, Transport, TransportConfig};
use super::types::EndOf;
use crate::runtime::disk::Lock;
use crate::runtime::{Runtime, raft_rt};

/// What a node's Raft is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How it runs.
    pub options: Options,
    /// The operator's `node_id`.
    pub label: String,
    /// `node_key_path`; `node-key` in the data directory by default.
    pub node_key_path: Option<PathBuf>,
    /// Where the cluster listener listens.
    pub listen: String,
    /// Where members reach it, `host:port`.
    pub advertise: String,
    /// How state is kept.
    pub engine: EngineKind,
    /// A directory of the real file system for RocksDB, if the data directory is not one (in simulations).
    pub engine_dir: Option<PathBuf>,
    /// How the log is kept.
    pub log: log::Options,
    /// Whether a large write of state goes on in the background; off in simulations.
    pub background_flush: bool,
    /// The cluster port's bounds and deadlines.
    pub transport: TransportConfig,
}

/// Why a node's Raft did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory belongs to a process that runs.
    #[error("{}: another process uses this data directory; nothing in it was touched", .0.display())]
    InUse(PathBuf),
    /// The data directory cannot be locked.
    #[error("{}: {error}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
    /// The data directory's identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log.
    #[error(transparent)]
    Log(#[from] log::OpenError),
    /// The state.
    #[error(transparent)]
    State(#[from] OpenError),
    /// The cluster listener.
    #[error("cluster listener {address}: {error}")]
    Listen {
        /// Its address.
        address: String,
        /// What the network said.
        error: io::Error,
    },
    /// openraft.
    #[error("raft: {0}")]
    Raft(String),
}

/// Entries that one AppendEntries holds at most.
const APPEND_ENTRIES_MAX: u64 = 256;

impl Raft {
    /// Starts the Raft of a data directory.
    ///
    /// # Errors
    /// See [`StartError`]; each names the file or address.
    pub async fn start(runtime: &Runtime, setup: Setup) -> Result<Raft, StartError> {
        let Setup { options, label, node_key_path, listen, advertise, engine, engine_dir, .. } = setup;
        let Setup { log, background_flush, transport, .. } = setup;
        // Before anything is read: what looks like the torn end of the log may be what another process just writes.
        let lock = lock(runtime, &options.data_dir).await?;
        let identity = Identity::open(runtime, &options.data_dir, node_key_path.as_deref(), &label).await?;
        let log_dir = options.data_dir.join("raft").join("log");
        let log = Log::open(runtime, &log_dir, log).await?;
        if log.is_new() && identity.cluster().is_some() {
            let what = "it is not there, although this node belongs to a cluster".to_string();
            return Err(log::OpenError::Lost { dir: log_dir, what }.into());
        }
        let log_sync: LogSync = {
            let log = log.clone();
            Arc::new(move |index| {
                let log = log.clone();
                Box::pin(async move { log.sync_to(index).await })
            })
        };
        let incarnation = identity.incarnation();
        let mut state_options = state_machine::Options::new(engine, incarnation);
        state_options.engine_dir = engine_dir;
        state_options.background_flush = background_flush;
        let (machine, state) = StateMachine::open(runtime, &options.data_dir, state_options, log_sync).await?;
        observe::tell_start(runtime, &identity, &log, &state);
        let last_log = log.last();
        if machine.outruns(last_log) {
            let what = format!("it ends at {}, before what the state holds", EndOf(last_log));
            return Err(log::OpenError::Lost { dir: log_dir, what }.into());
        }
        let transport = Transport::start(runtime, identity.clone(), &listen, &advertise, transport)
            .await
            .map_err(|error| StartError::Listen { address: listen, error })?;
        let (_, term_at_start) = log.found();
        transport.set_log_facts(term_at_start, last_log);
        let (disowned, shown) = (log.clone(), log_dir.display().to_string());
        transport.on_event(Arc::new(move |event| {
            if let Event::LogLost(reason) = event {
                disowned.disown(&format!("{shown}: {reason}"));
            }
        }));
        let config = settings::config(&label, options.timing, APPEND_ENTRIES_MAX);
        let config = config.validate().map_err(|error| StartError::Raft(error.to_string()))?;
        let network = transport.network();
        let built = OpenRaft::build(incarnation, Arc::new(config), network, log.clone(), machine);
        let seed = runtime.entropy.next_u64();
        let openraft = raft_rt::scope(seed, built).await.map_err(|error| StartError::Raft(error.to_string()))?;
        let served = transport.serve_raft(&openraft, &options.data_dir, engine);
        let raft = Raft::new(runtime.clone(), openraft, log, state, transport, served, identity, options);
        raft.keep_lock(lock);
        let observe = tokio::spawn(raft.clone().observe());
        raft.serve_read_index();
        raft_rt::scope(seed ^ 1, async { raft.inner().openraft.run() }).await;
        let leadership = tokio::spawn(raft_rt::scope(seed ^ 2, raft.clone().mind_leadership()));
        let log = tokio::spawn(raft.clone().mind_log());
        let members = tokio::spawn(raft.clone().mind_members());
        raft.keep_tasks([observe, leadership, log, members]);
        Ok(raft)
    }

    fn serve_read_index(&self) {
        let raft = self.clone();
        self.transport().register(
            Kind::ReadIndex,
            Arc::new(move |_, _| {
                let raft = raft.clone();
                Box::pin(async move {
                    // Who asked waits no longer than this either.
                    let deadline = raft.inner().options.timing.without_leader();
                    let confirmed = tokio::time::timeout(deadline, raft.confirm_leadership()).await;
                    let index =
                        confirmed.map_err(|_| "no quorum answered in time")?.map_err(|error| error.to_string())?;
                    Ok(bytes::Bytes::copy_from_slice(&index.to_be_bytes()))
                })
            }),
        );
    }

    /// Tells the transport each new membership, until the node stops.
    async fn mind_members(self) {
        let mut changes = self.changes();
        let mut told = None;
        loop {
            let index = self.membership_index();
            if told != Some(index) {
                self.transport().set_members(self.member_map());
                told = Some(index);
            }
            changes.changed().await;
        }
    }

    /// Ends Raft and the cluster port.
    pub async fn stop(&self) {
        self.end_tasks();
        // openraft reports each request that comes after its end as an error.
        self.transport().decline_all();
        let _ = self.inner().openraft.shutdown().await;
        self.transport().shutdown().await;
        self.inner().log.shutdown().await;
        self.unlock();
    }
}

/// Keeps every other process out of a data directory, which is made if it is missing.
async fn lock(runtime: &Runtime, data_dir: &Path) -> Result<Lock, StartError> {
    let path = data_dir.join("lock");
    let locked = async {
        runtime.disk.create_dir_all(data_dir).await?;
        runtime.disk.lock(&path).await
    };
    locked.await.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StartError::InUse(data_dir.to_path_buf()),
        _ => StartError::Lock { path, error },
    })
}
