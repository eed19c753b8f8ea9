//! What the checkers of acts know of tokens: who descends from whom, and when one may or must be dead.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::workload::acts::{Act, Deed, Terms, Verdict};

/// Wall clocks are off by up to 200 ms either way: two nodes may judge an expiry that far apart, twice over.
pub const SKEW: Duration = Duration::from_millis(400);

/// The acts of a run by token.
pub struct Tokens<'a> {
    /// The acknowledged creation of each token.
    births: BTreeMap<usize, (&'a Act, &'a Terms)>,
    /// Revocations of each token.
    revocations: BTreeMap<usize, Vec<&'a Act>>,
    /// Renewals of each token.
    renewals: BTreeMap<usize, Vec<&'a Act>>,
    /// What each token asked for.
    asked: BTreeMap<usize, Vec<&'a Act>>,
}

impl<'a> Tokens<'a> {
    /// Sorts acts by token.
    pub fn new(acts: &'a [Act]) -> Tokens<'a> {
        let mut tokens = Tokens {
            births: BTreeMap::new(),
            revocations: BTreeMap::new(),
            renewals: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        for act in acts {
            match &act.deed {
                Deed::Create { token, terms } if act.is_done() => drop(tokens.births.insert(*token, (act, terms))),
                Deed::Revoke { token } => tokens.revocations.entry(*token).or_default().push(act),
                Deed::Renew { token } => tokens.renewals.entry(*token).or_default().push(act),
                _ => {}
            }
            if let Some(token) = act.deed.by() {
                tokens.asked.entry(token).or_default().push(act);
            }
        }
        tokens
    }

    /// What a token was made with, if its creation was acknowledged.
    pub fn terms(&self, token: usize) -> Option<&'a Terms> {
        self.births.get(&token).map(|(_, terms)| *terms)
    }

    /// The token and all that it descends from.
    pub fn lineage(&self, token: usize) -> Vec<usize> {
        std::iter::successors(Some(token), |token| self.terms(*token)?.parent).collect()
    }

    /// What a token asked for, in order of beginning.
    pub fn asked(&self, token: usize) -> &[&'a Act] {
        self.asked.get(&token).map_or(&[], Vec::as_slice)
    }

    /// All tokens whose creation was acknowledged.
    pub fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.births.keys().copied()
    }

    /// An acknowledged revocation of the token or of one that it descends from, which had ended when `act` began.
    pub fn revoked_before(&self, token: usize, act: &Act) -> Option<&'a Act> {
        let lineage = self.lineage(token);
        let all = lineage.iter().filter_map(|token| self.revocations.get(token)).flatten();
        all.copied().find(|revocation| revocation.is_done() && revocation.end_ns < act.start_ns)
    }

    /// Why the token must have been dead by age when `act` began.
    pub fn expired_before(&self, token: usize, act: &Act) -> Option<String> {
        let dead = |token: &usize| self.latest_end(*token).is_some_and(|end| end + ns(SKEW) < act.start_ns);
        let dead = self.lineage(token).into_iter().find(dead)?;
        Some(format!("token {dead} lived until {:.3} ms at the latest", self.latest_end(dead)? as f64 / 1e6))
    }

    /// Whether the token may have been dead at some instant of `act`: revoked, expired, or used up.
    pub fn may_be_dead(&self, token: usize, act: &Act) -> bool {
        let revoked = |token: &usize| {
            let all = self.revocations.get(token).into_iter().flatten();
            all.into_iter().any(|revocation| revocation.may_be_done() && revocation.start_ns < act.end_ns)
        };
        let expired = |token: &usize| self.earliest_end(*token, act).is_none_or(|end| end < act.end_ns + ns(SKEW));
        self.lineage(token).iter().any(|token| revoked(token) || expired(token)) || self.may_be_used_up(token, act)
    }

    fn may_be_used_up(&self, token: usize, act: &Act) -> bool {
        let Some(terms) = self.terms(token) else { return true };
        let asked = self.asked(token).iter().filter(|other| other.id != act.id && other.verdict != Verdict::Unsent);
        let others = asked.filter(|other| other.start_ns < act.end_ns).count();
        terms.uses > 0 && others as u64 >= terms.uses
    }

    /// The latest moment at which a token may live.
    fn latest_end(&self, token: usize) -> Option<u64> {
        let (birth, terms) = self.births.get(&token)?;
        let last = birth.end_ns + ns(terms.max);
        let renewed = self.renewals.get(&token).into_iter().flatten().filter_map(|renewal| match renewal.verdict {
            Verdict::Unknown { .. } => Some(last),
            _ if renewal.is_done() => Some(last.min(renewal.end_ns + ns(terms.ttl))),
            _ => None,
        });
        renewed.chain([birth.end_ns + ns(terms.ttl)]).max()
    }

    /// The earliest moment at which a token may have died of age, as far as renewals that ended before `act` say.
    fn earliest_end(&self, token: usize, act: &Act) -> Option<u64> {
        let (birth, terms) = self.births.get(&token)?;
        let last = birth.start_ns + ns(terms.max);
        let renewals = self.renewals.get(&token).into_iter().flatten();
        let before = renewals.filter(|renewal| renewal.is_done() && renewal.end_ns < act.start_ns);
        let renewed = before.map(|renewal| last.min(renewal.start_ns + ns(terms.ttl)));
        renewed.chain([birth.start_ns + ns(terms.ttl)]).max()
    }
}

