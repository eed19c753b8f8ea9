//! `auth/token/*`: create, look up, renew and revoke tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::authorize::{Authorized, Caller};
use super::{Auth, Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::limits;
use crate::policy;
use crate::runtime::UnixTime;
use crate::storage::schema;
use crate::token::{self, Entry, Hash, keys};

impl Core {
    /// Serves the token auth method.
    pub(crate) async fn auth_token(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
    ) -> Result<Response> {
        use Operation::{Create, List, Read, Update};
        let caller = authorized.caller()?;
        let salt = &unsealed.secrets.salt;
        let operation = authorized.operation;
        match (operation, authorized.rest.as_str()) {
            (Update | Create, "create") => self.create_token(unsealed, txn, authorized, request, false).await,
            (Update | Create, "create-orphan") => self.create_token(unsealed, txn, authorized, request, true).await,
            (Read, "lookup-self") => Ok(self.show(&caller.entry, caller.id.danger_expose_text())),
            (Update | Create, "lookup-self") => Ok(self.show(&caller.entry, caller.id.danger_expose_text())),
            (Read | Update | Create, "lookup") => {
                let given = request.text("token")?.filter(|id| !id.is_empty());
                let id = given.unwrap_or_else(|| caller.id.danger_expose_text().to_string());
                match self.live_token(unsealed, txn, &salt.hash(&id)).await? {
                    Some((entry, _)) => Ok(self.show(&entry, &id)),
                    None => Err(Error::Forbidden("bad token".into())),
                }
            }
            (Update | Create, "lookup-accessor") => {
                let (_, entry) = self.by_accessor(unsealed, txn, request).await?;
                Ok(self.show(&entry, ""))
            }
            (Update | Create, "renew-self") => {
                let id = caller.id.danger_expose_text().to_string();
                self.renew(unsealed, txn, &caller.hash, &id, request).await
            }
            (Update | Create, "renew") => {
                let id = required(request, "token", "missing token ID")?;
                self.renew(unsealed, txn, &salt.hash(&id), &id, request).await
            }
            (Update | Create, "renew-accessor") => {
                let (hash, _) = self.by_accessor(unsealed, txn, request).await?;
                self.renew(unsealed, txn, &hash, "", request).await
            }
            (Update | Create, "revoke-self") => self.revoke(unsealed, txn, &caller.hash).await,
            (Update | Create, "revoke") => {
                let id = required(request, "token", "missing token ID")?;
                self.revoke(unsealed, txn, &salt.hash(&id)).await
            }
            (Update | Create, "revoke-accessor") => self.revoke_accessor(unsealed, txn, request).await,
            (Update | Create, "revoke-orphan") => {
                if !authorized.sudo {
                    return Err(Error::invalid("root or sudo privileges required to revoke and orphan"));
                }
                let id = required(request, "token", "missing token ID")?;
                self.revoke_orphan(unsealed, txn, &salt.hash(&id)).await
            }
            (List, "accessors" | "accessors/") => self.list_accessors(unsealed).await,
            (_, "create" | "create-orphan" | "lookup" | "lookup-self" | "lookup-accessor" | "renew" | "renew-self")
            | (_, "renew-accessor" | "revoke" | "revoke-self" | "revoke-accessor" | "revoke-orphan" | "accessors") => {
                Err(Error::Unsupported)
            }
            _ => Err(super::sys::unsupported_path()),
        }
    }

    async fn create_token(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
        orphan: bool,
    ) -> Result<Response> {
        let caller = authorized.caller()?;
        if caller.entry.num_uses > 0 {
            return Err(Error::invalid("restricted use token cannot generate child tokens"));
        }
        let wish = Wish::read(request, caller, authorized.sudo, orphan)?;
        let now = self.runtime.clock.now();
        let mut warnings = Vec::new();
        for name in &wish.policies {
            if self.policy(unsealed, name).await?.is_none() {
                warnings.push(format!("Policy \"{name}\" does not exist"));
            }
        }
        let is_root = wish.policies.iter().any(|name| name == "root");
        let ttl = self.creation_ttl(&wish, is_root, &mut warnings);
        let id = match &wish.id {
            Some(id) => id.clone(),
            None => token::id::service(&self.runtime.entropy),
        };
        let hash = unsealed.secrets.salt.hash(&id);
        if token::store::get(txn, &hash).await?.is_some() {
            return Err(Error::invalid("cannot create a token with a duplicate ID"));
        }
        let entry = Entry {
            accessor: token::id::accessor(&self.runtime.entropy),
            parent: (!wish.orphan).then_some(caller.hash),
            policies: wish.policies,
            path: request.path.clone(),
            display_name: wish.display_name,
            metadata: wish.metadata,
            created: now,
            creation_ttl: ttl,
            expires: (!ttl.is_zero()).then(|| now.plus(ttl)),
            renewed: None,
            explicit_max_ttl: wish.explicit_max_ttl,
            period: wish.period,
            num_uses: wish.num_uses,
            renewable: wish.renewable && !ttl.is_zero(),
            namespace: schema::NAMESPACE_ROOT,
            wraps: None,
        };
        token::store::create(txn, &unsealed.secrets.salt, &hash, &entry);
        let response = Response { auth: Some(auth(&entry, id, now)), warnings, ..Response::default() };
        Ok(crate::engines::fields::warn_of_unknown(request, CREATE_FIELDS, response))
    }

    /// The life of a new token: what was asked for, under the system's and its own bound.
    fn creation_ttl(&self, wish: &Wish, is_root: bool, warnings: &mut Vec<String>) -> Duration {
        let system = self.settings.max_lease_ttl;
        let bound = match wish.explicit_max_ttl.is_zero() {
            true => system,
            false => system.min(wish.explicit_max_ttl),
        };
        if !wish.period.is_zero() {
            if wish.period > bound {
                warnings.push(capped("period", wish.period, bound));
            }
            return wish.period.min(bound);
        }
        let asked = match (wish.ttl.is_zero(), is_root) {
            (false, _) => wish.ttl,
            (true, true) if wish.explicit_max_ttl.is_zero() => return Duration::ZERO,
            (true, _) => self.settings.default_lease_ttl,
        };
        if asked > bound && !wish.ttl.is_zero() {
            warnings.push(capped("TTL", asked, bound));
        }
        asked.min(bound)
    }

    async fn by_accessor(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        request: &Request,
    ) -> Result<(Hash, Arc<Entry>)> {
        let accessor = required(request, "accessor", MISSING_ACCESSOR)?;
        let invalid = || Error::invalid("1 error occurred:\n\t* invalid accessor\n\n");
        let found = token::store::by_accessor(txn, &unsealed.secrets.salt, &accessor).await?;
        let (hash, _) = found.ok_or_else(invalid)?;
        let (entry, _) = self.live_token(unsealed, txn, &hash).await?.ok_or_else(invalid)?;
        Ok((hash, entry))
    }

    async fn renew(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        hash: &Hash,
        id: &str,
        request: &Request,
    ) -> Result<Response> {
        let now = self.runtime.clock.now();
        let increment = request.duration("increment")?.unwrap_or_default();
        let Some((old, _)) = self.live_token(unsealed, txn, hash).await? else {
            return Err(Error::invalid("token not found"));
        };
        if !old.renewable || old.expires.is_none() {
            return Err(Error::invalid("lease is not renewable"));
        }
        let (expires, cut) = old.renewed_until(now, increment, self.settings.max_lease_ttl);
        let new = Entry { expires: Some(expires), renewed: Some(now), ..Entry::clone(&old) };
        token::store::update(txn, hash, &old, &new);
        let mut response = Response { auth: Some(auth(&new, id.to_string(), now)), ..Response::default() };
        if cut && !increment.is_zero() {
            let bound = match old.explicit_max_ttl.is_zero() {
                true => self.settings.max_lease_ttl,
                false => self.settings.max_lease_ttl.min(old.explicit_max_ttl),
            };
            response.warnings.push(capped("TTL", increment, bound));
        }
        Ok(response)
    }

    async fn revoke(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, hash: &Hash) -> Result<Response> {
        if let Some(entry) = token::store::get(txn, hash).await? {
            token::store::revoke(txn, &unsealed.secrets.salt, hash, &entry);
        }
        Ok(Response::empty())
    }

    async fn revoke_accessor(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, request: &Request) -> Result<Response> {
        let accessor = required(request, "accessor", MISSING_ACCESSOR)?;
        match token::store::by_accessor(txn, &unsealed.secrets.salt, &accessor).await? {
            None => Ok(Response::empty().warn("No token found with this accessor")),
            Some((hash, _)) => self.revoke(unsealed, txn, &hash).await,
        }
    }

    /// Revokes a token and lets its children live on without a parent, all in one commit of a bounded size.
    async fn revoke_orphan(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, hash: &Hash) -> Result<Response> {
        let Some(entry) = token::store::get(txn, hash).await? else {
            return Err(Error::invalid("token to revoke not found"));
        };
        let from = keys::children(hash);
        let children = txn.scan_keys(&from, &schema::prefix_end(&from), crate::limits::ORPHANS_MAX + 1).await?;
        if children.len() > crate::limits::ORPHANS_MAX as usize {
            return Err(Error::invalid(format!("more than {} children", crate::limits::ORPHANS_MAX)));
        }
        for key in children {
            let Some(child) = keys::child_of(&key) else { continue };
            txn.delete(key);
            if let Some(old) = token::store::get(txn, &child).await? {
                token::store::update(txn, &child, &old, &Entry { parent: None, ..old.clone() });
            }
        }
        token::store::revoke(txn, &unsealed.secrets.salt, hash, &entry);
        Ok(Response::empty())
    }

    async fn list_accessors(&self, unsealed: &Unsealed) -> Result<Response> {
        let mut accessors = Vec::new();
        let mut from = vec![schema::Kind::Token as u8];
        let to = schema::prefix_end(&from);
        loop {
            let page = self.raft.state().scan(&from, &to, crate::limits::SCAN_PAGE_KEYS).await?;
            for (key, stored) in &page {
                let plain = unsealed.keyring.open(key, &stored.value)?;
                if let Some(entry) = Entry::decode(&plain) {
                    accessors.push(entry.accessor);
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == crate::limits::SCAN_PAGE_KEYS => from = [&last[..], &[0]].concat(),
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
        let now = self.runtime.clock.now();
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
            "ttl": entry.ttl(now).as_secs(),
            "type": "service",
        });
        if let Some(renewed) = entry.renewed {
            data["last_renewal"] = json!(renewed.rfc3339());
            data["last_renewal_time"] = json!(renewed.seconds());
        }
        if !entry.period.is_zero() {
            data["period"] = json!(entry.period.as_secs());
        }
        Response::data(data)
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

/// What a creation asks for, checked against what the caller may ask for.
struct Wish {
    id: Option<String>,
    policies: Vec<String>,
    orphan: bool,
    display_name: String,
    metadata: BTreeMap<String, String>,
    ttl: Duration,
    explicit_max_ttl: Duration,
    period: Duration,
    num_uses: u64,
    renewable: bool,
}

impl Wish {
    fn read(request: &Request, caller: &Caller, sudo: bool, orphan_path: bool) -> Result<Wish> {
        if request.text("entity_alias")?.is_some_and(|alias| !alias.is_empty()) {
            return Err(Error::invalid("'entity_alias' is only allowed in combination with token role"));
        }
        let no_parent = request.flag("no_parent")?.unwrap_or(false);
        if no_parent && !sudo {
            return Err(Error::invalid("root or sudo privileges required to create orphan token"));
        }
        let id = request.text("id")?.filter(|id| !id.is_empty());
        if let Some(id) = &id {
            check_custom_id(id, sudo)?;
        }
        let period = request.duration("period")?.unwrap_or_default();
        if !period.is_zero() && !sudo {
            return Err(Error::invalid("root or sudo privileges required to create periodic token"));
        }
        match request.text("type")?.as_deref() {
            None | Some("" | "service" | "default") => {}
            Some("batch") => return Err(Error::invalid("batch tokens are not supported yet")),
            Some(_) => return Err(Error::invalid("invalid 'token_type' value")),
        }
        let num_uses = u64::try_from(request.integer("num_uses")?.unwrap_or(0))
            .map_err(|_| Error::invalid("number of uses cannot be negative"))?;
        Ok(Wish {
            id,
            policies: wanted_policies(request, caller, sudo)?,
            orphan: no_parent || orphan_path,
            display_name: display_name(request.text("display_name")?.unwrap_or_default()),
            metadata: request.text_map("meta")?.unwrap_or_default(),
            ttl: match request.duration("ttl")? {
                Some(ttl) => ttl,
                None => request.duration("lease")?.unwrap_or_default(),
            },
            explicit_max_ttl: request.duration("explicit_max_ttl")?.unwrap_or_default(),
            period,
            num_uses,
            renewable: request.flag("renewable")?.unwrap_or(true),
        })
    }
}

/// What a creation knows.
const CREATE_FIELDS: &[&str] = &[
    "id",
    "policies",
    "no_parent",
    "no_default_policy",
    "renewable",
    "ttl",
    "lease",
    "type",
    "explicit_max_ttl",
    "display_name",
    "num_uses",
    "period",
    "meta",
    "entity_alias",
];

/// Longest custom token id in bytes.
const CUSTOM_ID_BYTES_MAX: usize = 512;

fn check_custom_id(id: &str, sudo: bool) -> Result<()> {
    if !sudo {
        return Err(Error::invalid("root or sudo privileges required to specify token id"));
    }
    if id.starts_with("hvs.") {
        return Err(Error::invalid("custom token ID cannot have the 'hvs.' prefix"));
    }
    if id.contains('.') {
        return Err(Error::invalid("custom token ID cannot have a '.' in the value"));
    }
    if id.len() > CUSTOM_ID_BYTES_MAX {
        return Err(Error::field("id", "not usable as a token id"));
    }
    Ok(())
}

/// The policies of a new token: the caller's if none are named, else those named, which must be among the caller's
/// unless the caller may do anything here.
fn wanted_policies(request: &Request, caller: &Caller, sudo: bool) -> Result<Vec<String>> {
    let named = request.list("policies")?.unwrap_or_default();
    let mut policies = policy::name::fold_all(&named);
    let inherit = policies.is_empty();
    if inherit {
        policies = caller.entry.policies.clone();
    }
    policy::name::assignable(&policies).map_err(|error| Error::invalid(error.to_string()))?;
    if !sudo && policies.iter().any(|name| name != "default" && !caller.entry.policies.contains(name)) {
        return Err(Error::invalid("child policies must be subset of parent"));
    }
    let is_root = policies.iter().any(|name| name == "root");
    if is_root && !caller.entry.is_root() {
        return Err(Error::invalid("root tokens may not be created without parent token being root"));
    }
    let no_default = request.flag("no_default_policy")?.unwrap_or(false);
    match (no_default, is_root, inherit) {
        (true, _, _) => policies.retain(|name| name != "default"),
        (false, false, false) => policies.push("default".into()),
        _ => {}
    }
    policies.retain(|name| !name.is_empty());
    policies.sort();
    policies.dedup();
    Ok(policies)
}

/// `token`, or `token-` and the given name with everything but letters, digits and dashes made a dash.
fn display_name(given: String) -> String {
    if given.is_empty() {
        return "token".into();
    }
    let clean: String = given.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    format!("token-{}", clean.trim_end_matches('-'))
}

/// The envelope's `auth` of a token.
pub(crate) fn auth(entry: &Entry, id: String, now: UnixTime) -> Auth {
    Auth {
        client_token: id,
        accessor: entry.accessor.clone(),
        policies: entry.policies.clone(),
        token_policies: entry.policies.clone(),
        metadata: entry.metadata.clone(),
        lease_duration: entry.ttl(now),
        renewable: entry.renewable,
        token_type: "service",
        orphan: entry.parent.is_none(),
        num_uses: entry.num_uses,
    }
}

const MISSING_ACCESSOR: &str = "1 error occurred:\n\t* missing accessor\n\n";

fn required(request: &Request, field: &str, missing: &str) -> Result<String> {
    request.text(field)?.filter(|text| !text.is_empty()).ok_or_else(|| Error::invalid(missing))
}

fn capped(what: &str, asked: Duration, bound: Duration) -> String {
    let (asked, bound) = (short(asked), short(bound));
    format!("{what} of \"{asked}\" exceeded the effective max_ttl of \"{bound}\"; {what} value is capped accordingly")
}

/// `20m` rather than `20m0s`, as warnings show it.
fn short(duration: Duration) -> String {
    let text = crate::duration::go_text(duration);
    let text = text.strip_suffix("m0s").map_or(text.clone(), |rest| format!("{rest}m"));
    text.strip_suffix("h0m").map_or(text.clone(), |rest| format!("{rest}h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        assert_eq!(display_name(String::new()), "token");
        assert_eq!(display_name("a b!c".into()), "token-a-b-c");
    }

    #[test]
    fn warnings_show_short_durations() {
        assert_eq!(short(Duration::from_secs(1200)), "20m");
        assert_eq!(short(Duration::from_secs(2_764_800)), "768h");
        assert_eq!(short(Duration::from_secs(61)), "1m1s");
        assert_eq!(short(Duration::from_secs(30)), "30s");
    }
}
