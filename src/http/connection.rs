//! One connection: handshake, HTTP/1.1 or HTTP/2, idle time, orderly end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::sync::oneshot;
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
    /// Time without a request under way; also for a request's head to arrive.
    pub idle_time: Duration,
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
            tracing::debug!(target: "http", client = client.address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(target: "http", client = client.address, "TLS handshake took too long");
            return;
        }
    };
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
        serve_http2(stream, service, client, limits, stop).await;
    } else {
        serve_http1(stream, service, client, limits, stop).await;
    }
}

async fn serve_http1(
    stream: impl Io,
    service: Arc<Service>,
    client: Client,
    limits: Limits,
    stop: oneshot::Receiver<()>,
) {
    let activity = Arc::new(Activity::new());
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_time)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service_fn(answer(service, client, &activity)));
    drive(pin!(connection), |connection| connection.graceful_shutdown(), stop, &activity, limits.idle_time).await;
}

async fn serve_http2(
    stream: impl Io,
    service: Arc<Service>,
    client: Client,
    limits: Limits,
    stop: oneshot::Receiver<()>,
) {
    let activity = Arc::new(Activity::new());
    let connection = http2::Builder::new(TokioExecutor::new())
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(limits.head_bytes.min(limits::HEAD_BYTES_HTTP2)).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle_time)
        .serve_connection(TokioIo::new(stream), service_fn(answer(service, client, &activity)));
    drive(pin!(connection), |connection| connection.graceful_shutdown(), stop, &activity, limits.idle_time).await;
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
        Box::pin(async move {
            let answer = service.serve(client, request).await;
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
    idle_time: Duration,
) {
    let why = {
        let mut ending = pin!(ending(stop, activity, idle_time));
        tokio::select! {
            biased;
            // Failures of a connection are the client's affair: it broke off, or spoke no HTTP.
            _ = connection.as_mut() => return,
            why = ending.as_mut() => why,
        }
    };
    end(connection.as_mut());
    match why {
        // Who does not read the last answer holds its place as long again, and no longer.
        Ending::Idle => loop {
            let ended = tokio::time::timeout(idle_time, connection.as_mut()).await.is_ok();
            if ended || activity.idle_since().is_some_and(|since| since.elapsed() >= idle_time) {
                return;
            }
        },
        // The server has a deadline of its own.
        Ending::Stop => drop(connection.await),
    }
}

/// Why a connection is to end.
enum Ending {
    Stop,
    Idle,
}

/// Ready when the server stops or the connection has been idle for too long.
async fn ending(mut stop: oneshot::Receiver<()>, activity: &Activity, idle_time: Duration) -> Ending {
    loop {
        let wake = activity.idle_since().map_or_else(|| Instant::now() + idle_time, |since| since + idle_time);
        tokio::select! {
            biased;
            _ = &mut stop => return Ending::Stop,
            () = tokio::time::sleep_until(wake) => {}
        }
        if activity.idle_since().is_some_and(|since| since.elapsed() >= idle_time) {
            return Ending::Idle;
        }
    }
}

/// Whether requests are under way on a connection, and since when none is.
struct Activity {
    under_way: AtomicUsize,
    last_end: Mutex<Instant>,
}

impl Activity {
    fn new() -> Activity {
        Activity { under_way: AtomicUsize::new(0), last_end: Mutex::new(Instant::now()) }
    }

    fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    fn idle_since(&self) -> Option<Instant> {
        let last_end = *self.last_end.lock().unwrap_or_else(PoisonError::into_inner);
        (self.under_way.load(Ordering::Relaxed) == 0).then_some(last_end)
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
