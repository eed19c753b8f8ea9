//! `sys/leases/*` and their older forms: what has a lease is, for now, each token. A token's lease is named by the path
//! that made it and the token's HMAC; it is renewed as a token and revoked as one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Ask, settings};
use crate::barrier::BarrierTxn;
use crate::core::{Core, Error, Operation, Response, Result, Unsealed};
use crate::limits;
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::runtime::UnixTime;
use crate::storage::schema;
use crate::token::{self, Entry, Hash};

const LEASE_ID: Field = Field::new("lease_id", Kind::Text, "The lease's id.");
const URL_LEASE_ID: Field = Field::new("url_lease_id", Kind::Text, "The lease's id.");
const INCREMENT: Field = Field::new("increment", Kind::Duration, "The life that is asked for.");
const SYNC: Field = Field::new("sync", Kind::Flag, "Answers only when it is done.");
const PREFIX: Field = Field::new("prefix", Kind::Text, "Leases whose ids begin so.");
const TYPE: Field = Field::new("type", Kind::Text, "`irrevocable`, the only leases that are told of here.");
const RENEW: &[Verb] = &[Verb::new(Operation::Update, "Renews the lease.", &[])];
const REVOKE: &[Verb] = &[Verb::new(Operation::Update, "Revokes the lease.", &[])];
const REVOKE_PREFIX: &[Verb] = &[Verb::new(Operation::Update, "Revokes the leases.", &[])];
const LIST: Verb = Verb::new(
    Operation::List,
    "Lists names right below the prefix.",
    &[Field::new("keys", Kind::List, "The names; those of folders end with a slash.")],
);

const fn renew(pattern: &'static str, fields: &'static [Field]) -> Route {
    Route {
        pattern,
        about: "Renewal of a lease. A token's is refused: tokens have an endpoint of their own.",
        verbs: RENEW,
        fields,
    }
}

const fn revoke(pattern: &'static str, fields: &'static [Field]) -> Route {
    Route { pattern, about: "The end of a lease, and of what was leased.", verbs: REVOKE, fields }
}

const fn revoke_prefix(pattern: &'static str) -> Route {
    Route { pattern, about: "The end of all leases below a path.", verbs: REVOKE_PREFIX, fields: &[PREFIX, SYNC] }
}

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "leases",
        about: "Leases that could not be revoked. There are none: all that is leased lives in the cluster itself.",
        verbs: &[Verb::new(
            Operation::Read,
            "Shows them.",
            &[
                Field::new("lease_count", Kind::Integer, "How many."),
                Field::new("leases", Kind::Any, "Each with its error."),
            ],
        )],
        fields: &[
            TYPE,
            Field::new("limit", Kind::Text, "Shows no more than so many."),
            Field::new("include_child_namespaces", Kind::Flag, "There is one namespace."),
        ],
    },
    Route {
        pattern: "leases/count",
        about: "How many leases could not be revoked.",
        verbs: &[Verb::new(
            Operation::Read,
            "Counts them.",
            &[
                Field::new("lease_count", Kind::Integer, "How many."),
                Field::new("counts", Kind::Any, "How many of each mount."),
            ],
        )],
        fields: &[TYPE, Field::new("include_child_namespaces", Kind::Flag, "There is one namespace.")],
    },
    Route {
        pattern: "leases/lookup",
        about: "What is known of a lease.",
        verbs: &[
            Verb::new(
                Operation::Update,
                "Looks the lease up.",
                &[
                    Field::new("id", Kind::Text, "Its id."),
                    Field::new("issue_time", Kind::Text, "When it was given."),
                    Field::new("expire_time", Kind::Moment, "When it ends; null for never."),
                    Field::new("last_renewal", Kind::Moment, "When it was last renewed, or null."),
                    Field::new("path", Kind::Text, "The path that gave it."),
                    Field::new("renewable", Kind::Flag, "Whether it can be renewed."),
                    Field::new("ttl", Kind::Integer, "Seconds that are left."),
                ],
            ),
            LIST,
        ],
        fields: &[LEASE_ID],
    },
    Route { pattern: "leases/lookup/{prefix...}", about: "Leases by their prefix.", verbs: &[LIST], fields: &[PREFIX] },
    renew("leases/renew", &[LEASE_ID, INCREMENT]),
    renew("leases/renew/{url_lease_id...}", &[URL_LEASE_ID, LEASE_ID, INCREMENT]),
    renew("renew", &[LEASE_ID, INCREMENT]),
    renew("renew/{url_lease_id...}", &[URL_LEASE_ID, LEASE_ID, INCREMENT]),
    revoke("leases/revoke", &[LEASE_ID, SYNC]),
    revoke("leases/revoke/{url_lease_id...}", &[URL_LEASE_ID, LEASE_ID, SYNC]),
    revoke("revoke", &[LEASE_ID, SYNC]),
    revoke("revoke/{url_lease_id...}", &[URL_LEASE_ID, LEASE_ID, SYNC]),
    revoke_prefix("leases/revoke-prefix/{prefix...}"),
    revoke_prefix("leases/revoke-force/{prefix...}"),
    revoke_prefix("revoke-prefix/{prefix...}"),
    revoke_prefix("revoke-force/{prefix...}"),
    Route {
        pattern: "leases/tidy",
        about: "Removal of leases that have lost what they belong to. Nothing is ever left so; it is accepted.",
        verbs: &[Verb::new(Operation::Update, "Begins it.", &[])],
        fields: &[],
    },
];

