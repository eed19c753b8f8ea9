//! Single commands and what they answer.

use ed25519_dalek::{Signer, SigningKey};

use super::*;
use crate::raft::command::{Check, RangeCheck};
use crate::storage::plain::{self, ClusterVersion, Init, SealConfig, SealedCount};
use crate::storage::schema::{self, Kind};

fn conflict(key: &[u8]) -> Outcome {
    Outcome::Conflict { key: Bytes::copy_from_slice(key) }
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { .. })
}

#[tokio::test]
async fn checks_epoch_and_term_are_all_or_nothing() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        assert_eq!(node.put(b"\x80a", b"1").await, DONE);
        let check = |revision| vec![Check { key: Bytes::from_static(b"\x80a"), revision }];
        let writes = vec![put(b"\x80a", b"2"), put(b"\x80b", b"2")];
        let batch = |checks, epoch, term| {
            Body::Batch(Batch { epoch, term, checks, writes: writes.clone(), ..Batch::default() })
        };
        assert_eq!(node.run(batch(check(0), 0, None)).await, conflict(b"\x80a"));
        assert_eq!(node.run(batch(check(1), 1, None)).await, conflict(b""));
        assert_eq!(node.run(batch(check(1), 0, Some(TERM + 1))).await, conflict(b""));
        assert_eq!(node.everything().await.len(), 1);
        assert_eq!(node.run(batch(check(1), 0, Some(TERM))).await, DONE);
        let found = node.state().get(b"\x80a").await.unwrap().unwrap();
        assert_eq!((found.revision, found.value.as_ref()), (5, b"2".as_slice()));
        assert_eq!(node.state().get(b"\x80c").await.unwrap(), None);
    }
}

#[tokio::test]
async fn entries_of_one_batch_see_those_before() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        node.put(b"\x80m", b"old").await;
        let range = |count, revision| {
            let (from, to) = (Bytes::from_static(b"\x80"), Bytes::from_static(b"\x81"));
            Body::Batch(Batch { ranges: vec![RangeCheck { from, to, limit: 10, count, revision }], ..Batch::default() })
        };
        let bodies = [
            Body::Batch(Batch { writes: vec![put(b"\x80a", b"1"), put(b"\x80z", b"1")], ..Batch::default() }),
            range(3, 2),
            Body::DeletePrefix { epoch: 0, prefix: Bytes::from_static(b"\x80m"), limit: 1 },
            range(2, 2),
            range(3, 2),
            Body::DeletePrefix { epoch: 0, prefix: Bytes::from_static(b"\x80"), limit: 1 },
            Body::DeletePrefix { epoch: 0, prefix: Bytes::from_static(b"\x80"), limit: 9 },
            range(0, 0),
        ];
        let answers = node.apply(bodies.iter().map(|body| EntryPayload::Normal(Command::encode(body))).collect()).await;
        let outcomes: Vec<Outcome> = answers.into_iter().map(|answer| answer.outcome).collect();
        let more = Outcome::Done { more: true };
        assert_eq!(outcomes, [DONE, DONE, DONE, DONE, conflict(b"\x80"), more, DONE, DONE]);
        assert_eq!(node.everything().await, []);
        assert_eq!(node.state().set_hash(), super::super::SetHash::default());
    }
}

#[tokio::test]
async fn sealed_values_are_counted() {
    let mut node = Node::new(EngineKind::Memory).await;
    for (sealed, expected) in [(vec![(7, 2), (9, 1)], 2), (vec![(7, 5)], 7)] {
        assert_eq!(node.run(Body::Batch(Batch { sealed, ..Batch::default() })).await, DONE);
        let found = node.state().get(&schema::key(Kind::SealedCount, &7u32.to_be_bytes())).await.unwrap().unwrap();
        assert_eq!(plain::decode::<SealedCount>(&found.value), Some(SealedCount(expected)));
    }
    let refused = Batch { epoch: 1, sealed: vec![(7, 5)], ..Batch::default() };
    assert_eq!(node.run(Body::Batch(refused)).await, conflict(b""));
    assert_eq!(node.everything().await.len(), 2);
}

