//! Making tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::lookup::auth;
use super::*;
use crate::storage::schema;
use crate::token::role::TokenType;
use crate::token::{Role, grant, ttl};

/// Longest custom token id in bytes.
const CUSTOM_ID_BYTES_MAX: usize = 512;

impl Tokens<'_> {
    /// `create`, `create-orphan` and `create/{role_name}`.
    pub(super) async fn create(&mut self, role_name: Option<&str>, orphan: bool) -> Result<Response> {
        let role = match role_name {
            None => None,
            Some(name) => Some(self.role(name).await?.ok_or_else(|| Error::invalid(format!("unknown role {name}")))?),
        };
        self.check_caller()?;
        let mut wish = Wish::read(self.request, self.authorized.sudo)?;
        check_alias(self.request, role.as_ref())?;
        let mut entry = self.entry(&wish, role_name, role.as_ref(), orphan)?;
        let mut warnings = Vec::new();
        if let Some(role) = &role {
            wish.limit_by(role, entry.batch, &mut warnings);
        }
        let root = entry.is_root();
        let asked = ttl::Asked { ttl: wish.ttl, period: wish.period, explicit_max: wish.explicit_max_ttl, root };
        let (life, warning) = self.bounds().give(&asked);
        warnings.extend(warning);
        if life.is_zero() && self.caller()?.entry.expires.is_some() {
            return Err(Error::invalid("expiring root tokens cannot create non-expiring root tokens"));
        }
        for name in &entry.policies {
            if self.core.policy(self.unsealed, name).await?.is_none() {
                warnings.push(format!("Policy {name:?} does not exist"));
            }
        }
        entry.creation_ttl = life;
        entry.expires = (!life.is_zero()).then(|| entry.created.plus(life));
        entry.renewable &= !life.is_zero();
        // A role's addresses bind all but a root token that never ends, which there would be no other way to use again.
        if life.is_zero() {
            entry.bound_cidrs.clear();
        }
        let id = match entry.batch {
            true => self.seal_batch(&entry)?,
            false => self.store(&mut entry, wish.id).await?,
        };
        let auth = auth(&entry, id, life);
        Ok(Response { auth: Some(auth), warnings, ..Response::default() })
    }

    /// Whether the caller's token may have children at all.
    fn check_caller(&self) -> Result<()> {
        let caller = self.caller()?;
        if caller.entry.batch {
            return Err(Error::invalid("batch tokens cannot create more tokens"));
        }
        if caller.entry.num_uses > 0 {
            return Err(Error::invalid("restricted use token cannot generate child tokens"));
        }
        if caller.depth + 1 >= limits::TOKEN_DEPTH_MAX {
            return Err(Error::invalid(format!("more than {} generations of tokens", limits::TOKEN_DEPTH_MAX)));
        }
        Ok(())
    }

    /// The record of the new token, but for its life, accessor and id.
    fn entry(&self, wish: &Wish, role_name: Option<&str>, role: Option<&Role>, orphan: bool) -> Result<Entry> {
        let (caller, sudo) = (self.caller()?, self.authorized.sudo);
        let batch = self.makes_batch(wish, role)?;
        let orphan = match role {
            Some(role) => role.orphan,
            None if wish.no_parent && !sudo => {
                return Err(Error::invalid("root or sudo privileges required to create orphan token"));
            }
            None => orphan || wish.no_parent,
        };
        let asked = grant::Asked {
            policies: crate::policy::name::fold_all(&wish.policies),
            no_default_policy: wish.no_default_policy,
            makers: &caller.entry.policies,
            sudo,
        };
        let policies = grant::policies(asked, role).map_err(|error| Error::invalid(error.to_string()))?;
        if batch && policies.iter().any(|policy| policy == crate::policy::name::ROOT) {
            return Err(Error::invalid("batch tokens cannot be root tokens"));
        }
        let suffix = role.map(|role| role.path_suffix.as_str()).filter(|suffix| !suffix.is_empty());
        let num_uses = lesser(wish.num_uses, role.map_or(0, |role| role.num_uses));
        if batch && num_uses > 0 {
            return Err(not_for_batch("num_uses"));
        }
        Ok(Entry {
            parent: (!orphan).then_some(caller.hash),
            policies,
            path: suffix.map_or_else(|| self.request.path.clone(), |suffix| format!("{}/{suffix}", self.request.path)),
            display_name: wish.display_name.clone(),
            metadata: wish.metadata.clone(),
            created: self.core.runtime.clock.now(),
            explicit_max_ttl: role
                .map_or(wish.explicit_max_ttl, |role| own(wish.explicit_max_ttl, role.explicit_max_ttl)),
            period: role.map_or(wish.period, |role| own(wish.period, role.period)),
            num_uses,
            renewable: !batch && wish.renewable && role.is_none_or(|role| role.renewable),
            namespace: schema::NAMESPACE_ROOT,
            role: role_name.map(String::from),
            bound_cidrs: match role {
                Some(role) if !role.bound_cidrs.is_empty() => role.bound_cidrs.clone(),
                _ => caller.entry.bound_cidrs.clone(),
            },
            batch,
            ..Entry::default()
        })
    }

    /// Whether the token is a batch token, for which much of what can be asked for makes no sense.
    fn makes_batch(&self, wish: &Wish, role: Option<&Role>) -> Result<bool> {
        let of_the_mount = match self.authorized.mount.tune.get("token_type") {
            Some(crate::core::mount::Tuned::Text(name)) => TokenType::parse(name).unwrap_or_default(),
            _ => TokenType::default(),
        };
        let batch = role.map_or(of_the_mount, |role| role.token_type).makes_batch(wish.batch);
        if batch && !wish.explicit_max_ttl.is_zero() {
            return Err(not_for_batch("explicit_max_ttl"));
        }
        if batch && wish.num_uses > 0 {
            return Err(not_for_batch("num_uses"));
        }
        if batch && !wish.period.is_zero() {
            return Err(not_for_batch("period"));
        }
        Ok(batch)
    }

    fn seal_batch(&self, entry: &Entry) -> Result<String> {
        let id = batch::seal(&self.unsealed.secrets.salt, &self.core.runtime.entropy, entry);
        match id.len() <= limits::TOKEN_BYTES_MAX {
            true => Ok(id),
            false => Err(Error::invalid("the batch token would be too long to be used; give it less metadata")),
        }
    }

    /// Adds a service token to the store; its id.
    async fn store(&mut self, entry: &mut Entry, custom_id: Option<String>) -> Result<String> {
        let (salt, entropy) = (&self.unsealed.secrets.salt, &self.core.runtime.entropy);
        entry.accessor = token::id::accessor(entropy);
        // A random id is nobody else's.
        let id = match custom_id {
            None => token::id::service(entropy),
            Some(id) if token::store::record(self.txn, &salt.hash(&id)).await?.is_some() => {
                return Err(Error::invalid("cannot create a token with a duplicate ID"));
            }
            // What is left of the last token of that id is not the new one's: neither its cubbyhole nor its children.
            Some(id) if self.txn.get(&keys::revoking(&salt.hash(&id))).await?.is_some() => {
                return Err(Error::invalid("cannot create a token with a duplicate ID"));
            }
            Some(id) => id,
        };
        token::store::create(self.txn, salt, &salt.hash(&id), entry);
        Ok(id)
    }
}

