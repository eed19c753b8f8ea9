//! Connections: made through the runtime's network, kept alive and used again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OnceCell;

use super::address::{Address, Target};
use super::config::TlsFiles;
use super::proxy::{Proxies, Proxy};
use super::{ApiResponse, ClientConfig, HttpRequest, tls};
use crate::runtime::{Runtime, Stream};

/// Why no answer arrived.
#[derive(Clone, Debug)]
pub struct Broken {
    /// For people.
    pub reason: String,
    /// At least a part of the request was sent: it may have been carried out.
    pub sent: bool,
}

/// Idle connections by address, and what it takes to make new ones.
pub struct Pool {
    runtime: Runtime,
    tls_files: TlsFiles,
    proxies: Proxies,
    tls: OnceCell<Result<Arc<rustls::ClientConfig>, String>>,
    idle: Mutex<BTreeMap<Target, Vec<Sender>>>,
}

type Sender = http1::SendRequest<Full<Bytes>>;

impl Pool {
    /// An empty pool.
    pub fn new(runtime: Runtime, config: &ClientConfig) -> Pool {
        Pool {
            runtime,
            tls_files: config.tls.clone(),
            proxies: config.proxies.clone(),
            tls: OnceCell::new(),
            idle: Mutex::default(),
        }
    }

    /// Sends one request and reads the whole answer. A kept connection that turns out to be closed before anything was
    /// sent is replaced by a new one.
    pub(crate) async fn send(&self, address: &Address, request: HttpRequest) -> Result<ApiResponse, Broken> {
        let proxy = self.proxies.of(address).map_err(|reason| Broken { reason, sent: false })?;
        let mut http = into_http(address, request, proxy.as_ref())?;
        while let Some(mut sender) = self.take(address) {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(http).await {
                Ok(response) => return self.finish(address, sender, response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => http = unsent,
                    None => return Err(Broken { reason: describe(&error.into_error()), sent: true }),
                },
            }
        }
        let mut sender = self.connect(address, proxy.as_ref()).await?;
        match sender.try_send_request(http).await {
            Ok(response) => self.finish(address, sender, response).await,
            Err(mut error) => {
                let sent = error.take_message().is_none();
                Err(Broken { reason: describe(&error.into_error()), sent })
            }
        }
    }

    async fn finish(
        &self,
        address: &Address,
        sender: Sender,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<ApiResponse, Broken> {
        let (head, body) = response.into_parts();
        let raw = match Limited::new(body, RESPONSE_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Err(Broken { reason: format!("reading the response: {error}"), sent: true }),
        };
        if !sender.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = idle.entry(address.target().clone()).or_default();
            if idle.len() < IDLE_MAX {
                idle.push(sender);
            }
        }
        let body = serde_json::from_slice(&raw).ok();
        Ok(ApiResponse { status: head.status, headers: head.headers, body, raw })
    }

    fn take(&self, address: &Address) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = idle.get_mut(address.target())?;
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    /// The TLS configuration, made once.
    pub async fn tls(&self) -> Result<Arc<rustls::ClientConfig>, String> {
        let config = self.tls.get_or_init(|| tls::config(&self.runtime, &self.tls_files)).await;
        config.clone().map_err(|reason| format!("failed to setup TLS config: {reason}"))
    }

    async fn connect(&self, address: &Address, proxy: Option<&Proxy>) -> Result<Sender, Broken> {
        let not_sent = |reason: String| Broken { reason, sent: false };
        let stream = self.stream(address, proxy).await.map_err(not_sent)?;
        let stream = match address.target() {
            Target::Tcp { tls: true, host, .. } => {
                let config = self.tls().await.map_err(not_sent)?;
                let name = self.tls_files.server_name.as_deref().unwrap_or(host);
                tls::connect(config, name, stream).await.map_err(not_sent)?
            }
            _ => stream,
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_sent(describe(&error)))?;
        // It ends by itself when the sender is dropped or the peer closes; its error reaches the sender.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn stream(&self, address: &Address, proxy: Option<&Proxy>) -> Result<Stream, String> {
        match (address.target(), proxy) {
            (Target::Unix(path), _) => {
                let path = std::path::Path::new(path);
                let stream = self.runtime.net.connect_unix(path).await;
                stream.map_err(|error| format!("dial unix {}: connect: {}", path.display(), go_text(&error)))
            }
            (Target::Tcp { .. }, None) => self.dial(&address.authority()).await,
            (Target::Tcp { tls, .. }, Some(proxy)) => {
                let failed = |reason: String| format!("proxyconnect tcp: {reason}");
                let stream = self.dial(&proxy.address.authority()).await.map_err(failed)?;
                let stream = match proxy.address.target() {
                    Target::Tcp { tls: true, host, .. } => {
                        tls::connect(self.tls().await?, host, stream).await.map_err(failed)?
                    }
                    _ => stream,
                };
                match tls {
                    true => tunnel(stream, &address.authority(), proxy).await.map_err(failed),
                    false => Ok(stream),
                }
            }
        }
    }

