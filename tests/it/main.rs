//! All integration tests: one binary, since each links RocksDB. Those with real processes need the stock `bao` client
//! (`ci/setup --tests` installs it).
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

mod cli_commands;
mod clients;
mod conformance;
mod cve;
mod differential;
mod disk;
mod failover;
mod forwarding;
mod hand_over;
mod input;
mod joining;
mod kv;
mod listener_limits;
mod listener_rules;
mod listeners;
mod membership;
mod peer;
mod policies;
mod process;
mod rekey;
mod sealing;
mod system;
mod tidy;
mod token_rules;
mod tokens;
mod wrapping;
