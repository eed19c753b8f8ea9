//! Two answers, value by value. What differs by nature is replaced by its kind first: ids, times, tokens, versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::pair::{Pair, Side};
use super::table::{Depth, Request};
use crate::support::Answer;

/// A place where two answers differ.
pub struct Observed {
    /// `status`, `header NAME`, `body`, or a JSON pointer into the body. Where the statuses differ, the bodies
    /// are not compared: the values of `status` are then status and body together.
    pub at: String,
    /// What the peer has there; empty if nothing.
    pub peer: String,
    /// What Holdfast has there.
    pub own: String,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &str| match value.char_indices().nth(SHOWN_CHARS) {
            _ if value.is_empty() => "(nothing)".to_string(),
            Some((end, _)) => format!("{}...", &value[..end]),
            None => value.to_string(),
        };
        write!(f, "{:<24} peer {}\n    {:<24} own  {}", self.at, show(&self.peer), "", show(&self.own))
    }
}

/// Characters of a value that are shown.
const SHOWN_CHARS: usize = 400;

/// Headers that say nothing about the answer.
const HEADERS_OF_TRANSPORT: [&str; 4] = ["date", "content-length", "connection", "transfer-encoding"];

/// Fields whose texts are a server's own, whatever they are.
const OWN_TEXTS: [&str; 12] = [
    "request_id",
    "accessor",
    "wrapped_accessor",
    "mount_accessor",
    "client_token",
    "cluster_id",
    "cluster_name",
    "build_date",
    "running_plugin_version",
    "version",
    "running_sha256",
    "nonce",
];

/// Fields that hold a moment as a number.
const MOMENTS: [&str; 3] = ["creation_time", "server_time_utc", "last_renewal_time"];

/// Fields that hold the seconds that are left.
const COUNTDOWNS: [&str; 2] = ["ttl", "lease_duration"];

/// Names in texts for people.
const NAMES: [(&str, &str); 6] = [
    ("OpenBao", "<product>"),
    ("Holdfast", "<product>"),
    ("Vault CLI", "<product> CLI"),
    ("Vault's server", "<product>'s server"),
    ("'bao ", "'<client> "),
    ("'vault ", "'<client> "),
];

/// All places where the answers to a request differ.
pub fn differences(request: &Request, pair: &Pair, peer: &Answer, own: &Answer) -> Vec<Observed> {
    let mut found = Vec::new();
    let mut note = |at: &str, peer: String, own: String| {
        if peer != own {
            found.push(Observed { at: at.to_string(), peer, own });
        }
    };
    if peer.status != own.status {
        let whole = |side: &Side, answer: &Answer| match body(side, answer) {
            Ok(value) => format!("{} {value}", answer.status),
            Err(text) => format!("{} {text}", answer.status),
        };
        note("status", whole(&pair.peer, peer), whole(&pair.own, own));
    }
    let (peer_headers, own_headers) = (headers(&pair.peer, peer), headers(&pair.own, own));
    let names: BTreeSet<&String> = peer_headers.keys().chain(own_headers.keys()).collect();
    for name in names {
        let value = |headers: &BTreeMap<String, String>| headers.get(name).cloned().unwrap_or_default();
        note(&format!("header {name}"), value(&peer_headers), value(&own_headers));
    }
    if request.compare == Depth::Status || peer.status != own.status {
        return found;
    }
    match (body(&pair.peer, peer), body(&pair.own, own)) {
        (Ok(peer), Ok(own)) => walk("", Some(&peer), Some(&own), request.compare, &mut note),
        (peer, own) => {
            let text = |body: Result<Value, String>| body.map_or_else(|text| text, |value| value.to_string());
            note("body", text(peer), text(own));
        }
    }
    found
}

fn headers(side: &Side, answer: &Answer) -> BTreeMap<String, String> {
    let kept = answer.headers.iter().filter(|(name, _)| !HEADERS_OF_TRANSPORT.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), side.unfill(value))).collect()
}

