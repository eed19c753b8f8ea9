//! I5 for mounts: what is read from a mount was written into it since it was last enabled; nothing that a disabled mount
//! held comes back, nothing is taken by a mount that is not there, and what a standing mount holds is found (Herlihy and
//! Wing 1990, section 3).

use std::collections::BTreeMap;

use super::Evidence;
use super::tokens::may_hold;
use crate::outcome::Violation;
use crate::workload::acts::{Act, Deed, Verdict};

/// Judges the acts of each mount.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut mounts: BTreeMap<usize, Vec<&Act>> = BTreeMap::new();
    for act in &evidence.acts {
        if let Deed::Enable { mount } | Deed::Disable { mount } | Deed::Store { mount, .. } | Deed::Load { mount } =
            act.deed
        {
            mounts.entry(mount).or_default().push(act);
        }
    }
    let found = mounts.values().flat_map(|acts| acts.iter().filter_map(|act| judge(acts, act)));
    found.map(|what| Violation::safety("mounts", what)).collect()
}

fn judge(acts: &[&Act], act: &Act) -> Option<String> {
    let of = |wanted: fn(&Deed) -> bool| acts.iter().copied().filter(move |act| wanted(&act.deed));
    let switches: Vec<&Act> = of(|deed| matches!(deed, Deed::Enable { .. } | Deed::Disable { .. })).collect();
    let is_there = || {
        let mut enabled = switches.iter().filter(|act| matches!(act.deed, Deed::Enable { .. }));
        enabled.any(|enable| may_hold(enable, &switches, act, |_, _| false))
    };
    let stores = || of(|deed| matches!(deed, Deed::Store { .. }));
    match (&act.deed, &act.verdict) {
        (Deed::Store { .. }, Verdict::Done) | (Deed::Load { .. }, Verdict::Saw { .. }) if !is_there() => {
            Some(format!("a mount that is not there answered: {act}"))
        }
        (Deed::Load { .. }, Verdict::Saw { serial }) => {
            let wrote = |store: &&Act| matches!(store.deed, Deed::Store { serial: wrote, .. } if wrote == *serial);
            let Some(store) = stores().find(wrote).filter(|store| store.may_be_done()) else {
                return Some(format!("nobody wrote what was read: {act}"));
            };
            let after = |other: &&Act| other.is_done() && other.start_ns > store.end_ns && other.end_ns < act.start_ns;
            let is_disable = |deed: &Deed| matches!(deed, Deed::Disable { .. });
            if let Some(disable) = of(is_disable).find(after) {
                return Some(format!("what a disabled mount held came back: {act} saw {store}, although {disable}"));
            }
            let later = stores().find(after)?;
            Some(format!("a stale read: {act} saw {store}, although {later}"))
        }
        (Deed::Load { .. }, Verdict::Refused { .. }) => {
            let held = |store: &&Act| {
                let may_be_gone = switches.iter().any(|switch| {
                    let disables = matches!(switch.deed, Deed::Disable { .. }) && switch.may_be_done();
                    disables && switch.end_ns > store.start_ns && switch.start_ns < act.end_ns
                });
                store.is_done() && store.end_ns < act.start_ns && !may_be_gone
            };
            let store = stores().find(held)?;
            Some(format!("what a standing mount holds was not found: {act}, although {store}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::sample::{act, done, found, lost};
    use super::*;

    const ENABLE: Deed = Deed::Enable { mount: 0 };
    const DISABLE: Deed = Deed::Disable { mount: 0 };
    const LOAD: Deed = Deed::Load { mount: 0 };
    const ABSENT: Verdict = Verdict::Refused { status: 404 };

    fn store(id: usize, serial: u64, span: (u64, u64)) -> Act {
        done(id, Deed::Store { mount: 0, serial }, span)
    }

    fn saw(id: usize, serial: u64, span: (u64, u64)) -> Act {
        act(id, LOAD, span, Verdict::Saw { serial })
    }

    #[test]
    fn a_mount_holds_what_was_written_since_it_was_enabled() {
        let begun = || vec![done(0, ENABLE, (0, 1)), store(1, 7, (2, 3))];
        let with = |rest: Vec<Act>| {
            let mut all = begun();
            all.extend(rest);
            found(check, all)
        };
        assert!(with(vec![saw(2, 7, (4, 5)), done(3, DISABLE, (6, 7)), act(4, LOAD, (8, 9), ABSENT)]).is_empty());
        assert!(with(vec![saw(2, 8, (4, 5))])[0].contains("nobody wrote"));
        assert!(with(vec![act(2, LOAD, (4, 5), ABSENT)])[0].contains("not found"));
        assert!(with(vec![lost(2, DISABLE, 3), act(3, LOAD, (4, 5), ABSENT)]).is_empty());
        assert!(with(vec![done(2, DISABLE, (4, 5)), saw(3, 7, (6, 7))])[0].contains("not there"));
        assert!(with(vec![done(2, DISABLE, (4, 5)), store(3, 9, (6, 7))])[0].contains("not there"));
        assert!(with(vec![store(2, 8, (4, 5)), saw(3, 7, (6, 7))])[0].contains("stale"));
        let again = vec![done(2, DISABLE, (4, 5)), done(3, ENABLE, (6, 7)), saw(4, 7, (8, 9))];
        assert!(with(again)[0].contains("came back"));
    }
}
