//! One request, from hyper's parts to hyper's response.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http_body_util::Full;
use hyper::body::Body;
use tokio::sync::OwnedSemaphorePermit;

use crate::config::listener::ForwardedFor;
use crate::core::{Client, Error, Operation, Request, Response, Result};
use crate::limits::http as limits;
use crate::runtime::{Clock, Entropy, Offload, Pool};
use crate::telemetry::{Figure, Metrics};

use super::body::{Budget, Held};
use super::error::{self, Refusal};
use super::forwarded_for;
use super::headers::Headers;
use super::reply::Reply;
use super::{Handler, health, response, router};

/// What all requests of one listener have in common.
pub struct Service {
    /// What serves them.
    pub handler: Arc<dyn Handler>,
    /// Where they are counted.
    pub metrics: Metrics,
    /// Wall time for health.
    pub clock: Clock,
    /// Draws request ids, without asking the kernel for each.
    pub ids: Entropy,
    /// Where long bodies are read.
    pub offload: Offload,
    /// Bytes of all bodies together.
    pub budget: Budget,
    /// Bytes of one body.
    pub max_request_size: usize,
    /// Life of one request.
    pub max_request_duration: Duration,
    /// Headers of all answers.
    pub headers: Headers,
    /// Whether and from whom `X-Forwarded-For` is taken.
    pub forwarded_for: Option<ForwardedFor>,
    /// What begins with one of these paths is not served here.
    pub closed: Vec<&'static str>,
    /// Requests under way here.
    pub under_way: UnderWay,
}

/// Counts requests under way.
#[derive(Debug, Default)]
pub struct UnderWay(AtomicUsize);

impl UnderWay {
    fn begin(&self) -> Counted<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(&self.0)
    }
}

