//! Random operations and power cuts against a model: a list of the states that the log went through, in order. What is
//! recovered must be one of them, and none before the last that was acknowledged.

use futures_util::FutureExt;
use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;
use proptest::prelude::*;

use super::super::Log;
use super::world::{Acknowledged, World, entry, id, run, vote};
use crate::raft::types::{Entry, LogId, Vote};

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<usize>),
    Vote,
    Committed,
    /// Removes so many of the last entries.
    Truncate(u64),
    /// Removes so many of the first entries.
    Purge(u64),
    /// Purges so far beyond the end.
    PurgeBeyond(u64),
    /// Lets other tasks run.
    Yield(u8),
    SyncTo,
    Idle,
    Read(u64, u64),
    Cut(u64),
    Kill,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => prop::collection::vec(prop_oneof![0usize..200, 0usize..3000, Just(9000)], 1..5).prop_map(Op::Append),
        2 => Just(Op::Vote),
        2 => Just(Op::Committed),
        2 => (1u64..5).prop_map(Op::Truncate),
        2 => (1u64..8).prop_map(Op::Purge),
        1 => (1u64..8).prop_map(Op::PurgeBeyond),
        6 => (1u8..20).prop_map(Op::Yield),
        1 => Just(Op::SyncTo),
        1 => Just(Op::Idle),
        2 => (0u64..10, 0u64..10).prop_map(|(from, to)| Op::Read(from, to)),
        3 => any::<u64>().prop_map(Op::Cut),
        1 => Just(Op::Kill),
        1 => Just(Op::Restart),
    ]
}

#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: Vec<Entry>,
}

impl State {
    fn next(&self) -> u64 {
        match (self.entries.last(), self.purged) {
            (Some(entry), _) => entry.log_id.index + 1,
            (None, Some(purged)) => purged.index + 1,
            (None, None) => 0,
        }
    }
}

struct Model {
    /// Every state since the last start.
    states: Vec<State>,
    /// The state that is acknowledged.
    acknowledged: usize,
    /// Appends that are not acknowledged, with the state that each leads to.
    pending: Vec<(usize, Acknowledged)>,
    committed: Vec<Option<LogId>>,
    term: u64,
}

impl Model {
    fn now(&self) -> &State {
        self.states.last().expect("never empty")
    }

    fn step(&mut self, change: impl FnOnce(&mut State)) {
        let mut state = self.now().clone();
        change(&mut state);
        self.states.push(state);
    }

    fn acknowledge(&mut self) {
        while let Some((state, receiver)) = self.pending.first_mut()
            && let Some(answer) = receiver.now_or_never()
        {
            answer.expect("a live log").expect("no faults here");
            self.acknowledged = self.acknowledged.max(*state);
            self.pending.remove(0);
        }
    }

    async fn check_restart(&mut self, log: &mut Log) -> Result<(), TestCaseError> {
        let state = read_state(log).await;
        let found = self.states[self.acknowledged..].contains(&state);
        prop_assert!(found, "{state:#?} is no state since {} of {:#?}", self.acknowledged, self.states);
        let committed = log.read_committed().await.unwrap();
        prop_assert!(self.committed.contains(&committed));
        *self = Model {
            states: vec![state],
            acknowledged: 0,
            pending: Vec::new(),
            committed: vec![committed],
            term: self.term + 1,
        };
        Ok(())
    }
}

async fn read_state(log: &mut Log) -> State {
    let state = State {
        vote: log.read_vote().await.unwrap(),
        purged: log.get_log_state().await.unwrap().last_purged_log_id,
        entries: log.try_get_log_entries(..).await.unwrap(),
    };
    let last = state.entries.last().map(|entry| entry.log_id).or(state.purged);
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, last);
    state
}

async fn play(seed: u64, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let world = World::new(seed);
    let mut log = world.open().await.unwrap();
    let mut model =
        Model { states: vec![State::default()], acknowledged: 0, pending: Vec::new(), committed: vec![None], term: 1 };
    for op in ops.into_iter().chain([Op::Cut(seed)]) {
        model.acknowledge();
        match op {
            Op::Append(sizes) => {
                let (term, first) = (model.term, model.now().next());
                let entries: Vec<_> = (first..).zip(sizes).map(|(index, len)| entry(term, index, len)).collect();
                for entry in &entries {
                    model.step(|state| state.entries.push(entry.clone()));
                }
                let receiver = world.submit(&mut log, entries).await;
                model.pending.push((model.states.len() - 1, receiver));
            }
            Op::Vote => {
                model.term += 1;
                let vote = vote(model.term);
                model.step(|state| state.vote = Some(vote));
                log.save_vote(&vote).await.unwrap();
                model.acknowledged = model.states.len() - 1;
                prop_assert_eq!(log.read_vote().await.unwrap(), Some(vote));
            }
            Op::Committed => {
                let committed = model.now().entries.first().map(|entry| entry.log_id);
                log.save_committed(committed).await.unwrap();
                model.committed.push(committed);
            }
            Op::Truncate(count) => {
                let state = model.now();
                let kept = state.entries.len().saturating_sub(count as usize);
                let after = if kept == 0 { state.purged } else { Some(state.entries[kept - 1].log_id) };
                model.term += 1;
                model.step(|state| state.entries.truncate(kept));
                log.truncate_after(after).await.unwrap();
            }
            Op::Purge(count) => {
                let state = model.now();
                let Some(upto) = state.entries.get(count as usize - 1).or(state.entries.last()) else { continue };
                let upto = upto.log_id;
                model.step(|state| {
                    state.purged = Some(upto);
                    state.entries.retain(|entry| entry.log_id.index > upto.index);
                });
                log.purge(upto).await.unwrap();
            }
            Op::PurgeBeyond(count) => {
                let upto = id(model.term, model.now().next() + count);
                model.step(|state| *state = State { vote: state.vote, purged: Some(upto), entries: Vec::new() });
                log.purge(upto).await.unwrap();
            }
            Op::Yield(count) => {
                for _ in 0..count {
                    tokio::task::yield_now().await;
                }
            }
            Op::SyncTo => {
                let Some(last) = model.now().entries.last().map(|entry| entry.log_id) else { continue };
                log.sync_to(last.index).await.unwrap();
                model.acknowledge();
                // The entry is durable; of what was done after it was appended, nothing is said.
                let with_last = |state: &State| state.entries.iter().any(|entry| entry.log_id == last);
                let state = model.states.iter().position(with_last).unwrap();
                model.acknowledged = model.acknowledged.max(state);
            }
            Op::Idle => tokio::time::sleep(std::time::Duration::from_millis(4)).await,
            Op::Read(from, len) => {
                let first = model.now().next().saturating_sub(10) + from;
                let in_range = |entry: &&Entry| (first..first + len).contains(&entry.log_id.index);
                let expected: Vec<_> = model.now().entries.iter().filter(in_range).cloned().collect();
                prop_assert_eq!(log.try_get_log_entries(first..first + len).await.unwrap(), expected);
            }
            Op::Cut(seed) => {
                world.cut(seed);
                log = world.open().await.unwrap();
                model.check_restart(&mut log).await?;
            }
            Op::Kill => {
                world.kill();
                log = world.open().await.unwrap();
                model.check_restart(&mut log).await?;
            }
            Op::Restart => {
                log.shutdown().await;
                model.acknowledged = model.states.len() - 1;
                log = world.open().await.unwrap();
                model.check_restart(&mut log).await?;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_recovered_is_what_was_acknowledged_or_later(seed in 1u64.., ops in prop::collection::vec(op(), 1..60)) {
        run(play(seed, ops))?;
    }
}
