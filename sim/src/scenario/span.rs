//! Durations and ranges as a scenario writes them: `250ms`, `3s`, `2m`, and `1s..3s`.

use std::ops::Range;
use std::time::Duration;

/// Parses one duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| format!("`{text}` is no duration, like 250ms, 3s or 2m"))?;
    match &text[split..] {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        unit => Err(format!("`{unit}` is no unit of time: us, ms, s or m")),
    }
}

/// Parses `A..B`, or `A` for that alone.
pub fn durations(text: &str) -> Result<Range<Duration>, String> {
    range(text, duration)
}

/// Parses `A..B`, the end excluded, or `A` for that alone.
pub fn numbers(text: &str) -> Result<Range<u64>, String> {
    let range = range(text, |text| text.trim().parse().map_err(|_| format!("`{text}` is no number")))?;
    Ok(range.start..range.end.max(range.start + 1))
}

fn range<T: PartialOrd + Copy>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Range<T>, String> {
    let (start, end) = match text.split_once("..") {
        Some((start, end)) => (parse(start)?, parse(end)?),
        None => (parse(text)?, parse(text)?),
    };
    if end < start { Err(format!("`{text}` ends before it begins")) } else { Ok(start..end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_ranges_parse() {
        let ms = Duration::from_millis;
        assert_eq!(duration("250ms"), Ok(ms(250)));
        assert_eq!(durations("1s..3s"), Ok(ms(1000)..ms(3000)));
        assert_eq!(durations("2m"), Ok(ms(120_000)..ms(120_000)));
        assert_eq!(numbers("3..6"), Ok(3..6));
        assert_eq!(numbers("3"), Ok(3..4));
        for bad in ["", "s", "3", "3h", "-1s", "3s..1s"] {
            assert!(durations(bad).is_err(), "{bad}");
        }
    }
}
