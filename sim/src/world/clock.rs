//! A node's clocks: the simulation's time since its epoch, moved by a skew of the node's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use holdfast::runtime::UnixTime;
use holdfast::runtime::clock::ClockSource;

use crate::trace::TraceLog;

/// Where the wall clock stands at the start of every simulation: 2026-01-05T00:00:00Z.
pub const EPOCH: UnixTime = UnixTime(1_767_571_200_000_000_000);

/// How far a node's wall clock is off, in nanoseconds. Clones share it.
#[derive(Clone, Default)]
pub struct Skew(Arc<AtomicI64>);

impl Skew {
    /// Sets the skew.
    pub fn set_ns(&self, ns: i64) {
        self.0.store(ns, Ordering::Relaxed);
    }

    fn ns(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A node's clocks.
pub struct SimClock {
    time: TraceLog,
    skew: Skew,
    booted: Duration,
}

impl SimClock {
    /// Clocks off by `skew` on a machine that has been up for `booted` when the simulation starts.
    pub fn new(time: TraceLog, skew: Skew, booted: Duration) -> SimClock {
        SimClock { time, skew, booted }
    }
}

impl ClockSource for SimClock {
    fn now(&self) -> UnixTime {
        UnixTime(EPOCH.plus(self.time.now()).0.saturating_add(self.skew.ns()))
    }

    fn boot(&self) -> Duration {
        self.booted + self.time.now()
    }
}
