//! Renewing tokens.

use std::time::Duration;

use super::lookup::auth;
use super::*;
use crate::runtime::point::mutant;
use crate::token::{Role, ttl};

impl Tokens<'_> {
    /// `renew`.
    pub(super) async fn renew(&mut self) -> Result<Response> {
        let (id, warning) = self.required()?;
        let found = self.live(&id).await?.ok_or_else(not_found)?;
        Ok(warned(self.extend(&found.hash, &found.entry, &id).await?, warning))
    }

    /// `renew-self`.
    pub(super) async fn renew_self(&mut self) -> Result<Response> {
        let id = self.caller()?.id.danger_expose_text().to_string();
        let found = self.live(&id).await?.ok_or_else(not_found)?;
        self.extend(&found.hash, &found.entry, &id).await
    }

    /// `renew-accessor`: as `renew`, without the id in the answer.
    pub(super) async fn renew_accessor(&mut self) -> Result<Response> {
        let (accessor, warning) = self.accessor()?;
        let (hash, entry) = self.by_accessor(&accessor).await?;
        if !can_be_renewed(&entry) {
            return Err(Error::invalid("1 error occurred:\n\t* invalid request\n\n"));
        }
        Ok(warned(self.extend(&hash, &entry, "").await?, warning))
    }

    async fn extend(&mut self, hash: &Hash, old: &Entry, id: &str) -> Result<Response> {
        let increment = roles::seconds(self.request, "increment", "Field validation failed: ")?.unwrap_or_default();
        if old.batch {
            return Err(Error::invalid("batch tokens cannot be renewed"));
        }
        if !can_be_renewed(old) {
            return Err(Error::invalid("lease is not renewable"));
        }
        let role = match &old.role {
            None => None,
            Some(name) => Some(self.role(name).await?.ok_or_else(|| lost_role(name))?),
        };
        self.renewed(hash, old, role.as_ref(), increment, id)
    }

    fn renewed(
        &mut self,
        hash: &Hash,
        old: &Entry,
        role: Option<&Role>,
        increment: Duration,
        id: &str,
    ) -> Result<Response> {
        let now = self.core.runtime.clock.now();
        let (life, warning) = self.bounds().renew(old, role, now, increment);
        let life = if mutant("renewed-beyond-maximum") { old.last_ttl() } else { life };
        let new = Entry { expires: Some(now.plus(life)), renewed: Some(now), ..old.clone() };
        token::store::update(self.txn, hash, old, &new);
        let warnings = Vec::from_iter(warning);
        // What is left of a bound is a whole number of seconds to who asked for it a moment ago.
        let auth = auth(&new, id.to_string(), ttl::rounded(life));
        Ok(Response { auth: Some(auth), warnings, ..Response::default() })
    }
}

fn can_be_renewed(entry: &Entry) -> bool {
    entry.renewable && entry.expires.is_some()
}

fn not_found() -> Error {
    Error::invalid("token not found")
}

fn lost_role(name: &str) -> Error {
    let text = format!("failed to renew entry: original token role {name:?} could not be found, not renewing");
    Error::invalid(format!("1 error occurred:\n\t* {text}\n\n"))
}
