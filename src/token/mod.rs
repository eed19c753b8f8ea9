//! Tokens: ids, records, and what a store of them reads and writes within a transaction.

pub mod entry;
pub mod id;
pub mod jwt;
pub mod keys;
pub mod store;

pub use entry::Entry;
pub use id::{Hash, Salt};
