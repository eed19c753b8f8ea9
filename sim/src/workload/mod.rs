//! Clients: what they do and the history of what they saw.

pub mod history;
pub mod http;
pub mod kv;
