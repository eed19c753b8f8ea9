//! Secret engines.
pub mod backend;
