//! Response wrapping: an answer goes into the cubbyhole of a token of one use, in the same commit as what made it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::authorize::{Authorized, Caller};
use super::mount::Mount;
use super::{Core, Error, Operation, Request, Response, Result, Unsealed, WrapInfo};
use crate::barrier::BarrierTxn;
use crate::engines::backend::MountTxn;
use crate::engines::view::MountView;
use crate::logical::envelope;
use crate::token::{self, Entry, Hash};

/// The policy that every wrapping token has.
pub(crate) const POLICY: &str = crate::policy::name::RESPONSE_WRAPPING;

/// Where in the token's cubbyhole the answer is.
const RECORD: &str = "response";

const INVALID: &str = "wrapping token is not valid or does not exist";

impl Core {
    /// Wraps the answer if the request asks for it and there is something to wrap.
    pub(crate) async fn wrap_if_asked(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
        response: Response,
    ) -> Result<Response> {
        let Some(ttl) = request.wrap_ttl.filter(|ttl| !ttl.is_zero()) else { return Ok(response) };
        if response.raw.is_some()
            || response.wrap_info.is_some()
            || (response.data.is_none() && response.auth.is_none())
        {
            return Ok(response);
        }
        if request.operation == Operation::List || request.path.starts_with("sys/wrapping/lookup") {
            return Ok(response);
        }
        let ttl = ttl.min(self.settings.max_lease_ttl);
        let _ = authorized;
        let wrapped = envelope::render(&response, &request.id);
        let accessor = response.auth.as_ref().map(|auth| auth.accessor.clone());
        let mut info = self.wrap(unsealed, txn, &request.path, ttl, wrapped).await?;
        info.wrapped_accessor = accessor;
        Ok(Response { wrap_info: Some(info), warnings: response.warnings, ..Response::default() })
    }

    /// Makes a wrapping token around `wrapped`, the whole JSON of an answer.
    async fn wrap(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        path: &str,
        ttl: Duration,
        wrapped: Vec<u8>,
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
            display_name: String::new(),
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
        };
        token::store::create(txn, &unsealed.secrets.salt, &hash, &entry);
        let mount = self.cubbyhole_mount(unsealed).await?;
        let mut cubbyhole = MountView::new(txn, mount.namespace, &mount.uuid);
        cubbyhole.put(&format!("{}/{RECORD}", hex::encode(hash)), &wrapped);
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

    /// `sys/wrapping/*`. `caller` is who asks; the wrapping token comes in the body or is the caller's own.
    pub(crate) async fn sys_wrapping(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        caller: Option<&Caller>,
        request: &Request,
        action: &str,
    ) -> Result<Response> {
        if request.operation != Operation::Update && !(action == "lookup" && request.operation == Operation::Read) {
            return Err(Error::Unsupported);
        }
        if action == "wrap" {
            return self.wrap_data(request);
        }
        let id = match request.text("token")? {
            Some(id) if !id.is_empty() => id,
            _ => caller.map(|caller| caller.id.danger_expose_text().to_string()).unwrap_or_default(),
        };
        let (hash, entry) = self.wrapping_token(unsealed, txn, &id).await?;
        match action {
            "lookup" => Ok(Response::data(json!({
                "creation_path": entry.wraps.clone().unwrap_or_default(),
                "creation_time": entry.created.rfc3339(),
                "creation_ttl": entry.creation_ttl.as_secs(),
            }))),
            "unwrap" => self.unwrap(unsealed, txn, &hash, &entry).await,
            "rewrap" => self.rewrap(unsealed, txn, &hash, &entry).await,
            _ => Err(Error::NoRoute("1 error occurred:\n\t* unsupported path\n\n".into())),
        }
    }

    fn wrap_data(&self, request: &Request) -> Result<Response> {
        if request.wrap_ttl.is_none_or(|ttl| ttl.is_zero()) {
            return Err(Error::invalid("endpoint requires response wrapping to be used"));
        }
        Ok(Response { data: Some(request.data.clone()), ..Response::default() })
    }

    async fn wrapping_token(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, id: &str) -> Result<(Hash, Entry)> {
        if id.is_empty() {
            return Err(Error::invalid("missing \"token\" value in input"));
        }
        let hash = unsealed.secrets.salt.hash(id);
        match token::store::get(txn, &hash).await? {
            Some(entry) if entry.wraps.is_some() && !entry.is_expired(self.runtime.clock.now()) => Ok((hash, entry)),
            _ => Err(Error::invalid(INVALID)),
        }
    }

    /// Takes the answer out and the token with it, by a commit of its own: whoever commits first has it, once.
    async fn unwrap(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, hash: &Hash, entry: &Entry) -> Result<Response> {
        let wrapped = self.take_wrapped(unsealed, txn, hash, entry).await?;
        Ok(Response {
            raw: Some(super::Raw { content_type: "application/json", body: wrapped, status: 200 }),
            ..Response::default()
        })
    }

    async fn rewrap(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, hash: &Hash, entry: &Entry) -> Result<Response> {
        let wrapped = self.take_wrapped(unsealed, txn, hash, entry).await?;
        let path = entry.wraps.clone().unwrap_or_default();
        let info = self.wrap(unsealed, txn, &path, entry.creation_ttl, wrapped).await?;
        Ok(Response { wrap_info: Some(info), ..Response::default() })
    }

    async fn take_wrapped(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        hash: &Hash,
        entry: &Entry,
    ) -> Result<Vec<u8>> {
        let mount = self.cubbyhole_mount(unsealed).await?;
        let name = format!("{}/{RECORD}", hex::encode(hash));
        let mut cubbyhole = MountView::new(txn, mount.namespace, &mount.uuid);
        let wrapped = cubbyhole.get(&name).await?.ok_or_else(|| Error::invalid(INVALID))?;
        cubbyhole.delete(&name);
        token::store::remove_record(txn, &unsealed.secrets.salt, hash, entry);
        Ok(wrapped.to_vec())
    }
}
