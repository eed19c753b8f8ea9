//! A core answer as an HTTP answer.

use crate::logical::{Response, envelope};

use super::reply::Reply;

/// The answer to a request that succeeded.
pub fn reply(response: Response, request_id: &str) -> Reply {
    if let Some(raw) = response.raw {
        return Reply::raw(raw.status, raw.content_type, raw.body);
    }
    match (is_empty(&response), response.absent) {
        (true, true) => Reply::json(404, "{\"errors\":[]}\n"),
        (true, false) => Reply::json(204, ""),
        (false, absent) => {
            let status = match (absent, response.accepted) {
                (true, _) => 404,
                (false, true) => 202,
                (false, false) => 200,
            };
            Reply::json(status, envelope::render(&response, request_id))
        }
    }
}

fn is_empty(response: &Response) -> bool {
    response.data.is_none()
        && response.auth.is_none()
        && response.wrap_info.is_none()
        && response.warnings.is_empty()
        && response.lease_duration.is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::logical::{Auth, Raw, WrapInfo};
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