/// One of them, until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl Counted<'_> {
    /// How many there are.
    fn number(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets the others that are ready come to their answers first. A read index or a commit makes many requests ready at
    /// once: their answers written in one go wake a client once, where answers between which others are worked out wake it
    /// each time, and that costs more than a third of a read (docs/performance.md).
    async fn give_way(&self) {
        if self.number() > 1 {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service {
    /// Serves one request; never fails and never panics. `place` is given back when nothing of it runs any more.
    pub async fn serve<B>(
        self: Arc<Self>,
        client: Client,
        request: http::Request<B>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<http::Response<Full<Bytes>>, Infallible>
    where
        B: Body<Data = Bytes>,
    {
        let id = self.ids.uuid();
        let counted = self.under_way.begin();
        if counted.number() > limits::REQUESTS {
            let busy = Refusal::Core(Error::Unavailable("too many requests at once".to_string()));
            return Ok(self.headers.apply(busy.reply(&id)));
        }
        let reply = match AssertUnwindSafe(self.answer(&id, client, request, place)).catch_unwind().await {
            Ok(Ok(reply)) => reply,
            Ok(Err(refusal)) => refusal.reply(&id),
            Err(_) => self.panicked(&id),
        };
        counted.give_way().await;
        Ok(self.headers.apply(reply))
    }

    async fn answer<B>(
        &self,
        id: &str,
        client: Client,
        request: http::Request<B>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Reply, Refusal>
    where
        B: Body<Data = Bytes>,
    {
        let (parts, body) = request.into_parts();
        let client = match &self.forwarded_for {
            None => client,
            Some(options) => forwarded_for::client(client, &parts.headers, options).map_err(Refusal::invalid)?,
        };
        let head = router::head(&parts)?;
        // Held as long as the head is.
        let _share = self.budget.head(&parts.headers)?;
        if head.path == HEALTH && head.operation != Operation::Help {
            return match head.is_get {
                true => Ok(health::reply(&self.handler.health(), &head.query, self.clock.now())),
                false => Err(Refusal::NoSuchMethod),
            };
        }
        if self.closed.iter().any(|family| head.path.starts_with(family)) {
            return Err(Refusal::NoSuchMethod);
        }
        let no_forwarding = head.no_forwarding;
        let is_stream = self.handler.is_stream(head.operation, &head.path);
        let deadline = (!is_stream).then(|| tokio::time::Instant::now() + self.max_request_duration);
        let read = super::body::read(body, self.max_request_size, &self.budget);
        let body = match by(deadline, read).await {
            Some(body) => Arc::new(body?.with(place)),
            None => return Err(Refusal::SlowBody),
        };
        let request = self.request(head, id, &parts.headers, &body, client.clone()).await?;
        match by(deadline, run(&self.handler, &self.metrics, request, Some(Arc::clone(&body)))).await {
            None => Ok(error::timed_out(id)),
            Some(Err(Died)) => Ok(error::panicked(id)),
            Some(Ok(Ok(answer))) => Ok(response::reply(answer, id)),
            Some(Ok(Err(Error::Standby))) => self.pass_on(id, &parts, &body, client, no_forwarding, deadline).await,
            Some(Ok(Err(failure))) => Ok(error::reply(&failure, id)),
        }
    }

    /// The request with its fields. A long body is not read on a thread of the runtime: heartbeats wait there too.
    async fn request(
        &self,
        head: router::Head,
        id: &str,
        headers: &http::HeaderMap,
        body: &Arc<Held>,
        client: Client,
    ) -> Result<Request, Refusal> {
        let id = id.to_string();
        if Offload::is_short(body.bytes.len()) {
            return head.request(id, headers, &body.bytes, client);
        }
        let (headers, body) = (headers.clone(), Arc::clone(body));
        self.offload.run(Pool::Compute, move || head.request(id, &headers, &body.bytes, client)).await
    }

    /// At a standby: to the active node, or the client to it if it asked for that.
    async fn pass_on(
        &self,
        id: &str,
        parts: &Parts,
        body: &Arc<Held>,
        client: Client,
        no_forwarding: bool,
        deadline: Option<tokio::time::Instant>,
    ) -> Result<Reply, Refusal> {
        if no_forwarding {
            let address = self.handler.active_api_address().ok_or(Refusal::Core(Error::Standby))?;
            let path = parts.uri.path_and_query().map_or("/", |text| text.as_str());
            return Ok(Reply::redirect(&address, path));
        }
        // The request is made a second time from what came in, so that the usual way needs no copy of it.
        let head = router::head(parts)?;
        let request = self.request(head, id, &parts.headers, body, client).await?;
        let request = self.offload.compute(body.bytes.len(), move || request.into()).await;
        let (handler, held) = (Arc::clone(&self.handler), Arc::clone(body));
        let forwarded = tokio::spawn(async move {
            let answer = handler.forward(request).await;
            drop(held);
            answer
        });
        match by(deadline, forwarded).await {
            None => Ok(error::timed_out(id)),
            Some(Err(_)) => Ok(self.panicked(id)),
            Some(Ok(Ok(answer))) => Ok(answer),
            Some(Ok(Err(failure))) => Ok(error::reply(&failure, id)),
        }
    }

    /// Counts a panic of the listener's own code; [`run`] counts those of the handler.
    fn panicked(&self, id: &str) -> Reply {
        self.metrics.add(Figure::HttpPanics, 1);
        error::panicked(id)
    }
}

/// The code that served a request panicked.
#[derive(Debug)]
pub struct Died;

/// Serves a request in a task of its own: it runs to its end whatever becomes of the caller, and holds its share of the
/// body budget until then.
///
/// # Errors
/// [`Died`] if it panicked.
pub async fn run(
    handler: &Arc<dyn Handler>,
    metrics: &Metrics,
    request: Request,
    held: Option<Arc<Held>>,
) -> Result<Result<Response>, Died> {
    let client = &*request.client.address;
    tracing::debug!(target: "http", request_id = request.id, client, operation = ?request.operation, "request");
    let (handler, counted) = (Arc::clone(handler), metrics.clone());
    let task = tokio::spawn(async move {
        let under_way = counted.request_started();
        let outcome = handler.handle(request).await;
        under_way.done();
        drop(held);
        outcome
    });
    task.await.map_err(|_| {
        metrics.add(Figure::HttpPanics, 1);
        Died
    })
}

/// `None` if the deadline came first.
async fn by<T>(deadline: Option<tokio::time::Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        None => Some(future.await),
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
    }
}

/// Served here: it must answer when nothing else does.
const HEALTH: &str = "sys/health";
