//! One admitted connection: many requests at a time in both directions over one stream, each with a deadline.
//!
//! A single task reads, writes and watches. Answers and new messages that wait while a write is under way leave
//! together in the next one; nothing waits for a timer. A connection that does not answer a ping is *suspect*: new
//! requests take another one, and what may be repeated is given up at once (in a simulation a lost packet silences a
//! stream for good).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::frame::{self, DECLINED, FAILED, Frame, ONE_WAY, RESPONSE};
use super::kind::Kind;
use super::outbox::{Outbox, Outgoing, Pushed, Unsent};
use super::serve::{Dispatch, Server};
use super::{PeerInfo, TransportConfig};
use crate::runtime::{Runtime, Stream};

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The peer has not carried it out and will not: it may be repeated.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It was sent, or may have been; the peer may have carried it out or may still do so.
    #[error("sent, outcome unknown: {0}")]
    Unknown(String),
    /// The peer's handler answered with an error.
    #[error("{0}")]
    Remote(String),
}

/// One admitted connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Mux(Arc<Shared>);

struct Shared {
    peer: PeerInfo,
    runtime: Runtime,
    config: Arc<TransportConfig>,
    out: Outbox,
    calls: Mutex<Calls>,
    stop: Notify,
    retired: AtomicBool,
    /// When it was told to end, in nanoseconds since `born`; 0 if it was not.
    leaving: AtomicU64,
    /// How many of the peer's requests are not answered yet.
    serving: Arc<AtomicUsize>,
    /// When anything was last received, in nanoseconds since `born` and on boot time.
    born: Instant,
    heard: AtomicU64,
    heard_boot: AtomicU64,
}

#[derive(Default)]
struct Calls {
    next: u64,
    waiting: BTreeMap<u64, (Kind, oneshot::Sender<Result<Bytes, CallError>>)>,
    closed: Option<String>,
}

