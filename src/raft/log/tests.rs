//! The log on a disk in memory, through crashes, power cuts, rot and faults.

mod conformance;
mod damage;
mod model;
mod world;

use std::io;
use std::path::Path;
use std::time::Duration;

use openraft::RaftLogReader;
use openraft::storage::{IOFlushed, RaftLogStorage};

use self::world::{World, entry, id, options, payloads, run, vote};
use super::{Log, OpenError, Options};
use crate::runtime::Runtime;

#[test]
fn everything_comes_back_after_a_power_cut() {
    run(async {
        let world = World::new(1);
        let mut log = world.open().await.unwrap();
        log.save_vote(&vote(3)).await.unwrap();
        let entries: Vec<_> = (0..20).map(|index| entry(1, index, 500)).collect();
        world.append(&mut log, entries.clone()).await;
        log.save_committed(Some(id(1, 10))).await.unwrap();
        world.append(&mut log, vec![entry(2, 20, 5)]).await;
        assert!(log.bytes_on_disk() > 20 * 500);
        world.cut(0);

        let mut log = world.open().await.unwrap();
        assert_eq!(log.read_vote().await.unwrap(), Some(vote(3)));
        assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 10)));
        let mut expected = entries;
        expected.push(entry(2, 20, 5));
        assert_eq!(log.try_get_log_entries(..).await.unwrap(), expected);
        let state = log.get_log_state().await.unwrap();
        assert_eq!((state.last_purged_log_id, state.last_log_id), (None, Some(id(2, 20))));
        assert_eq!(log.get_key_log_ids(id(1, 0)..=id(2, 20)).await.unwrap(), [id(1, 19), id(2, 20)]);
    });
}

#[test]
fn reads_are_bounded_by_bytes_and_see_what_is_not_durable() {
    run(async {
        let world = World::new(2);
        let mut log = world.open().await.unwrap();
        world.append(&mut log, (0..40).map(|index| entry(1, index, 400)).collect()).await;
        log.append((40..43).map(|index| entry(1, index, 400)), IOFlushed::noop()).await.unwrap();
        assert_eq!(payloads(&log.try_get_log_entries(..).await.unwrap()), (0..43).collect::<Vec<_>>());
        assert_eq!(payloads(&log.try_get_log_entries(38..=41).await.unwrap()), [38, 39, 40, 41]);
        let limited = log.limited_get_log_entries(3, 40).await.unwrap();
        assert_eq!(payloads(&limited), [3, 4, 5, 6], "4 entries of 400 bytes and a little fit in 2000");
        world.append(&mut log, vec![entry(1, 43, 9000)]).await;
        assert_eq!(payloads(&log.limited_get_log_entries(43, 44).await.unwrap()), [43], "one always");
        let streamed: Vec<_> = futures_util::StreamExt::collect(log.entries_stream(1..43).await).await;
        let streamed: Vec<_> = streamed.into_iter().map(|entry| entry.unwrap()).collect();
        assert_eq!(payloads(&streamed), (1..43).collect::<Vec<_>>());
        log.append([entry(1, 50, 1)], IOFlushed::noop()).await.expect_err("a hole");
    });
}

#[test]
fn segments_roll_and_a_purge_bounds_the_disk() {
    run(async {
        let world = World::new(3);
        let mut log = world.open().await.unwrap();
        log.save_vote(&vote(7)).await.unwrap();
        for round in 0..50 {
            world.append(&mut log, (0..20).map(|n| entry(1, round * 20 + n, 300)).collect()).await;
            log.purge(id(1, round * 20 + 15)).await.unwrap();
        }
        world.settle(&mut log).await;
        assert!(log.bytes_on_disk() <= 6 * options().segment_bytes, "{} bytes", log.bytes_on_disk());
        world.cut(1);
        let mut log = world.open().await.unwrap();
        assert_eq!(log.read_vote().await.unwrap(), Some(vote(7)), "the vote's own segment is gone");
        assert_eq!(payloads(&log.try_get_log_entries(..).await.unwrap()), (996..1000).collect::<Vec<_>>());
        // A snapshot may be ahead of the log: the log then begins behind it.
        log.purge(id(2, 5000)).await.unwrap();
        assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(2, 5000)));
        world.append(&mut log, vec![entry(2, 5001, 3)]).await;
        world.cut(2);
        let mut log = world.open().await.unwrap();
        assert_eq!(payloads(&log.try_get_log_entries(..).await.unwrap()), [5001]);
        assert!(world.memory.paths().len() <= 3, "{:?}", world.memory.paths());
    });
}

