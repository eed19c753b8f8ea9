//! Election safety: at most one leader a term (Ongaro and Ousterhout 2014, figure 3; TLA+ `OneLeaderPerTerm`).

use std::collections::BTreeMap;

use crate::check::Evidence;
use crate::outcome::Violation;

/// Judges every `role=leader` event.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut leaders: BTreeMap<u64, (&str, u64)> = BTreeMap::new();
    let mut violations = Vec::new();
    for event in super::events(&evidence.events).filter(|event| event.name == "role" && event.text("role") == "leader")
    {
        let Some(term) = event.number("term") else { continue };
        let first = *leaders.entry(term).or_insert(event.who());
        if first != event.who() {
            violations.push(Violation::safety("election-safety", format!("{event}, but {first:?} led this term")));
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
}
