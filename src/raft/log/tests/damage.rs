//! Rot, lost files and torn writes.

use std::path::{Path, PathBuf};

use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;

use super::super::frame::{GROUP_HEADER, Header};
use super::super::{Log, OpenError};
use super::world::{World, entry, id, run, vote};
use crate::raft::types::{Entry, LogId, Vote};

type Found = (Option<Vote>, Option<LogId>, Vec<Entry>);

async fn read(log: &mut Log) -> Found {
    let purged = log.get_log_state().await.unwrap().last_purged_log_id;
    (log.read_vote().await.unwrap(), purged, log.try_get_log_entries(..).await.unwrap())
}

/// A log of a few segments, as a clean end leaves it.
async fn build(world: &World) -> Found {
    let mut log = world.open().await.unwrap();
    log.save_vote(&vote(3)).await.unwrap();
    for index in 0..18 {
        world.append(&mut log, vec![entry(3, index, 40 + 90 * index as usize)]).await;
    }
    log.truncate_after(Some(id(3, 14))).await.unwrap();
    world.append(&mut log, (15..19).map(|index| entry(4, index, 10)).collect()).await;
    log.purge(id(3, 1)).await.unwrap();
    log.save_vote(&vote(5)).await.unwrap();
    let found = read(&mut log).await;
    log.shutdown().await;
    world.kill();
    found
}

/// The groups of a file: where each begins and how long header and frames are.
fn groups(bytes: &[u8]) -> Vec<(u64, u64)> {
    let mut groups = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..).and_then(Header::decode) {
        groups.push((at as u64, (GROUP_HEADER + header.body as usize) as u64));
        at += header.group_len() as usize;
    }
    groups
}

fn files(world: &World) -> Vec<(PathBuf, Vec<(u64, u64)>)> {
    let logs = world.memory.paths().into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "log"));
    logs.map(|path| (path.clone(), groups(&world.memory.bytes(&path).unwrap()))).collect()
}

#[test]
fn rot_of_any_byte_is_named_or_harmless() {
    run(async {
        let world = World::new(11);
        let expected = build(&world).await;
        let image = world.memory.image();
        let files = files(&world);
        assert!(files.len() >= 3, "{files:?}");
        let (mut named, mut harmless) = (0, 0);
        for (n, (path, groups)) in files.iter().enumerate() {
            for offset in 0..world.memory.bytes(path).unwrap().len() as u64 {
                let group = groups.iter().position(|(at, len)| (*at..at + len).contains(&offset));
                if group.is_none() && offset % 37 != 0 {
                    continue;
                }
                // The last group of all holds but the mark of the one before it.
                let is_end = n + 1 == files.len() && group == Some(groups.len() - 1);
                world.memory.restore(&image);
                world.memory.rot(path, offset, 1 << (offset % 8)).unwrap();
                match world.open().await {
                    Err(OpenError::Corrupt { path: named_path, offset: at, .. }) => {
                        assert_eq!(&named_path, path);
                        let (start, len) = groups[group.expect("no frame was touched")];
                        assert!(start <= at && at <= offset && offset < start + len, "{at} for {offset}");
                        named += 1;
                    }
                    Err(other) => panic!("{} byte {offset}: {other}", path.display()),
                    Ok(mut log) => {
                        assert!(group.is_none() || is_end, "{} byte {offset} went unseen", path.display());
                        assert_eq!(read(&mut log).await, expected);
                        harmless += 1;
                    }
                }
            }
        }
        assert!(named > 1000 && harmless > 100, "{named} {harmless}");
    });
}

#[test]
fn a_lost_file_is_missed() {
    run(async {
        let world = World::new(12);
        build(&world).await;
        let image = world.memory.image();
        let files = files(&world);
        for (path, _) in &files[..files.len() - 1] {
            world.memory.restore(&image);
            world.memory.disk().remove(path).await.unwrap();
            let paths = world.memory.paths();
            let error = world.open().await.expect_err("a file is gone");
            assert!(matches!(error, OpenError::Missing { .. } | OpenError::Corrupt { .. }), "{error}");
            assert_eq!(world.memory.paths(), paths, "a damaged log is left as it is");
        }
    });
}

#[test]
fn a_torn_end_is_cut_and_erased() {
    run(async {
        let world = World::new(13);
        let mut log = world.open().await.unwrap();
        world.append(&mut log, vec![entry(1, 0, 100)]).await;
        let path = Path::new("/data/raft/log/000000000000.log").to_path_buf();
        let before = world.memory.bytes(&path).unwrap();
        world.append(&mut log, vec![entry(1, 1, 1500)]).await;
        drop(log);
        world.kill();
        // Nothing behind the last group says that it was durable: damage to it looks like a torn write.
        let (start, len) = *groups(&world.memory.bytes(&path).unwrap()).last().unwrap();
        world.memory.rot(&path, start + len - 1, 0xff).unwrap();
        let mut log = world.open().await.unwrap();
        assert_eq!(log.try_get_log_entries(..).await.unwrap(), [entry(1, 0, 100)]);
        assert_eq!(world.memory.bytes(&path).unwrap(), before, "erased");
        world.append(&mut log, vec![entry(2, 1, 20)]).await;
        world.cut(0);
        let mut log = world.open().await.unwrap();
        assert_eq!(log.try_get_log_entries(..).await.unwrap(), [entry(1, 0, 100), entry(2, 1, 20)]);
    });
}

#[test]
fn an_idle_log_marks_its_end() {
    run(async {
        let world = World::new(14);
        let mut log = world.open().await.unwrap();
        let path = Path::new("/data/raft/log/000000000000.log");
        world.append(&mut log, vec![entry(1, 0, 100)]).await;
        // The segment's head, the entry, the mark.
        while files(&world)[0].1.len() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        world.cut(0);
        world.memory.rot(path, 512 + 60, 1).unwrap();
        let error = world.open().await.expect_err("damaged");
        assert!(error.to_string().contains("000000000000.log: the log is damaged at byte 556"), "{error}");
    });
}

#[test]
fn a_first_start_that_was_cut_off_is_begun_again() {
    run(async {
        let world = World::new(15);
        let disk = world.memory.disk();
        let dir = Path::new("/data/raft/log");
        disk.create_dir_all(dir).await.unwrap();
        disk.replace(&dir.join("000000000000.log"), vec![7; 3000].into()).await.unwrap();
        disk.replace(&dir.join("next.new"), vec![7; 3000].into()).await.unwrap();
        let mut log = world.open().await.unwrap();
        world.append(&mut log, vec![entry(1, 0, 100)]).await;
        drop(log);
        // But not a later file of a log whose beginning is gone.
        world.kill();
        disk.rename(&dir.join("000000000000.log"), &dir.join("000000000001.log")).await.unwrap();
        world.open().await.expect_err("damaged");
    });
}
