//! Where each incarnation is, and how far it has come. Addresses in membership are only hints: a record here is signed
//! by its incarnation and ordered by (start counter, sequence), so whoever carries it, the newest wins. It is learnt
//! from hellos and join answers and passed on in both, so a cluster whose every address has changed forms again from
//! its `retry_join` targets.
//!
//! The file `peers` also keeps the highest start counter seen of each incarnation. A start raises the counter before
//! the first hello, so each counter belongs to one process: a lower one, or the same one from another process, is a
//! copied or rolled-back directory (cluster-protocol, section 1).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::grant::{Grant, PublicKey, SignatureBytes};
use super::identity::{Cluster, Identity};
use super::node_file;
use super::types::Incarnation;
use crate::runtime::Runtime;

/// An address, signed by the incarnation that can be reached there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// Who.
    pub incarnation: Incarnation,
    /// Its start counter when it said so.
    pub counter: u64,
    /// Raised whenever its address changes within one start.
    pub sequence: u64,
    /// `host:port` of its cluster listener.
    pub address: String,
    signature: SignatureBytes,
}

impl AddressRecord {
    /// This node's own record.
    pub fn sign(identity: &Identity, sequence: u64, address: &str) -> AddressRecord {
        let (incarnation, counter) = (identity.incarnation(), identity.counter());
        let signature = identity.sign(&message(incarnation, counter, sequence, address));
        AddressRecord { incarnation, counter, sequence, address: address.to_string(), signature }
    }

    /// Whether `key` signed it.
    pub fn verify(&self, key: &PublicKey) -> bool {
        self.signature.verify(key, &message(self.incarnation, self.counter, self.sequence, &self.address))
    }

    fn order(&self) -> (u64, u64) {
        (self.counter, self.sequence)
    }
}

/// Who a member is and where: whoever has the cluster's public keys can check it, whoever brought it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCard {
    /// Binds the incarnation to its key.
    pub grant: Grant,
    /// Binds it to its address.
    pub record: AddressRecord,
}

impl PeerCard {
    /// Whether grant and record hold in `cluster`.
    pub fn verify(&self, cluster: &Cluster) -> bool {
        self.grant.cluster_id == cluster.id
            && self.grant.incarnation == self.record.incarnation
            && self.record.address.len() <= MAX_ADDRESS
            && self.grant.verify(&cluster.keys)
            && self.record.verify(&self.grant.public_key)
    }
}

/// How far an incarnation says it has come, in its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The start counter.
    pub counter: u64,
    /// Drawn by the process.
    pub nonce: u64,
    /// The term of the vote that was on disk when the process started; 0 if none. Such a vote never goes back, so a
    /// lower one in a later start is a rolled-back disk.
    pub term: u64,
}

/// The hello is of a directory that is a copy, or older than what has been seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this directory is a copy, or older than what the cluster has seen; wipe it and rejoin")]
pub struct Outdated;

/// The address book of one node. Cheap to clone; shared.
#[derive(Clone)]
pub struct AddressBook(Arc<Shared>);

struct Shared {
    runtime: Runtime,
    path: PathBuf,
    entries: Mutex<Entries>,
    changed: tokio::sync::Notify,
}

#[derive(Default)]
struct Entries {
    of: BTreeMap<Incarnation, Entry>,
    dirty: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    counter: u64,
    nonce: Option<u64>,
    term: u64,
    card: Option<PeerCard>,
}

