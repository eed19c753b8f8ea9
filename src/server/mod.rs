//! The composition root: a configuration and a runtime make a running node. `main` and the simulator start the same
//! [`Node`].

pub mod args;
mod build;
mod dev;
mod join;
mod process;
mod sanitized;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::barrier::Barrier;
use crate::config::{Config, StorageKind};
use crate::core::{Core, Error, Request, Response, Result};
use crate::http::{self, ForwardedAnswer, ForwardedRequest, Handler, HealthFacts};
use crate::limits;
use crate::raft::Raft;
use crate::raft::start::StartError;
use crate::raft::transport::{CallError, Kind, REMOVED};
use crate::runtime::Runtime;
use crate::runtime::mem_disk::MemDisk;
use crate::telemetry::Metrics;

pub use args::ServerArgs;
pub use build::Tuning;
pub use dev::in_memory;
pub use process::run;

/// How long a stopping node waits for the requests under way.
const DRAIN: Duration = Duration::from_secs(10);

/// A running node.
pub struct Node {
    core: Core,
    raft: Raft,
    http: http::Server,
    forwards: Forwards,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Why a node did not start. Each names the file, address or key.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Raft, its files or its port.
    #[error(transparent)]
    Raft(#[from] StartError),
    /// The state cannot be read.
    #[error("the state cannot be read: {0}")]
    State(Error),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] http::ListenError),
}

impl Node {
    /// Starts a node: Raft first, then the core over it, the listeners last.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(config: Config, runtime: Runtime, tuning: Tuning) -> std::result::Result<Node, ServerError> {
        let metrics = Metrics::new(runtime.clock.clone());
        Node::start_with(config, runtime, tuning, metrics).await
    }

    /// Starts a node whose figures somebody else counts too.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_with(
        config: Config,
        runtime: Runtime,
        tuning: Tuning,
        metrics: Metrics,
    ) -> std::result::Result<Node, ServerError> {
        // Certificates are files whatever the storage is.
        let data = match config.storage.kind {
            StorageKind::Inmem => Runtime { disk: MemDisk::new().disk(), ..runtime.clone() },
            StorageKind::Raft | StorageKind::File => runtime.clone(),
        };
        let raft = Raft::start(&data, build::setup(&config, &runtime, tuning)).await?;
        let core = Core::new(runtime.clone(), build::settings(&config), raft.clone(), Barrier::new(), metrics.clone());
        let syncs = metrics.clone();
        raft.observe_syncs(move |took| syncs.fsync(took));
        core.load_known().await.map_err(ServerError::State)?;
        core.set_asker(join::ask_one);
        if !config.storage.retry_join.is_empty() {
            core.expect_to_join();
        }
        let handler: Arc<dyn Handler> = Arc::new(Served { core: core.clone(), raft: raft.clone() });
        let forwards = Forwards::default();
        serve_cluster_port(&core, &raft, &handler, &metrics, &forwards);
        let http =
            http::Server::start(&runtime, config.listeners.iter().map(build::listener).collect(), handler, metrics)
                .await?;
        let tasks = vec![
            tokio::spawn(core.clone().follow_role()),
            tokio::spawn(core.clone().follow_seal()),
            tokio::spawn(join::follow(core.clone(), runtime.clone(), config.storage.retry_join.clone())),
        ];
        Ok(Node { core, raft, http, forwards, tasks })
    }

    /// The core, for who composes a node with more than listeners (`-dev`).
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Its Raft, for benchmarks.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The bound API addresses, in the order of the configuration.
    pub fn addresses(&self) -> Vec<Option<std::net::SocketAddr>> {
        self.http.addresses()
    }

    /// Reads certificates, keys and client CAs again, together or not at all.
    ///
    /// # Errors
    /// Names the listener and the file.
    pub async fn reload_tls(&self) -> Result<(), http::ListenError> {
        self.http.reload_tls().await
    }

    /// Ends the node: hands leadership over, lets requests under way end, then stops Raft.
    pub async fn shutdown(self) {
        if self.raft.leading().is_some()
            && let Err(error) = self.raft.step_down().await
        {
            tracing::info!(error, "stopping without handing leadership over");
        }
        // Other members look for the new leader.
        self.raft.transport().decline(Kind::Forward);
        tokio::join!(self.http.shutdown(DRAIN), self.forwards.drain(DRAIN));
        for task in &self.tasks {
            task.abort();
        }
        self.core.stop();
        self.raft.stop().await;
    }
}

