//! Joins that do not go smoothly: silent, wrong and missing targets, shares that come early.

use std::net::TcpListener;

use serde_json::json;

use crate::support::{Cluster, Node, assert_has, until};

fn target(address: &str) -> String {
    format!("retry_join {{ leader_api_addr = \"{address}\" }}\n")
}

#[test]
fn shares_that_come_before_the_cluster_wait_for_it() {
    let mut cluster = Cluster::formed(1);
    assert!(cluster.put(0, "app", "kept"));
    // Silent targets before the right one keep nobody waiting.
    let silent: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let mut targets: String =
        silent.iter().map(|silent| target(&format!("http://{}", silent.local_addr().expect("an address")))).collect();
    targets +=
        "retry_join {\n leader_api_addr = \"https://127.0.0.1:1\"\n leader_ca_cert_file = \"/nowhere/ca.pem\"\n}\n";
    targets += &target(&cluster.nodes[0].address());
    let mut second = cluster.another("vault-2", &targets);
    cluster.nodes[0].terminate();
    second.start();
    until("it says why it cannot join", 20, || {
        let log = second.log();
        let tells = log.contains("/nowhere/ca.pem") && log.contains(&cluster.nodes[0].address());
        tells.then_some(())
    });
    for share in &cluster.shares[..cluster.threshold] {
        let status = second.http("PUT", "sys/unseal", "", &json!({ "key": share })).ok();
        assert_has(&status.to_string(), &["\"pending\":true", "waits to be admitted to the cluster"]);
    }
    cluster.nodes[0].start();
    cluster.unseal(&cluster.nodes[0]);
    cluster.wait_unsealed(&second);
    assert!(second.log().matches("/nowhere/ca.pem").count() <= 2, "{}", second.log());
    cluster.nodes.push(second);
    cluster.wait_for_voters(2);
    assert_eq!(cluster.read(1, "app").as_deref(), Some("kept"));
}

#[test]
fn a_wrong_target_does_not_keep_a_node_out() {
    let (mut cluster, wrong) = (Cluster::formed(1), Cluster::formed(1));
    let targets = target(&wrong.nodes[0].address()) + &target(&cluster.nodes[0].address());
    let mut second = cluster.another("vault-2", &targets);
    cluster.nodes[0].terminate();
    second.start();
    // The other cluster is there first, and the shares are not its own.
    until("a challenge of the wrong cluster", 20, || {
        (second.get("sys/seal-status", "").json()["t"] == 2).then_some(())
    });
    let give = |second: &Node| {
        for share in &cluster.shares[..cluster.threshold] {
            second.http("PUT", "sys/unseal", "", &json!({ "key": share }));
        }
    };
    give(&second);
    cluster.nodes[0].start();
    cluster.unseal(&cluster.nodes[0]);
    until("it has joined the right one", 90, || {
        give(&second);
        (second.get("sys/seal-status", "").json()["sealed"] == false).then_some(())
    });
    cluster.nodes.push(second);
    cluster.wait_for_voters(2);
}
