//! Attempts to do something with unseal shares: to make a root token, or new shares. They live in the memory of the active
//! node, one at a time of each kind and family, and every one ends by itself (`docs/adr/0011-attempts-with-shares.md`).
//!
//! Those with a token and those without are apart: whoever only reaches a listener sees and disturbs nothing of what was
//! begun with a token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::rekey::NewShares;
use crate::core::{Core, Error, Request, Result};
use crate::runtime::Entropy;
use crate::seal::UnsealProgress;
use zeroize::Zeroizing;

/// All of them.
pub(crate) struct Attempts {
    /// To make a root token, without a token and with one.
    pub root: Families<Zeroizing<String>>,
    /// To make new shares, without a token and with one.
    pub shares: Families<NewShares>,
}

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts { root: Families::new(), shares: Families::new() }
    }
}

/// One attempt without a token and one with.
pub(crate) struct Families<T> {
    open: Slot<T>,
    token: Slot<T>,
}

impl<T> Families<T> {
    fn new() -> Families<T> {
        Families { open: Slot::new(OPEN), token: Slot::new(TOKEN) }
    }

    /// That of one family.
    pub fn of(&self, family: Family) -> &Slot<T> {
        match family {
            Family::Open => &self.open,
            Family::Token => &self.token,
        }
    }
}

/// How callers come to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Without a token.
    Open,
    /// With one.
    Token,
}

/// When attempts end by themselves.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Without a new share for so long.
    idle: Duration,
    /// So long after its beginning, whatever comes.
    whole: Duration,
    /// Whoever let one end so begins none for so long.
    rest: Duration,
}

const OPEN: Rule =
    Rule { idle: Duration::from_secs(600), whole: Duration::from_secs(1800), rest: Duration::from_secs(120) };
const TOKEN: Rule =
    Rule { idle: Duration::from_secs(600), whole: Duration::from_secs(24 * 3600), rest: Duration::ZERO };

/// How long an attempt waits for the verification of new shares: they go through people's hands first.
const VERIFICATION: Duration = Duration::from_secs(24 * 3600);

/// Addresses that must wait: when there are more, the one that has waited longest need not any more.
const RESTING_MAX: usize = 1024;

/// Room for one attempt.
pub(crate) struct Slot<T> {
    rule: Rule,
    state: Mutex<State<T>>,
}

struct State<T> {
    held: Option<Attempt<T>>,
    /// Who must wait before it begins another one, and until when (boot time).
    resting: BTreeMap<Arc<str>, Duration>,
}

/// An attempt.
pub(crate) struct Attempt<T> {
    /// Names it.
    pub nonce: String,
    /// What was given.
    pub shares: UnsealProgress,
    /// What it is for.
    pub of: T,
    /// The term that it was begun in: the next active node knows nothing of it.
    pub term: u64,
    by: Arc<str>,
    began: Duration,
    last: Duration,
    /// Right shares came: what is left is the verification.
    proven: bool,
}

impl<T> Attempt<T> {
    /// Takes a share.
    ///
    /// # Errors
    /// If it cannot be one, or is here already; `operation` is then named.
    pub fn give(&mut self, share: &str, operation: &str, now: Duration, entropy: &Entropy) -> Result<()> {
        let before = self.shares.count();
        self.shares.add(share, entropy)?;
        if self.shares.count() == before {
            return Err(Error::invalid(format!("given key has already been provided during this {operation}")));
        }
        self.last = now;
        Ok(())
    }

    /// The shares were right, and the attempt waits to be verified.
    pub fn prove(&mut self, now: Duration) {
        (self.proven, self.last) = (true, now);
    }

    fn is_over(&self, rule: Rule, term: u64, now: Duration) -> bool {
        let since = |then: Duration| now.saturating_sub(then);
        let late = match self.proven {
            true => since(self.last) >= VERIFICATION,
            false => since(self.last) >= rule.idle || since(self.began) >= rule.whole,
        };
        late || self.term != term
    }
}

