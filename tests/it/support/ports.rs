//! Ports for servers, outside the range that the kernel hands out by itself, so that a port is still free when a stopped
//! server starts again.

use std::fs::File;
use std::net::TcpListener;

const FIRST: u16 = 22000;
const BLOCKS: u16 = 60;

/// Ports of one block.
pub const PER_BLOCK: u16 = 16;

/// Ports that are this process's own as long as it holds the block's lock file open.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    next: u16,
    _lock: File,
}

impl Ports {
    /// A block that nobody holds and whose ports are all free.
    pub fn reserve() -> Ports {
        for block in 0..BLOCKS {
            let first = FIRST + block * PER_BLOCK;
            let path = std::env::temp_dir().join(format!("holdfast-it-{first}.lock"));
            let Ok(lock) = File::options().create(true).append(true).open(path) else { continue };
            if lock.try_lock().is_err() {
                continue;
            }
            if (first..first + PER_BLOCK).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Ports { first, next: first, _lock: lock };
            }
        }
        panic!("no block of {PER_BLOCK} free ports from {FIRST} on");
    }

    /// The next port of the block.
    pub fn next(&mut self) -> u16 {
        let port = self.next;
        assert!(port < self.first + PER_BLOCK, "a block has {PER_BLOCK} ports");
        self.next += 1;
        port
    }
}
