//! Request bodies: bounded in bytes each and together, in nesting and in number of values, before anything is parsed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::Error;

use super::error::Refusal;
use crate::limits::http as limits;

/// Bytes of bodies that may be held at once, on all listeners together. Small bodies have a lane of their own: a few
/// clients that announce large bodies and then dawdle do not keep everybody else out.
#[derive(Clone, Debug)]
pub struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    heads: Arc<Semaphore>,
    large_total: u32,
    wait: Duration,
}

/// What a body holds of the budget until it is dropped.
#[derive(Debug)]
struct Share {
    small: OwnedSemaphorePermit,
    large: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of so many bytes for small and for large bodies, for which a body waits at most `wait`.
    pub fn new(small: usize, large: usize, wait: Duration) -> Budget {
        let large_total = u32::try_from(large).unwrap_or(u32::MAX);
        Budget {
            small: Arc::new(Semaphore::new(small)),
            large: Arc::new(Semaphore::new(large_total as usize)),
            heads: Arc::new(Semaphore::new(limits::LONG_HEADS_AT_ONCE)),
            large_total,
            wait,
        }
    }

    /// Waits for the share of a body of `bytes`. A body waits before it holds anything of the lane it waits for, so no two
    /// can block each other for ever.
    async fn first_share(&self, bytes: usize) -> Result<Share, Refusal> {
        let small = u32::try_from(bytes.min(limits::BODY_SMALL)).unwrap_or(u32::MAX);
        let shares = async {
            let large = match bytes > limits::BODY_SMALL {
                true => Some(Arc::clone(&self.large).acquire_many_owned(self.clamp(bytes)).await.ok()?),
                false => None,
            };
            Some(Share { small: Arc::clone(&self.small).acquire_many_owned(small).await.ok()?, large })
        };
        tokio::time::timeout(self.wait, shares).await.ok().flatten().ok_or_else(busy)
    }

    /// The share of a request's headers, if they are long: they wait in memory for the body.
    ///
    /// # Errors
    /// 503 if there is too much of them already.
    pub fn head(&self, headers: &http::HeaderMap) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes <= limits::HEAD_SMALL {
            return Ok(None);
        }
        let share = Arc::clone(&self.heads).try_acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX));
        share.map(Some).map_err(|_| busy())
    }

    /// A larger share for a body that holds one already: never waits, since two that wait while holding would be a
    /// deadlock.
    fn grow(&self, share: &mut Share, bytes: usize) -> Result<(), Refusal> {
        let held = share.large.as_ref().map_or(0, |large| u32::try_from(large.num_permits()).unwrap_or(u32::MAX));
        let wanted = self.clamp(bytes);
        if bytes <= share.small.num_permits() || wanted <= held {
            return Ok(());
        }
        // Doubling, so that a body of many small frames asks rarely; the exact amount if that is too much.
        for ask in [wanted.max(self.clamp(held as usize * 2)), wanted] {
            if let Ok(more) = Arc::clone(&self.large).try_acquire_many_owned(ask - held) {
                match &mut share.large {
                    Some(large) => large.merge(more),
                    none => *none = Some(more),
                }
                return Ok(());
            }
        }
        Err(busy())
    }

    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.large_total)
    }
}

fn busy() -> Refusal {
    Refusal::Core(Error::Unavailable("too many large requests at once".to_string()))
}

/// A body and its share of the budget, which it gives back when dropped.
#[derive(Debug, Default)]
pub struct Held {
    /// The body.
    pub bytes: Bytes,
    _share: Option<Share>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// With something more to give back at the end of the request.
    #[must_use]
    pub fn with(self, place: Option<OwnedSemaphorePermit>) -> Held {
        Held { _place: place, ..self }
    }
}

