//! What each step of a scenario does.

use std::ops::Range;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::{Carried, Driver, api::PAUSE};
use crate::fault::damage;
use crate::outcome::Violation;
use crate::scenario::{Action, DiskFault, Step, Who};
use crate::workload::history::{Ask, Outcome, Phase};
use crate::workload::http::Answer;
use crate::world::node::Status;

/// The step's name, for the trace.
pub(super) fn name(action: &Action) -> String {
    let text = format!("{action:?}");
    match action {
        Action::Repeat { times, .. } => format!("Repeat {times:?}"),
        _ => text,
    }
}

impl Driver {
    pub(super) async fn step(&mut self, step: &Step) -> Carried {
        let bind = step.bind.as_deref();
        match &step.action {
            Action::Wait(span) => tokio::time::sleep(self.draw.duration(span)).await,
            Action::Repeat { times, steps } => {
                let times = times.start + self.draw.below(times.end - times.start);
                for _ in 0..times {
                    self.steps(steps).await?;
                }
            }
            Action::Choose(who) => drop(self.choose(who, bind).await?),
            Action::StartLoad => self.start_load().await?,
            Action::StopLoad => self.stop_load().await,
            Action::Init
            | Action::Mount
            | Action::Unseal(_)
            | Action::Seal
            | Action::StepDown
            | Action::RemovePeer(_) => {
                self.operate(&step.action, bind).await?;
            }
            Action::Crash(_)
            | Action::Start { .. }
            | Action::PowerCut(_)
            | Action::Pause { .. }
            | Action::Abandon(_) => {
                self.processes(&step.action, bind).await?;
            }
            Action::Cut { .. } | Action::Isolate(_) | Action::HealLinks | Action::Degrade { .. } => {
                self.links(&step.action, bind).await?;
            }
            Action::Disk { .. }
            | Action::HealDisk(_)
            | Action::Rot { .. }
            | Action::Wipe(_)
            | Action::Image(_)
            | Action::RestoreImage(_)
            | Action::Readdress(_) => self.disks(&step.action, bind).await?,
            Action::WaitActive(_)
            | Action::Progress { .. }
            | Action::ExpectNoActive(_)
            | Action::ExpectSealed { .. }
            | Action::ExpectRefusal { .. }
            | Action::ExpectRemoved { .. } => self.expect(&step.action, bind).await?,
        }
        Ok(())
    }

    async fn choose(&mut self, who: &Who, bind: Option<&str>) -> Result<Vec<usize>, Violation> {
        let nodes = self.resolve(who).await?;
        if let Some(name) = bind {
            self.hands.note(format_args!("{name} = {}", self.hands.names_of(&nodes)));
            self.bound.insert(name.to_string(), nodes.clone());
        }
        Ok(nodes)
    }

    async fn operate(&mut self, action: &Action, bind: Option<&str>) -> Carried {
        let failed = |what: String| Violation::liveness("serves-again", what);
        match action {
            Action::Init => self.init().await.map_err(failed)?,
            Action::Mount => self.mount().await.map_err(failed)?,
            Action::Unseal(who) => {
                for node in self.choose(who, bind).await? {
                    self.unseal(node, Duration::from_secs(20)).await.map_err(failed)?;
                }
            }
            Action::Seal => {
                let leader = self.resolve(&Who::Leader).await?[0];
                let answer = self.call(leader, Method::PUT, "/v1/sys/seal", None).await;
                if answer.as_ref().is_none_or(|answer| answer.status >= 300) {
                    return Err(failed(format!("sys/seal was answered by {answer:?}")));
                }
            }
            Action::StepDown => {
                let leader = self.resolve(&Who::Leader).await?[0];
                // A refusal is a fair answer: there may be no voter to hand over to.
                let _ = self.call(leader, Method::PUT, "/v1/sys/step-down", None).await;
            }
            Action::RemovePeer(who) => {
                for node in self.choose(who, bind).await? {
                    self.remove_peer(node).await.map_err(failed)?;
                }
            }
            _ => unreachable!("not an operator's step"),
        }
        Ok(())
    }

