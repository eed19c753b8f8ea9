//! Everything decoded from replicated state is a view: a function of state at an applied index, cached here and nowhere
//! else. `apply` tells each written key before the index is visible to readers, so that a view never answers with
//! less than a reader's index; a new generation of state drops all.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Error, Result};
use crate::barrier::{BarrierTxn, Keyring};
use crate::raft::state::State;
use crate::storage::schema;

/// A decoded record and the revision it was decoded from.
pub struct Found<T> {
    /// The log index of the record's last write.
    pub revision: u64,
    /// The record.
    pub record: Arc<T>,
}

impl<T> Clone for Found<T> {
    fn clone(&self) -> Self {
        Found { revision: self.revision, record: Arc::clone(&self.record) }
    }
}

/// Decodes one kind of record.
pub type Decode<T> = fn(&[u8]) -> Option<T>;

/// A bounded cache of one kind of records, by storage key.
pub struct View<T> {
    decode: Decode<T>,
    capacity: usize,
    cache: Mutex<Cache<T>>,
}

struct Cache<T> {
    found: BTreeMap<Bytes, Found<T>>,
    /// Loads under way: how many, and whether the key was written meanwhile.
    loading: BTreeMap<Bytes, (usize, bool)>,
    /// Where the next eviction looks.
    hand: Bytes,
}

impl<T: Send + Sync + 'static> View<T> {
    /// A view that keeps at most `capacity` records.
    pub fn new(decode: Decode<T>, capacity: usize) -> View<T> {
        let cache = Cache { found: BTreeMap::new(), loading: BTreeMap::new(), hand: Bytes::new() };
        View { decode, capacity, cache: Mutex::new(cache) }
    }

    /// The record of `key` at the state's present index; `None` if there is none.
    ///
    /// # Errors
    /// If the store or the barrier fails, or the record is of a format that this build does not know.
    pub async fn get(&self, state: &State, keyring: &Keyring, key: &Bytes) -> Result<Option<Found<T>>> {
        {
            let mut cache = self.lock();
            if let Some(found) = cache.found.get(key) {
                return Ok(Some(found.clone()));
            }
            cache.loading.entry(key.clone()).or_insert((0, false)).0 += 1;
        }
        let loaded = self.load(state, keyring, key).await;
        let mut cache = self.lock();
        let stale = cache.finish_load(key);
        let found = loaded?;
        if let (Some(found), false) = (&found, stale) {
            cache.insert(key.clone(), found.clone(), self.capacity);
        }
        Ok(found)
    }

    async fn load(&self, state: &State, keyring: &Keyring, key: &Bytes) -> Result<Option<Found<T>>> {
        let Some(stored) = state.get(key).await? else { return Ok(None) };
        decoded(self.decode, key, stored.revision, &keyring.open(key, &stored.value)?).map(Some)
    }

    /// Forgets `key`, or everything.
    pub fn mark_dirty(&self, key: Option<&[u8]>) {
        let mut cache = self.lock();
        match key {
            Some(key) => {
                cache.found.remove(key);
                if let Some((_, stale)) = cache.loading.get_mut(key) {
                    *stale = true;
                }
            }
            None => {
                cache.found.clear();
                for (_, stale) in cache.loading.values_mut() {
                    *stale = true;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache<T>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Cache<T> {
    /// Ends one load; whether the key was written while it ran.
    fn finish_load(&mut self, key: &Bytes) -> bool {
        let Some((count, stale)) = self.loading.get_mut(key) else { return true };
        let stale = *stale;
        *count -= 1;
        if *count == 0 {
            self.loading.remove(key);
        }
        stale
    }

    fn insert(&mut self, key: Bytes, found: Found<T>, capacity: usize) {
        while self.found.len() >= capacity {
            let next = self.found.range((Bound::Excluded(self.hand.clone()), Bound::Unbounded)).next();
            let victim = next.or_else(|| self.found.iter().next()).map(|(key, _)| key.clone());
            let Some(victim) = victim else { break };
            self.found.remove(&victim);
            self.hand = victim;
        }
        self.found.insert(key, found);
    }
}

/// Records of one kind by storage key.
pub type Table<T> = BTreeMap<Bytes, Found<T>>;

/// Something made of all records of one kind: for tables that are small and wanted whole.
pub struct TableView<T, D> {
    kind: schema::Kind,
    decode: Decode<T>,
    build: fn(Table<T>) -> D,
    cache: Mutex<Built<D>>,
}

struct Built<D> {
    /// Counts the writes that made the table dirty.
    writes: u64,
    built: Option<Arc<D>>,
}

impl<T: Send + Sync + 'static, D> TableView<T, D> {
    /// A view of all records of `kind`, made into what readers want by `build`.
    pub fn new(kind: schema::Kind, decode: Decode<T>, build: fn(Table<T>) -> D) -> TableView<T, D> {
        TableView { kind, decode, build, cache: Mutex::new(Built { writes: 0, built: None }) }
    }

    /// What `build` made of all records at the state's present index.
    ///
    /// # Errors
    /// If the store or the barrier fails, or a record is of a format that this build does not know.
    pub async fn get(&self, state: &State, keyring: &Keyring) -> Result<Arc<D>> {
        let writes = {
            let cache = self.lock();
            if let Some(built) = &cache.built {
                return Ok(Arc::clone(built));
            }
            cache.writes
        };
        let built = Arc::new((self.build)(self.load(state, keyring).await?));
        let mut cache = self.lock();
        if cache.writes == writes {
            cache.built = Some(Arc::clone(&built));
        }
        Ok(built)
    }

    /// What `build` makes of all records as a transaction reads them, at most `limit`, and how many they are. They join its
    /// read set: what the transaction does not see makes its commit fail. The cache does not serve for that, since the store
    /// can be one commit ahead of it.
    pub async fn read_in(&self, txn: &mut BarrierTxn, limit: u32) -> Result<(D, usize)> {
        let from = schema::key(self.kind, b"");
        let mut table = Table::new();
        for (key, revision, plain) in txn.scan(&from, &schema::prefix_end(&from), limit).await? {
            let found = decoded(self.decode, &key, revision, &plain)?;
            table.insert(key, found);
        }
        let records = table.len();
        Ok(((self.build)(table), records))
    }

    async fn load(&self, state: &State, keyring: &Keyring) -> Result<Table<T>> {
        let mut table = Table::new();
        let mut from = vec![self.kind as u8];
        let to = schema::prefix_end(&from);
        loop {
            let pairs = state.scan(&from, &to, crate::limits::SCAN_PAGE_KEYS).await?;
            let full = pairs.len() == crate::limits::SCAN_PAGE_KEYS;
            for (key, stored) in pairs {
                let found = decoded(self.decode, &key, stored.revision, &keyring.open(&key, &stored.value)?)?;
                from = schema::after(&key);
                table.insert(key, found);
            }
            if !full {
                return Ok(table);
            }
        }
    }

    /// Forgets what was built if `key` belongs to it; `None` is everything.
    pub fn mark_dirty(&self, key: Option<&[u8]>) {
        if key.is_none_or(|key| key.first() == Some(&(self.kind as u8))) {
            let mut cache = self.lock();
            cache.writes += 1;
            cache.built = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Built<D>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decoded<T>(decode: Decode<T>, key: &[u8], revision: u64, plain: &[u8]) -> Result<Found<T>> {
    let record = decode(plain).ok_or_else(|| {
        Error::Internal(format!("a record of kind {:#04x} has a format that this build does not know", key[0]))
    })?;
    Ok(Found { revision, record: Arc::new(record) })
}