/// Reads a whole body of at most `limit` bytes. What is over the limit or over the budget is read and dropped for a
/// short time before the refusal, so that the client gets to see the answer.
///
/// # Errors
/// 413 over the limit, 503 over the budget, 400 if the client broke off.
pub async fn read<B>(body: B, limit: usize, budget: &Budget) -> Result<Held, Refusal>
where
    B: Body<Data = Bytes>,
{
    if body.is_end_stream() {
        return Ok(Held::default());
    }
    let mut body = pin!(body);
    let result = collect(&mut body, limit, budget).await;
    if matches!(result, Err(Refusal::Core(Error::TooLarge | Error::Unavailable(_)))) {
        let rest = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = tokio::time::timeout(limits::DISCARD_TIME, rest).await;
    }
    result
}

async fn collect<B>(body: &mut std::pin::Pin<&mut B>, limit: usize, budget: &Budget) -> Result<Held, Refusal>
where
    B: Body<Data = Bytes>,
{
    let hint = body.size_hint();
    let announced = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(Refusal::Core(Error::TooLarge));
    }
    let first = if hint.exact().is_some() { announced } else { limits::BODY_SMALL.min(limit) };
    let mut share = budget.first_share(first).await?;
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::invalid("the request's body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        len += data.len();
        if len > limit {
            return Err(Refusal::Core(Error::TooLarge));
        }
        budget.grow(&mut share, len)?;
        // Most bodies are one frame and are kept as they came.
        if whole.is_empty() && joined.is_empty() {
            whole = data;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(announced.max(len));
            joined.extend_from_slice(&std::mem::take(&mut whole));
        }
        joined.extend_from_slice(&data);
    }
    let bytes = if joined.is_empty() { whole } else { joined.freeze() };
    Ok(Held { bytes, _share: Some(share), _place: None })
}

/// The fields of a body: a JSON object whatever its media type says, or a form where the media type says so and the body
/// is not JSON. An empty body and `null` are an object without fields.
///
/// # Errors
/// 400 that says what is wrong and where, without repeating any of the body.
pub fn parse(bytes: &[u8], is_form: bool) -> Result<Map<String, Value>, Refusal> {
    let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else { return Ok(Map::new()) };
    if is_form && !matches!(first, b'{' | b'[') {
        let text = std::str::from_utf8(bytes).map_err(|_| Refusal::invalid("the form is not UTF-8"))?;
        let mut fields = super::router::fields(super::router::query_pairs(text)?);
        // A name that is given several times: one text with commas, as every list is taken.
        for value in fields.values_mut() {
            if let Value::Array(values) = value {
                *value = Value::String(values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
            }
        }
        return Ok(fields);
    }
    check_shape(bytes)?;
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(Refusal::invalid("failed to decode JSON input: the body is not a JSON object")),
        Err(error) => Err(Refusal::invalid(format!("failed to decode JSON input: {error}"))),
    }
}

