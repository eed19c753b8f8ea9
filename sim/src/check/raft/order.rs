//! The order of a node's own marks: purged <= snapshot <= flushed <= applied <= committed <= last. `flushed` is in it
//! because RocksDB runs without a write-ahead log: what is purged from the log must be in flushed state.

use crate::check::Evidence;
use crate::outcome::Violation;

/// The marks, the lowest first; one that a node does not report is passed over.
const MARKS: [&str; 6] = ["purged", "snapshot", "flushed", "applied", "committed", "last"];

/// Judges every `mark` event.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    for event in super::events(&evidence.events).filter(|event| event.name == "mark") {
        let marks: Vec<(&str, u64)> = MARKS.iter().filter_map(|mark| Some((*mark, event.number(mark)?))).collect();
        for pair in marks.windows(2).filter(|pair| pair[0].1 > pair[1].1) {
            let what = format!("{} is above {}: {event}", pair[0].0, pair[1].0);
            violations.push(Violation::safety("raft-order", what));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::sample::events;

    #[test]
    fn marks_out_of_order_fail() {
        let found = |line: &str| check(&events(&[("n1", "raft", line)])).len();
        assert_eq!(found("mark last=9 committed=8 applied=7 flushed=6 snapshot=5 purged=5"), 0);
        assert_eq!(found("mark last=9 committed=8 applied=7 snapshot=5 purged=5"), 0);
        assert_eq!(found("mark last=9 committed=8 applied=7 flushed=6 snapshot=5 purged=6"), 1);
        assert_eq!(found("mark last=9 committed=7 applied=8"), 1);
    }
}
