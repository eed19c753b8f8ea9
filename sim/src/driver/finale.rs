//! The finale: all faults end, the cluster must converge, take fresh writes and still hold every acknowledged one
//! (L1, L2; TigerBeetle's liveness mode, openraft's three steps).

use std::time::Duration;

use super::steps::DRIVER;
use super::{Carried, Driver, api::PAUSE};
use crate::outcome::Violation;
use crate::workload::history::{Ask, Outcome, Phase};
use crate::world::node::Status;

/// After the last fault has ended and all nodes are unsealed, a node is active within this time.
const ACTIVE_WITHIN: Duration = Duration::from_secs(15);
/// And every node serves within this time.
const SERVE_WITHIN: Duration = Duration::from_secs(30);

impl Driver {
    pub(super) async fn finale(&mut self) -> Carried {
        self.hands.note(format_args!("finale"));
        self.heal_all().await;
        let failed = |what: String| Violation::liveness("serves-again", what);
        for node in self.members() {
            self.unseal(node, SERVE_WITHIN).await.map_err(failed)?;
        }
        self.wait_active(ACTIVE_WITHIN).await.map_err(failed)?;
        self.wait_all_serve(SERVE_WITHIN).await.map_err(failed)?;
        self.atlas.whole();
        self.stop_load().await;
        self.final_calls().await;
        if let Some(access) = &self.access {
            let failed = access.finale(&self.http, &self.members()).await;
            self.violations.extend(failed.into_iter().map(|what| Violation::liveness("serves-again", what)));
        }
        self.watch_exits();
        Ok(())
    }

    /// Heals links, pauses and disks; starts what is down, and anew what had a failing disk: it comes back only as a new
    /// process.
    async fn heal_all(&mut self) {
        self.watch_exits();
        self.hands.heal_links().await;
        for node in self.hands.nodes().to_vec() {
            node.gate.open();
            let failing = node.faults.any();
            node.faults.heal();
            let running = node.status() == Status::Running;
            if self.abandoned.contains(&node.index) || (running && !self.excused.contains(&node.index) && !failing) {
                continue;
            }
            if running && !self.atlas.is_damaged(node.index) {
                self.hands.crash(&[node.index]).await;
                self.hands.start(node.index).await;
            } else if !running {
                self.hands.start(node.index).await;
            }
        }
    }

    fn members(&self) -> Vec<usize> {
        (0..self.hands.nodes().len()).filter(|node| !self.abandoned.contains(node)).collect()
    }

    /// Waits until each node of the cluster answers reads and writes.
    pub(super) async fn wait_all_serve(&self, within: Duration) -> Result<(), String> {
        let end = tokio::time::Instant::now() + within;
        for node in self.members() {
            loop {
                let path = "/v1/secret/data/ping";
                let answer = self.call(node, hyper::Method::GET, path, None).await;
                if answer.as_ref().is_some_and(|answer| matches!(answer.status, 200 | 404)) {
                    break;
                }
                if tokio::time::Instant::now() > end {
                    return Err(format!(
                        "n{} does not serve within {within:?}; its last answer was {answer:?}",
                        node + 1
                    ));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// A fresh write through each node, then every key read through each node.
    async fn final_calls(&mut self) {
        for node in self.members() {
            let ask = Ask::Put { serial: self.kv.next_serial(), cas: None };
            let op = self.kv.call(&self.http, DRIVER, node, "final", ask, Phase::Final).await;
            if !matches!(op.outcome, Outcome::Written { .. }) {
                let what = format!("a fresh write on a healed cluster fails: {op}");
                self.violations.push(Violation::liveness("serves-again", what));
            }
        }
        let keys: Vec<String> = self.kv.keys().into_iter().chain(["probe".to_string(), "final".to_string()]).collect();
        for node in self.members() {
            for key in &keys {
                self.kv.call(&self.http, DRIVER, node, key, Ask::Get, Phase::Final).await;
            }
        }
    }
}
