//! Seal and unseal, as operators do them and as they go wrong.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Cluster, Shape, assert_has, until};

#[test]
fn a_seal_holds_on_all_nodes_until_the_shares_lift_it() {
    let mut cluster = Cluster::formed(3);
    assert!(cluster.put(0, "app", "kept"));
    cluster.bao(cluster.standby_index()).run("operator seal").ok();
    all_sealed(&cluster);
    // Restarts change nothing, of one node or of all of them.
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    all_sealed(&cluster);
    for node in &mut cluster.nodes {
        node.kill();
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    all_sealed(&cluster);
    cluster.unseal_all();
    until("it serves again", 20, || (cluster.read(2, "app").as_deref() == Some("kept")).then_some(()));

    // One node only: the others go on.
    let one = cluster.standby_index();
    let sealed = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["operator", "seal", "-node"])
        .env_clear()
        .env("VAULT_ADDR", cluster.nodes[one].address())
        .env("VAULT_TOKEN", &cluster.root)
        .output()
        .expect("the client");
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    assert_eq!(cluster.nodes[one].health(), 503);
    assert!((0..3).all(|other| other == one || cluster.nodes[other].health() != 503), "the others are not sealed");
    assert!(cluster.put(cluster.active_index(), "app", "others go on"));
    cluster.unseal(&cluster.nodes[one]);
    assert_eq!(cluster.read(one, "app").as_deref(), Some("others go on"));
}

#[test]
fn a_seal_without_a_quorum_is_at_once_and_comes_to_the_others_with_it() {
    let mut cluster = Cluster::formed(3);
    assert!(cluster.put(0, "app", "kept"));
    let one = cluster.standby_index();
    for other in (0..3).filter(|other| *other != one) {
        cluster.nodes[other].kill();
    }
    let from = Instant::now();
    let sealed = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["operator", "seal"])
        .env_clear()
        .env("VAULT_ADDR", cluster.nodes[one].address())
        .env("VAULT_TOKEN", &cluster.root)
        .output()
        .expect("the client");
    assert_has(&String::from_utf8_lossy(&sealed.stdout), &["Success! Vault is sealed."]);
    assert_has(&String::from_utf8_lossy(&sealed.stderr), &["WARNING!", "not confirmed sealed yet: vault-"]);
    assert!(from.elapsed() < Duration::from_secs(5), "it took {:?}", from.elapsed());
    assert_eq!(cluster.nodes[one].health(), 503);
    // It holds over a restart, and shares that are given before it is committed do not undo it.
    cluster.nodes[one].kill();
    cluster.nodes[one].start();
    assert_eq!(cluster.nodes[one].health(), 503);
    assert!(cluster.nodes[one].data().join("pending-seal").exists());
    for other in (0..3).filter(|other| *other != one) {
        cluster.nodes[other].start();
    }
    until("the seal is committed", 20, || (!cluster.nodes[one].data().join("pending-seal").exists()).then_some(()));
    all_sealed(&cluster);
    cluster.unseal_all();
    until("it serves again", 20, || (cluster.read(one, "app").as_deref() == Some("kept")).then_some(()));
}

#[test]
fn a_reset_drops_shares_that_wait_for_a_quorum() {
    let mut cluster = Cluster::formed(3);
    for node in &mut cluster.nodes {
        node.kill();
    }
    cluster.nodes[0].start();
    assert_eq!(cluster.give_shares(&cluster.nodes[0])["sealed"], true);
    cluster.nodes[0].http("PUT", "sys/unseal", "", &json!({ "reset": true })).ok();
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    cluster.unseal(&cluster.nodes[1]);
    cluster.unseal(&cluster.nodes[2]);
    assert_eq!(cluster.nodes[0].health(), 503, "the shares were dropped");
}

