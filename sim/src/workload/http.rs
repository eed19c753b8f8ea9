//! A small HTTP/1.1 client over the runtime's network, with TLS: one kept connection a node, no retry of its own.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use holdfast::runtime::{Runtime, Stream};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio_rustls::TlsConnector;

use crate::world::host::API_PORT;

/// A node's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection came about: the request did not leave.
    #[error("connect: {0}")]
    Connect(io::Error),
    /// The connection broke after the request may have left.
    #[error("broken: {0}")]
    Broken(String),
}

/// A client. Clones share the connections.
#[derive(Clone)]
pub struct Http {
    runtime: Runtime,
    tls: Option<Arc<ClientConfig>>,
    kept: Arc<Mutex<BTreeMap<IpAddr, SendRequest<Full<Bytes>>>>>,
}

impl Http {
    /// A client without connections; it speaks plain text without `tls`.
    pub fn new(runtime: Runtime, tls: Option<Arc<ClientConfig>>) -> Http {
        Http { runtime, tls, kept: Arc::default() }
    }

    /// One call. The caller sets the deadline; a call that is dropped drops its connection.
    ///
    /// # Errors
    /// [`HttpError`], which tells whether the request may have been carried out.
    pub async fn call(
        &self,
        to: IpAddr,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Answer, HttpError> {
        self.call_wrapped(to, method, path, token, body, None).await
    }

    /// As [`Http::call`]; with `wrap`, the answer is to come in a wrapping token of that life.
    ///
    /// # Errors
    /// As [`Http::call`].
    pub async fn call_wrapped(
        &self,
        to: IpAddr,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
        wrap: Option<String>,
    ) -> Result<Answer, HttpError> {
        let mut sender = match self.take(to) {
            Some(sender) => sender,
            None => self.connect(to).await?,
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).header("Host", format!("{to}:{API_PORT}"));
        if !token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(ttl) = wrap {
            request = request.header("X-Vault-Wrap-TTL", ttl);
        }
        let request = request.header("X-Vault-Request", "true").body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| HttpError::Broken(error.to_string()))?;
        let broken = |error: hyper::Error| HttpError::Broken(error.to_string());
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(to, sender);
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    fn take(&self, to: IpAddr) -> Option<SendRequest<Full<Bytes>>> {
        let sender = self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&to)?;
        (sender.is_ready() && !sender.is_closed()).then_some(sender)
    }

    async fn connect(&self, to: IpAddr) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let stream = self.runtime.net.connect(&format!("{to}:{API_PORT}")).await.map_err(HttpError::Connect)?;
        let stream: Stream = match &self.tls {
            None => stream,
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(tls));
                Box::new(connector.connect(ServerName::from(to), stream).await.map_err(HttpError::Connect)?)
            }
        };
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| HttpError::Connect(io::Error::other(error)))?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}