impl AddressBook {
    /// Opens the book of a data directory. A damaged file is put aside with a warning: it holds nothing that the peers
    /// do not tell again.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn open(runtime: &Runtime, directory: &Path) -> io::Result<AddressBook> {
        let path = directory.join(PEERS_FILE);
        let of = match runtime.disk.read_if_exists(&path).await? {
            None => BTreeMap::new(),
            Some(bytes) => node_file::decode(MAGIC, &bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the address book is unusable and starts empty");
                BTreeMap::new()
            }),
        };
        let entries = Mutex::new(Entries { of, dirty: false });
        let changed = tokio::sync::Notify::new();
        Ok(AddressBook(Arc::new(Shared { runtime: runtime.clone(), path, entries, changed })))
    }

    /// Where `incarnation` said it is.
    pub fn address(&self, incarnation: Incarnation) -> Option<String> {
        self.card(incarnation).map(|card| card.record.address)
    }

    /// The newest card of `incarnation`.
    pub fn card(&self, incarnation: Incarnation) -> Option<PeerCard> {
        self.entries().of.get(&incarnation).and_then(|entry| entry.card.clone())
    }

    /// The (counter, sequence) of the newest record of `incarnation`; zeros if there is none.
    pub fn order(&self, incarnation: Incarnation) -> (u64, u64) {
        let entries = self.entries();
        let card = entries.of.get(&incarnation).and_then(|entry| entry.card.as_ref());
        card.map_or((0, 0), |card| card.record.order())
    }

    /// The cards to pass on, at most [`MAX_CARDS`].
    pub fn cards(&self) -> Vec<PeerCard> {
        self.entries().of.values().filter_map(|entry| entry.card.clone()).take(MAX_CARDS).collect()
    }

    /// The highest start counter seen of `incarnation`.
    pub fn counter(&self, incarnation: Incarnation) -> u64 {
        self.entries().of.get(&incarnation).map_or(0, |entry| entry.counter)
    }

    /// Takes in a card if it holds and is newer than the present one; whether it did.
    pub fn learn(&self, card: &PeerCard, cluster: &Cluster) -> bool {
        let newer = |entry: &Entry| entry.card.as_ref().is_none_or(|old| old.record.order() < card.record.order());
        if !self.entries().of.get(&card.record.incarnation).is_none_or(newer) || !card.verify(cluster) {
            return false;
        }
        let mut entries = self.entries();
        if entries.of.len() >= MAX_ENTRIES && !entries.of.contains_key(&card.record.incarnation) {
            return false;
        }
        let entry = entries.of.entry(card.record.incarnation).or_default();
        if !newer(entry) {
            return false;
        }
        entry.card = Some(card.clone());
        if entry.counter < card.record.counter {
            (entry.counter, entry.nonce) = (card.record.counter, None);
        }
        self.touch(entries);
        true
    }

    /// Takes in the start that a member's authenticated hello tells.
    ///
    /// # Errors
    /// If it is older than what was seen, or the same start from another process.
    pub fn observe(&self, incarnation: Incarnation, start: Start) -> Result<(), Outdated> {
        let mut entries = self.entries();
        let entry = entries.of.entry(incarnation).or_default();
        let doubled = entry.counter == start.counter && entry.nonce.is_some_and(|nonce| nonce != start.nonce);
        if start.counter < entry.counter || doubled || start.term < entry.term {
            return Err(Outdated);
        }
        if (entry.counter, entry.nonce, entry.term) != (start.counter, Some(start.nonce), start.term) {
            (entry.counter, entry.nonce, entry.term) = (start.counter, Some(start.nonce), start.term);
            self.touch(entries);
        }
        Ok(())
    }

    /// Drops what is known of a removed incarnation.
    pub fn forget(&self, incarnation: Incarnation) {
        let mut entries = self.entries();
        if entries.of.remove(&incarnation).is_some() {
            self.touch(entries);
        }
    }

    /// Writes the book if it has changed.
    ///
    /// # Errors
    /// I/O errors; the book stays to be written.
    pub async fn save(&self) -> io::Result<()> {
        let bytes = {
            let mut entries = self.entries();
            if !entries.dirty {
                return Ok(());
            }
            entries.dirty = false;
            node_file::encode(MAGIC, &entries.of)
        };
        let written = self.0.runtime.disk.replace(&self.0.path, bytes).await;
        if written.is_err() {
            self.entries().dirty = true;
        }
        written
    }

    /// Returns when the book has changed since the last call. One caller at a time.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn touch(&self, mut entries: MutexGuard<'_, Entries>) {
        entries.dirty = true;
        drop(entries);
        self.0.changed.notify_one();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(incarnation: Incarnation, counter: u64, sequence: u64, address: &str) -> Vec<u8> {
    postcard::to_extend(&(incarnation, counter, sequence, address), CONTEXT.to_vec())
        .expect("an address record always encodes")
}

