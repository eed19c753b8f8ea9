//! Ordered keys and transactions, as everything above sees replicated state.

pub mod plain;
pub mod schema;
pub mod txn;

pub use txn::{Sealed, Txn};
