//! Real servers, the stock client and a small HTTP client for the tests.

pub mod bao;
pub mod canned;
pub mod cluster;
pub mod http;
pub mod local;
pub mod node;
pub mod ports;
pub mod tls;

use std::time::{Duration, Instant};

pub use bao::Bao;
pub use cluster::{Cluster, Shape};
pub use http::{Answer, call};
pub use local::Local;
pub use node::Node;

/// Waits until `look` finds something, and fails with `what` if that takes longer than `seconds`.
#[track_caller]
pub fn until<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "after {seconds} s still waiting: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether `text` holds all of `parts`.
#[track_caller]
pub fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}
