//! Response wrapping: an answer goes into the cubbyhole of a token of one use, in the same commit as what made it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::authorize::Caller;
use super::mount::Mount;
use super::{Core, Error, Operation, Request, Response, Result, Unsealed, WrapInfo};
use crate::barrier::BarrierTxn;
use crate::engines::backend::MountTxn;
use crate::engines::cubbyhole as engine;
use crate::engines::view::MountView;
use crate::logical::route::{Field, Kind, Verb};
use crate::logical::{Route, envelope};
use crate::secret::Secret;
use crate::token::{self, Entry, Hash};

/// The policy that every wrapping token has.
pub(crate) const POLICY: &str = crate::policy::name::RESPONSE_WRAPPING;

/// Where in the token's cubbyhole the answer is, and in the record its body.
const RECORD: &str = "response";

/// In the record: the status of the answer, where it is not 200, and its media type, where it is not JSON.
const STATUS: &str = "status";
const CONTENT_TYPE: &str = "content_type";

const JSON: &str = "application/json";

/// An answer as it is wrapped.
struct Wrapped {
    /// Its whole body.
    body: String,
    /// Its HTTP status.
    status: u16,
    /// Its media type.
    content_type: String,
}

impl Wrapped {
    /// The answer as it would have been sent; `None` if it has nothing to say.
    fn of(response: &Response, request_id: &str) -> Option<Wrapped> {
        let (body, status, content_type) = match &response.raw {
            Some(raw) => (Cow::Borrowed(raw.body.as_slice()), raw.status, raw.content_type),
            None if response.data.is_none() && response.auth.is_none() => return None,
            None => {
                let status = match (response.absent, response.accepted) {
                    (true, _) => 404,
                    (false, true) => 202,
                    (false, false) => 200,
                };
                (Cow::Owned(envelope::render(response, request_id)), status, JSON)
            }
        };
        let body = String::from_utf8_lossy(&body).trim_end().to_string();
        Some(Wrapped { body, status, content_type: content_type.to_string() })
    }

    fn to_record(&self) -> Value {
        let mut record = json!({ RECORD: self.body });
        if self.status != 200 {
            record[STATUS] = json!(self.status);
        }
        if self.content_type != JSON {
            record[CONTENT_TYPE] = json!(self.content_type);
        }
        record
    }

    fn from_record(record: &Value) -> Option<Wrapped> {
        let status = record[STATUS].as_u64().and_then(|status| u16::try_from(status).ok());
        Some(Wrapped {
            body: record[RECORD].as_str()?.to_string(),
            status: status.unwrap_or(200),
            content_type: record[CONTENT_TYPE].as_str().unwrap_or(JSON).to_string(),
        })
    }

    /// The answer again.
    fn into_response(self) -> Response {
        let known = [JSON, crate::telemetry::render::PROMETHEUS_TYPE];
        let content_type = known.into_iter().find(|known| *known == self.content_type).unwrap_or(JSON);
        let raw = super::Raw { content_type, body: self.body.into_bytes(), status: self.status };
        Response { raw: Some(raw), ..Response::default() }
    }
}

/// 400: no such wrapping token, or somebody has used it.
pub(crate) fn invalid_token() -> Error {
    Error::invalid("wrapping token is not valid or does not exist")
}

/// The error of an unwrapping whose token is none that lives.
pub(crate) fn not_opened(request: &Request) -> Error {
    match (&request.token, named(request)) {
        (Some(_), _) => invalid_token(),
        (None, Some(_)) => Error::denied(),
        (None, None) => Error::Forbidden("error validating wrapping token: token is empty".into()),
    }
}

/// The wrapping token that the body names, if it names one.
fn named(request: &Request) -> Option<&str> {
    request.data.get("token").and_then(Value::as_str).filter(|id| !id.is_empty())
}

/// Whether the caller's token is a wrapping token that the request unwraps: then that takes the token.
pub(crate) fn unwraps_itself(caller: &Caller, request: &Request) -> bool {
    let presented = |id: &str| request.token.as_ref().is_some_and(|token| token.same(id.as_bytes()));
    caller.entry.wraps.is_some()
        && ["sys/wrapping/unwrap", "sys/wrapping/rewrap"].contains(&request.path.as_str())
        && named(request).is_none_or(|id| caller.id.same(id.as_bytes()) || presented(id))
}

/// The token that a request came with. On the paths of wrapping tokens it may have the form of a JWT.
pub(crate) fn presented(salt: &token::Salt, request: &Request) -> Option<Secret> {
    let given = request.token.as_ref()?;
    let opaque = match request.path.starts_with("sys/wrapping/") {
        true => token::jwt::decode(salt, given.danger_expose_text()).map(|id| Secret::new(id.into_bytes())),
        false => None,
    };
    Some(opaque.unwrap_or_else(|| given.clone()))
}

