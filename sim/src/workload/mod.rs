//! Clients: what they do and the history of what they saw.

pub mod history;
#[cfg(not(madsim))]
pub mod http;
#[cfg(not(madsim))]
pub mod kv;
