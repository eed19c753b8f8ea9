//! `sys/policies/acl` and `sys/policy`: writing and reading policies.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Ask;
use crate::barrier::BarrierTxn;
use crate::core::policies::{PolicyRecord, Stored, expiry_key, key};
use crate::core::views::Found;
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::engines::fields;
use crate::logical::Route;
use crate::logical::route::{Field, Kind, Verb};
use crate::policy::{self, Policy};
use crate::runtime::UnixTime;

/// The paths; a name may have slashes.
pub(crate) static ROUTES: &[Route] = &[
    Route {
        pattern: ALL,
        about: "The names of all policies.",
        verbs: &[Verb::new(Operation::List, "Lists the names.", &[fields::KEYS])],
        fields: &[],
    },
    Route {
        pattern: ONE,
        about: "A policy: what tokens that have it may do.",
        verbs: &[
            Verb::new(Operation::Read, "Reads the policy.", SHOWN),
            Verb::new(Operation::Update, "Writes the policy; it holds as soon as this is answered.", &[]),
            Verb::new(Operation::Patch, "Changes what is given and keeps the rest.", &[]),
            Verb::new(Operation::Delete, "Deletes the policy; tokens that have it lose what it granted.", &[]),
            Verb::new(Operation::List, "Lists the names that begin with this one and a slash.", &[fields::KEYS]),
        ],
        fields: &[TEXT, CAS, CAS_REQUIRED, TTL, EXPIRATION, SLASHES, WILDCARDS],
    },
    Route {
        pattern: DETAILED,
        about: "All policies.",
        verbs: &[Verb::new(
            Operation::List,
            "Lists the names together with the policies.",
            &[fields::KEYS, Field::new("key_info", Kind::Any, "Each policy by its name.")],
        )],
        fields: &[],
    },
    Route {
        pattern: OLD_ALL,
        about: "The names of all policies, in the older form.",
        verbs: &[
            Verb::new(Operation::Read, "Lists the names.", &[fields::KEYS, NAMES]),
            Verb::new(Operation::List, "Lists the names.", &[fields::KEYS, NAMES]),
        ],
        fields: &[],
    },
    Route {
        pattern: OLD_ONE,
        about: "A policy, in the older form.",
        verbs: &[
            Verb::new(Operation::Read, "Reads the policy; its text is called \"rules\".", OLD_SHOWN),
            Verb::new(Operation::Update, "Writes the policy; it holds as soon as this is answered.", &[]),
            Verb::new(Operation::Delete, "Deletes the policy; tokens that have it lose what it granted.", &[]),
        ],
        fields: &[TEXT, RULES, CAS, CAS_REQUIRED, TTL, EXPIRATION, SLASHES, WILDCARDS],
    },
];

const ALL: &str = "policies/acl";
const ONE: &str = "policies/acl/{name...}";
const DETAILED: &str = "policies/detailed/acl";
const OLD_ALL: &str = "policy";
const OLD_ONE: &str = "policy/{name...}";

const SHOWN: &[Field] = &[NAME, TEXT, COUNT, MODIFIED, CAS_REQUIRED, EXPIRATION, SLASHES, WILDCARDS];
const OLD_SHOWN: &[Field] = &[NAME, RULES, COUNT, MODIFIED, CAS_REQUIRED, EXPIRATION, SLASHES, WILDCARDS];
const NAME: Field = Field::new("name", Kind::Text, "The name, in lower case.");
const COUNT: Field = Field::new("version", Kind::Integer, "Counts the writes.");
const MODIFIED: Field = Field::new("modified", Kind::Text, "When it was last written (RFC 3339).");
const NAMES: Field = Field::new("policies", Kind::List, "The same names once more.");
const TEXT: Field = Field::new("policy", Kind::Text, "The policy as HCL or JSON, or that as base64.");
const RULES: Field = Field::new("rules", Kind::Text, "The older name of \"policy\".");
const CAS: Field = Field::new("cas", Kind::Integer, "The version that the policy must have; -1 if there must be none.");
const CAS_REQUIRED: Field = Field::new("cas_required", Kind::Flag, "Whether each write must give \"cas\".");
const TTL: Field =
    Field::new("ttl", Kind::Duration, "After so long the policy ends. Without it and an expiration it does not.");
const EXPIRATION: Field =
    Field::new("expiration", Kind::Text, "When the policy ends (RFC 3339, or seconds since 1970).");
const SLASHES: Field =
    Field::new("allow_slashes_in_identity_templates", Kind::Flag, "Kept and shown; templates match nothing yet.");
const WILDCARDS: Field =
    Field::new("allow_wildcards_in_identity_templates", Kind::Flag, "Kept and shown; templates match nothing yet.");