/// Where the marks of revocations by prefix are.
const MARKS: &str = "revoke-prefix/";

/// A revocation by prefix that is not finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mark {
    /// Ids of leases begin so; it ends with a slash.
    prefix: String,
    /// Tokens made later stay.
    until: UnixTime,
    /// Tokens up to this key have been looked at.
    behind: Vec<u8>,
}

impl Core {
    /// Serves them.
    pub(super) async fn sys_leases(&self, ask: Ask<'_>) -> Result<Response> {
        let (pattern, operation) = ask.at();
        match pattern.trim_start_matches("leases/").split('/').next().unwrap_or_default() {
            "leases" | "count" => irrevocable(&ask),
            "lookup" if operation == Operation::List => self.list_leases(ask.unsealed, ask.param()).await,
            "lookup" => self.look_up_lease(ask).await,
            "renew" => self.renew_lease(ask).await,
            "revoke" => self.revoke_lease(ask).await,
            "tidy" => Ok(Response { accepted: true, ..Response::empty() }.warn(TIDYING)),
            _ => self.revoke_below(ask).await,
        }
    }

    async fn look_up_lease(&self, ask: Ask<'_>) -> Result<Response> {
        let id = lease_id(&ask)?;
        let (entry, _) =
            self.leased_token(ask.unsealed, ask.txn, &id).await?.ok_or_else(|| Error::invalid("invalid lease"))?;
        let now = self.runtime.clock.now();
        Ok(Response::data(json!({
            "id": id,
            "path": entry.path,
            "issue_time": entry.created.rfc3339(),
            "expire_time": entry.expires.map(UnixTime::rfc3339),
            "last_renewal": entry.renewed.map(UnixTime::rfc3339),
            "renewable": entry.renewable,
            "ttl": entry.ttl(now).as_secs(),
        })))
    }

    async fn renew_lease(&self, ask: Ask<'_>) -> Result<Response> {
        let id = lease_id(&ask)?;
        Err(Error::invalid(match self.leased_token(ask.unsealed, ask.txn, &id).await? {
            Some(_) => "tokens cannot be renewed through this endpoint",
            None => "lease not found",
        }))
    }

    async fn revoke_lease(&self, ask: Ask<'_>) -> Result<Response> {
        let id = lease_id(&ask)?;
        if let Some((entry, hash)) = self.leased_token(ask.unsealed, ask.txn, &id).await? {
            token::store::revoke(ask.txn, &ask.unsealed.secrets.salt, &hash, &entry);
        }
        Ok(Response::empty())
    }

    /// The token that has the lease `id`.
    async fn leased_token(&self, unsealed: &Unsealed, txn: &mut BarrierTxn, id: &str) -> Result<Option<(Entry, Hash)>> {
        let Some((path, hash)) = parse(id) else { return Ok(None) };
        if self.live_token(unsealed, txn, &hash).await?.is_none() {
            return Ok(None);
        }
        Ok(token::store::get(txn, &hash).await?.filter(|entry| entry.path == path).map(|entry| (entry, hash)))
    }

