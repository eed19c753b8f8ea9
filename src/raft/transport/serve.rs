//! The answering side of a connection: puts requests together within bounds and hands them to their handlers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;

use super::frame::{CANCEL, DECLINED, FAILED, Frame, MORE, ONE_WAY};
use super::kind::{Kind, LANES};
use super::mux::Mux;
use super::{PeerInfo, Purpose, TransportConfig};

/// Handles requests of one kind: who asks, and what. An error reaches the asker as its text.
pub type Handler = Arc<dyn Fn(PeerInfo, Bytes) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// The handlers of a node, by kind. Cheap to clone; shared.
#[derive(Clone, Default)]
pub(super) struct Dispatch(Arc<RwLock<BTreeMap<Kind, Handler>>>);

impl Dispatch {
    /// Registers or replaces a handler.
    pub(super) fn register(&self, kind: Kind, handler: Handler) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(kind, handler);
    }

    /// Forgets all handlers, and what they hold.
    pub(super) fn clear(&self) {
        let handlers = std::mem::take(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner));
        drop(handlers);
    }

    /// Forgets one handler.
    pub(super) fn forget(&self, kind: Kind) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }

    fn get(&self, kind: Kind) -> Option<Handler> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned()
    }
}

/// The answering side of one connection.
pub(super) struct Server {
    mux: Mux,
    dispatch: Dispatch,
    config: Arc<TransportConfig>,
    /// Bytes of requests that are being received or handled, and how many are being handled.
    held: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    parts: Mutex<Parts>,
    ordered: [mpsc::UnboundedSender<Ordered>; LANES],
    queues: Mutex<Option<[mpsc::UnboundedReceiver<Ordered>; LANES]>>,
}