    async fn dial(&self, authority: &str) -> Result<Stream, String> {
        self.runtime.net.connect(authority).await.map_err(|error| {
            let text = go_text(&error);
            if text.starts_with("lookup ") {
                let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
                return format!("dial tcp: lookup {host}: no such host");
            }
            format!("dial tcp {authority}: connect: {text}")
        })
    }
}

/// A proxy gets the whole URL of a request without TLS; one with TLS it does not see.
fn into_http(
    address: &Address,
    request: HttpRequest,
    proxy: Option<&Proxy>,
) -> Result<http::Request<Full<Bytes>>, Broken> {
    let proxy = proxy.filter(|_| !address.is_tls());
    let mut http = http::Request::new(Full::new(request.body));
    *http.method_mut() = request.method;
    // A path of ours is percent-encoded already; a redirect's may be anything.
    let uri = match proxy {
        Some(_) => format!("http://{}{}", address.authority(), request.path).parse(),
        None => request.path.parse(),
    };
    *http.uri_mut() = uri.map_err(|_| Broken { reason: format!("invalid path {:?}", request.path), sent: false })?;
    *http.headers_mut() = request.headers;
    if let Ok(host) = HeaderValue::from_str(&address.authority()) {
        http.headers_mut().insert(HOST, host);
    }
    let authorization = proxy.and_then(|proxy| HeaderValue::from_str(proxy.authorization.as_deref()?).ok());
    if let Some(authorization) = authorization {
        http.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
    }
    Ok(http)
}

/// Asks an HTTP proxy for a connection to `authority` (RFC 9110, section 9.3.6).
async fn tunnel(mut stream: Stream, authority: &str, proxy: &Proxy) -> Result<Stream, String> {
    let authorization = proxy.authorization.as_ref();
    let authorization = authorization.map_or_else(String::new, |value| format!("Proxy-Authorization: {value}\r\n"));
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{authorization}\r\n");
    let failed = |error: std::io::Error| go_text(&error);
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD_BYTES_MAX {
            return Err("the proxy's answer is too long".to_string());
        }
        head.push(stream.read_u8().await.map_err(failed)?);
    }
    let head = String::from_utf8_lossy(&head);
    match head.split(' ').nth(1) {
        Some("200") => Ok(stream),
        _ => Err(head.lines().next().unwrap_or("no answer").to_string()),
    }
}

/// The innermost reason of a hyper error.
fn describe(error: &hyper::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    match reason.downcast_ref::<std::io::Error>() {
        Some(error) => go_text(error),
        None if error.is_incomplete_message() || error.is_canceled() => "EOF".to_string(),
        None => reason.to_string(),
    }
}

/// An I/O error in the words of Go's syscall package, without "(os error N)".
fn go_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_string(),
        std::io::ErrorKind::ConnectionReset => "connection reset by peer".to_string(),
        std::io::ErrorKind::UnexpectedEof => "EOF".to_string(),
        std::io::ErrorKind::TimedOut => "i/o timeout".to_string(),
        std::io::ErrorKind::NotFound => "no such file or directory".to_string(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            match text.strip_prefix("failed to lookup address information") {
                Some(_) => "lookup failed".to_string(),
                None => text.to_lowercase(),
            }
        }
    }
}

const IDLE_MAX: usize = 64;
const RESPONSE_BYTES_MAX: usize = 512 * 1024 * 1024;
const PROXY_HEAD_BYTES_MAX: usize = 16 * 1024;