impl Core {
    /// Serves them.
    pub(super) async fn sys_policies(&self, ask: Ask<'_>) -> Result<Response> {
        use Operation::{Delete, List, Patch, Read};
        let (pattern, operation) = ask.at();
        // A slash at the end stays: a rule on the policy's own path would say nothing of that path.
        let name = policy::name::fold(ask.param());
        let Ask { unsealed, txn, request, .. } = ask;
        match (pattern, operation) {
            (ALL, _) => self.policy_names("").await.map(Response::keys),
            (ONE, List) => match self.policy_names(&name).await? {
                names if names.is_empty() => Err(Error::Absent),
                names => Ok(Response::keys(names)),
            },
            (DETAILED, _) => self.detailed_policies(unsealed).await,
            (OLD_ALL, _) => {
                let names = self.policy_names("").await?;
                Ok(Response::data(json!({ "keys": names, "policies": names })).flat())
            }
            (OLD_ONE, Read) => {
                let data = Some(self.read_policy(unsealed, &name, "rules").await?);
                Ok(Response { data, ..Response::default() }.flat())
            }
            (_, Read) => {
                let data = Some(self.read_policy(unsealed, &name, "policy").await?);
                Ok(Response { data, ..Response::default() })
            }
            (_, Patch) => self.patch_policy(unsealed, txn, request, &name).await,
            (_, Delete) => self.delete_policy(unsealed, txn, &name).await,
            _ => self.write_policy(unsealed, txn, request, &name, pattern == OLD_ONE).await,
        }
    }

    /// The names of the policies that begin with `prefix`, sorted, and then `root` if it does.
    async fn policy_names(&self, prefix: &str) -> Result<Vec<String>> {
        let keys = self.raft.state().all_keys(&key(prefix)).await?;
        let mut names: Vec<String> = keys.iter().map(|key| String::from_utf8_lossy(&key[1..]).into_owned()).collect();
        if policy::name::ROOT.starts_with(prefix) {
            names.push(policy::name::ROOT.to_string());
        }
        Ok(names)
    }

    async fn detailed_policies(&self, unsealed: &Unsealed) -> Result<Response> {
        let mut info = Map::new();
        for name in self.policy_names("").await? {
            match self.read_policy(unsealed, &name, "policy").await {
                Ok(shown) => drop(info.insert(name, shown.into())),
                Err(Error::Absent) => {}
                Err(error) => return Err(error),
            }
        }
        let names: Vec<&String> = info.keys().collect();
        Ok(Response::data(json!({ "keys": names, "key_info": info })))
    }

    /// What is shown of a policy, its text under the name `text`.
    async fn read_policy(&self, unsealed: &Unsealed, name: &str, text: &str) -> Result<Map<String, Value>> {
        let found = self.policy(unsealed, name).await?.ok_or(Error::Absent)?;
        let stored = &found.record.stored;
        let mut data = Map::from_iter([
            ("name".to_string(), json!(stored.name)),
            (text.to_string(), json!(stored.text)),
            ("version".to_string(), json!(stored.version)),
            (CAS_REQUIRED.name.to_string(), json!(stored.cas_required)),
            (SLASHES.name.to_string(), json!(stored.slashes_in_templates)),
            (WILDCARDS.name.to_string(), json!(stored.wildcards_in_templates)),
        ]);
        if stored.version > 0 {
            data.insert("modified".into(), stored.modified.rfc3339().into());
        }
        if let Some(expires) = stored.expires {
            data.insert(EXPIRATION.name.into(), expires.rfc3339().into());
        }
        Ok(data)
    }

    async fn write_policy(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
        name: &str,
        legacy: bool,
    ) -> Result<Response> {
        let name = policy::name::writable(name).map_err(|error| Error::invalid(error.to_string()))?;
        let rules = if legacy { request.text("rules")? } else { None };
        let is_old = request.text("policy")?.is_none_or(|text| text.is_empty()) && rules.is_some();
        let text = match request.text("policy")?.filter(|text| !text.is_empty()).or(rules) {
            Some(text) if !text.is_empty() => decode_base64(text),
            _ => return Err(Error::invalid(NO_TEXT)),
        };
        let new = Stored::new(&name, &text, self.runtime.clock.now());
        let found = self.policy_record(unsealed, &name).await?;
        let present = holding(found.as_ref(), new.modified);
        let cas = request.integer("cas")?;
        let asked = request.flag(CAS_REQUIRED.name)?.unwrap_or(false);
        if cas.is_none() && (asked || present.is_some_and(|present| present.cas_required)) {
            return Err(Error::invalid("check-and-set parameter required for this call"));
        }
        check_cas(cas, present)?;
        store(txn, request, new, found.as_ref())?;
        Ok(match is_old {
            true => Response::empty().warn("'rules' is deprecated, please use 'policy' instead"),
            false => Response::empty(),
        })
    }

    async fn patch_policy(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
        name: &str,
    ) -> Result<Response> {
        let name = policy::name::writable(name).map_err(|error| Error::invalid(error.to_string()))?;
        let now = self.runtime.clock.now();
        let found = self.policy_record(unsealed, &name).await?;
        let present = holding(found.as_ref(), now).ok_or_else(|| Error::invalid("policy not found"))?;
        let mut patched = Stored { modified: now, ..present.clone() };
        check_cas(request.integer("cas")?, Some(present))?;
        match request.text("policy")? {
            Some(text) if text.is_empty() => return Err(Error::invalid(NO_TEXT)),
            Some(text) => patched.text = decode_base64(text),
            None => {}
        }
        store(txn, request, patched, found.as_ref())?;
        Ok(Response::empty())
    }

