//! Leaders that die while clients write, reads through every node, and cold starts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Cluster, call, until};

#[test]
fn a_read_through_any_node_sees_every_acknowledged_write() {
    let cluster = Cluster::formed_quick(3);
    for round in 0..60 {
        let value = round.to_string();
        assert!(cluster.put(round % 3, "app", &value));
        for reader in [(round + 1) % 3, (round + 2) % 3] {
            assert_eq!(cluster.read(reader, "app").as_deref(), Some(value.as_str()), "read through node {reader}");
        }
    }
    // Removed is removed everywhere, too.
    cluster.nodes[0].http("DELETE", "secret/metadata/app", &cluster.root, &json!({}));
    assert_eq!((cluster.read(1, "app"), cluster.read(2, "app")), (None, None));
}

#[test]
fn no_acknowledged_write_is_lost_when_leaders_die() {
    let mut cluster = Cluster::formed_quick(3);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let leader = cluster.active_index();
        let gap;
        (acknowledged, gap) = write_while(&mut cluster, acknowledged, |cluster| match round {
            // Once in good order: the leader hands over before it goes.
            2 => drop(cluster.nodes[leader].terminate()),
            _ => cluster.nodes[leader].kill(),
        });
        println!("round {round}: writes were accepted again after {} ms", gap.as_millis());
        assert!(gap < Duration::from_secs(5), "no write was accepted for {gap:?}");
        cluster.nodes[leader].start();
        cluster.unseal(&cluster.nodes[leader]);
        until("the node is a standby again", 20, || (cluster.nodes[leader].health() == 429).then_some(()));
    }
    check(&cluster, &acknowledged);
    // A cold start: all nodes at once, without warning.
    for node in &mut cluster.nodes {
        node.kill();
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    for node in &cluster.nodes {
        until("initialised and sealed", 20, || (node.health() == 503).then_some(()));
    }
    until("a sealed leader", 20, || {
        let found = |node: &crate::support::Node| !node.get("sys/leader", "").text().is_empty();
        cluster.nodes.iter().any(found).then_some(())
    });
    cluster.unseal_all();
    cluster.wait_for_voters(3);
    check(&cluster, &acknowledged);
}

#[test]
fn a_stopped_node_is_waited_for_by_nobody() {
    let mut cluster = Cluster::formed_quick(3);
    let leader = cluster.active_index();
    let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
    // A pause without a word, as a stalled machine has it.
    cluster.nodes[leader].pause();
    let from = Instant::now();
    until("a write is accepted", 10, || cluster.put(others[0], "app", "after").then_some(()));
    println!("writes were accepted again after {} ms", from.elapsed().as_millis());
    cluster.nodes[leader].signal(Signal::CONT);
    // What it answers from now on is not from the past.
    until("the old leader answers", 10, || cluster.read(leader, "app").map(|value| assert_eq!(value, "after")));
    until("the old leader is a standby", 10, || (cluster.nodes[leader].health() == 429).then_some(()));
    // SIGTERM drains: it ends soon and with success.
    let took = cluster.nodes[leader].terminate();
    assert!(took < Duration::from_secs(12), "SIGTERM took {took:?}");
    assert!(cluster.put(others[1], "app", "two of three"));
}

/// Writes on and on through the nodes that answer, disturbs them meanwhile, and returns what was acknowledged and the
/// longest time between two acknowledged writes.
fn write_while(
    cluster: &mut Cluster,
    mut acknowledged: Vec<u32>,
    disturb: impl FnOnce(&mut Cluster),
) -> (Vec<u32>, Duration) {
    let ports: Vec<u16> = cluster.nodes.iter().map(|node| node.api).collect();
    let (root, stop) = (cluster.root.clone(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut at, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
            let first = acknowledged.last().map_or(0, |last| last + 1);
            for number in first.. {
                let body = json!({ "data": { "value": number } }).to_string();
                let headers = [("X-Vault-Token", root.as_str())];
                match call(ports[at], "POST", &format!("secret/data/w/{number}"), &headers, body.as_bytes()) {
                    Ok(answer) if answer.status == 200 => {
                        acknowledged.push(number);
                        longest = longest.max(last.elapsed());
                        last = Instant::now();
                    }
                    _ => at = (at + 1) % ports.len(),
                }
                if stop.load(Ordering::SeqCst) {
                    break;
                }
            }
            (acknowledged, longest)
        });
        std::thread::sleep(Duration::from_millis(400));
        disturb(cluster);
        until("a write after it", 10, || {
            let alive = cluster.nodes.iter_mut().position(|node| node.runs())?;
            cluster.put(alive, "after", "it").then_some(())
        });
        std::thread::sleep(Duration::from_millis(400));
        stop.store(true, Ordering::SeqCst);
        writer.join().expect("the writer")
    })
}

fn check(cluster: &Cluster, acknowledged: &[u32]) {
    assert!(acknowledged.len() > 20, "only {} writes", acknowledged.len());
    let headers = [("X-Vault-Token", cluster.root.as_str())];
    for number in acknowledged {
        let answer = call(cluster.active().api, "GET", &format!("secret/data/w/{number}"), &headers, b"");
        let value = answer.map(|answer| answer.json()["data"]["data"]["value"].clone()).unwrap_or_default();
        assert_eq!(value, json!(number), "an acknowledged write is lost");
    }
}
