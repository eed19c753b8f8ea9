//! Data directories: who may read them, and what happens when they rot.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::node::tree;
use crate::support::{Cluster, Shape, until};

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
    let damages: [(&str, Damage); 2] = [("flipped", flip), ("cut", cut)];
    for kind in
        ["/raft/log/0", "/identity", "/node-key", "/state/CURRENT", "/MANIFEST-", "/state/1/CURRENT", ".sst", "/peers"]
    {
        for (what, damage) in damages {
            let files = tree(&kept).into_iter().filter(|path| path.is_file());
            let found: Vec<PathBuf> = files.filter(|path| named(path, kind)).collect();
            assert!(!found.is_empty(), "no file with {kind}: {:#?}", tree(&kept));
            let noticed = damage_and_start(&mut cluster, node, &kept, &found[0], damage);
            println!("{} {what}: {noticed:?}", found[0].strip_prefix(&kept).expect("inside").display());
            // What is known of peers is known to them as well: that file is put aside.
            let wanted = if kind == "/peers" { Noticed::AndServes } else { Noticed::AndStays };
            assert_eq!(noticed, wanted, "{} {what}: {}", found[0].display(), cluster.nodes[node].log());
            if noticed == Noticed::AndServes {
                // Each start that others have seen makes older copies of the directory useless.
                cluster.nodes[node].terminate();
                std::fs::remove_dir_all(&kept).expect("a folder");
                copy(&cluster.nodes[node].data(), &kept);
            }
        }
    }
    // As it was, it is fine.
    restore(&cluster.nodes[node].data(), &kept);
    cluster.nodes[node].start();
    cluster.unseal(&cluster.nodes[node]);
    check(&cluster, node);
    // An older copy is not, and says so.
    cluster.nodes[node].kill();
    restore(&cluster.nodes[node].data(), &kept);
    cluster.nodes[node].start();
    until("the copy is refused", 20, || cluster.nodes[node].log().contains("wipe it").then_some(()));
    assert_ne!(cluster.nodes[node].health(), 429);
    cluster.nodes[node].kill();
    // Emptied, it joins anew.
    std::fs::remove_dir_all(cluster.nodes[node].data()).expect("a folder");
    cluster.nodes[node].start();
    cluster.unseal(&cluster.nodes[node]);
    check(&cluster, node);
}

#[test]
fn a_log_whose_end_turned_to_zeros_does_not_vote() {
    let mut cluster = Cluster::formed(3);
    for number in 0..30 {
        assert!(cluster.put(number % 3, &format!("app/{number}"), "kept"));
    }
    let (node, other) = (cluster.standby_index(), cluster.active_index());
    let third = (0..3).find(|at| ![node, other].contains(at)).expect("a third node");
    // After an orderly end the node sees by itself that something is missing.
    cluster.nodes[node].terminate();
    let kept = cluster.folder.path().join("kept");
    copy(&cluster.nodes[node].data(), &kept);
    let log = tree(&kept).into_iter().find(|path| named(path, "/raft/log/0")).expect("a log");
    assert_eq!(damage_and_start(&mut cluster, node, &kept, &log, zeros), Noticed::AndStays);
    // As it was, it is fine; after a sudden end only those know to whom it had acknowledged what is gone.
    restore(&cluster.nodes[node].data(), &kept);
    cluster.nodes[node].start();
    cluster.unseal(&cluster.nodes[node]);
    for number in 0..30 {
        assert!(cluster.put(other, &format!("app/{number}"), "kept"));
    }
    until("it has all of it", 20, || (cluster.read(node, "app/29").as_deref() == Some("kept")).then_some(()));
    cluster.nodes[node].kill();
    std::fs::remove_file(cluster.nodes[node].data().join("raft/log-end")).expect("a file");
    let log = cluster.nodes[node].data().join(log.strip_prefix(&kept).expect("inside"));
    std::fs::write(&log, zeros(std::fs::read(&log).expect("a file"))).expect("a file");
    cluster.nodes[node].start();
    until("it says why it stays out", 20, || {
        let answer = cluster.nodes[node].get("sys/health", "");
        let reason = answer.json()["reason"].as_str().unwrap_or_default().to_string();
        (answer.status == 503 && reason.contains("had acknowledged") && reason.contains("wipe")).then_some(())
    });
    until("its log says so", 10, || cluster.nodes[node].log().contains("raft/log: the log is damaged").then_some(()));
    // It is no part of any quorum.
    cluster.nodes[third].kill();
    let body = serde_json::json!({ "data": { "value": "must not be acknowledged" } });
    let answer = cluster.nodes[other].http("POST", "secret/data/alone", &cluster.root, &body);
    assert_ne!(answer.status, 200, "{}", answer.text());
    cluster.nodes[third].start();
    cluster.unseal(&cluster.nodes[third]);
    check(&cluster, other);
    // Emptied, it joins anew.
    cluster.nodes[node].kill();
    std::fs::remove_dir_all(cluster.nodes[node].data()).expect("a folder");
    cluster.nodes[node].start();
    cluster.unseal(&cluster.nodes[node]);
    check(&cluster, node);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noticed {
    AndStays,
    AndServes,
    Not,
}

fn check(cluster: &Cluster, node: usize) {
    for number in 0..30 {
        assert_eq!(cluster.read(node, &format!("app/{number}")).as_deref(), Some("kept"));
    }
}

/// Puts the kept directory back with one file damaged and starts the node. It ends with exit code 1 and names the file,
/// or serves what was there.
fn damage_and_start(cluster: &mut Cluster, node: usize, kept: &Path, file: &Path, damage: Damage) -> Noticed {
    let data = cluster.nodes[node].data();
    restore(&data, kept);
    let inside = file.strip_prefix(kept).expect("a file of the kept ones");
    let bytes = std::fs::read(data.join(inside)).expect("a file");
    let bytes = damage(bytes);
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
        // Another reason to end says nothing about the damage.
        assert!(!log.contains("in use"), "{}: {log}", inside.display());
        assert_eq!(status.code(), Some(1), "{}: {log}", inside.display());
        assert!(!log.contains("panicked"), "{}: {log}", inside.display());
        assert!(
            log.contains(name) || log.contains(&data.display().to_string()),
            "{} is not named: {log}",
            inside.display()
        );
        // The others do not care.
        check(cluster, cluster.active_index());
        return Noticed::AndStays;
    }
    cluster.give_shares(&cluster.nodes[node]);
    let serves = until("it serves or says why not", 20, || {
        let log = &cluster.nodes[node].log()[before..];
        match cluster.nodes[node].health() {
            429 => Some(true),
            _ => (log.contains(name) && !log.contains("starts empty")).then_some(false),
        }
    });
    let log = cluster.nodes[node].log()[before..].to_string();
    assert!(!log.contains("panicked"), "{}: {log}", inside.display());
    check(cluster, if serves { node } else { cluster.active_index() });
    match serves {
        true if log.contains(name) => Noticed::AndServes,
        true => Noticed::Not,
        false => {
            cluster.nodes[node].kill();
            Noticed::AndStays
        }
    }
}

