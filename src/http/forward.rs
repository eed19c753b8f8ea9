//! What a standby sends to the active node over the cluster port, and what comes back. The transport is not here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Map;

use crate::core::{Client, Error, Operation, Request};
use crate::logical::envelope;
use crate::runtime::Offload;
use crate::secret::Secret;
use crate::telemetry::Metrics;

use super::Handler;
use super::reply::Reply;

/// A request with everything that the active node needs to serve it as if the client had asked there.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ForwardedRequest {
    id: String,
    operation: Operation,
    path: String,
    /// The fields as JSON text: numbers stay as they were written.
    data: Vec<u8>,
    token: Option<Token>,
    wrap_ttl: Option<Duration>,
    client: Client,
    headers: BTreeMap<String, String>,
}

/// A token's bytes, never printed.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// The active node's answer, ready to be sent.
pub type ForwardedAnswer = Reply;

impl From<Request> for ForwardedRequest {
    fn from(request: Request) -> ForwardedRequest {
        let mut data = Vec::new();
        envelope::write_json(&mut data, &request.data);
        ForwardedRequest {
            id: request.id,
            operation: request.operation,
            path: request.path,
            data,
            token: request.token.map(|token| Token(token.danger_expose().to_vec())),
            wrap_ttl: request.wrap_ttl,
            client: request.client,
            headers: request.headers,
        }
    }
}

impl ForwardedRequest {
    /// Bytes that it has about.
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// The bytes to send: a version, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        // Postcard fails only on sequences of unknown length, of which there are none.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// The request of received bytes.
    ///
    /// # Errors
    /// If they are not of this version or not whole.
    pub fn decode(bytes: &[u8]) -> Result<Request, Error> {
        let forwarded: ForwardedRequest = decode(bytes)?;
        let data: Map<String, serde_json::Value> = serde_json::from_slice(&forwarded.data)
            .map_err(|_| Error::Internal("a forwarded request whose data is no object".to_string()))?;
        Ok(Request {
            id: forwarded.id,
            operation: forwarded.operation,
            path: forwarded.path,
            data,
            token: forwarded.token.map(|token| Secret::new(token.0)),
            wrap_ttl: forwarded.wrap_ttl,
            client: forwarded.client,
            headers: forwarded.headers,
        })
    }
}

/// The answer in the bytes that [`serve`] made; `None` if the node there is not active either and did nothing: the request
/// may be sent to another. Bytes that cannot be read are an unknown outcome, since the request may have been carried out.
///
/// # Errors
/// If they are not of this version or not whole.
pub fn served(bytes: &[u8]) -> Result<Option<ForwardedAnswer>, Error> {
    decode(bytes).map_err(|_| Error::Unknown("the active node's answer could not be read".to_string()))
}

/// Serves a forwarded request at the active node: bytes in, bytes out for [`served`]. It runs to its end whatever becomes of
/// the connection, and a panic ends only it. A node that is no longer active says so and does not pass it on again.
pub async fn serve(handler: &Arc<dyn Handler>, metrics: &Metrics, offload: &Offload, bytes: Bytes) -> Vec<u8> {
    let answer = match offload.compute(bytes.len(), move || ForwardedRequest::decode(&bytes)).await {
        Err(error) => Some(super::error::reply(&error, "")),
        Ok(request) => {
            let id = request.id.clone();
            match super::service::run(handler, metrics, request, None).await {
                Ok(Ok(response)) => Some(super::response::reply(response, &id)),
                Ok(Err(Error::Standby)) => None,
                Ok(Err(error)) => Some(super::error::reply(&error, &id)),
                Err(super::service::Died) => Some(super::error::panicked(&id)),
            }
        }
    };
    encode_answer(&answer)
}

fn encode_answer(answer: &Option<ForwardedAnswer>) -> Vec<u8> {
    postcard::to_extend(answer, vec![VERSION]).unwrap_or_default()
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest)
            .map_err(|_| Error::Internal("a forwarded request that cannot be read".to_string())),
        _ => Err(Error::Internal("a forwarded request of an unknown version".to_string())),
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_request_survives_the_way() {
        let Value::Object(mut data) = json!({"a": {"b": [1, null, "x"]}}) else { panic!() };
        data.insert("n".into(), serde_json::from_str("1.10").unwrap());
        let request = Request {
            id: "id".into(),
            operation: Operation::Update,
            path: "secret/data/a".into(),
            data: data.clone(),
            token: Some(Secret::from("hvs.x")),
            wrap_ttl: Some(Duration::from_secs(60)),
            client: Client { address: "192.0.2.1".into(), port: 1234, ..Client::default() },
            headers: BTreeMap::from([("x-vault-request".to_string(), "true".to_string())]),
        };
        let bytes = ForwardedRequest::from(request.clone()).encode();
        let back = ForwardedRequest::decode(&bytes).unwrap();
        assert_eq!(
            (back.id, back.operation, back.path, back.data, back.wrap_ttl, back.client, back.headers),
            (request.id, request.operation, request.path, data, request.wrap_ttl, request.client, request.headers)
        );
        assert!(back.token.unwrap().same(b"hvs.x"));
        assert!(
            !format!("{:?}", ForwardedRequest::from(Request { token: Some(Secret::from("hvs.x")), ..back_request() }))
                .contains("120")
        );
    }

    fn back_request() -> Request {
        Request {
            id: String::new(),
            operation: Operation::Read,
            path: String::new(),
            data: Map::new(),
            token: None,
            wrap_ttl: None,
            client: Client::default(),
            headers: BTreeMap::new(),
        }
    }

    #[test]
    fn an_answer_survives_the_way() {
        for answer in [None, Some(Reply::json(503, "{}").with_header("Retry-After", "1"))] {
            assert_eq!(served(&encode_answer(&answer)).unwrap(), answer);
        }
        assert!(matches!(served(b""), Err(Error::Unknown(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = ForwardedRequest::decode(&bytes);
            let _ = served(&bytes);
        }
    }
}
