//! The one `AsyncRuntime` that openraft gets in every build: tokio with an RNG that is seeded per node, so that
//! election timeouts repeat in a simulation. Start Raft inside [`scope`].

use std::cell::Cell;
use std::future::Future;

#[cfg(madsim)]
#[path = "raft_rt_madsim.rs"]
mod madsim;

#[cfg(madsim)]
use madsim::MadsimRuntime as BaseRuntime;
#[cfg(not(madsim))]
use openraft_rt_tokio::TokioRuntime as BaseRuntime;

/// Tokio, with openraft's RNG seeded by [`scope`].
pub type RaftRuntime = openraft_rt::deterministic_rng::DeterministicRng<BaseRuntime>;

/// Runs `future`, and all that openraft spawns from it, with openraft's RNG seeded by `seed`.
pub fn scope<F: Future>(seed: u64, future: F) -> openraft_rt::task_local::TaskLocalFuture<Cell<u64>, F> {
    RaftRuntime::scope(seed, future)
}
