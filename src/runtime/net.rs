//! Streams and listeners by name. A simulation puts a name layer of its own below, so that a node can change its
//! address and keep its disk.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connected stream.
pub type Stream = Box<dyn Io>;

/// Who is at the other end of an accepted stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A unix socket's peer has no address.
    Unix,
}

/// One address of a network interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name.
    pub name: String,
    /// The address.
    pub address: std::net::IpAddr,
    /// How many of its bits are the network's.
    pub prefix: u8,
    /// Whether the interface is up.
    pub is_up: bool,
    /// Whether the default route leads through it.
    pub is_default: bool,
}

/// What a world has to offer as a network.
pub trait NetworkSource: Send + Sync + 'static {
    /// Connects to `host:port` (a name, an IPv4 address or a bracketed IPv6 address). The caller sets the deadline.
    fn connect(&self, address: String) -> BoxFuture<'static, io::Result<Stream>>;
    /// Listens on `host:port`; port 0 picks a free one.
    fn listen(&self, address: String) -> BoxFuture<'static, io::Result<Listener>>;
    /// Listens on a unix socket with the given mode, replacing a stale one.
    fn listen_unix(&self, path: &Path, mode: u32) -> io::Result<Listener>;
    /// Connects to a unix socket.
    fn connect_unix(&self, path: &Path) -> BoxFuture<'static, io::Result<Stream>>;
    /// The addresses of this machine; none in a simulation.
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        Ok(Vec::new())
    }
}

/// What a world has to offer as a listener.
pub trait ListenerSource: Send + Sync + 'static {
    /// The next connection.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Peer)>>;
    /// The bound address; `None` for a unix socket.
    fn local(&self) -> Option<SocketAddr>;
}

/// A bound listener.
pub struct Listener(Box<dyn ListenerSource>);

impl Listener {
    /// Wraps a source.
    pub fn new(source: impl ListenerSource) -> Listener {
        Listener(Box::new(source))
    }

    /// The next connection. Errors are of one connection or of resources (EMFILE): the caller goes on after a pause.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        self.0.accept().await
    }

    /// The bound address; `None` for a unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.local()
    }
}

/// A handle to the node's network.
#[derive(Clone)]
pub struct Network(Arc<dyn NetworkSource>);

impl Network {
    /// Wraps a source.
    pub fn new(source: impl NetworkSource) -> Network {
        Network(Arc::new(source))
    }

    /// Connects to `host:port`. It may hang for ever (a lost packet in a simulation): set a deadline.
    pub async fn connect(&self, address: &str) -> io::Result<Stream> {
        self.0.connect(address.to_string()).await
    }

    /// Listens on `host:port`.
    pub async fn listen(&self, address: &str) -> io::Result<Listener> {
        self.0.listen(address.to_string()).await
    }

    /// Listens on a unix socket with the given mode, replacing a stale one. The file goes with the listener.
    ///
    /// # Errors
    /// `AddrInUse` if somebody listens there.
    pub fn listen_unix(&self, path: &Path, mode: u32) -> io::Result<Listener> {
        self.0.listen_unix(path, mode)
    }

    /// Connects to a unix socket.
    pub async fn connect_unix(&self, path: &Path) -> io::Result<Stream> {
        self.0.connect_unix(path).await
    }

    /// The addresses of this machine.
    pub fn interfaces(&self) -> io::Result<Vec<Interface>> {
        self.0.interfaces()
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}
