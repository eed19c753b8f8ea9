//! Policies as records, and the endpoints that manage them (`sys/policies/acl`, `sys/policy`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::authorize::Authorized;
use super::views::Found;
use super::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::engines::fields;
use crate::limits;
use crate::logical::Route;
use crate::logical::route::{Field, Kind, field, verb};
use crate::policy::{self, Policy, builtin};
use crate::runtime::UnixTime;
use crate::storage::{plain, schema};

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    text: String,
    version: u64,
    modified: UnixTime,
}

/// A policy's record, parsed.
pub struct PolicyRecord {
    /// As it was written.
    pub text: String,
    /// Counts the writes.
    pub version: u64,
    /// When it was last written.
    pub modified: UnixTime,
    /// What it allows.
    pub parsed: Arc<Policy>,
}

impl PolicyRecord {
    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Option<PolicyRecord> {
        let Stored { name, text, version, modified } = plain::decode(bytes)?;
        let parsed = Arc::new(Policy::parse(&name, &text).ok()?);
        Some(PolicyRecord { text, version, modified, parsed })
    }
}

/// The record of a policy in its stored form.
pub fn encode(name: &str, text: &str, version: u64, modified: UnixTime) -> Vec<u8> {
    plain::encode(&Stored { name: name.to_string(), text: text.to_string(), version, modified }).to_vec()
}

/// The storage key of a policy's record.
pub fn key(name: &str) -> bytes::Bytes {
    schema::key(schema::Kind::Policy, name.as_bytes())
}

impl Core {
    /// The record of a policy; the built-in `root` has none in the store.
    pub(crate) async fn policy(&self, unsealed: &Unsealed, name: &str) -> Result<Option<Found<PolicyRecord>>> {
        if let Some(parsed) = builtin::unwritten(name) {
            let text = parsed.text.clone();
            let record = PolicyRecord { text, version: 0, modified: UnixTime(0), parsed: Arc::new(parsed) };
            return Ok(Some(Found { revision: 0, record: Arc::new(record) }));
        }
        self.policies.get(self.raft.state(), &unsealed.keyring, &key(name)).await
    }

    /// `sys/policies/acl[/name]` and `sys/policy[/name]`, whose answers have the older shape.
    pub(crate) async fn sys_policies(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
    ) -> Result<Response> {
        let (route, params) = Route::find(ROUTES, &authorized.rest).ok_or_else(super::sys::unsupported_path)?;
        let legacy = route.pattern.starts_with("policy");
        let name = policy::name::fold(params.first().copied().unwrap_or_default());
        match (authorized.operation, name.as_str()) {
            (Operation::List, "") => self.list_policies(txn, legacy).await,
            (Operation::Read, "") if legacy => self.list_policies(txn, true).await,
            (_, "") => Err(Error::Unsupported),
            (Operation::Read, name) => self.read_policy(unsealed, name, legacy).await,
            (Operation::Update | Operation::Create, name) => self.write_policy(unsealed, txn, request, name).await,
            (Operation::Delete, name) => {
                let name = policy::name::deletable(name).map_err(|error| Error::invalid(error.to_string()))?;
                txn.delete(key(&name));
                Ok(Response::empty())
            }
            _ => Err(Error::Unsupported),
        }
    }

    async fn list_policies(&self, txn: &mut BarrierTxn, legacy: bool) -> Result<Response> {
        let mut names = vec!["root".to_string()];
        let mut from = key("").to_vec();
        let to = schema::prefix_end(&from);
        loop {
            let page = self.raft.state().scan(&from, &to, limits::SCAN_PAGE_KEYS).await?;
            names.extend(page.iter().map(|(key, _)| String::from_utf8_lossy(&key[1..]).into_owned()));
            let Some((last, _)) = page.last().filter(|_| page.len() == limits::SCAN_PAGE_KEYS) else { break };
            from = [&last[..], &[0]].concat();
        }
        let _ = txn;
        names.sort();
        Ok(match legacy {
            true => Response::data(json!({ "keys": names, "policies": names })).flat(),
            false => Response::keys(names),
        })
    }

    async fn read_policy(&self, unsealed: &Unsealed, name: &str, legacy: bool) -> Result<Response> {
        let found = self.policy(unsealed, name).await?.ok_or(Error::Absent)?;
        let mut data = json!({
            "name": name,
            "version": found.record.version,
            "cas_required": false,
        });
        data[if legacy { "rules" } else { "policy" }] = json!(found.record.text);
        if name != "root" {
            data["modified"] = Value::String(found.record.modified.rfc3339());
        }
        let response = Response::data(data);
        Ok(if legacy { response.flat() } else { response })
    }

