//! Which nodes a step means.

use std::time::Duration;

use super::Driver;
use crate::outcome::Violation;
use crate::scenario::Who;

impl Driver {
    /// The nodes that `who` names at this moment.
    ///
    /// # Errors
    /// A violation if there is none: no leader in time, or nothing left to draw from.
    pub(super) async fn resolve(&self, who: &Who) -> Result<Vec<usize>, Violation> {
        let all: Vec<usize> = (0..self.hands.nodes().len()).collect();
        let but = |names: &[String]| {
            let out = |node: &usize| names.iter().any(|name| self.bound[name].contains(node));
            all.iter().copied().filter(|node| !out(node)).collect::<Vec<_>>()
        };
        Ok(match who {
            Who::All => all,
            Who::Node(node) => vec![*node],
            Who::Bound(name) => self.bound[name].clone(),
            Who::Others(names) => but(names),
            Who::Other(names) => vec![self.one_of(&but(names))?],
            Who::Any => vec![self.one_of(&self.live())?],
            Who::Leader => vec![self.leader().await?],
            Who::Follower => {
                let leader = self.leader().await?;
                let rest: Vec<usize> = self.live().into_iter().filter(|node| *node != leader).collect();
                vec![self.one_of(&rest)?]
            }
        })
    }

    async fn leader(&self) -> Result<usize, Violation> {
        let found = self.wait_active(Duration::from_secs(30)).await;
        found.map_err(|what| Violation::liveness("serves-again", what))
    }

    fn one_of(&self, nodes: &[usize]) -> Result<usize, Violation> {
        if nodes.is_empty() {
            return Err(Violation::harness("a step has no node to choose from"));
        }
        Ok(nodes[self.draw.index(nodes.len())])
    }
}
