//! State machine safety, and with it log matching and "committed is immutable": what one node has applied at an index, no
//! node ever applies otherwise (Ongaro and Ousterhout 2014, figure 3; TLA+ `StateMachineSafety`).

use std::collections::BTreeMap;

use crate::check::Evidence;
use crate::check::raft::RaftEvent;
use crate::outcome::Violation;

/// Judges every `apply` event: one entry an index, and in a process each index once and in order.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut entries: BTreeMap<u64, RaftEvent<'_>> = BTreeMap::new();
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    let mut violations = Vec::new();
    let mut violation = |what: String| violations.push(Violation::safety("state-machine-safety", what));
    for event in super::events(&evidence.events) {
        let node = event.event.node.as_str();
        match event.name {
            "start" => drop(next.remove(node)),
            // A snapshot moves a node on without applying.
            "install" => drop(next.insert(node, event.number("index").unwrap_or(0) + 1)),
            "apply" => {
                let Some(index) = event.number("index") else { continue };
                if next.insert(node, index + 1).is_some_and(|due| due != index) {
                    violation(format!("an index was applied out of order or twice: {event}"));
                }
                let first = entries.entry(index).or_insert_with(|| event.clone());
                if first.text("term") != event.text("term") || first.text("entry") != event.text("entry") {
                    violation(format!("two entries at one index: {first}, and {event}"));
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
    fn two_entries_at_one_index_fail() {
        let found = |second: &'static str| {
            check(&events(&[("n1", "raft", "apply index=5 term=2 entry=aa state=1"), ("n2", "raft", second)])).len()
        };
        assert_eq!(found("apply index=5 term=2 entry=aa state=1"), 0);
        assert_eq!(found("apply index=5 term=3 entry=aa state=1"), 1);
        assert_eq!(found("apply index=5 term=2 entry=bb state=1"), 1);
    }

    #[test]
    fn applying_twice_or_out_of_order_fails_but_a_restart_may_repeat() {
        let apply = |index| format!("apply index={index} term=1 entry={index} state=-");
        let found = |lines: &[String]| {
            let lines: Vec<_> = lines.iter().map(|line| ("n1", "raft", line.as_str())).collect();
            check(&events(&lines)).len()
        };
        assert_eq!(found(&[apply(1), apply(2), "start last=2".to_string(), apply(1)]), 0);
        assert_eq!(found(&[apply(1), "install index=7".to_string(), apply(8)]), 0);
        assert_eq!(found(&[apply(1), apply(1)]), 1);
        assert_eq!(found(&[apply(1), apply(3)]), 1);
    }
}
