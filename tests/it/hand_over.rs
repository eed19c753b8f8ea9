//! Leadership that changes hands in good order while clients write: nobody is left without a clear answer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Cluster, call, until};

const WRITERS: usize = 32;

#[test]
fn a_leader_steps_down_whatever_is_written_meanwhile() {
    let cluster = Cluster::formed(3);
    let ports: Vec<u16> = cluster.nodes.iter().map(|node| node.api).collect();
    let failures = under_writers(&ports, &cluster.root, |written| {
        for _ in 0..4 {
            let old = cluster.active_index();
            let asked = &cluster.nodes[(old + 1) % 3];
            assert_eq!(asked.http("PUT", "sys/step-down", &cluster.root, &Value::Null).shown(), "204 ");
            until("another leader", 20, || (cluster.active_index() != old).then_some(()));
            written.go_on();
        }
    });
    assert_eq!(failures, [""; 0]);
}

#[test]
fn a_leader_that_is_stopped_answers_what_was_forwarded_to_it() {
    let mut cluster = Cluster::formed(3);
    let leader = cluster.active_index();
    let ports: Vec<u16> = (0..3).filter(|node| *node != leader).map(|node| cluster.nodes[node].api).collect();
    let root = cluster.root.clone();
    let failures = under_writers(&ports, &root, |written| {
        let took = cluster.nodes[leader].terminate();
        assert!(took < Duration::from_secs(12), "SIGTERM took {took:?}");
        written.go_on();
    });
    assert_eq!(failures, [""; 0]);
    let log = cluster.nodes[leader].log();
    for unwanted in ["without handing", "[ERROR]", "broken off"] {
        assert!(!log.contains(unwanted), "{log}");
    }
}

#[test]
fn a_leader_is_removed_whoever_is_asked() {
    let cluster = Cluster::formed(3);
    for asks_itself in [false, true] {
        let leader = cluster.active_index();
        let at = if asks_itself { leader } else { cluster.standby_index() };
        let name = cluster.nodes[leader].name.clone();
        cluster.bao(at).run(&format!("operator raft remove-peer {name}")).ok();
        until("it is out", 20, || (!cluster.peers().iter().any(|(label, _, _)| *label == name)).then_some(()));
        until("it says so", 20, || (cluster.nodes[leader].health() == 530).then_some(()));
    }
    assert_eq!(cluster.peers().len(), 1);
    assert!(cluster.put(cluster.active_index(), "app", "alone"));
}

/// Sees writes being acknowledged.
struct Written<'a>(&'a AtomicUsize);

impl Written<'_> {
    /// Waits until every writer may have had a further answer.
    #[track_caller]
    fn go_on(&self) {
        let from = self.0.load(Ordering::SeqCst);
        until("writes go on", 40, || (self.0.load(Ordering::SeqCst) > from + 2 * WRITERS).then_some(()));
    }
}

/// Disturbs the cluster while many write through these ports, and returns all answers that were neither a success nor
/// (on a busy machine) one that says that nothing was done for want of an active node.
fn under_writers(ports: &[u16], root: &str, disturb: impl FnOnce(&Written<'_>)) -> Vec<String> {
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let write = &|writer: usize| {
        let (headers, mut failures) = ([("X-Vault-Token", root)], Vec::new());
        for number in 0.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let body = json!({ "data": { "value": number } }).to_string();
            let path = format!("secret/data/w/{writer}");
            match call(ports[writer % ports.len()], "POST", &path, &headers, body.as_bytes()) {
                Ok(answer) if answer.status == 200 => drop(written.fetch_add(1, Ordering::SeqCst)),
                Ok(answer) if answer.status == 503 && answer.text().contains("no active node") => {}
                Ok(answer) => failures.push(answer.shown()),
                Err(error) => failures.push(error.to_string()),
            }
        }
        failures
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        let seen = Written(&written);
        // Whatever fails in between, the writers end.
        let disturbed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            seen.go_on();
            disturb(&seen);
        }));
        stop.store(true, Ordering::SeqCst);
        let failures = writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect();
        if let Err(panic) = disturbed {
            std::panic::resume_unwind(panic);
        }
        failures
    })
}
