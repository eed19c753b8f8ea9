//! Snapshots from one node to another: chunks, interruptions, damage, installation.

use super::*;
use crate::raft::snapshot::{Staging, StagingError};
use crate::runtime::disk::Open;

/// A node with some state in several files.
async fn filled(kind: EngineKind) -> Node {
    let mut node = Node::new(kind).await;
    node.apply(vec![membership(7)]).await;
    for round in 0..3u8 {
        for name in 0..50u8 {
            node.put(&[0x80, name], &vec![name ^ round; 2000]).await;
        }
        node.machine().flush().await.unwrap();
    }
    node
}

/// Sends what is missing in chunks of `chunk` bytes, at most `most` of them; whether all was sent.
async fn send(from: &Checkpoint, to: &mut Staging, chunk: usize, most: usize) -> bool {
    let mut sent = 0;
    while let Some((file, offset)) = to.missing().first().cloned() {
        if sent == most {
            return false;
        }
        let bytes = from.read_chunk(&file, offset, chunk).await.unwrap();
        to.write_chunk(&file, offset, bytes).await.unwrap();
        sent += 1;
    }
    true
}

async fn begin(node: &Node, from: &Checkpoint) -> Staging {
    let manifest = crate::raft::snapshot::Manifest::decode(&from.manifest().encode()).unwrap();
    Staging::begin(&node.runtime, node.path(), manifest).await.unwrap()
}

#[tokio::test]
async fn an_interrupted_transfer_resumes_and_installs() {
    for kind in BOTH {
        let (mut leader, mut follower) = (filled(kind).await, Node::new(kind).await);
        follower.put(b"\x80gone", b"1").await;
        let checkpoint = leader.snapshot().await;
        let mut staging = begin(&follower, &checkpoint).await;
        assert!(!send(&checkpoint, &mut staging, 777, 20).await);
        let left = staging.missing();
        drop(staging);

        let mut staging = begin(&follower, &checkpoint).await;
        assert_eq!(staging.missing(), left, "what was received stays");
        assert!(send(&checkpoint, &mut staging, 100_000, usize::MAX).await);
        follower.install(staging.finish().await.unwrap()).await.unwrap();

        assert_eq!(follower.state().fingerprint(), leader.state().fingerprint());
        assert_eq!(follower.everything().await, leader.everything().await);
        assert_eq!(follower.machine().applied_state().await.unwrap(), leader.machine().applied_state().await.unwrap());
        assert_eq!(follower.state().get(b"\x80gone").await.unwrap(), None);
        let current = follower.machine().get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(current.meta, checkpoint.manifest().snapshot_meta());
        assert_eq!(follower.synced.load(Ordering::Relaxed), leader.state().applied());
        // Both go on from there, over a restart.
        follower.log = leader.log.clone();
        for node in [&mut leader, &mut follower] {
            node.put(b"\x80z", b"2").await;
            node.crash().await;
        }
        assert_eq!(follower.state().fingerprint(), leader.state().fingerprint());
        let names = follower.runtime.disk.list(&follower.path().join("state")).await.unwrap();
        assert_eq!(names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["2", "CURRENT"]);
        let staged = follower.runtime.disk.list(&follower.path().join("staging")).await.unwrap();
        assert!(staged.is_empty(), "{staged:?}");
    }
}

#[tokio::test]
async fn a_damaged_chunk_is_found_and_sent_again() {
    for kind in BOTH {
        let (mut leader, mut follower) = (filled(kind).await, Node::new(kind).await);
        let checkpoint = leader.snapshot().await;
        let mut staging = begin(&follower, &checkpoint).await;
        let (file, offset) = staging.missing()[0].clone();
        let mut bytes = checkpoint.read_chunk(&file, offset, 10).await.unwrap().to_vec();
        bytes[3] ^= 1;
        staging.write_chunk(&file, offset, bytes.into()).await.unwrap();
        send(&checkpoint, &mut staging, usize::MAX, usize::MAX).await;
        match staging.finish().await {
            Err(StagingError::Damaged { file: named }) => assert_eq!(named, file),
            other => panic!("{other:?}"),
        }
        assert!(checkpoint.verify(&file).await.unwrap());
        let mut staging = begin(&follower, &checkpoint).await;
        assert_eq!(staging.missing(), [(file, 0)]);
        send(&checkpoint, &mut staging, usize::MAX, usize::MAX).await;
        follower.install(staging.finish().await.unwrap()).await.unwrap();
        assert_eq!(follower.state().fingerprint(), leader.state().fingerprint());
    }
}