/// Looks at the body once, without recursion or allocation: nesting and number of values are bounded before a parser
/// sees them.
fn check_shape(bytes: &[u8]) -> Result<(), Refusal> {
    let (mut depth, mut values) = (0_usize, 1_usize);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > limits::JSON_DEPTH {
                    return Err(Refusal::invalid(format!(
                        "refused JSON input: nested more than {} levels deep",
                        limits::JSON_DEPTH
                    )));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    if values > limits::JSON_VALUES {
        return Err(Refusal::invalid(format!("refused JSON input: more than {} values", limits::JSON_VALUES)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;

    fn budget(large: usize) -> Budget {
        Budget::new(limits::BODY_SMALL * 4, large, Duration::from_millis(200))
    }

    fn free(budget: &Budget) -> (usize, usize) {
        (budget.small.available_permits(), budget.large.available_permits())
    }

    fn chunks(sizes: &[usize]) -> impl Body<Data = Bytes, Error = Infallible> + use<> {
        let frames: Vec<_> = sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'a'; *size])))).collect();
        StreamBody::new(stream::iter(frames))
    }

    fn message(result: Result<Map<String, Value>, Refusal>) -> String {
        match result {
            Err(Refusal::Core(Error::Invalid(messages))) => messages.join(";"),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[tokio::test]
    async fn bodies_over_the_limit_are_refused() {
        let budget = budget(1000);
        let full = |size| Full::new(Bytes::from(vec![b'a'; size]));
        assert_eq!(read(full(100), 100, &budget).await.unwrap().bytes.len(), 100);
        assert_eq!(read(full(101), 100, &budget).await.unwrap_err(), Refusal::Core(Error::TooLarge));
        assert_eq!(read(chunks(&[40, 40, 20]), 100, &budget).await.unwrap().bytes.len(), 100);
        assert_eq!(read(chunks(&[40, 40, 21]), 100, &budget).await.unwrap_err(), Refusal::Core(Error::TooLarge));
        assert_eq!(read(full(0), 100, &budget).await.unwrap().bytes.len(), 0);
        assert_eq!(free(&budget), (limits::BODY_SMALL * 4, 1000));
    }

    #[tokio::test]
    async fn the_budget_bounds_all_bodies_together() {
        const KIB: usize = 1024;
        let budget = budget(100 * KIB);
        let full = |size: usize| Full::new(Bytes::from(vec![0; size]));
        let first = read(chunks(&[30 * KIB, 30 * KIB, 10 * KIB]), 1000 * KIB, &budget).await.unwrap();
        let refused = read(full(90 * KIB), 1000 * KIB, &budget).await.unwrap_err();
        assert!(matches!(refused, Refusal::Core(Error::Unavailable(_))), "{refused:?}");
        // Small ones have their own lane.
        assert_eq!(read(full(10 * KIB), 1000 * KIB, &budget).await.unwrap().bytes.len(), 10 * KIB);
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { read(full(90 * KIB), 1000 * KIB, &budget).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(first);
        assert_eq!(waiting.await.unwrap().unwrap().bytes.len(), 90 * KIB);
        // A body larger than the whole budget gets all of it rather than nothing.
        assert_eq!(read(full(150 * KIB), 200 * KIB, &budget).await.unwrap().bytes.len(), 150 * KIB);
        assert_eq!(free(&budget), (limits::BODY_SMALL * 4, 100 * KIB));
    }

    #[test]
    fn deep_or_broad_json_is_refused_before_it_is_parsed() {
        let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(parse(deep(100).as_bytes(), false).is_ok());
        assert!(message(parse(deep(101).as_bytes(), false)).contains("nested more than 100"));
        assert!(message(parse(deep(10_000).as_bytes(), false)).contains("nested more than 100"));
        assert!(message(parse("[".repeat(10_000_000).as_bytes(), false)).contains("nested more than 100"));
        let broad = format!("{{\"a\":[1{}]}}", ",1".repeat(100_000));
        assert!(message(parse(broad.as_bytes(), false)).contains("more than 100000 values"));
        // Brackets in strings are text.
        let text = format!("{{\"a\":\"{}\\\"{{\"}}", "[".repeat(1000));
        assert!(parse(text.as_bytes(), false).is_ok());
    }

    #[test]
    fn only_objects_are_bodies() {
        for (bytes, fields) in [("", 0), ("  \n", 0), ("null", 0), ("{}", 0), ("{\"a\":1,\"a\":2}", 1)] {
            assert_eq!(parse(bytes.as_bytes(), false).unwrap().len(), fields, "{bytes}");
        }
        for bytes in ["[1]", "\"x\"", "1", "true", "{\"a\":1}x", "{\"a\":1}{}", "{\"a\":", "{a:1}", "nojson", "\u{0}"] {
            assert!(message(parse(bytes.as_bytes(), false)).contains("failed to decode JSON input"), "{bytes}");
        }
        let error = message(parse(br#"{"password":"hunter2" "x"}"#, false));
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn forms_are_taken_where_they_are_declared() {
        let fields = parse(b"a=b&c=d+e%21", true).unwrap();
        assert_eq!(Value::Object(fields), serde_json::json!({"a": "b", "c": "d e!"}));
        assert_eq!(Value::Object(parse(b" {\"a\":1}", true).unwrap()), serde_json::json!({"a": 1}));
        assert!(parse(b"a=b", false).is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), is_form: bool) {
            let _ = parse(&bytes, is_form);
        }
    }
}
