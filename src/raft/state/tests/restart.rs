//! What a restart finds: flushed state, faults, damaged directories.

use super::*;
use crate::runtime::disk::{Entry as Name, Open};

#[tokio::test]
async fn unflushed_state_is_replayed_from_the_log() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        node.apply(vec![membership(7)]).await;
        node.put(b"\x80a", b"1").await;
        node.machine().flush().await.unwrap();
        node.put(b"\x80b", b"2").await;
        let before = node.state().fingerprint();

        node.close();
        node.open().await.unwrap();
        assert_eq!(node.state().applied(), 2, "only what was flushed");
        assert_eq!(node.state().get(b"\x80b").await.unwrap(), None);
        node.crash().await;
        assert_eq!(node.state().fingerprint(), before);
        assert_eq!(node.machine().applied_state().await.unwrap().1.voter_ids().collect::<Vec<_>>(), [7]);
    }
}

#[tokio::test]
async fn closing_does_not_flush() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        node.put(b"\x80a", b"1").await;
        node.close();
        node.open().await.unwrap();
        assert_eq!(node.state().applied(), 0);
    }
}

/// More than a default memtable holds, in few commits, with no flush of ours in between.
#[tokio::test]
async fn rocksdb_does_not_flush_by_itself() {
    let mut node = Node::new(EngineKind::Rocks).await;
    let value = vec![7; 1024 * 1024];
    for index in 0..MAX_UNFLUSHED_MIB {
        node.put(&[0x80, index], &value).await;
    }
    node.close();
    node.open().await.unwrap();
    assert_eq!(node.state().applied(), 0);
}

#[tokio::test]
async fn enough_bytes_make_a_flush_and_the_log_goes_first() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        node.options.flush_bytes = 64 * 1024;
        node.crash().await;
        for _ in 0..10 {
            let body = Body::Batch(Batch { writes: vec![put(b"\x80a", &[1; 16 * 1024])], ..Batch::default() });
            let index = node.log.len() as u64;
            let entry = Entry { log_id: log_id(index), payload: EntryPayload::Normal(Command::encode(&body)) };
            node.log.push(entry.clone());
            let stream = futures_util::stream::iter([Ok((entry, None))]);
            RaftStateMachine::apply(node.machine(), stream).await.unwrap();
        }
        let synced = node.synced.load(Ordering::Relaxed);
        assert!(synced > 0, "{kind:?} never flushed");
        node.close();
        node.open().await.unwrap();
        assert_eq!(node.state().applied(), synced);
    }
}

#[tokio::test]
async fn a_log_that_cannot_sync_faults_the_state_before_a_flush() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        node.put(b"\x80a", b"1").await;
        node.log_fails.store(true, Ordering::Relaxed);
        assert!(node.machine().flush().await.is_err());
        assert!(node.state().fault().unwrap().contains("the log's disk is gone"));
        let blank = Entry { log_id: log_id(2), payload: EntryPayload::Blank };
        assert!(node.machine().apply_entries(vec![blank]).await.is_err(), "a faulted state applies nothing");
        node.close();
        node.open().await.unwrap();
        assert_eq!(node.state().applied(), 0);
    }
}

#[tokio::test]
async fn state_of_another_engine_is_named() {
    let mut node = Node::new(EngineKind::Memory).await;
    node.close();
    node.options.engine = EngineKind::Rocks;
    let error = node.open().await.unwrap_err().to_string();
    assert!(error.contains("CURRENT") && error.contains("memory") && error.contains("rocksdb"), "{error}");
}

/// Every file of a flushed generation, cut or with a flipped bit: a clear error at open or at a read, or no difference.
#[tokio::test]
async fn damage_is_found_and_named() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        for name in 0..40u8 {
            node.put(&[0x80, name], &[name; 300]).await;
        }
        node.machine().flush().await.unwrap();
        let (before, pairs) = (node.state().fingerprint(), node.everything().await);
        node.close();
        let generation = node.path().join("state/1");
        for file in node.runtime.disk.list(&generation).await.unwrap() {
            if file.len == 0 || file.name.starts_with("LOG") || file.name.starts_with("OPTIONS") {
                continue;
            }
            for damage in [Damage::Cut, Damage::Flip] {
                let path = generation.join(&file.name);
                let Some(intact) = node.runtime.disk.read_if_exists(&path).await.unwrap() else { continue };
                damage.inflict(&node, &path, &file).await;
                match node.open().await {
                    Err(error) => assert!(error.to_string().contains("state/1"), "{error}"),
                    Ok(()) => match node.state().scan(&[], &[0xff], usize::MAX).await {
                        Err(error) => assert!(node.state().fault().is_some(), "{error}"),
                        Ok(found) => {
                            assert_eq!((node.state().fingerprint(), found), (before, pairs.clone()), "{file:?}")
                        }
                    },
                }
                node.close();
                node.runtime.disk.replace(&path, intact).await.unwrap();
            }
        }
        damage_current(&mut node).await;
    }
}

async fn damage_current(node: &mut Node) {
    let path = node.path().join("state/CURRENT");
    let name =
        Name { name: "CURRENT".into(), is_dir: false, len: node.runtime.disk.read(&path).await.unwrap().len() as u64 };
    Damage::Flip.inflict(node, &path, &name).await;
    let error = node.open().await.unwrap_err().to_string();
    assert!(error.contains("CURRENT"), "{error}");
}

#[derive(Clone, Copy)]
enum Damage {
    Cut,
    Flip,
}

impl Damage {
    async fn inflict(self, node: &Node, path: &Path, file: &Name) {
        let opened = node.runtime.disk.open(path, Open::WRITE).await.unwrap();
        match self {
            Damage::Cut => opened.set_len(file.len / 2).await.unwrap(),
            Damage::Flip => {
                let byte = opened.read_at(file.len / 2, 1).await.unwrap()[0];
                opened.write_at(file.len / 2, Bytes::from(vec![byte ^ 0x10])).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn files_are_the_owners_alone() {
    for kind in BOTH {
        let mut node = Node::new(kind).await;
        node.put(b"\x80a", b"1").await;
        node.snapshot().await;
        let mut directories = vec![node.path().join("state"), node.path().join("snapshots")];
        while let Some(directory) = directories.pop() {
            assert_eq!(mode(&directory), 0o700, "{directory:?}");
            for entry in node.runtime.disk.list(&directory).await.unwrap() {
                let path = directory.join(&entry.name);
                if entry.is_dir {
                    directories.push(path);
                } else {
                    assert_eq!(mode(&path), 0o600, "{path:?}");
                }
            }
        }
    }
}

fn mode(path: &Path) -> u32 {
    rustix::fs::stat(path).unwrap().st_mode & 0o777
}

#[tokio::test]
async fn a_value_in_memory_is_had_at_once_and_one_on_disk_is_not() {
    let mut node = Node::new(EngineKind::Rocks).await;
    node.put(b"\x80a", b"1").await;
    assert!(matches!(node.state().get_now(b"\x80a"), Some(Ok(Some(_)))));
    node.machine().flush().await.unwrap();
    node.crash().await;
    assert!(node.state().get_now(b"\x80a").is_none());
    assert!(node.state().get(b"\x80a").await.unwrap().is_some());
    assert!(matches!(node.state().get_now(b"\x80a"), Some(Ok(Some(_)))));
}

const MAX_UNFLUSHED_MIB: u8 = 80;
