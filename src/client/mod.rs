//! The HTTP API as a typed client: the CLI, sidecars, chaos tests and the simulator's workloads all use it.
//!
//! It lives on a [`Runtime`] and has no globals, so that it runs inside a simulation. [`Client::request`] sends one
//! request with the API client's usual manners: keep-alive connections, one redirect that keeps the token, bounded
//! retries. [`api`] has typed helpers on top.
//!
//! # Retries
//! At most [`ClientConfig::max_retries`] times. A reading request is repeated after a broken connection and after 412,
//! 429 and every 5xx but 501. A writing request is repeated only when it certainly was not carried out: no connection,
//! 412, 429 and 503. A 500 or a connection that broke after the request left means an unknown outcome, which the caller
//! gets to see. `Retry-After` is honoured.

pub mod address;
pub mod api;
pub mod config;
pub mod connection;
pub mod encode;
pub mod error;
pub mod proxy;
pub mod rate;
pub mod secret;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use crate::runtime::Runtime;

pub use address::Address;
pub use config::{ClientConfig, TlsFiles};
pub use error::{ApiError, ClientError};
pub use secret::ApiSecret;

use connection::{Broken, Pool};

/// A handle to one server address with its credentials. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    config: ClientConfig,
    address: Result<Address, String>,
    gate: Option<rate::Gate>,
    pool: Pool,
}

/// One request, before the client adds its own headers.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path below `/v1/`, not yet percent-encoded.
    pub path: String,
    /// Query parameters, not yet encoded.
    pub query: Vec<(String, String)>,
    /// The JSON body.
    pub body: Option<Value>,
    /// The body is a JSON merge patch (RFC 7396) and says so in its content type.
    pub merge_patch: bool,
    /// Sent without a token.
    pub anonymous: bool,
    /// Never repeated.
    pub once: bool,
}

impl ApiRequest {
    /// A request without query and body.
    pub fn new(method: Method, path: impl Into<String>) -> ApiRequest {
        ApiRequest {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            merge_patch: false,
            anonymous: false,
            once: false,
        }
    }

    /// `GET path`.
    pub fn get(path: impl Into<String>) -> ApiRequest {
        ApiRequest::new(Method::GET, path)
    }

    /// `GET path?list=true`.
    pub fn list(path: impl Into<String>) -> ApiRequest {
        ApiRequest::get(path).query("list", "true")
    }

    /// `PUT path` with a body.
    pub fn put(path: impl Into<String>, body: Value) -> ApiRequest {
        ApiRequest::new(Method::PUT, path).body(body)
    }

    /// `POST path` with a body.
    pub fn post(path: impl Into<String>, body: Value) -> ApiRequest {
        ApiRequest::new(Method::POST, path).body(body)
    }

    /// `DELETE path`.
    pub fn delete(path: impl Into<String>) -> ApiRequest {
        ApiRequest::new(Method::DELETE, path)
    }

    /// `PATCH path` with a JSON merge patch.
    pub fn merge_patch(path: impl Into<String>, body: Value) -> ApiRequest {
        ApiRequest { merge_patch: true, ..ApiRequest::new(Method::PATCH, path).body(body) }
    }

    /// Adds a query parameter.
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> ApiRequest {
        self.query.push((key.into(), value.into()));
        self
    }

    /// Sets the JSON body.
    pub fn body(mut self, body: Value) -> ApiRequest {
        self.body = Some(body);
        self
    }

    /// Is never repeated.
    pub fn once(mut self) -> ApiRequest {
        self.once = true;
        self
    }

    /// Sends no token.
    pub fn anonymous(mut self) -> ApiRequest {
        self.anonymous = true;
        self
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as JSON; `None` if it is empty or not JSON.
    pub body: Option<Value>,
    /// The body's bytes.
    pub raw: Bytes,
}

impl ApiResponse {
    /// The body as the API's envelope; `None` without a JSON object or if it holds errors only. An object that has
    /// nothing of an envelope (`sys/seal-status`) is taken for the data itself.
    pub fn secret(&self) -> Option<ApiSecret> {
        let body = self.body.as_ref()?.as_object()?;
        let secret: Result<ApiSecret, _> = serde_json::from_value(Value::Object(body.clone()));
        match secret {
            Ok(secret) if !secret.is_blank() => Some(secret),
            _ if body.keys().all(|key| key == "errors") => None,
            _ => Some(ApiSecret { data: Some(body.clone()), ..ApiSecret::default() }),
        }
    }