/// Counts the requests of other members that are served here.
#[derive(Clone, Default)]
struct Forwards(Arc<tokio::sync::watch::Sender<usize>>);

/// One of them, until it is dropped.
struct Forwarded(Forwards);

impl Forwards {
    fn begin(&self) -> Forwarded {
        self.0.send_modify(|under_way| *under_way += 1);
        Forwarded(self.clone())
    }

    /// Waits until there is none, at most for so long.
    async fn drain(&self, within: Duration) {
        let mut under_way = self.0.subscribe();
        if tokio::time::timeout(within, under_way.wait_for(|under_way| *under_way == 0)).await.is_err() {
            tracing::warn!("requests of other members broken off at the end of the drain");
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.0.0.send_modify(|under_way| *under_way -= 1);
    }
}

/// The core as the listeners see it.
struct Served {
    core: Core,
    raft: Raft,
}

impl Handler for Served {
    fn handle(&self, request: Request) -> BoxFuture<'static, Result<Response>> {
        let core = self.core.clone();
        Box::pin(async move { core.handle(&request).await })
    }

    fn health(&self) -> HealthFacts {
        self.core.health()
    }

    fn forward(&self, request: ForwardedRequest) -> BoxFuture<'static, Result<ForwardedAnswer>> {
        let (core, raft) = (self.core.clone(), self.raft.clone());
        Box::pin(async move { forward(&core, &raft, request).await })
    }

    fn active_api_address(&self) -> Option<String> {
        Some(self.core.leader_addresses().0).filter(|address| !address.is_empty())
    }
}

/// Sends a request to the active node, as soon as there is one. It is sent again only if it certainly was not carried
/// out.
async fn forward(core: &Core, raft: &Raft, request: ForwardedRequest) -> Result<ForwardedAnswer> {
    let offload = &core.runtime.offload;
    let bytes = bytes::Bytes::from(offload.compute(request.size(), move || request.encode()).await);
    let mut deadline = tokio::time::Instant::now() + limits::ACTIVE_WAIT;
    loop {
        let asked = tokio::time::Instant::now();
        let own = raft.identity().incarnation();
        if core.is_active() {
            let bytes = bytes.clone();
            let request = offload.compute(bytes.len(), move || ForwardedRequest::decode(&bytes)).await?;
            let id = request.id.clone();
            match core.handle(&request).await {
                Err(Error::Standby) => {}
                Ok(response) => return Ok(http::response::reply(response, &id)),
                Err(error) => return Err(error),
            }
        } else if let Some(leader) = raft.leader().filter(|leader| *leader != own) {
            match raft.transport().call(leader, Kind::Forward, bytes.clone(), limits::FORWARD_DEADLINE).await {
                Ok(answer) => {
                    if let Some(answer) = http::forward::served(&answer)? {
                        return Ok(answer);
                    }
                    // It may have waited there until somebody else led: the time to find out who begins now.
                    deadline += asked.elapsed();
                }
                Err(CallError::Unknown(reason)) => return Err(Error::Unknown(reason)),
                Err(_) => {}
            }
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::Unavailable(if core.is_out() { REMOVED } else { "there is no active node" }.into()));
        }
        tokio::time::sleep(limits::ACTIVE_POLL).await;
    }
}

/// What other members ask this one for.
fn serve_cluster_port(core: &Core, raft: &Raft, handler: &Arc<dyn Handler>, metrics: &Metrics, forwards: &Forwards) {
    let (handler, metrics, forwards) = (Arc::clone(handler), metrics.clone(), forwards.clone());
    let offload = core.runtime.offload.clone();
    raft.transport().register(
        Kind::Forward,
        Arc::new(move |_, bytes| {
            let (handler, metrics, offload) = (Arc::clone(&handler), metrics.clone(), offload.clone());
            let under_way = forwards.begin();
            Box::pin(async move {
                let answer = http::forward::serve(&handler, &metrics, &offload, bytes).await;
                drop(under_way);
                Ok(answer.into())
            })
        }),
    );
    raft.transport().set_api_address(core.api_addr());
    core.serve_cluster_port();
}
