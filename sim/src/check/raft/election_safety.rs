//! Election safety: at most one leader a term (Ongaro and Ousterhout 2014, figure 3; TLA+ `OneLeaderPerTerm`).

use std::collections::BTreeMap;

use crate::check::Evidence;
use crate::outcome::Violation;

/// Judges every `role=leader` event, and every `vote` that no quorum has granted yet: a node votes once a term, whatever
/// happens to it.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut leaders: BTreeMap<u64, (&str, u64)> = BTreeMap::new();
    let mut votes: BTreeMap<((&str, u64), u64), &str> = BTreeMap::new();
    let mut violations = Vec::new();
    let mut violation = |what: String| violations.push(Violation::safety("election-safety", what));
    for event in super::events(&evidence.events) {
        let Some(term) = event.number("term") else { continue };
        match event.name {
            "role" if event.text("role") == "leader" => {
                let first = *leaders.entry(term).or_insert(event.who());
                if first != event.who() {
                    violation(format!("{event}, but {first:?} led this term"));
                }
            }
            "vote" if event.text("committed") == "false" => {
                let first = *votes.entry((event.who(), term)).or_insert(event.text("for"));
                if first != event.text("for") {
                    violation(format!("{event}, but it had voted for {first}"));
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
    fn two_leaders_of_one_term_fail() {
        let leader = |node, incarnation, term| {
            (node, "raft", format!("role incarnation={incarnation} term={term} role=leader last=1"))
        };
        let found = |a: (&'static str, &'static str, String), b: (&'static str, &'static str, String)| {
            check(&events(&[(a.0, a.1, &a.2), (b.0, b.1, &b.2)])).len()
        };
        assert_eq!(found(leader("n1", 1, 4), leader("n1", 1, 4)), 0);
        assert_eq!(found(leader("n1", 1, 4), leader("n2", 2, 5)), 0);
        assert_eq!(found(leader("n1", 1, 4), leader("n2", 2, 4)), 1);
    }

    #[test]
    fn two_votes_in_one_term_fail() {
        let vote = |term, who, granted| format!("vote incarnation=1 term={term} for={who} committed={granted}");
        let found = |lines: &[String]| {
            let lines: Vec<_> = lines.iter().map(|line| ("n1", "raft", line.as_str())).collect();
            check(&events(&lines)).len()
        };
        let start = || "start incarnation=1 term=4".to_string();
        assert_eq!(found(&[vote(4, 1, false), start(), vote(4, 1, false), vote(5, 2, false)]), 0);
        assert_eq!(found(&[vote(4, 1, false), vote(4, 2, true)]), 0, "another one has won");
        assert_eq!(found(&[vote(4, 1, false), start(), vote(4, 2, false)]), 1);
    }
}
