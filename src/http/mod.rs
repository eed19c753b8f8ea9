//! Listeners, TLS, routes, request limits and the form of answers: all that is HTTP and nothing that is not.
//!
//! The way of a request: [`listener`] accepts and shakes hands ([`tls`]), [`service`] takes it from hyper, [`router`] and
//! [`body`] make a [`core::Request`](crate::core::Request) of it within [`limits`], the [`Handler`] serves it,
//! [`response`] and [`error`] make a [`reply`] of the outcome, [`headers`] completes it. A standby hands the request on
//! ([`forward`]) or redirects.

pub mod body;
pub mod connection;
pub mod error;
pub mod forward;
pub mod forwarded_for;
pub mod headers;
pub mod health;
pub mod listener;
pub mod proxy_protocol;
pub mod reply;
pub mod response;
pub mod router;
pub mod self_signed;
pub mod service;
pub mod tls;

use futures_util::future::BoxFuture;

pub use crate::core::HealthFacts;

use crate::core::{Error, Operation, Request, Response, Result};

pub use error::Refusal;
pub use forward::{ForwardedAnswer, ForwardedRequest};
pub use listener::{Address, ListenError, ListenerOptions, Server};
pub use reply::Reply;
pub use self_signed::{SelfSigned, self_signed};
pub use tls::{Tls, TlsError, TlsOptions, TlsVersion};

/// What serves the requests: the core's side of this layer.
pub trait Handler: Send + Sync + 'static {
    /// Serves a request. [`Error::Standby`] makes this layer forward or redirect it. The future runs to its end even if
    /// the client goes away, and a panic in it ends this request only.
    fn handle(&self, request: Request) -> BoxFuture<'static, Result<Response>>;

    /// What `sys/health` tells.
    fn health(&self) -> HealthFacts;

    /// Sends a request to the active node and brings its answer. An error that the transport knows to have happened
    /// before sending is [`Error::Unavailable`], any later one [`Error::Unknown`].
    fn forward(&self, request: ForwardedRequest) -> BoxFuture<'static, Result<ForwardedAnswer>> {
        let _ = request;
        Box::pin(std::future::ready(Err(Error::Standby)))
    }

    /// The active node's API address (`https://host:8200`), if one is known.
    fn active_api_address(&self) -> Option<String> {
        None
    }

    /// Whether a request may take longer than `max_request_duration` (snapshots). Its body is bounded all the same for as
    /// long as bodies are held whole in memory.
    fn is_stream(&self, operation: Operation, path: &str) -> bool {
        let _ = (operation, path);
        false
    }
}
