//! Accept loops, connections, and their orderly end.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::config::listener::{ForwardedFor, ProxyProtocol};
use crate::core::{Access, Client};
use crate::runtime::net::Peer;
use crate::runtime::{Listener, Runtime, Stream};
use crate::telemetry::{Figure, Metrics};

use super::Handler;
use super::body::Budget;
use super::connection::{self, Limits};
use super::headers::{self, ForStatus, Headers};
use super::proxy_protocol;
use super::service::Service;
use super::tls::{Tls, TlsError, TlsOptions};
use crate::limits::http as limits;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// A unix socket with its file mode.
    Unix(PathBuf, u32),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path, _) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One listener's configuration.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Where it listens.
    pub address: Address,
    /// TLS, unless `tls_disable`.
    pub tls: Option<TlsOptions>,
    /// Whether HTTP/2 is offered in ALPN. Without TLS there is no HTTP/2.
    pub http2: bool,
    /// Bytes of one request's body.
    pub max_request_size: usize,
    /// Life of one request, streams aside.
    pub max_request_duration: Duration,
    /// Connections at once; more wait in the system's backlog.
    pub max_connections: usize,
    /// A connection without a request under way is closed after this.
    pub idle_time: Duration,
    /// From a request's first byte to the end of its head.
    pub head_time: Duration,
    /// The operator's own headers: for which answers, name, value. A later one replaces an earlier one.
    pub headers: Vec<(ForStatus, String, String)>,
    /// Whether and from whom a PROXY header is taken.
    pub proxy: Option<ProxyProtocol>,
    /// Whether and from whom `X-Forwarded-For` is taken.
    pub forwarded_for: Option<ForwardedFor>,
    /// What is served without a token.
    pub access: Access,
    /// What begins with one of these paths is answered with 405.
    pub closed: Vec<&'static str>,
}

impl ListenerOptions {
    /// A plain listener with the defaults.
    pub fn new(address: Address) -> ListenerOptions {
        ListenerOptions {
            address,
            tls: None,
            http2: true,
            max_request_size: limits::REQUEST_SIZE,
            max_request_duration: limits::REQUEST_DURATION,
            max_connections: limits::CONNECTIONS,
            idle_time: limits::IDLE_TIME,
            head_time: limits::HEAD_TIME,
            headers: Vec::new(),
            proxy: None,
            forwarded_for: None,
            access: Access::default(),
            closed: Vec::new(),
        }
    }
}

/// Why the listeners could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address could not be bound.
    #[error("listener {address}: {error}")]
    Bind {
        /// The address of the configuration.
        address: String,
        /// What the network said.
        error: io::Error,
    },
    /// TLS could not be set up.
    #[error("listener {address}: {error}")]
    Tls {
        /// The address of the configuration.
        address: String,
        /// What is wrong.
        error: TlsError,
    },
    /// A custom header is none.
    #[error("listener {address}: custom header {name:?} is not a header, or its value is none")]
    Header {
        /// The address of the configuration.
        address: String,
        /// The header.
        name: String,
    },
}

/// The running listeners of a node.
pub struct Server {
    listeners: Vec<Arc<Running>>,
    connections: Arc<Connections>,
    /// Dropping one ends its accept loop.
    accepting: Mutex<Vec<oneshot::Sender<()>>>,
}

/// One bound listener.
struct Running {
    address: Address,
    local: Option<SocketAddr>,
    tls: Option<Tls>,
    service: Arc<Service>,
    proxy: Option<ProxyProtocol>,
    access: Access,
    limits: Limits,
    free: Arc<Semaphore>,
}

impl Server {
    /// Binds all listeners, loads their TLS and starts accepting. Nothing is accepted if one of them fails.
    ///
    /// # Errors
    /// Names the listener and what is wrong with it.
    pub async fn start(
        runtime: &Runtime,
        listeners: Vec<ListenerOptions>,
        handler: Arc<dyn Handler>,
        metrics: Metrics,
    ) -> Result<Server, ListenError> {
        let budget = Budget::new(limits::SMALL_BODIES_AT_ONCE, limits::LARGE_BODIES_AT_ONCE, limits::BODY_WAIT);
        let mut bound = Vec::new();
        for options in listeners {
            bound.push(bind(runtime, options, &handler, &metrics, &budget).await?);
        }
        let connections = Arc::new(Connections::new(metrics));
        let (mut running, mut accepting) = (Vec::new(), Vec::new());
        for (listener, shared) in bound {
            let (sender, stop) = oneshot::channel();
            accepting.push(sender);
            running.push(Arc::clone(&shared));
            tokio::spawn(accept_loop(listener, shared, Arc::clone(&connections), stop));
        }
        Ok(Server { listeners: running, connections, accepting: Mutex::new(accepting) })
    }

