//! Revoking tokens: dead at once with all below them; what is left of them is removed by a job.

use super::*;
use crate::storage::schema;

impl Tokens<'_> {
    /// `revoke`.
    pub(super) async fn revoke(&mut self) -> Result<Response> {
        let (id, warning) = self.required()?;
        let hash = self.revocable(&id)?;
        Ok(warned(self.end(&hash).await?, warning))
    }

    /// `revoke-self`.
    pub(super) async fn revoke_self(&mut self) -> Result<Response> {
        let id = self.caller()?.id.danger_expose_text().to_string();
        let hash = self.revocable(&id)?;
        self.end(&hash).await
    }

    /// `revoke-accessor`.
    pub(super) async fn revoke_accessor(&mut self) -> Result<Response> {
        let (accessor, warning) = self.accessor()?;
        let response = match token::store::by_accessor(self.txn, &self.unsealed.secrets.salt, &accessor).await? {
            None => Response::empty().warn("No token found with this accessor"),
            Some((hash, _)) => self.end(&hash).await?,
        };
        Ok(warned(response, warning))
    }

    /// `revoke-orphan`: the token, and not its children, which have no parent any more.
    pub(super) async fn revoke_orphan(&mut self) -> Result<Response> {
        let (id, warning) = self.required()?;
        if !self.authorized.sudo {
            return Err(Error::invalid("root or sudo privileges required to revoke and orphan"));
        }
        let hash = self.revocable(&id)?;
        let Some(entry) = token::store::get(self.txn, &hash).await? else {
            return Err(Error::invalid("token to revoke not found"));
        };
        let salt = &self.unsealed.secrets.salt;
        let from = keys::children(&hash);
        let children = self.txn.scan_keys(&from, &schema::prefix_end(&from), limits::ORPHANS_MAX + 1).await?;
        if children.len() > limits::ORPHANS_MAX as usize {
            token::store::revoke_before_orphaning(self.txn, salt, &hash, &entry);
        } else {
            token::store::make_orphans(self.txn, &children).await?;
            token::store::revoke(self.txn, salt, &hash, &entry);
        }
        Ok(warned(Response::empty(), warning))
    }

    /// What stands for a token that may be revoked.
    fn revocable(&self, id: &str) -> Result<Hash> {
        match batch::is_batch(id) {
            true => Err(Error::invalid("batch tokens cannot be revoked")),
            false => Ok(self.unsealed.secrets.salt.hash(id)),
        }
    }

    async fn end(&mut self, hash: &Hash) -> Result<Response> {
        if let Some(entry) = token::store::get(self.txn, hash).await? {
            token::store::revoke(self.txn, &self.unsealed.secrets.salt, hash, &entry);
        }
        Ok(Response::empty())
    }
}
