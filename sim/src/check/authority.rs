//! I9: no request is allowed that the policies forbid at every instant between request and answer, and none is denied
//! that they allow at each: after an acknowledged change of a policy the old one is honoured by no node (the reference
//! monitor of Anderson 1972; the register of Herlihy and Wing 1990, section 3).

use super::Evidence;
use super::tokens::{Tokens, may_hold};
use crate::outcome::Violation;
use crate::workload::acts::{Act, Deed, Verdict};

/// Judges every use of a token.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let tokens = Tokens::new(&evidence.acts);
    let found = evidence.acts.iter().filter_map(|act| judge(&tokens, &evidence.acts, act));
    found.map(|what| Violation::safety("authority", what)).collect()
}

fn judge(tokens: &Tokens<'_>, acts: &[Act], act: &Act) -> Option<String> {
    let Deed::Use { token, policy } = act.deed else { return None };
    let holds = tokens.terms(token)?.policy.is_none_or(|own| own == policy);
    let may_be = |wanted: bool| {
        let sets = |act: &&Act| matches!(act.deed, Deed::SetPolicy { policy: set, .. } if set == policy);
        let writes: Vec<&Act> = acts.iter().filter(sets).collect();
        let opens = |act: &Act| matches!(act.deed, Deed::SetPolicy { open, .. } if open == wanted);
        writes.iter().any(|write| opens(write) && may_hold(write, &writes, act, is_later_version))
    };
    match act.verdict {
        Verdict::Done if !holds => Some(format!("a token was served without the policy: {act}")),
        Verdict::Done if !may_be(true) => Some(format!("a token was served by a policy that was closed: {act}")),
        Verdict::Denied if holds && !may_be(false) && !tokens.may_be_dead(token, act) => {
            Some(format!("a living token was denied what its policy opens: {act}"))
        }
        Verdict::Refused { status } => Some(format!("a secret that is there was answered by {status}: {act}")),
        _ => None,
    }
}

/// Policies are written by check-and-set: of two writes the one on the higher version is the later one.
fn is_later_version(one: &Act, other: &Act) -> bool {
    match (&one.deed, &other.deed) {
        (Deed::SetPolicy { cas: one, .. }, Deed::SetPolicy { cas: other, .. }) => one >= other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::sample::{act, birth, done, found, lost, use_of};
    use super::*;

    fn set(open: bool, cas: u64) -> Deed {
        Deed::SetPolicy { policy: 0, open, cas }
    }

    fn acts(rest: Vec<Act>) -> Vec<String> {
        let mut all = vec![done(0, set(true, 0), (0, 1)), birth(1, 1, None, 0)];
        all.extend(rest);
        found(check, all)
    }

    #[test]
    fn a_closed_policy_is_honoured_at_once() {
        let close = || done(2, set(false, 1), (10, 12));
        assert!(acts(vec![close(), done(3, use_of(1), (9, 20))]).is_empty(), "concurrent");
        assert!(acts(vec![close(), act(3, use_of(1), (13, 14), Verdict::Denied)]).is_empty());
        assert!(acts(vec![close(), done(3, use_of(1), (13, 14))])[0].contains("closed"));
        assert!(acts(vec![close(), done(3, use_of(1), (13, 14)), lost(4, set(true, 2), 11)]).is_empty());
        // That write was on the version before: it can no longer come.
        assert_eq!(acts(vec![close(), done(3, use_of(1), (13, 14)), lost(4, set(true, 1), 5)]).len(), 1);
    }

    #[test]
    fn a_denial_needs_a_reason() {
        let denied = || act(9, use_of(1), (13, 14), Verdict::Denied);
        assert!(acts(vec![denied()])[0].contains("living token"));
        assert!(acts(vec![lost(2, set(false, 1), 10), denied()]).is_empty());
        assert!(acts(vec![lost(2, Deed::Revoke { token: 1 }, 10), denied()]).is_empty());
        assert_eq!(acts(vec![done(2, Deed::Revoke { token: 2 }, (10, 11)), denied()]).len(), 1);
        assert!(acts(vec![act(9, use_of(1), (99, 101), Verdict::Denied)]).is_empty(), "it may have expired");
        let absent = act(9, use_of(1), (13, 14), Verdict::Refused { status: 404 });
        assert_eq!(acts(vec![absent]).len(), 1);
    }

    #[test]
    fn another_policy_opens_nothing() {
        let other = Deed::Use { token: 1, policy: 5 };
        assert!(acts(vec![done(2, other.clone(), (3, 4))])[0].contains("without the policy"));
        assert!(acts(vec![act(2, other, (3, 4), Verdict::Denied)]).is_empty());
    }
}
