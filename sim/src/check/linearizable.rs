//! I2: per key, calls take effect in one order that respects real time (Herlihy and Wing 1990, section 3; by locality
//! each key may be judged alone).
//!
//! KV v2 answers carry a dense version: a witness of the order. With it the search for an order becomes a comparison:
//! a call that begins after another has ended must see at least its version, and a write a later one. O(n log n).
//! A write of unknown outcome counts from its beginning if some read saw it, and not at all otherwise.

use std::collections::BTreeMap;

use super::{Evidence, by_key};
use crate::outcome::Violation;
use crate::workload::history::{Ask, Op, Outcome};

/// Judges each key.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    by_key(&evidence.ops).into_values().flat_map(|ops| check_key(&ops)).collect()
}

fn check_key(ops: &[&Op]) -> Vec<Violation> {
    let violation = |what: String| Violation::safety("linearizable", what);
    let mut violations = Vec::new();
    let mut serial_of: BTreeMap<u64, (u64, &Op)> = BTreeMap::new();
    for op in ops {
        if let Some((version, serial)) = value(op) {
            let first = serial_of.entry(version).or_insert((serial, op));
            if first.0 != serial {
                violations.push(violation(format!("two values at version {version}: {} and {op}", first.1)));
            }
        }
    }
    let mut version_of: BTreeMap<u64, u64> = BTreeMap::new();
    for (version, (serial, op)) in &serial_of {
        if let Some(first) = version_of.insert(*serial, *version) {
            violations.push(violation(format!("a write took effect twice, as versions {first} and {version}: {op}")));
        }
    }

    // The highest version that calls which ended so far have proved, and by which call.
    let mut ended: Vec<&Op> = ops.iter().copied().filter(|op| op.witness().is_some()).collect();
    ended.sort_by_key(|op| op.end_ns);
    let mut ended = ended.into_iter().peekable();
    let mut proved: Option<(u64, &Op)> = None;
    let mut begun = ops.to_vec();
    begun.sort_by_key(|op| (op.start_ns, op.id));
    for op in begun {
        while let Some(before) = ended.next_if(|before| before.end_ns < op.start_ns) {
            let version = before.witness().unwrap_or(0);
            if proved.is_none_or(|(highest, _)| version > highest) {
                proved = Some((version, before));
            }
        }
        let Some((highest, proof)) = proved else { continue };
        match (&op.ask, version_at(op, &version_of)) {
            (Ask::Get, Some(version)) if version < highest => {
                violations.push(violation(format!("a stale read: {op}, although {proof} had ended")));
            }
            (Ask::Put { .. }, Some(version)) if version <= highest => {
                violations.push(violation(format!(
                    "a write into the past, as version {version}: {op}, although {proof} had ended"
                )));
            }
            _ => {}
        }
    }
    violations.extend(reads_of_the_future(ops).into_iter().map(violation));
    violations
}

/// The version at which `op` took effect; for a write of unknown outcome, where a read saw it.
fn version_at(op: &Op, version_of: &BTreeMap<u64, u64>) -> Option<u64> {
    op.witness().or_else(|| version_of.get(&op.wrote()?).copied())
}

fn value(op: &Op) -> Option<(u64, u64)> {
    match (&op.ask, &op.outcome) {
        (Ask::Put { serial, .. }, Outcome::Written { version }) => Some((*version, *serial)),
        (_, Outcome::Read { version, serial }) => Some((*version, *serial)),
        _ => None,
    }
}

/// A read that ended before the write that it saw began.
fn reads_of_the_future(ops: &[&Op]) -> Vec<String> {
    let begun: BTreeMap<u64, &Op> = ops.iter().filter_map(|op| op.wrote().map(|serial| (serial, *op))).collect();
    let early = ops.iter().filter_map(|op| match op.outcome {
        Outcome::Read { serial, .. } => begun.get(&serial).filter(|put| op.end_ns < put.start_ns).map(|put| (op, put)),
        _ => None,
    });
    early.map(|(read, put)| format!("a read of the future: {read} saw {put}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{get, history, lost_put, missing, put};
    use super::*;

    fn found(ops: Vec<Op>) -> Vec<String> {
        check(&history(ops)).into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn a_good_history_passes() {
        let ops = vec![
            missing(0, (0, 10)),
            put(1, 11, (5, 20), 1),
            get(2, (12, 18), 1, 11),
            lost_put(3, 12, 30),
            get(4, (40, 50), 1, 11),
            get(5, (60, 70), 2, 12),
            put(6, 13, (80, 90), 3),
        ];
        assert_eq!(found(ops), Vec::<String>::new());
    }

    #[test]
    fn a_stale_read_fails() {
        let ops = vec![put(0, 1, (0, 10), 1), put(1, 2, (20, 30), 2), get(2, (40, 50), 1, 1)];
        assert!(found(ops)[0].starts_with("a stale read"));
        assert!(found(vec![put(0, 1, (0, 10), 1), missing(1, (20, 30))])[0].starts_with("a stale read"));
    }

    #[test]
    fn reads_that_go_back_fail_even_without_an_acknowledged_write() {
        let ops = vec![put(0, 1, (0, 5), 1), lost_put(1, 2, 10), get(2, (20, 30), 2, 2), get(3, (40, 50), 1, 1)];
        assert!(found(ops)[0].starts_with("a stale read"));
    }

    #[test]
    fn a_write_into_the_past_fails() {
        let ops = vec![put(0, 1, (0, 10), 2), put(1, 2, (20, 30), 1)];
        assert!(found(ops)[0].starts_with("a write into the past"));
        let unknown = vec![put(0, 1, (0, 10), 2), lost_put(1, 2, 20), get(2, (5, 40), 1, 2)];
        assert!(found(unknown)[0].starts_with("a write into the past"));
    }

    #[test]
    fn two_values_at_one_version_fail() {
        let ops = vec![put(0, 1, (0, 10), 1), put(1, 2, (5, 12), 1)];
        assert!(found(ops)[0].starts_with("two values"));
    }

    #[test]
    fn a_write_that_takes_effect_twice_fails() {
        let ops = vec![lost_put(0, 1, 0), get(1, (10, 20), 1, 1), get(2, (30, 40), 2, 1)];
        assert!(found(ops)[0].starts_with("a write took effect twice"));
    }

    #[test]
    fn a_read_of_the_future_fails() {
        let ops = vec![get(0, (0, 10), 1, 1), put(1, 1, (20, 30), 1)];
        assert!(found(ops).iter().any(|what| what.starts_with("a read of the future")));
    }
}