    /// The bound addresses in the order of the configuration; `None` for a unix socket.
    pub fn addresses(&self) -> Vec<Option<SocketAddr>> {
        self.listeners.iter().map(|running| running.local).collect()
    }

    /// Reads certificates, keys and client CAs of all listeners again. New connections are served with the new ones; if
    /// any file is not usable, nothing changes anywhere.
    ///
    /// # Errors
    /// Names the listener and the file.
    pub async fn reload_tls(&self) -> Result<(), ListenError> {
        let mut staged = Vec::new();
        for running in &self.listeners {
            if let Some(tls) = &running.tls {
                let address = || running.address.to_string();
                staged.push((tls, tls.stage().await.map_err(|error| ListenError::Tls { address: address(), error })?));
            }
        }
        for (tls, staged) in staged {
            tls.take(staged);
        }
        Ok(())
    }

    /// Open connections.
    pub fn open_connections(&self) -> usize {
        self.connections.open.load(Ordering::Relaxed)
    }

    /// Stops accepting, lets the requests under way end, closes idle connections, and breaks off what is left at the
    /// deadline.
    pub async fn shutdown(&self, deadline: Duration) {
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.connections.stop_all();
        if tokio::time::timeout(deadline, self.connections.until_none()).await.is_err() {
            let left = self.open_connections();
            tracing::warn!(target: "http", connections = left, "connections broken off at the end of the drain");
            self.connections.break_off_all();
        }
    }
}

async fn bind(
    runtime: &Runtime,
    options: ListenerOptions,
    handler: &Arc<dyn Handler>,
    metrics: &Metrics,
    budget: &Budget,
) -> Result<(Listener, Arc<Running>), ListenError> {
    let address = options.address.to_string();
    let custom =
        headers::parse(&options.headers).map_err(|name| ListenError::Header { address: address.clone(), name })?;
    let tls = match options.tls {
        None => None,
        Some(tls) => {
            let loaded = Tls::load(tls, options.http2, runtime.disk.clone(), runtime.clock.clone()).await;
            Some(loaded.map_err(|error| ListenError::Tls { address: address.clone(), error })?)
        }
    };
    let listener = match &options.address {
        Address::Tcp(address) => runtime.net.listen(address).await,
        Address::Unix(path, mode) => runtime.net.listen_unix(path, *mode),
    };
    let listener = listener.map_err(|error| ListenError::Bind { address: address.clone(), error })?;
    let service = Arc::new(Service {
        handler: Arc::clone(handler),
        metrics: metrics.clone(),
        clock: runtime.clock.clone(),
        ids: runtime.entropy.stream(),
        offload: runtime.offload.clone(),
        budget: budget.clone(),
        max_request_size: options.max_request_size,
        max_request_duration: options.max_request_duration,
        headers: Headers::new(runtime.clock.clone(), tls.is_some(), custom),
        forwarded_for: options.forwarded_for,
        closed: options.closed,
        under_way: super::service::UnderWay::default(),
    });
    let running = Running {
        local: listener.local(),
        address: options.address,
        tls,
        service,
        proxy: options.proxy,
        access: options.access,
        limits: Limits {
            idle_time: options.idle_time,
            head_time: options.head_time.min(options.idle_time),
            head_bytes: limits::HEAD_BYTES,
        },
        free: Arc::new(Semaphore::new(options.max_connections)),
    };
    Ok((listener, Arc::new(running)))
}

