//! What every proposal passes: it bounds those under way, and holds new ones back for a moment while leadership changes
//! hands. Whoever takes over needs all of the log, and under load the log grows faster than it can be looked at.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::node::ProposeError;
use crate::limits;

/// Open, but for the life of one [`Closed`].
pub(super) struct Gate {
    closed: watch::Sender<bool>,
    bytes: AtomicUsize,
}

/// Keeps the gate closed until it is dropped.
pub(super) struct Closed<'a>(&'a Gate);

/// A proposal that is under way until this is dropped.
pub(super) struct Passed<'a> {
    gate: &'a Gate,
    bytes: usize,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { closed: watch::Sender::new(false), bytes: AtomicUsize::new(0) }
    }
}

impl Gate {
    /// Lets a proposal of at least one byte through, once the gate is open.
    ///
    /// # Errors
    /// [`ProposeError::Refused`] if too much is under way.
    pub(super) async fn pass(&self, bytes: usize) -> Result<Passed<'_>, ProposeError> {
        loop {
            let before = self.bytes.fetch_add(bytes, Ordering::SeqCst);
            let passed = Passed { gate: self, bytes };
            if before + bytes > limits::PROPOSALS_BYTES_MAX {
                return Err(ProposeError::Refused("too many writes are under way".into()));
            }
            // Looked at after it was counted: who closes the gate and then sees nothing under way sees nothing come.
            if !*self.closed.borrow() {
                return Ok(passed);
            }
            drop(passed);
            self.opened().await;
        }
    }

    /// Whether proposals have passed that are not answered yet.
    pub(super) fn is_busy(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) > 0
    }

    /// Closes the gate; `None` if somebody else has.
    pub(super) fn close(&self) -> Option<Closed<'_>> {
        let closed = self.closed.send_if_modified(|closed| !std::mem::replace(closed, true));
        // Made only then: dropping one opens the gate.
        if closed { Some(Closed(self)) } else { None }
    }

    /// Waits until it is open.
    pub(super) async fn opened(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| !closed).await;
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed.send_replace(false);
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        self.gate.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn proposals_wait_while_it_is_closed_and_it_opens_whatever_becomes_of_who_closed_it() {
        let gate = Gate::default();
        let passed = gate.pass(10).await;
        assert!(passed.is_ok() && gate.is_busy());
        let closed = gate.close();
        assert!(closed.is_some() && gate.close().is_none());
        let mut closer = Box::pin(async {
            let _closed = closed;
            std::future::pending::<()>().await;
        });
        assert!(poll!(closer.as_mut()).is_pending());
        let mut waiting = Box::pin(gate.pass(1));
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(passed);
        assert!(!gate.is_busy(), "who waits is not under way");
        drop(closer);
        assert!(waiting.await.is_ok());
        assert!(gate.close().is_some());
    }

    #[tokio::test]
    async fn what_is_under_way_is_bounded() {
        let gate = Gate::default();
        let most = gate.pass(limits::PROPOSALS_BYTES_MAX).await;
        assert!(matches!(gate.pass(1).await, Err(ProposeError::Refused(_))));
        drop(most);
        assert!(!gate.is_busy() && gate.pass(1).await.is_ok());
    }
}
