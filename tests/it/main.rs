//! All integration tests: one binary, since each links RocksDB. Those with real processes need the stock `bao` client
//! (`ci/setup --tests` installs it).
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

mod conformance;
mod differential;
mod disk;
mod failover;
mod forwarding;
mod input;
mod listeners;
mod membership;
mod process;
mod sealing;
mod system;
mod tidy;
mod token_rules;
mod tokens;
