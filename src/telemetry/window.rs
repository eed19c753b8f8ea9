//! Durations over the last interval: count, sum, extremes, deviation and quantiles in constant space.

use std::time::Duration;

/// Length of an interval. What is shown covers the last complete one and the current one.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// Buckets to a doubling: a quantile is at most 9 % above the true value.
const PER_DOUBLING: f64 = 8.0;

/// From 1 microsecond to a bit over a minute; what is longer is in the last.
const BUCKETS: usize = 8 * 26;

/// What was seen in an interval.
#[derive(Clone, Debug)]
struct Interval {
    number: u64,
    count: u64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
    buckets: Box<[u32; BUCKETS]>,
}

impl Interval {
    fn new(number: u64) -> Interval {
        Interval {
            number,
            count: 0,
            sum: 0.0,
            squares: 0.0,
            min: f64::INFINITY,
            max: 0.0,
            buckets: Box::new([0; BUCKETS]),
        }
    }

    fn add(&mut self, ms: f64) {
        self.count += 1;
        self.sum += ms;
        self.squares += ms * ms;
        self.min = self.min.min(ms);
        self.max = self.max.max(ms);
        self.buckets[bucket(ms)] += 1;
    }
}

/// A sliding window over two intervals, and totals since the start.
#[derive(Clone, Debug)]
pub struct Window {
    current: Interval,
    last: Interval,
    count: u64,
    sum: f64,
}

/// What a window shows. Times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Number in the window.
    pub count: u64,
    /// Sum in the window.
    pub sum: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation of a sample.
    pub deviation: f64,
    /// Quantiles 0.5, 0.9 and 0.99; `None` of an empty window.
    pub quantiles: Option<[f64; 3]>,
    /// Number since the start.
    pub total_count: u64,
    /// Sum since the start.
    pub total_sum: f64,
}

/// The quantiles of [`Seen::quantiles`].
pub const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

impl Default for Window {
    fn default() -> Window {
        Window { current: Interval::new(0), last: Interval::new(0), count: 0, sum: 0.0 }
    }
}

impl Window {
    /// Adds a duration, at a time since any fixed point.
    pub fn add(&mut self, duration: Duration, now: Duration) {
        self.roll(now);
        let ms = duration.as_secs_f64() * 1000.0;
        self.current.add(ms);
        self.count += 1;
        self.sum += ms;
    }

    /// What the window shows at a time.
    pub fn seen(&mut self, now: Duration) -> Seen {
        self.roll(now);
        let (a, b) = (&self.last, &self.current);
        let count = a.count + b.count;
        if count == 0 {
            return Seen { total_count: self.count, total_sum: self.sum, ..Seen::default() };
        }
        let (sum, n) = (a.sum + b.sum, count as f64);
        let variance = if count > 1 { (a.squares + b.squares - sum * sum / n) / (n - 1.0) } else { 0.0 };
        let (min, max) = (a.min.min(b.min), a.max.max(b.max));
        Seen {
            count,
            sum,
            min,
            max,
            mean: sum / n,
            deviation: variance.max(0.0).sqrt(),
            quantiles: Some(QUANTILES.map(|quantile| self.quantile(quantile, count).clamp(min, max))),
            total_count: self.count,
            total_sum: self.sum,
        }
    }

    fn quantile(&self, quantile: f64, count: u64) -> f64 {
        let rank = (quantile * count as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for index in 0..BUCKETS {
            below += u64::from(self.last.buckets[index]) + u64::from(self.current.buckets[index]);
            if below >= rank {
                return upper_edge(index);
            }
        }
        f64::INFINITY
    }

    fn roll(&mut self, now: Duration) {
        let number = now.as_secs() / INTERVAL.as_secs();
        if number <= self.current.number {
            return;
        }
        let ended = std::mem::replace(&mut self.current, Interval::new(number));
        self.last = if ended.number + 1 == number { ended } else { Interval::new(number - 1) };
    }
}

fn bucket(ms: f64) -> usize {
    let doublings = (ms * 1000.0).max(1.0).log2();
    ((doublings * PER_DOUBLING).ceil() as usize).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> f64 {
    (bucket as f64 / PER_DOUBLING).exp2() / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_window_slides() {
        let mut window = Window::default();
        let at = Duration::from_secs;
        window.add(Duration::from_millis(100), at(1));
        window.add(Duration::from_millis(300), at(9));
        let seen = window.seen(at(12));
        assert_eq!((seen.count, seen.sum, seen.mean, seen.min, seen.max), (2, 400.0, 200.0, 100.0, 300.0));
        window.add(Duration::from_millis(1), at(15));
        assert_eq!(window.seen(at(15)).count, 3);
        assert_eq!(window.seen(at(25)).count, 1);
        let empty = window.seen(at(45));
        assert_eq!((empty.count, empty.quantiles, empty.total_count, empty.total_sum), (0, None, 3, 401.0));
        // A clock that stands still or is behind loses nothing.
        window.add(Duration::from_millis(1), at(0));
        assert_eq!(window.seen(at(0)).count, 1);
    }

    proptest! {
        #[test]
        fn quantiles_are_close(mut micros in prop::collection::vec(1_u64..50_000_000, 1..300)) {
            let mut window = Window::default();
            for micros in &micros {
                window.add(Duration::from_micros(*micros), Duration::ZERO);
            }
            micros.sort_unstable();
            let seen = window.seen(Duration::ZERO);
            for (quantile, shown) in QUANTILES.iter().zip(seen.quantiles.unwrap()) {
                let rank = ((quantile * micros.len() as f64).ceil() as usize).max(1) - 1;
                let exact = micros[rank] as f64 / 1000.0;
                prop_assert!(shown >= exact * 0.999 && shown <= exact * 1.1, "{quantile}: {shown} for {exact}");
            }
        }
    }
}