async fn accept_loop(
    listener: Listener,
    running: Arc<Running>,
    connections: Arc<Connections>,
    mut stop: oneshot::Receiver<()>,
) {
    loop {
        // A place first: what finds none waits in the system's backlog and costs nothing here.
        let accepted = async {
            let place = Arc::clone(&running.free).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, peer) = listener.accept().await?;
            io::Result::Ok((place, stream, peer))
        };
        let accepted = tokio::select! {
            biased;
            _ = &mut stop => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((place, stream, peer)) => spawn_connection(&running, &connections, place, stream, peer),
            Err(error) => {
                tracing::warn!(target: "http", listener = %running.address, %error, "accepting a connection failed");
                tokio::select! {
                    biased;
                    _ = &mut stop => return,
                    () = tokio::time::sleep(limits::ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

fn spawn_connection(
    running: &Arc<Running>,
    connections: &Arc<Connections>,
    place: OwnedSemaphorePermit,
    stream: Stream,
    peer: Peer,
) {
    let Some((ticket, stop, broken_off)) = connections.enter() else { return };
    let crowded = connections.open.load(Ordering::Relaxed) > limits::CROWDED;
    let head_bytes = if crowded { limits::HEAD_BYTES_CROWDED } else { running.limits.head_bytes };
    let limits = Limits { head_bytes, ..running.limits };
    let running = Arc::clone(running);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = broken_off => {}
            () = serve_connection(running, stream, peer, limits, stop) => {}
        }
        drop((ticket, place));
    });
}

async fn serve_connection(
    running: Arc<Running>,
    stream: Stream,
    peer: Peer,
    limits: Limits,
    stop: oneshot::Receiver<()>,
) {
    let (stream, peer) = match &running.proxy {
        None => (stream, peer),
        Some(options) => {
            let accepted = proxy_protocol::accept(stream, peer, options);
            match tokio::time::timeout(limits::HANDSHAKE_TIME, accepted).await {
                Ok(Ok(accepted)) => accepted,
                Ok(Err(error)) => {
                    tracing::warn!(target: "http", listener = %running.address, %error, "connection closed");
                    return;
                }
                Err(_) => return,
            }
        }
    };
    let client = match peer {
        Peer::Tcp(address) => {
            let (address, port) = (address.ip().to_canonical().to_string(), address.port());
            Client { address: address.into(), port, access: running.access }
        }
        Peer::Unix => Client { access: running.access, ..Client::default() },
    };
    let tls = running.tls.as_ref().map(Tls::current);
    connection::serve(stream, tls, Arc::clone(&running.service), client, limits, stop).await;
}

/// The open connections and how to reach them. Stopped in the order they came: a broadcast's order would not be the same
/// in each run of a simulation.
struct Connections {
    metrics: Metrics,
    open: AtomicUsize,
    none_left: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    stopping: bool,
    /// Told to end after the requests under way.
    stop: BTreeMap<u64, oneshot::Sender<()>>,
    /// Dropped to break off.
    break_off: BTreeMap<u64, oneshot::Sender<()>>,
}

/// One open connection; leaves when dropped.
struct Ticket {
    id: u64,
    connections: Arc<Connections>,
}

type Signal = oneshot::Receiver<()>;

impl Connections {
    fn new(metrics: Metrics) -> Connections {
        metrics.set(Figure::HttpConnections, 0.0);
        Connections { metrics, open: AtomicUsize::new(0), none_left: Notify::new(), state: Mutex::default() }
    }

    /// `None` once the listeners are stopping.
    fn enter(self: &Arc<Self>) -> Option<(Ticket, Signal, Signal)> {
        let mut state = self.lock();
        if state.stopping {
            return None;
        }
        let id = state.next;
        state.next += 1;
        let (stop, stopped) = oneshot::channel();
        let (break_off, broken_off) = oneshot::channel();
        state.stop.insert(id, stop);
        state.break_off.insert(id, break_off);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.metrics.shift(Figure::HttpConnections, 1.0);
        Some((Ticket { id, connections: Arc::clone(self) }, stopped, broken_off))
    }

    fn stop_all(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.stop.clear();
    }

    fn break_off_all(&self) {
        self.lock().break_off.clear();
    }

    async fn until_none(&self) {
        while self.open.load(Ordering::Acquire) > 0 {
            self.none_left.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        state.stop.remove(&self.id);
        state.break_off.remove(&self.id);
        drop(state);
        self.connections.metrics.shift(Figure::HttpConnections, -1.0);
        if self.connections.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.connections.none_left.notify_one();
        }
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
