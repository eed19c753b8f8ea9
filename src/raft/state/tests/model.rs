//! Both engines against a naive model, over random commands, flushes and power cuts.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::super::{Hashes, Versioned};
use super::*;
use crate::raft::command::{Check, RangeCheck};
use crate::storage::schema;

/// A command whose read set is filled in from the model: right or wrong on purpose.
#[derive(Clone, Debug)]
enum Op {
    Batch { checks: Vec<(u8, bool)>, ranges: Vec<(u8, u8, u32, bool)>, writes: Vec<(u8, Option<Vec<u8>>)>, epoch: bool },
    DeletePrefix { prefix: u8, limit: u32 },
    Garbage(Vec<u8>),
    Membership(u64),
    Blank,
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Op>),
    Flush,
    Snapshot,
    PowerCut,
}

/// The state as one would write it down first.
#[derive(Default)]
struct Model {
    data: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
    index: u64,
}

impl Model {
    /// The payload of `op` and the outcome it must have; applies it.
    fn step(&mut self, op: &Op) -> (EntryPayload<Command, u64, Member>, Outcome) {
        self.index += 1;
        match op {
            Op::Blank => (EntryPayload::Blank, DONE),
            Op::Membership(voter) => (membership(*voter), DONE),
            Op::Garbage(bytes) => {
                let bytes: Bytes = [&[200], bytes.as_slice()].concat().into();
                let command = Command(bytes);
                let reason = command.decode().unwrap_err().to_string();
                (EntryPayload::Normal(command), Outcome::Refused { reason })
            }
            Op::DeletePrefix { prefix, limit } => {
                let prefix = key(*prefix)[..2].to_vec();
                let all: Vec<Vec<u8>> = self.data.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
                all.iter().take(*limit as usize).for_each(|key| drop(self.data.remove(key)));
                let outcome = Outcome::Done { more: all.len() > *limit as usize };
                (body(&Body::DeletePrefix { epoch: 0, prefix: prefix.into(), limit: *limit }), outcome)
            }
            Op::Batch { checks, ranges, writes, epoch } => self.batch(checks, ranges, writes, *epoch),
        }
    }

    fn batch(
        &mut self,
        checks: &[(u8, bool)],
        ranges: &[(u8, u8, u32, bool)],
        writes: &[(u8, Option<Vec<u8>>)],
        epoch: bool,
    ) -> (EntryPayload<Command, u64, Member>, Outcome) {
        let mut batch = Batch { epoch: u64::from(!epoch), ..Batch::default() };
        let mut conflict = (!epoch).then(Bytes::new);
        for (name, right) in checks {
            let revision = self.data.get(&key(*name)).map_or(0, |found| found.0) + u64::from(!right);
            batch.checks.push(Check { key: key(*name).into(), revision });
            if !right {
                conflict.get_or_insert(key(*name).into());
            }
        }
        for (from, to, limit, right) in ranges {
            let bounds = (Bound::Included(key(*from)), Bound::Excluded(key(*to)));
            let found: Vec<u64> = match from < to {
                true => self.data.range(bounds).take(*limit as usize).map(|(_, found)| found.0).collect(),
                false => Vec::new(),
            };
            let revision = found.iter().max().copied().unwrap_or(0) + u64::from(!right);
            let (from, to) = (Bytes::from(key(*from)), Bytes::from(key(*to)));
            if !right {
                conflict.get_or_insert(from.clone());
            }
            batch.ranges.push(RangeCheck { from, to, limit: *limit, count: found.len() as u32, revision });
        }
        for (name, value) in writes {
            batch.writes.push(match value {
                Some(value) => put(&key(*name), value),
                None => Write::Delete { key: key(*name).into() },
            });
            if conflict.is_none() {
                match value {
                    Some(value) => self.data.insert(key(*name), (self.index, value.clone())),
                    None => self.data.remove(&key(*name)),
                };
            }
        }
        (body(&Body::Batch(batch)), conflict.map_or(DONE, |key| Outcome::Conflict { key }))
    }

    fn pairs(&self) -> Vec<super::super::Pair> {
        let pair = |(key, (revision, value)): (&Vec<u8>, &(u64, Vec<u8>))| {
            (Bytes::from(key.clone()), Versioned { revision: *revision, value: Bytes::from(value.clone()) })
        };
        self.data.iter().map(pair).collect()
    }

    fn hashes(&self) -> Hashes {
        let mut hashes = Hashes::default();
        self.pairs().iter().for_each(|(key, found)| hashes.insert(key, found));
        hashes
    }
}

/// Few keys in few groups, so that commands meet.
fn key(name: u8) -> Vec<u8> {
    vec![0x80, name / 4, name % 4]
}

fn body(body: &Body) -> EntryPayload<Command, u64, Member> {
    EntryPayload::Normal(Command::encode(body))
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..16u8;
    let right = prop::bool::weighted(0.9);
    let checks = prop::collection::vec((name.clone(), right), 0..3);
    let ranges = prop::collection::vec((name.clone(), 0..17u8, 0..6u32, right), 0..2);
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..12));
    let writes = prop::collection::vec((name.clone(), value), 0..6);
    prop_oneof![
        8 => (checks, ranges, writes, prop::bool::weighted(0.95))
            .prop_map(|(checks, ranges, writes, epoch)| Op::Batch { checks, ranges, writes, epoch }),
        2 => (name, 0..4u32).prop_map(|(prefix, limit)| Op::DeletePrefix { prefix, limit }),
        1 => any::<Vec<u8>>().prop_map(Op::Garbage),
        1 => (1..9u64).prop_map(Op::Membership),
        1 => Just(Op::Blank),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => prop::collection::vec(op(), 1..8).prop_map(Step::Apply),
        1 => Just(Step::Flush),
        1 => Just(Step::Snapshot),
        1 => Just(Step::PowerCut),
    ];
    prop::collection::vec(step, 1..14)
}

async fn check(steps: &[Step]) {
    let mut nodes = [Node::new(EngineKind::Rocks).await, Node::new(EngineKind::Memory).await];
    let mut model = Model::default();
    for step in steps {
        let (payloads, outcomes): (Vec<_>, Vec<_>) = match step {
            Step::Apply(ops) => ops.iter().map(|op| model.step(op)).unzip(),
            _ => Default::default(),
        };
        for node in &mut nodes {
            match step {
                Step::Apply(_) => {
                    let answers = node.apply(payloads.clone()).await;
                    let answered: Vec<Outcome> = answers.into_iter().map(|answer| answer.outcome).collect();
                    assert_eq!(answered, outcomes, "{:?}", node.options.engine);
                }
                Step::Flush => node.machine().flush().await.unwrap(),
                Step::Snapshot => assert_eq!(node.snapshot().await.manifest().meta.index(), model.index),
                Step::PowerCut => node.crash().await,
            }
            assert_eq!(node.everything().await, model.pairs());
            assert_eq!(node.state().fingerprint().hashes, model.hashes());
            assert_eq!(node.state().applied(), model.index);
        }
        let (rocks, memory) = (nodes[0].machine().applied_state().await, nodes[1].machine().applied_state().await);
        assert_eq!(rocks.unwrap(), memory.unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn engines_do_what_the_model_does(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(check(&steps));
    }
}

#[test]
fn a_prefix_ends_behind_all_its_keys() {
    assert!(schema::prefix_end(&key(15)[..2]) > key(15));
}
