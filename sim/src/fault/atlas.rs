//! The fault atlas: what may be broken at once so that a correct cluster must still lose nothing and serve again.
//!
//! With n voters, f = (n - 1) / 2:
//!
//! - **Links and processes: anything.** Every node may be cut off, paused, killed, restarted or without power at once, with
//!   its unsynced data lost. While no quorum is connected the cluster need not serve; it must not lie. Afterwards it must
//!   serve again within its bound.
//! - **Disks that fail openly** (slow, stuck, full, EIO): any number of nodes, as far as safety goes. A node whose write or
//!   sync has failed comes back as a new process on the same disk.
//! - **Damage to synced data** (rot, an emptied disk, an older copy of it): at most f nodes between two moments at which
//!   the cluster was whole, because a damaged node has forgotten promises that it made to a quorum. It must notice, take no
//!   part as the old incarnation, and come back as a new one, fed by the others. Damage to more nodes than f may lose data
//!   whatever the implementation; a scenario that asks for it is wrong, and the run says so (harness, not safety).
//!   Rot of a log's last group, which no later group has marked as synced yet, looks like a torn write to anyone: it is not
//!   asked for.
//! - **Clocks**: wall clocks are off by up to 200 ms either way; nothing of safety may rest on them.
//! - **Never**: messages forged or changed (TLS is taken at its word), damage inside RocksDB's own files (the real
//!   processes' part, `chaos/`), two processes on one directory.

use std::collections::BTreeSet;

/// Keeps account of damage and refuses what is beyond the atlas.
#[derive(Clone, Debug)]
pub struct Atlas {
    nodes: usize,
    damaged: BTreeSet<usize>,
}

impl Atlas {
    /// The account of a whole cluster of `nodes`.
    pub fn new(nodes: usize) -> Atlas {
        Atlas { nodes, damaged: BTreeSet::new() }
    }

    /// Damages `node`, if that may be.
    ///
    /// # Errors
    /// A text that says which nodes are damaged already.
    pub fn damage(&mut self, node: usize) -> Result<(), String> {
        self.damaged.insert(node);
        let most = (self.nodes - 1) / 2;
        if self.damaged.len() <= most {
            return Ok(());
        }
        let names: Vec<String> = self.damaged.iter().map(|node| format!("n{}", node + 1)).collect();
        Err(format!(
            "damage to {} at once is beyond the fault atlas: at most {most} of {}",
            names.join(", "),
            self.nodes
        ))
    }

    /// Whether `node` has been damaged since the cluster was whole.
    pub fn is_damaged(&self, node: usize) -> bool {
        self.damaged.contains(&node)
    }

    /// The cluster is whole again: all nodes have caught up.
    pub fn whole(&mut self) {
        self.damaged.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_bounded_by_f() {
        let mut three = Atlas::new(3);
        three.damage(1).unwrap();
        three.damage(1).unwrap();
        assert!(three.damage(2).unwrap_err().contains("n2, n3"));
        let mut five = Atlas::new(5);
        five.damage(0).unwrap();
        five.damage(1).unwrap();
        assert!(five.damage(2).is_err());
        five.whole();
        five.damage(2).unwrap();
        assert!(Atlas::new(1).damage(0).is_err());
    }
}