/// What a creation asks for.
struct Wish {
    id: Option<String>,
    policies: Vec<String>,
    no_default_policy: bool,
    no_parent: bool,
    display_name: String,
    metadata: BTreeMap<String, String>,
    ttl: Duration,
    explicit_max_ttl: Duration,
    period: Duration,
    num_uses: u64,
    renewable: bool,
    /// Asked for a batch token, for a service token, or neither.
    batch: Option<bool>,
}

impl Wish {
    fn read(request: &Request, sudo: bool) -> Result<Wish> {
        let id = request.text("id")?.filter(|id| !id.is_empty());
        if let Some(id) = &id {
            check_custom_id(id, sudo)?;
        }
        let ttl = match duration(request, "ttl")? {
            Some(ttl) => ttl,
            None => duration(request, "lease")?.unwrap_or_default(),
        };
        let explicit_max_ttl = duration(request, "explicit_max_ttl")?.unwrap_or_default();
        let period = duration(request, "period")?.unwrap_or_default();
        if !period.is_zero() && !sudo {
            return Err(Error::invalid("root or sudo privileges required to create periodic token"));
        }
        Ok(Wish {
            id,
            policies: policies(request)?,
            no_default_policy: request.flag("no_default_policy")?.unwrap_or(false),
            no_parent: request.flag("no_parent")?.unwrap_or(false),
            display_name: display_name(&request.text("display_name")?.unwrap_or_default()),
            metadata: metadata(request)?,
            ttl,
            explicit_max_ttl,
            period,
            num_uses: u64::try_from(request.integer("num_uses")?.unwrap_or(0))
                .map_err(|_| Error::invalid("number of uses cannot be negative"))?,
            renewable: request.flag("renewable")?.unwrap_or(true),
            batch: match request.text("type")?.as_deref() {
                None | Some("") => None,
                Some("service") => Some(false),
                Some("batch") => Some(true),
                Some(_) => return Err(Error::invalid("invalid 'token_type' value")),
            },
        })
    }