#[test]
fn wrong_shares_are_refused_in_words() {
    let mut cluster = Cluster::start(1, &Shape::default());
    cluster.init(5, 3);
    let node = &cluster.nodes[0];
    let give = |share: &str| node.http("PUT", "sys/unseal", "", &json!({ "key": share }));
    for garbage in ["", "nonsense", "AAAA", "====", &"A".repeat(10_000)] {
        let answer = give(garbage);
        assert_eq!(answer.status, 400, "{garbage:?}: {}", answer.text());
        assert!(answer.json()["errors"][0].as_str().is_some_and(|text| !text.is_empty()));
    }
    // A share twice counts once.
    assert_eq!(give(&cluster.shares[0]).ok()["progress"], 1);
    assert_eq!(give(&cluster.shares[0]).ok()["progress"], 1);
    node.http("PUT", "sys/unseal", "", &json!({ "reset": true })).ok();
    assert_eq!(node.get("sys/seal-status", "").json()["progress"], 0);

    // The shares of another cluster combine to a key, which is the wrong one.
    let mut other = Cluster::start(1, &Shape::default());
    other.init(5, 3);
    for share in &other.shares[..2] {
        give(share).ok();
    }
    let answer = give(&other.shares[2]);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(node.get("sys/seal-status", "").json()["progress"], 0, "a wrong attempt begins anew");
    // One bit of one share is enough.
    let mut bytes = cluster.shares[1].clone().into_bytes();
    bytes[3] = if bytes[3] == b'A' { b'B' } else { b'A' };
    give(&cluster.shares[0]).ok();
    give(&String::from_utf8(bytes).expect("ASCII")).ok();
    assert_eq!(give(&cluster.shares[2]).status, 400);
    assert_eq!(node.health(), 503);
    for share in &cluster.shares[2..] {
        give(share).ok();
    }
    cluster.wait_unsealed(node);
}

#[test]
fn shares_given_without_a_quorum_are_used_later() {
    let mut cluster = Cluster::formed(3);
    assert!(cluster.put(0, "app", "kept"));
    for node in &mut cluster.nodes {
        node.kill();
    }
    cluster.nodes[0].start();
    until("it knows the cluster", 20, || (cluster.nodes[0].health() == 503).then_some(()));
    let from = Instant::now();
    let status = cluster.give_shares(&cluster.nodes[0]);
    assert!(from.elapsed() < Duration::from_secs(2), "the shares were answered after {:?}", from.elapsed());
    assert_eq!(status["sealed"], true, "{status}");
    assert!(status["warnings"][0].as_str().is_some_and(|text| text.contains("pending")), "{status}");
    assert_eq!(cluster.nodes[0].health(), 503);
    // `-reset` drops them.
    cluster.nodes[0].http("PUT", "sys/unseal", "", &json!({ "reset": true })).ok();
    let status = cluster.nodes[0].get("sys/seal-status", "").json();
    assert!(status["warnings"].is_null(), "{status}");
    cluster.give_shares(&cluster.nodes[0]);
    // A second node, sealed, makes the quorum.
    cluster.nodes[1].start();
    until("the pending unseal is done", 20, || (cluster.nodes[0].health() == 200).then_some(()));
    assert_eq!(cluster.nodes[1].health(), 503);
    assert_eq!(cluster.read(0, "app").as_deref(), Some("kept"));

    // Wrong shares that could not be checked yet are reported once they can.
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    cluster.nodes[2].start();
    until("it knows the cluster", 20, || (cluster.nodes[2].health() == 503).then_some(()));
    let mut wrong = cluster.shares[0].clone().into_bytes();
    wrong[5] = if wrong[5] == b'A' { b'B' } else { b'A' };
    let node = &cluster.nodes[2];
    for share in [String::from_utf8(wrong).expect("ASCII"), cluster.shares[1].clone()] {
        let answer = node.http("PUT", "sys/unseal", "", &json!({ "key": share }));
        assert!(matches!(answer.status, 200 | 400), "{}", answer.text());
    }
    cluster.nodes[1].start();
    assert_has(cluster.nodes[2].bao().run("status").stdout.as_str(), &["Sealed", "true"]);
    cluster.unseal(&cluster.nodes[1]);
    until("it serves", 20, || (cluster.read(1, "app").as_deref() == Some("kept")).then_some(()));
    until("the wrong shares are dropped", 20, || {
        (cluster.nodes[2].get("sys/seal-status", "").json()["progress"] == 0).then_some(())
    });
    assert_eq!(cluster.nodes[2].health(), 503);
    cluster.unseal(&cluster.nodes[2]);
}

