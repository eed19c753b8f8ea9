//! A core answer as bytes: Vault's envelope, written straight into one buffer.

use serde_json::{Map, Value};

use crate::core::{Auth, Response, WrapInfo};

use super::reply::Reply;

/// The answer to a request that succeeded.
pub fn reply(response: Response, request_id: &str) -> Reply {
    if let Some(raw) = response.raw {
        return Reply::raw(raw.status, raw.content_type, raw.body);
    }
    if is_empty(&response) {
        return match response.absent {
            true => Reply::json(404, "{\"errors\":[]}\n"),
            false => Reply::json(204, ""),
        };
    }
    // The envelope of a wrapped answer carries no id: it would tie the wrapping token to the audit log.
    let request_id = if response.wrap_info.is_some() { "" } else { request_id };
    let mut out = Vec::with_capacity(512);
    out.push(b'{');
    if response.flat
        && let Some(data) = &response.data
    {
        write_flat(&mut out, data);
    }
    write_envelope(&mut out, &response, request_id);
    out.push(b'}');
    if response.absent {
        return Reply::json(404, out);
    }
    out.push(b'\n');
    Reply::json(200, out)
}

/// Appends a value as JSON.
pub fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Neither a value nor a vector can fail here: keys are strings and memory is memory.
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

fn is_empty(response: &Response) -> bool {
    response.data.is_none()
        && response.auth.is_none()
        && response.wrap_info.is_none()
        && response.warnings.is_empty()
        && response.lease_duration.is_none()
}

/// The data at the top level, for the answers that predate the envelope. The envelope's own names win.
fn write_flat(out: &mut Vec<u8>, data: &Map<String, Value>) {
    for (key, value) in data {
        if !ENVELOPE.contains(&key.as_str()) {
            write_json(out, key);
            out.push(b':');
            write_json(out, value);
            out.push(b',');
        }
    }
}

fn write_envelope(out: &mut Vec<u8>, response: &Response, request_id: &str) {
    out.extend_from_slice(b"\"request_id\":");
    write_json(out, request_id);
    out.extend_from_slice(b",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":");
    write_json(out, &response.lease_duration.map_or(0, |lease| lease.as_secs()));
    out.extend_from_slice(b",\"data\":");
    write_json(out, &response.data);
    out.extend_from_slice(b",\"wrap_info\":");
    match &response.wrap_info {
        Some(info) => write_json(out, &wrap_shape(info)),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"warnings\":");
    match response.warnings.is_empty() {
        true => out.extend_from_slice(b"null"),
        false => write_json(out, &response.warnings),
    }
    out.extend_from_slice(b",\"auth\":");
    match &response.auth {
        Some(auth) => write_json(out, &auth_shape(auth)),
        None => out.extend_from_slice(b"null"),
    }
}

/// The fields of `auth` in their order on the wire.
#[derive(serde::Serialize)]
struct AuthShape<'a> {
    client_token: &'a str,
    accessor: &'a str,
    policies: &'a [String],
    token_policies: &'a [String],
    metadata: Option<&'a std::collections::BTreeMap<String, String>>,
    lease_duration: u64,
    renewable: bool,
    entity_id: &'static str,
    token_type: &'static str,
    orphan: bool,
    mfa_requirement: Option<()>,
    num_uses: u64,
}

fn auth_shape(auth: &Auth) -> AuthShape<'_> {
    AuthShape {
        client_token: &auth.client_token,
        accessor: &auth.accessor,
        policies: &auth.policies,
        token_policies: &auth.token_policies,
        metadata: (!auth.metadata.is_empty()).then_some(&auth.metadata),
        lease_duration: auth.lease_duration.as_secs(),
        renewable: auth.renewable,
        entity_id: "",
        token_type: auth.token_type,
        orphan: auth.orphan,
        mfa_requirement: None,
        num_uses: auth.num_uses,
    }
}

/// The fields of `wrap_info` in their order on the wire.
#[derive(serde::Serialize)]
struct WrapShape<'a> {
    token: &'a str,
    accessor: &'a str,
    ttl: u64,
    creation_time: String,
    creation_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapped_accessor: Option<&'a str>,
}

