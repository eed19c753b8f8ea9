//! I8: recovery is honest. What a node has reported as durable is there when it starts again; a node that has lost such
//! data (a rolled-back or rotten disk) never votes, stands or acknowledges again as that incarnation, and says why.
//! (Alagappan et al. 2018, protocol-aware recovery for consensus-based storage.)

use std::collections::BTreeMap;

use super::Evidence;
use super::raft::RaftEvent;
use crate::outcome::Violation;

/// Judges what each incarnation does after a start with less than it had promised.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut durable: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut terms: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut forgetful: BTreeMap<(&str, u64), String> = BTreeMap::new();
    let mut violations = Vec::new();
    for event in super::raft::events(&evidence.events) {
        let who = event.who();
        match event.name {
            "start" => {
                if let Some(what) = lost(&event, durable.get(&who), terms.get(&who)) {
                    forgetful.insert(who, what);
                }
            }
            "truncate" => {
                if let (Some(from), Some(index)) = (event.number("from"), durable.get_mut(&who)) {
                    *index = (*index).min(from.saturating_sub(1));
                }
            }
            _ => {}
        }
        let promises = matches!(event.name, "durable" | "vote")
            || (event.name == "role" && matches!(event.text("role"), "leader" | "candidate"));
        if promises && let Some(what) = forgetful.get(&who) {
            violations.push(Violation::safety("honest-recovery", format!("{event}, although it {what}")));
        }
        match event.name {
            "durable" => drop(durable.insert(who, event.number("index").unwrap_or(0))),
            "vote" => drop(terms.insert(who, event.number("term").unwrap_or(0))),
            _ => {}
        }
    }
    violations
}

fn lost(start: &RaftEvent<'_>, durable: Option<&u64>, term: Option<&u64>) -> Option<String> {
    let falls = |what: &str, had: Option<&u64>, has: Option<u64>| {
        let had = *had?;
        (has? < had).then(|| format!("started with {what} {} where {had} was durable", has.unwrap_or(0)))
    };
    falls("last index", durable, start.number("last")).or_else(|| falls("term", term, start.number("term")))
}

#[cfg(test)]
mod tests {
    use super::super::sample::events;
    use super::*;

    fn found(lines: &[&str]) -> usize {
        let lines: Vec<_> = lines.iter().map(|line| ("n1", "raft", *line)).collect();
        check(&events(&lines)).len()
    }

    #[test]
    fn a_node_that_forgot_must_not_promise_again() {
        let had = ["vote incarnation=1 term=4 for=1", "durable incarnation=1 index=9 term=4"];
        let start = |last, term| format!("start incarnation=1 last={last} term={term}");
        let votes = "vote incarnation=1 term=5 for=2";
        assert_eq!(found(&[had[0], had[1], &start(9, 4), votes]), 0);
        assert_eq!(found(&[had[0], had[1], &start(8, 4), votes]), 1);
        assert_eq!(found(&[had[0], had[1], &start(9, 3), votes]), 1);
        assert_eq!(found(&[had[0], had[1], &start(8, 4), "refuse incarnation=1 reason=copy"]), 0);
        assert_eq!(found(&[had[0], had[1], "start incarnation=2 last=0 term=0", "vote incarnation=2 term=5 for=2"]), 0);
    }

    #[test]
    fn a_truncation_takes_the_promise_back() {
        let lines = [
            "durable incarnation=1 index=9 term=4",
            "truncate incarnation=1 from=8",
            "start incarnation=1 last=7 term=4",
        ];
        assert_eq!(found(&[lines[0], lines[1], lines[2], "vote incarnation=1 term=5 for=2"]), 0);
    }
}
