//! The order of a node's own marks: purged <= snapshot <= flushed <= applied <= committed <= last. `flushed` is in it
//! because RocksDB runs without a write-ahead log: what is purged from the log must be in flushed state.

use std::collections::BTreeMap;

use crate::check::Evidence;
use crate::outcome::Violation;

/// The marks, the lowest first; one that a node does not report is passed over.
const MARKS: [&str; 6] = ["purged", "snapshot", "flushed", "applied", "committed", "last"];

/// Judges every `mark` event. What is flushed is told on its own: `purged` is compared with what the node's last flush, or
/// the state that it found at its start or got by a snapshot, holds.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut flushed: BTreeMap<&str, u64> = BTreeMap::new();
    let mut violations = Vec::new();
    for event in super::events(&evidence.events) {
        let node = event.event.node.as_str();
        match event.name {
            "found" | "install" => drop(flushed.insert(node, event.number("index").unwrap_or(0))),
            "mark" => {
                flushed.extend(event.number("flushed").map(|index| (node, index)));
                let marks: Vec<(&str, u64)> =
                    MARKS.iter().filter_map(|mark| Some((*mark, event.number(mark)?))).collect();
                for pair in marks.windows(2).filter(|pair| pair[0].1 > pair[1].1) {
                    let what = format!("{} is above {}: {event}", pair[0].0, pair[1].0);
                    violations.push(Violation::safety("raft-order", what));
                }
                if let (Some(purged), Some(flushed)) = (event.number("purged"), flushed.get(node))
                    && purged > *flushed
                {
                    let what = format!("purged is above what was flushed, {flushed}: {event}");
                    violations.push(Violation::safety("raft-order", what));
                }
            }
            _ => {}
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
        let all = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("n1", "raft", *line)).collect();
            check(&events(&lines)).len()
        };
        let found = |line: &str| all(&[line]);
        assert_eq!(found("mark last=9 committed=8 applied=7 flushed=6 snapshot=5 purged=5"), 0);
        assert_eq!(found("mark last=9 committed=8 applied=7 snapshot=5 purged=5"), 0);
        assert_eq!(found("mark last=9 committed=8 applied=7 flushed=6 snapshot=5 purged=6"), 1);
        assert_eq!(found("mark last=9 committed=7 applied=8"), 1);
        let purged = "mark last=9 committed=8 applied=7 snapshot=5 purged=5";
        assert_eq!(all(&["found index=2 state=a", "mark flushed=5", purged]), 0);
        assert_eq!(all(&["found index=2 state=a", "mark flushed=4", purged]), 1);
        assert_eq!(all(&["mark flushed=5", "found index=2 state=a", purged]), 1);
        assert_eq!(all(&["found index=2 state=a", "install index=5 state=b", purged]), 0);
    }
}
