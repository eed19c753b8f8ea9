//! What happens to tokens within a transaction: create, revoke, renew, use. An id is only ever seen as its HMAC.

use super::{Entry, Hash, Salt, keys};
use crate::barrier::{BarrierError, BarrierTxn};
use crate::runtime::UnixTime;
use crate::storage::schema;

/// Adds a token's record and indexes. The caller has made sure that no such token exists and that the parent lives.
pub fn create(txn: &mut BarrierTxn, salt: &Salt, hash: &Hash, entry: &Entry) {
    txn.put(keys::token(hash), &entry.encode());
    txn.put(keys::accessor(&salt.hash(&entry.accessor)), hash);
    if let Some(parent) = &entry.parent {
        txn.put(keys::child(parent, hash), b"");
    }
    if let Some(expires) = entry.expires {
        txn.put(keys::expiry(expires, hash), b"");
    }
}

/// Reads the record of a token within the transaction; `None` also for one that was revoked and still holds its
/// children.
///
/// # Errors
/// If the store or the barrier fails.
pub async fn get(txn: &mut BarrierTxn, hash: &Hash) -> Result<Option<Entry>, BarrierError> {
    Ok(record(txn, hash).await?.filter(|entry| !entry.orphaning))
}

/// Reads whatever record there is under a token's key.
///
/// # Errors
/// If the store or the barrier fails.
pub async fn record(txn: &mut BarrierTxn, hash: &Hash) -> Result<Option<Entry>, BarrierError> {
    let key = keys::token(hash);
    match txn.get(&key).await? {
        None => Ok(None),
        Some(bytes) => Entry::decode(&bytes).map(Some).ok_or(BarrierError::Format),
    }
}

/// The token of an accessor within the transaction.
///
/// # Errors
/// If the store or the barrier fails.
pub async fn by_accessor(
    txn: &mut BarrierTxn,
    salt: &Salt,
    accessor: &str,
) -> Result<Option<(Hash, Entry)>, BarrierError> {
    let Some(bytes) = txn.get(&keys::accessor(&salt.hash(accessor))).await? else { return Ok(None) };
    let hash: Hash = bytes.as_ref().try_into().map_err(|_| BarrierError::Format)?;
    Ok(get(txn, &hash).await?.map(|entry| (hash, entry)))
}

/// Replaces a record, moving its place in the index of expiries.
pub fn update(txn: &mut BarrierTxn, hash: &Hash, old: &Entry, new: &Entry) {
    if old.expires != new.expires {
        if let Some(expires) = old.expires {
            txn.delete(keys::expiry(expires, hash));
        }
        if let Some(expires) = new.expires {
            txn.put(keys::expiry(expires, hash), b"");
        }
    }
    txn.put(keys::token(hash), &new.encode());
}

/// Removes a token. It is dead with this commit, and so are all below it, since a token lives only as long as its
/// parents; a mark has their records and the token's cubbyhole removed afterwards.
pub fn revoke(txn: &mut BarrierTxn, salt: &Salt, hash: &Hash, entry: &Entry) {
    remove_record(txn, salt, hash, entry);
    txn.put(keys::revoking(hash), b"");
}

/// As [`revoke`], for background work: a token without children and without a cubbyhole leaves no mark behind, so that a
/// tree is gone with one commit a page.
pub fn revoke_whole(txn: &mut BarrierTxn, salt: &Salt, hash: &Hash, entry: &Entry, is_bare: bool) {
    match is_bare {
        true => remove_record(txn, salt, hash, entry),
        false => revoke(txn, salt, hash, entry),
    }
}

/// Revokes a token whose children live on: its record stays, dead, until a job has made all of them orphans.
pub fn revoke_before_orphaning(txn: &mut BarrierTxn, salt: &Salt, hash: &Hash, entry: &Entry) {
    remove_record(txn, salt, hash, entry);
    let left = Entry { orphaning: true, parent: None, expires: None, ..entry.clone() };
    txn.put(keys::token(hash), &left.encode());
    txn.put(keys::orphaning(hash), b"");
}

/// Takes the parent from the tokens of these keys, which [`keys::child`] made.
///
/// # Errors
/// If the store or the barrier fails.
pub async fn make_orphans(txn: &mut BarrierTxn, children: &[bytes::Bytes]) -> Result<(), BarrierError> {
    for key in children {
        txn.delete(key.clone());
        let Some(hash) = keys::child_of(key) else { continue };
        if let Some(old) = get(txn, &hash).await? {
            update(txn, &hash, &old, &Entry { parent: None, ..old.clone() });
        }
    }
    Ok(())
}

/// Removes a token's record and its places in the indexes.
pub fn remove_record(txn: &mut BarrierTxn, salt: &Salt, hash: &Hash, entry: &Entry) {
    txn.delete(keys::token(hash));
    txn.delete(keys::accessor(&salt.hash(&entry.accessor)));
    if let Some(expires) = entry.expires {
        txn.delete(keys::expiry(expires, hash));
    }
    if let Some(parent) = &entry.parent {
        txn.delete(keys::child(parent, hash));
    }
}

/// At most `limit` tokens that are dead at `now`, in order of their expiry.
///
/// # Errors
/// If the store fails.
pub async fn expired(txn: &mut BarrierTxn, now: UnixTime, limit: u32) -> Result<Vec<(UnixTime, Hash)>, BarrierError> {
    let from = schema::key(schema::Kind::TokenExpiry, b"");
    let found = txn.scan_keys(&from, &keys::expired_until(now), limit).await?;
    Ok(found.iter().filter_map(|key| keys::expiry_of(key)).collect())
}