/// The paths.
pub(crate) static ROUTES: &[Route] = &[
    Route {
        pattern: "wrapping/wrap",
        about: "Wraps the body that was sent.",
        verbs: &[Verb::new(
            Operation::Update,
            "Answers a wrapping token; the header X-Vault-Wrap-TTL says how long it lives.",
            &[],
        )],
        fields: &[crate::engines::fields::FREE],
    },
    Route {
        pattern: "wrapping/lookup",
        about: "What is known of a wrapping token. Needs no other token.",
        verbs: &[
            Verb::new(Operation::Update, "Looks the token up.", LOOKED_UP),
            Verb::new(Operation::Read, "Looks the calling token up.", LOOKED_UP),
        ],
        fields: &[TOKEN],
    },
    Route {
        pattern: "wrapping/unwrap",
        about: "Takes out what a wrapping token holds, once; the token ends with it.",
        verbs: &[Verb::new(Operation::Update, "Answers what was wrapped, as it was answered then.", &[])],
        fields: &[TOKEN],
    },
    Route {
        pattern: "wrapping/rewrap",
        about: "Moves what a wrapping token holds to a new one with as long a life.",
        verbs: &[Verb::new(Operation::Update, "Answers the new wrapping token; the old one ends.", &[])],
        fields: &[TOKEN],
    },
];

const TOKEN: Field = Field::new("token", Kind::Text, "The wrapping token; without it the calling token is meant.");
const LOOKED_UP: &[Field] = &[
    Field::new("creation_path", Kind::Text, "The path of the request whose answer is wrapped."),
    Field::new("creation_time", Kind::Text, "When it was wrapped (RFC 3339)."),
    Field::new("creation_ttl", Kind::Integer, "How long the token lives from then on, in seconds."),
];

impl Core {
    /// Wraps the answer if the request asks for it and there is something to wrap.
    pub(crate) async fn wrap_if_asked(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
        response: Response,
    ) -> Result<Response> {
        let Some(ttl) = request.wrap_ttl.filter(|ttl| !ttl.is_zero()) else { return Ok(response) };
        // Help is for all and says nothing of what is stored.
        if response.wrap_info.is_some() || request.operation == Operation::Help {
            return Ok(response);
        }
        let ttl = ttl.min(self.settings.max_lease_ttl);
        let response = Response { flat: false, ..response };
        let Some(wrapped) = Wrapped::of(&response, &request.id) else { return Ok(response) };
        let mut info = self.wrap(unsealed, txn, &request.path, ttl, &wrapped).await?;
        info.wrapped_accessor = response.auth.as_ref().map(|auth| auth.accessor.clone());
        self.reshape(unsealed, request, &mut info);
        Ok(Response { wrap_info: Some(info), warnings: response.warnings, ..Response::default() })
    }

    /// Gives the wrapping token the form of a JWT if the request asks for that.
    fn reshape(&self, unsealed: &Unsealed, request: &Request, info: &mut WrapInfo) {
        if request.headers.get("x-vault-wrap-format").is_some_and(|format| format.eq_ignore_ascii_case("jwt")) {
            let claims = token::jwt::Claims {
                address: &self.settings.api_addr,
                accessor: info.wrapped_accessor.as_deref().unwrap_or_default(),
                issued: info.creation_time,
                expires: info.creation_time.plus(info.ttl),
            };
            info.token = token::jwt::encode(&unsealed.secrets.salt, &info.token, claims);
        }
    }

    /// Makes a wrapping token around an answer.
    async fn wrap(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        path: &str,
        ttl: Duration,
        wrapped: &Wrapped,
    ) -> Result<WrapInfo> {
        let now = self.runtime.clock.now();
        let entropy = &self.runtime.entropy;
        let (id, accessor) = (token::id::service(entropy), token::id::accessor(entropy));
        let hash = unsealed.secrets.salt.hash(&id);
        let entry = Entry {
            accessor: accessor.clone(),
            parent: None,
            policies: vec![POLICY.to_string()],
            path: path.to_string(),
            display_name: "token".to_string(),
            metadata: BTreeMap::new(),
            created: now,
            creation_ttl: ttl,
            expires: Some(now.plus(ttl)),
            renewed: None,
            explicit_max_ttl: ttl,
            period: Duration::ZERO,
            num_uses: 1,
            renewable: false,
            namespace: crate::storage::schema::NAMESPACE_ROOT,
            wraps: Some(path.to_string()),
            ..Entry::default()
        };
        token::store::create(txn, &unsealed.secrets.salt, &hash, &entry);
        let mount = self.cubbyhole_mount(unsealed).await?;
        let mut cubbyhole = MountView::new(txn, mount.namespace, &mount.uuid);
        let object = engine::encode(wrapped.to_record());
        cubbyhole.put(&format!("{}{RECORD}", engine::prefix(&hex::encode(hash))), &object);
        Ok(WrapInfo {
            token: id,
            accessor,
            ttl,
            creation_time: now,
            creation_path: path.to_string(),
            wrapped_accessor: None,
        })
    }