#[test]
fn a_failed_sync_faults_the_log_for_good() {
    run(async {
        let world = World::new(4);
        let mut log = world.open().await.unwrap();
        world.append(&mut log, vec![entry(1, 0, 10)]).await;
        assert_eq!(log.fault(), None);
        let mut watch = log.watch_fault();
        world.faults().sync = Some(io::ErrorKind::Other);
        let acknowledged = world.submit(&mut log, vec![entry(1, 1, 10)]).await;
        watch.wait_for(Option::is_some).await.unwrap();
        assert!(log.fault().unwrap().contains("000000000000.log: write or sync failed at byte"), "{:?}", log.fault());
        world.faults().sync = None;
        log.save_vote(&vote(9)).await.expect_err("a vote fails at once");
        log.sync_to(1).await.expect_err("nothing more is durable");
        log.sync_to(0).await.expect("what was durable stays so");
        let later = world.submit(&mut log, vec![entry(1, 2, 10)]).await;
        assert_eq!(payloads(&log.try_get_log_entries(..).await.unwrap()), [0, 1, 2], "it can still be replicated");
        tokio::time::timeout(Duration::from_millis(20), acknowledged).await.expect_err("never acknowledged");
        tokio::time::timeout(Duration::from_millis(20), later).await.expect_err("never acknowledged");
        assert_eq!(log.stuck_for(), Duration::ZERO);
        log.shutdown().await;
    });
}

#[test]
fn a_full_disk_is_waited_out() {
    run(async {
        let world = World::new(5);
        let mut log = world.open().await.unwrap();
        assert!(log.has_space());
        world.faults().create = Some(io::ErrorKind::StorageFull);
        world.faults().free = Some(10);
        let entries = (0..60).map(|index| entry(1, index, 700)).collect();
        let acknowledged = world.submit(&mut log, entries).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!log.has_space());
        assert_eq!(log.fault(), None);
        log.sync_to(0).await.unwrap();
        world.faults().create = None;
        world.faults().free = None;
        acknowledged.await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(log.has_space());
    });
}

#[test]
fn a_shut_down_log_has_marked_its_end_and_says_so() {
    run(async {
        let world = World::new(6);
        let mut log = world.open().await.unwrap();
        world.append(&mut log, vec![entry(1, 0, 10)]).await;
        log.save_committed(Some(id(1, 0))).await.unwrap();
        log.shutdown().await;
        log.save_vote(&vote(1)).await.expect_err("closed");
        assert_eq!(log.fault(), None, "closing is no fault");
        world.cut(0);
        let mut log = world.open().await.unwrap();
        assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 0)));
        assert_eq!(log.syncs().count, 0);
    });
}

#[test]
fn the_writer_ends_with_the_last_handle() {
    run(async {
        let world = World::new(7);
        let log = world.open().await.unwrap();
        let weak = std::sync::Arc::downgrade(&log.shared);
        drop(log);
        while weak.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

/// On the real disk: the files are private, and the log opens again.
#[tokio::test]
async fn the_real_disk_works_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("raft/log");
    let runtime = Runtime::real();
    for round in 0..3 {
        let mut log =
            Log::open(&runtime, &dir, Options { segment_bytes: 1 << 16, ..Options::default() }).await.unwrap();
        log.append((0..100).map(|n| entry(1, round * 100 + n, 300)), IOFlushed::noop()).await.unwrap();
        log.save_vote(&vote(round)).await.unwrap();
        log.sync_to(round * 100 + 99).await.unwrap();
        assert_eq!(log.try_get_log_entries(..).await.unwrap().len() as u64, (round + 1) * 100);
        log.shutdown().await;
    }
    let missing = Log::open(&runtime, Path::new("/proc/nowhere/log"), Options::default()).await.unwrap_err();
    assert!(matches!(missing, OpenError::Io { .. }));
}

/// Prints what a commit costs on the real disk (`HOLDFAST_BENCH_DIR`, else the temporary directory).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn what_a_commit_costs() {
    let dir = match std::env::var_os("HOLDFAST_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let runtime = Runtime::real();
    let mut log = Log::open(&runtime, &dir.path().join("raft/log"), Options::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let world = World::new(0);
    let mut took = Vec::new();
    for index in 0..2000 {
        let began = runtime.clock.boot();
        world.append(&mut log, vec![entry(1, index, 300)]).await;
        took.push(runtime.clock.boot() - began);
    }
    took.sort();
    println!(
        "one at a time: p50 {:?} p99 {:?}; fdatasync p50 < {:?}",
        took[1000],
        took[1980],
        log.syncs().quantile(0.5)
    );
    let began = runtime.clock.boot();
    let before = log.syncs().count;
    let mut waiting = std::collections::VecDeque::new();
    for index in 2000..102_000 {
        waiting.push_back(world.submit(&mut log, vec![entry(1, index, 300)]).await);
        if waiting.len() == 64 {
            waiting.pop_front().unwrap().await.unwrap().unwrap();
        }
    }
    let took = runtime.clock.boot() - began;
    println!("64 in flight: {:.0} entries/s in {} syncs", 100_000.0 / took.as_secs_f64(), log.syncs().count - before);
    log.shutdown().await;
}
