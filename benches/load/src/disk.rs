//! What the disk itself needs for a small durable write: the floor under every commit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Latencies of a write of 512 bytes into preallocated space and its fdatasync, sorted.
///
/// # Errors
/// The system's.
pub fn sync_latencies(directory: &Path, count: u64) -> io::Result<Vec<Duration>> {
    let path = directory.join("sync-latency");
    let file = File::create(&path)?;
    let block = [7u8; 512];
    file.write_all_at(&vec![0; (count as usize + 1) * block.len()], 0)?;
    file.sync_all()?;
    let mut latencies = Vec::with_capacity(count as usize);
    for at in 0..count {
        let began = Instant::now();
        file.write_all_at(&block, at * block.len() as u64)?;
        file.sync_data()?;
        latencies.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    latencies.sort();
    Ok(latencies)
}