    async fn remove_peer(&self, node: usize) -> Result<(), String> {
        let body = json!({"server_id": self.hands.nodes()[node].name});
        let mut said = None;
        for _ in 0..100 {
            let leader = self.wait_active(Duration::from_secs(20)).await?;
            said = self.call(leader, Method::POST, "/v1/sys/storage/raft/remove-peer", Some(body.clone())).await;
            if said.as_ref().is_some_and(|answer| answer.status < 300) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("remove-peer was answered by {said:?}"))
    }

    async fn processes(&mut self, action: &Action, bind: Option<&str>) -> Carried {
        match action {
            Action::Crash(who) => {
                let nodes = self.choose(who, bind).await?;
                self.hands.crash(&nodes).await;
            }
            Action::PowerCut(who) => {
                let nodes = self.choose(who, bind).await?;
                self.hands.power_cut(&nodes).await;
            }
            Action::Start { who, sealed } => {
                let nodes = self.choose(who, bind).await?;
                for node in &nodes {
                    self.hands.start(*node).await;
                }
                for node in nodes.into_iter().filter(|_| !sealed) {
                    // Not being able to is judged where it matters: by `progress` or in the finale.
                    let _ = self.unseal(node, Duration::from_secs(15)).await;
                }
            }
            Action::Pause { who, span } => {
                let nodes = self.choose(who, bind).await?;
                self.hands.note(format_args!("pause {}", self.hands.names_of(&nodes)));
                nodes.iter().for_each(|node| self.hands.nodes()[*node].gate.shut());
                tokio::time::sleep(self.draw.duration(span)).await;
                self.hands.note(format_args!("resume {}", self.hands.names_of(&nodes)));
                nodes.iter().for_each(|node| self.hands.nodes()[*node].gate.open());
            }
            Action::Abandon(who) => {
                let nodes = self.choose(who, bind).await?;
                self.abandoned.extend(nodes);
            }
            _ => unreachable!("not a step of processes"),
        }
        Ok(())
    }

    async fn links(&mut self, action: &Action, bind: Option<&str>) -> Carried {
        match action {
            Action::Cut { from, to } => {
                let from = self.choose(from, bind).await?;
                let to = self.choose(to, None).await?;
                self.hands.cut(&from, &to).await;
            }
            Action::Isolate(who) => {
                let nodes = self.choose(who, bind).await?;
                let rest: Vec<usize> = (0..self.hands.nodes().len()).filter(|node| !nodes.contains(node)).collect();
                self.hands.cut(&nodes, &rest).await;
                self.hands.cut(&rest, &nodes).await;
            }
            Action::HealLinks => self.hands.heal_links().await,
            Action::Degrade { who, loss_millionths, latency_max } => {
                let nodes = self.choose(who, bind).await?;
                self.hands.degrade(&nodes, *loss_millionths, *latency_max).await;
            }
            _ => unreachable!("not a step of links"),
        }
        Ok(())
    }