impl Mux {
    pub(super) fn new(peer: PeerInfo, runtime: &Runtime, config: &Arc<TransportConfig>) -> Mux {
        Mux(Arc::new(Shared {
            peer,
            runtime: runtime.clone(),
            config: Arc::clone(config),
            out: Outbox::new(config.max_in_flight, config.max_unread),
            calls: Mutex::default(),
            stop: Notify::new(),
            retired: AtomicBool::new(false),
            leaving: AtomicU64::new(0),
            serving: Arc::default(),
            born: Instant::now(),
            heard: AtomicU64::new(0),
            heard_boot: AtomicU64::new(nanos(runtime.clock.boot())),
        }))
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> &PeerInfo {
        &self.0.peer
    }

    /// Whether new requests may use it.
    pub(super) fn is_usable(&self) -> bool {
        !self.0.retired.load(Ordering::Acquire) && !self.is_leaving() && self.calls().closed.is_none()
    }

    /// Whether both handles are of one connection.
    pub(super) fn is(&self, other: &Mux) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// When anything was last received, on boot time.
    pub(super) fn heard_boot(&self) -> Duration {
        Duration::from_nanos(self.0.heard_boot.load(Ordering::Acquire))
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call(&self, kind: Kind, body: Bytes, deadline: Duration) -> Result<Bytes, CallError> {
        let until = Instant::now() + deadline;
        match tokio::time::timeout(deadline, self.start(kind, body)).await {
            Ok(pending) => pending?.wait(until.saturating_duration_since(Instant::now())).await,
            Err(_) => Err(CallError::NotSent("no room on the connection in time".into())),
        }
    }

    /// Queues a request, once there is room. Requests of an ordered kind are handled in the order of these calls.
    pub(super) async fn start(&self, kind: Kind, body: Bytes) -> Result<Pending, CallError> {
        if body.len() > self.0.config.max_message {
            return Err(CallError::NotSent(format!("a message of {} bytes", body.len())));
        }
        let room = self.0.out.room(kind, body.len()).await;
        let (answer, receiver) = oneshot::channel();
        let id = {
            let mut calls = self.calls();
            if let Some(reason) = &calls.closed {
                return Err(CallError::NotSent(reason.clone()));
            }
            calls.next += 1;
            let id = calls.next;
            calls.waiting.insert(id, (kind, answer));
            id
        };
        let mut pending = Pending { mux: self.clone(), id, kind, receiver, since: self.now(), done: false };
        if !self.push(kind, id, 0, body, room) {
            pending.done = true;
            return Err(CallError::NotSent("the connection was closed".into()));
        }
        Ok(pending)
    }

    /// Sends a message that wants no answer.
    pub(super) fn notify(&self, kind: Kind, body: Bytes) {
        self.push(kind, 0, ONE_WAY, body, None);
    }

    /// Answers a request.
    pub(super) fn reply(&self, kind: Kind, id: u64, flags: u8, body: Bytes) {
        let (flags, body) = match body.len() <= self.0.config.max_message {
            true => (flags, body),
            false => (FAILED, Bytes::from_static(b"the answer is too long")),
        };
        self.push(kind, id, RESPONSE | flags, body, None);
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        self.fail("the connection was closed");
        self.0.stop.notify_one();
    }

    /// Takes no new requests in either direction, and ends once those under way are answered or have had their time.
    pub(super) fn leave(&self) {
        let _ = self.0.leaving.compare_exchange(0, self.now().max(1), Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether it is told to end.
    pub(super) fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Acquire) != 0
    }

    /// Whether nothing is under way in either direction.
    pub(super) fn is_idle(&self) -> bool {
        self.calls().waiting.is_empty() && self.has_answered()
    }

    /// Whether every request of the peer is answered and the answers were handed to the network.
    pub(super) fn has_answered(&self) -> bool {
        self.0.serving.load(Ordering::Acquire) == 0 && self.0.out.is_written()
    }

    /// The count of the peer's requests that are not answered yet.
    pub(super) fn serving(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0.serving)
    }

    /// Takes no new requests, gives up those that may be repeated, and ends with the last of the others.
    pub(super) fn retire(&self) {
        if self.0.retired.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut calls = self.calls();
        let given_up: Vec<u64> =
            calls.waiting.iter().filter(|(_, (kind, _))| kind.is_idempotent()).map(|(id, _)| *id).collect();
        for id in given_up {
            if let Some((_, answer)) = calls.waiting.remove(&id) {
                let _ = answer.send(Err(CallError::Unknown("the peer has gone silent".into())));
            }
        }
    }

    /// Drives the connection until it ends, and says why. `input` holds what was read behind the hello.
    pub(super) async fn run(self, stream: Stream, input: BytesMut, dispatch: Dispatch) -> &'static str {
        let _end = FailOnDrop(self.clone());
        let (read, write) = tokio::io::split(stream);
        let server = Server::new(self.clone(), dispatch, Arc::clone(&self.0.config));
        let reason = tokio::select! {
            biased;
            () = self.0.stop.notified() => "closed",
            reason = self.read(read, input, &server) => reason,
            reason = self.write(write) => reason,
            reason = server.run_ordered() => reason,
            reason = self.watch() => reason,
        };
        self.fail(reason);
        reason
    }

