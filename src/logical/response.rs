//! A response as the core makes it: no HTTP in it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::runtime::UnixTime;

/// What a request is answered with.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The envelope's `data`; `None` with nothing else set is 204.
    pub data: Option<Map<String, Value>>,
    /// A token that the request made or renewed.
    pub auth: Option<Auth>,
    /// The envelope's `lease_duration` without a lease (KV v1).
    pub lease_duration: Option<Duration>,
    /// Set instead of data when the answer was wrapped.
    pub wrap_info: Option<WrapInfo>,
    /// Shown to people by the clients.
    pub warnings: Vec<String>,
    /// The thing asked for is gone, but there is something to say about it: 404 with a body (a deleted KV v2 version).
    pub absent: bool,
    /// The work was begun and goes on: 202.
    pub accepted: bool,
    /// Also shown at the top level beside `data` (`sys/mounts`, `sys/auth`, `sys/policy`).
    pub flat: bool,
    /// A body of its own in place of the envelope (metrics, seal status).
    pub raw: Option<Raw>,
}

/// A body in place of the envelope.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Vec<u8>,
    /// The HTTP status, where the API gives one of its own (health).
    pub status: u16,
}

/// The envelope's `auth`.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The token itself.
    pub client_token: String,
    /// Its accessor.
    pub accessor: String,
    /// All policies.
    pub policies: Vec<String>,
    /// The token's own policies.
    pub token_policies: Vec<String>,
    /// Log-in metadata; null if empty.
    pub metadata: BTreeMap<String, String>,
    /// What is left of its life, 0 for ever.
    pub lease_duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// `service` or `batch`.
    pub token_type: &'static str,
    /// Whether it outlives its parent.
    pub orphan: bool,
    /// Uses left; 0 for any number.
    pub num_uses: u64,
}

/// The envelope's `wrap_info`.
#[derive(Clone, Debug)]
pub struct WrapInfo {
    /// The wrapping token.
    pub token: String,
    /// Its accessor.
    pub accessor: String,
    /// How long it lives.
    pub ttl: Duration,
    /// When it was made.
    pub creation_time: UnixTime,
    /// The path of the wrapped request.
    pub creation_path: String,
    /// The accessor of a wrapped token, if the answer has one.
    pub wrapped_accessor: Option<String>,
}

impl Response {
    /// Nothing to say (204).
    pub fn empty() -> Response {
        Response::default()
    }

    /// An answer with data, from a JSON object.
    ///
    /// # Panics
    /// If `data` is no object: a bug of the caller.
    pub fn data(data: Value) -> Response {
        match data {
            Value::Object(data) => Response { data: Some(data), ..Response::default() },
            _ => panic!("a response's data is an object"),
        }
    }

    /// The answer of a list: `keys`.
    pub fn keys(keys: Vec<String>) -> Response {
        Response::data(serde_json::json!({ "keys": keys }))
    }

    /// Adds a warning.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Response {
        self.warnings.push(warning.into());
        self
    }

    /// Shows the data also at the top level.
    #[must_use]
    pub fn flat(mut self) -> Response {
        self.flat = true;
        self
    }
}
