//! JSON values in the texts that Go's `%v` gives them, which is what people see in tables and `-field`.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::client::ApiSecret;
use crate::client::secret::{ApiAuth, WrapInfo};

/// `map[a:1 b:[x y]]`, `<nil>`, `true`, `text`.
pub fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => go_map(map),
    }
}

fn go_map(map: &Map<String, Value>) -> String {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
    format!("map[{}]", pairs.join(" "))
}

/// `["a" "b"]`.
pub fn quoted_list(texts: Option<&Vec<String>>) -> String {
    let texts: Vec<String> = texts.into_iter().flatten().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

/// A number of seconds as a duration if the key's name says that it is one.
pub fn field_text(key: &str, value: &Value) -> String {
    match value {
        Value::Number(_) if is_duration(key) => match value.as_i64() {
            Some(seconds) => human_duration(seconds),
            None => go_text(value),
        },
        _ => go_text(value),
    }
}

fn is_duration(key: &str) -> bool {
    let ends = |suffix: &str| key == suffix || key.strip_suffix(suffix).is_some_and(|start| start.ends_with('_'));
    ends("period") || ends("ttl") || ends("duration") || key == "lease_max" || key == "ttl_max"
}

/// `768h`, `1h30m`, `45s`, `0s`: Go's form without zero parts at its end.
pub fn human_duration(seconds: i64) -> String {
    let mut text = crate::duration::go_text(Duration::from_secs(seconds.unsigned_abs()));
    if text.ends_with("m0s") {
        text.truncate(text.len() - 2);
    }
    if let Some(at) = text.find("h0m") {
        text.replace_range(at + 1..at + 3, "");
    }
    if seconds < 0 { format!("-{text}") } else { text }
}

/// A field of an answer by the name that tables show.
pub fn secret_field(secret: &ApiSecret, name: &str) -> Option<Value> {
    let special = match (&secret.auth, &secret.wrap_info) {
        (Some(auth), _) => auth_field(auth, name),
        (None, Some(wrap)) => wrap_field(wrap, name),
        (None, None) => plain_field(secret, name),
    };
    special.or_else(|| secret.get(name).cloned())
}

fn auth_field(auth: &ApiAuth, name: &str) -> Option<Value> {
    let list = |texts: &Option<Vec<String>>| Value::from(texts.clone().unwrap_or_default());
    Some(match name {
        "token" => auth.client_token.clone().into(),
        "token_accessor" => auth.accessor.clone().into(),
        "token_duration" => auth.lease_duration.into(),
        "token_renewable" => auth.renewable.into(),
        "token_policies" => list(&auth.token_policies),
        "identity_policies" => list(&auth.identity_policies),
        "policies" => list(&auth.policies),
        _ => return None,
    })
}

fn wrap_field(wrap: &WrapInfo, name: &str) -> Option<Value> {
    Some(match name {
        "wrapping_token" => wrap.token.clone().into(),
        "wrapping_accessor" => wrap.accessor.clone().into(),
        "wrapping_token_ttl" => wrap.ttl.into(),
        "wrapping_token_creation_time" => wrap.creation_time.clone().into(),
        "wrapping_token_creation_path" => wrap.creation_path.clone().into(),
        "wrapped_accessor" => wrap.wrapped_accessor.clone().into(),
        _ => return None,
    })
}

fn plain_field(secret: &ApiSecret, name: &str) -> Option<Value> {
    Some(match name {
        "lease_duration" | "refresh_interval" => secret.lease_duration.into(),
        "lease_id" => secret.lease_id.clone().into(),
        "request_id" => secret.request_id.clone().into(),
        "renewable" => secret.renewable.into(),
        "data" => match secret.get("data") {
            Some(data) => data.clone(),
            None => Value::Object(secret.data.clone()?),
        },
        _ => return None,
    })
}

/// RFC 3339 as Go prints a time: `2026-11-24 22:56:13.92222391 +0000 UTC`.
pub fn go_time(rfc3339: &str) -> String {
    match rfc3339.strip_suffix('Z').and_then(|text| text.split_once('T')) {
        Some((date, time)) => format!("{date} {time} +0000 UTC"),
        None => rfc3339.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_as_go() {
        let value = json!({"arr":[1,"a",null],"b":true,"e":"","m":{"x":1,"y":{"z":[]}},"nul":null});
        assert_eq!(go_text(&value), "map[arr:[1 a <nil>] b:true e: m:map[x:1 y:map[z:[]]] nul:<nil>]");
        assert_eq!(quoted_list(Some(&vec!["default".into(), "x".into()])), r#"["default" "x"]"#);
        assert_eq!(go_time("2026-11-24T22:56:13.92222391Z"), "2026-11-24 22:56:13.92222391 +0000 UTC");
    }

    #[test]
    fn durations_lose_zero_parts() {
        for (seconds, text) in [(0, "0s"), (45, "45s"), (600, "10m"), (2_764_800, "768h"), (2_764_799, "767h59m59s")] {
            assert_eq!(human_duration(seconds), text);
        }
        assert_eq!(human_duration(3601), "1h1s");
        assert_eq!(field_text("creation_ttl", &json!(3600)), "1h");
        assert_eq!(field_text("battle", &json!(3600)), "3600");
    }
}
