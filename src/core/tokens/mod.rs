//! `auth/token/*`: tokens, and the roles that make them. One file an area; [`routes`] is the table of all paths.

mod create;
mod jobs;
mod lookup;
mod renew;
mod revoke;
mod roles;
pub(crate) mod routes;

use std::sync::Arc;

use super::authorize::{Authorized, Caller, Live};
use super::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::limits;
use crate::logical::Route;
use crate::token::ttl::Bounds;
use crate::token::{self, Entry, Hash, batch, keys, role};

/// A request to the token mount, and what it takes to serve it.
struct Tokens<'a> {
    core: &'a Core,
    unsealed: &'a Unsealed,
    txn: &'a mut BarrierTxn,
    authorized: &'a Authorized,
    request: &'a Request,
    /// What stands for the names of the route's pattern.
    params: Vec<&'a str>,
}

impl Core {
    /// Serves the token auth method.
    pub(crate) async fn auth_token(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
    ) -> Result<Response> {
        let (route, params) = find(authorized)?;
        let mut tokens = Tokens { core: self, unsealed, txn, authorized, request, params };
        let response = tokens.serve(route).await?;
        Ok(route.warn(request, response))
    }

    /// Takes one use of the caller's token, by a commit of its own.
    pub(crate) async fn spend(&self, unsealed: &Unsealed, caller: &Caller) -> Result<()> {
        let mut txn = self.begin(unsealed);
        txn.below().expect(&keys::token(&caller.hash), caller.revision);
        let used = caller.entry.used(self.runtime.clock.now(), limits::LAST_USE);
        token::store::update(&mut txn, &caller.hash, &caller.entry, &used);
        self.commit(txn).await
    }
}

/// The route of a request, if it serves the operation.
fn find(authorized: &Authorized) -> Result<(&'static Route, Vec<&str>)> {
    let path = authorized.rest.as_str();
    let lists = authorized.operation == Operation::List;
    let writes = matches!(authorized.operation, Operation::Create | Operation::Update);
    if writes && path.ends_with('/') {
        return Err(Error::invalid("cannot write to a path ending in '/'"));
    }
    let found = Route::find(routes::ROUTES, path);
    let (route, params) = found.ok_or_else(super::sys::unsupported_path)?;
    let is_folder = route.serves(Operation::List);
    // Only a folder's path may end with a slash, which a list's always does.
    if !is_folder && (lists || path.ends_with('/'))
        || route.pattern.contains("{role_name}") && !params.first().copied().is_some_and(role::is_name)
    {
        return Err(super::sys::unsupported_path());
    }
    match route.serves(authorized.operation) {
        true => Ok((route, params)),
        false => Err(Error::Unsupported),
    }
}

impl Tokens<'_> {
    async fn serve(&mut self, route: &Route) -> Result<Response> {
        match (route.pattern, self.authorized.operation) {
            ("create", _) => self.create(None, false).await,
            ("create-orphan", _) => self.create(None, true).await,
            ("create/{role_name}", _) => self.create(self.params.first().copied(), false).await,
            ("lookup" | "lookup/{token}", _) => self.lookup().await,
            ("lookup-self", _) => self.lookup_self(),
            ("lookup-accessor" | "lookup-accessor/{accessor}", _) => self.lookup_accessor().await,
            ("renew" | "renew/{token}", _) => self.renew().await,
            ("renew-self", _) => self.renew_self().await,
            ("renew-accessor", _) => self.renew_accessor().await,
            ("revoke" | "revoke/{token}", _) => self.revoke().await,
            ("revoke-self", _) => self.revoke_self().await,
            ("revoke-accessor" | "revoke-accessor/{accessor}", _) => self.revoke_accessor().await,
            ("revoke-orphan" | "revoke-orphan/{token}", _) => self.revoke_orphan().await,
            ("accessors", _) => self.list_accessors().await,
            ("roles", _) => self.list_roles().await,
            ("roles/{role_name}", Operation::Read) => self.read_role().await,
            ("roles/{role_name}", Operation::Delete) => self.delete_role(),
            ("roles/{role_name}", _) => self.write_role().await,
            ("tidy", _) => self.tidy().await,
            _ => Err(Error::Unsupported),
        }
    }

    fn caller(&self) -> Result<&Caller> {
        self.authorized.caller()
    }

    /// The bounds of lives: the mount's, else the system's.
    fn bounds(&self) -> Bounds {
        let (mount, settings) = (&self.authorized.mount, &self.core.settings);
        let or = |own: std::time::Duration, system| if own.is_zero() { system } else { own };
        Bounds {
            default: or(mount.default_lease_ttl, settings.default_lease_ttl),
            max: or(mount.max_lease_ttl, settings.max_lease_ttl),
        }
    }

    /// The token that a request names, in the path or in its body, and what is to be said about the former.
    fn named(&self) -> Result<(Option<String>, Option<&'static str>)> {
        match self.params.first().filter(|token| !token.is_empty()) {
            Some(token) => Ok((Some((*token).to_string()), Some(TOKEN_IN_PATH))),
            None => Ok((self.request.text("token")?.filter(|token| !token.is_empty()), None)),
        }
    }

    /// As [`Tokens::named`], for a request that must name one.
    fn required(&self) -> Result<(String, Option<&'static str>)> {
        let (id, warning) = self.named()?;
        Ok((id.ok_or_else(|| Error::invalid("missing token ID"))?, warning))
    }

    /// The accessor that a request names, likewise.
    fn accessor(&self) -> Result<(String, Option<&'static str>)> {
        if let Some(accessor) = self.params.first() {
            return Ok(((*accessor).to_string(), Some(ACCESSOR_IN_PATH)));
        }
        let accessor = self.request.text("accessor")?.filter(|accessor| !accessor.is_empty());
        Ok((accessor.ok_or_else(|| Error::invalid("1 error occurred:\n\t* missing accessor\n\n"))?, None))
    }

    async fn live(&mut self, id: &str) -> Result<Option<Live>> {
        self.core.live_token_of(self.unsealed, self.txn, id).await
    }

    /// The living token of an accessor.
    async fn by_accessor(&mut self, accessor: &str) -> Result<(Hash, Arc<Entry>)> {
        let invalid = || Error::invalid("1 error occurred:\n\t* invalid accessor\n\n");
        let found = token::store::by_accessor(self.txn, &self.unsealed.secrets.salt, accessor).await?;
        let (hash, _) = found.ok_or_else(invalid)?;
        let (entry, _) = self.core.live_token(self.unsealed, self.txn, &hash).await?.ok_or_else(invalid)?;
        Ok((hash, entry))
    }
}

/// Adds a warning, if there is one.
fn warned(response: Response, warning: Option<&'static str>) -> Response {
    match warning {
        Some(warning) => response.warn(warning),
        None => response,
    }
}

const TOKEN_IN_PATH: &str = "Using a token in the path is unsafe as the token can be logged in many places. Please use \
                             POST or PUT with the token passed in via the \"token\" parameter.";

const ACCESSOR_IN_PATH: &str = "Using an accessor in the path is unsafe as the accessor can be logged in many places. \
                                Please use POST or PUT with the accessor passed in via the \"accessor\" parameter.";