/// What is done to the bytes of a file.
type Damage = fn(Vec<u8>) -> Vec<u8>;

/// One bit in the middle of what is not zero; between the groups of a log there is padding that nobody reads.
fn flip(mut bytes: Vec<u8>) -> Vec<u8> {
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let middle = bytes.iter().take(used / 2 + 1).rposition(|byte| *byte != 0).unwrap_or(0);
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
    bytes
}

/// Half of what is not zero, and nothing behind it.
fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    bytes.truncate(used / 2);
    bytes
}

/// Zeros from the middle of what is not zero, at the same length.
fn zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    // Whole sectors: what a disk has lost of itself.
    bytes[used / 2 / 4096 * 4096..].fill(0);
    bytes
}

/// A file that was not yet renamed to its name when the process ended does not count.
fn named(path: &Path, part: &str) -> bool {
    path.display().to_string().contains(part) && path.extension().is_none_or(|end| end != "new")
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

#[test]
fn a_node_knows_its_cluster_when_the_record_of_it_has_left_the_memory() {
    let cluster = Cluster::formed(1);
    let node = &cluster.nodes[0];
    let value = "x".repeat(250_000);
    // Several times what is kept in memory before it is written to files.
    for number in 0..160 {
        assert!(cluster.put(0, &format!("app/{number}"), &value));
        assert_eq!(node.health(), 200, "after {number} writes");
    }
}

/// What looks like the torn end of a log may be what its process just writes: a second start that mended it would destroy
/// what was acknowledged.
#[test]
fn a_directory_in_use_is_not_touched_by_another_start() {
    let top = "pid_file = \"../vault.pid\"\n".to_string();
    let mut cluster = Cluster::formed_as(1, &Shape { top, ..Shape::default() });
    let pid_file = cluster.nodes[0].folder.join("../vault.pid");
    let pid = std::fs::read_to_string(&pid_file).expect("a pid file");
    let config = format!("-config={}", cluster.nodes[0].config().display());
    std::thread::scope(|scope| {
        let cluster = &cluster;
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn(move || (0..50).all(|key| cluster.put(0, &format!("app/{writer}-{key}"), "kept")))
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            let second = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
                .args(["server", &config])
                .current_dir(&cluster.nodes[0].folder)
                .output()
                .expect("the binary runs");
            let said = String::from_utf8_lossy(&second.stderr).into_owned();
            assert_eq!(second.status.code(), Some(1), "{said}");
            assert!(said.contains("another process uses this data directory"), "{said}");
        }
        assert!(writers.into_iter().all(|writer| writer.join().expect("a writer")));
    });
    assert_eq!(std::fs::read_to_string(&pid_file).expect("a pid file"), pid);
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.unseal(&cluster.nodes[0]);
    for writer in 0..4 {
        for key in 0..50 {
            assert_eq!(cluster.read(0, &format!("app/{writer}-{key}")).as_deref(), Some("kept"));
        }
    }
}
