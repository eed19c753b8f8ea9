//! From HTTP to [`core::Request`](crate::core::Request): path, operation, token and what else the head says.

use std::collections::BTreeMap;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::core::{Client, Operation, Request};
use crate::policy::path;
use crate::secret::Secret;

use super::error::Refusal;
use crate::limits::http as limits;

/// What the head of a request asks for.
#[derive(Debug)]
pub struct Head {
    /// What to do.
    pub operation: Operation,
    /// The canonical path without `/v1/`; a list's ends in a slash.
    pub path: String,
    /// The decoded query.
    pub query: Vec<(String, String)>,
    /// The token presented.
    pub token: Option<Secret>,
    /// Asked for by `X-Vault-Wrap-TTL`; zero counts as not asked for.
    pub wrap_ttl: Option<Duration>,
    /// Whether the client asked to be redirected rather than forwarded.
    pub no_forwarding: bool,
    /// Whether the body's media type is a form.
    pub is_form: bool,
    /// Whether the method was HEAD or GET, whatever the operation became.
    pub is_get: bool,
}

/// Reads the head of a request.
///
/// # Errors
/// The refusal to answer with.
pub fn head(parts: &Parts) -> Result<Head, Refusal> {
    let path = api_path(parts)?;
    if let Some(better) = without_empty_segments(parts) {
        return Err(Refusal::Moved(better));
    }
    let query = query_pairs(parts.uri.query().unwrap_or(""))?;
    let is_get = matches!(parts.method, Method::GET | Method::HEAD);
    let operation = operation(&parts.method, &query)?;
    check_namespace(&parts.headers)?;
    let media_type = text(&parts.headers, "content-type").unwrap_or("");
    let media_type = media_type.split(';').next().unwrap_or("").trim();
    if operation == Operation::Patch && !media_type.eq_ignore_ascii_case(MERGE_PATCH) {
        return Err(Refusal::MediaType(media_type.chars().take(100).collect()));
    }
    let path = path::canonical(&percent_decode(path, false)?).map_err(|error| Refusal::invalid(error.to_string()))?;
    let path = if operation == Operation::List { path::listed(path) } else { path };
    Ok(Head {
        operation,
        path,
        query,
        token: token(&parts.headers)?,
        wrap_ttl: wrap_ttl(&parts.headers)?,
        no_forwarding: text(&parts.headers, NO_FORWARDING).is_some_and(|value| !value.is_empty() && value != "false"),
        is_form: media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded"),
        is_get,
    })
}

impl Head {
    /// The request, with the fields of its body or, where the method has none, of its query.
    ///
    /// # Errors
    /// If the body is no JSON object.
    pub fn request(self, id: String, headers: &HeaderMap, body: &[u8], client: Client) -> Result<Request, Refusal> {
        let data = match self.operation {
            // `sys/seal?scope=node`: a scope that got lost would seal the whole cluster.
            Operation::Update if self.path == "sys/seal" => {
                let mut data = fields(self.query);
                data.extend(super::body::parse(body, self.is_form)?);
                data
            }
            Operation::Create | Operation::Update | Operation::Patch => super::body::parse(body, self.is_form)?,
            Operation::Read | Operation::List | Operation::Delete => fields(self.query),
            Operation::Help => Map::new(),
        };
        Ok(Request {
            id,
            operation: self.operation,
            path: self.path,
            data,
            token: self.token,
            wrap_ttl: self.wrap_ttl,
            client,
            headers: kept(headers),
        })
    }
}

/// The undecoded path below `/v1/`.
fn api_path(parts: &Parts) -> Result<&str, Refusal> {
    if parts.uri.path_and_query().is_some_and(|text| text.as_str().len() > limits::PATH_BYTES) {
        return Err(Refusal::TooLong("path"));
    }
    parts.uri.path().trim_start_matches('/').strip_prefix("v1/").ok_or(Refusal::NoSuchPath)
}

/// Path and query with single slashes, for the scripts that write `$VAULT_ADDR/v1/...` with an address that ends in one;
/// `None` if it has no others. Never two slashes at the start: that would lead to another host.
fn without_empty_segments(parts: &Parts) -> Option<String> {
    let path = parts.uri.path();
    if !path.contains("//") || !path.is_ascii() {
        return None;
    }
    let mut better = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        better.push('/');
        better.push_str(segment);
    }
    if path.ends_with('/') {
        better.push('/');
    }
    if let Some(query) = parts.uri.query() {
        better.push('?');
        better.push_str(query);
    }
    Some(better)
}

