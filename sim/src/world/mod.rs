//! The library's `Runtime` over turmoil, and the hosts that run on it.

pub mod clock;
pub mod gate;
pub mod host;
pub mod net;
pub mod node;
pub mod offload;
pub mod stand_in;
pub mod tls;
pub mod turmoil;

pub use turmoil::{Hands, World};
