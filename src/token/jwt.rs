//! Wrapping tokens in the form of a JWT (RFC 7519), for clients that ask for it. The claim `jti` is the opaque token; the
//! signature is an HMAC under the cluster's salt, so that only what this cluster made is taken for one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::Salt;
use crate::runtime::UnixTime;
use crate::secret::Secret;

/// What the claims tell beside the token.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// Where the cluster is reached.
    pub address: &'a str,
    /// The accessor of a wrapped token; empty if none is wrapped.
    pub accessor: &'a str,
    /// When it was made.
    pub issued: UnixTime,
    /// When it ends.
    pub expires: UnixTime,
}

/// The JWT around the opaque token `id`.
pub fn encode(salt: &Salt, id: &str, claims: Claims<'_>) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let payload = json!({
        "accessor": claims.accessor,
        "addr": claims.address,
        "exp": claims.expires.seconds(),
        "iat": claims.issued.seconds(),
        "jti": id,
        "nbf": claims.issued.seconds() - SKEW_SECONDS,
        "type": TYPE,
    });
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(payload.to_string()));
    let signature = BASE64.encode(sign(salt, &signed));
    format!("{signed}.{signature}")
}

/// The opaque token in a JWT that this cluster made; `None` for anything else. Whether the token lives is for its record
/// to say.
pub fn decode(salt: &Salt, text: &str) -> Option<String> {
    let (signed, signature) = text.rsplit_once('.')?;
    let (_, payload) = signed.split_once('.')?;
    if !Secret::new(BASE64.decode(signature).ok()?).same(&sign(salt, signed)) {
        return None;
    }
    let payload: Value = serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?;
    (payload["type"] == TYPE).then(|| payload["jti"].as_str().map(String::from))?
}

fn sign(salt: &Salt, signed: &str) -> [u8; 32] {
    salt.hash(&format!("{TYPE}\n{signed}"))
}

const TYPE: &str = "wrapping";

/// Clocks of clients may be behind by so much.
const SKEW_SECONDS: i64 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_was_made_here_is_taken() {
        let (salt, other) = (Salt([1; 32]), Salt([2; 32]));
        let (issued, expires) = (UnixTime(1_700_000_000_000_000_000), UnixTime(1_700_000_060_000_000_000));
        let claims = Claims { address: "http://127.0.0.1:8200", accessor: "", issued, expires };
        let jwt = encode(&salt, "hvs.abc", claims);
        assert_eq!(jwt.split('.').count(), 3);
        let payload: Value = serde_json::from_slice(&BASE64.decode(jwt.split('.').nth(1).unwrap()).unwrap()).unwrap();
        assert_eq!((&payload["exp"], &payload["nbf"]), (&json!(1_700_000_060), &json!(1_699_999_995)));
        assert_eq!(decode(&salt, &jwt).as_deref(), Some("hvs.abc"));
        assert_eq!(decode(&other, &jwt), None);
        let (head, tail) = jwt.split_at(jwt.len() - 4);
        assert_eq!(decode(&salt, &format!("{head}{}", if tail == "AAAA" { "BBBB" } else { "AAAA" })), None);
    }

    proptest! {
        #[test]
        fn anything_else_is_none(text in prop_oneof!["\\PC{0,40}", "[a-zA-Z0-9_-]{0,9}(\\.[a-zA-Z0-9_-]{0,9}){0,4}"]) {
            prop_assert_eq!(decode(&Salt([1; 32]), &text), None);
        }
    }
}
