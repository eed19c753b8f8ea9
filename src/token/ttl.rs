//! How long a token lives: what was asked for, under the bounds of system or mount, of its role and of its own.

use std::time::Duration;

use super::Entry;
use super::role::Role;
use crate::duration::go_text;
use crate::runtime::UnixTime;

/// The bounds of the mount that makes a token, or of the system where the mount has none.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Life of a token that asks for none.
    pub default: Duration,
    /// The longest life.
    pub max: Duration,
}

/// What a creation asks for; zero is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// The life.
    pub ttl: Duration,
    /// The life after each renewal.
    pub period: Duration,
    /// The longest life, whatever the renewals.
    pub explicit_max: Duration,
    /// For a root token, which lives for ever unless it asks for less.
    pub root: bool,
}

/// A life that was given, zero for ever, and what to tell if it is less than what was asked for.
pub type Given = (Duration, Option<String>);

impl Bounds {
    /// The life of a new token.
    pub fn give(&self, asked: &Asked) -> Given {
        let bound = match asked.explicit_max.is_zero() {
            true => self.max,
            false => self.max.min(asked.explicit_max),
        };
        match (asked.period.is_zero(), asked.ttl.is_zero()) {
            (false, _) => cut("period", asked.period, bound),
            (true, false) => cut("TTL", asked.ttl, bound),
            (true, true) if asked.root && asked.explicit_max.is_zero() => (Duration::ZERO, None),
            (true, true) => cut("TTL", self.default, bound),
        }
    }

    /// The life that a renewal at `now` gives to a token: `increment`, or as long as the last time if that is zero; the
    /// period if it has one. What its role says now holds, and so do its own bounds.
    pub fn renew(&self, entry: &Entry, role: Option<&Role>, now: UnixTime, increment: Duration) -> Given {
        let period = lesser(entry.period, role.map_or(Duration::ZERO, |role| role.period));
        let explicit_max = lesser(entry.explicit_max_ttl, role.map_or(Duration::ZERO, |role| role.explicit_max_ttl));
        let left_of = |life: Duration| entry.created.plus(life).since(now);
        let own = if explicit_max.is_zero() { Duration::MAX } else { left_of(explicit_max) };
        match (period.is_zero(), increment.is_zero()) {
            // A period is given again and again: the mount bounds it, but not the sum of all.
            (false, _) => cut("period", period, own.min(self.max)),
            (true, false) => cut("TTL", increment, own.min(left_of(self.max))),
            (true, true) => cut("TTL", entry.last_ttl(), own.min(left_of(self.max))),
        }
    }
}

/// The lesser of two bounds, of which zero is none.
pub fn lesser(one: Duration, other: Duration) -> Duration {
    match (one.is_zero(), other.is_zero()) {
        (true, _) => other,
        (_, true) => one,
        _ => one.min(other),
    }
}

fn cut(what: &str, asked: Duration, bound: Duration) -> Given {
    if asked <= bound {
        return (asked, None);
    }
    // What is left of a bound is a little less than the whole of it by the time a renewal comes.
    let (shown, limit) = (rounded(asked), rounded(bound));
    let warning = (shown > limit).then(|| {
        let (asked, bound) = (short(asked), short(limit));
        format!(
            "{what} of \"{asked}\" exceeded the effective max_ttl of \"{bound}\"; {what} value is capped accordingly"
        )
    });
    (bound, warning)
}

/// To the nearest second.
pub fn rounded(duration: Duration) -> Duration {
    Duration::from_secs(duration.saturating_add(Duration::from_millis(500)).as_secs())
}

