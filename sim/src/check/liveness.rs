//! L1 to L3 as far as the history shows them: every call of the final phase, when all faults have ended and the cluster
//! serves again, ends with an answer within its deadline. That the cluster serves again in bounded time (`serves-again`)
//! is the driver's part: it waits for it, see `driver/finale.rs`.

use super::Evidence;
use crate::outcome::Violation;
use crate::workload::history::{Outcome, Phase};

/// Judges the calls of the final phase.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let finals = evidence.ops.iter().filter(|op| op.phase == Phase::Final);
    let failed = finals.filter(|op| matches!(op.outcome, Outcome::Unknown { .. } | Outcome::Rejected { .. }));
    failed.map(|op| Violation::liveness("answers-in-time", format!("a healthy cluster did not answer: {op}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{history, lost_put, put};
    use super::*;

    #[test]
    fn a_call_without_an_answer_fails_in_the_final_phase_only() {
        let mut op = lost_put(0, 1, 0);
        assert!(check(&history(vec![op.clone(), put(1, 2, (0, 1), 1)])).is_empty());
        op.phase = Phase::Final;
        assert_eq!(check(&history(vec![op])).len(), 1);
    }
}
