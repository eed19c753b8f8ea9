//! Holdfast: a secrets server for production that speaks the Vault HTTP API.
//!
//! A module may use the modules below it in this list, never those above (`tests/it/tidy.rs` checks it):
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | people; reaches a server only through [`client`] |
//! | [`client`] | the HTTP API as a typed client |
//! | [`server`] | the composition root: configuration and runtime make a running node |
//! | [`http`] | listeners, TLS, routes, request limits, forwarding to the active node |
//! | [`core`] | the request pipeline, mount table, seal state, role changes, views |
//! | [`engines`] | secret engines behind one `Backend` trait |
//! | [`token`] [`policy`] [`telemetry`] | who may do what, and figures |
//! | [`barrier`] [`seal`] | encryption at rest; Shamir wrapping of the root key |
//! | [`storage`] | ordered keys and transactions, as everything above sees them |
//! | [`raft`] | openraft's types and settings, log, state machine, transport, membership |
//! | [`config`] | HCL and JSON files to a typed, validated configuration |
//! | [`runtime`] | the seam: network, disk, clocks, entropy, blocking work |
#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod core;
pub mod duration;
pub mod engines;
pub mod raft;
pub mod runtime;
pub mod secret;
pub mod server;
pub mod storage;
