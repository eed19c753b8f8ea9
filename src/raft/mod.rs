//! Raft: openraft's types and settings, log, state machine, transport, membership.

pub mod address_book;
pub mod command;
pub mod grant;
pub mod identity;
pub mod join;
pub mod log;
pub mod node_file;
pub mod snapshot;
pub mod state;
pub mod state_machine;
pub mod transport;
pub mod types;
