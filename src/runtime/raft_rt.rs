//! The one `AsyncRuntime` that openraft gets in every build: tokio with an RNG that is seeded per node, so that
//! election timeouts repeat in a simulation. Start Raft inside [`scope`].

use std::cell::Cell;
use std::future::Future;

/// Tokio, with openraft's RNG seeded by [`scope`].
pub type RaftRuntime = openraft_rt::deterministic_rng::DeterministicRng<openraft_rt_tokio::TokioRuntime>;

/// Runs `future`, and all that openraft spawns from it, with openraft's RNG seeded by `seed`.
pub fn scope<F: Future>(seed: u64, future: F) -> openraft_rt::task_local::TaskLocalFuture<Cell<u64>, F> {
    RaftRuntime::scope(seed, future)
}