    /// The body as `T`.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.raw).map_err(|error| match (&self.body, self.raw.trim_ascii().first()) {
            // Something else than this API answers: a proxy's page, another service.
            (None, Some(first)) if !b"{[\"-0123456789tfn".contains(first) => {
                ClientError::Body(format!("invalid character {:?} looking for beginning of value", char::from(*first)))
            }
            _ => ClientError::Body(format!("error parsing the response: {error}")),
        })
    }
}

impl Client {
    /// A client of `config.address`. Nothing is sent and no file read yet; a bad address or TLS file is an error of the
    /// first request.
    pub fn new(runtime: Runtime, config: ClientConfig) -> Client {
        let address = Address::parse(&config.address);
        let gate = config.rate_limit.map(rate::Gate::new);
        Client(Arc::new(Inner { pool: Pool::new(runtime.clone(), &config), runtime, config, address, gate }))
    }

    /// What it was made from.
    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// The world it lives in.
    pub fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    /// A client with another configuration that shares nothing with this one.
    pub fn with(&self, change: impl FnOnce(&mut ClientConfig)) -> Client {
        let mut config = self.0.config.clone();
        change(&mut config);
        Client::new(self.0.runtime.clone(), config)
    }

    /// Reads the TLS files, if the address is one of TLS, so that what is wrong with them is told before any request.
    pub async fn prepare(&self) -> Result<(), ClientError> {
        match &self.0.address {
            Ok(address) if address.is_tls() => self.0.pool.tls().await.map(drop).map_err(ClientError::Setup),
            _ => Ok(()),
        }
    }

