//! I3: a check-and-set on version v is acknowledged as version v + 1, at most one of those on v is acknowledged, versions
//! are dense, and a check-and-set is not rejected while v surely was the current version (Herlihy 1991, section 3).

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, by_key};
use crate::outcome::Violation;
use crate::workload::history::{Ask, Op, Outcome};

/// Judges each key.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let found = by_key(&evidence.ops).into_values().flat_map(|ops| check_key(&ops));
    found.map(|what| Violation::safety("cas", what)).collect()
}

fn check_key(ops: &[&Op]) -> Vec<String> {
    let mut found = Vec::new();
    let mut winner: BTreeMap<u64, &Op> = BTreeMap::new();
    for op in ops {
        let (Ask::Put { cas: Some(cas), .. }, Outcome::Written { version }) = (&op.ask, &op.outcome) else { continue };
        if *version != cas + 1 {
            found.push(format!("a check-and-set on version {cas} became version {version}: {op}"));
        }
        if let Some(first) = winner.insert(*cas, op) {
            found.push(format!("two check-and-sets on version {cas} succeeded: {first} and {op}"));
        }
    }
    found.extend(gaps(ops));
    found.extend(ops.iter().filter_map(|op| wrongly_rejected(op, ops)));
    found
}

/// Every version below the highest one seen must have been some write: acknowledged, or of unknown outcome.
fn gaps(ops: &[&Op]) -> Option<String> {
    let known: BTreeSet<u64> = ops.iter().filter_map(|op| op.witness()).filter(|version| *version > 0).collect();
    let highest = known.last().copied().unwrap_or(0);
    let missing = highest - known.len() as u64;
    let unknown = ops.iter().filter(|op| op.wrote().is_some() && op.witness().is_none()).count() as u64;
    (missing > unknown).then(|| {
        let key = &ops[0].key;
        format!(
            "versions of {key} are not dense: {missing} below {highest} were never seen, {unknown} writes are unknown"
        )
    })
}

/// A check-and-set that was rejected although its version was the current one from its beginning to its end.
fn wrongly_rejected(op: &Op, ops: &[&Op]) -> Option<String> {
    let (Ask::Put { cas: Some(cas), .. }, Outcome::Rejected { status: 400 }) = (&op.ask, &op.outcome) else {
        return None;
    };
    let before = ops.iter().filter(|other| other.end_ns < op.start_ns).filter_map(|other| other.witness());
    let current = before.max()? == *cas;
    let changed = ops.iter().any(|other| {
        let writes = matches!(other.ask, Ask::Put { .. }) && !matches!(other.outcome, Outcome::Rejected { .. });
        writes && other.start_ns <= op.end_ns && other.witness().is_none_or(|version| version > *cas)
    });
    (current && !changed).then(|| format!("rejected although version {cas} was the current one: {op}"))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{cas, get, history, lost_put, put};
    use super::*;

    fn found(ops: Vec<Op>) -> Vec<String> {
        check(&history(ops)).into_iter().map(|violation| violation.what).collect()
    }

    const REJECTED: Outcome = Outcome::Rejected { status: 400 };

    #[test]
    fn a_good_history_passes() {
        let ops = vec![
            put(0, 1, (0, 10), 1),
            cas(1, 2, 1, (20, 30), Outcome::Written { version: 2 }),
            cas(2, 3, 1, (20, 30), REJECTED),
            lost_put(3, 4, 40),
            get(4, (50, 60), 3, 4),
        ];
        assert_eq!(found(ops), Vec::<String>::new());
    }

    #[test]
    fn two_winners_fail() {
        let won = |id, version| cas(id, id as u64, 1, (0, 10), Outcome::Written { version });
        assert!(found(vec![put(9, 9, (0, 1), 1), won(1, 2), won(2, 2)])[0].starts_with("two check-and-sets"));
        assert!(found(vec![put(9, 9, (0, 1), 1), won(1, 2), won(2, 3)])[0].contains("became version 3"));
    }

    #[test]
    fn a_gap_without_an_unknown_write_fails() {
        assert!(found(vec![put(0, 1, (0, 10), 1), put(1, 2, (20, 30), 3)])[0].contains("not dense"));
        assert!(found(vec![put(0, 1, (0, 10), 1), lost_put(2, 3, 12), put(1, 2, (20, 30), 3)]).is_empty());
    }

    #[test]
    fn a_wrong_rejection_fails() {
        let ops = vec![put(0, 1, (0, 10), 1), cas(1, 2, 1, (20, 30), REJECTED)];
        assert!(found(ops)[0].starts_with("rejected although"));
    }
}