/// Whether a register may have held what `write` set at some instant of `act`: `write` may have taken effect by then, and
/// no later write was acknowledged before `act` began. `later(a, b)` tells that `a` is after `b` whatever their times say.
pub fn may_hold(write: &Act, all: &[&Act], act: &Act, later: impl Fn(&Act, &Act) -> bool) -> bool {
    let overwrites = |other: &&Act| {
        other.id != write.id
            && other.is_done()
            && other.end_ns < act.start_ns
            && (other.start_ns > write.end_ns || later(other, write))
    };
    write.may_be_done() && write.start_ns <= act.end_ns && !all.iter().any(overwrites)
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Hand-written acts for the checkers' negative tests; times in seconds.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use crate::check::Evidence;
    use crate::workload::history::Phase;

    pub fn act(id: usize, deed: Deed, span: (u64, u64), verdict: Verdict) -> Act {
        let at = |seconds: u64| seconds.saturating_mul(1_000_000_000);
        let (start_ns, end_ns) = (at(span.0), at(span.1));
        Act { id, client: id, node: 0, deed, phase: Phase::Load, start_ns, end_ns, verdict }
    }

    pub fn done(id: usize, deed: Deed, span: (u64, u64)) -> Act {
        act(id, deed, span, Verdict::Done)
    }

    pub fn lost(id: usize, deed: Deed, start: u64) -> Act {
        act(id, deed, (start, u64::MAX), Verdict::Unknown { why: "deadline".into() })
    }

    /// A token that lives for 100 s, and 200 s if it is renewed.
    pub fn birth(id: usize, token: usize, parent: Option<usize>, uses: u64) -> Act {
        let seconds = Duration::from_secs;
        let terms = Terms { parent, policy: Some(0), uses, ttl: seconds(100), max: seconds(200) };
        done(id, Deed::Create { token, terms }, (0, 1))
    }

    pub fn use_of(token: usize) -> Deed {
        Deed::Use { token, policy: 0 }
    }

    pub fn evidence(acts: Vec<Act>) -> Evidence {
        Evidence { acts, ..Evidence::default() }
    }

    pub fn found(check: fn(&Evidence) -> Vec<crate::outcome::Violation>, acts: Vec<Act>) -> Vec<String> {
        check(&evidence(acts)).into_iter().map(|violation| violation.what).collect()
    }
}
