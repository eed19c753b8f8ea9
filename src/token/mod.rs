//! Tokens: ids, records, and what a store of them reads and writes within a transaction.

pub mod batch;
pub mod cidr;
pub mod entry;
pub mod grant;
pub mod id;
pub mod jwt;
pub mod keys;
pub mod role;
pub mod store;
pub mod ttl;

pub use entry::Entry;
pub use id::{Hash, Salt};
pub use role::Role;