type Ordered = (Kind, u64, u8, Held, BoxFuture<'static, Result<Bytes, String>>);

#[derive(Default)]
struct Parts {
    partial: BTreeMap<u64, (BytesMut, Held)>,
    /// Requests whose first frames were declined: the rest is ignored.
    declined: BTreeSet<u64>,
}

impl Server {
    pub(super) fn new(mux: Mux, dispatch: Dispatch, config: Arc<TransportConfig>) -> Server {
        let mut queues = Vec::with_capacity(LANES);
        let ordered = std::array::from_fn(|_| {
            let (sender, queue) = mpsc::unbounded_channel();
            queues.push(queue);
            sender
        });
        let (held, running, parts) = (Arc::default(), mux.serving(), Mutex::default());
        Server { mux, dispatch, config, held, running, parts, ordered, queues: Mutex::new(queues.try_into().ok()) }
    }

    /// Takes in a frame of a request.
    pub(super) fn receive(&self, frame: Frame) -> Result<(), &'static str> {
        let Some(kind) = Kind::from_u8(frame.kind) else {
            if !frame.is(MORE | ONE_WAY | CANCEL) {
                self.mux.reply(Kind::Status, frame.id, DECLINED, "an unknown kind of request".into());
            }
            return Ok(());
        };
        if let Some((body, held)) = self.assemble(kind, &frame)? {
            self.handle(kind, frame.id, frame.flags, body, held);
        }
        Ok(())
    }

    /// Handles ordered requests, each lane's one behind the other; runs as long as the connection.
    pub(super) async fn run_ordered(&self) -> &'static str {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some([first, second, third, fourth]) = queues else { return "served twice" };
        tokio::select! {
            biased;
            () = self.run_lane(first) => {}
            () = self.run_lane(second) => {}
            () = self.run_lane(third) => {}
            () = self.run_lane(fourth) => {}
        }
        "closed"
    }

    async fn run_lane(&self, mut queue: mpsc::UnboundedReceiver<Ordered>) {
        let mut running = FuturesOrdered::new();
        loop {
            tokio::select! {
                biased;
                next = queue.recv() => {
                    let Some((kind, id, flags, held, future)) = next else { return };
                    running.push_back(async move { (kind, id, flags, held, future.await) });
                }
                Some((kind, id, flags, held, result)) = running.next(), if !running.is_empty() => {
                    drop(held);
                    if flags & ONE_WAY == 0 {
                        answer(&self.mux, kind, id, result);
                    }
                }
            }
        }
    }

    fn assemble(&self, kind: Kind, frame: &Frame) -> Result<Option<(Bytes, Held)>, &'static str> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, more) = (frame.id, frame.is(MORE));
        if frame.is(CANCEL) {
            parts.partial.remove(&id);
            parts.declined.remove(&id);
            return Ok(None);
        }
        if parts.declined.contains(&id) {
            if !more {
                parts.declined.remove(&id);
            }
            return Ok(None);
        }
        if parts.partial.get(&id).map_or(0, |(whole, _)| whole.len()) + frame.body.len() > self.config.max_message {
            return Err("the peer sends more than it may");
        }
        if self.held.load(Ordering::Acquire) + frame.body.len() > self.config.max_in_flight as usize {
            parts.partial.remove(&id);
            if more && parts.declined.len() < self.config.max_requests {
                parts.declined.insert(id);
            }
            self.decline(kind, frame, "the peer is overloaded");
            return Ok(None);
        }
        if !more && !parts.partial.contains_key(&id) {
            return Ok(Some((frame.body.clone(), Held::new(&self.held, frame.body.len()))));
        }
        if parts.partial.len() >= self.config.max_requests {
            return Err("the peer sends more than it may");
        }
        let (whole, held) = parts.partial.entry(id).or_insert_with(|| (BytesMut::new(), Held::new(&self.held, 0)));
        whole.extend_from_slice(&frame.body);
        held.grow(frame.body.len());
        match more {
            true => Ok(None),
            false => Ok(parts.partial.remove(&id).map(|(whole, held)| (whole.freeze(), held))),
        }
    }

    fn handle(&self, kind: Kind, id: u64, flags: u8, body: Bytes, held: Held) {
        let peer = self.mux.peer();
        if (peer.purpose == Purpose::Join) != kind.is_for_joiners() {
            return self.decline_id(kind, id, flags, "not on this connection");
        }
        if self.mux.is_leaving() {
            return self.decline_id(kind, id, flags, "the connection is about to be closed");
        }
        let Some(handler) = self.dispatch.get(kind) else {
            return self.decline_id(kind, id, flags, "not ready for this kind of request");
        };
        if self.running.load(Ordering::Acquire) >= self.config.max_requests {
            return self.decline_id(kind, id, flags, "the peer is overloaded");
        }
        let future = handler(peer.clone(), body);
        let running = Held::new(&self.running, 1);
        if kind.is_ordered() {
            let future: BoxFuture<'static, _> = Box::pin(async move {
                let result = future.await;
                drop(running);
                result
            });
            let _ = self.ordered[kind.lane()].send((kind, id, flags, held, future));
            return;
        }
        let mux = self.mux.clone();
        tokio::spawn(async move {
            let result = future.await;
            drop(held);
            if flags & ONE_WAY == 0 {
                answer(&mux, kind, id, result);
            }
            drop(running);
        });
    }

    fn decline(&self, kind: Kind, frame: &Frame, reason: &'static str) {
        self.decline_id(kind, frame.id, frame.flags, reason);
    }

    fn decline_id(&self, kind: Kind, id: u64, flags: u8, reason: &'static str) {
        if flags & ONE_WAY == 0 {
            self.mux.reply(kind, id, DECLINED, Bytes::from_static(reason.as_bytes()));
        }
    }
}

fn answer(mux: &Mux, kind: Kind, id: u64, result: Result<Bytes, String>) {
    match result {
        Ok(body) => mux.reply(kind, id, 0, body),
        Err(reason) => mux.reply(kind, id, FAILED, reason.into()),
    }
}

/// A share of a bound, given back when dropped.
struct Held(Arc<AtomicUsize>, usize);

impl Held {
    fn new(of: &Arc<AtomicUsize>, amount: usize) -> Held {
        of.fetch_add(amount, Ordering::AcqRel);
        Held(Arc::clone(of), amount)
    }

    fn grow(&mut self, amount: usize) {
        self.0.fetch_add(amount, Ordering::AcqRel);
        self.1 += amount;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::AcqRel);
    }
}
