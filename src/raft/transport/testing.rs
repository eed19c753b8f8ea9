//! A network in memory for tests: streams by name, which can be cut or silenced.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::{PeerInfo, Transport, TransportConfig};
use crate::raft::grant::Grant;
use crate::raft::identity::{Cluster, Identity};
use crate::raft::types::Member;
use crate::runtime::net::{ListenerSource, NetworkSource, Peer};
use crate::runtime::{Listener, Network, Runtime, Stream};

/// A network in memory.
#[derive(Clone, Default)]
pub struct TestNet(Arc<Shared>);

#[derive(Default)]
struct Shared {
    listeners: Mutex<BTreeMap<String, mpsc::UnboundedSender<Stream>>>,
    silent: Arc<AtomicBool>,
    dials: AtomicUsize,
}

impl TestNet {
    /// Loses all bytes of the streams that are open now or opened later, until told otherwise.
    pub fn silence(&self, silent: bool) {
        self.0.silent.store(silent, Ordering::SeqCst);
    }

    /// How many streams were opened.
    pub fn dials(&self) -> usize {
        self.0.dials.load(Ordering::SeqCst)
    }

    /// The production world on this network.
    pub fn runtime(&self) -> Runtime {
        Runtime { net: Network::new(self.clone()), ..Runtime::real() }
    }
}

impl NetworkSource for TestNet {
    fn connect(&self, address: String) -> BoxFuture<'static, io::Result<Stream>> {
        let listener = self.0.listeners.lock().unwrap().get(&address).cloned();
        self.0.dials.fetch_add(1, Ordering::SeqCst);
        let silent = Arc::clone(&self.0.silent);
        Box::pin(async move {
            let (near, middle) = tokio::io::duplex(1 << 16);
            let (other, far) = tokio::io::duplex(1 << 16);
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            listener.ok_or_else(refused)?.send(Box::new(far)).map_err(|_| refused())?;
            let (from_near, to_near) = tokio::io::split(middle);
            let (from_far, to_far) = tokio::io::split(other);
            tokio::spawn(pump(from_near, to_far, Arc::clone(&silent)));
            tokio::spawn(pump(from_far, to_near, silent));
            Ok(Box::new(near) as Stream)
        })
    }

    fn listen(&self, address: String) -> BoxFuture<'static, io::Result<Listener>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.listeners.lock().unwrap().insert(address, sender);
        Box::pin(async move { Ok(Listener::new(TestListener(tokio::sync::Mutex::new(receiver)))) })
    }

    fn listen_unix(&self, _path: &Path, _mode: u32) -> io::Result<Listener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect_unix(&self, _path: &Path) -> BoxFuture<'static, io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

async fn pump(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, silent: Arc<AtomicBool>) {
    let mut buffer = vec![0; 1 << 14];
    // Once a byte is lost nothing behind it arrives, as in a simulated TCP without retransmission.
    let mut lost = false;
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                lost |= silent.load(Ordering::SeqCst);
                if !lost && to.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = to.shutdown().await;
}

struct TestListener(tokio::sync::Mutex<mpsc::UnboundedReceiver<Stream>>);

impl ListenerSource for TestListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Peer)>> {
        Box::pin(async move {
            match self.0.lock().await.recv().await {
                Some(stream) => Ok((stream, Peer::Tcp(SocketAddr::from(([127, 0, 0, 1], 1))))),
                None => std::future::pending().await,
            }
        })
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }
}

/// The cluster key of tests.
pub fn cluster_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// Makes `identity` a member of the tests' cluster.
pub async fn enter(identity: &Identity) {
    let key = cluster_key();
    let grant = Grant::sign(&key, "c", identity.incarnation(), identity.public_key(), &identity.label());
    let cluster = Cluster { id: "c".into(), keys: vec![key.verifying_key().to_bytes()], grant };
    identity.enter(cluster).await.unwrap();
}

/// A node of a test.
pub struct TestNode {
    /// Its transport.
    pub transport: Transport,
    /// Its data directory.
    pub directory: std::path::PathBuf,
}

impl TestNode {
    /// Starts a node that listens at its label.
    pub async fn start(net: &TestNet, root: &Path, label: &str) -> TestNode {
        TestNode::start_at(net, &root.join(label), label, label).await
    }

    /// Starts a node of a directory at an address.
    pub async fn start_at(net: &TestNet, directory: &Path, label: &str, address: &str) -> TestNode {
        let runtime = net.runtime();
        let identity = Identity::open(&runtime, directory, None, label).await.unwrap();
        let config = TransportConfig { keep_connected: std::time::Duration::ZERO, ..TransportConfig::default() };
        let transport = Transport::start(&runtime, identity, address, address, config).await.unwrap();
        TestNode { transport, directory: directory.to_path_buf() }
    }

    /// What membership says of it.
    pub fn member(&self) -> Member {
        let identity = self.transport.identity();
        Member { label: identity.label(), address: identity.label(), public_key: identity.public_key() }
    }

    /// Its incarnation.
    pub fn id(&self) -> u64 {
        self.transport.identity().incarnation()
    }
}

/// `count` members that know one another.
pub async fn cluster(net: &TestNet, root: &Path, count: usize) -> Vec<TestNode> {
    let mut nodes = Vec::new();
    for at in 0..count {
        let node = TestNode::start(net, root, &format!("n{at}")).await;
        enter(node.transport.identity()).await;
        nodes.push(node);
    }
    let members: BTreeMap<u64, Member> = nodes.iter().map(|node| (node.id(), node.member())).collect();
    for node in &nodes {
        node.transport.set_members(members.clone());
    }
    nodes
}

/// A handler that answers with what `answer` makes of the request.
pub fn answering(
    answer: impl Fn(&PeerInfo, &[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static,
) -> super::Handler {
    Arc::new(move |peer, body| {
        let answer = answer(&peer, &body).map(bytes::Bytes::from);
        Box::pin(std::future::ready(answer))
    })
}