    async fn read(&self, mut stream: ReadHalf<Stream>, mut buffer: BytesMut, server: &Server) -> &'static str {
        let mut answers = Answers::default();
        loop {
            loop {
                match frame::take(&mut buffer, frame::MAX_BODY) {
                    Ok(Some(frame)) => {
                        self.trace("recv", frame.id, frame.kind, frame.flags, &frame.body);
                        if let Err(reason) = self.received(frame, server, &mut answers) {
                            return reason;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => return "the peer sent an impossible frame",
                }
            }
            if buffer.capacity() - buffer.len() < READ_AHEAD / 4 {
                buffer.reserve(READ_AHEAD);
            }
            match stream.read_buf(&mut buffer).await {
                Ok(0) => return "the peer closed the connection",
                Ok(_) => self.touch(),
                Err(_) => return "the connection broke",
            }
        }
    }

    fn received(&self, frame: Frame, server: &Server, answers: &mut Answers) -> Result<(), &'static str> {
        if !frame.is(RESPONSE) {
            if frame.kind == Kind::Ping as u8 {
                self.push(Kind::Ping, frame.id, RESPONSE, Bytes::new(), None);
                return Ok(());
            }
            return server.receive(frame);
        }
        let (id, flags) = (frame.id, frame.flags);
        if !self.calls().waiting.contains_key(&id) {
            answers.forget(id);
            return Ok(());
        }
        let Some(body) = answers.assemble(frame, &self.0.config)? else { return Ok(()) };
        let Some((_, answer)) = self.calls().waiting.remove(&id) else { return Ok(()) };
        let text = || String::from_utf8_lossy(&body).into_owned();
        let result = match flags {
            flags if flags & DECLINED != 0 => Err(CallError::NotSent(text())),
            flags if flags & FAILED != 0 => Err(CallError::Remote(text())),
            _ => Ok(body),
        };
        let _ = answer.send(result);
        Ok(())
    }

