//! A bound on how many requests a client sends a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many requests a second, and so many at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Above zero.
    pub per_second: f64,
    /// At least one.
    pub burst: u32,
}

impl RateLimit {
    /// `10`, `0.5` or `10:20`: rate, and after a colon the burst, else as large as the rate. `None` for anything else, and
    /// for what would never let a request through.
    pub fn parse(text: &str) -> Option<RateLimit> {
        let (rate, burst) = match text.trim().split_once(':') {
            Some((rate, burst)) => (rate, Some(burst.parse::<u32>().ok()?)),
            None => (text.trim(), None),
        };
        let per_second = rate.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0)?;
        let burst = burst.unwrap_or_else(|| whole(per_second));
        Some(RateLimit { per_second, burst: burst.max(1) })
    }
}

/// Lets requests through at a rate.
#[derive(Debug)]
pub struct Gate {
    limit: RateLimit,
    /// When the next request may go if none had been saved up.
    next: Mutex<Option<Instant>>,
}

impl Gate {
    /// An open gate.
    pub fn new(limit: RateLimit) -> Gate {
        Gate { limit, next: Mutex::new(None) }
    }

    /// Returns when a request may go.
    pub async fn pass(&self) {
        tokio::time::sleep_until(self.turn(Instant::now())).await;
    }

    /// Takes a turn.
    fn turn(&self, now: Instant) -> Instant {
        let step = Duration::from_secs_f64((1.0 / self.limit.per_second).min(STEP_SECONDS_MAX));
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = step * (self.limit.burst - 1);
        let earliest = now.checked_sub(saved).unwrap_or(now);
        let due = next.map_or(earliest, |next| next.max(earliest));
        *next = Some(due + step);
        due.max(now)
    }
}

fn whole(rate: f64) -> u32 {
    // A cast of a float saturates.
    rate as u32
}

const STEP_SECONDS_MAX: f64 = 24.0 * 3600.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_rate_and_burst() {
        for (text, limit) in [
            ("10", Some((10.0, 10))),
            ("0.5", Some((0.5, 1))),
            ("10:20", Some((10.0, 20))),
            (" 1e300 ", Some((1e300, u32::MAX))),
            ("10:x", None),
            ("x", None),
            ("", None),
            ("0", None),
            ("-1", None),
            ("NaN", None),
        ] {
            let parsed = RateLimit::parse(text).map(|limit| (limit.per_second, limit.burst));
            assert_eq!(parsed, limit, "{text}");
        }
    }

    #[tokio::test]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let gate = Gate::new(RateLimit { per_second: 10.0, burst: 3 });
        let now = Instant::now() + Duration::from_secs(60);
        let waits: Vec<u128> = (0..5).map(|_| (gate.turn(now) - now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        let later = now + Duration::from_secs(60);
        let waits: Vec<u128> = (0..4).map(|_| (gate.turn(later) - later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100]);
    }
}