    async fn write_policy(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
        name: &str,
    ) -> Result<Response> {
        let name = &policy::name::writable(name).map_err(|error| Error::invalid(error.to_string()))?;
        let text = match (request.text("policy")?, request.text("rules")?) {
            (Some(text), _) if !text.is_empty() => text,
            (_, Some(text)) if !text.is_empty() => text,
            _ => return Err(Error::invalid("'policy' parameter not supplied or empty")),
        };
        let text = decode_base64(text);
        Policy::parse(name, &text).map_err(|error| Error::invalid(error.to_string()))?;
        for later in ["ttl", "expiration"] {
            // Taken silently, the policy would grant for longer than was asked for.
            if request.text(later)?.is_some_and(|value| !value.is_empty()) {
                return Err(Error::field(later, "policies that end by themselves are not supported"));
            }
        }
        let existing = self.policy(unsealed, name).await?;
        let present = existing.as_ref().map_or(0, |found| found.record.version);
        if let Some(cas) = request.integer("cas")?
            && !(present == 0 && cas == -1)
            && u64::try_from(cas) != Ok(present)
        {
            let text = format!("check-and-set parameter {cas} did not match the current version {present}");
            return Err(Error::invalid(text));
        }
        let key = key(name);
        txn.below().expect(&key, existing.as_ref().map_or(0, |found| found.revision));
        let version = present + 1;
        txn.put(key, &encode(name, &text, version, self.runtime.clock.now()));
        match request.data.contains_key("rules") && !request.data.contains_key("policy") {
            true => Ok(Response::empty().warn("'rules' is deprecated, please use 'policy' instead")),
            false => Ok(Response::empty()),
        }
    }
}

/// The paths; a name may have slashes.
pub(crate) static ROUTES: &[Route] = &[
    Route {
        pattern: "policies/acl",
        about: "The names of all policies.",
        verbs: &[verb(Operation::List, "Lists the names.", &[fields::KEYS])],
        fields: &[fields::AFTER, fields::LIMIT],
    },
    Route {
        pattern: "policies/acl/{name...}",
        about: "A policy: what tokens that have it may do.",
        verbs: &[
            verb(Operation::Read, "Reads the policy.", &[NAME, TEXT, VERSION, MODIFIED, CAS_REQUIRED]),
            verb(Operation::Update, "Writes the policy; it holds as soon as this is answered.", &[]),
            verb(Operation::Delete, "Deletes the policy; tokens that have it lose what it granted.", &[]),
        ],
        fields: &[TEXT, CAS, CAS_REQUIRED],
    },
    Route {
        pattern: "policy",
        about: "The names of all policies, in the older form.",
        verbs: &[
            verb(Operation::Read, "Lists the names.", &[fields::KEYS, NAMES]),
            verb(Operation::List, "Lists the names.", &[fields::KEYS, NAMES]),
        ],
        fields: &[],
    },
    Route {
        pattern: "policy/{name...}",
        about: "A policy, in the older form.",
        verbs: &[
            verb(Operation::Read, "Reads the policy.", &[NAME, RULES, VERSION, MODIFIED, CAS_REQUIRED]),
            verb(Operation::Update, "Writes the policy; it holds as soon as this is answered.", &[]),
            verb(Operation::Delete, "Deletes the policy; tokens that have it lose what it granted.", &[]),
        ],
        fields: &[TEXT, RULES, CAS, CAS_REQUIRED],
    },
];

const NAME: Field = field("name", Kind::Text, "The name, in lower case.");
const NAMES: Field = field("policies", Kind::List, "The same names once more.");
const TEXT: Field = field("policy", Kind::Text, "The policy as HCL or JSON, or that as base64.");
const RULES: Field = field("rules", Kind::Text, "The older name of \"policy\".");
const VERSION: Field = field("version", Kind::Integer, "Counts the writes.");
const MODIFIED: Field = field("modified", Kind::Text, "When it was last written (RFC 3339).");
const CAS: Field = field("cas", Kind::Integer, "The version that the policy must have; -1 if there must be none.");
const CAS_REQUIRED: Field = field("cas_required", Kind::Flag, "Whether each write must give \"cas\".");

/// A policy may come as base64: so it does if it decodes to text (no policy in HCL or JSON does).
fn decode_base64(text: String) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or(text)
}
