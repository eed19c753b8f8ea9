//! Every bound of the HTTP layer.

use std::time::Duration;

/// Bytes of one request body, where a listener does not say otherwise.
pub const REQUEST_SIZE: usize = 32 * 1024 * 1024;

/// Life of one request, where a listener does not say otherwise.
pub const REQUEST_DURATION: Duration = Duration::from_secs(90);

/// Bytes of all large bodies that are held at once, on all listeners together.
pub const LARGE_BODIES_AT_ONCE: usize = 128 * 1024 * 1024;

/// Bytes of all small bodies that are held at once.
pub const SMALL_BODIES_AT_ONCE: usize = 64 * 1024 * 1024;

/// A body of up to so many bytes is small. One of unknown length begins as small.
pub const BODY_SMALL: usize = 64 * 1024;

/// How long a body waits for its share before it is refused with 503.
pub const BODY_WAIT: Duration = Duration::from_secs(10);

/// How long the rest of a refused body is read and dropped, so that the client sees the answer and no reset.
pub const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Levels of nesting in a JSON body. Below serde_json's own limit of 128.
pub const JSON_DEPTH: usize = 100;

/// Values in a JSON body: each costs some 64 bytes once parsed, thirty times what it costs on the wire.
pub const JSON_VALUES: usize = 100_000;

/// Bytes of a token.
pub const TOKEN_BYTES: usize = 8 * 1024;

/// Bytes of a path and query.
pub const PATH_BYTES: usize = 8 * 1024;

/// Query parameters of one request.
pub const QUERY_PAIRS: usize = 256;

/// Bytes of a request's head while few connections are open: room for a token that is far too long to be refused in
/// words.
pub const HEAD_BYTES: usize = 1280 * 1024;

/// Bytes of a request's head while many connections are open.
pub const HEAD_BYTES_CROWDED: usize = 64 * 1024;

/// Bytes of all heads on one HTTP/2 stream.
pub const HEAD_BYTES_HTTP2: usize = 64 * 1024;

/// A request's headers of up to so many bytes are as good as none.
pub const HEAD_SMALL: usize = 8 * 1024;

/// Bytes of all longer ones that are held at once.
pub const LONG_HEADS_AT_ONCE: usize = 64 * 1024 * 1024;

/// Requests under way on one listener; 503 past that. With HTTP/2 a connection has many.
pub const REQUESTS: usize = 2 * CONNECTIONS;

/// So many open connections are many.
pub const CROWDED: usize = 64;

/// Connections of one listener.
pub const CONNECTIONS: usize = 8192;

/// A TLS handshake that takes longer is broken off.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// A connection on which no request is under way, or whose next request's head is not complete, is closed after this.
pub const IDLE_TIME: Duration = Duration::from_secs(60);

/// From a request's first byte to the end of its head, where a listener does not say otherwise.
pub const HEAD_TIME: Duration = Duration::from_secs(10);

/// Pause after an error of accept (out of file descriptors, say).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Requests under way on one HTTP/2 connection, those included that the client has given up and that run to their end all
/// the same.
pub const HTTP2_STREAMS: u32 = 250;
