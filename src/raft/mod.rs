//! Raft: openraft's types and settings, log, state machine, transport, membership.

pub mod address_book;
pub mod command;
mod gate;
pub mod grant;
pub mod identity;
pub mod join;
pub mod lead;
pub mod log;
pub mod node;
mod node_file;
mod observe;
pub mod read_index;
pub mod settings;
pub mod snapshot;
pub mod start;
pub mod state;
pub mod state_machine;
pub mod transport;
pub mod types;

pub use node::{MemberStatus, ProposeError, Raft};
pub use read_index::ReadIndexError;
