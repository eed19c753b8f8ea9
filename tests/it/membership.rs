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
    let answer = cluster.nodes[gone].get("secret/data/app", &cluster.root);
    assert!(answer.status >= 400, "{}", answer.text());

    // With its old directory it cannot come back.
    cluster.nodes[gone].kill();
    cluster.nodes[gone].start();
    until("the removed node still says so", 20, || (cluster.nodes[gone].health() == 530).then_some(()));
    until("its log still says so", 10, || (cluster.nodes[gone].log().matches("removed").count() > 1).then_some(()));
    assert_eq!(cluster.peers().len(), 2);

    // With an empty one it joins again.
    cluster.nodes[gone].kill();
    std::fs::remove_dir_all(cluster.nodes[gone].data()).expect("its data");
    cluster.nodes[gone].start();
    cluster.unseal(&cluster.nodes[gone]);
    cluster.wait_for_voters(3);
    until("it is a standby", 20, || (cluster.nodes[gone].health() == 429).then_some(()));
    assert_eq!(cluster.read(gone, "app").as_deref(), Some("kept"));
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
    let folder = cluster.folder.path().join("vault-2");
    let mut second = Node::new("vault-2", folder, cluster.ports.next(), cluster.ports.next());
    let first = &cluster.nodes[0];
    let text = std::fs::read_to_string(first.config()).expect("a file");
    let text = text
        .replace("vault-1", "vault-2")
        .replace(&first.api.to_string(), &second.api.to_string())
        .replace(&first.cluster.to_string(), &second.cluster.to_string());
    std::fs::write(second.config(), text).expect("a file");
    second.start();
    assert_eq!(second.health(), 501);
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
