//! The storage keys of tokens and their indexes.

use bytes::Bytes;

use super::Hash;
use crate::runtime::UnixTime;
use crate::storage::schema::{Kind, key};

/// The token's record.
pub fn token(hash: &Hash) -> Bytes {
    key(Kind::Token, hash)
}

/// From an accessor's HMAC to the token's.
pub fn accessor(hash: &Hash) -> Bytes {
    key(Kind::Accessor, hash)
}

/// From a parent to one child.
pub fn child(parent: &Hash, child: &Hash) -> Bytes {
    key(Kind::TokenChild, &[parent.as_slice(), child].concat())
}

/// The prefix of a parent's children.
pub fn children(parent: &Hash) -> Bytes {
    key(Kind::TokenChild, parent)
}

/// The child of a key that [`child`] made.
pub fn child_of(key: &[u8]) -> Option<Hash> {
    key.get(33..65)?.try_into().ok()
}

/// From an expiry to a token, in order of time.
pub fn expiry(at: UnixTime, hash: &Hash) -> Bytes {
    key(Kind::TokenExpiry, &[at.0.max(0).to_be_bytes().as_slice(), hash].concat())
}

/// Time and token of a key that [`expiry`] made.
pub fn expiry_of(key: &[u8]) -> Option<(UnixTime, Hash)> {
    let at = i64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    Some((UnixTime(at), key.get(9..41)?.try_into().ok()?))
}

/// The first key behind all expiries up to `now`.
pub fn expired_until(now: UnixTime) -> Bytes {
    key(Kind::TokenExpiry, &now.0.max(0).saturating_add(1).to_be_bytes())
}

/// The mark of a token whose children are being revoked.
pub fn revoking(hash: &Hash) -> Bytes {
    key(Kind::Pending, &[b"tree/".as_slice(), hash].concat())
}

/// The token of a key that [`revoking`] made.
pub fn revoking_of(key: &[u8]) -> Option<Hash> {
    key.strip_prefix(&[Kind::Pending as u8])?.strip_prefix(b"tree/")?.try_into().ok()
}

/// The prefix of all keys that [`revoking`] makes.
pub fn all_revoking() -> Bytes {
    key(Kind::Pending, b"tree/")
}

/// The mark of a token that was revoked without its children, which are being made orphans.
pub fn orphaning(hash: &Hash) -> Bytes {
    key(Kind::Pending, &[b"orphan/".as_slice(), hash].concat())
}

/// The token of a key that [`orphaning`] made.
pub fn orphaning_of(key: &[u8]) -> Option<Hash> {
    key.strip_prefix(&[Kind::Pending as u8])?.strip_prefix(b"orphan/")?.try_into().ok()
}

/// The prefix of all keys that [`orphaning`] makes.
pub fn all_orphaning() -> Bytes {
    key(Kind::Pending, b"orphan/")
}

/// The mark of a tidying: its value is the last key that was looked at.
pub fn tidying() -> Bytes {
    key(Kind::Pending, b"tidy")
}
