//! Lines that would repeat without end: what is said of one thing is let through once a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::runtime::Clock;

/// What was said in the last minute. Bounded: whoever makes up new things to be said does not fill the log either.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<BTreeMap<String, Duration>>);

impl Seldom {
    /// Whether a line about `what` is to be written: it was not within the last minute, and few others were.
    pub fn lets(&self, clock: &Clock, what: &str) -> bool {
        let now = clock.boot();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| now.saturating_sub(*at) < PAUSE);
        let lets = said.len() < LINES_MAX && !said.contains_key(what);
        if lets {
            said.insert(what.to_string(), now);
        }
        lets
    }
}

/// Between two lines about one thing.
const PAUSE: Duration = Duration::from_secs(60);

/// Lines about different things within [`PAUSE`].
const LINES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_and_many_different_ones_end() {
        let clock = crate::runtime::Runtime::real().clock;
        let seldom = Seldom::default();
        let lets = |what: &str| seldom.lets(&clock, what);
        assert_eq!([lets("a"), lets("a"), lets("b"), lets("a")], [true, false, true, false]);
        assert_eq!((0..1000).filter(|other| lets(&other.to_string())).count(), LINES_MAX - 2);
        // What is old makes place.
        for at in seldom.0.lock().unwrap().values_mut() {
            *at = at.saturating_sub(PAUSE);
        }
        assert!(lets("a") && !lets("a"));
    }
}