#[test]
fn shares_that_wait_do_not_lift_a_later_seal() {
    let mut cluster = Cluster::formed(3);
    assert!(cluster.put(0, "app", "kept"));
    // The shares of a node that is cut off wait; meanwhile the others are sealed in an emergency.
    let late = cluster.standby_index();
    let others: Vec<usize> = (0..3).filter(|node| *node != late).collect();
    cluster.nodes[late].kill();
    for other in &others {
        cluster.nodes[*other].pause();
    }
    cluster.nodes[late].start();
    assert_eq!(cluster.give_shares(&cluster.nodes[late])["pending"], true);
    cluster.nodes[late].pause();
    for other in &others {
        cluster.nodes[*other].signal(rustix::process::Signal::CONT);
    }
    let active = until("one of them is active", 30, || {
        others.iter().copied().find(|other| cluster.nodes[*other].health() == 200)
    });
    cluster.nodes[active].http("PUT", "sys/seal", &cluster.root, &json!({}));
    for other in &others {
        until("sealed", 20, || (cluster.nodes[*other].health() == 503).then_some(()));
    }
    cluster.nodes[late].signal(rustix::process::Signal::CONT);
    until("the shares are dropped", 20, || {
        cluster.nodes[late].log().contains("sealed after these shares were given").then_some(())
    });
    all_sealed(&cluster);
    assert!(cluster.nodes[late].get("sys/seal-status", "").json()["progress"] == 0);
    // Given again, by who knows of the seal, they lift it.
    cluster.unseal_all();
    until("it serves again", 20, || (cluster.read(late, "app").as_deref() == Some("kept")).then_some(()));
}

#[test]
fn a_seal_that_waits_takes_no_shares_and_is_carried_out_once() {
    let cluster = Cluster::formed(3);
    assert!(cluster.put(0, "app", "kept"));
    // The active node, so that the seal is in its own log already when it is given up.
    let one = cluster.active_index();
    let others: Vec<usize> = (0..3).filter(|node| *node != one).collect();
    for other in &others {
        cluster.nodes[*other].pause();
    }
    cluster.nodes[one].http("PUT", "sys/seal", &cluster.root, &json!({}));
    assert!(cluster.nodes[one].data().join("pending-seal").exists());
    for share in &cluster.shares[..cluster.threshold] {
        let answer = cluster.nodes[one].http("PUT", "sys/unseal", "", &json!({ "key": share }));
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains("waits for a quorum"), "{}", answer.text());
    }
    for other in &others {
        cluster.nodes[*other].signal(rustix::process::Signal::CONT);
    }
    until("the seal is committed", 30, || (!cluster.nodes[one].data().join("pending-seal").exists()).then_some(()));
    all_sealed(&cluster);
    cluster.unseal_all();
    until("it serves again", 20, || (cluster.read(one, "app").as_deref() == Some("kept")).then_some(()));
}

/// Waits until every node is sealed, and checks that nothing is served.
fn all_sealed(cluster: &Cluster) {
    for node in &cluster.nodes {
        until("sealed", 20, || (node.health() == 503).then_some(()));
        for path in ["secret/data/app", "sys/mounts", "auth/token/lookup-self", "cubbyhole/x"] {
            let answer = node.get(path, &cluster.root);
            assert_eq!(answer.status, 503, "{path}: {}", answer.text());
        }
        assert!(node.get("sys/seal-status", "").json()["sealed"] == true);
    }
}
