//! Data directories: who may read them, and what happens when they rot.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::node::tree;
use crate::support::{Cluster, until};

#[test]
fn a_damaged_directory_is_named_and_costs_nothing_elsewhere() {
    let mut cluster = Cluster::formed(3);
    for number in 0..30 {
        assert!(cluster.put(number % 3, &format!("app/{number}"), "kept"));
    }
    private(&cluster);
    let node = 2;
    cluster.nodes[node].terminate();
    let kept = cluster.folder.path().join("kept");
    copy(&cluster.nodes[node].data(), &kept);
    let files: Vec<PathBuf> = tree(&kept).into_iter().filter(|path| path.is_file()).collect();
    println!("{files:#?}");

    let segment = files.iter().find(|path| named(path, "raft/log/0")).expect("a log segment");
    for (what, damage) in [
        ("flipped", flip as fn(&mut Vec<u8>)),
        ("cut", cut),
    ] {
        let damaged = damage_and_start(&mut cluster, node, &kept, segment, damage);
        assert!(damaged, "a log segment that was {what} was not noticed");
    }
    for file in files.iter().filter(|file| *file != segment) {
        for (what, damage) in [("flipped", flip as fn(&mut Vec<u8>)), ("cut", cut)] {
            if !damage_and_start(&mut cluster, node, &kept, file, damage) {
                println!("{} {what}: not noticed", file.display());
            }
        }
    }
    // As it was, it is fine; emptied, it joins anew.
    restore(&cluster.nodes[node].data(), &kept);
    cluster.nodes[node].start();
    cluster.unseal(&cluster.nodes[node]);
    for number in 0..30 {
        assert_eq!(cluster.read(node, &format!("app/{number}")).as_deref(), Some("kept"));
    }
}

/// Puts the kept directory back with one file damaged and starts the node: whether it ended with exit code 1 and named
/// the file. It may also notice nothing (a file that it does not need any more); what it serves is checked then.
fn damage_and_start(cluster: &mut Cluster, node: usize, kept: &Path, file: &Path, damage: fn(&mut Vec<u8>)) -> bool {
    let data = cluster.nodes[node].data();
    restore(&data, kept);
    let inside = file.strip_prefix(kept).expect("a file of the kept ones");
    let mut bytes = std::fs::read(data.join(inside)).expect("a file");
    damage(&mut bytes);
    std::fs::write(data.join(inside), bytes).expect("a file");
    let before = cluster.nodes[node].log().len();
    let flag = format!("-config={}", cluster.nodes[node].config().display());
    cluster.nodes[node].spawn(&[&flag]);
    let running = until("it runs or ends", 20, || match cluster.nodes[node].runs() {
        false => Some(false),
        true => (cluster.nodes[node].health() != 0).then_some(true),
    });
    let name = inside.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !running {
        let status = cluster.nodes[node].wait_until_it_ends(5);
        let log = cluster.nodes[node].log()[before..].to_string();
        assert_eq!(status.code(), Some(1), "{}: {log}", inside.display());
        assert!(!log.contains("panicked"), "{}: {log}", inside.display());
        assert!(log.contains(name) || log.contains(&data.display().to_string()), "{} is not named: {log}", inside.display());
    } else {
        cluster.give_shares(&cluster.nodes[node]);
        let serves = until("it serves or says why not", 20, || {
            let health = cluster.nodes[node].health();
            let log = cluster.nodes[node].log()[before..].to_string();
            match health {
                429 => Some(true),
                _ if log.contains(name) || log.contains("wipe it") => Some(false),
                _ => None,
            }
        });
        if serves {
            for number in 0..30 {
                assert_eq!(cluster.read(node, &format!("app/{number}")).as_deref(), Some("kept"), "{}", inside.display());
            }
        }
        cluster.nodes[node].kill();
        assert!(!cluster.nodes[node].log()[before..].contains("panicked"), "{}", inside.display());
        if serves {
            return false;
        }
    }
    // The others do not care.
    let other = cluster.active_index();
    assert_eq!(cluster.read(other, "app/7").as_deref(), Some("kept"));
    true
}

/// One bit in the middle of what is not zero.
fn flip(bytes: &mut Vec<u8>) {
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    if let Some(byte) = bytes.get_mut(used / 2) {
        *byte ^= 0x10;
    }
}

/// Half of what is not zero, and nothing behind it.
fn cut(bytes: &mut Vec<u8>) {
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    bytes.truncate(used / 2);
}

fn named(path: &Path, part: &str) -> bool {
    path.display().to_string().contains(part)
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(status.success());
}

fn restore(data: &Path, kept: &Path) {
    std::fs::remove_dir_all(data).expect("a folder");
    copy(kept, data);
}

/// All test servers run with umask 0.
fn private(cluster: &Cluster) {
    for node in &cluster.nodes {
        for path in tree(&node.data()) {
            let mode = std::fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o777);
            // Files of the state come and go.
            let Ok(mode) = mode else { continue };
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{} has mode {mode:o}", path.display());
        }
    }
}