fn operation(method: &Method, query: &[(String, String)]) -> Result<Operation, Refusal> {
    match method.as_str() {
        "GET" if query.iter().any(|(name, _)| name == "help") => Ok(Operation::Help),
        "GET" | "HEAD" => match query.iter().find(|(name, _)| name == "list") {
            Some((_, value)) if !value.is_empty() => match go_bool(value) {
                Some(true) => Ok(Operation::List),
                Some(false) => Ok(Operation::Read),
                None => Err(Refusal::invalid("query parameter list: expected a boolean")),
            },
            _ => Ok(Operation::Read),
        },
        "POST" | "PUT" => Ok(Operation::Update),
        "PATCH" => Ok(Operation::Patch),
        "DELETE" => Ok(Operation::Delete),
        "LIST" => Ok(Operation::List),
        _ => Err(Refusal::NoSuchMethod),
    }
}

/// The token of `X-Vault-Token`, else of `Authorization: Bearer`.
fn token(headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let bytes = match headers.get("x-vault-token") {
        Some(value) if !value.is_empty() => value.as_bytes(),
        _ => match headers.get("authorization").map(|value| value.as_bytes()) {
            Some(value) if value.len() > BEARER.len() && value[..BEARER.len()].eq_ignore_ascii_case(BEARER) => {
                value[BEARER.len()..].trim_ascii()
            }
            _ => return Ok(None),
        },
    };
    if bytes.len() > limits::TOKEN_BYTES {
        return Err(Refusal::TooLong("token"));
    }
    Ok((!bytes.is_empty()).then(|| Secret::new(bytes.to_vec())))
}

fn wrap_ttl(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get("x-vault-wrap-ttl") else { return Ok(None) };
    let value = value.to_str().unwrap_or("?").trim();
    if value.is_empty() {
        return Ok(None);
    }
    if value.starts_with('-') {
        return Err(Refusal::invalid(format!("{BAD_WRAP_TTL}: requested wrap ttl cannot be negative")));
    }
    match crate::duration::parse(value) {
        Some(ttl) => Ok((!ttl.is_zero()).then_some(ttl)),
        None => Err(Refusal::invalid(format!("{BAD_WRAP_TTL}: expected a duration such as 300, \"300s\" or \"1h\""))),
    }
}

/// There is one namespace. Another one's name is refused and never ignored: its owner would read another's secrets.
fn check_namespace(headers: &HeaderMap) -> Result<(), Refusal> {
    for value in headers.get_all("x-vault-namespace") {
        match value.to_str().map(|name| name.trim().trim_matches('/')) {
            Ok("" | "root") => {}
            _ => return Err(Refusal::NoSuchNamespace),
        }
    }
    Ok(())
}