/// The body as JSON without what differs by nature; its text if it is none.
fn body(side: &Side, answer: &Answer) -> Result<Value, String> {
    match serde_json::from_slice(&answer.body) {
        Ok(value) => Ok(natural(side, "", value)),
        Err(_) => Err(side.unfill(&answer.text())),
    }
}

/// The value with what differs by nature replaced by its kind.
fn natural(side: &Side, key: &str, value: Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::String(text),
        // The version of a KV mount is a setting, not a text of its own.
        Value::String(text) if OWN_TEXTS.contains(&key) && (key != "version" || text.contains('.')) => {
            Value::String(format!("<{key}>"))
        }
        Value::String(text) => Value::String(natural_text(&side.unfill(&text))),
        Value::Number(number) if MOMENTS.contains(&key) && number.as_i64().is_some_and(|number| number > 0) => {
            Value::String("<moment>".into())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(|value| natural(side, key, value)).collect()),
        Value::Object(fields) => {
            let field = |(key, value): (String, Value)| (natural_text(&side.unfill(&key)), natural(side, &key, value));
            Value::Object(fields.into_iter().map(field).collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn natural_text(text: &str) -> String {
    let is_token = text.len() > 20 && ["hvs.", "hvb.", "s.", "b.", "eyJ"].iter().any(|start| text.starts_with(start));
    match text {
        _ if is_token && !text.contains(' ') => "<token>".into(),
        _ if has_shape(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") => "<uuid>".into(),
        // The zero time stays what it is.
        _ if text.len() > 19 && has_shape(&text[..19.min(text.len())], "2ddd-dd-ddTdd:dd:dd") => "<time>".into(),
        // A server's own name, and its client's.
        _ => NAMES.iter().fold(text.to_string(), |text, (name, kind)| text.replace(name, kind)),
    }
}

/// `d` stands for a digit, `x` for a hexadecimal one.
fn has_shape(text: &str, shape: &str) -> bool {
    let same = |(byte, shape): (u8, u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_hexdigit(),
        other => byte == other,
    };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(same)
}

fn walk(
    at: &str,
    peer: Option<&Value>,
    own: Option<&Value>,
    depth: Depth,
    note: &mut impl FnMut(&str, String, String),
) {
    let below = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match (peer, own) {
        (Some(peer), Some(own)) if depth == Depth::Top && !at.is_empty() => {
            note(at, kind(peer).into(), kind(own).into())
        }
        (Some(Value::Object(peer)), Some(Value::Object(own))) => {
            for key in peer.keys().chain(own.keys().filter(|key| !peer.contains_key(*key))) {
                walk(&below(key), peer.get(key), own.get(key), depth, note);
            }
        }
        (Some(Value::Array(peer)), Some(Value::Array(own))) if depth == Depth::Shape => {
            if let (Some(peer), Some(own)) = (peer.first(), own.first()) {
                walk(&below("0"), Some(peer), Some(own), depth, note);
            }
        }
        (Some(Value::Array(peer)), Some(Value::Array(own))) if peer.len() == own.len() => {
            for (index, (peer, own)) in peer.iter().zip(own).enumerate() {
                walk(&below(&index.to_string()), Some(peer), Some(own), depth, note);
            }
        }
        (Some(peer), Some(own)) if depth == Depth::Shape => note(at, kind(peer).into(), kind(own).into()),
        (Some(Value::Number(peer)), Some(Value::Number(own))) if counts_down(at, peer, own) => {}
        (peer, own) => {
            let text = |value: Option<&Value>| value.map_or(String::new(), Value::to_string);
            note(at, text(peer), text(own));
        }
    }
}

/// Seconds that are left may be a few less at the one that was asked later.
fn counts_down(at: &str, peer: &serde_json::Number, own: &serde_json::Number) -> bool {
    let is_countdown = at.rsplit('/').next().is_some_and(|name| COUNTDOWNS.contains(&name));
    let number = |number: &serde_json::Number| number.as_i64();
    is_countdown && number(peer).zip(number(own)).is_some_and(|(peer, own)| peer.abs_diff(own) <= 3)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
