//! What a connection has still to send: one queue a lane, drained by turns in chunks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::frame::{self, CANCEL, CHUNK, MORE, RESPONSE};
use super::kind::{Kind, LANES};

/// A message on its way out.
pub(super) struct Outgoing {
    /// The request's id.
    pub(super) id: u64,
    /// Its kind's number.
    pub(super) kind: u8,
    /// Its flags.
    pub(super) flags: u8,
    /// All of it.
    pub(super) body: Bytes,
    /// How much of it has been handed to the stream.
    pub(super) sent: usize,
    /// Room in the lane, given back once it is sent.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Outgoing {
    /// What it counts towards what waits for the peer; nothing if it has room of its own.
    fn unread(&self) -> usize {
        if self.room.is_some() { 0 } else { self.body.len() + OVERHEAD }
    }
}

/// The queues of one connection.
pub(super) struct Outbox {
    state: Mutex<State>,
    ready: Notify,
    room: [Arc<Semaphore>; LANES],
    capacity: u32,
    max_unread: usize,
}

struct State {
    lanes: [VecDeque<Outgoing>; LANES],
    turn: usize,
    /// Bytes of what waits without having room in its lane: answers and notices.
    unread: usize,
    /// Whether what [`Outbox::fill`] took last may be on its way still.
    writing: bool,
    closed: bool,
}

/// What became of a message that was to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits for its turn.
    Queued,
    /// The connection is closed.
    Closed,
    /// Too much waits for the peer to read it.
    Unread,
}

/// What became of a request that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The peer has not got all of it and will not carry it out.
    Surely,
    /// The peer may have got it.
    Unknown,
}

impl Outbox {
    /// Queues that hold at most `capacity` bytes of requests a lane, and `max_unread` bytes of all else.
    pub(super) fn new(capacity: u32, max_unread: usize) -> Outbox {
        Outbox {
            state: Mutex::new(State { lanes: Default::default(), turn: 0, unread: 0, writing: false, closed: false }),
            ready: Notify::new(),
            room: std::array::from_fn(|_| Arc::new(Semaphore::new(capacity as usize))),
            capacity,
            max_unread,
        }
    }

    /// Waits for room for a request of `length` bytes. `None` if the connection is closed.
    pub(super) async fn room(&self, kind: Kind, length: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(length.saturating_add(OVERHEAD)).unwrap_or(u32::MAX).min(self.capacity);
        Arc::clone(&self.room[kind.lane()]).acquire_many_owned(bytes).await.ok()
    }

    /// Queues a message, if the connection is open and the peer reads.
    pub(super) fn push(&self, lane: usize, message: Outgoing) -> Pushed {
        let mut state = self.state();
        if state.closed {
            return Pushed::Closed;
        }
        let unread = state.unread + message.unread();
        // One long answer is let through, whatever its length.
        if unread > self.max_unread && state.unread > 0 {
            return Pushed::Unread;
        }
        state.unread = unread;
        state.lanes[lane].push_back(message);
        drop(state);
        self.ready.notify_one();
        Pushed::Queued
    }

    /// Takes a request back that nobody waits for any more.
    pub(super) fn give_up(&self, id: u64, kind: Kind) -> Unsent {
        let mut state = self.state();
        let state = &mut *state;
        let lane = &mut state.lanes[kind.lane()];
        let Some(at) = lane.iter().position(|message| message.id == id && message.flags & RESPONSE == 0) else {
            return Unsent::Unknown;
        };
        if lane[at].sent == 0 {
            let taken = lane.remove(at).map_or(0, |message| message.unread());
            state.unread = state.unread.saturating_sub(taken);
        } else {
            // The peer holds some of it: tell it to let go.
            let message = &mut lane[at];
            let counted = message.unread();
            (message.body, message.sent, message.flags, message.room) = (Bytes::new(), 0, CANCEL, None);
            state.unread = (state.unread + OVERHEAD).saturating_sub(counted);
        }
        Unsent::Surely
    }

    /// Fills `buffer` with the next frames, up to about `limit` bytes, waiting for the first. `sent` sees each frame.
    pub(super) async fn fill(&self, buffer: &mut BytesMut, limit: usize, mut sent: impl FnMut(u64, u8, u8, &[u8])) {
        loop {
            {
                let mut state = self.state();
                while buffer.len() < limit && state.next(buffer, &mut sent) {}
                state.writing = !buffer.is_empty();
            }
            if !buffer.is_empty() {
                return;
            }
            self.ready.notified().await;
        }
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.state().lanes.iter().all(VecDeque::is_empty)
    }