    /// Puts the life under the role's bounds, telling where both have something to say. A batch token, which nobody can
    /// renew, has no period: the role's would be a life that was not asked for.
    fn limit_by(&mut self, role: &Role, batch: bool, warnings: &mut Vec<String>) {
        let mut limit = |what: &str, own: &mut Duration, roles: Duration| {
            let both = !own.is_zero() && !roles.is_zero();
            *own = ttl::lesser(*own, roles);
            if both {
                let seconds = own.as_secs();
                warnings.push(format!(
                    "{what} specified both during creation call and in role; using the lesser value of {seconds} seconds"
                ));
            }
        };
        limit("Explicit max TTL", &mut self.explicit_max_ttl, role.explicit_max_ttl);
        if !batch {
            limit("Period", &mut self.period, role.period);
        }
    }
}

/// The token's own bound: the role's is looked up at each renewal, so that only a lesser one is the token's.
fn own(asked: Duration, roles: Duration) -> Duration {
    if asked.is_zero() { asked } else { ttl::lesser(asked, roles) }
}

fn lesser(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, _) => other,
        (_, 0) => one,
        _ => one.min(other),
    }
}

fn not_for_batch(what: &str) -> Error {
    Error::invalid(format!("batch tokens cannot have {what:?} set"))
}

fn check_custom_id(id: &str, sudo: bool) -> Result<()> {
    if !sudo {
        return Err(Error::invalid("root or sudo privileges required to specify token id"));
    }
    for prefix in ["hvs.", "s."] {
        if id.starts_with(prefix) {
            return Err(Error::invalid(format!("custom token ID cannot have the '{prefix}' prefix")));
        }
    }
    if id.contains('.') {
        return Err(Error::invalid("custom token ID cannot have a '.' in the value"));
    }
    if id.len() > CUSTOM_ID_BYTES_MAX {
        return Err(Error::field("id", "not usable as a token id"));
    }
    Ok(())
}

/// Aliases are of entities, which this server does not have.
fn check_alias(request: &Request, role: Option<&Role>) -> Result<()> {
    let Some(alias) = request.text("entity_alias")?.filter(|alias| !alias.is_empty()) else { return Ok(()) };
    Err(Error::invalid(match role {
        None => "'entity_alias' is only allowed in combination with token role",
        Some(role) if !role.allows_alias(&alias) => "invalid 'entity_alias' value",
        Some(_) => "'entity_alias' takes the identity engine, which this server does not have",
    }))
}

