//! A mount in memory, for tests of engines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::{Map, Value};

use super::backend::{Backend, Call, MountTxn};
use crate::logical::{Client, Operation, Request, Response, Result};
use crate::runtime::{Entropy, UnixTime};

/// An engine with data of its own and a clock that the test moves.
pub struct Mount<B> {
    backend: B,
    data: MemTxn,
    /// The wall time of the next request.
    pub now: UnixTime,
    /// The calling token's salted id.
    pub cubbyhole: Option<String>,
}

/// A transaction over a map; commits at once.
#[derive(Clone, Default)]
struct MemTxn(BTreeMap<String, Bytes>);

impl<B: Backend> Mount<B> {
    pub fn new(backend: B) -> Mount<B> {
        let now = UnixTime(1_700_000_000_000_000_000);
        Mount { backend, data: MemTxn::default(), now, cubbyhole: None }
    }

    /// Runs a request; one that fails writes nothing.
    pub fn run(&mut self, operation: Operation, path: &str, data: Value) -> Result<Response> {
        let before = self.data.clone();
        let request = request(operation, path, data);
        let backend = &self.backend;
        let call = call(&mut self.data, &request, path, self.now, self.cubbyhole.as_deref());
        let result = backend.handle(call).now_or_never().expect("nothing to wait for");
        if result.is_err() {
            self.data = before;
        }
        result
    }

    pub fn read(&mut self, path: &str, data: Value) -> Result<Response> {
        self.run(Operation::Read, path, data)
    }

    pub fn update(&mut self, path: &str, data: Value) -> Result<Response> {
        self.run(Operation::Update, path, data)
    }

    pub fn list(&mut self, path: &str, data: Value) -> Result<Vec<String>> {
        let response = self.run(Operation::List, path, data)?;
        Ok(serde_json::from_value(response.data.unwrap()["keys"].clone()).unwrap())
    }

    pub fn exists(&mut self, path: &str) -> Option<bool> {
        let request = request(Operation::Update, path, Value::Object(Map::new()));
        let call = call(&mut self.data, &request, path, self.now, self.cubbyhole.as_deref());
        self.backend.exists(call).now_or_never().expect("nothing to wait for").unwrap()
    }

    /// All keys of the mount.
    pub fn keys(&self) -> Vec<String> {
        self.data.0.keys().cloned().collect()
    }
}

fn request(operation: Operation, path: &str, data: Value) -> Request {
    let Value::Object(data) = data else { panic!("a request's data is an object") };
    Request {
        id: String::new(),
        operation,
        path: path.to_string(),
        data,
        token: None,
        wrap_ttl: None,
        client: Client::default(),
        headers: BTreeMap::new(),
    }
}

fn call<'a>(
    txn: &'a mut MemTxn,
    request: &'a Request,
    path: &'a str,
    now: UnixTime,
    cubbyhole: Option<&'a str>,
) -> Call<'a> {
    static OPTIONS: BTreeMap<String, String> = BTreeMap::new();
    static ENTROPY: std::sync::LazyLock<Entropy> = std::sync::LazyLock::new(|| Entropy::seeded_u64(1));
    let default_lease = Duration::from_secs(2_764_800);
    Call { request, path, options: &OPTIONS, default_lease, cubbyhole, txn, now, entropy: &ENTROPY }
}

impl MountTxn for MemTxn {
    fn get<'a>(&'a mut self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(ready(Ok(self.0.get(key).cloned())))
    }

    fn put(&mut self, key: &str, value: &[u8]) {
        self.0.insert(key.to_string(), Bytes::copy_from_slice(value));
    }

    fn delete(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn list<'a>(&'a mut self, prefix: &'a str, after: &'a str, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        let names: BTreeSet<String> = (self.0.keys())
            .filter_map(|key| key.strip_prefix(prefix))
            .map(|rest| rest.split_inclusive('/').next().unwrap_or("").to_string())
            .filter(|name| !name.is_empty() && name.as_str() > after)
            .collect();
        Box::pin(ready(Ok(names.into_iter().take(limit).collect())))
    }
}
