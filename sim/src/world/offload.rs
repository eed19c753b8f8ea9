//! Blocking work, run inline: on the simulation's thread, at the moment it is asked for, with a drawn simulated cost.

use std::time::Duration;

use futures_util::future::BoxFuture;
use holdfast::runtime::offload::{Job, OffloadSource, Pool};

use super::gate::Gate;
use crate::draw::Draw;

/// One node's pools.
pub struct SimOffload {
    draw: Draw,
    gate: Gate,
}

impl SimOffload {
    /// Pools whose costs come from `draw`.
    pub fn new(draw: Draw, gate: Gate) -> SimOffload {
        SimOffload { draw, gate }
    }
}

impl OffloadSource for SimOffload {
    fn run(&self, pool: Pool, job: Job) -> BoxFuture<'static, ()> {
        let (draw, gate) = (self.draw.clone(), self.gate.clone());
        Box::pin(async move {
            gate.pass().await;
            job();
            match cost(&draw, pool) {
                Some(cost) => tokio::time::sleep(cost).await,
                // A thread's answer never arrives in the same poll; how many other tasks run before it is drawn.
                None => {
                    for _ in 0..=draw.below(2) {
                        tokio::task::yield_now().await;
                    }
                }
            }
            gate.pass().await;
        })
    }
}

/// What a job costs. Timers tick in whole milliseconds, so the many cheap jobs cost nothing and some cost a tick or more.
fn cost(draw: &Draw, pool: Pool) -> Option<Duration> {
    let (one_in, upto_ms) = match pool {
        Pool::Disk | Pool::State => (64, 3),
        Pool::Sync => (16, 4),
        Pool::Compute => (2, 10),
    };
    draw.one_in(one_in).then(|| Duration::from_millis(1 + draw.below(upto_ms)))
}
