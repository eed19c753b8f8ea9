//! What never falls within a process: committed and applied index, and the term (Ongaro and Ousterhout 2014, section 5.1).

use std::collections::BTreeMap;

use crate::check::Evidence;
use crate::outcome::Violation;

/// Judges every event that carries one of them.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut terms: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut marks: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut violations = Vec::new();
    for event in super::events(&evidence.events) {
        let node = event.event.node.as_str();
        let mut falls = |what: &str, from: u64, to: u64| {
            let what = format!("{what} falls from {from} to {to}: {event}");
            violations.push(Violation::safety("raft-monotonic", what));
        };
        match event.name {
            // A process begins anew with what it found on its disk; `honest-recovery` judges that.
            "start" => {
                marks.retain(|(of, _), _| *of != node);
                terms.extend(event.number("term").map(|term| (event.who(), term)));
            }
            "mark" => {
                for mark in ["committed", "applied"] {
                    let Some(now) = event.number(mark) else { continue };
                    if let Some(before) = marks.insert((node, mark), now).filter(|before| *before > now) {
                        falls(mark, before, now);
                    }
                }
            }
            "role" | "vote" => {
                let Some(now) = event.number("term") else { continue };
                if let Some(before) = terms.insert(event.who(), now).filter(|before| *before > now) {
                    falls("term", before, now);
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

    fn found(lines: &[&str]) -> usize {
        let lines: Vec<_> = lines.iter().map(|line| ("n1", "raft", *line)).collect();
        check(&events(&lines)).len()
    }

    #[test]
    fn a_term_that_falls_fails() {
        assert_eq!(found(&["role incarnation=1 term=4 role=follower", "role incarnation=1 term=5 role=leader"]), 0);
        assert_eq!(
            found(&["vote incarnation=1 term=4", "start incarnation=1", "role incarnation=1 term=3 role=follower"]),
            1
        );
        assert_eq!(
            found(&["vote incarnation=1 term=4", "start incarnation=2", "role incarnation=2 term=1 role=learner"]),
            0
        );
    }

    #[test]
    fn marks_may_fall_only_with_the_process() {
        assert_eq!(found(&["mark applied=4 committed=5", "mark applied=3 committed=5"]), 1);
        assert_eq!(found(&["mark applied=4 committed=5", "start last=9", "mark applied=3 committed=5"]), 0);
    }
}