/// `20m` rather than `20m0s`, as warnings show it.
fn short(duration: Duration) -> String {
    let text = go_text(duration);
    let text = text.strip_suffix("m0s").map_or(text.clone(), |rest| format!("{rest}m"));
    text.strip_suffix("h0m").map_or(text.clone(), |rest| format!("{rest}h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: Duration = Duration::from_secs(3600);
    const BOUNDS: Bounds = Bounds { default: Duration::from_secs(768 * 3600), max: Duration::from_secs(768 * 3600) };
    const TUNED: Bounds = Bounds { default: H, max: Duration::from_secs(2 * 3600) };

    fn parse(text: &str) -> Duration {
        crate::duration::parse(text).unwrap_or_default()
    }

    #[test]
    fn warnings_show_short_durations() {
        for (seconds, shown) in [(1200, "20m"), (2_764_800, "768h"), (61, "1m1s"), (30, "30s"), (0, "0s")] {
            assert_eq!(short(Duration::from_secs(seconds)), shown);
        }
    }

    /// Each as on the peer.
    #[test]
    fn a_new_token_lives_as_asked_within_the_bounds() {
        let capped = |what, asked, bound| {
            format!(
                "{what} of {asked:?} exceeded the effective max_ttl of {bound:?}; {what} value is capped accordingly"
            )
        };
        for (bounds, ttl, period, explicit, root, given, warning) in [
            (BOUNDS, "", "", "", false, "768h", None),
            (BOUNDS, "", "", "", true, "", None),
            (BOUNDS, "1h", "", "", true, "1h", None),
            (BOUNDS, "", "1h", "", true, "1h", None),
            (TUNED, "", "", "1h", true, "1h", None),
            (BOUNDS, "1h", "", "30m", false, "30m", Some(capped("TTL", "1h", "30m"))),
            (BOUNDS, "99999h", "", "", false, "768h", Some(capped("TTL", "99999h", "768h"))),
            (BOUNDS, "", "", "99999h", false, "768h", None),
            (BOUNDS, "", "", "10m", false, "10m", Some(capped("TTL", "768h", "10m"))),
            (BOUNDS, "", "99999h", "", false, "768h", Some(capped("period", "99999h", "768h"))),
            (BOUNDS, "", "2h", "1h", false, "1h", Some(capped("period", "2h", "1h"))),
            (BOUNDS, "2h", "1h", "", false, "1h", None),
            (TUNED, "", "", "", false, "1h", None),
            (TUNED, "3h", "", "", true, "2h", Some(capped("TTL", "3h", "2h"))),
            (TUNED, "", "", "3h", false, "1h", None),
            (TUNED, "", "3h", "", false, "2h", Some(capped("period", "3h", "2h"))),
        ] {
            let asked = Asked { ttl: parse(ttl), period: parse(period), explicit_max: parse(explicit), root };
            assert_eq!(bounds.give(&asked), (parse(given), warning), "{ttl:?} {period:?} {explicit:?} {root}");
        }
    }

    /// Each as on the peer, but for the lesser of the role's and the token's own bounds, which there is forgotten.
    #[test]
    fn a_renewal_gives_what_is_left() {
        let role = |period: &str, explicit: &str| {
            Some(Role { period: parse(period), explicit_max_ttl: parse(explicit), ..Role::default() })
        };
        // Life, period and explicit maximum of the token; its role; its age and the increment; what it gets.
        for (ttl, period, explicit, role, age, increment, given, warns) in [
            ("1h", "", "", None, "1m", "", "1h", false),
            ("1h", "", "", None, "1m", "10m", "10m", false),
            ("1h", "", "", None, "767h30m", "1h", "30m", true),
            ("1h", "", "1h", None, "20ms", "2h", "59m59s980ms", true),
            ("1h", "", "1h", None, "20ms", "1h", "59m59s980ms", false),
            ("4s", "", "6s", None, "3s", "", "3s", true),
            ("30m", "30m", "", None, "1000h", "2h", "30m", false),
            ("30m", "30m", "1h", None, "50m", "", "10m", true),
            ("1h", "", "", role("2h", ""), "1000h", "10m", "2h", false),
            ("1h", "30m", "", role("2h", ""), "1000h", "10m", "30m", false),
            ("1h", "", "2h", role("", "1h"), "10m", "5h", "50m", true),
            ("1h", "", "", role("99999h", ""), "1h", "", "768h", true),
        ] {
            let entry = Entry {
                creation_ttl: parse(ttl),
                period: parse(period),
                explicit_max_ttl: parse(explicit),
                ..Entry::default()
            };
            let now = UnixTime(0).plus(parse(age));
            let (life, warning) = BOUNDS.renew(&entry, role.as_ref(), now, parse(increment));
            assert_eq!((life, warning.is_some()), (parse(given), warns), "{ttl} {period} {explicit} {age} {increment}");
        }
        let entry = Entry { renewed: Some(UnixTime(0)), expires: Some(UnixTime(0).plus(2 * H)), ..Entry::default() };
        assert_eq!(BOUNDS.renew(&entry, None, UnixTime(0).plus(H), Duration::ZERO), (2 * H, None));
    }
}
