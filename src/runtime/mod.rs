//! The seam: everything that touches time, network, disk, randomness or blocking work.
//!
//! [`Runtime`] is a plain value that is cloned into whatever needs it. [`Runtime::real`] is production; the simulator
//! builds one from its own parts. Nothing outside this module opens a socket or a file, reads a clock or asks the
//! operating system for entropy; `clippy.toml` forbids the ways around it.

pub mod clock;
pub mod disk;
pub mod entropy;
pub mod mem_disk;
pub mod net;
pub mod offload;
pub mod point;
pub mod raft_rt;
pub mod real;
pub mod trace;

pub use clock::{Clock, UnixTime};
pub use disk::{Disk, File};
pub use entropy::Entropy;
pub use net::{Listener, Network, Stream};
pub use offload::{Offload, Pool};
pub use trace::Trace;

/// One node's world.
#[derive(Clone)]
pub struct Runtime {
    /// Sockets, by name and port.
    pub net: Network,
    /// Files of this node.
    pub disk: Disk,
    /// Wall clock and boot clock.
    pub clock: Clock,
    /// Randomness for everything that can reach a log, a file or an answer.
    pub entropy: Entropy,
    /// Bounded pools for blocking work.
    pub offload: Offload,
    /// Where events go that make up a simulation's trace; silent in production.
    pub trace: Trace,
}

impl Runtime {
    /// The production world: tokio's sockets, the file system, the system's clock and entropy.
    pub fn real() -> Runtime {
        real::runtime()
    }
}
