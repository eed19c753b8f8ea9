//! One connection: handshake, HTTP/1.1 or HTTP/2, idle time, orderly end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::core::Client;
use crate::runtime::Stream;
use crate::runtime::net::Io;

use super::service::Service;
use super::tls::ALPN_HTTP2;
use crate::limits::http as limits;

/// What a slow or greedy client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time without a request under way.
    pub idle_time: Duration,
    /// From a request's first byte to the end of its head.
    pub head_time: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
}

/// Serves a connection to its end. When `stop` fires or its sender is dropped, the requests under way are ended and no
/// more are taken.
pub async fn serve(
    stream: Stream,
    tls: Option<Arc<ServerConfig>>,
    service: Arc<Service>,
    client: Client,
    limits: Limits,
    stop: oneshot::Receiver<()>,
) {
    let Some(tls) = tls else {
        // Without TLS there is no ALPN, and no prior knowledge is taken: HTTP/1.1.
        return serve_http1(stream, service, client, limits, stop).await;
    };
    let stream = match tokio::time::timeout(limits::HANDSHAKE_TIME, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(target: "http", client = &*client.address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(target: "http", client = &*client.address, "TLS handshake took too long");
            return;
        }
    };
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
        serve_http2(stream, service, client, limits, stop).await;
    } else {
        serve_http1(stream, service, client, limits, stop).await;
    }
}

fn serve_http1(
    stream: impl Io,
    service: Arc<Service>,
    client: Client,
    limits: Limits,
    stop: oneshot::Receiver<()>,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let activity = Arc::new(Activity::new());
        let stream = Watched { stream, activity: Arc::clone(&activity) };
        let connection = http1::Builder::new()
            .auto_date_header(false)
            // A request under way is not ended when its client sends no more: the connection need not be read meanwhile.
            .half_close(true)
            .timer(TokioTimer::new())
            // hyper counts from the end of the request before: that would cut off idle connections. See `Watched`.
            .header_read_timeout(limits.idle_time)
            .max_buf_size(limits.head_bytes)
            .serve_connection(TokioIo::new(stream), service_fn(answer(service, client, &activity)));
        drive(pin!(connection), |connection| connection.graceful_shutdown(), stop, &activity, limits).await;
    })
}

fn serve_http2(
    stream: impl Io,
    service: Arc<Service>,
    client: Client,
    limits: Limits,
    stop: oneshot::Receiver<()>,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let activity = Arc::new(Activity::new());
        let connection = http2::Builder::new(TokioExecutor::new())
            .auto_date_header(false)
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::HTTP2_STREAMS)
            .max_header_list_size(u32::try_from(limits.head_bytes.min(limits::HEAD_BYTES_HTTP2)).unwrap_or(u32::MAX))
            .keep_alive_interval(limits.idle_time)
            .serve_connection(TokioIo::new(stream), service_fn(answer(service, client, &activity)));
        drive(pin!(connection), |connection| connection.graceful_shutdown(), stop, &activity, limits).await;
    })
}

/// What hyper calls for each request: the service, counted as activity.
fn answer(
    service: Arc<Service>,
    client: Client,
    activity: &Arc<Activity>,
) -> impl Fn(http::Request<Incoming>) -> BoxFuture<'static, Result<http::Response<Full<Bytes>>, Infallible>> + use<> {
    let activity = Arc::clone(activity);
    move |request| {
        let (service, client, under_way) = (Arc::clone(&service), client.clone(), activity.begin());
        let places = Arc::clone(&activity.places);
        Box::pin(async move {
            // Who resets a stream gets room for another one at once, while the request goes on: without a place of its
            // own for each, one connection could start any number of them.
            let place = places.acquire_owned().await.ok();
            let answer = service.serve(client, request, place).await;
            drop(under_way);
            answer
        })
    }
}

/// Runs a connection to its end, which it is asked for when the server stops or nothing has happened for long.
async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    end: impl Fn(Pin<&mut C>),
    stop: oneshot::Receiver<()>,
    activity: &Activity,
    limits: Limits,
) {
    let mut ending = pin!(ending(stop, activity, limits.idle_time));
    let mut broken = pin!(broken(activity, limits));
    let mut asked = false;
    loop {
        tokio::select! {
            biased;
            // Failures of a connection are the client's affair: it broke off, or spoke no HTTP.
            _ = connection.as_mut() => return,
            () = broken.as_mut() => return,
            () = ending.as_mut(), if !asked => {
                asked = true;
                end(connection.as_mut());
            }
        }
    }
}

/// Ready when the server stops or the connection has been idle for too long.
async fn ending(mut stop: oneshot::Receiver<()>, activity: &Activity, idle_time: Duration) {
    tokio::select! {
        biased;
        _ = &mut stop => {}
        () = activity.idle_for(idle_time) => {}
    }
}

/// Ready when there is no use in waiting for the client: the head of a request does not come to its end, or an answer
/// is not taken.
async fn broken(activity: &Activity, limits: Limits) {
    tokio::select! {
        biased;
        () = activity.head_takes(limits.head_time) => {}
        // Asked to end after an idle time, it has not for another one.
        () = activity.idle_for(limits.idle_time * 2) => {}
    }
}

/// What goes on on a connection.
struct Activity {
    under_way: AtomicUsize,
    last_end: Mutex<Instant>,
    /// When the first byte of a head came that is not complete yet.
    head_since: Mutex<Option<Instant>>,
    head_begins: Notify,
    /// For requests under way, also those that nobody waits for any more.
    places: Arc<Semaphore>,
}

impl Activity {
    fn new() -> Activity {
        Activity {
            under_way: AtomicUsize::new(0),
            last_end: Mutex::new(Instant::now()),
            head_since: Mutex::new(None),
            head_begins: Notify::new(),
            places: Arc::new(Semaphore::new(limits::HTTP2_STREAMS as usize)),
        }
    }

    fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        *self.head_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        UnderWay(Arc::clone(self))
    }

    /// Bytes have come.
    fn received(&self) {
        if self.under_way.load(Ordering::Relaxed) > 0 {
            return;
        }
        let mut since = self.head_since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none() {
            *since = Some(Instant::now());
            self.head_begins.notify_one();
        }
    }

    fn idle_since(&self) -> Option<Instant> {
        let last_end = *self.last_end.lock().unwrap_or_else(PoisonError::into_inner);
        (self.under_way.load(Ordering::Relaxed) == 0).then_some(last_end)
    }

    /// Ready once no request has been under way for so long.
    async fn idle_for(&self, time: Duration) {
        loop {
            match self.idle_since() {
                Some(since) if since.elapsed() >= time => return,
                Some(since) => tokio::time::sleep_until(since + time).await,
                None => tokio::time::sleep(time).await,
            }
        }
    }

    /// Ready once a head takes longer than this.
    async fn head_takes(&self, time: Duration) {
        loop {
            let since = *self.head_since.lock().unwrap_or_else(PoisonError::into_inner);
            match since {
                Some(since) if since.elapsed() >= time => return,
                Some(since) => tokio::time::sleep_until(since + time).await,
                None => self.head_begins.notified().await,
            }
        }
    }
}

/// One request under way.
struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self.0.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that tells when bytes come: from the first byte of a head on its time runs.
struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S: Io> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.activity.received();
        }
        Poll::Ready(read)
    }
}

impl<S: Io> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
