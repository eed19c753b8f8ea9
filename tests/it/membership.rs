//! Joining, leaving, stepping down.

use serde_json::json;

use crate::support::{Cluster, Node, assert_has, until};

#[test]
fn a_leader_steps_down_and_a_removed_node_stays_out() {
    let mut cluster = Cluster::formed(3);
    assert!(cluster.put(0, "app", "kept"));
    let old = cluster.active_index();
    cluster.bao(old).run("operator step-down").ok();
    until("it says so in its log", 10, || cluster.nodes[old].log().contains("no longer active").then_some(()));
    // On a machine under load the old leader may win the next election.
    until("another leader", 40, || {
        let active = cluster.active_index();
        if active == old {
            cluster.bao(old).run("operator step-down");
        }
        (active != old).then_some(())
    });

    // Removed: it says so in its log and in its health, and serves nothing.
    let gone = cluster.standby_index();
    let name = cluster.nodes[gone].name.clone();
    let other = cluster.active_index();
    cluster.bao(other).run(&format!("operator raft remove-peer {name}")).ok();
    assert!(!cluster.peers().iter().any(|(label, _, _)| *label == name));
    until("the removed node says so", 20, || (cluster.nodes[gone].health() == 530).then_some(()));
    until("its log says so", 10, || cluster.nodes[gone].log().contains("removed").then_some(()));
    tells_that_it_was_removed(&cluster, gone);
    let stood = cluster.nodes[gone].log().matches("stands for election").count();

    // With its old directory it cannot come back.
    cluster.nodes[gone].kill();
    cluster.nodes[gone].start();
    until("the removed node still says so", 20, || (cluster.nodes[gone].health() == 530).then_some(()));
    until("its log still says so", 10, || (cluster.nodes[gone].log().matches("removed").count() > 1).then_some(()));
    assert_eq!(cluster.peers().len(), 2);
    tells_that_it_was_removed(&cluster, gone);
    // It leaves the others alone, and nobody's log is full of it.
    let log = cluster.nodes[gone].log();
    assert_eq!(log.matches("stands for election").count(), stood, "{log}");
    let log = cluster.nodes[other].log();
    assert!(log.matches("a node was not admitted").count() <= 3 && !log.contains("SignatureBytes"), "{log}");

    // With an empty one it joins again.
    cluster.nodes[gone].kill();
    std::fs::remove_dir_all(cluster.nodes[gone].data()).expect("its data");
    cluster.nodes[gone].start();
    cluster.unseal(&cluster.nodes[gone]);
    cluster.wait_for_voters(3);
    until("it is a standby", 20, || (cluster.nodes[gone].health() == 429).then_some(()));
    assert_eq!(cluster.read(gone, "app").as_deref(), Some("kept"));
}

/// Wherever a removed node is asked for something, it says what it is and what to do; it has no keys.
fn tells_that_it_was_removed(cluster: &Cluster, gone: usize) {
    let node = &cluster.nodes[gone];
    let text = "this node was removed from the cluster; to bring it back, stop it, empty its data directory";
    until("it has no keys", 10, || (node.get("sys/seal-status", "").json()["sealed"] == true).then_some(()));
    let share = json!({ "key": cluster.shares[0] });
    let target = json!({ "leader_api_addr": cluster.active().address() });
    for (answer, status) in [
        (node.get("secret/data/app", &cluster.root), 503),
        (node.get("sys/seal-status", ""), 200),
        (node.http("PUT", "sys/unseal", "", &share), 400),
        (node.http("POST", "sys/storage/raft/join", "", &target), 400),
    ] {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_has(&answer.text(), &[text]);
    }
    assert_has(&node.log(), &[text]);
}

#[test]
fn an_emptied_node_comes_back_and_a_double_does_not() {
    let mut cluster = Cluster::formed(3);
    assert!(cluster.put(0, "app", "kept"));
    // Second nodes that call themselves like one that is there: a standby, and the active node itself.
    for of in [cluster.standby_index(), cluster.active_index()] {
        refuse_double(&mut cluster, of);
    }

    // vault-2 loses its disk: the same label joins as a new incarnation and replaces the old one.
    cluster.nodes[1].kill();
    std::fs::remove_dir_all(cluster.nodes[1].data()).expect("its data");
    cluster.nodes[1].start();
    cluster.unseal(&cluster.nodes[1]);
    until("the new incarnation has replaced the old one", 20, || {
        let peers = cluster.peers();
        (peers.len() == 3 && peers.iter().all(|(_, _, voter)| *voter)).then_some(())
    });
    assert_eq!(cluster.read(1, "app").as_deref(), Some("kept"));
}

/// Starts a node with the configuration of another one and its `node_id`, and sees it refused.
fn refuse_double(cluster: &mut Cluster, of: usize) {
    let name = format!("double-of-{}", cluster.nodes[of].name);
    let folder = cluster.folder.path().join(&name);
    let mut double = Node::new(&name, folder, cluster.ports.next(), cluster.ports.next());
    let node = &cluster.nodes[of];
    let text = std::fs::read_to_string(node.config())
        .expect("a file")
        .replace(&node.data().display().to_string(), &double.data().display().to_string())
        .replace(&format!("127.0.0.1:{}", node.api), &format!("127.0.0.1:{}", double.api))
        .replace(&format!("127.0.0.1:{}", node.cluster), &format!("127.0.0.1:{}", double.cluster));
    std::fs::write(double.config(), text).expect("a file");
    double.start();
    until("the double knows the cluster", 20, || {
        (double.get("sys/seal-status", "").json()["t"].as_u64() > Some(0)).then_some(())
    });
    cluster.give_shares(&double);
    let label = &cluster.nodes[of].name;
    until("the double is refused and says why", 20, || {
        let log = double.log();
        (log.contains(label.as_str()) && log.contains("connected")).then_some(())
    });
    assert!(matches!(double.health(), 501 | 503), "it does not serve");
    assert_eq!(cluster.peers().len(), 3);
    double.kill();
}

