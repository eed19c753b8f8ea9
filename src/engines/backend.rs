//! What a secret engine or auth method is to the core.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::logical::{Request, Response, Result, Route};
use crate::runtime::{Entropy, UnixTime};

/// A mount's own part of a transaction: keys are relative to the mount, values are plain here and sealed on their way
/// down. Reads see this transaction's own writes.
pub trait MountTxn: Send {
    /// The value of `key`.
    fn get<'a>(&'a mut self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>>;
    /// Sets `key`.
    fn put(&mut self, key: &str, value: &[u8]);
    /// Removes `key`; fine if absent.
    fn delete(&mut self, key: &str);
    /// At most `limit` names right below `prefix` (which is empty or ends with `/`), behind `after`, in byte order; a
    /// folder ends with `/` and comes once. Not part of the read set: a listing is a read of its own.
    fn list<'a>(&'a mut self, prefix: &'a str, after: &'a str, limit: usize) -> BoxFuture<'a, Result<Vec<String>>>;
}

/// One request at one backend.
pub struct Call<'a> {
    /// The whole request.
    pub request: &'a Request,
    /// The path relative to the mount, canonical.
    pub path: &'a str,
    /// The mount's options (`version`, ...).
    pub options: &'a BTreeMap<String, String>,
    /// The mount's default lease, shown by engines that give none of their own.
    pub default_lease: Duration,
    /// The calling token's salted id, for what belongs to a token; `None` without a token.
    pub cubbyhole: Option<&'a str>,
    /// The mount's part of the transaction.
    pub txn: &'a mut dyn MountTxn,
    /// The wall time of this request, read once.
    pub now: UnixTime,
    /// For ids and nonces.
    pub entropy: &'a Entropy,
}

/// A secret engine. A call may be run again after a conflict: it must not act outside its transaction.
pub trait Backend: Send + Sync + 'static {
    /// Carries out the request within its transaction.
    fn handle<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response>>;

    /// Whether what a write names exists already: decides between the capabilities `create` and `update`. `None` if
    /// the path makes no such difference (then it is an update).
    fn exists<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Option<bool>>> {
        let _ = call;
        Box::pin(std::future::ready(Ok(None)))
    }

    /// What the engine is for: the help of its mount.
    fn about(&self) -> &'static str;

    /// Its paths.
    fn routes(&self) -> &'static [Route];
}
