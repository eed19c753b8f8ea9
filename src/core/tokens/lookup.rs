//! Looking tokens up.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::logical::Auth;
use crate::runtime::UnixTime;
use crate::storage::schema;
use crate::token::ttl;

impl Tokens<'_> {
    /// `lookup`: the token that is named, or the caller's own.
    pub(super) async fn lookup(&mut self) -> Result<Response> {
        let (named, warning) = self.named()?;
        let Some(id) = named else { return self.lookup_self() };
        match self.live(&id).await? {
            Some(found) => Ok(warned(self.show(&found.entry, &id), warning)),
            None => Err(Error::Forbidden("bad token".into())),
        }
    }

    /// `lookup-self`.
    pub(super) fn lookup_self(&self) -> Result<Response> {
        let caller = self.caller()?;
        Ok(self.show(&caller.entry, caller.id.danger_expose_text()))
    }

    /// `lookup-accessor`: as `lookup`, without the id.
    pub(super) async fn lookup_accessor(&mut self) -> Result<Response> {
        let (accessor, warning) = self.accessor()?;
        let (_, entry) = self.by_accessor(&accessor).await?;
        Ok(warned(self.show(&entry, ""), warning))
    }

    /// `accessors`: of all tokens that have not ended by themselves, read page by page.
    pub(super) async fn list_accessors(&self) -> Result<Response> {
        let now = self.core.runtime.clock.now();
        let mut accessors = Vec::new();
        let mut from = vec![schema::Kind::Token as u8];
        let to = schema::prefix_end(&from);
        loop {
            let page = self.core.raft.state().scan(&from, &to, limits::SCAN_PAGE_KEYS).await?;
            for (key, stored) in &page {
                let plain = self.unsealed.keyring.open(key, &stored.value)?;
                let entry = Entry::decode(&plain);
                let lives = |entry: &Entry| !entry.is_expired(now) && !entry.is_used_up() && !entry.orphaning;
                accessors.extend(entry.filter(lives).map(|entry| entry.accessor));
            }
            match page.last() {
                Some((last, _)) if page.len() == limits::SCAN_PAGE_KEYS => from = schema::after(last),
                _ => break,
            }
        }
        match accessors.is_empty() {
            true => Err(Error::Absent),
            false => Ok(Response::keys(accessors)),
        }
    }

    /// What a look-up shows of a token.
    fn show(&self, entry: &Entry, id: &str) -> Response {
        let now = self.core.runtime.clock.now();
        let mut data = json!({
            "accessor": entry.accessor,
            "creation_time": entry.created.seconds(),
            "creation_ttl": entry.creation_ttl.as_secs(),
            "display_name": entry.display_name,
            "entity_id": "",
            "expire_time": entry.expires.map(UnixTime::rfc3339),
            "explicit_max_ttl": entry.explicit_max_ttl.as_secs(),
            "id": id,
            "issue_time": entry.created.rfc3339(),
            "meta": if entry.metadata.is_empty() { Value::Null } else { json!(entry.metadata) },
            "num_uses": entry.shown_uses(),
            "orphan": entry.parent.is_none(),
            "path": entry.path,
            "policies": entry.policies,
            "renewable": entry.renewable,
            "ttl": ttl::rounded(entry.ttl(now)).as_secs(),
            "type": type_of(entry),
        });
        if !entry.bound_cidrs.is_empty() {
            data["bound_cidrs"] = entry.bound_cidrs.iter().map(ToString::to_string).collect();
        }
        if let Some(renewed) = entry.renewed {
            data["last_renewal"] = json!(renewed.rfc3339());
            data["last_renewal_time"] = json!(renewed.seconds());
        }
        if !entry.period.is_zero() {
            data["period"] = json!(entry.period.as_secs());
        }
        if let Some(role) = &entry.role {
            data["role"] = json!(role);
        }
        Response::data(data)
    }
}

/// The envelope's `auth` of a token that was given a life.
pub(super) fn auth(entry: &Entry, id: String, life: Duration) -> Auth {
    Auth {
        client_token: id,
        accessor: entry.accessor.clone(),
        policies: entry.policies.clone(),
        token_policies: entry.policies.clone(),
        metadata: entry.metadata.clone(),
        lease_duration: life,
        renewable: entry.renewable,
        token_type: type_of(entry),
        orphan: entry.parent.is_none(),
        num_uses: entry.num_uses,
    }
}

fn type_of(entry: &Entry) -> &'static str {
    if entry.batch { "batch" } else { "service" }
}
