//! New unseal shares, on real nodes and with the peer's client.

use serde_json::{Value, json};

use crate::support::{Cluster, Node, until};

/// Shares out of what a client printed.
fn keys(printed: &str) -> Vec<String> {
    printed.lines().filter_map(|line| Some(line.strip_prefix("Key ")?.split_once(": ")?.1.to_string())).collect()
}

/// Gives shares to a sealed node; whether it refused any.
fn refuses(node: &Node, shares: &[String]) -> bool {
    node.http("PUT", "sys/unseal", "", &json!({ "reset": true })).ok();
    let give = |share| node.http("PUT", "sys/unseal", "", &json!({ "key": share })).status;
    shares.iter().map(give).filter(|status| *status == 400).count() > 0
}

fn is_open(node: &Node) -> bool {
    node.get("sys/seal-status", "").json()["sealed"] == false
}

/// Begins an attempt and gives the old shares; nonce of the verification and the new shares.
fn remade(node: &Node, root: &str, old: &[String], wanted: &Value) -> (String, Vec<String>) {
    let begun = node.http("POST", "sys/rotate/root/init", root, wanted).ok();
    let nonce = begun["data"]["nonce"].as_str().expect("a nonce").to_string();
    let mut last = Value::Null;
    for share in old {
        last = node.http("POST", "sys/rotate/root/update", root, &json!({ "key": share, "nonce": nonce })).ok();
    }
    let data = &last["data"];
    assert_eq!(data["complete"], true, "{last}");
    let keys = data["keys_base64"].as_array().expect("keys").iter();
    let keys = keys.map(|key| key.as_str().expect("a key").to_string()).collect();
    (data["verification_nonce"].as_str().unwrap_or_default().to_string(), keys)
}

#[test]
fn new_shares_take_the_place_of_the_old_on_every_node_one_that_is_down_and_one_that_joins() {
    let mut cluster = Cluster::formed(3);
    assert!(cluster.put(cluster.active_index(), "app", "kept"));
    let old = cluster.shares[..2].to_vec();
    let down = cluster.standby_index();
    cluster.nodes[down].kill();
    until("a leader", 20, || cluster.nodes.iter().any(|node| node.health() == 200).then_some(()));
    let up = (0..3).find(|node| *node != down).expect("one");

    // By the peer's client, which talks to whatever node it is told.
    let bao = cluster.bao(up);
    let begun = bao.run("operator rotate-keys -init -key-shares=5 -key-threshold=3 -format=json").json();
    let nonce = begun["nonce"].as_str().expect("a nonce");
    bao.run(&format!("operator rotate-keys -nonce={nonce} {}", old[0])).ok();
    let printed = bao.feed(&format!("operator rotate-keys -nonce={nonce} -"), &old[1]);
    let new = keys(printed.ok());
    assert_eq!(new.len(), 5, "{}", printed.ok());
    assert!(cluster.put(up, "app", "still"), "nothing stops meanwhile");

    // A restarted node, and the one that was down: only the new shares open them.
    cluster.nodes[up].kill();
    cluster.nodes[up].start();
    cluster.nodes[down].start();
    for node in [up, down] {
        let node = &cluster.nodes[node];
        // A node that has not caught up takes what it gets, and drops it when it has.
        refuses(node, &old);
        assert!(!is_open(node), "the old shares opened it");
        refuses(node, &new[..3]);
        until("the new shares open it", 30, || is_open(node).then_some(()));
    }
    until("it serves", 20, || (cluster.read(down, "app").as_deref() == Some("still")).then_some(()));

    // One that joins.
    cluster.shares = new;
    cluster.threshold = 3;
    let mut fourth = cluster.another("vault-9", "");
    fourth.start();
    cluster.unseal(&fourth);
    until("it serves", 30, || ([200, 429].contains(&fourth.health())).then_some(()));
}

