//! The listener: bounded handshakes, the decision about each hello, and the connections that were let in.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::admission::{self, Answer, Hello, Introduction, MAX_HELLO, Rules};
use super::frame;
use super::kind::Kind;
use super::mux::Mux;
use super::places::{Place, Places};
use super::{PeerInfo, Purpose, Transport, TransportConfig};
use crate::raft::grant::PublicKey;
use crate::raft::types::Incarnation;
use crate::runtime::net::Peer;
use crate::runtime::{Listener, Stream};

/// The connections that were let in.
pub(super) struct Accepted {
    open: Mutex<Open>,
    handshakes: Places,
    joiners: Places,
}

#[derive(Default)]
struct Open {
    next: u64,
    muxes: BTreeMap<u64, Mux>,
}

impl Accepted {
    pub(super) fn new(config: &TransportConfig) -> Accepted {
        Accepted {
            open: Mutex::default(),
            handshakes: Places::new(config.max_handshakes),
            joiners: Places::new(config.max_joiners),
        }
    }

    /// Ends all connections of an incarnation once what is under way is answered.
    pub(super) fn leave(&self, incarnation: Incarnation) {
        for mux in self.muxes().remove(&incarnation).unwrap_or_default() {
            mux.leave();
        }
    }

    /// Closes all connections.
    pub(super) fn close_all(&self) {
        for mux in self.muxes().into_values().flatten() {
            mux.close();
        }
    }

    /// All members' connections, by incarnation.
    pub(super) fn muxes(&self) -> BTreeMap<Incarnation, Vec<Mux>> {
        let mut muxes: BTreeMap<Incarnation, Vec<Mux>> = BTreeMap::new();
        for mux in self.open().muxes.values() {
            if mux.peer().purpose == Purpose::Member {
                muxes.entry(mux.peer().incarnation).or_default().push(mux.clone());
            }
        }
        muxes
    }

    fn add(&self, mux: &Mux) -> u64 {
        let mut open = self.open();
        open.next += 1;
        let id = open.next;
        open.muxes.insert(id, mux.clone());
        id
    }

