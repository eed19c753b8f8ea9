//! I7: at an equal applied index all nodes have the same state, ciphertext included: equal set hashes in their `apply`
//! events, and what a start found or a snapshot brought, hashed anew, is no other state (TigerBeetle's state checker).

use std::collections::BTreeMap;

use super::Evidence;
use crate::outcome::Violation;

/// The events that carry a state hash.
const STATES: [&str; 3] = ["apply", "install", "found"];

/// Judges every event that carries a state hash.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut states: BTreeMap<u64, super::raft::RaftEvent<'_>> = BTreeMap::new();
    let mut violations = Vec::new();
    for event in super::raft::events(&evidence.events).filter(|event| STATES.contains(&event.name)) {
        let (Some(index), false) = (event.number("index"), matches!(event.text("state"), "" | "-")) else { continue };
        let first = states.entry(index).or_insert_with(|| event.clone());
        if first.text("state") != event.text("state") {
            violations
                .push(Violation::safety("replica-equality", format!("two states at one index: {first}, and {event}")));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::sample::events;
    use super::*;

    #[test]
    fn two_states_at_one_index_fail() {
        let found = |second: &'static str| {
            check(&events(&[("n1", "raft", "apply index=5 term=2 entry=aa state=1"), ("n2", "raft", second)])).len()
        };
        assert_eq!(found("apply index=5 term=2 entry=aa state=1"), 0);
        assert_eq!(found("apply index=5 term=2 entry=aa state=-"), 0);
        assert_eq!(found("apply index=5 term=2 entry=aa state=2"), 1);
        assert_eq!(found("install index=5 state=2"), 1);
        assert_eq!(found("found index=5 state=2"), 1);
    }
}
