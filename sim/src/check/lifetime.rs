//! I12 and I13: a token is dead once its revocation, or that of one it descends from, is acknowledged, and once its life
//! is over, on every node and whatever the clocks say within their bound; before that it lives, and neither renewal nor
//! failover makes its longest life longer (Gray and Cheriton 1989, leases).

use super::Evidence;
use super::tokens::Tokens;
use crate::outcome::Violation;
use crate::workload::acts::{Act, Deed, Verdict};

/// Judges everything that tokens asked for.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let tokens = Tokens::new(&evidence.acts);
    let found = evidence.acts.iter().filter_map(|act| judge(&tokens, act));
    found.map(|what| Violation::safety("lifetime", what)).collect()
}

fn judge(tokens: &Tokens<'_>, act: &Act) -> Option<String> {
    let token = act.deed.by()?;
    tokens.terms(token)?;
    if act.is_done() {
        if let Some(revocation) = tokens.revoked_before(token, act) {
            return Some(format!("a revoked token was honoured: {act}, although {revocation} had ended"));
        }
        let expired = tokens.expired_before(token, act)?;
        return Some(format!("an expired token was honoured: {act}, although {expired}"));
    }
    // A use may be denied by a policy: that is `authority`'s part.
    let denied = act.verdict == Verdict::Denied && !matches!(act.deed, Deed::Use { .. });
    (denied && !tokens.may_be_dead(token, act)).then(|| format!("a living token was denied: {act}"))
}

#[cfg(test)]
mod tests {
    use super::super::tokens::sample::{act, birth, done, found, lost, use_of};
    use super::*;

    fn family(rest: Vec<Act>) -> Vec<String> {
        let mut all = vec![birth(0, 1, None, 0), birth(1, 2, Some(1), 0)];
        all.extend(rest);
        found(check, all)
    }

    #[test]
    fn a_revocation_holds_for_all_that_descend() {
        let revoked = |token| done(5, Deed::Revoke { token }, (10, 12));
        assert!(family(vec![revoked(1), done(6, use_of(2), (11, 20))]).is_empty(), "concurrent");
        assert!(family(vec![revoked(1), done(6, use_of(2), (13, 14))])[0].contains("revoked token"));
        assert!(family(vec![revoked(2), done(6, use_of(1), (13, 14))]).is_empty(), "the parent lives on");
        assert!(family(vec![lost(5, Deed::Revoke { token: 1 }, 10), done(6, use_of(2), (13, 14))]).is_empty());
    }

    #[test]
    fn nothing_lives_beyond_its_life() {
        assert!(family(vec![done(5, use_of(2), (101, 102))]).is_empty(), "within the clocks' bound");
        assert!(family(vec![done(5, use_of(2), (102, 103))])[0].contains("expired token"));
        // A renewal gives as much again from its own time on, and never more than the longest life; its parent counts too.
        let renewed = |token, at| done(4, Deed::Renew { token }, (at, at + 1));
        let both = |rest: Act| vec![renewed(1, 90), renewed(2, 90), rest];
        assert!(family(both(done(5, use_of(2), (180, 181)))).is_empty());
        assert_eq!(family(both(done(5, use_of(2), (193, 194)))).len(), 1);
        assert_eq!(family(vec![renewed(2, 90), done(5, use_of(2), (110, 111))]).len(), 1, "the parent has expired");
        let unknown = |token| lost(4, Deed::Renew { token }, 90);
        assert!(family(vec![unknown(1), done(5, use_of(1), (200, 201))]).is_empty());
        assert_eq!(family(vec![unknown(1), done(5, use_of(1), (202, 203))]).len(), 1);
    }

    #[test]
    fn a_living_token_may_renew_itself() {
        let denied = |at| act(5, Deed::Renew { token: 1 }, (at, at + 1), Verdict::Denied);
        assert!(family(vec![denied(50)])[0].contains("living token"));
        assert!(family(vec![denied(99)]).is_empty());
        assert!(family(vec![denied(50), lost(6, Deed::Revoke { token: 1 }, 40)]).is_empty());
    }
}
