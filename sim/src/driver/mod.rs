//! Carries a scenario out: the set-up, the steps, and the finale in which everything heals and the cluster must serve.

mod api;
mod finale;
mod steps;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

pub use api::Keys;

use crate::draw::Draw;
use crate::fault::atlas::Atlas;
use crate::fault::damage::Copy;
use crate::outcome::Violation;
use crate::scenario::{Scenario, Step};
use crate::workload::access::Access;
use crate::workload::acts::Act;
use crate::workload::history::Op;
use crate::workload::http::Http;
use crate::workload::kv::Kv;
use crate::world::Hands;
use crate::world::node::Status;

/// What the driver leaves when it is done. Clones share it.
#[derive(Clone, Default)]
pub struct Report(Arc<Mutex<Seen>>);

type Seen = (Vec<Violation>, Vec<Op>, Vec<Act>);

impl Report {
    /// Violations that the driver itself has seen, and the histories of both sorts of clients.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, seen: Seen) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// The driver of one run.
pub struct Driver {
    hands: Hands,
    scenario: Scenario,
    draw: Draw,
    http: Http,
    keys: Keys,
    kv: Kv,
    access: Option<Access>,
    clients: Vec<JoinHandle<()>>,
    bound: BTreeMap<String, Vec<usize>>,
    images: BTreeMap<String, Copy>,
    atlas: Atlas,
    abandoned: BTreeSet<usize>,
    /// Nodes whose end by themselves is excused: their disk failed or was damaged.
    excused: BTreeSet<usize>,
    addresses: u8,
    violations: Vec<Violation>,
}

/// A step that cannot be carried out ends the run with this.
type Carried = Result<(), Violation>;

impl Driver {
    /// A driver of `scenario` in the world of `hands`.
    pub fn new(hands: Hands, scenario: Scenario) -> Driver {
        let seed = hands.settings().seed;
        let kv = Kv::new(hands.clone(), scenario.load.clone(), "");
        Driver {
            draw: Draw::new(seed, "driver"),
            http: hands.http(),
            atlas: Atlas::new(scenario.nodes),
            addresses: 1,
            hands,
            scenario,
            kv,
            access: None,
            keys: Keys::default(),
            clients: Vec::new(),
            bound: BTreeMap::new(),
            images: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            excused: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    /// Runs the scenario from set-up to finale and leaves what it has seen in `report`.
    pub async fn run(mut self, report: Report) {
        if let Err(violation) = self.all().await {
            self.violations.push(violation);
        }
        self.kv.stop();
        let acts = self.access.as_ref().map(Access::acts).unwrap_or_default();
        report.put((self.violations, self.kv.history().ops(), acts));
    }

    async fn all(&mut self) -> Carried {
        if !self.scenario.bare {
            self.set_up().await?;
        }
        let steps = self.scenario.steps.clone();
        self.steps(&steps).await?;
        self.finale().await
    }

    /// Init, unseal, mount, load: a cluster as an operator leaves it.
    async fn set_up(&mut self) -> Carried {
        let failed = |what: String| Violation::liveness("serves-again", format!("set-up: {what}"));
        self.init().await.map_err(failed)?;
        self.unseal(0, Duration::from_secs(20)).await.map_err(failed)?;
        self.wait_active(Duration::from_secs(20)).await.map_err(failed)?;
        for node in 1..self.hands.nodes().len() {
            self.unseal(node, Duration::from_secs(20)).await.map_err(failed)?;
        }
        self.mount().await.map_err(failed)?;
        self.wait_all_serve(Duration::from_secs(20)).await.map_err(failed)?;
        self.wait_voters(Duration::from_secs(20)).await.map_err(failed)?;
        self.start_load().await
    }

    async fn start_load(&mut self) -> Carried {
        self.kv = Kv::new(self.hands.clone(), self.scenario.load.clone(), &self.keys.token);
        self.clients = self.kv.start();
        if let Some(shape) = self.scenario.access.clone() {
            let access = Access::new(self.hands.clone(), shape, &self.keys.token);
            let failed = |what: String| Violation::liveness("serves-again", format!("set-up: {what}"));
            access.set_up(&self.http, 0).await.map_err(failed)?;
            self.clients.extend(access.start());
            self.access = Some(access);
        }
        Ok(())
    }

    async fn stop_load(&mut self) {
        self.kv.stop();
        self.access.iter().for_each(Access::stop);
        for client in std::mem::take(&mut self.clients) {
            if let Err(error) = client.await {
                self.violations.push(Violation::harness(format!("a client failed: {error}")));
            }
        }
    }

    async fn steps(&mut self, steps: &[Step]) -> Carried {
        for step in steps {
            self.hands.note(format_args!("step line={} {}", step.line, steps::name(&step.action)));
            Box::pin(self.step(step)).await?;
            self.watch_exits();
        }
        Ok(())
    }

    /// A process that ended by itself although nothing was wrong with its disk.
    fn watch_exits(&mut self) {
        for node in self.hands.nodes() {
            let Status::Exited(said) = node.status() else { continue };
            if self.excused.insert(node.index) {
                let what = format!("{} ended by itself: {said}", node.name);
                // Nothing was done to its disk: it has itself lost what it had promised to keep.
                let lost = said.contains("damaged") && !self.atlas.is_damaged(node.index);
                self.violations.push(match lost {
                    true => Violation::safety("honest-recovery", what),
                    false => Violation::liveness("serves-again", what),
                });
            }
        }
    }

    /// Nodes whose process runs.
    fn live(&self) -> Vec<usize> {
        let running = self.hands.nodes().iter().filter(|node| node.status() == Status::Running && !node.gate.is_shut());
        running.map(|node| node.index).collect()
    }
}