    /// Names of leases right below a prefix. Reads all tokens page by page: a listing for people who need it.
    async fn list_leases(&self, unsealed: &Unsealed, prefix: &str) -> Result<Response> {
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut names = BTreeSet::new();
        let mut from = vec![schema::Kind::Token as u8];
        let to = schema::prefix_end(&from);
        loop {
            let page = self.raft.state().scan(&from, &to, limits::SCAN_PAGE_KEYS).await?;
            for (key, stored) in &page {
                let Some(entry) = Entry::decode(&unsealed.keyring.open(key, &stored.value)?) else { continue };
                if entry.orphaning {
                    continue;
                }
                let id = lease_of(&entry.path, &key[1..]);
                if let Some(rest) = id.strip_prefix(&prefix) {
                    names.insert(rest.split_inclusive('/').next().unwrap_or_default().to_string());
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == limits::SCAN_PAGE_KEYS => from = schema::after(last),
                _ => break,
            }
        }
        if names.is_empty() { Err(Error::Absent) } else { Ok(Response::keys(names.into_iter().collect())) }
    }

    /// Marks the revocation; background work carries it out page by page, or, if asked to, this request.
    async fn revoke_below(&self, ask: Ask<'_>) -> Result<Response> {
        let prefix = format!("{}/", ask.param().trim_end_matches('/'));
        let mark = Mark { prefix, until: self.runtime.clock.now(), behind: Vec::new() };
        let name = format!("{MARKS}{}", self.runtime.entropy.uuid());
        if !ask.request.flag("sync")?.unwrap_or(false) {
            settings::put(ask.txn, &name, &mark);
            return Ok(Response::empty());
        }
        let term = self.active_in().ok_or(Error::Standby)?;
        let mut txn = self.begin_in(ask.unsealed, term);
        settings::put(&mut txn, &name, &mark);
        self.commit(txn).await?;
        loop {
            match self.revoke_page(ask.unsealed, term, &name).await {
                Ok(true) | Err(Error::Conflict) => {}
                Ok(false) => return Ok(Response::empty()),
                // The mark is committed: this part of the request must not be run again.
                Err(error) => return Err(Error::Unknown(format!("the revocation was begun and goes on: {error}"))),
            }
        }
    }

    /// A step of each revocation by prefix; whether there was any.
    pub(crate) async fn finish_prefix_revocations(&self, unsealed: &Unsealed, term: u64) -> Result<bool> {
        let from = settings::key(MARKS);
        let marks = self.raft.state().scan(&from, &schema::prefix_end(&from), limits::REVOKE_PAGE).await?;
        for (key, _) in &marks {
            let name = String::from_utf8_lossy(&key[1..]).into_owned();
            self.revoke_page(unsealed, term, &name).await?;
        }
        Ok(!marks.is_empty())
    }

    /// Looks at a page of tokens and revokes those that the mark means; whether more are left.
    async fn revoke_page(&self, unsealed: &Unsealed, term: u64, name: &str) -> Result<bool> {
        let mut txn = self.begin_in(unsealed, term);
        let Some(mark) = settings::get::<Mark>(&mut txn, name).await? else { return Ok(false) };
        let all = schema::key(schema::Kind::Token, b"");
        let from = if mark.behind.is_empty() { all.to_vec() } else { schema::after(&mark.behind) };
        let page = self.raft.state().scan(&from, &schema::prefix_end(&all), limits::REVOKE_PAGE).await?;
        for (key, stored) in &page {
            let Some(entry) = Entry::decode(&unsealed.keyring.open(key, &stored.value)?) else { continue };
            let Ok(hash) = Hash::try_from(&key[1..]) else { continue };
            if entry.orphaning || entry.created > mark.until || !lease_of(&entry.path, &hash).starts_with(&mark.prefix)
            {
                continue;
            }
            if let Some(entry) = token::store::get(&mut txn, &hash).await? {
                token::store::revoke(&mut txn, &unsealed.secrets.salt, &hash, &entry);
            }
        }
        let more = page.len() == limits::REVOKE_PAGE;
        match page.last().filter(|_| more) {
            Some((last, _)) => settings::put(&mut txn, name, &Mark { behind: last.to_vec(), ..mark }),
            None => settings::delete(&mut txn, name),
        }
        self.commit(txn).await?;
        Ok(more)
    }
}

const TIDYING: &str = "Tidy operation successfully started. Any information from the operation will be printed to \
                       Holdfast's server logs.";

/// Nothing is irrevocable; other kinds of leases are not told of.
fn irrevocable(ask: &Ask<'_>) -> Result<Response> {
    if ask.request.text("type")?.as_deref() != Some("irrevocable") {
        return Err(Error::Absent);
    }
    if let Some(limit) = ask.request.text("limit")?
        && !["", "none"].contains(&limit.as_str())
        && limit.parse::<u64>().is_err()
    {
        return Err(Error::field("limit", "expected a whole number or none"));
    }
    Ok(Response::data(match ask.route.pattern {
        "leases" => json!({ "lease_count": 0, "leases": [] }),
        _ => json!({ "lease_count": 0, "counts": {} }),
    }))
}

/// The lease that a request names, in its path or its body.
fn lease_id(ask: &Ask<'_>) -> Result<String> {
    let in_body = ask.request.data.get("lease_id").and_then(Value::as_str).unwrap_or_default();
    match (ask.param(), in_body) {
        ("", "") => Err(Error::invalid("lease_id must be specified")),
        (in_path, "") => Ok(in_path.to_string()),
        (_, in_body) => Ok(in_body.to_string()),
    }
}

/// The id of a token's lease.
fn lease_of(path: &str, hash: &[u8]) -> String {
    format!("{path}/h{}", hex::encode(hash))
}

/// Path and HMAC of an id that [`lease_of`] made.
fn parse(id: &str) -> Option<(&str, Hash)> {
    let (path, hash) = id.rsplit_once('/')?;
    Some((path, hex::decode(hash.strip_prefix('h')?).ok()?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_names_its_token() {
        let hash = [7; 32];
        let id = lease_of("auth/token/create", &hash);
        assert_eq!(parse(&id), Some(("auth/token/create", hash)));
        for bad in ["", "x", "a/b", "a/h12", "a/hzz", &id[1..id.len() - 1]] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