fn wrap_shape(info: &WrapInfo) -> WrapShape<'_> {
    WrapShape {
        token: &info.token,
        accessor: &info.accessor,
        ttl: info.ttl.as_secs(),
        creation_time: info.creation_time.rfc3339(),
        creation_path: &info.creation_path,
        wrapped_accessor: info.wrapped_accessor.as_deref(),
    }
}

const ENVELOPE: [&str; 8] =
    ["request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::core::Raw;
    use crate::runtime::UnixTime;

    fn shown(response: Response) -> String {
        let reply = reply(response, "11111111-2222-4333-8444-555555555555");
        format!("{} {:?}", reply.status, String::from_utf8_lossy(&reply.body)).replace("\\\"", "\"")
    }

    #[test]
    fn empty_is_204_and_absent_is_404() {
        assert_eq!(shown(Response::empty()), "204 \"\"");
        assert_eq!(shown(Response { absent: true, ..Response::default() }), "404 \"{\"errors\":[]}\\n\"");
        let mut gone = Response::data(json!({"data": null, "metadata": {"version": 1}}));
        gone.absent = true;
        insta::assert_snapshot!(shown(gone), @r#"404 "{"request_id":"11111111-2222-4333-8444-555555555555","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":null,"metadata":{"version":1}},"wrap_info":null,"warnings":null,"auth":null}""#);
    }

    #[test]
    fn data_and_warnings() {
        let response =
            Response::data(json!({"b": 1.10, "a": "x\n\"é", "z": 123456789012345678901234567890_u128 as f64}))
                .warn("careful");
        let text = shown(response);
        assert!(text.contains(r#""warnings":["careful"]"#), "{text}");
        assert!(text.contains(r#""data":{"a":"#), "{text}");
    }

    #[test]
    fn numbers_are_kept_to_the_digit() {
        let text = r#"{"e":1e400,"f":1.10,"n":123456789012345678901234567890}"#;
        let Ok(Value::Object(data)) = serde_json::from_str(text) else { panic!("an object") };
        let reply = reply(Response { data: Some(data), ..Response::default() }, "id");
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(body.contains("1.10") && body.contains("123456789012345678901234567890"), "{body}");
    }

    #[test]
    fn flat_shows_the_data_twice() {
        let response = Response::data(json!({"keys": ["a"], "data": 1})).flat();
        insta::assert_snapshot!(shown(response), @r#"200 "{"keys":["a"],"request_id":"11111111-2222-4333-8444-555555555555","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":1,"keys":["a"]},"wrap_info":null,"warnings":null,"auth":null}\n""#);
    }

    #[test]
    fn auth_and_wrapping() {
        let auth = Auth {
            client_token: "hvs.x".into(),
            accessor: "acc".into(),
            policies: vec!["default".into()],
            token_policies: vec!["default".into()],
            metadata: BTreeMap::new(),
            lease_duration: Duration::from_secs(3600),
            renewable: true,
            token_type: "service",
            orphan: false,
            num_uses: 0,
        };
        let response = Response { auth: Some(auth), ..Response::default() };
        insta::assert_snapshot!(shown(response), @r#"200 "{"request_id":"11111111-2222-4333-8444-555555555555","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":{"client_token":"hvs.x","accessor":"acc","policies":["default"],"token_policies":["default"],"metadata":null,"lease_duration":3600,"renewable":true,"entity_id":"","token_type":"service","orphan":false,"mfa_requirement":null,"num_uses":0}}\n""#);
        let wrap_info = WrapInfo {
            token: "hvs.w".into(),
            accessor: "acc".into(),
            ttl: Duration::from_secs(60),
            creation_time: UnixTime(1_774_260_930_123_000_000),
            creation_path: "sys/mounts".into(),
            wrapped_accessor: None,
        };
        let response = Response { wrap_info: Some(wrap_info), ..Response::default() };
        insta::assert_snapshot!(shown(response), @r#"200 "{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":{"token":"hvs.w","accessor":"acc","ttl":60,"creation_time":"2026-03-23T10:15:30.123Z","creation_path":"sys/mounts"},"warnings":null,"auth":null}\n""#);
    }

    #[test]
    fn raw_goes_out_as_it_is() {
        let raw = Raw { content_type: "text/plain", body: b"x".to_vec(), status: 429 };
        assert_eq!(shown(Response { raw: Some(raw), ..Response::default() }), "429 \"x\"");
    }
}