#[tokio::test]
async fn a_seal_record_is_lifted_only_by_the_check_key() {
    let mut node = Node::new(EngineKind::Memory).await;
    let key = SigningKey::from_bytes(&[7; 32]);
    let record = schema::key(Kind::SealRecord, &[]);
    let unseal = |id: [u8; 16], signer: &SigningKey| {
        let signature = signer.sign(&plain::unseal_message("cluster", &id)).to_bytes().to_vec();
        Body::Unseal { epoch: 0, id, signature: signature.into() }
    };
    assert_eq!(node.run(Body::Seal { epoch: 0, id: [1; 16] }).await, DONE);
    assert_eq!(node.run(Body::Seal { epoch: 0, id: [2; 16] }).await, conflict(&record));
    assert!(is_refused(&node.run(unseal([1; 16], &key)).await), "no seal configuration");

    let init = Init {
        cluster_id: "cluster".into(),
        cluster_name: String::new(),
        cluster_keys: Vec::new(),
        created: crate::runtime::UnixTime(0),
    };
    let config = SealConfig {
        kind: "shamir".into(),
        shares: 1,
        threshold: 1,
        check_key: key.verifying_key().to_bytes(),
        wrapped_root_key: Bytes::new(),
    };
    node.put(&schema::key(Kind::Init, &[]), &plain::encode(&init)).await;
    node.put(&schema::key(Kind::SealConfig, &[]), &plain::encode(&config)).await;
    assert!(is_refused(&node.run(unseal([1; 16], &SigningKey::from_bytes(&[8; 32]))).await));
    assert!(is_refused(
        &node.run(Body::Unseal { epoch: 0, id: [1; 16], signature: Bytes::from_static(b"short") }).await
    ));
    assert_eq!(node.run(unseal([2; 16], &key)).await, DONE);
    assert!(node.state().get(&record).await.unwrap().is_some(), "another record's lift does nothing");
    assert_eq!(node.run(unseal([1; 16], &key)).await, DONE);
    assert!(node.state().get(&record).await.unwrap().is_none());
    assert_eq!(node.run(unseal([1; 16], &key)).await, DONE);
    // Who did not know that its seal was committed, and lifted since, proposes it again.
    assert_eq!(node.run(Body::Seal { epoch: 0, id: [1; 16] }).await, DONE);
    assert!(node.state().get(&record).await.unwrap().is_none());
    assert_eq!(node.run(Body::Seal { epoch: 0, id: [3; 16] }).await, DONE);
    assert!(node.state().get(&record).await.unwrap().is_some());
}

#[tokio::test]
async fn the_cluster_version_only_rises() {
    let mut node = Node::new(EngineKind::Memory).await;
    for (version, expected) in [(3, 3), (2, 3), (4, 4)] {
        assert_eq!(node.run(Body::ClusterVersion { epoch: 0, version }).await, DONE);
        let found = node.state().get(&schema::key(Kind::ClusterVersion, &[])).await.unwrap().unwrap();
        assert_eq!(plain::decode(&found.value), Some(ClusterVersion(expected)));
    }
}

#[tokio::test]
async fn an_unknown_format_is_refused_and_passed() {
    let mut node = Node::new(EngineKind::Memory).await;
    let answers = node
        .apply(vec![
            EntryPayload::Normal(Command(Bytes::from_static(&[99, 1, 2]))),
            EntryPayload::Normal(Command(Bytes::new())),
            EntryPayload::Blank,
        ])
        .await;
    assert!(is_refused(&answers[0].outcome) && is_refused(&answers[1].outcome));
    assert_eq!((&answers[2].outcome, node.state().applied()), (&DONE, 3));
}

#[tokio::test]
async fn an_entry_that_does_not_follow_is_a_fault() {
    let mut node = Node::new(EngineKind::Memory).await;
    let gap = Entry { log_id: log_id(2), payload: EntryPayload::Blank };
    assert!(node.machine().apply_entries(vec![gap]).await.is_err());
    assert!(node.state().fault().unwrap().contains("cannot follow"));
    assert!(node.state().wait_applied(1).await.is_err());
}

#[tokio::test]
async fn listeners_hear_of_keys_before_the_index_is_seen() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        let heard = Arc::new(std::sync::Mutex::new(Vec::<(Vec<u8>, u64)>::new()));
        let (state, log) = (node.state().clone(), Arc::clone(&heard));
        node.state().on_change(Arc::new(move |key| {
            log.lock().unwrap().push((key.unwrap_or_default().to_vec(), state.applied()));
        }));
        let waiting = node.state().clone();
        let waiter = tokio::spawn(async move { waiting.wait_applied(2).await });
        node.put(b"\x80a", b"1").await;
        node.put(b"\x80b", b"1").await;
        waiter.await.unwrap().unwrap();
        assert_eq!(*heard.lock().unwrap(), [(b"\x80a".to_vec(), 0), (b"\x80b".to_vec(), 1)]);
    }
}

#[tokio::test]
async fn a_waiter_that_gives_up_is_forgotten() {
    let node = Node::new(EngineKind::Memory).await;
    let gave_up = tokio::time::timeout(std::time::Duration::from_millis(1), node.state().wait_applied(9)).await;
    assert!(gave_up.is_err());
    assert_eq!(node.state().shared.waiting(), 0);
}