/// The headers that the core may look at. The token is not among them.
fn kept(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (name, value) in headers {
        let name = name.as_str();
        let wanted = (name.starts_with("x-vault-") && name != "x-vault-token") || KEPT.contains(&name);
        if wanted && let Ok(value) = value.to_str() {
            kept.insert(name.to_string(), value.to_string());
        }
    }
    kept
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Query parameters as fields: a string, or a list where one is given several times. `list` and `help` choose the
/// operation and are no fields.
pub fn fields(pairs: Vec<(String, String)>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in pairs {
        if name == "list" || name == "help" || name.is_empty() {
            continue;
        }
        let value = Value::String(value);
        match fields.get_mut(&name) {
            None => drop(fields.insert(name, value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    fields
}

/// Decodes a query or a form.
///
/// # Errors
/// 400 for a broken escape, bytes that are not UTF-8, or too many pairs.
pub fn query_pairs(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == limits::QUERY_PAIRS {
            return Err(Refusal::TooLong("query"));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((percent_decode(name, true)?, percent_decode(value, true)?));
    }
    Ok(pairs)
}

/// Decodes `%XX`, once. In a query, `+` is a space; in a path it is itself.
fn percent_decode(text: &str, plus_is_space: bool) -> Result<String, Refusal> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(text.to_string());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                match (digit(bytes.next()), digit(bytes.next())) {
                    (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or(0),
                    _ => return Err(Refusal::invalid("a broken percent escape")),
                }
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| Refusal::invalid("a percent escape that is not UTF-8"))
}

/// The texts that Go's `ParseBool` takes.
pub fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

const MERGE_PATCH: &str = "application/merge-patch+json";
const NO_FORWARDING: &str = "x-vault-no-request-forwarding";
const BEARER: &[u8] = b"Bearer ";
const BAD_WRAP_TTL: &str = "error parsing X-Vault-Wrap-TTL header";
const KEPT: [&str; 5] = ["user-agent", "x-forwarded-for", "x-request-id", "x-correlation-id", "traceparent"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn routed(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Result<Request, Refusal> {
        let parts = parts(method, uri, headers);
        head(&parts)?.request("id".into(), &parts.headers, body.as_bytes(), Client::default())
    }

    fn shown(method: &str, uri: &str, body: &str) -> String {
        match routed(method, uri, &[("content-type", MERGE_PATCH)], body) {
            Ok(r) => format!("{:?} {} {}", r.operation, r.path, Value::Object(r.data)),
            Err(refusal) => format!("{:?}", refusal),
        }
    }

    #[test]
    fn methods_become_operations() {
        let table = [
            ("GET", "/v1/secret/data/a?version=2", "", "Read secret/data/a {\"version\":\"2\"}"),
            ("HEAD", "/v1/secret/data/a", "", "Read secret/data/a {}"),
            ("GET", "/v1/secret/metadata?list=true&after=x", "", "List secret/metadata/ {\"after\":\"x\"}"),
            ("GET", "/v1/secret/metadata/?list=1", "", "List secret/metadata/ {}"),
            ("GET", "/v1/secret/metadata/?list=0", "", "Read secret/metadata/ {}"),
            ("LIST", "/v1/secret/metadata", "", "List secret/metadata/ {}"),
            ("POST", "/v1/a/b?x=y", "{\"k\":1.10}", "Update a/b {\"k\":1.10}"),
            ("PUT", "/v1/a/b", "", "Update a/b {}"),
            ("PATCH", "/v1/a/b", "{\"k\":null}", "Patch a/b {\"k\":null}"),
            ("DELETE", "/v1/a/b?versions=1&versions=2", "", "Delete a/b {\"versions\":[\"1\",\"2\"]}"),
            ("GET", "/v1/sys/mounts?help=1", "", "Help sys/mounts {}"),
            ("GET", "/v1/a/b%2Fc%20d+e%252F?x=a+b%2B", "", "Read a/b/c d+e%2F {\"x\":\"a b+\"}"),
        ];
        for (method, uri, body, expected) in table {
            assert_eq!(shown(method, uri, body), expected, "{method} {uri}");
        }
    }

    #[test]
    fn doubled_slashes_lead_to_the_path_without_them() {
        for (uri, better) in [
            ("//v1/a/b", "/v1/a/b"),
            ("/v1//a///b//?x=//", "/v1/a/b/?x=//"),
            ("/v1/a//../b", "/v1/a/../b"),
            ("/v1/%2F//a", "/v1/%2F/a"),
        ] {
            let refusal = routed("GET", uri, &[], "").unwrap_err();
            assert_eq!(refusal, Refusal::Moved(better.into()), "{uri}");
        }
        assert_eq!(shown("GET", "//v2//a", ""), "NoSuchPath");
    }

    #[test]
    fn what_is_no_api_request_is_refused() {
        for (method, uri) in [("GET", "/"), ("GET", "/v1"), ("GET", "/v2/a"), ("GET", "/ui/")] {
            assert_eq!(shown(method, uri, ""), "NoSuchPath", "{uri}");
        }
        for method in ["OPTIONS", "TRACE", "FOO"] {
            assert_eq!(shown(method, "/v1/a", ""), "NoSuchMethod");
        }
        for uri in ["/v1/a/%zz", "/v1/a/%f", "/v1/a/%ff", "/v1/a?x=%", "/v1/a%00", "/v1/a/%2e%2e/b", "/v1/a?list=maybe"]
        {
            assert!(shown("GET", uri, "").starts_with("Core(Invalid"), "{uri}: {}", shown("GET", uri, ""));
        }
        assert_eq!(shown("GET", &format!("/v1/{}", "a".repeat(9000)), ""), "TooLong(\"path\")");
        let patch = routed("PATCH", "/v1/a", &[("content-type", "application/json")], "{}");
        assert_eq!(patch.unwrap_err(), Refusal::MediaType("application/json".into()));
        assert!(
            routed("PATCH", "/v1/a", &[("content-type", "application/merge-patch+json; charset=utf-8")], "{}").is_ok()
        );
    }

    #[test]
    fn tokens_come_from_two_headers_and_are_bounded() {
        let token = |headers: &[(&str, &str)]| {
            let token = routed("GET", "/v1/a", headers, "")?.token;
            Ok(token.map(|token| token.danger_expose_text().to_string()))
        };
        assert_eq!(token(&[]), Ok(None));
        assert_eq!(token(&[("X-Vault-Token", "hvs.a")]), Ok(Some("hvs.a".into())));
        assert_eq!(token(&[("Authorization", "Bearer hvs.b")]), Ok(Some("hvs.b".into())));
        assert_eq!(token(&[("X-Vault-Token", "hvs.a"), ("Authorization", "Bearer hvs.b")]), Ok(Some("hvs.a".into())));
        assert_eq!(token(&[("Authorization", "Basic abc")]), Ok(None));
        assert_eq!(token(&[("Authorization", "Bearer ")]), Ok(None));
        let long = "a".repeat(1_000_000);
        assert_eq!(token(&[("X-Vault-Token", &long)]), Err(Refusal::TooLong("token")));
        assert_eq!(token(&[("Authorization", &format!("Bearer {long}"))]), Err(Refusal::TooLong("token")));
    }

    #[test]
    fn the_other_headers() {
        let request = |headers: &[(&str, &str)]| routed("GET", "/v1/a", headers, "");
        let wrap = |value| request(&[("X-Vault-Wrap-TTL", value)]).map(|request| request.wrap_ttl);
        assert_eq!(wrap("60s"), Ok(Some(Duration::from_secs(60))));
        assert_eq!(wrap("0"), Ok(None));
        assert!(wrap("abc").is_err() && wrap("-5").is_err());
        assert!(request(&[("X-Vault-Namespace", "root/")]).is_ok());
        assert_eq!(request(&[("X-Vault-Namespace", "ns1")]).unwrap_err(), Refusal::NoSuchNamespace);
        let headers = request(&[
            ("X-Vault-Token", "secret"),
            ("X-Vault-Request", "true"),
            ("X-Vault-No-Request-Forwarding", "true"),
            ("Authorization", "Bearer x"),
            ("Cookie", "x"),
            ("User-Agent", "curl"),
        ])
        .unwrap()
        .headers;
        let names: Vec<&str> = headers.keys().map(String::as_str).collect();
        assert_eq!(names, ["user-agent", "x-vault-no-request-forwarding", "x-vault-request"]);
    }

    fn percent_encode(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    proptest! {
        #[test]
        fn decoding_is_done_exactly_once(text in "\\PC{1,40}") {
            let once = percent_encode(&text);
            prop_assert_eq!(percent_decode(&once, false).unwrap(), text.clone());
            let twice = percent_encode(&once);
            prop_assert_eq!(percent_decode(&twice, false).unwrap(), once.clone());
            prop_assert_eq!(query_pairs(&format!("a={once}")).unwrap(), vec![("a".to_string(), text)]);
        }

        #[test]
        fn plain_paths_pass_unchanged(path in "[a-zA-Z0-9_~-]{1,8}(/[a-zA-Z0-9_+*~-]{1,8}){0,4}/?") {
            let request = routed("GET", &format!("/v1/{path}"), &[], "").unwrap();
            prop_assert_eq!(request.path, path);
        }

        #[test]
        fn no_routed_path_climbs(path in "[./%2eE5cf+a]{1,20}") {
            if let Ok(uri) = format!("/v1/{path}").parse::<http::Uri>() {
                let mut parts = parts("GET", "/v1/x", &[]);
                parts.uri = uri;
                if let Ok(head) = head(&parts) {
                    prop_assert!(!head.path.split('/').any(|part| part == ".." || part == "."));
                    prop_assert!(!head.path.contains("//") && !head.path.starts_with('/'));
                }
            }
        }
    }
}