impl<T> Slot<T> {
    fn new(rule: Rule) -> Slot<T> {
        Slot { rule, state: Mutex::new(State { held: None, resting: BTreeMap::new() }) }
    }

    /// Looks at the attempt, if there is one.
    fn with<R>(&self, term: u64, now: Duration, work: impl FnOnce(&mut Option<Attempt<T>>) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.end(self.rule, term, now);
        work(&mut state.held)
    }

    /// Begins one; what `shown` makes of it.
    ///
    /// # Errors
    /// `busy` if there is one, or if this caller let its last one lapse and must wait.
    fn begin<R>(&self, begun: Begun<'_, T>, busy: &str, shown: impl FnOnce(&Attempt<T>) -> R) -> Result<R> {
        let Begun { of, term, now, entropy, request } = begun;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.end(self.rule, term, now);
        if state.held.is_some() {
            return Err(Error::invalid(busy));
        }
        let by = Arc::clone(&request.client.address);
        if let Some(until) = state.resting.get(&by).filter(|until| **until > now) {
            let wait = until.saturating_sub(now).as_secs() + 1;
            return Err(Error::invalid(format!(
                "an attempt begun from this address lapsed: begin another one in {wait} seconds, or with a token"
            )));
        }
        let nonce = entropy.uuid();
        let attempt =
            Attempt { nonce, shares: UnsealProgress::new(), of, term, by, began: now, last: now, proven: false };
        Ok(shown(state.held.insert(attempt)))
    }
}

/// What an attempt begins with.
struct Begun<'a, T> {
    /// What it is for.
    of: T,
    /// The term of the active node.
    term: u64,
    /// Boot time.
    now: Duration,
    /// Names it.
    entropy: &'a Entropy,
    /// Who begins it.
    request: &'a Request,
}

impl<T> State<T> {
    /// Ends the attempt if it is over.
    fn end(&mut self, rule: Rule, term: u64, now: Duration) {
        let Some(over) = self.held.take_if(|held| held.is_over(rule, term, now)) else { return };
        // A change of leaders is not the caller's fault.
        if rule.rest.is_zero() || over.term != term {
            return;
        }
        self.resting.retain(|_, until| *until > now);
        if self.resting.len() >= RESTING_MAX
            && let Some(first) = self.resting.iter().min_by_key(|(_, until)| **until).map(|(by, _)| Arc::clone(by))
        {
            self.resting.remove(&first);
        }
        self.resting.insert(over.by, now + rule.rest);
    }
}

impl Core {
    /// Looks at the attempt of a slot, if there is one.
    ///
    /// # Errors
    /// [`Error::Standby`] if this node is not the active one.
    pub(super) fn with_attempt<T, R>(
        &self,
        slot: &Slot<T>,
        work: impl FnOnce(&mut Option<Attempt<T>>) -> R,
    ) -> Result<R> {
        let term = self.active_in().ok_or(Error::Standby)?;
        Ok(slot.with(term, self.runtime.clock.boot(), work))
    }

