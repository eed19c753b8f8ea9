//! The connection to one peer: at most one that takes new requests, made on demand, with a pause after each failure.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::mux::{CallError, Mux};
use super::{DialError, Transport, TransportConfig};
use crate::raft::types::Incarnation;

/// The connection to one peer.
pub(super) struct Link {
    peer: Incarnation,
    state: Mutex<State>,
}

struct State {
    mux: Option<Mux>,
    dialling: bool,
    waiting: Vec<oneshot::Sender<Result<Mux, String>>>,
    failures: u32,
    not_before: Instant,
    last_error: String,
    closed: bool,
    /// The order of the address record that the failures are of.
    record: (u64, u64),
}

enum Next {
    Use(Mux),
    Fail(String),
    Wait(oneshot::Receiver<Result<Mux, String>>, bool),
}

impl Link {
    fn new(peer: Incarnation) -> Link {
        let state = State {
            mux: None,
            dialling: false,
            waiting: Vec::new(),
            failures: 0,
            not_before: Instant::now(),
            last_error: String::new(),
            closed: false,
            record: (0, 0),
        };
        Link { peer, state: Mutex::new(state) }
    }

    /// The open connection, if it takes new requests.
    pub(super) fn mux(&self) -> Option<Mux> {
        self.state().mux.clone().filter(Mux::is_usable)
    }

    /// Closes the connection; nobody dials through this link again.
    pub(super) fn close(&self, reason: &str) {
        let mut state = self.state();
        state.closed = true;
        state.last_error = reason.to_string();
        for waiting in std::mem::take(&mut state.waiting) {
            let _ = waiting.send(Err(reason.to_string()));
        }
        if let Some(mux) = state.mux.take() {
            mux.close();
        }
    }

    /// As [`Link::close`], but lets what is under way end.
    pub(super) fn leave(&self, reason: &str) {
        if let Some(mux) = self.state().mux.take() {
            mux.leave();
        }
        self.close(reason);
    }

    /// The connection, whether it takes requests or not.
    pub(super) fn any_mux(&self) -> Option<Mux> {
        self.state().mux.clone()
    }

    /// Puts a connection in that was made otherwise; false if there is one already or the link is closed.
    pub(super) fn adopt(&self, mux: &Mux) -> bool {
        let mut state = self.state();
        let present = state.mux.as_ref().is_some_and(Mux::is_usable);
        if state.closed || present {
            return false;
        }
        state.mux = Some(mux.clone());
        true
    }

    /// What to do for a connection. `record` is the order of the newest address record: a newer one is worth a dial at
    /// once, whatever failed before.
    fn next(&self, record: (u64, u64)) -> Next {
        let mut state = self.state();
        if let Some(mux) = state.mux.clone().filter(Mux::is_usable) {
            return Next::Use(mux);
        }
        state.mux = None;
        if record > state.record {
            (state.record, state.failures, state.not_before) = (record, 0, Instant::now());
        }
        if state.closed || (!state.dialling && Instant::now() < state.not_before) {
            return Next::Fail(state.last_error.clone());
        }
        let (answer, receiver) = oneshot::channel();
        state.waiting.push(answer);
        let first = !std::mem::replace(&mut state.dialling, true);
        Next::Wait(receiver, first)
    }

    /// Takes in what came of a dial.
    fn dialled(&self, result: Result<Mux, DialError>, config: &TransportConfig) {
        let mut state = self.state();
        state.dialling = false;
        let result = match result {
            Ok(mux) if state.closed => {
                mux.close();
                Err(state.last_error.clone())
            }
            Ok(mux) => {
                state.failures = 0;
                state.mux = Some(mux.clone());
                Ok(mux)
            }
            Err(error) => {
                let pause = match error {
                    // Nothing that passes by itself, and each refusal is a line in both logs.
                    DialError::Refused(_) => config.max_backoff * 10,
                    DialError::Removed => config.max_backoff * 120,
                    _ => config.min_backoff.saturating_mul(1 << state.failures.min(10)).min(config.max_backoff),
                };
                state.not_before = Instant::now() + pause;
                state.failures = state.failures.saturating_add(1);
                state.last_error = error.to_string();
                Err(state.last_error.clone())
            }
        };
        for waiting in std::mem::take(&mut state.waiting) {
            let _ = waiting.send(result.clone());
        }
    }

    /// How many dials have failed in a row: each tries the next known address.
    fn failures(&self) -> u32 {
        self.state().failures
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport {
    /// The connection to a peer; dials it if there is none and waits at most `within`.
    pub(super) async fn connection(&self, peer: Incarnation, within: Duration) -> Result<Mux, CallError> {
        let not_sent = |reason: String| CallError::NotSent(format!("peer {peer:016x}: {reason}"));
        if self.is_stopped() {
            return Err(not_sent("this node is stopping".into()));
        }
        let link = self.link(peer);
        let receiver = match link.next(self.0.book.order(peer)) {
            Next::Use(mux) => return Ok(mux),
            Next::Fail(reason) => return Err(not_sent(reason)),
            Next::Wait(receiver, first) => {
                if first {
                    self.dial_in_background(link);
                }
                receiver
            }
        };
        match tokio::time::timeout(within, receiver).await {
            Ok(Ok(result)) => result.map_err(not_sent),
            Ok(Err(_)) => Err(not_sent("dialling ended".into())),
            Err(_) => Err(not_sent("not reached in time".into())),
        }
    }

    /// Dials members that have no connection, so that fitness and addresses travel without requests.
    pub(super) async fn keep_connected(self) {
        let pause = self.0.config.keep_connected;
        if pause.is_zero() {
            return;
        }
        loop {
            tokio::select! {
                biased;
                () = self.0.stop[1].notified() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let own = self.0.identity.incarnation();
            let members: Vec<Incarnation> = self.facts().members.keys().copied().filter(|peer| *peer != own).collect();
            if self.0.identity.cluster().is_none() {
                continue;
            }
            for peer in members {
                let link = self.link(peer);
                if let Next::Wait(_, true) = link.next(self.0.book.order(peer)) {
                    self.dial_in_background(link);
                }
            }
        }
    }

    /// The link to a peer, closed or not.
    pub(super) fn link(&self, peer: Incarnation) -> Arc<Link> {
        Arc::clone(self.links().entry(peer).or_insert_with(|| Arc::new(Link::new(peer))))
    }

    fn dial_in_background(&self, link: Arc<Link>) {
        let transport = self.clone();
        tokio::spawn(async move {
            let result = transport.dial(link.peer, link.failures()).await;
            link.dialled(result, &transport.0.config);
        });
    }
}
