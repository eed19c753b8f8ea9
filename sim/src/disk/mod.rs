//! A node's disk in the simulation: the library's disk in memory, which outlives the process, under a fault layer.

pub mod fault;

pub use fault::{DiskFaults, FaultDisk};
pub use holdfast::runtime::mem_disk::{Image, MemDisk};
