//! The values of the figures: one registry a node, cloned into whatever counts. Nothing here is global, so that the nodes
//! of a simulation do not count into each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::Clock;

use super::table::{ALL, Figure, Kind};
use super::window::{Seen, Window};

/// A handle to a node's figures.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

struct Registry {
    clock: Clock,
    values: Vec<Value>,
    labelled: Mutex<Labelled>,
}

/// Values by figure and labels.
pub(super) type Labelled = BTreeMap<(Figure, Labels), f64>;

/// Sorted names and values.
pub(super) type Labels = Vec<(String, String)>;

enum Value {
    Counter(AtomicU64),
    /// An `f64`'s bits; [`UNSET`] until first set, so that what does not apply to a node is not shown as zero.
    Gauge(AtomicU64),
    Summary(Mutex<Window>),
    Histogram(Box<Histogram>),
}

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    nanos: AtomicU64,
}

/// Upper bounds of the histograms' buckets in seconds.
pub const BOUNDS: [f64; 18] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 90.0];

/// A value as the renderers see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    Counter(u64),
    Gauge(f64),
    Summary(Seen),
    /// Cumulative counts by [`BOUNDS`], count, sum in seconds.
    Histogram(Vec<u64>, u64, f64),
}

impl Metrics {
    /// All figures at zero or unset.
    pub fn new(clock: Clock) -> Metrics {
        let value = |figure: &Figure| match figure.spec().kind {
            Kind::Counter => Value::Counter(AtomicU64::new(0)),
            Kind::Gauge => Value::Gauge(AtomicU64::new(UNSET)),
            Kind::Summary => Value::Summary(Mutex::default()),
            Kind::Histogram => Value::Histogram(Box::default()),
        };
        let values = ALL.iter().map(value).collect();
        Metrics(Arc::new(Registry { clock, values, labelled: Mutex::default() }))
    }

    /// Raises a counter.
    pub fn add(&self, figure: Figure, by: u64) {
        match self.value(figure) {
            Value::Counter(count) => drop(count.fetch_add(by, Ordering::Relaxed)),
            _ => debug_assert!(false, "{figure:?} is no counter"),
        }
    }

    /// Sets a gauge. Its last value stays until it is replaced.
    pub fn set(&self, figure: Figure, value: f64) {
        match self.value(figure) {
            Value::Gauge(bits) => bits.store(value.to_bits(), Ordering::Relaxed),
            _ => debug_assert!(false, "{figure:?} is no gauge"),
        }
    }

    /// Sets a gauge to 1 or 0.
    pub fn set_flag(&self, figure: Figure, value: bool) {
        self.set(figure, if value { 1.0 } else { 0.0 });
    }

    /// Moves a gauge, from zero if it was unset.
    pub fn shift(&self, figure: Figure, by: f64) {
        match self.value(figure) {
            Value::Gauge(bits) => {
                let shifted = |bits| Some((by + if bits == UNSET { 0.0 } else { f64::from_bits(bits) }).to_bits());
                let _ = bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shifted);
            }
            _ => debug_assert!(false, "{figure:?} is no gauge"),
        }
    }

    /// Sets a gauge's or counter's value under labels, which must come from a small set (peers, mounts, never paths or
    /// tokens).
    pub fn set_with(&self, figure: Figure, labels: &[(&str, &str)], value: f64) {
        self.labelled().insert((figure, own(labels)), value);
    }

    /// Raises a value under labels.
    pub fn add_with(&self, figure: Figure, labels: &[(&str, &str)], by: f64) {
        *self.labelled().entry((figure, own(labels))).or_default() += by;
    }

    /// Adds a duration to a summary or histogram.
    pub fn observe(&self, figure: Figure, duration: Duration) {
        match self.value(figure) {
            Value::Summary(window) => {
                let now = self.0.clock.boot();
                window.lock().unwrap_or_else(PoisonError::into_inner).add(duration, now);
            }
            Value::Histogram(histogram) => histogram.add(duration),
            _ => debug_assert!(false, "{figure:?} holds no durations"),
        }
    }

    /// A request has begun: counted as under way until the value is dropped.
    pub fn request_started(&self) -> UnderWay {
        self.shift(Figure::InFlightRequests, 1.0);
        UnderWay { metrics: self.clone(), began: Instant::now() }
    }

    /// A request took so long.
    pub fn request(&self, duration: Duration) {
        self.observe(Figure::HandleRequest, duration);
        self.observe(Figure::HandleRequestSeconds, duration);
    }

    /// A commit took so long at the leader.
    pub fn commit(&self, duration: Duration) {
        self.observe(Figure::RaftCommitTime, duration);
        self.observe(Figure::RaftCommitTimeSeconds, duration);
    }

    /// A sync of the log took so long.
    pub fn fsync(&self, duration: Duration) {
        self.observe(Figure::RaftFsync, duration);
        self.observe(Figure::RaftFsyncSeconds, duration);
    }

    /// A quorum acknowledged the leader so long ago.
    pub fn last_contact(&self, duration: Duration) {
        self.observe(Figure::RaftLastContact, duration);
        self.set(Figure::RaftLastContactSeconds, duration.as_secs_f64());
    }

    /// What there is to show, in the order of the table; `None` for a gauge that was never set.
    pub(super) fn shown(&self, figure: Figure) -> Option<Shown> {
        Some(match self.value(figure) {
            Value::Counter(count) => Shown::Counter(count.load(Ordering::Relaxed)),
            Value::Gauge(bits) => match bits.load(Ordering::Relaxed) {
                UNSET => return None,
                bits => Shown::Gauge(f64::from_bits(bits)),
            },
            Value::Summary(window) => {
                let now = self.0.clock.boot();
                Shown::Summary(window.lock().unwrap_or_else(PoisonError::into_inner).seen(now))
            }
            Value::Histogram(histogram) => histogram.shown(),
        })
    }

    pub(super) fn labelled(&self) -> std::sync::MutexGuard<'_, Labelled> {
        self.0.labelled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn value(&self, figure: Figure) -> &Value {
        &self.0.values[figure as usize]
    }
}

impl Histogram {
    fn add(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn shown(&self) -> Shown {
        let mut below = 0;
        let cumulative = self.buckets.iter().map(|bucket| {
            below += bucket.load(Ordering::Relaxed);
            below
        });
        let cumulative: Vec<u64> = cumulative.collect();
        // Read apart from the buckets, so it may be behind them: never show less in all than in a part.
        let count = self.count.load(Ordering::Relaxed).max(below);
        Shown::Histogram(cumulative, count, self.nanos.load(Ordering::Relaxed) as f64 / 1e9)
    }
}

/// A request under way: leaves the gauge when dropped, also by a panic.
pub struct UnderWay {
    metrics: Metrics,
    began: Instant,
}

impl UnderWay {
    /// The request came to its end: its time counts.
    pub fn done(self) {
        self.metrics.request(self.began.elapsed());
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.metrics.shift(Figure::InFlightRequests, -1.0);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

fn own(labels: &[(&str, &str)]) -> Labels {
    let mut labels: Labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    labels.sort();
    labels
}

/// A NaN that no calculation gives.
const UNSET: u64 = u64::MAX;