#[test]
fn the_old_shares_hold_until_the_new_ones_were_verified() {
    let mut cluster = Cluster::formed(1);
    let old = cluster.shares[..2].to_vec();
    let bao = cluster.bao(0);
    // The family that takes no token, as `vault operator rekey` asks it.
    let begun = bao.run("operator rekey -init -verify -key-shares=3 -key-threshold=3 -format=json").json();
    let nonce = begun["nonce"].as_str().expect("a nonce");
    bao.run(&format!("operator rekey -nonce={nonce} {}", old[0])).ok();
    let new = keys(bao.run(&format!("operator rekey -nonce={nonce} {}", old[1])).ok());
    assert_eq!(new.len(), 3);
    let proof =
        bao.run("operator rekey -verify -status -format=json").json()["nonce"].as_str().expect("one").to_string();
    bao.run(&format!("operator rekey -verify -nonce={proof} {}", new[0])).ok();

    // The node ends: the attempt with it, and the old shares open.
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    let node = &cluster.nodes[0];
    assert!(refuses(node, &new), "nobody verified them");
    refuses(node, &old);
    until("the old shares open it", 20, || (node.health() == 200).then_some(()));
    assert_eq!(node.get("sys/rekey/init", "").ok()["started"], false);

    // Once more, to the end.
    let wanted = json!({ "secret_shares": 2, "secret_threshold": 2, "require_verification": true });
    let (proof, new) = remade(node, &cluster.root, &old, &wanted);
    let verify = |share: &str| {
        node.http("POST", "sys/rotate/root/verify", &cluster.root, &json!({ "key": share, "nonce": proof })).ok()
    };
    assert_eq!(verify(&new[0])["data"]["progress"], 1);
    assert_eq!(verify(&new[1])["data"]["complete"], true);
    node.http("PUT", "sys/seal", &cluster.root, &json!({})).ok();
    assert!(refuses(node, &old), "a deliberate seal is not lifted by them either");
    refuses(node, &new);
    until("the new shares lift the seal", 20, || (node.health() == 200).then_some(()));
}

#[test]
fn a_power_cut_leaves_the_old_shares_or_the_new_ones() {
    let mut cluster = Cluster::formed_quick(3);
    let mut shares = cluster.shares[..2].to_vec();
    let mut outcomes = [0, 0];
    for milliseconds in [0, 1, 2, 4, 8, 16] {
        let active = cluster.active_index();
        let wanted = json!({ "secret_shares": 2, "secret_threshold": 2, "require_verification": true });
        let (proof, new) = remade(&cluster.nodes[active], &cluster.root, &shares, &wanted);
        let give_one = |node: &Node, share: &str| {
            node.http("POST", "sys/rotate/root/verify", &cluster.root, &json!({ "key": share, "nonce": proof }))
        };
        give_one(&cluster.nodes[active], &new[0]).ok();
        let (port, root) = (cluster.nodes[active].api, cluster.root.clone());
        let body = json!({ "key": new[1], "nonce": proof }).to_string();
        let last = std::thread::spawn(move || {
            let headers = [("X-Vault-Token", root.as_str())];
            crate::support::call(port, "POST", "sys/rotate/root/verify", &headers, body.as_bytes())
        });
        // Not a wait for anything: where in the commit the cut falls is what varies.
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        for node in &mut cluster.nodes {
            node.kill();
        }
        let acknowledged = last.join().expect("joined").is_ok_and(|answer| answer.status == 200);
        for node in &mut cluster.nodes {
            node.start();
        }
        // All nodes have to be given the same ones: whichever opens the first opens the others.
        let holds = until("one set opens", 60, || {
            [&new, &shares].into_iter().position(|set| {
                for node in &cluster.nodes {
                    refuses(node, set);
                }
                (0..40).any(|_| {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    cluster.nodes.iter().all(is_open)
                })
            })
        });
        outcomes[holds] += 1;
        assert!(holds == 0 || !acknowledged, "what was acknowledged is lost");
        if holds == 0 {
            shares = new;
        }
        until("it serves", 30, || cluster.nodes.iter().any(|node| node.health() == 200).then_some(()));
    }
    println!("new {} old {}", outcomes[0], outcomes[1]);
}
