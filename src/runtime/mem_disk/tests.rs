use std::path::Path;

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;

use super::MemDisk;
use crate::runtime::disk::{Disk, File, Open};

/// Runs a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a disk in memory never waits")
}

fn write(disk: &Disk, path: &str, bytes: &'static [u8]) -> File {
    let file = now(disk.open(Path::new(path), Open::WRITE)).unwrap();
    now(file.write_at(0, Bytes::from_static(bytes))).unwrap();
    file
}

fn lose_all(_: u64) -> u64 {
    0
}

fn keep_all(n: u64) -> u64 {
    n - 1
}

#[test]
fn a_new_file_needs_its_own_sync_and_those_of_its_directories() {
    for (parent, directory, file, expected) in [
        (false, true, true, None),
        (true, false, true, None),
        (true, true, false, Some(0)),
        (true, true, true, Some(3)),
    ] {
        let memory = MemDisk::new();
        let disk = memory.disk();
        now(disk.create_dir_all(Path::new("/a/b"))).unwrap();
        let handle = write(&disk, "/a/b/f", b"abc");
        if file {
            now(handle.sync()).unwrap();
        }
        if directory {
            now(disk.sync_dir(Path::new("/a/b"))).unwrap();
        }
        if parent {
            now(disk.sync_dir(Path::new("/"))).unwrap();
            now(disk.sync_dir(Path::new("/a"))).unwrap();
        }
        memory.power_cut(&mut lose_all);
        assert_eq!(memory.bytes(Path::new("/a/b/f")).map(|bytes| bytes.len()), expected);
        assert!(now(handle.size()).is_err(), "the handle is stale");
    }
}

#[test]
fn everything_written_survives_a_crash_and_a_kind_power_cut() {
    for crash in [true, false] {
        let memory = MemDisk::new();
        write(&memory.disk(), "/f", b"abc");
        if crash {
            memory.crash()
        } else {
            memory.power_cut(&mut keep_all)
        }
        assert_eq!(memory.bytes(Path::new("/f")).unwrap(), b"abc");
    }
}

#[test]
fn sectors_are_lost_one_by_one_and_lengths_too() {
    let memory = MemDisk::new();
    let disk = memory.disk();
    let file = write(&disk, "/f", b"");
    now(file.preallocate(1024)).unwrap();
    now(file.sync()).unwrap();
    now(disk.sync_dir(Path::new("/"))).unwrap();
    now(file.write_at(0, Bytes::from(vec![1; 1024]))).unwrap();
    now(file.set_len(4096)).unwrap();
    let mut answers = [0, 1, 0].into_iter();
    memory.power_cut(&mut |_| answers.next().unwrap());
    let bytes = memory.bytes(Path::new("/f")).unwrap();
    assert_eq!((bytes.len(), bytes[511], bytes[512]), (1024, 0, 1));
}

#[test]
fn a_replaced_file_is_old_or_new() {
    for kept in 0..3 {
        let memory = MemDisk::new();
        let disk = memory.disk();
        now(disk.replace(Path::new("/f"), Bytes::from_static(b"old"))).unwrap();
        let file = write(&disk, "/f.new", b"new");
        now(file.sync()).unwrap();
        now(disk.rename(Path::new("/f.new"), Path::new("/f"))).unwrap();
        memory.power_cut(&mut |_| kept);
        assert_eq!(memory.bytes(Path::new("/f")).unwrap(), if kept < 2 { b"old" } else { b"new" });
    }
}

#[test]
fn a_move_between_directories_never_loses_the_file() {
    for mut answers in [[0, 1], [1, 0], [0, 0], [1, 1]] {
        let memory = MemDisk::new();
        let disk = memory.disk();
        now(disk.create_dir_all(Path::new("/a"))).unwrap();
        now(disk.create_dir_all(Path::new("/b"))).unwrap();
        now(disk.sync_dir(Path::new("/"))).unwrap();
        now(write(&disk, "/a/f", b"abc").sync()).unwrap();
        now(disk.sync_dir(Path::new("/a"))).unwrap();
        now(disk.rename(Path::new("/a/f"), Path::new("/b/f"))).unwrap();
        answers.reverse();
        let mut answers = answers.into_iter();
        memory.power_cut(&mut |n| answers.next().unwrap_or(0).min(n - 1));
        assert!(!memory.paths().is_empty());
    }
}

#[test]
fn images_rot_and_wiping() {
    let memory = MemDisk::new();
    let disk = memory.disk();
    let file = write(&disk, "/f", b"abc");
    let image = memory.image();
    now(file.write_at(0, Bytes::from_static(b"xyz"))).unwrap();
    memory.rot(Path::new("/f"), 2, 1).unwrap();
    assert_eq!(memory.bytes(Path::new("/f")).unwrap(), b"xy{");
    assert!(memory.rot(Path::new("/f"), 3, 1).is_err());
    memory.restore(&image);
    assert_eq!(memory.bytes(Path::new("/f")).unwrap(), b"abc");
    memory.wipe();
    assert!(memory.paths().is_empty());
    assert!(now(disk.open(Path::new("/f"), Open::READ)).is_err());
}

#[test]
fn removing_reads_on_through_open_handles() {
    let memory = MemDisk::new();
    let disk = memory.disk();
    now(disk.create_dir_all(Path::new("/a/b"))).unwrap();
    let file = write(&disk, "/a/b/f", b"abc");
    now(disk.remove_all(Path::new("/a"))).unwrap();
    now(disk.sync_dir(Path::new("/"))).unwrap();
    assert_eq!(now(file.read_at(1, 2)).unwrap(), Bytes::from_static(b"bc"));
    assert!(now(file.read_at(1, 3)).is_err());
    assert!(now(disk.list(Path::new("/"))).unwrap().is_empty());
}

proptest! {
    /// A sparse file reads as a plain vector of bytes does.
    #[test]
    fn reads_like_plain_bytes(writes in prop::collection::vec((0u64..3000, prop::collection::vec(any::<u8>(), 0..1500), any::<bool>()), 1..12)) {
        let memory = MemDisk::new();
        let file = write(&memory.disk(), "/f", b"");
        let mut plain: Vec<u8> = Vec::new();
        for (offset, bytes, cut) in writes {
            if cut {
                now(file.set_len(offset)).unwrap();
                plain.resize(offset as usize, 0);
            } else {
                let end = offset as usize + bytes.len();
                plain.resize(plain.len().max(end), 0);
                plain[offset as usize..end].copy_from_slice(&bytes);
                now(file.write_at(offset, bytes.into())).unwrap();
            }
        }
        prop_assert_eq!(memory.bytes(Path::new("/f")).unwrap(), plain);
    }
}
