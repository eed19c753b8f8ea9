//! Raft: openraft's types and settings, log, state machine, transport, membership.

pub mod command;
pub mod log;
pub mod snapshot;
pub mod state;
pub mod state_machine;
pub mod types;