#[tokio::test]
async fn chunks_that_do_not_fit_are_refused() {
    let (mut leader, follower) = (filled(EngineKind::Memory).await, Node::new(EngineKind::Memory).await);
    let checkpoint = leader.snapshot().await;
    let mut staging = begin(&follower, &checkpoint).await;
    let len = checkpoint.manifest().bytes();
    for (file, offset, bytes) in [
        ("other", 0, vec![1]),
        ("../image", 0, vec![1]),
        ("image", 5, vec![1]),
        ("image", 0, vec![0; len as usize + 1]),
    ] {
        assert!(staging.write_chunk(file, offset, bytes.into()).await.is_err(), "{file} {offset}");
    }
    assert!(matches!(staging.finish().await, Err(StagingError::Incomplete { .. })));
    assert!(checkpoint.read_chunk("other", 0, 1).await.is_err());
    assert!(checkpoint.read_chunk("image", len + 1, 1).await.is_err());
    assert!(checkpoint.read_chunk("image", len, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn another_engines_snapshot_is_refused() {
    let (mut leader, mut follower) = (filled(EngineKind::Memory).await, Node::new(EngineKind::Rocks).await);
    let error = follower.install(leader.snapshot().await).await.unwrap_err().to_string();
    assert!(error.contains("memory engine") && error.contains("rocksdb"), "{error}");
}

#[tokio::test]
async fn an_installation_that_was_cut_short_is_completed_from_the_checkpoint() {
    for kind in BOTH {
        let (mut leader, mut follower) = (filled(kind).await, Node::new(kind).await);
        let checkpoint = leader.snapshot().await;
        let mut staging = begin(&follower, &checkpoint).await;
        send(&checkpoint, &mut staging, usize::MAX, usize::MAX).await;
        let current = follower.runtime.disk.read(&follower.path().join("state/CURRENT")).await.unwrap();
        follower.install(staging.finish().await.unwrap()).await.unwrap();
        follower.close();
        // As if power had gone before `CURRENT` was switched: the old generation is still there, empty.
        let old = Node::new(kind).await;
        let (disk, from, to) = (&follower.runtime.disk, old.path().join("state/1"), follower.path().join("state/1"));
        disk.remove_all(&to).await.unwrap();
        let mut old = old;
        old.close();
        disk.rename(&from, &to).await.unwrap();
        disk.replace(&follower.path().join("state/CURRENT"), current).await.unwrap();

        follower.open().await.unwrap();
        assert_eq!(follower.state().applied(), 0);
        let own = follower.machine().get_current_snapshot().await.unwrap().unwrap();
        follower.install(own.snapshot).await.unwrap();
        assert_eq!(follower.state().fingerprint(), leader.state().fingerprint());
        follower.close();
        follower.open().await.unwrap();
        assert_eq!(follower.state().fingerprint(), leader.state().fingerprint());
        assert!(follower.machine().get_current_snapshot().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn only_the_newest_is_kept_and_those_being_sent() {
    for kind in BOTH {
        let mut node = filled(kind).await;
        let names = async |node: &Node| {
            let names = node.runtime.disk.list(&node.path().join("snapshots")).await.unwrap();
            names.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        let sent = node.snapshot().await;
        node.put(b"\x80x", b"1").await;
        assert!(node.state().bytes_since_checkpoint() > 0);
        drop(node.snapshot().await);
        assert_eq!(node.state().bytes_since_checkpoint(), 0);
        assert_eq!(names(&node).await, ["151", "152"]);
        let file = &sent.manifest().files[0];
        assert!(!sent.read_chunk(&file.name, 0, 10).await.unwrap().is_empty());
        drop(sent);
        node.put(b"\x80x", b"2").await;
        drop(node.snapshot().await);
        assert_eq!(names(&node).await, ["153"]);
        // The same state again costs nothing; a restart finds it.
        drop(node.snapshot().await);
        node.crash().await;
        let found = node.machine().get_current_snapshot().await.unwrap().unwrap();
        assert_eq!((found.meta.last_log_id.unwrap().index, names(&node).await.len()), (153, 1));
        assert_eq!(node.state().bytes_since_checkpoint(), 0);
    }
}

#[tokio::test]
async fn a_damaged_manifest_costs_only_the_checkpoint() {
    let mut node = filled(EngineKind::Rocks).await;
    node.snapshot().await;
    node.close();
    let path = node.path().join("snapshots/151/manifest");
    let file = node.runtime.disk.open(&path, Open::WRITE).await.unwrap();
    file.set_len(9).await.unwrap();
    node.open().await.unwrap();
    assert!(node.machine().get_current_snapshot().await.unwrap().is_none());
    assert_eq!(node.state().applied(), 151);
}

#[tokio::test]
async fn readers_of_a_replaced_generation_finish() {
    for kind in BOTH {
        let (mut leader, mut follower) = (filled(kind).await, Node::new(kind).await);
        follower.put(b"\x80old", b"1").await;
        let everything: Arc<AtomicBool> = Arc::default();
        let heard = Arc::clone(&everything);
        follower.state().on_change(Arc::new(move |key| heard.store(key.is_none(), Ordering::Relaxed)));
        let reader = follower.state().shared.engine();
        follower.install(leader.snapshot().await).await.unwrap();
        assert!(everything.load(Ordering::Relaxed));
        assert!(reader.get(b"\x80old").unwrap().is_some());
        drop(reader);
        leader.put(b"\x80y", b"1").await;
        follower.install(leader.snapshot().await).await.unwrap();
        let names = follower.runtime.disk.list(&follower.path().join("state")).await.unwrap();
        assert_eq!(names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["3", "CURRENT"]);
    }
}

/// A flush in the background is part of a checkpoint that follows at once, even if nothing was written since.
#[tokio::test]
async fn a_checkpoint_waits_for_a_flush_in_the_background() {
    let mut node = Node::new(EngineKind::Rocks).await;
    node.options = Options { background_flush: true, flush_bytes: 512 * 1024, ..node.options.clone() };
    node.crash().await;
    for round in 0..6u8 {
        let writes = (0..8).map(|name| put(&[0x80, round, name], &[round; 100_000])).collect();
        let command = Command::encode(&Body::Batch(Batch { writes, ..Batch::default() }));
        let entry = Entry { log_id: log_id(node.log.len() as u64), payload: EntryPayload::Normal(command) };
        node.log.push(entry.clone());
        let stream = futures_util::stream::iter([Ok((entry, None))]);
        RaftStateMachine::apply(node.machine(), stream).await.unwrap();
        let meta = node.snapshot().await.manifest().meta.clone();
        assert_eq!((meta.index(), meta.hashes), (node.state().applied(), node.state().fingerprint().hashes));
    }
    let before = node.state().fingerprint();
    node.crash().await;
    assert_eq!(node.state().fingerprint(), before);
}
