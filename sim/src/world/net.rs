//! The network: turmoil's, under a name layer of our own. In turmoil a host's name and IP are one for good; here a node
//! has a virtual address (`10.0.1.2`) that the driver can change while the node keeps its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use holdfast::runtime::Trace;
use holdfast::runtime::net::{Listener, ListenerSource, NetworkSource, Peer, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::Gate;

/// Who has which virtual address. Clones share the table.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    host_of: BTreeMap<IpAddr, String>,
    address_of: BTreeMap<String, IpAddr>,
    /// Hosts that are up without a process: they refuse connections.
    refusing: BTreeSet<String>,
    /// Directed cuts, from and to.
    cut: BTreeSet<(String, String)>,
}

impl Names {
    /// Gives `host` the virtual address `address`; its old one leads nowhere from now on.
    pub fn assign(&self, host: &str, address: IpAddr) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = table.address_of.insert(host.to_string(), address) {
            table.host_of.remove(&old);
        }
        table.host_of.insert(address, host.to_string());
    }

    /// The present address of `host`.
    ///
    /// # Panics
    /// Panics if the host has none.
    pub fn address(&self, host: &str) -> IpAddr {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).address_of[host]
    }

    /// Whether `host` refuses connections: its process is dead, the machine is up.
    pub fn set_refusing(&self, host: &str, refusing: bool) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refusing {
            table.refusing.insert(host.to_string())
        } else {
            table.refusing.remove(host)
        };
    }

    /// The directed cuts of this moment: a refusal cannot cross one.
    pub fn set_cuts(&self, cut: BTreeSet<(String, String)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cut = cut;
    }

    fn refuses(&self, from: &str, to: &str) -> bool {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = |a: &str, b: &str| table.cut.contains(&(a.to_string(), b.to_string()));
        table.refusing.contains(to) && !cut(from, to) && !cut(to, from)
    }

    fn host(&self, address: IpAddr) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).host_of.get(&address).cloned()
    }
}

/// One node's network.
pub struct SimNetwork {
    /// The node's turmoil host.
    pub host: String,
    /// Who is where.
    pub names: Names,
    /// Shut while the process is paused.
    pub gate: Gate,
    /// Where connects and accepts go.
    pub trace: Trace,
}

impl NetworkSource for SimNetwork {
    fn connect(&self, address: String) -> BoxFuture<'static, io::Result<Stream>> {
        let (me, names, gate, trace) = (self.host.clone(), self.names.clone(), self.gate.clone(), self.trace.clone());
        Box::pin(async move {
            gate.pass().await;
            let (ip, port) = parse(&address)?;
            let target = if ip.is_loopback() { Some(me.clone()) } else { names.host(ip) };
            let Some(target) = target else {
                trace.event("net", format_args!("connect {address} nobody"));
                tokio::time::sleep(NOBODY_ANSWERS).await;
                return Err(io::ErrorKind::HostUnreachable.into());
            };
            // In turmoil a connect to a dead process hangs; a real machine refuses it at once.
            if names.refuses(&me, &target) {
                trace.event("net", format_args!("connect {address} refused"));
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let result = turmoil::net::TcpStream::connect((target.as_str(), port)).await;
            gate.pass().await;
            match &result {
                Ok(_) => trace.event("net", format_args!("connect {address} ok")),
                Err(error) => trace.event("net", format_args!("connect {address} {:?}", error.kind())),
            }
            Ok(Box::new(SimStream { inner: result?, gate }) as Stream)
        })
    }

    fn listen(&self, address: String) -> BoxFuture<'static, io::Result<Listener>> {
        let (me, names, gate, trace) = (self.host.clone(), self.names.clone(), self.gate.clone(), self.trace.clone());
        Box::pin(async move {
            let (ip, port) = parse(&address)?;
            let own = names.address(&me);
            if !ip.is_unspecified() && !ip.is_loopback() && ip != own {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            }
            let inner = turmoil::net::TcpListener::bind((IpAddr::from([0, 0, 0, 0]), port)).await?;
            let local = SocketAddr::new(if ip.is_unspecified() { ip } else { own }, inner.local_addr()?.port());
            trace.event("net", format_args!("listen {local}"));
            Ok(Listener::new(SimListener { inner, local, names, gate, trace }))
        })
    }

    fn listen_unix(&self, _path: &Path, _mode: u32) -> io::Result<Listener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect_unix(&self, _path: &Path) -> BoxFuture<'static, io::Result<Stream>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

/// How long a connect to an address that nobody has takes to fail.
const NOBODY_ANSWERS: Duration = Duration::from_secs(3);

fn parse(address: &str) -> io::Result<(IpAddr, u16)> {
    let parsed = match address.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
        None => address.parse().ok(),
    };
    let parsed = parsed.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no such host: {address}")))?;
    Ok((parsed.ip(), parsed.port()))
}

struct SimListener {
    inner: turmoil::net::TcpListener,
    local: SocketAddr,
    names: Names,
    gate: Gate,
    trace: Trace,
}

impl ListenerSource for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Peer)>> {
        Box::pin(async move {
            let (inner, peer) = self.inner.accept().await?;
            self.gate.pass().await;
            // The peer is seen under its virtual address, as it would be on a real network.
            let ip = turmoil::reverse_lookup(peer.ip()).map_or(peer.ip(), |host| self.names.address(&host));
            self.trace.event("net", format_args!("accept :{} from {ip}", self.local.port()));
            let stream = SimStream { inner, gate: self.gate.clone() };
            Ok((Box::new(stream) as Stream, Peer::Tcp(SocketAddr::new(ip, peer.port()))))
        })
    }

    fn local(&self) -> Option<SocketAddr> {
        Some(self.local)
    }
}

/// A stream that stands still while its node is paused.
struct SimStream {
    inner: turmoil::net::TcpStream,
    gate: Gate,
}

impl AsyncRead for SimStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.gate.poll_pass(cx));
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.gate.poll_pass(cx));
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Turmoil fails the second shutdown of a stream; a real socket does not mind.
        match Pin::new(&mut self.inner).poll_shutdown(cx) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => result,
        }
    }
}
