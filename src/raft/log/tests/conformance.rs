//! openraft's own tests of a log store: those that need no state machine and leave no hole before the first entry.

use std::io;

use futures_util::Stream;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::alias::SnapshotOf;

use super::super::Log;
use super::world::{World, run};
use crate::raft::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};

/// A state machine that never holds anything.
struct Empty;

impl RaftStateMachine<TypeConfig> for Empty {
    type SnapshotData = ();
    type SnapshotBuilder = Empty;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((None, StoredMembership::default()))
    }
    async fn apply<S>(&mut self, _: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
    async fn get_snapshot_builder(&mut self) -> Empty {
        Empty
    }
    async fn install_snapshot(&mut self, _: &SnapshotMeta, (): ()) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<TypeConfig, ()>>> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Empty {
    type SnapshotData = ();
    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, ()>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, Log, Empty> for Builder {
    async fn build(&self) -> Result<((), Log, Empty), openraft::StorageError<TypeConfig>> {
        unimplemented!("each test opens its own")
    }
}

type LogSuite = Suite<TypeConfig, Log, Empty, Builder, ()>;

macro_rules! suite {
    ($($test:ident),* $(,)?) => { $(
        #[test]
        fn $test() {
            run(async {
                let log = World::new(1).open().await.unwrap();
                LogSuite::$test(log, Empty).await.unwrap();
            });
        }
    )* };
}

suite!(
    last_membership_in_log_initial,
    get_membership_initial,
    get_initial_state_without_init,
    save_vote,
    get_log_entries,
    limited_get_log_entries,
    leader_bounded_stream,
    entries_stream,
    try_get_log_entry,
    log_reader_reads_new_entries,
    initial_logs,
    get_log_state,
    get_log_id,
    purge_logs_upto_0,
    purge_logs_upto_5,
    purge_logs_upto_20,
    delete_logs_after_11,
    delete_logs_after_5,
    delete_logs_after_0,
    delete_logs_after_none,
    append_to_log,
);