/// The book's file name in a data directory.
pub const PEERS_FILE: &str = "peers";
/// At most so many cards are passed on in one message.
pub const MAX_CARDS: usize = 64;
/// More incarnations than any cluster has had; only who holds a grant gets an entry.
const MAX_ENTRIES: usize = 1024;
/// Bytes of a `host:port` (a DNS name has at most 253).
const MAX_ADDRESS: usize = 300;
const MAGIC: &[u8; 4] = b"HFPE";
const CONTEXT: &[u8] = b"holdfast address\0";

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    async fn member(runtime: &Runtime, directory: &Path, label: &str) -> Identity {
        let identity = Identity::open(runtime, directory, None, label).await.unwrap();
        let key = SigningKey::from_bytes(&[1; 32]);
        let grant = Grant::sign(&key, "c", identity.incarnation(), identity.public_key(), label);
        identity.enter(Cluster { id: "c".into(), keys: vec![key.verifying_key().to_bytes()], grant }).await.unwrap();
        identity
    }

    fn card(identity: &Identity, sequence: u64, address: &str) -> PeerCard {
        let grant = identity.cluster().unwrap().grant;
        PeerCard { grant, record: AddressRecord::sign(identity, sequence, address) }
    }

    #[tokio::test]
    async fn the_newest_record_wins_and_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::real();
        let b = member(&runtime, &directory.path().join("b"), "b").await;
        let cluster = b.cluster().unwrap();
        let book = AddressBook::open(&runtime, directory.path()).await.unwrap();
        assert!(book.learn(&card(&b, 1, "b:1"), &cluster));
        assert!(!book.learn(&card(&b, 0, "b:0"), &cluster));
        let restarted = Identity::open(&runtime, &directory.path().join("b"), None, "b").await.unwrap();
        assert!(book.learn(&card(&restarted, 0, "b:2"), &cluster));
        assert_eq!(book.counter(b.incarnation()), 2);

        let mut forged = card(&restarted, 5, "b:2");
        forged.record.address = "evil:1".into();
        assert!(!book.learn(&forged, &cluster));
        let other = Cluster { keys: vec![[7; 32]], ..cluster };
        assert!(!book.learn(&card(&restarted, 6, "b:3"), &other));

        book.save().await.unwrap();
        let again = AddressBook::open(&runtime, directory.path()).await.unwrap();
        assert_eq!(again.address(b.incarnation()).as_deref(), Some("b:2"));
        assert_eq!(again.observe(b.incarnation(), Start { counter: 1, nonce: 1, term: 0 }), Err(Outdated));
    }

    #[tokio::test]
    async fn older_and_doubled_starts_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let book = AddressBook::open(&Runtime::real(), directory.path()).await.unwrap();
        let start = |counter, nonce, term| Start { counter, nonce, term };
        assert_eq!(book.observe(7, start(3, 10, 5)), Ok(()));
        assert_eq!(book.observe(7, start(3, 10, 5)), Ok(()));
        assert_eq!(book.observe(7, start(3, 11, 5)), Err(Outdated));
        assert_eq!(book.observe(7, start(2, 10, 5)), Err(Outdated));
        assert_eq!(book.observe(7, start(4, 12, 4)), Err(Outdated));
        assert_eq!(book.observe(7, start(4, 12, 5)), Ok(()));
        assert_eq!(book.observe(8, start(1, 1, 0)), Ok(()));
    }

    #[tokio::test]
    async fn a_damaged_book_starts_empty() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::real();
        runtime.disk.replace(&directory.path().join(PEERS_FILE), b"rubbish".as_slice().into()).await.unwrap();
        assert!(AddressBook::open(&runtime, directory.path()).await.unwrap().cards().is_empty());
    }
}