    async fn disks(&mut self, action: &Action, bind: Option<&str>) -> Carried {
        let failed = |error: std::io::Error| Violation::harness(format!("damage: {error}"));
        match action {
            Action::Disk { who, fault } => {
                for node in self.choose(who, bind).await? {
                    self.break_disk(node, fault);
                }
            }
            Action::HealDisk(who) => {
                for node in self.choose(who, bind).await? {
                    self.hands.nodes()[node].faults.heal();
                }
            }
            Action::Rot { who, path } => {
                for node in self.choose(who, bind).await? {
                    self.damaged(node)?;
                    let place = damage::rot(&self.hands.nodes()[node], path, &self.draw).map_err(failed)?;
                    self.hands.note(format_args!("rot n{} {place}", node + 1));
                }
            }
            Action::Wipe(who) => {
                for node in self.choose(who, bind).await? {
                    self.damaged(node)?;
                    damage::wipe(&self.hands.nodes()[node]).map_err(failed)?;
                }
            }
            Action::Image(who) => {
                let name = bind.ok_or_else(|| Violation::harness("an image needs `as`"))?;
                let node = self.choose(who, bind).await?[0];
                let copy = damage::image(&self.hands.nodes()[node]).map_err(failed)?;
                self.images.insert(name.to_string(), copy);
            }
            Action::RestoreImage(name) => {
                let node = self.images[name].node;
                self.damaged(node)?;
                damage::restore(&self.hands.nodes()[node], &self.images[name]).map_err(failed)?;
            }
            Action::Readdress(who) => {
                let nodes = self.choose(who, bind).await?;
                self.addresses += 1;
                nodes.into_iter().for_each(|node| self.hands.readdress(node, self.addresses));
            }
            _ => unreachable!("not a step of disks"),
        }
        Ok(())
    }

    /// Accounts for damage to a node, which must be down.
    fn damaged(&mut self, node: usize) -> Carried {
        if self.hands.nodes()[node].status() == Status::Running {
            return Err(Violation::harness(format!("n{} must be down to be damaged", node + 1)));
        }
        self.excused.insert(node);
        self.atlas.damage(node).map_err(Violation::harness)
    }

    fn break_disk(&mut self, node: usize, fault: &DiskFault) {
        self.hands.note(format_args!("disk n{} {fault:?}", node + 1));
        self.excused.insert(node);
        let faults = &self.hands.nodes()[node].faults;
        match fault {
            DiskFault::SlowSync(span) => faults.change(|faults| faults.sync_latency = span.clone()),
            DiskFault::StuckSync => faults.stick_syncs(),
            DiskFault::FailSync => faults.change(|faults| faults.fail_sync = true),
            DiskFault::FailWrite => faults.change(|faults| faults.fail_write = true),
            DiskFault::FailRead => faults.change(|faults| faults.fail_read = true),
            DiskFault::Full => faults.change(|faults| faults.full = true),
        }
    }

    async fn expect(&mut self, action: &Action, bind: Option<&str>) -> Carried {
        match action {
            Action::WaitActive(within) => {
                let found = self.wait_active(*within).await;
                found.map_err(|what| Violation::liveness("serves-again", what))?;
            }
            Action::Progress { who, within } => {
                for node in self.choose(who, bind).await? {
                    self.progress(node, *within).await?;
                }
            }
            Action::ExpectNoActive(span) => self.expect_no_active(span).await?,
            Action::ExpectSealed { who, within } => {
                for node in self.choose(who, bind).await? {
                    self.expect_sealed(node, *within).await?;
                }
            }
            Action::ExpectRefusal { who, within } => {
                for node in self.choose(who, bind).await? {
                    self.expect_refusal(node, *within).await?;
                }
            }
            Action::ExpectRemoved { who, within } => {
                for node in self.choose(who, bind).await? {
                    self.expect_removed(node, *within).await?;
                }
            }
            _ => unreachable!("not an expectation"),
        }
        Ok(())
    }