    async fn cubbyhole_mount(&self, unsealed: &Unsealed) -> Result<std::sync::Arc<Mount>> {
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        let found = router.at("cubbyhole/").ok_or_else(|| Error::Internal("there is no cubbyhole".into()))?;
        Ok(std::sync::Arc::clone(&found.record))
    }

    /// `sys/wrapping/*`. The wrapping token comes in the body or is the caller's own.
    pub(crate) async fn sys_wrapping(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
        pattern: &str,
    ) -> Result<Response> {
        match (pattern, request.operation) {
            ("wrapping/wrap", Operation::Update) => self.wrap_data(request),
            ("wrapping/lookup", Operation::Update | Operation::Read) => {
                let (_, entry) = self.wrapping_token(unsealed, txn, request).await?;
                Ok(Response::data(json!({
                    "creation_path": entry.wraps.clone().unwrap_or_default(),
                    "creation_time": entry.created.rfc3339(),
                    "creation_ttl": entry.creation_ttl.as_secs(),
                })))
            }
            ("wrapping/unwrap", Operation::Update) => self.unwrap(unsealed, txn, request).await,
            ("wrapping/rewrap", Operation::Update) => self.rewrap(unsealed, txn, request).await,
            _ => Err(Error::Unsupported),
        }
    }

    fn wrap_data(&self, request: &Request) -> Result<Response> {
        if request.wrap_ttl.is_none_or(|ttl| ttl.is_zero()) {
            return Err(Error::invalid("endpoint requires response wrapping to be used"));
        }
        Ok(Response { data: Some(request.data.clone()), ..Response::default() })
    }

    async fn wrapping_token(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
    ) -> Result<(Hash, Entry)> {
        let given = request.text("token")?.filter(|id| !id.is_empty());
        let own = || request.token.as_ref().map(|own| own.danger_expose_text().to_string());
        let id = given.or_else(own).ok_or_else(|| Error::invalid("missing \"token\" value in input"))?;
        let salt = &unsealed.secrets.salt;
        let hash = salt.hash(token::jwt::decode(salt, &id).as_deref().unwrap_or(&id));
        let is_alive = |entry: &Entry| !entry.is_expired(self.runtime.clock.now()) && !entry.is_used_up();
        match token::store::get(txn, &hash).await? {
            Some(entry) if entry.wraps.is_some() && is_alive(&entry) => Ok((hash, entry)),
            _ => Err(invalid_token()),
        }
    }

    /// Takes the answer out and the token with it, in one commit: whoever commits first has it, once.
    async fn unwrap(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, request: &Request) -> Result<Response> {
        let (hash, entry) = self.wrapping_token(unsealed, txn, request).await?;
        let wrapped = self.take_wrapped(unsealed, txn, &hash, &entry).await?;
        if let Some(ttl) = request.wrap_ttl.filter(|ttl| !ttl.is_zero()) {
            let ttl = ttl.min(self.settings.max_lease_ttl);
            let mut info = self.wrap(unsealed, txn, &request.path, ttl, &wrapped).await?;
            self.reshape(unsealed, request, &mut info);
            return Ok(Response { wrap_info: Some(info), ..Response::default() });
        }
        Ok(wrapped.into_response())
    }

    async fn rewrap(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, request: &Request) -> Result<Response> {
        let (hash, entry) = self.wrapping_token(unsealed, txn, request).await?;
        let wrapped = self.take_wrapped(unsealed, txn, &hash, &entry).await?;
        let path = entry.wraps.clone().unwrap_or_default();
        let info = self.wrap(unsealed, txn, &path, entry.creation_ttl, &wrapped).await?;
        Ok(Response { wrap_info: Some(info), ..Response::default() })
    }

    async fn take_wrapped(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        hash: &Hash,
        entry: &Entry,
    ) -> Result<Wrapped> {
        let mount = self.cubbyhole_mount(unsealed).await?;
        let name = format!("{}{RECORD}", engine::prefix(&hex::encode(hash)));
        let mut cubbyhole = MountView::new(txn, mount.namespace, &mount.uuid);
        let object = engine::decode(&cubbyhole.get(&name).await?.ok_or_else(invalid_token)?)?;
        let wrapped = Wrapped::from_record(&object).ok_or_else(invalid_token)?;
        cubbyhole.delete(&name);
        token::store::remove_record(txn, &unsealed.secrets.salt, hash, entry);
        if crate::runtime::point::mutant("unwrap-twice") {
            txn.below().forget_reads();
        }
        Ok(wrapped)
    }
}
