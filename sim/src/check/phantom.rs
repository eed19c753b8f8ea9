//! I5: what is read was written by a known attempt, and not by one that was rejected with a 4xx.

use std::collections::BTreeMap;

use super::Evidence;
use crate::outcome::Violation;
use crate::workload::history::{Ask, Op, Outcome};

/// Judges every read.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let attempts: BTreeMap<u64, &Op> = evidence
        .ops
        .iter()
        .filter_map(|op| match op.ask {
            Ask::Put { serial, .. } => Some((serial, op)),
            Ask::Get => None,
        })
        .collect();
    let mut violations = Vec::new();
    for op in &evidence.ops {
        let Outcome::Read { serial, .. } = op.outcome else { continue };
        let what = match attempts.get(&serial) {
            None => format!("nobody wrote what was read: {op}"),
            Some(put) if put.key != op.key => format!("what was read was written to another key: {op} saw {put}"),
            Some(put) if matches!(put.outcome, Outcome::Rejected { .. }) => {
                format!("a rejected write was read: {op} saw {put}")
            }
            Some(_) => continue,
        };
        violations.push(Violation::safety("phantom", what));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::sample::{cas, get, history, lost_put, put};
    use super::*;

    #[test]
    fn only_attempts_that_were_not_rejected_may_be_read() {
        let read = |put: Op| check(&history(vec![put, get(1, (50, 60), 1, 7)]));
        assert!(read(put(0, 7, (0, 10), 1)).is_empty());
        assert!(read(lost_put(0, 7, 0)).is_empty());
        assert!(read(put(0, 8, (0, 10), 1))[0].what.contains("nobody wrote"));
        let rejected = cas(0, 7, 0, (0, 10), Outcome::Rejected { status: 400 });
        assert!(read(rejected)[0].what.contains("rejected write"));
        let mut elsewhere = put(0, 7, (0, 10), 1);
        elsewhere.key = "other".to_string();
        assert!(read(elsewhere)[0].what.contains("another key"));
    }
}
