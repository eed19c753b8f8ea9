//! I14: what may happen once, or so many times, happens no more often: an answer is unwrapped once, a token of n uses
//! serves n requests, denied ones included, over any races, retries and failovers; and no use is lost (Herlihy 1991,
//! section 3: the consensus object behind both).

use std::collections::BTreeMap;

use super::Evidence;
use super::tokens::{SKEW, Tokens};
use crate::outcome::Violation;
use crate::workload::acts::{Act, Deed, Verdict};

/// Judges wrapped answers and tokens of limited uses. That no use is lost is `authority`'s part: a denial needs a reason.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let found = unwraps(&evidence.acts).into_iter().chain(uses(&evidence.acts));
    found.map(|what| Violation::safety("once", what)).collect()
}

fn unwraps(acts: &[Act]) -> Vec<String> {
    let mut wraps: BTreeMap<usize, (&Act, u64)> = BTreeMap::new();
    let mut attempts: BTreeMap<usize, Vec<&Act>> = BTreeMap::new();
    for act in acts {
        match act.deed {
            Deed::Wrap { wrap, ttl } if act.is_done() => drop(wraps.insert(wrap, (act, ttl.as_nanos() as u64))),
            Deed::Unwrap { wrap } => attempts.entry(wrap).or_default().push(act),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (wrap, attempts) in attempts {
        let Some((made, ttl)) = wraps.get(&wrap) else { continue };
        let mut done = attempts.iter().filter(|act| act.is_done());
        if let (Some(first), Some(second)) = (done.next(), done.next()) {
            found.push(format!("an answer was unwrapped twice: {first} and {second}"));
        }
        let skew = SKEW.as_nanos() as u64;
        let late = attempts.iter().filter(|act| act.is_done() && act.start_ns > made.end_ns + ttl + skew);
        found.extend(late.map(|act| format!("an answer was unwrapped after its time: {act}, made by {made}")));
        let lost = attempts.iter().filter(|act| {
            let others =
                attempts.iter().any(|other| other.id != act.id && other.may_be_done() && other.start_ns < act.end_ns);
            let refused = matches!(act.verdict, Verdict::Refused { .. } | Verdict::Denied);
            refused && !others && act.end_ns + skew < made.start_ns + ttl && act.start_ns > made.end_ns
        });
        found.extend(lost.map(|act| format!("a wrapped answer is gone that nobody has taken: {act}, made by {made}")));
    }
    found
}

fn uses(acts: &[Act]) -> Vec<String> {
    let tokens = Tokens::new(acts);
    let mut found = Vec::new();
    for token in tokens.all() {
        let Some(uses) = tokens.terms(token).map(|terms| terms.uses).filter(|uses| *uses > 0) else { continue };
        let asked = tokens.asked(token);
        let served = asked.iter().filter(|act| act.is_done()).count() as u64;
        if served > uses {
            found.push(format!("a token of {uses} uses served {served} requests: token {token}"));
        }
        // Whatever was answered while it lived took a use, and it lived as long as it served.
        for act in asked.iter().filter(|act| act.is_done()) {
            let answered = asked.iter().filter(|other| {
                !matches!(other.verdict, Verdict::Unknown { .. } | Verdict::Unsent) && other.end_ns < act.start_ns
            });
            let before = answered.count() as u64;
            if before >= uses {
                found.push(format!("a token of {uses} uses served after {before} requests were answered: {act}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tokens::sample::{act, birth, done, found, lost, use_of};
    use super::*;

    const UNWRAP: Deed = Deed::Unwrap { wrap: 1 };
    const GONE: Verdict = Verdict::Refused { status: 400 };

    fn wrapped(rest: Vec<Act>) -> Vec<String> {
        let mut all = vec![done(0, Deed::Wrap { wrap: 1, ttl: Duration::from_secs(50) }, (0, 1))];
        all.extend(rest);
        found(check, all)
    }

    #[test]
    fn an_answer_is_unwrapped_once() {
        assert!(wrapped(vec![done(1, UNWRAP, (2, 4)), act(2, UNWRAP, (3, 5), GONE)]).is_empty());
        assert!(wrapped(vec![done(1, UNWRAP, (2, 4)), done(2, UNWRAP, (3, 5))])[0].contains("twice"));
        assert!(wrapped(vec![lost(1, UNWRAP, 2), act(2, UNWRAP, (3, 5), GONE)]).is_empty());
        assert!(wrapped(vec![act(2, UNWRAP, (3, 5), GONE)])[0].contains("nobody has taken"));
        assert!(wrapped(vec![act(2, UNWRAP, (50, 51), GONE)]).is_empty());
        assert!(wrapped(vec![done(2, UNWRAP, (52, 53))])[0].contains("after its time"));
    }

    #[test]
    fn uses_are_counted_denied_ones_too() {
        let served = |id, at| done(id, use_of(1), (at, at + 1));
        let of_two = |rest: Vec<Act>| {
            let mut all = vec![birth(0, 1, None, 2)];
            all.extend(rest);
            found(check, all)
        };
        assert!(of_two(vec![served(1, 2), served(2, 4), act(3, use_of(1), (6, 7), Verdict::Denied)]).is_empty());
        assert!(of_two(vec![served(1, 2), served(2, 2), served(3, 2)])[0].contains("served 3"));
        let denied = |id, at| act(id, Deed::Use { token: 1, policy: 9 }, (at, at + 1), Verdict::Denied);
        assert!(of_two(vec![denied(1, 2), served(2, 4)]).is_empty());
        assert!(of_two(vec![denied(1, 2), denied(2, 4), served(3, 6)])[0].contains("after 2 requests"));
    }
}
