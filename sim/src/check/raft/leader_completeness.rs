//! Leader completeness: a new leader has every entry that any node has applied before its election (Ongaro and Ousterhout
//! 2014, figure 3; TLA+ `LeaderCompleteness`).

use crate::check::Evidence;
use crate::outcome::Violation;

/// Judges every `role=leader` event by the applied entries before it.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut applied = None;
    let mut violations = Vec::new();
    for event in super::events(&evidence.events) {
        match event.name {
            "apply" => {
                let highest = applied.as_ref().and_then(|event: &super::RaftEvent<'_>| event.number("index"));
                if event.number("index") > highest {
                    applied = Some(event);
                }
            }
            "role" if event.text("role") == "leader" => {
                let Some(before) = &applied else { continue };
                if event.number("term") > before.number("term") && event.number("last") < before.number("index") {
                    let what = format!("{event}, but its log lacks what was applied: {before}");
                    violations.push(Violation::safety("leader-completeness", what));
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
    fn a_leader_without_an_applied_entry_fails() {
        let found = |leader: &'static str| {
            check(&events(&[("n1", "raft", "apply index=5 term=2 entry=aa state=1"), ("n2", "raft", leader)])).len()
        };
        assert_eq!(found("role term=3 role=leader last=5"), 0);
        assert_eq!(found("role term=3 role=leader last=4"), 1);
    }
}