    async fn delete_policy(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, name: &str) -> Result<Response> {
        if name.is_empty() {
            return Err(Error::Unsupported);
        }
        let name = policy::name::deletable(name).map_err(|error| Error::invalid(error.to_string()))?;
        if let Some(found) = self.policy_record(unsealed, &name).await? {
            txn.below().expect(&key(&name), found.revision);
            move_end(txn, &name, found.record.stored.expires, None);
            txn.delete(key(&name));
        }
        Ok(Response::empty())
    }
}

/// What a record says at `now`; `None` if it has ended.
fn holding(found: Option<&Found<PolicyRecord>>, now: UnixTime) -> Option<&Stored> {
    found.map(|found| &found.record.stored).filter(|stored| !stored.is_expired(now))
}

/// Writes what the request makes of `policy`, as the version after the present one. What is replaced is the very record
/// that the request was judged by.
fn store(
    txn: &mut BarrierTxn,
    request: &Request,
    mut policy: Stored,
    found: Option<&Found<PolicyRecord>>,
) -> Result<()> {
    Policy::parse(&policy.name, &policy.text).map_err(|error| Error::invalid(error.to_string()))?;
    if let Some(required) = request.flag(CAS_REQUIRED.name)? {
        policy.cas_required = required;
    }
    if let Some(allow) = request.flag(SLASHES.name)? {
        policy.slashes_in_templates = allow;
    }
    if let Some(allow) = request.flag(WILDCARDS.name)? {
        policy.wildcards_in_templates = allow;
    }
    if let Some(end) = end(request, policy.modified)? {
        if end <= policy.modified {
            return Err(Error::invalid("refusing to update policy as expiration time has already elapsed"));
        }
        policy.expires = Some(end);
    }
    policy.version = holding(found, policy.modified).map_or(0, |present| present.version) + 1;
    move_end(txn, &policy.name, found.and_then(|found| found.record.stored.expires), policy.expires);
    let key = key(&policy.name);
    txn.below().expect(&key, found.map_or(0, |found| found.revision));
    txn.put(key, &policy.encode());
    Ok(())
}

/// Moves a policy in the index of ends.
fn move_end(txn: &mut BarrierTxn, name: &str, old: Option<UnixTime>, new: Option<UnixTime>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        txn.delete(expiry_key(old, name));
    }
    if let Some(new) = new {
        txn.put(expiry_key(new, name), b"");
    }
}

/// The end that a request gives the policy, by `ttl` or `expiration`.
fn end(request: &Request, now: UnixTime) -> Result<Option<UnixTime>> {
    let wrong =
        |why: String| Error::invalid(format!("Field validation failed: error converting input for field {why}"));
    let ttl = match fields::signed_seconds(request, TTL.name)? {
        Some(seconds) => Some(
            u64::try_from(seconds).map_err(|_| wrong(format!("\"ttl\": cannot provide negative value '{seconds}'")))?,
        ),
        None => None,
    };
    let expiration = match request.text(EXPIRATION.name)?.filter(|text| !text.is_empty()) {
        Some(text) => Some(
            parse_time(&text).ok_or_else(|| wrong("\"expiration\": could not parse string as date and time".into()))?,
        ),
        None => None,
    };
    match (ttl, expiration) {
        (Some(_), Some(_)) => Err(Error::invalid("cannot supply both 'expiration' and 'ttl' for policies")),
        (ttl, expiration) => Ok(expiration.or(ttl.map(|seconds| now.plus(Duration::from_secs(seconds))))),
    }
}

/// RFC 3339 or whole seconds since 1970.
fn parse_time(text: &str) -> Option<UnixTime> {
    match text.parse::<i64>() {
        Ok(seconds) => seconds.checked_mul(1_000_000_000).map(UnixTime),
        Err(_) => UnixTime::parse_rfc3339(text),
    }
}

/// Whether the policy is of the version that the request names.
fn check_cas(cas: Option<i64>, present: Option<&Stored>) -> Result<()> {
    let version = present.map_or(0, |present| present.version);
    match cas {
        Some(-1) if present.is_some() => Err(Error::invalid("check-and-set parameter set to -1 on existing entry")),
        None | Some(-1) => Ok(()),
        Some(cas) if u64::try_from(cas) == Ok(version) => Ok(()),
        Some(cas) => {
            let text = format!("check-and-set parameter {cas} did not match the current version {version}");
            Err(Error::invalid(text))
        }
    }
}

const NO_TEXT: &str = "'policy' parameter not supplied or empty";

/// A policy may come as base64: so it does if it decodes to text (no policy in HCL or JSON does).
fn decode_base64(text: String) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or(text)
}
