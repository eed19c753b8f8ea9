//! The simulator: whole Holdfast servers in one process, on a simulated network, disk and clock, with faults drawn from
//! a seed. One seed is one history, byte for byte.
//!
//! | module | what it is |
//! |---|---|
//! | [`run`] | one scenario under one seed: build the world, drive it, check it |
//! | [`sweep`] [`verify`] | many seeds in parallel; one seed twice, compared line by line |
//! | [`scenario`] | the TOML files of `scenarios/`: typed, with errors that name line and key |
//! | [`driver`] | carries a scenario's steps out: operator's calls over HTTP, faults through [`fault`] |
//! | [`workload`] | clients over HTTP and the history of what they saw |
//! | [`check`] | one file a property, an index table in its `mod.rs` |
//! | [`fault`] | what may be broken, and what may be broken at once |
//! | [`disk`] | a fault layer per host over the library's disk in memory |
//! | [`world`] | the library's `Runtime` over turmoil |
//! | [`trace`] | the event trace and its digest |
//!
//! `interleave/` is a program of its own: the core down to Raft under madsim, with the same checks.
//!
//! `docs/simulation.md` says how to use it and where its limits are.

// The simulator is outside the simulation: it writes trace files and starts processes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[cfg(not(tokio_unstable))]
compile_error!(
    "the simulator needs `--cfg tokio_unstable` (see .cargo/config.toml): without it task order is unseeded"
);

pub mod check;
pub mod draw;
pub mod outcome;
pub mod sweep;
pub mod trace;
pub mod verify;
pub mod workload;

// The whole server, which madsim's smaller tokio does not carry; `interleave/` is what runs there.
#[cfg(not(madsim))]
pub mod disk;
#[cfg(not(madsim))]
pub mod driver;
#[cfg(not(madsim))]
pub mod fault;
#[cfg(not(madsim))]
pub mod run;
#[cfg(not(madsim))]
pub mod scenario;
#[cfg(not(madsim))]
pub mod world;
