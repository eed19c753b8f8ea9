//! The envelope of an answer: Vault's JSON, written straight into one buffer.

use serde_json::{Map, Value};

use super::{Auth, Response, WrapInfo};

/// The whole body of an answer that has something to say and no body of its own ([`Response::raw`]).
pub fn render(response: &Response, request_id: &str) -> Vec<u8> {
    // The envelope of a wrapped answer carries no id: it would tie the wrapping token to the audit log.
    let request_id = if response.wrap_info.is_some() { "" } else { request_id };
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    if response.flat
        && let Some(data) = &response.data
    {
        write_flat(&mut out, data);
    }
    write_envelope(&mut out, response, request_id);
    out.push(b'}');
    if !response.absent {
        out.push(b'\n');
    }
    out
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
