//! A mount's part of a transaction: keys relative to the mount's prefix.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::backend::MountTxn;
use crate::barrier::BarrierTxn;
use crate::logical::Result;
use crate::runtime::point::mutant;
use crate::storage::schema;

/// A [`MountTxn`] over a [`BarrierTxn`].
pub struct MountView<'a> {
    txn: &'a mut BarrierTxn,
    prefix: Vec<u8>,
}

impl<'a> MountView<'a> {
    /// The part of `txn` that belongs to the mount with this UUID.
    pub fn new(txn: &'a mut BarrierTxn, namespace: u32, mount: &[u8; 16]) -> MountView<'a> {
        MountView { txn, prefix: schema::mount_prefix(namespace, mount) }
    }

    fn key(&self, key: &str) -> Bytes {
        [self.prefix.as_slice(), key.as_bytes()].concat().into()
    }
}

impl MountTxn for MountView<'_> {
    fn get<'a>(&'a mut self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        let key = self.key(key);
        Box::pin(async move {
            let found = self.txn.get(&key).await?;
            if mutant("cas-outside-transaction") {
                self.txn.below().forget_reads();
            }
            Ok(found)
        })
    }

    fn put(&mut self, key: &str, value: &[u8]) {
        self.txn.put(self.key(key), value);
    }

    fn delete(&mut self, key: &str) {
        self.txn.delete(self.key(key));
    }

    fn list<'a>(&'a mut self, prefix: &'a str, after: &'a str, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        let prefix = self.key(prefix);
        Box::pin(async move { Ok(self.txn.list(&prefix, after, limit).await?) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::ready;

    use super::*;
    use crate::barrier::{BarrierError, Keyring};
    use crate::raft::command::{Batch, Body, Command, Outcome};
    use crate::raft::state::{EngineKind, State};
    use crate::raft::state_machine::{Options, StateMachine};
    use crate::raft::types::{Entry, LogId, Member};
    use crate::runtime::{Entropy, Runtime, UnixTime};
    use crate::seal::{self, Params};
    use crate::storage::Txn;

    /// A state that batches are applied to, and what a request needs.
    struct Node {
        machine: StateMachine,
        state: State,
        index: u64,
        keyring: Arc<Keyring>,
        entropy: Entropy,
        _directory: tempfile::TempDir,
    }

    impl Node {
        async fn new() -> Node {
            let directory = tempfile::tempdir().unwrap();
            let options = Options { background_flush: false, ..Options::new(EngineKind::Memory, 1) };
            let log_sync = Arc::new(|_| Box::pin(ready(Ok(()))) as BoxFuture<'static, std::io::Result<()>>);
            let opened = StateMachine::open(&Runtime::real(), directory.path(), options, log_sync).await.unwrap();
            let entropy = Entropy::seeded_u64(1);
            let keyring = Arc::new(Keyring::generate(&entropy, UnixTime(0)));
            let (machine, state) = opened;
            let mut node = Node { machine, state, index: 0, keyring, entropy, _directory: directory };
            node.append(openraft::EntryPayload::Blank).await; // entry 0, where a real log has its first membership
            node
        }

        fn txn(&self) -> BarrierTxn {
            BarrierTxn::new(Txn::new(self.state.clone()), Arc::clone(&self.keyring), self.entropy.clone())
        }

        async fn commit(&mut self, txn: BarrierTxn) -> Outcome {
            self.apply(txn.into_batch()).await
        }

        async fn apply(&mut self, batch: Batch) -> Outcome {
            self.append(openraft::EntryPayload::Normal(Command::encode(&Body::Batch(batch)))).await
        }

        async fn append(&mut self, payload: openraft::EntryPayload<Command, u64, Member>) -> Outcome {
            let leader = openraft::vote::leader_id_std::CommittedLeaderId::new(1);
            let entry = Entry { log_id: LogId::new(leader, self.index), payload };
            self.index += 1;
            self.machine.apply_entries(vec![entry]).await.unwrap().remove(0).outcome
        }
    }

    const MOUNT: [u8; 16] = [7; 16];
    const DONE: Outcome = Outcome::Done { more: false };

    fn view(txn: &mut BarrierTxn) -> MountView<'_> {
        MountView::new(txn, schema::NAMESPACE_ROOT, &MOUNT)
    }

    #[tokio::test]
    async fn reads_see_own_writes_and_what_was_committed() {
        let mut node = Node::new().await;
        let mut txn = node.txn();
        let mut mount = view(&mut txn);
        assert_eq!(mount.get("a").await.unwrap(), None);
        for key in ["a", "b/x", "b/y", "c"] {
            mount.put(key, key.as_bytes());
        }
        mount.delete("c");
        assert_eq!(mount.get("a").await.unwrap().unwrap(), "a");
        assert_eq!(mount.get("c").await.unwrap(), None);
        assert_eq!(mount.list("", "", 9).await.unwrap(), ["a", "b/"]);
        let batch = txn.into_batch();
        assert_eq!(batch.sealed, [(1, 3)]);
        assert_eq!(node.apply(batch).await, DONE);

        let mut txn = node.txn();
        let mut mount = view(&mut txn);
        assert_eq!(mount.get("b/x").await.unwrap().unwrap(), "b/x");
        mount.put("d", b"new");
        mount.delete("b/x");
        assert_eq!(mount.list("", "", 9).await.unwrap(), ["a", "b/", "d"]);
        assert_eq!(mount.list("", "a", 1).await.unwrap(), ["b/"]);
        assert_eq!(mount.list("b/", "", 9).await.unwrap(), ["y"]);
        mount.delete("b/y");
        assert_eq!(mount.list("", "", 9).await.unwrap(), ["a", "d"]);
        let mut other = MountView::new(&mut txn, schema::NAMESPACE_ROOT, &[8; 16]);
        assert_eq!(other.get("a").await.unwrap(), None);
        assert!(other.list("", "", 9).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_stored_is_ciphertext_bound_to_its_key() {
        let mut node = Node::new().await;
        let mut txn = node.txn();
        view(&mut txn).put("a", b"the plain text");
        node.commit(txn).await;
        let pairs = node.state.scan(&[schema::SEALED_FROM], &[0xff], 9).await.unwrap();
        let (key, stored) = &pairs[0];
        assert!(!stored.value.windows(5).any(|window| window == b"plain"));

        let mut moved = Batch { epoch: node.state.epoch(), ..Batch::default() };
        let other: Bytes = [&key[..key.len() - 1], b"b"].concat().into();
        moved.writes.push(crate::raft::command::Write::Put { key: other.clone(), value: stored.value.clone() });
        assert_eq!(node.apply(moved).await, DONE);
        assert!(matches!(node.txn().get(&other).await, Err(BarrierError::Tampered)));
    }

    #[tokio::test]
    async fn a_write_over_a_stale_read_is_a_conflict() {
        let mut node = Node::new().await;
        let (mut first, mut second) = (node.txn(), node.txn());
        for txn in [&mut first, &mut second] {
            view(txn).get("a").await.unwrap();
            view(txn).put("a", b"1");
        }
        assert_eq!(node.commit(first).await, DONE);
        assert!(matches!(node.commit(second).await, Outcome::Conflict { .. }));
    }

    #[tokio::test]
    async fn a_cluster_is_initialised_once() {
        let mut node = Node::new().await;
        for expected in [true, false] {
            let made = seal::init(Params { shares: 5, threshold: 3 }, "", UnixTime(0), &node.entropy);
            node.keyring = Arc::clone(&made.keyring);
            let mut txn = node.txn();
            made.write(&mut txn);
            view(&mut txn).put("root token", b"x");
            assert_eq!(node.commit(txn).await == DONE, expected);
        }
        let init = node.state.get(&schema::key(schema::Kind::Init, b"")).await.unwrap().unwrap();
        let init: crate::storage::plain::Init = crate::storage::plain::decode(&init.value).unwrap();
        assert!(init.cluster_name.starts_with("vault-cluster-"));
    }
}
