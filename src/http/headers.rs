//! Headers of every answer.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderValue;
use http::header::{self, HeaderName};
use http_body_util::Full;

use crate::runtime::Clock;

use super::reply::{JSON, Reply};

pub use crate::config::listener::ForStatus;

/// For which answers, name, value.
pub type Custom = (ForStatus, HeaderName, HeaderValue);

/// The operator's own headers, the more general first, so that the more special replace them.
///
/// # Errors
/// The name of one that is no header.
pub fn parse(headers: &[(ForStatus, String, String)]) -> Result<Vec<Custom>, String> {
    let parse = |(status, name, value): &(ForStatus, String, String)| {
        let parsed = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        let (Ok(parsed), Ok(value)) = parsed else { return Err(name.clone()) };
        Ok((*status, parsed, value))
    };
    let mut parsed: Vec<Custom> = headers.iter().map(parse).collect::<Result<_, _>>()?;
    parsed.sort_by_key(|custom| custom.0);
    Ok(parsed)
}

/// Puts the headers of every answer on it. One a listener.
#[derive(Debug)]
pub struct Headers {
    clock: Clock,
    tls: bool,
    custom: Vec<Custom>,
    /// The last `Date` and its second: formatted once a second, not once a request.
    date: Mutex<(i64, HeaderValue)>,
}

impl Headers {
    /// For a listener with or without TLS, with the operator's own headers.
    pub fn new(clock: Clock, tls: bool, custom: Vec<Custom>) -> Headers {
        Headers { clock, tls, custom, date: Mutex::new((i64::MIN, HeaderValue::from_static(""))) }
    }

    /// The answer as HTTP: `Cache-Control: no-store`, the media type, the date of our clock, and with TLS
    /// `Strict-Transport-Security`.
    pub fn apply(&self, reply: Reply) -> http::Response<Full<Bytes>> {
        let mut response = http::Response::new(Full::new(reply.body));
        *response.status_mut() =
            http::StatusCode::from_u16(reply.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONTENT_TYPE, media_type(&reply.content_type));
        headers.insert(header::DATE, self.date());
        if self.tls {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(STRICT_TRANSPORT));
        }
        for custom in self.custom.iter().filter(|custom| custom.0.matches(reply.status)) {
            headers.insert(&custom.1, custom.2.clone());
        }
        for (name, value) in &reply.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        response
    }

    fn date(&self) -> HeaderValue {
        let now = self.clock.now();
        let mut date = self.date.lock().unwrap_or_else(PoisonError::into_inner);
        if date.0 != now.seconds() {
            let text = HeaderValue::from_str(&now.http_date());
            *date = (now.seconds(), text.unwrap_or_else(|_| HeaderValue::from_static("")));
        }
        date.1.clone()
    }
}

fn media_type(text: &str) -> HeaderValue {
    match text {
        JSON => HeaderValue::from_static(JSON),
        other => HeaderValue::from_str(other).unwrap_or_else(|_| HeaderValue::from_static(JSON)),
    }
}

/// A year, as scanners ask for.
const STRICT_TRANSPORT: &str = "max-age=31536000; includeSubDomains";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime::UnixTime;
    use crate::runtime::clock::ClockSource;

    struct Fixed;

    impl ClockSource for Fixed {
        fn now(&self) -> UnixTime {
            UnixTime(1_774_260_930_123_000_000)
        }
        fn boot(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn every_answer_has_them() {
        let show = |tls| {
            let own = [
                (ForStatus::One(404), "X-Site", "not found"),
                (ForStatus::Any, "X-Site", "any"),
                (ForStatus::Class(2), "X-Site", "a"),
                (ForStatus::Class(4), "X-Site", "refused"),
            ];
            let own: Vec<_> = own.map(|(status, name, value)| (status, name.into(), value.into())).into();
            let headers = Headers::new(Clock::new(Fixed), tls, parse(&own).unwrap());
            for (status, site) in [(204, "a"), (301, "any"), (403, "refused"), (404, "not found")] {
                assert_eq!(headers.apply(Reply::json(status, "")).headers()["x-site"], site);
            }
            let response = headers.apply(Reply::json(200, "{}").with_header("Retry-After", "1"));
            let mut lines: Vec<String> =
                response.headers().iter().map(|(k, v)| format!("{k}: {}", v.to_str().unwrap())).collect();
            lines.sort();
            lines.join("\n")
        };
        let plain = show(false);
        assert_eq!(
            plain,
            "cache-control: no-store\ncontent-type: application/json\ndate: Mon, 23 Mar 2026 10:15:30 GMT\n\
             retry-after: 1\nx-site: a"
        );
        assert!(show(true).contains("strict-transport-security: max-age=31536000; includeSubDomains"));
    }
}