    /// Whether everything was written: nothing waits, and who fills buffers has come back for the next one.
    pub(super) fn is_written(&self) -> bool {
        let state = self.state();
        !state.writing && state.lanes.iter().all(VecDeque::is_empty)
    }

    /// Closes the queues; the ids of requests that were surely not carried out.
    pub(super) fn close(&self) -> Vec<u64> {
        let mut state = self.state();
        state.closed = true;
        for room in &self.room {
            room.close();
        }
        let lanes = std::mem::take(&mut state.lanes);
        lanes.iter().flatten().filter(|message| message.flags & RESPONSE == 0).map(|message| message.id).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Appends one frame of the lane whose turn it is; false if there is nothing to send.
    fn next(&mut self, buffer: &mut BytesMut, sent: &mut impl FnMut(u64, u8, u8, &[u8])) -> bool {
        for step in 0..LANES {
            let lane = (self.turn + step) % LANES;
            let Some(message) = self.lanes[lane].front_mut() else { continue };
            let end = message.body.len().min(message.sent + CHUNK);
            let last = end == message.body.len();
            let flags = if last { message.flags } else { message.flags | MORE };
            let piece = &message.body[message.sent..end];
            frame::put(buffer, message.id, message.kind, flags, piece);
            sent(message.id, message.kind, flags, piece);
            message.sent = end;
            if last && let Some(message) = self.lanes[lane].pop_front() {
                self.unread = self.unread.saturating_sub(message.unread());
            }
            self.turn = (lane + 1) % LANES;
            return true;
        }
        false
    }
}

/// What a queued message costs beside its body, so that very many small ones are bounded too.
const OVERHEAD: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u64, length: usize) -> Outgoing {
        Outgoing { id, kind: 0, flags: 0, body: vec![0; length].into(), sent: 0, room: None }
    }

    async fn order(outbox: &Outbox) -> Vec<(u64, bool)> {
        let (mut buffer, mut order) = (BytesMut::new(), Vec::new());
        outbox.fill(&mut buffer, usize::MAX, |id, _, flags, _| order.push((id, flags & MORE != 0))).await;
        order
    }

    #[tokio::test]
    async fn a_long_message_holds_up_only_its_own_lane() {
        let outbox = Outbox::new(1 << 20, 1 << 20);
        outbox.push(3, message(1, 3 * CHUNK));
        outbox.push(3, message(2, 1));
        outbox.push(0, message(3, 1));
        assert_eq!(order(&outbox).await, [(3, false), (1, true), (1, true), (1, false), (2, false)]);
    }

    #[tokio::test]
    async fn given_up_and_closed_messages_are_told_apart() {
        let outbox = Outbox::new(1 << 20, 1 << 20);
        let kind = Kind::Forward;
        outbox.push(kind.lane(), message(1, 2 * CHUNK));
        outbox.push(kind.lane(), message(2, 1));
        let mut buffer = BytesMut::new();
        outbox.fill(&mut buffer, 1, |_, _, _, _| ()).await;
        assert_eq!(outbox.give_up(1, kind), Unsent::Surely);
        assert_eq!(outbox.give_up(2, kind), Unsent::Surely);
        let (mut buffer, mut flags_seen) = (BytesMut::new(), Vec::new());
        outbox.fill(&mut buffer, usize::MAX, |id, _, flags, _| flags_seen.push((id, flags))).await;
        assert_eq!(flags_seen, [(1, CANCEL)]);
        assert_eq!(outbox.give_up(1, kind), Unsent::Unknown);
        outbox.push(kind.lane(), message(3, 1));
        assert_eq!(outbox.close(), [3]);
        assert_eq!(outbox.push(0, message(4, 1)), Pushed::Closed);
        assert!(outbox.room(kind, 1).await.is_none());
    }

    #[tokio::test]
    async fn who_does_not_read_is_not_answered_without_end() {
        let outbox = Outbox::new(1 << 20, 1000);
        let push = |length| outbox.push(0, message(1, length));
        assert_eq!(push(5000), Pushed::Queued, "one long answer");
        assert_eq!(push(1), Pushed::Unread);
        outbox.fill(&mut BytesMut::new(), usize::MAX, |_, _, _, _| ()).await;
        let taken = (0..).take_while(|_| push(0) == Pushed::Queued).count();
        assert_eq!(taken, 1000 / OVERHEAD);
    }
}