    /// Sends a request and takes any status below 400 as success.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<ApiResponse, ClientError> {
        let query = query.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        self.send(ApiRequest { query, body, ..ApiRequest::new(method, path) }).await
    }

    /// Sends a request; a status of 400 and above is a [`ClientError::Api`].
    pub async fn send(&self, request: ApiRequest) -> Result<ApiResponse, ClientError> {
        let (url, method) = (self.url(&request), request.method.clone());
        let response = self.send_any(request).await?;
        if response.status.as_u16() >= 400 {
            let namespace = response.headers.get("x-vault-namespace").and_then(|value| value.to_str().ok());
            let namespace = namespace.filter(|name| !name.is_empty()).map(str::to_string);
            return Err(ClientError::Api(Box::new(ApiError { method, url, namespace, response })));
        }
        Ok(response)
    }

    /// Sends a request and returns the answer of any status, after the usual redirect and retries.
    pub async fn send_any(&self, request: ApiRequest) -> Result<ApiResponse, ClientError> {
        let broken = |reason: String, unknown: bool| ClientError::Transport {
            method: request.method.clone(),
            url: self.url(&request),
            reason,
            outcome_unknown: unknown,
        };
        let address = self.0.address.clone().map_err(|reason| broken(reason, false))?;
        let http = self.http_request(&request)?;
        let retries = if request.once { 0 } else { self.0.config.max_retries };
        if let Some(gate) = &self.0.gate {
            gate.pass().await;
        }
        match tokio::time::timeout(self.0.config.timeout, self.send_with_retries(&address, http, retries)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(Broken { reason, sent })) => Err(broken(reason, sent)),
            Err(_) => Err(broken("context deadline exceeded".to_string(), true)),
        }
    }

    /// The URL that messages show.
    pub fn url(&self, request: &ApiRequest) -> String {
        let base = match &self.0.address {
            Ok(address) => address.text(),
            Err(_) => self.0.config.address.trim_end_matches('/'),
        };
        format!("{base}{}", path_and_query(request))
    }

    /// The headers that the client adds, in no particular order.
    pub fn headers(&self, request: &ApiRequest) -> Vec<(String, String)> {
        let config = &self.0.config;
        let mut headers = vec![("X-Vault-Request".to_string(), "true".to_string())];
        let mut add = |name: &str, value: String| headers.push((name.to_string(), value));
        if !config.token.is_empty() && !request.anonymous {
            add("X-Vault-Token", config.token.danger_expose_text().to_string());
        }
        if let Some(namespace) = &config.namespace {
            add("X-Vault-Namespace", namespace.clone());
        }
        if let Some(ttl) = &config.wrap_ttl {
            add("X-Vault-Wrap-Ttl", ttl.clone());
        }
        for mfa in &config.mfa {
            add("X-Vault-Mfa", mfa.clone());
        }
        if config.policy_override {
            add("X-Vault-Policy-Override", "true".to_string());
        }
        if request.merge_patch {
            add("Content-Type", "application/merge-patch+json".to_string());
        }
        headers.extend(config.headers.iter().cloned());
        headers
    }

    fn http_request(&self, request: &ApiRequest) -> Result<HttpRequest, ClientError> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers(request) {
            let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(&value).ok());
            let (name, value) =
                header.ok_or_else(|| ClientError::Setup(format!("net/http: invalid header field for {name:?}")))?;
            headers.append(name, value);
        }
        let body = match &request.body {
            Some(body) => Bytes::from(serde_json::to_vec(body).map_err(|e| ClientError::Body(e.to_string()))?),
            None => Bytes::new(),
        };
        if request.body.is_some() && !request.merge_patch {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(HttpRequest { method: request.method.clone(), path: path_and_query(request), headers, body })
    }

    async fn send_with_retries(
        &self,
        address: &Address,
        request: HttpRequest,
        max: u32,
    ) -> Result<ApiResponse, Broken> {
        let reads = request.method == Method::GET || request.method == Method::HEAD;
        let mut retries = 0;
        loop {
            let result = self.send_with_redirect(address, &request).await;
            let again = match &result {
                Ok(response) => retry_status(response.status, reads),
                Err(broken) => reads || !broken.sent,
            };
            if !again || retries >= max {
                return result;
            }
            retries += 1;
            let pause = result.as_ref().ok().and_then(retry_after).unwrap_or_else(|| self.backoff(retries));
            tokio::time::sleep(pause).await;
        }
    }

    /// One redirect is followed, with all headers: the active node's address is as trusted as the node that named it,
    /// but never from TLS to plain text.
    async fn send_with_redirect(&self, address: &Address, request: &HttpRequest) -> Result<ApiResponse, Broken> {
        let response = self.0.pool.send(address, request.clone()).await?;
        if !matches!(response.status.as_u16(), 301 | 302 | 307 | 308) || self.0.config.disable_redirects {
            return Ok(response);
        }
        let Some(location) = response.headers.get(http::header::LOCATION).and_then(|value| value.to_str().ok()) else {
            return Ok(response);
        };
        let Some((target, path)) = address.resolve(location) else {
            return Err(Broken { reason: format!("cannot follow the redirect to {location:?}"), sent: false });
        };
        if address.is_tls() && !target.is_tls() {
            return Err(Broken { reason: "redirect would cause protocol downgrade".to_string(), sent: false });
        }
        self.0.pool.send(&target, HttpRequest { path, ..request.clone() }).await
    }

    fn backoff(&self, attempt: u32) -> Duration {
        let wait = self.0.config.retry_wait;
        let spread = u64::try_from(wait.as_millis() / 2).unwrap_or(0).max(1);
        (wait + Duration::from_millis(self.0.runtime.entropy.below(spread))) * attempt
    }
}

/// A request as it goes onto the wire.
#[derive(Clone)]
pub(crate) struct HttpRequest {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

fn path_and_query(request: &ApiRequest) -> String {
    let mut text = format!("/v1/{}", encode::path(request.path.trim_start_matches('/')));
    if !request.query.is_empty() {
        text.push('?');
        text.push_str(&encode::query(&request.query));
    }
    text
}

fn retry_status(status: StatusCode, reads: bool) -> bool {
    match status.as_u16() {
        412 | 429 | 503 => true,
        501 => false,
        status => reads && status >= 500,
    }
}

fn retry_after(response: &ApiResponse) -> Option<Duration> {
    if !matches!(response.status.as_u16(), 429 | 503) {
        return None;
    }
    let seconds = response.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
