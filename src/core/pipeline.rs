//! The way of a request: one function that reads from token to reply. What must have happened before something else is
//! a value that only the check can make ([`Unsealed`], [`Caller`], [`Authorized`], [`Audited`]).

use super::authorize::{Authorized, Caller};
use super::mount::Mount;
use super::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::engines::backend::Call;
use crate::engines::catalog;
use crate::engines::view::MountView;
use crate::limits;
use crate::logical::Route;

/// Proof that the request's entry was accepted by the audit devices (none exist yet).
pub(crate) struct Audited(());

/// What shows that a request saw everything that was acknowledged before it.
///
/// A read index does, confirmed by a quorum. So does, without that round, the commit of a transaction that is bound to a
/// term in which this node was active when the request began: the term's first entry was applied here, so everything of
/// earlier terms was read; what this leader acknowledged it had applied; and had a later leader acknowledged anything
/// before the request began, no quorum would have taken the entry any more. Whatever is answered without such a commit (a
/// refusal, a write that changes nothing) is proven by a read index afterwards, in the same term.
enum Proof {
    /// A read index was confirmed.
    Given,
    /// The commit will show it.
    ByCommit {
        /// The term that the transaction is bound to.
        term: u64,
    },
}

/// Whether a request is most likely to end in one commit of its transaction and does nothing beside that: the writes of
/// secret engines and of tokens.
fn commits(request: &Request) -> bool {
    let writes =
        matches!(request.operation, Operation::Create | Operation::Update | Operation::Patch | Operation::Delete);
    let (mount, rest) = request.path.split_once('/').unwrap_or((&request.path, ""));
    writes && mount != "sys" && (mount != "auth" || rest.starts_with("token/"))
}

impl Core {
    /// Carries out a request on the active node.
    ///
    /// # Errors
    /// [`Error::Standby`] if this node is not the active one; else what the client is to be told.
    pub async fn handle(&self, request: &Request) -> Result<Response> {
        self.serve(request).await.map_err(|error| self.told_if_out(error))
    }

    async fn serve(&self, request: &Request) -> Result<Response> {
        let _in_flight = self.in_flight.begin(request, self.runtime.clock.now());
        if let Some(answer) = self.public(request).await {
            return answer;
        }
        let mut line = None;
        // A use of the token is taken once, however often the rest of the request runs into conflicts.
        let mut spent = false;
        for attempt in 0.. {
            match self.attempt(request, &mut spent).await {
                Err(Error::Standby) if spent => {
                    let text =
                        "a use of the token was taken, then this node lost its leadership; nothing else was done";
                    return Err(Error::Unavailable(text.into()));
                }
                Err(Error::Conflict) if attempt < limits::CONFLICT_RETRIES => {}
                Err(Error::Conflict) if line.is_none() => line = Some(self.line.wait(&request.path).await),
                Err(Error::Conflict) if attempt < 2 * limits::CONFLICT_RETRIES => {}
                Err(Error::Conflict) => break,
                result => return result,
            }
        }
        Err(Error::Unavailable("too many conflicting writes".into()))
    }

    async fn attempt(&self, request: &Request, spent: &mut bool) -> Result<Response> {
        let unsealed = self.unsealed().await?;
        if !Core::is_for_this_node(request) {
            self.active()?;
        }
        let mut proof = match self.active_in().filter(|_| commits(request)) {
            Some(term) => Proof::ByCommit { term },
            None => self.read_first(request).await?,
        };
        let mut txn = self.begin(&unsealed);
        if let Proof::ByCommit { term } = proof {
            txn.below().bind_to_term(term);
        }
        let done = self.carry_out(&unsealed, &mut txn, request, &mut proof, spent).await;
        if done.is_err() || txn.is_read_only() {
            self.prove(&mut proof).await?;
        }
        let (audited, response) = done?;
        self.commit(txn).await?;
        self.audit_response(&audited, request, &response);
        Ok(response)
    }

    /// A read index before anything is read.
    async fn read_first(&self, request: &Request) -> Result<Proof> {
        match self.linearize().await {
            // An emergency must not wait for a quorum: the node seals itself by what it knows.
            Err(_) if request.path == "sys/seal" => {}
            linearized => linearized?,
        }
        Ok(Proof::Given)
    }