    async fn write(&self, mut stream: WriteHalf<Stream>) -> &'static str {
        let mut buffer = BytesMut::with_capacity(WRITE_AT_ONCE * 2);
        loop {
            let trace = |id, kind, flags, body: &[u8]| self.trace("send", id, kind, flags, body);
            self.0.out.fill(&mut buffer, WRITE_AT_ONCE, trace).await;
            if stream.write_all(&buffer).await.is_err() || stream.flush().await.is_err() {
                return "the connection broke";
            }
            buffer.clear();
        }
    }

    /// Pings a silent peer while something is awaited from it, and now and then when nothing is.
    async fn watch(&self) -> &'static str {
        let config = &self.0.config;
        let mut asked: Option<u64> = None;
        loop {
            tokio::time::sleep(config.ping_interval).await;
            let (now, heard) = (self.now(), self.0.heard.load(Ordering::Acquire));
            let awaits = !self.calls().waiting.is_empty();
            if self.0.retired.load(Ordering::Acquire) && !awaits && self.0.out.is_empty() {
                return "replaced by another connection";
            }
            let leaving = self.0.leaving.load(Ordering::Acquire);
            if leaving != 0 && (self.is_idle() || now.saturating_sub(leaving) > nanos(LEAVE)) {
                return "this node has closed the connection";
            }
            asked = asked.filter(|asked| heard < *asked);
            let silent = Duration::from_nanos(now.saturating_sub(heard));
            match asked {
                Some(asked) => {
                    let waited = Duration::from_nanos(now.saturating_sub(asked));
                    if waited >= config.dead_after {
                        return "the peer has gone silent";
                    }
                    if waited >= config.suspect_after {
                        self.retire();
                    }
                }
                None if silent >= if awaits { config.ping_interval } else { config.idle_ping } => {
                    self.push(Kind::Ping, 0, 0, Bytes::new(), None);
                    asked = Some(now);
                }
                None => {}
            }
        }
    }

    fn push(&self, kind: Kind, id: u64, flags: u8, body: Bytes, room: Option<OwnedSemaphorePermit>) -> bool {
        let pushed = self.0.out.push(kind.lane(), Outgoing { id, kind: kind as u8, flags, body, sent: 0, room });
        if pushed == Pushed::Unread {
            tracing::warn!(peer = self.0.peer.label, "a peer asks and does not read the answers: connection closed");
            self.close();
        }
        pushed == Pushed::Queued
    }

    /// Answers everything that waits: what was surely not sent, and what may have been.
    fn fail(&self, reason: &str) {
        let mut calls = self.calls();
        calls.closed.get_or_insert_with(|| reason.to_string());
        let unsent: BTreeSet<u64> = self.0.out.close().into_iter().collect();
        for (id, (_, answer)) in std::mem::take(&mut calls.waiting) {
            let error = match unsent.contains(&id) {
                true => CallError::NotSent(reason.to_string()),
                false => CallError::Unknown(reason.to_string()),
            };
            let _ = answer.send(Err(error));
        }
    }

    /// Gives a request up; whether the peer surely does not carry it out.
    fn abandon(&self, id: u64, kind: Kind) -> Unsent {
        self.calls().waiting.remove(&id);
        self.0.out.give_up(id, kind)
    }

    fn touch(&self) {
        self.0.heard.store(self.now(), Ordering::Release);
        self.0.heard_boot.store(nanos(self.0.runtime.clock.boot()), Ordering::Release);
    }

    fn now(&self) -> u64 {
        nanos(self.0.born.elapsed())
    }

    fn trace(&self, direction: &str, id: u64, kind: u8, flags: u8, body: &[u8]) {
        if self.0.runtime.trace.is_on() {
            let (peer, digest, length) = (self.0.peer.incarnation, crc32c::crc32c(body), body.len());
            let name = Kind::from_u8(kind);
            self.0.runtime.trace.event(
                "rpc",
                format_args!("{direction} {peer:016x} {name:?} id={id} flags={flags} {length} {digest:08x}"),
            );
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that was queued. Dropping it gives the request up.
pub(super) struct Pending {
    mux: Mux,
    id: u64,
    kind: Kind,
    receiver: oneshot::Receiver<Result<Bytes, CallError>>,
    since: u64,
    done: bool,
}

impl Pending {
    /// Waits for the answer.
    pub(super) async fn wait(mut self, deadline: Duration) -> Result<Bytes, CallError> {
        self.answer(Instant::now() + deadline).await
    }

    /// Waits for the answer; may be dropped and called again until it has returned.
    pub(super) async fn answer(&mut self, until: Instant) -> Result<Bytes, CallError> {
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, &mut self.receiver).await {
            Ok(answer) => {
                self.done = true;
                answer.unwrap_or_else(|_| Err(CallError::Unknown("the connection was closed".into())))
            }
            Err(_) => Err(self.time_out()),
        }
    }

    fn time_out(&mut self) -> CallError {
        self.done = true;
        if self.mux.0.heard.load(Ordering::Acquire) < self.since {
            self.mux.retire();
        }
        match self.mux.abandon(self.id, self.kind) {
            Unsent::Surely => CallError::NotSent("the peer does not take it in time".into()),
            Unsent::Unknown => CallError::Unknown(TIMED_OUT.into()),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.done {
            self.mux.abandon(self.id, self.kind);
        }
    }
}

/// Answers that have arrived in part.
#[derive(Default)]
struct Answers {
    partial: BTreeMap<u64, BytesMut>,
    held: usize,
}

impl Answers {
    fn assemble(&mut self, frame: Frame, config: &TransportConfig) -> Result<Option<Bytes>, &'static str> {
        let more = frame.is(frame::MORE);
        if !more && !self.partial.contains_key(&frame.id) {
            return Ok(Some(frame.body));
        }
        self.held += frame.body.len();
        let whole = self.partial.entry(frame.id).or_default();
        if self.held > config.max_in_flight as usize || whole.len() + frame.body.len() > config.max_message {
            return Err("the peer sends more than it may");
        }
        whole.extend_from_slice(&frame.body);
        if more {
            return Ok(None);
        }
        Ok(self.partial.remove(&frame.id).map(|whole| {
            self.held -= whole.len();
            whole.freeze()
        }))
    }

    fn forget(&mut self, id: u64) {
        if let Some(whole) = self.partial.remove(&id) {
            self.held -= whole.len();
        }
    }
}

/// Answers everything that waits even if the connection's task is dropped or panics.
struct FailOnDrop(Mux);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        self.0.fail("the connection was closed");
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What [`CallError::Unknown`] says of a deadline.
pub(super) const TIMED_OUT: &str = "no answer in time";
/// How long what is under way may take on a connection that is to end.
pub(super) const LEAVE: Duration = Duration::from_secs(2);
/// Room for reading that is reserved at once.
const READ_AHEAD: usize = 64 << 10;
/// About how much leaves in one write.
const WRITE_AT_ONCE: usize = 256 << 10;
