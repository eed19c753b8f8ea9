//! What readers and the state machine share: the present generation, the visible index, who waits for it, faults.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::engine::{Engine, Meta};
use super::hash::Hashes;
use crate::runtime::Offload;

/// Called with a changed key, or with `None` when everything may have changed.
pub type Listener = Arc<dyn Fn(Option<&[u8]>) + Send + Sync>;

/// What state readers see, in a few numbers. Replicas at one applied index have equal fingerprints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The applied index.
    pub applied: u64,
    /// The state epoch.
    pub epoch: u64,
    /// Set hashes, with and without revisions.
    pub hashes: Hashes,
}

pub(crate) struct Shared {
    pub(crate) offload: Offload,
    engine: RwLock<Engine>,
    visible: RwLock<Visible>,
    listeners: RwLock<Vec<Listener>>,
    waiters: Mutex<Waiters>,
    fault: OnceLock<String>,
}

#[derive(Clone, Copy, Default)]
struct Visible {
    fingerprint: Fingerprint,
    log_bytes: u64,
    /// `log_bytes` of the newest checkpoint.
    checkpoint: u64,
}

/// Who waits for an index, ordered by index and arrival so that wake-ups repeat in a simulation.
#[derive(Default)]
struct Waiters {
    arrivals: u64,
    waiting: BTreeMap<(u64, u64), oneshot::Sender<()>>,
}

impl Shared {
    pub(crate) fn new(offload: Offload, engine: Engine, meta: &Meta) -> Shared {
        Shared {
            offload,
            engine: RwLock::new(engine),
            visible: RwLock::new(Visible {
                fingerprint: fingerprint(meta),
                log_bytes: meta.log_bytes,
                ..Visible::default()
            }),
            listeners: RwLock::default(),
            waiters: Mutex::default(),
            fault: OnceLock::new(),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.visible.read().unwrap_or_else(PoisonError::into_inner).fingerprint
    }

    pub(crate) fn listen(&self, listener: Listener) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Shows a commit that the engine already holds. Listeners come first: a view that is read at the new index must
    /// know that it is old; one rebuilt between commit and listener is only rebuilt twice.
    pub(crate) fn publish<'a>(&self, meta: &Meta, keys: impl Iterator<Item = &'a Bytes>) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone();
        for key in keys {
            listeners.iter().for_each(|listener| listener(Some(key)));
        }
        self.show(meta);
    }

    /// Replaces the generation, returning the one before.
    pub(crate) fn switch(&self, engine: Engine, meta: &Meta) -> Engine {
        let mut present = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *present, engine);
        drop(present);
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().for_each(|listener| listener(None));
        self.show(meta);
        before
    }

    fn show(&self, meta: &Meta) {
        let mut visible = self.visible.write().unwrap_or_else(PoisonError::into_inner);
        visible.fingerprint = fingerprint(meta);
        visible.log_bytes = meta.log_bytes;
        drop(visible);
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let later = waiters.waiting.split_off(&(meta.index().saturating_add(1), 0));
        let ready = std::mem::replace(&mut waiters.waiting, later);
        drop(waiters);
        for sender in ready.into_values() {
            // Whoever gave up waiting needs no answer.
            let _ = sender.send(());
        }
    }

    pub(crate) async fn wait_applied(&self, index: u64) -> io::Result<()> {
        let Some((receiver, _waiter)) = self.enrol(index)? else {
            return Ok(());
        };
        match receiver.await {
            Ok(()) => Ok(()),
            Err(_) => self.check().and(Err(io::Error::other("the wait was called off"))),
        }
    }

    /// Takes a place among those who wait for `index`; `None` if it is there already.
    fn enrol(&self, index: u64) -> io::Result<Option<(oneshot::Receiver<()>, Waiter<'_>)>> {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock: an index shown later finds this waiter, a fault drops it.
        self.check()?;
        if self.fingerprint().applied >= index {
            return Ok(None);
        }
        let (sender, receiver) = oneshot::channel();
        let key = (index, waiters.arrivals);
        waiters.arrivals += 1;
        waiters.waiting.insert(key, sender);
        Ok(Some((receiver, Waiter { shared: self, key })))
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    /// Remembers how far the newest checkpoint is.
    pub(crate) fn checkpointed(&self, log_bytes: u64) {
        let mut visible = self.visible.write().unwrap_or_else(PoisonError::into_inner);
        visible.checkpoint = visible.checkpoint.max(log_bytes);
    }

    pub(crate) fn bytes_since_checkpoint(&self) -> u64 {
        let visible = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        visible.log_bytes.saturating_sub(visible.checkpoint)
    }

    /// Marks the state faulted by `error`, which is handed back. The first fault stays.
    pub(crate) fn faulted(&self, error: io::Error) -> io::Error {
        if self.fault.set(error.to_string()).is_ok() {
            tracing::error!(%error, "state is faulted");
        }
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).waiting.clear();
        error
    }

    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.get().cloned()
    }

    /// An error if the state is faulted.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.fault.get() {
            Some(reason) => Err(io::Error::other(format!("state is faulted: {reason}"))),
            None => Ok(()),
        }
    }
}

fn fingerprint(meta: &Meta) -> Fingerprint {
    Fingerprint { applied: meta.index(), epoch: meta.epoch, hashes: meta.hashes }
}

/// A place among those who wait; given up when dropped.
struct Waiter<'a> {
    shared: &'a Shared,
    key: (u64, u64),
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.shared.waiters.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.key);
    }
}