/// Unlike other lists a text is one name here, commas and all.
fn policies(request: &Request) -> Result<Vec<String>> {
    match request.data.get("policies") {
        Some(Value::String(name)) => Ok(vec![name.clone()]),
        _ => Ok(request.list("policies")?.unwrap_or_default()),
    }
}

/// An object, or texts of the form `key=value`.
fn metadata(request: &Request) -> Result<BTreeMap<String, String>> {
    let pairs: Vec<&str> = match request.data.get("meta") {
        Some(Value::String(pair)) if pair.is_empty() => return Ok(BTreeMap::new()),
        Some(Value::String(pair)) => vec![pair],
        Some(Value::Array(pairs)) => pairs.iter().map(|pair| pair.as_str().unwrap_or_default()).collect(),
        _ => return Ok(request.text_map("meta")?.unwrap_or_default()),
    };
    let split = |(index, pair): (usize, &str)| match pair.split_once('=') {
        Some((key, value)) => Ok((key.to_string(), value.to_string())),
        None => Err(Error::invalid(format!(
            "Field validation failed: error converting input for field \"meta\": invalid key pair at index {index} in field \
             \"meta\""
        ))),
    };
    pairs.into_iter().enumerate().map(split).collect()
}

/// A duration with the errors of this endpoint.
fn duration(request: &Request, field: &str) -> Result<Option<Duration>> {
    let Some(text) = request.text(field)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    if let Some(rest) = text.trim().strip_prefix('-')
        && crate::duration::parse(rest).is_some_and(|duration| !duration.is_zero())
    {
        return Err(Error::invalid(format!("{field} must be positive")));
    }
    match crate::duration::parse(&text) {
        Some(duration) => Ok(Some(duration)),
        None => Err(Error::invalid(malformed_duration(&text))),
    }
}

/// Go's words for a text that is no duration.
pub(super) fn malformed_duration(text: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    while rest.starts_with(is_number) {
        let unit = rest.trim_start_matches(is_number);
        rest = unit.trim_start_matches(|c| !is_number(c));
        match &unit[..unit.len() - rest.len()] {
            "" => return format!("time: missing unit in duration {text:?}"),
            "ns" | "us" | "µs" | "ms" | "s" | "m" | "h" => {}
            unknown => return format!("time: unknown unit {unknown:?} in duration {text:?}"),
        }
    }
    format!("time: invalid duration {text:?}")
}

/// `token`, or `token-` and the given name with everything but letters, digits and dashes made a dash, less one at its end.
fn display_name(given: &str) -> String {
    if given.is_empty() {
        return "token".into();
    }
    let clean: String = given.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    let name = format!("token-{clean}");
    name.strip_suffix('-').map(String::from).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_duration_is_told_as_by_go() {
        for (text, told) in [
            ("1h30", "time: missing unit in duration \"1h30\""),
            ("-1h30", "time: missing unit in duration \"-1h30\""),
            ("1.5", "time: missing unit in duration \"1.5\""),
            ("1h30x", "time: unknown unit \"x\" in duration \"1h30x\""),
            ("1h 30m", "time: unknown unit \"h \" in duration \"1h 30m\""),
            ("abc", "time: invalid duration \"abc\""),
            ("h", "time: invalid duration \"h\""),
            ("", "time: invalid duration \"\""),
        ] {
            assert_eq!(malformed_duration(text), told);
        }
    }

    #[test]
    fn names_are_cleaned() {
        for (given, shown) in [
            ("", "token"),
            ("a b!c", "token-a-b-c"),
            ("a--", "token-a-"),
            ("-", "token-"),
            ("Foo bär/! x", "token-Foo-b-r---x"),
        ] {
            assert_eq!(display_name(given), shown, "{given:?}");
        }
    }
}
