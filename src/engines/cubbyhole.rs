//! The cubbyhole: free-form objects that belong to one token and go with it.

use futures_util::future::BoxFuture;

use super::backend::{Backend, Call};
use super::{fields, kv1};
use crate::logical::route::warn_of_unknown;
use crate::logical::{Error, Operation, Response, Result, Route};

/// The engine.
pub struct Cubbyhole;

impl Backend for Cubbyhole {
    fn handle<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response>> {
        Box::pin(async move {
            let root = root(&call)?;
            let request = call.request;
            let is_wrapped = request.operation == Operation::Read && call.path == "response";
            let mut response = kv1::objects(call, &root).await?;
            if is_wrapped {
                response = response.warn(
                    "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap responses, \
                     as it provides additional security checks and other benefits.",
                );
            }
            let is_list = request.operation == Operation::List;
            Ok(warn_of_unknown(request, response, |name| is_list && ["after", "limit"].contains(&name)))
        })
    }

    fn exists<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Option<bool>>> {
        Box::pin(async move {
            let key = format!("{}{}", root(&call)?, call.path);
            Ok(Some(call.txn.get(&key).await?.is_some()))
        })
    }

    fn about(&self) -> &'static str {
        "A store of objects of its own for each token, which goes with the token."
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }
}

/// The paths: any.
static ROUTES: &[Route] = &[Route {
    pattern: "{path...}",
    about: "Any object at any path of a space that only the calling token sees and that goes with it.",
    verbs: kv1::VERBS,
    fields: &[fields::FREE, fields::AFTER, fields::LIMIT],
}];

/// Where the objects of the token with this salted id are among the mount's keys: what to delete with the token.
pub fn prefix(salted_id: &str) -> String {
    format!("{salted_id}/")
}

/// An object as the engine stores it.
pub fn encode(object: serde_json::Value) -> Vec<u8> {
    fields::encode_json(&object)
}

/// The reverse of [`encode`].
///
/// # Errors
/// If it is of another format.
pub fn decode(bytes: &[u8]) -> Result<serde_json::Value> {
    fields::decode_json(bytes)
}

fn root(call: &Call<'_>) -> Result<String> {
    call.cubbyhole.map(prefix).ok_or_else(Error::denied)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engines::testing::Mount;

    #[test]
    fn each_token_has_its_own() {
        let mut mount = Mount::new(Cubbyhole);
        assert_eq!(mount.read("a", json!({})).unwrap_err(), Error::denied());
        mount.cubbyhole = Some("t1".to_string());
        mount.update("a", json!({"x": 1, "ttl": "1h"})).unwrap();
        mount.update("d/e", json!({"x": 2})).unwrap();
        let read = mount.read("a", json!({})).unwrap();
        assert_eq!((read.data.unwrap()["x"].clone(), read.lease_duration), (json!(1), None));
        assert_eq!(mount.list("", json!({})).unwrap(), ["a", "d/"]);
        assert_eq!(mount.exists("a"), Some(true));
        mount.cubbyhole = Some("t".to_string());
        assert_eq!(mount.read("a", json!({})).unwrap_err(), Error::Absent);
        assert_eq!(mount.list("", json!({})).unwrap_err(), Error::Absent);
        assert!(mount.keys().iter().all(|key| key.starts_with(&prefix("t1"))));
    }
}
