//! Raft: openraft's types and settings, log, state machine, transport, membership.

pub mod command;
pub mod lead;
pub mod log;
pub mod node;
pub mod read_index;
pub mod settings;
pub mod state;
pub mod types;

pub use node::{MemberStatus, ProposeError, Raft};
pub use read_index::ReadIndexError;
