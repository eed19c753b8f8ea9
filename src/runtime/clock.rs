//! Wall time and boot time.

use std::sync::Arc;
use std::time::Duration;

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// Whole seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// This instant moved forward by `by`, saturating.
    pub fn plus(self, by: Duration) -> UnixTime {
        UnixTime(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to this instant, zero if `earlier` is later.
    pub fn since(self, earlier: UnixTime) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with as many fractional digits as needed, as Go prints `time.RFC3339Nano`.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => timestamp.to_string(),
            Err(_) => "0001-01-01T00:00:00Z".to_string(),
        }
    }

    /// Parses RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Option<UnixTime> {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(timestamp.as_nanosecond()).ok().map(UnixTime)
    }

    /// The `Date` header's form (RFC 9110, IMF-fixdate).
    pub fn http_date(self) -> String {
        match jiff::Timestamp::from_second(self.seconds()) {
            Ok(timestamp) => timestamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            Err(_) => "Thu, 01 Jan 1970 00:00:00 GMT".to_string(),
        }
    }
}

/// What a world has to offer as a clock.
pub trait ClockSource: Send + Sync + 'static {
    /// Wall time; may jump.
    fn now(&self) -> UnixTime;
    /// Time since boot, including suspend (`CLOCK_BOOTTIME`); never jumps back.
    fn boot(&self) -> Duration;
}

/// A handle to the node's clocks.
#[derive(Clone)]
pub struct Clock(Arc<dyn ClockSource>);

impl Clock {
    /// Wraps a source.
    pub fn new(source: impl ClockSource) -> Clock {
        Clock(Arc::new(source))
    }

    /// Wall time.
    pub fn now(&self) -> UnixTime {
        self.0.now()
    }

    /// Time since boot, including suspend.
    pub fn boot(&self) -> Duration {
        self.0.boot()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// Certificates are dated by the node's clock.
impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let seconds = u64::try_from(self.now().seconds()).ok()?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
