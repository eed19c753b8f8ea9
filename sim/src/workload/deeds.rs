//! Deeds as requests of the Vault API, and what an answer says about them.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::acts::{Deed, Terms, Verdict};
use super::http::{Answer, HttpError};

/// A deed as a request.
pub(super) struct Ask {
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    /// The life of the wrapping token that the answer is to come in.
    pub wrap: Option<Duration>,
}

/// The policy that lets a token make tokens and renew itself.
pub const GROW: &str = "grow";

/// Its text.
pub const GROW_TEXT: &str = "path \"auth/token/create\" { capabilities = [\"create\", \"update\"] }\n\
                             path \"auth/token/renew-self\" { capabilities = [\"update\"] }";

/// The name of a policy.
pub fn policy_name(policy: usize) -> String {
    format!("guard{policy}")
}

/// The path of the secret that a policy opens.
pub fn secret_path(policy: usize) -> String {
    format!("secret/data/guarded{policy}")
}

/// The text of a policy. An open one grants its secret by name, beside a pattern that denies all secrets; a closed one
/// denies them all by a pattern that is obeyed before a longer one, which grants. The rules that are not obeyed are there
/// to be seen when they are.
pub fn policy_text(policy: usize, open: bool) -> String {
    let rule = |path: &str, capability: &str| format!("path \"{path}\" {{ capabilities = [\"{capability}\"] }}\n");
    match open {
        true => rule(&secret_path(policy), "read") + &rule("secret/data/guarded*", "deny"),
        false => rule("secret/data/g*", "deny") + &rule(&format!("secret/+/guarded{policy}*"), "read"),
    }
}

fn create(terms: &Terms, policies: usize) -> Value {
    let own: Vec<usize> = terms.policy.map_or_else(|| (0..policies).collect(), |policy| vec![policy]);
    let names: Vec<String> = own.into_iter().map(policy_name).chain([GROW.to_string()]).collect();
    json!({
        "policies": names,
        "no_default_policy": true,
        "num_uses": terms.uses,
        "ttl": terms.ttl.as_secs(),
        "explicit_max_ttl": terms.max.as_secs(),
    })
}

/// The request of a deed; `id` is the id of the token or wrapping token that it is about.
pub(super) fn ask(deed: &Deed, id: &str, policies: usize) -> Ask {
    let post = |path: String, body: Value| Ask { method: Method::POST, path, body: Some(body), wrap: None };
    let mount_path = |mount: &usize| format!("sys/mounts/m{mount}");
    let key_path = |mount: &usize| format!("m{mount}/key");
    match deed {
        Deed::Create { terms, .. } => post("auth/token/create".into(), create(terms, policies)),
        Deed::Renew { .. } => post("auth/token/renew-self".into(), json!({})),
        Deed::Revoke { .. } => post("auth/token/revoke".into(), json!({ "token": id })),
        Deed::Use { policy, .. } => Ask { method: Method::GET, path: secret_path(*policy), body: None, wrap: None },
        Deed::SetPolicy { policy, open, cas } => {
            let cas = if *cas == 0 { -1 } else { i64::try_from(*cas).unwrap_or(i64::MAX) };
            let body = json!({ "policy": policy_text(*policy, *open), "cas": cas });
            post(format!("sys/policies/acl/{}", policy_name(*policy)), body)
        }
        Deed::Wrap { wrap, ttl } => {
            Ask { wrap: Some(*ttl), ..post("sys/wrapping/wrap".into(), json!({ "wrap": wrap })) }
        }
        Deed::Unwrap { .. } => post("sys/wrapping/unwrap".into(), json!({})),
        Deed::Enable { mount } => post(mount_path(mount), json!({ "type": "kv", "options": { "version": "1" } })),
        Deed::Disable { mount } => Ask { method: Method::DELETE, path: mount_path(mount), body: None, wrap: None },
        Deed::Store { mount, serial } => post(key_path(mount), json!({ "serial": serial })),
        Deed::Load { mount } => Ask { method: Method::GET, path: key_path(mount), body: None, wrap: None },
    }
}

/// What an answer, or the lack of one, says about the deed.
pub(super) fn judge(deed: &Deed, result: &Result<Result<Answer, HttpError>, tokio::time::error::Elapsed>) -> Verdict {
    let unknown = |why: String| Verdict::Unknown { why };
    let answer = match result {
        Ok(Ok(answer)) => answer,
        Ok(Err(HttpError::Connect(_))) => return Verdict::Unsent,
        Ok(Err(error)) => return unknown(error.to_string()),
        Err(_) => return unknown("deadline".to_string()),
    };
    match (deed, answer.status) {
        (Deed::Load { .. }, 200) => match answer.body["data"]["serial"].as_u64() {
            Some(serial) => Verdict::Saw { serial },
            None => unknown(format!("an answer without a serial: {}", answer.body)),
        },
        (Deed::Unwrap { wrap }, 200) if answer.body["data"]["wrap"] != json!(wrap) => {
            unknown(format!("another answer was wrapped: {}", answer.body))
        }
        (_, 200..300) => Verdict::Done,
        (_, 403) => Verdict::Denied,
        // Standby, sealed and the like come as 429 or 47x only from sys/health.
        (_, status @ 400..500) => Verdict::Refused { status },
        (_, status) => unknown(format!("status {status}")),
    }
}
