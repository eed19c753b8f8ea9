//! Clients: what they do and the history of what they saw.

#[cfg(not(madsim))]
pub mod access;
pub mod acts;
#[cfg(not(madsim))]
pub mod deeds;
pub mod history;
#[cfg(not(madsim))]
pub mod http;
#[cfg(not(madsim))]
pub mod kv;
