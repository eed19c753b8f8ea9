//! How long syncs take.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations counted in buckets, without a lock.
#[derive(Debug, Default)]
pub struct Latency {
    /// Bucket `i` counts durations below `2^i` microseconds that the one before does not.
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
    last_nanoseconds: AtomicU64,
    observer: OnceLock<Observer>,
}

/// Hears of each duration. It must not block.
struct Observer(Box<dyn Fn(Duration) + Send + Sync>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// The figures of a [`Latency`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many durations were recorded in each bucket: upper bound, exclusive, and count. The last bucket holds
    /// everything above as well.
    pub buckets: Vec<(Duration, u64)>,
    /// How many were recorded.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
    /// The latest.
    pub last: Duration,
}

impl Latency {
    /// Tells each duration from now on to `observer` too; only the first one set is heard.
    pub fn observe(&self, observer: impl Fn(Duration) + Send + Sync + 'static) {
        let _ = self.observer.set(Observer(Box::new(observer)));
    }

    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        if let Some(Observer(observer)) = self.observer.get() {
            observer(duration);
        }
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - microseconds.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.last_nanoseconds.store(nanoseconds, Ordering::Relaxed);
    }

    /// The figures so far. Taken while others record, they may be one duration apart.
    pub fn figures(&self) -> Figures {
        let bucket =
            |(power, count): (usize, &AtomicU64)| (Duration::from_micros(1 << power), count.load(Ordering::Relaxed));
        let buckets: Vec<_> = self.buckets.iter().enumerate().map(bucket).collect();
        Figures {
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
            sum: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
            last: Duration::from_nanos(self.last_nanoseconds.load(Ordering::Relaxed)),
        }
    }
}

impl Figures {
    /// The upper bound of the bucket that holds the `share` (0 to 1) of all durations; zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bound, count) in &self.buckets {
            seen += count;
            if seen >= wanted {
                return *bound;
            }
        }
        Duration::ZERO
    }
}

/// Up to about half a minute.
const BUCKETS: usize = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up() {
        let latency = Latency::default();
        assert_eq!(latency.figures().quantile(0.5), Duration::ZERO);
        for microseconds in [0, 1, 100, 100, 100, u64::MAX / 1000] {
            latency.record(Duration::from_micros(microseconds));
        }
        let figures = latency.figures();
        assert_eq!(figures.count, 6);
        assert_eq!(figures.quantile(0.5), Duration::from_micros(128));
        assert_eq!(figures.quantile(0.01), Duration::from_micros(1));
    }
}
