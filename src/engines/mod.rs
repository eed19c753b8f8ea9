//! Secret engines.
pub mod backend;
pub mod catalog;
pub mod cubbyhole;
pub(crate) mod fields;
pub mod kv1;
pub mod kv2;
#[cfg(test)]
mod testing;
pub mod view;