    fn remove(&self, id: u64) {
        self.open().muxes.remove(&id);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport {
    /// Accepts connections until the transport stops.
    pub(super) async fn listen(self, listener: Listener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.0.stop[0].notified() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Beyond the bound a stream is closed at once: who waits costs memory.
                    let Some(place) = self.0.accepted.handshakes.take(&peer) else { continue };
                    let transport = self.clone();
                    tokio::spawn(async move { transport.welcome(stream, peer, place).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting on the cluster port failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn welcome(self, stream: Stream, from: Peer, handshake: Place) {
        let exchange = self.exchange(stream, &from);
        let entered = tokio::time::timeout(self.0.config.handshake, exchange).await;
        drop(handshake);
        let entered = match entered {
            Ok(Ok(Some(entered))) => entered,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return tracing::debug!(?from, %error, "a handshake on the cluster port failed"),
            Err(_) => return tracing::debug!(?from, "a handshake on the cluster port took too long"),
        };
        let bounds = self.bounds(entered.peer.purpose);
        let mux = Mux::new(entered.peer, &self.0.runtime, bounds);
        let id = self.0.accepted.add(&mux);
        let incarnation = mux.peer().incarnation;
        // A removal that was committed while the hands were shaken has not seen this connection.
        if !self.is_stopped() && self.removed(incarnation).is_none() {
            let run = mux.clone().run(entered.stream, entered.input, self.0.dispatch.clone());
            if mux.peer().purpose == Purpose::Join {
                let _ = tokio::time::timeout(self.0.config.joiner_lifetime, run).await;
            } else {
                self.warn_of_two_addresses(&mux);
                self.met(&mux, &entered.theirs, entered.told);
                let reason = run.await;
                tracing::debug!(peer = mux.peer().label, reason, "a connection has ended");
            }
        }
        self.0.accepted.remove(id);
        if mux.peer().purpose == Purpose::Member {
            self.parted(&mux);
        }
    }

    /// Shakes hands and answers the hello; `None` if the peer does not come in.
    async fn exchange(&self, stream: Stream, from: &Peer) -> std::io::Result<Option<Entered>> {
        let (mut stream, proven) = self.0.tls.accept(stream).await?;
        let mut input = BytesMut::new();
        let first = frame::read(&mut stream, &mut input, MAX_HELLO).await?;
        if first.kind != Kind::Hello as u8 {
            return Err(std::io::Error::other("the first frame is no hello"));
        }
        let hello: Hello = admission::decode(&first.body)?;
        let name = format!("{:016x}", hello.introduction.incarnation);
        self.trace("recv", "Hello", &name, &first.body);
        let mut decision = self.decide(&hello, proven);
        let mut joiner = None;
        if hello.purpose == Purpose::Join && decision.is_ok() {
            joiner = self.0.accepted.joiners.take(from);
            if joiner.is_none() {
                decision = Err(Answer::Retry("too many nodes are joining".into()));
            }
        }
        let ours = self.introduction(hello.purpose);
        let told = ours.fitness;
        let (peer, answer) = match decision {
            Ok(peer) => (Some(peer), Answer::Admitted(Box::new(ours))),
            Err(answer) => {
                self.tell_not_admitted(from, &hello, &answer);
                (None, answer)
            }
        };
        let answer = admission::encode(&answer);
        self.trace("send", "Answer", &name, &answer);
        frame::write(&mut stream, Kind::Answer, &answer).await?;
        let Some(mut peer) = peer else {
            stream.shutdown().await?;
            return Ok(None);
        };
        if let Peer::Tcp(address) = from {
            peer.remote = Some(*address);
        }
        Ok(Some(Entered { peer, stream, input, theirs: hello.introduction, told, _joiner: joiner }))
    }

    fn tell_not_admitted(&self, from: &Peer, hello: &Hello, answer: &Answer) {
        let label: String = hello.label.chars().take(SHOWN_LABEL).collect();
        match answer {
            // Every node that waits for its cluster hears this twice a second.
            Answer::Retry(why) => tracing::debug!(?from, label, why, "a node was not admitted yet"),
            answer => {
                let what = format!("{:016x} {answer}", hello.introduction.incarnation);
                if self.0.not_admitted.lets(&self.0.runtime.clock, &what) {
                    tracing::info!(?from, label, why = %answer, "a node was not admitted");
                }
            }
        }
    }

    fn decide(&self, hello: &Hello, proven: PublicKey) -> Result<PeerInfo, Answer> {
        let rules = Rules {
            identity: &self.0.identity,
            book: &self.0.book,
            removed: &|incarnation| self.removed(incarnation),
            member_key: &|incarnation| self.facts().members.get(&incarnation).map(|member| member.public_key),
        };
        admission::admit(hello, proven, &rules)
    }

    /// One key at two addresses at a time may be a stolen one.
    fn warn_of_two_addresses(&self, mux: &Mux) {
        let address = mux.peer().remote.map(|remote| remote.ip());
        let others = self.0.accepted.muxes().remove(&mux.peer().incarnation).unwrap_or_default();
        let other = others.iter().filter(|other| !other.is(mux)).find_map(|other| other.peer().remote);
        if let Some(other) = other.filter(|other| Some(other.ip()) != address) {
            tracing::warn!(peer = mux.peer().label, ?address, other = %other.ip(), "one key is seen from two addresses");
        }
    }
}

/// Characters of an unknown node's label that go into a log line.
const SHOWN_LABEL: usize = 64;

struct Entered {
    peer: PeerInfo,
    stream: Stream,
    input: BytesMut,
    theirs: Introduction,
    told: admission::FitnessReport,
    _joiner: Option<Place>,
}