    /// A fresh write through `node` is acknowledged within a time.
    pub(super) async fn progress(&self, node: usize, within: Duration) -> Carried {
        let end = tokio::time::Instant::now() + within;
        loop {
            let ask = Ask::Put { serial: self.kv.next_serial(), cas: None };
            let op = self.kv.call(&self.http, DRIVER, node, "probe", ask, Phase::Load).await;
            if matches!(op.outcome, Outcome::Written { .. }) {
                return Ok(());
            }
            if tokio::time::Instant::now() > end {
                let what = format!("no fresh write through n{} within {within:?}; the last: {op}", node + 1);
                return Err(Violation::liveness("serves-again", what));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn expect_no_active(&self, span: &Range<Duration>) -> Carried {
        let end = tokio::time::Instant::now() + self.draw.duration(span);
        while tokio::time::Instant::now() < end {
            if let Some(node) = self.active().await {
                let what = format!("n{} is active where no node may be", node + 1);
                return Err(Violation::safety("no-active", what));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Sealed, and no plaintext path works (first half of I16).
    async fn expect_sealed(&self, node: usize, within: Duration) -> Carried {
        let end = tokio::time::Instant::now() + within;
        loop {
            let answer = self.call(node, Method::GET, "/v1/sys/seal-status", None).await;
            if answer.as_ref().is_some_and(|answer| answer.body["sealed"] == json!(true)) {
                break;
            }
            if tokio::time::Instant::now() > end {
                let what = format!("n{} is not sealed within {within:?}: {answer:?}", node + 1);
                return Err(Violation::safety("sealed-means-sealed", what));
            }
            tokio::time::sleep(PAUSE).await;
        }
        let served = self.serves_nothing(node).await;
        served.map_err(|what| Violation::safety("sealed-means-sealed", format!("sealed {what}")))
    }

    async fn expect_refusal(&self, node: usize, within: Duration) -> Carried {
        let end = tokio::time::Instant::now() + within;
        let name = self.hands.nodes()[node].name.clone();
        loop {
            let events = self.hands.trace().kept();
            let since =
                events.iter().rposition(|event| event.node == name && event.text.starts_with("start")).unwrap_or(0);
            let said = events[since..].iter().any(|event| event.node == name && event.text.starts_with("refuse"));
            if said || matches!(self.hands.nodes()[node].status(), Status::Exited(_)) {
                return Ok(());
            }
            if tokio::time::Instant::now() > end {
                return Err(Violation::safety("honest-recovery", format!("{name} takes part on a damaged disk")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Removed: it says so, serves nothing, and is no member. Whoever was asked before it was told does not count.
    async fn expect_removed(&self, node: usize, within: Duration) -> Carried {
        let violation = |what: String| Violation::safety("removed-stays-out", what);
        let end = tokio::time::Instant::now() + within;
        loop {
            let answer = self.call(node, Method::GET, "/v1/sys/health", None).await;
            let said = |answer: &Answer| answer.status == 530 && answer.body["removed_from_cluster"] == json!(true);
            if answer.as_ref().is_some_and(said) {
                break;
            }
            if tokio::time::Instant::now() > end {
                let what = format!("n{} does not say within {within:?} that it was removed: {answer:?}", node + 1);
                return Err(violation(what));
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.serves_nothing(node).await.map_err(violation)?;
        let answer = self.call(node, Method::GET, "/v1/secret/data/k0", None).await;
        if !answer.as_ref().is_some_and(|answer| answer.body.to_string().contains("removed")) {
            return Err(violation(format!("n{} does not say to a request that it was removed: {answer:?}", node + 1)));
        }
        let active = self.resolve(&Who::Leader).await?[0];
        let name = &self.hands.nodes()[node].name;
        let answer = self.call(active, Method::GET, "/v1/sys/storage/raft/configuration", None).await;
        let servers = answer.as_ref().and_then(|answer| answer.body["data"]["config"]["servers"].as_array());
        let is_member = |servers: &Vec<Value>| servers.iter().any(|server| server["node_id"] == json!(name));
        match servers.map(is_member) {
            Some(false) => Ok(()),
            _ => Err(violation(format!("{name} was removed and is a member: {answer:?}"))),
        }
    }

    /// No path that needs a token is answered.
    async fn serves_nothing(&self, node: usize) -> Result<(), String> {
        for path in ["/v1/secret/data/k0", "/v1/sys/mounts", "/v1/auth/token/lookup-self"] {
            let answer = self.call(node, Method::GET, path, None).await;
            if answer.as_ref().is_some_and(|answer| answer.status < 500) {
                return Err(format!("n{} answers {path} by {answer:?}", node + 1));
            }
        }
        Ok(())
    }
}

/// The driver's own number as a client.
pub(super) const DRIVER: usize = 99;