    /// Begins an attempt for `of`; what `shown` makes of it.
    ///
    /// # Errors
    /// As [`Slot::begin`], and [`Error::Standby`] if this node is not the active one.
    pub(super) fn begin_attempt<T, R>(
        &self,
        slot: &Slot<T>,
        of: T,
        request: &Request,
        busy: &str,
        shown: impl FnOnce(&Attempt<T>) -> R,
    ) -> Result<R> {
        let (term, now) = (self.active_in().ok_or(Error::Standby)?, self.runtime.clock.boot());
        slot.begin(Begun { of, term, now, entropy: &self.runtime.entropy, request }, busy, shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logical::Client;

    const SHARE: &str = "abababababababababababababababababababababababababababababababab";

    struct Desk {
        slot: Slot<()>,
        entropy: Entropy,
    }

    impl Desk {
        fn begin(&self, by: &str, seconds: u64) -> Result<String> {
            let request = Request {
                client: Client { address: by.into(), ..Client::default() },
                ..crate::core::sys::tests::request("sys/rekey/init")
            };
            let now = Duration::from_secs(seconds);
            let begun = Begun { of: (), term: 3, now, entropy: &self.entropy, request: &request };
            self.slot.begin(begun, "busy", |attempt| attempt.nonce.clone())
        }

        fn lives(&self, term: u64, seconds: u64) -> bool {
            self.slot.with(term, Duration::from_secs(seconds), |held| held.is_some())
        }

        fn give(&self, share: &str, seconds: u64) -> Result<()> {
            let now = Duration::from_secs(seconds);
            self.slot.with(3, now, |held| held.as_mut().expect("one").give(share, "operation", now, &self.entropy))
        }
    }

    fn desk(rule: Rule) -> Desk {
        Desk { slot: Slot::new(rule), entropy: Entropy::seeded_u64(1) }
    }

    #[test]
    fn an_attempt_lapses_and_does_not_outlive_its_term() {
        for rule in [OPEN, TOKEN] {
            let desk = desk(rule);
            desk.begin("a", 100).expect("begun");
            assert_eq!(desk.begin("b", 101).expect_err("one at a time").to_string(), "busy");
            assert!(desk.lives(3, 699));
            assert!(!desk.lives(3, 700));
            desk.begin("b", 700).expect("begun");
            assert!(!desk.lives(4, 701));
            desk.begin("b", 702).expect("a change of leaders is nobody's fault");
        }
    }

    #[test]
    fn odd_shares_keep_no_attempt_alive_for_long_and_who_let_one_lapse_waits() {
        let desk = desk(OPEN);
        desk.begin("stranger", 0).expect("begun");
        for (number, seconds) in (0..2000).step_by(500).enumerate() {
            if seconds < 1800 {
                assert!(desk.lives(3, seconds));
                desk.give(&format!("{number:02x}{SHARE}"), seconds).expect("taken");
            }
        }
        assert!(desk.lives(3, 1799));
        assert!(!desk.lives(3, 1800), "it had its time");
        let refused = desk.begin("stranger", 1800).expect_err("it waits").to_string();
        assert!(refused.contains("in 121 seconds"), "{refused}");
        desk.begin("operator", 1801).expect("another begins at once");
        desk.slot.with(3, Duration::from_secs(1802), |held| *held = None);
        desk.begin("stranger", 1920).expect("it has waited");
    }

    #[test]
    fn the_same_share_again_is_no_progress() {
        let desk = desk(OPEN);
        desk.begin("a", 0).expect("begun");
        desk.give(SHARE, 1).expect("taken");
        let again = desk.give(SHARE, 500).expect_err("it is here").to_string();
        assert_eq!(again, "given key has already been provided during this operation");
        assert!(!desk.lives(3, 601));
    }

    #[test]
    fn what_right_shares_came_to_waits_a_day() {
        let desk = desk(OPEN);
        desk.begin("a", 0).expect("begun");
        desk.slot.with(3, Duration::from_secs(10), |held| {
            held.as_mut().expect("one").prove(Duration::from_secs(10));
        });
        assert!(desk.lives(3, 24 * 3600));
        assert!(!desk.lives(3, 24 * 3600 + 10));
    }

    #[test]
    fn the_list_of_those_who_wait_is_bounded() {
        let mut state: State<()> = State { held: None, resting: BTreeMap::new() };
        let entropy = Entropy::seeded_u64(1);
        for number in 0..2 * RESTING_MAX {
            let now = Duration::from_millis(number as u64);
            let by: Arc<str> = number.to_string().into();
            let nonce = entropy.uuid();
            let shares = UnsealProgress::new();
            state.held = Some(Attempt { nonce, shares, of: (), term: 3, by, began: now, last: now, proven: false });
            state.end(OPEN, 3, now + OPEN.idle);
        }
        assert_eq!(state.resting.len(), RESTING_MAX);
        assert!(!state.resting.contains_key("0"));
    }
}
