//! KV version 1: free-form objects by path, without versions.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::backend::{Backend, Call};
use super::fields;
use crate::logical::route::{Verb, warn_of_unknown};
use crate::logical::{Error, Operation, Response, Result, Route};

/// The engine.
pub struct Kv1;

impl Backend for Kv1 {
    fn handle<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response>> {
        Box::pin(async move {
            let (request, default_lease) = (call.request, call.default_lease);
            let response = objects(call, DATA).await?;
            Ok(match (&response.data, request.operation) {
                (Some(data), Operation::Read) => {
                    let lease = lease(data.get("ttl").or(data.get("lease")), default_lease);
                    let response = Response { lease_duration: Some(lease), ..response };
                    warn_of_unknown(request, response, |_| false)
                }
                _ => response,
            })
        })
    }

    fn exists<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Option<bool>>> {
        Box::pin(async move {
            let key = format!("{DATA}{}", call.path);
            Ok(Some(call.txn.get(&key).await?.is_some()))
        })
    }

    fn about(&self) -> &'static str {
        "A store of objects by path, without versions: a write replaces what was there."
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }
}

/// Reads, writes, deletes and lists objects whose keys begin with `root`.
pub(super) async fn objects(call: Call<'_>, root: &str) -> Result<Response> {
    let key = format!("{root}{}", call.path);
    match call.request.operation {
        Operation::Read => match call.txn.get(&key).await? {
            Some(bytes) => Ok(Response::data(fields::decode_json(&bytes)?)),
            None => Err(Error::Absent),
        },
        Operation::Create | Operation::Update => {
            fields::writable(call.path)?;
            if call.request.data.is_empty() {
                return Err(Error::invalid("missing data fields"));
            }
            call.txn.put(&key, &fields::encode_json(&Value::Object(call.request.data.clone())));
            Ok(Response::empty())
        }
        Operation::Delete => {
            call.txn.delete(&key);
            Ok(Response::empty())
        }
        Operation::List => {
            let (after, limit) = fields::page(call.request)?;
            fields::list(call.txn, root, call.path, &after, limit).await.map(Response::keys)
        }
        Operation::Patch | Operation::Help => Err(Error::Unsupported),
    }
}

/// The lease that a field of the object asks for; `default` if there is none or it is no duration.
fn lease(field: Option<&Value>, default: Duration) -> Duration {
    match field {
        None => default,
        Some(Value::Null) => Duration::ZERO,
        Some(Value::String(text)) if text.is_empty() => Duration::ZERO,
        Some(Value::String(text)) => crate::duration::parse(text).unwrap_or(default),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(seconds) => Duration::from_secs(seconds.try_into().unwrap_or(0)),
            None => default,
        },
        Some(_) => default,
    }
}

/// The paths: any.
static ROUTES: &[Route] = &[Route {
    pattern: "{path...}",
    about: "Any object at any path. Its field ttl is a hint to readers when to read again: it is shown as the lease \
            duration, and nothing is revoked after it.",
    verbs: VERBS,
    fields: &[fields::FREE, fields::AFTER, fields::LIMIT],
}];

/// What may be done with free-form objects.
pub(super) const VERBS: &[Verb] = &[
    Verb { operation: Operation::Read, about: "Reads the object.", answer: &[] },
    Verb { operation: Operation::Update, about: "Writes the object: the whole body.", answer: &[] },
    Verb { operation: Operation::Delete, about: "Deletes the object.", answer: &[] },
    Verb { operation: Operation::List, about: "Lists objects and folders.", answer: &[fields::KEYS] },
];

/// Where the objects are among the mount's keys: beside, not among, what version 2 keeps.
pub(crate) const DATA: &str = "v1/";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engines::testing::Mount;

    #[test]
    fn keeps_objects_as_sent() {
        let mut mount = Mount::new(Kv1);
        let body: Value = serde_json::from_str(r#"{"a":1.10,"big":123456789012345678901234567890}"#).unwrap();
        assert!(mount.update("a", body.clone()).unwrap().data.is_none());
        let read = mount.read("a", json!({})).unwrap();
        assert_eq!(serde_json::to_string(&read.data).unwrap(), serde_json::to_string(&body).unwrap());
        assert_eq!(read.lease_duration, Some(Duration::from_secs(2_764_800)));
        assert_eq!(mount.exists("a"), Some(true));
        assert_eq!(mount.exists("b"), Some(false));
        assert_eq!(mount.read("b", json!({})).unwrap_err(), Error::Absent);
        let warned = mount.read("a", json!({"version": 1})).unwrap();
        assert_eq!(warned.warnings, ["Endpoint ignored these unrecognized parameters: [version]"]);
        mount.run(Operation::Delete, "a", json!({})).unwrap();
        mount.run(Operation::Delete, "a", json!({})).unwrap();
        assert_eq!(mount.read("a", json!({})).unwrap_err(), Error::Absent);
    }

    #[test]
    fn a_ttl_is_shown_as_the_lease() {
        let mut mount = Mount::new(Kv1);
        for (body, seconds) in [
            (json!({"ttl": "1h", "lease": "5m"}), 3600),
            (json!({"lease": "30m"}), 1800),
            (json!({"ttl": 90}), 90),
            (json!({"ttl": "0"}), 0),
            (json!({"ttl": null}), 0),
            (json!({"ttl": ""}), 0),
            (json!({"ttl": -5}), 0),
            (json!({"ttl": "bad"}), 2_764_800),
            (json!({"ttl": 1.5}), 2_764_800),
            (json!({"ttl": {"a": 1}}), 2_764_800),
        ] {
            mount.update("a", body.clone()).unwrap();
            let lease = mount.read("a", json!({})).unwrap().lease_duration;
            assert_eq!(lease, Some(Duration::from_secs(seconds)), "{body}");
        }
    }

    #[test]
    fn lists_and_refuses() {
        let mut mount = Mount::new(Kv1);
        for path in ["b", "a", "d/e/f", "d/x"] {
            mount.update(path, json!({"x": 1})).unwrap();
        }
        assert_eq!(mount.list("", json!({})).unwrap(), ["a", "b", "d/"]);
        assert_eq!(mount.list("d", json!({})).unwrap(), ["e/", "x"]);
        assert_eq!(mount.list("d/", json!({"after": "e/", "limit": 5})).unwrap(), ["x"]);
        assert_eq!(mount.list("none", json!({})).unwrap_err(), Error::Absent);
        assert_eq!(mount.update("a", json!({})).unwrap_err(), Error::invalid("missing data fields"));
        for path in ["", "d/"] {
            let error = mount.update(path, json!({"x": 1})).unwrap_err();
            assert_eq!(error, Error::invalid("cannot write to a path ending in '/'"));
        }
        assert_eq!(mount.run(Operation::Patch, "a", json!({"x": 1})).unwrap_err(), Error::Unsupported);
    }
}