#[test]
fn a_node_joins_when_it_is_told_to() {
    let mut cluster = Cluster::formed(1);
    assert!(cluster.put(0, "app", "kept"));
    let mut second = cluster.another("vault-2", "");
    let first = &cluster.nodes[0];
    second.start();
    assert_eq!(second.health(), 501);
    // Without `-retry` the target is asked once, and what came of it is the answer.
    let nobody = second.bao().run("operator raft join http://127.0.0.1:1");
    assert_eq!(nobody.code, 2);
    assert_has(&nobody.stderr, &["failed to join raft cluster: failed to get raft challenge", "127.0.0.1:1"]);
    let joined = second.bao().run(&format!("operator raft join {}", first.address()));
    assert_has(joined.ok(), &["Joined", "true"]);
    cluster.unseal(&second);
    cluster.nodes.push(second);
    cluster.wait_for_voters(2);
    assert_eq!(cluster.read(1, "app").as_deref(), Some("kept"));
    // A member does not join anywhere else.
    let again =
        cluster.nodes[1].http("POST", "sys/storage/raft/join", "", &json!({ "leader_api_addr": "http://127.0.0.1:1" }));
    assert!(again.status >= 400, "{}", again.text());
}

#[test]
fn a_removal_whose_leader_dies_in_the_middle_is_finished_by_the_next() {
    let mut cluster = Cluster::formed(3);
    assert!(cluster.put(0, "app", "kept"));
    // Each node would die between the change of the membership and the note of the removal.
    for node in 0..3 {
        cluster.nodes[node].kill();
        cluster.nodes[node].environment = vec![("HOLDFAST_TEST_DIE_AT".into(), "a removal's commits".into())];
        cluster.nodes[node].start();
        cluster.unseal(&cluster.nodes[node]);
    }
    let (active, gone) = (cluster.active_index(), cluster.standby_index());
    let name = cluster.nodes[gone].name.clone();
    cluster.nodes[active].http("POST", "sys/storage/raft/remove-peer", &cluster.root, &json!({ "server_id": name }));
    assert_eq!(cluster.nodes[active].wait_until_it_ends(20).code(), Some(99));
    cluster.nodes[active].environment.clear();
    cluster.nodes[active].start();
    cluster.unseal(&cluster.nodes[active]);
    until("the removal is finished", 40, || (cluster.nodes[gone].health() == 530).then_some(()));
    let peers = cluster.peers();
    assert!(peers.len() == 2 && !peers.iter().any(|(label, _, _)| *label == name), "{peers:?}");
    assert_eq!(cluster.read(active, "app").as_deref(), Some("kept"));
}

#[test]
fn a_learner_that_never_answers_keeps_nobody_up() {
    let mut cluster = Cluster::formed(1);
    assert!(cluster.put(0, "app", "kept"));
    // Any node can ask for a challenge; it does not show the wrapped root key.
    let asked = json!({ "label": "vault-9", "incarnation": 9 });
    let challenge = cluster.nodes[0].http("POST", "sys/storage/raft/bootstrap/challenge", "", &asked).ok();
    assert_eq!(challenge["seal_config"]["wrapped_root_key"], json!([]), "{challenge}");
    let mut added = Vec::new();
    for name in ["vault-2", "vault-3"] {
        let target = format!("retry_join {{ leader_api_addr = \"{}\" }}", cluster.nodes[0].address());
        let mut node = cluster.another(name, &target);
        // The first of them dies as soon as it is granted.
        if added.is_empty() {
            node.environment = vec![("HOLDFAST_TEST_DIE_AT".into(), "granted".into())];
        }
        node.start();
        until("it knows that there is a cluster", 20, || {
            (node.get("sys/seal-status", "").json()["t"].as_u64() > Some(0)).then_some(())
        });
        for share in &cluster.shares[..cluster.threshold] {
            node.http("PUT", "sys/unseal", "", &json!({ "key": share }));
        }
        if added.is_empty() {
            assert_eq!(node.wait_until_it_ends(20).code(), Some(99));
            until("it is a learner", 10, || (cluster.peers().len() == 2).then_some(()));
            assert!(cluster.put(0, "app", "still writable"));
        }
        added.push(node);
    }
    cluster.wait_unsealed(&added[1]);
    cluster.wait_for_voters(2);
    let peers = cluster.peers();
    assert!(peers.iter().any(|(label, _, voter)| label == "vault-2" && !voter), "{peers:?}");
    cluster.bao(0).run("operator raft remove-peer vault-2").ok();
    assert_eq!(cluster.peers().len(), 2);
    assert_eq!(cluster.read(0, "app").as_deref(), Some("still writable"));
    // Had it come up after all, it would be told.
    added[0].environment.clear();
    added[0].start();
    until("it says that it was removed", 20, || added[0].log().contains("was removed from the cluster").then_some(()));
}
