//! Holdfast: a secrets server for production that speaks the Vault HTTP API.
//!
//! A module may use those of its own row and of the rows below, never those above. `tests/it/tidy.rs` reads this table and
//! checks it.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | people; reaches a server only through [`client`] |
//! | [`server`] | the composition root: configuration and runtime make a running node |
//! | [`client`] | the HTTP API as a typed client |
//! | [`http`] | listeners, TLS, routes, request limits, forwarding to the active node |
//! | [`core`] | the request pipeline, mount table, seal state, role changes, views |
//! | [`engines`] | secret engines behind one `Backend` trait |
//! | [`token`] [`policy`] | who may do what |
//! | [`logical`] | requests, answers and errors as plain values |
//! | [`seal`] | Shamir wrapping of the root key |
//! | [`barrier`] | encryption at rest |
//! | [`storage`] [`raft`] | keys and transactions as everything above sees them; what replicates and keeps them |
//! | [`telemetry`] | figures and the log of the process |
//! | [`config`] | HCL and JSON files to a typed, validated configuration |
//! | [`hcl`] | HCL as text to a tree that knows its lines |
//! | [`runtime`] | the seam: network, disk, clocks, entropy, blocking work |
//! | [`limits`] [`secret`] [`duration`] | every bound; bytes that are wiped and never printed; Go's durations |
#![forbid(unsafe_code)]
#![cfg_attr(madsim, allow(unused_imports, reason = "its Instant is std's own, which needs no trait"))]

pub mod barrier;
#[cfg(not(madsim))]
pub mod cli;
#[cfg(not(madsim))]
pub mod client;
pub mod config;
pub mod core;
pub mod duration;
pub mod engines;
pub mod hcl;
#[cfg(not(madsim))]
pub mod http;
pub mod limits;
pub mod logical;
pub mod policy;
pub mod raft;
pub mod runtime;
pub mod seal;
pub mod secret;
#[cfg(not(madsim))]
pub mod server;
pub mod storage;
pub mod telemetry;
pub mod token;

/// What `version` answers: clients gate features on its main part (ADR 2).
pub const VERSION: &str = concat!("1.19.0+hf.", env!("CARGO_PKG_VERSION"));

/// The build's date as `sys/seal-status` tells it; fixed, so that builds repeat.
pub const BUILD_DATE: &str = "2026-11-24T00:00:00Z";
