//! Durations as Vault's clients write them.

use std::time::Duration;

/// Parses a number of seconds (`300`), Go's form (`1h30m`, `1.5h`, `200ms`) or days (`30d`, `1d12h`). `None` if it is
/// neither, negative or too large.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|s: &u64| *s <= i64::MAX as u64 / 1_000_000_000).map(Duration::from_secs);
    }
    let mut rest = text;
    let mut nanos: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "d" => 86_400e9,
            _ => return None,
        };
        rest = &rest[end..];
        nanos += number * unit;
    }
    (nanos <= i64::MAX as f64).then(|| Duration::from_nanos(nanos as u64))
}

/// Go's form in whole seconds: `1h30m0s`, `768h0m0s`, `45s`, `0s`.
pub fn go_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (h, m) {
        (0, 0) => format!("{s}s"),
        (0, _) => format!("{m}m{s}s"),
        _ => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_vault_takes() {
        assert_eq!(parse("300"), Some(Duration::from_secs(300)));
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("1d12h"), Some(Duration::from_secs(129_600)));
        assert_eq!(parse("200ms"), Some(Duration::from_millis(200)));
        for bad in ["", "h", "1", "-1s", "1x", "1.s.", "99999999999999999999", "1h 30m"] {
            assert_eq!(parse(bad).is_some(), bad == "1", "{bad}");
        }
    }

    #[test]
    fn prints_as_go() {
        assert_eq!(go_text(Duration::from_secs(2_764_800)), "768h0m0s");
        assert_eq!(go_text(Duration::from_secs(61)), "1m1s");
        assert_eq!(go_text(Duration::ZERO), "0s");
    }
}
