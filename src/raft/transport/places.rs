//! Places for those who are not known yet: so many, and at most half of them for one address, so that a stranger keeps
//! nobody else out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::runtime::net::Peer;

/// The places and who has them. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    all: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    of: BTreeMap<Option<IpAddr>, usize>,
}

/// One place, until it is dropped.
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    address: Option<IpAddr>,
}

impl Places {
    /// So many places.
    pub(super) fn new(all: usize) -> Places {
        Places { taken: Arc::default(), all }
    }

    /// A place for a peer, if one is left for its address.
    pub(super) fn take(&self, peer: &Peer) -> Option<Place> {
        let address = match peer {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            Peer::Unix => None,
        };
        let mut taken = lock(&self.taken);
        let own = taken.of.get(&address).copied().unwrap_or(0);
        if taken.all >= self.all || own >= self.all.div_ceil(2) {
            return None;
        }
        taken.all += 1;
        taken.of.insert(address, own + 1);
        Some(Place { taken: Arc::clone(&self.taken), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(own) = taken.of.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&self.address);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_half() {
        let peer = |last| Peer::Tcp(([192, 0, 2, last], 1).into());
        let places = Places::new(5);
        let mut one: Vec<Place> = std::iter::from_fn(|| places.take(&peer(1))).collect();
        assert_eq!(one.len(), 3);
        let others: Vec<Option<Place>> = [2, 3, 4].map(|last| places.take(&peer(last))).into();
        assert_eq!(others.iter().flatten().count(), 2, "five in all");
        one.pop();
        assert!(places.take(&peer(1)).is_some());
        drop((one, others));
        assert!(lock(&places.taken).of.is_empty());
    }
}