    /// From token to response, up to the commit.
    async fn carry_out(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
        proof: &mut Proof,
        spent: &mut bool,
    ) -> Result<(Audited, Response)> {
        let mut caller = self.authenticate(unsealed, txn, request, *spent).await?;
        let mut authorized = self.authorize(unsealed, txn, caller.clone(), request).await;
        let audited = self.audit_request(&authorized, request);
        let free = authorized.is_err() && crate::runtime::point::mutant("free-denied-use");
        if !*spent && !free && self.consume_use(unsealed, caller.as_ref(), request, &audited, proof).await? {
            *spent = true;
            // That commit changed the token's record: all is read anew, so that the read set is whole.
            *txn = self.begin(unsealed);
            caller = self.authenticate(unsealed, txn, request, true).await?;
            authorized = self.authorize(unsealed, txn, caller, request).await;
        }
        let authorized = authorized?;
        crate::runtime::point::panic_at(&request.path);
        let response = self.execute(unsealed, txn, &authorized, request, &audited).await?;
        let response = self.wrap_if_asked(unsealed, txn, request, response).await?;
        Ok((audited, response))
    }

    /// Makes sure that what was read since the request began was no older than anything acknowledged before.
    async fn prove(&self, proof: &mut Proof) -> Result<()> {
        let Proof::ByCommit { term } = *proof else { return Ok(()) };
        self.linearize().await?;
        if self.active_in() != Some(term) {
            return Err(Error::Conflict);
        }
        *proof = Proof::Given;
        Ok(())
    }

    /// Makes sure that what is read next is no older than anything acknowledged before now.
    pub(crate) async fn linearize(&self) -> Result<()> {
        if crate::runtime::point::mutant("read-without-leadership") {
            return Ok(());
        }
        self.raft.read_index().await.map(drop).map_err(|_| Error::Standby)
    }

    /// As the pipeline begins, for what needs no token: this node is unsealed and active, and what is read next is no older
    /// than anything acknowledged before now.
    ///
    /// # Errors
    /// [`Error::Sealed`], or [`Error::Standby`] if it is not the active one.
    pub(crate) async fn unsealed_and_active(&self) -> Result<Unsealed> {
        let unsealed = self.unsealed().await?;
        self.active()?;
        self.linearize().await?;
        Ok(unsealed)
    }

    fn audit_request(&self, _authorized: &Result<Authorized>, _request: &Request) -> Audited {
        Audited(())
    }

    fn audit_response(&self, _audited: &Audited, _request: &Request, _response: &Response) {}

    /// Takes one use of a token that has a number of them, by a commit of its own that is never given back, also if the
    /// request is then denied. Whether it did.
    async fn consume_use(
        &self,
        unsealed: &Unsealed,
        caller: Option<&Caller>,
        request: &Request,
        _audited: &Audited,
        proof: &mut Proof,
    ) -> Result<bool> {
        match caller {
            // Unwrapping takes the token itself, in the commit that takes what is wrapped.
            Some(caller) if caller.entry.num_uses > 0 && !super::wrap::unwraps_itself(caller, request) => {
                self.prove(proof).await?;
                self.spend(unsealed, caller).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn execute(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
        _audited: &Audited,
    ) -> Result<Response> {
        let mount = &authorized.mount;
        if request.operation == Operation::Help {
            return self.help(authorized);
        }
        match mount.kind.as_str() {
            "system" => self.sys(unsealed, txn, authorized, request).await,
            "token" => self.auth_token(unsealed, txn, authorized, request).await,
            _ => {
                let backend = catalog::find(&mount.kind, &mount.options).ok_or_else(super::sys::unsupported_path)?;
                if mount.upgrading && Route::find(backend.routes(), &authorized.rest).is_some() {
                    return Err(super::upgrade::unavailable());
                }
                let caller = authorized.caller.as_ref();
                if mount.kind == "cubbyhole" && caller.is_some_and(|caller| caller.entry.batch) {
                    let text = "cubbyhole operations are only supported by 'service' type tokens";
                    return Err(Error::invalid(text));
                }
                let cubbyhole = caller.map(Caller::cubbyhole);
                let mut view = MountView::new(txn, mount.namespace, &mount.uuid);
                backend.handle(self.call(request, mount, &authorized.rest, cubbyhole.as_deref(), &mut view)).await
            }
        }
    }
}

impl Core {
    /// A request as its mount's engine sees it.
    pub(crate) fn call<'a>(
        &'a self,
        request: &'a Request,
        mount: &'a Mount,
        rest: &'a str,
        cubbyhole: Option<&'a str>,
        txn: &'a mut MountView<'_>,
    ) -> Call<'a> {
        Call {
            request,
            path: rest,
            options: &mount.options,
            default_lease: match mount.default_lease_ttl.is_zero() {
                true => self.settings.default_lease_ttl,
                false => mount.default_lease_ttl,
            },
            cubbyhole,
            txn,
            now: self.runtime.clock.now(),
            entropy: &self.runtime.entropy,
        }
    }
}

/// The error of a path that no mount serves.
pub(crate) fn no_route(path: &str) -> Error {
    Error::NoRoute(format!("no handler for route \"{path}\". route entry not found."))
}
