//! Where each incarnation is, and how far it has come. Addresses in membership are only hints: a record here is signed
//! by its incarnation and ordered by (start counter, sequence), so whoever carries it, the newest wins. It is learnt
//! from hellos and join answers and passed on in both, so a cluster whose every address has changed forms again from
//! its `retry_join` targets.
//!
//! The file `peers` also keeps the highest start counter seen of each incarnation. A start raises the counter before
//! the first hello, so each counter belongs to one process: a lower one, or the same one from another process, is a
//! copied or rolled-back directory (cluster-protocol, section 1). And it keeps what this node, as leader, has seen each
//! incarnation acknowledge: one that starts with less has lost what it had promised, whatever its files look like.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::grant::{Grant, PublicKey, SignatureBytes};
use super::identity::{Cluster, Identity};
use super::node_file;
use super::types::{EndOf, Incarnation, LogId};
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

/// Why a directory must not take part as the incarnation that it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// It is a copy, or older than what has been seen of it.
    #[error("this directory is a copy, or older than what the cluster has seen; wipe it and rejoin")]
    Outdated,
    /// Its log ends before what it has acknowledged to this node.
    #[error(
        "the log is damaged: it ends at {}, but this node had acknowledged {acked}; wipe the directory and rejoin",
        EndOf(*.last)
    )]
    LogLost {
        /// Where its log ends.
        last: Option<LogId>,
        /// What it had acknowledged.
        acked: LogId,
    },
}

/// The most that an incarnation has acknowledged to this node as its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Acked {
    /// Its start counter then.
    counter: u64,
    /// The term that this node led in. Only a leader of a higher one could have taken anything back.
    term: u64,
    /// What was durable there.
    log: LogId,
}

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
    /// Something is to be written soon.
    dirty: bool,
    /// Acknowledgements have come, which are written now and then.
    acked: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    counter: u64,
    nonce: Option<u64>,
    term: u64,
    card: Option<PeerCard>,
    acked: Option<Acked>,
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
        let entries = Mutex::new(Entries { of, ..Entries::default() });
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

    /// Takes in the start that a member's authenticated hello tells, and where its log ended then.
    ///
    /// # Errors
    /// If it is older than what was seen, or the same start from another process, or has lost what it acknowledged.
    pub fn observe(&self, incarnation: Incarnation, start: Start, last_log: Option<LogId>) -> Result<(), Unsound> {
        let mut entries = self.entries();
        let entry = entries.of.entry(incarnation).or_default();
        let doubled = entry.counter == start.counter && entry.nonce.is_some_and(|nonce| nonce != start.nonce);
        if start.counter < entry.counter || doubled || start.term < entry.term {
            return Err(Unsound::Outdated);
        }
        // What came after its start is not in its hello; what a later leader may have taken back is nobody's loss.
        if let Some(acked) = entry.acked
            && start.counter > acked.counter
            && start.term <= acked.term
            && last_log < Some(acked.log)
        {
            return Err(Unsound::LogLost { last: last_log, acked: acked.log });
        }
        if (entry.counter, entry.nonce, entry.term) != (start.counter, Some(start.nonce), start.term) {
            (entry.counter, entry.nonce, entry.term) = (start.counter, Some(start.nonce), start.term);
            self.touch(entries);
        }
        Ok(())
    }

    /// Takes in that a follower has made everything up to `log` durable, told to this node as leader in `term`. Kept in
    /// memory at once, and in the file soon.
    pub fn acknowledged(&self, incarnation: Incarnation, term: u64, log: LogId) {
        let mut entries = self.entries();
        // Who acknowledges has said hello.
        let Some(entry) = entries.of.get_mut(&incarnation) else { return };
        if entry.acked.is_none_or(|acked| (acked.term, acked.log) < (term, log)) {
            entry.acked = Some(Acked { counter: entry.counter, term, log });
            entries.acked = true;
        }
    }

    /// Has acknowledgements written that are in memory only.
    pub fn keep_acknowledged(&self) {
        let entries = self.entries();
        if entries.acked {
            self.touch(entries);
        }
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
            (entries.dirty, entries.acked) = (false, false);
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
        assert_eq!(
            again.observe(b.incarnation(), Start { counter: 1, nonce: 1, term: 0 }, None),
            Err(Unsound::Outdated)
        );
    }

    #[tokio::test]
    async fn older_and_doubled_starts_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let book = AddressBook::open(&Runtime::real(), directory.path()).await.unwrap();
        let observe = |id, counter, nonce, term| book.observe(id, Start { counter, nonce, term }, None);
        assert_eq!(observe(7, 3, 10, 5), Ok(()));
        assert_eq!(observe(7, 3, 10, 5), Ok(()));
        assert_eq!(observe(7, 3, 11, 5), Err(Unsound::Outdated));
        assert_eq!(observe(7, 2, 10, 5), Err(Unsound::Outdated));
        assert_eq!(observe(7, 4, 12, 4), Err(Unsound::Outdated));
        assert_eq!(observe(7, 4, 12, 5), Ok(()));
        assert_eq!(observe(8, 1, 1, 0), Ok(()));
    }

    #[tokio::test]
    async fn a_log_that_lost_what_it_acknowledged_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::real();
        let book = AddressBook::open(&runtime, directory.path()).await.unwrap();
        let id = |term: u64, index| LogId { leader_id: term.into(), index };
        let start = |counter, term| Start { counter, nonce: counter, term };
        book.acknowledged(7, 5, id(5, 9));
        assert_eq!(book.observe(7, start(1, 5), Some(id(4, 2))), Ok(()), "nothing is known of who never said hello");
        book.acknowledged(7, 5, id(5, 20));
        book.acknowledged(7, 5, id(5, 10));
        // The same process dials again: its hello tells of its start.
        assert_eq!(book.observe(7, start(1, 5), Some(id(4, 2))), Ok(()));
        book.keep_acknowledged();
        book.save().await.unwrap();
        let again = AddressBook::open(&runtime, directory.path()).await.unwrap();
        for book in [&book, &again] {
            for (last, term) in [(Some(id(5, 19)), 5), (Some(id(4, 30)), 5), (None, 5), (Some(id(5, 19)), 5)] {
                let lost = Err(Unsound::LogLost { last, acked: id(5, 20) });
                assert_eq!(book.observe(7, start(2, term), last), lost, "{last:?} {term}");
            }
        }
        // A later leader may have taken it back.
        assert_eq!(again.observe(7, start(2, 6), Some(id(5, 19))), Ok(()));
        assert_eq!(book.observe(7, start(2, 5), Some(id(5, 20))), Ok(()));
        assert_eq!(book.observe(7, start(3, 5), Some(id(6, 12))), Ok(()));
    }

    #[tokio::test]
    async fn a_damaged_book_starts_empty() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::real();
        runtime.disk.replace(&directory.path().join(PEERS_FILE), b"rubbish".as_slice().into()).await.unwrap();
        assert!(AddressBook::open(&runtime, directory.path()).await.unwrap().cards().is_empty());
    }
}
