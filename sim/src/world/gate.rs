//! A gate in front of all of a node's I/O: while it is shut, no byte, file or job of the node moves.
//!
//! It is how a paused process is simulated. Timers inside the node run on, unlike after a real SIGSTOP: what the node
//! decides meanwhile reaches nobody before the gate opens. `docs/simulation.md` names the difference.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A gate. Clones share it; a new one is open.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shut: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    /// Shuts the gate.
    pub fn shut(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).shut = true;
    }

    /// Opens the gate and wakes those who wait, in the order in which they came.
    pub fn open(&self) {
        let waiting = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.shut = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether the gate is shut.
    pub fn is_shut(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).shut
    }

    /// Ready while the gate is open.
    pub fn poll_pass(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.shut {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until the gate is open.
    pub async fn pass(&self) {
        std::future::poll_fn(|context| self.poll_pass(context)).await
    }
}
