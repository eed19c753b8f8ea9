//! I1: every acknowledged write is readable at the end, on every node, or was overwritten by a later one.

use std::collections::BTreeMap;

use super::{Evidence, by_key};
use crate::outcome::Violation;
use crate::workload::history::{Ask, Op, Outcome, Phase};

/// Judges each key by the reads of the final phase.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    by_key(&evidence.ops).into_values().flat_map(|ops| check_key(&ops)).collect()
}

fn check_key(ops: &[&Op]) -> Vec<Violation> {
    let acknowledged: BTreeMap<u64, &Op> = ops
        .iter()
        .filter(|op| matches!(op.ask, Ask::Put { .. }))
        .filter_map(|op| op.witness().map(|version| (version, *op)))
        .collect();
    let finals = ops.iter().filter(|op| op.phase == Phase::Final && op.ask == Ask::Get);
    let mut violations = Vec::new();
    for read in finals {
        let Some(version) = read.witness() else { continue };
        let later = acknowledged.range(version + 1..).map(|(_, op)| *op).find(|op| op.end_ns < read.start_ns);
        if let Some(lost) = later {
            violations.push(Violation::safety(
                "durable",
                format!("an acknowledged write is lost: {lost}; at the end {read}"),
            ));
        }
        let (Some(written), Outcome::Read { serial, .. }) = (acknowledged.get(&version), &read.outcome) else {
            continue;
        };
        if !matches!(written.ask, Ask::Put { serial: was, .. } if was == *serial) {
            violations.push(Violation::safety(
                "durable",
                format!("an acknowledged write was replaced: {written}; at the end {read}"),
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::sample::{get, history, missing, put};
    use super::*;

    fn found(mut read: Op) -> Vec<Violation> {
        read.phase = Phase::Final;
        check(&history(vec![put(0, 1, (0, 10), 1), put(1, 2, (20, 30), 2), read]))
    }

    #[test]
    fn what_was_acknowledged_must_be_there_at_the_end() {
        assert!(found(get(2, (40, 50), 2, 2)).is_empty());
        assert!(found(get(2, (40, 50), 3, 7)).is_empty());
        assert!(found(get(2, (40, 50), 1, 1))[0].what.contains("is lost"));
        assert!(found(missing(2, (40, 50)))[0].what.contains("is lost"));
        assert!(found(get(2, (40, 50), 2, 9))[0].what.contains("was replaced"));
    }
}
