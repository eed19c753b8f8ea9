//! `auth/token/roles`.

use std::time::Duration;

use serde_json::{Value, json};

use super::create::malformed_duration;
use super::*;
use crate::policy::name::fold_all;
use crate::token::Role;
use crate::token::cidr::Cidr;
use crate::token::role::{OlderNames, TokenType, is_path_suffix};

impl Tokens<'_> {
    /// The role of a name; it becomes part of the read set.
    pub(super) async fn role(&mut self, name: &str) -> Result<Option<Role>> {
        let Some(stored) = self.txn.get(&Role::key(name)).await? else { return Ok(None) };
        let unreadable = || Error::Internal("a token role has a format that this build does not know".into());
        Role::decode(&stored).map(Some).ok_or_else(unreadable)
    }

    fn role_name(&self) -> &str {
        self.params.first().copied().unwrap_or_default()
    }

    pub(super) async fn list_roles(&self) -> Result<Response> {
        let keys = self.core.raft.state().all_keys(&Role::all()).await?;
        let names: Vec<String> = keys.iter().filter_map(|key| Role::name_of(key)).collect();
        match names.is_empty() {
            true => Err(Error::Absent),
            false => Ok(Response::keys(names)),
        }
    }

    pub(super) async fn read_role(&mut self) -> Result<Response> {
        let name = self.role_name().to_string();
        match self.role(&name).await? {
            Some(role) => Ok(Response::data(shown(&name, &role))),
            None => Err(Error::Absent),
        }
    }

    pub(super) fn delete_role(&mut self) -> Result<Response> {
        let key = Role::key(self.role_name());
        self.txn.delete(key);
        Ok(Response::empty())
    }

    /// Makes a role, or changes the fields that are given.
    pub(super) async fn write_role(&mut self) -> Result<Response> {
        let name = self.role_name().to_string();
        let mut role = self.role(&name).await?.unwrap_or_default();
        let mut warnings = take_fields(&mut role, self.request)?;
        check_batch(&role)?;
        let (asked, max) = (role.explicit_max_ttl.as_secs(), self.bounds().max.as_secs());
        if asked > max {
            warnings.push(format!(
                "Given explicit max TTL of {asked} is greater than system/mount allowed value of {max} seconds; until this \
                 is fixed attempting to create tokens against this role will result in an error"
            ));
        }
        self.txn.put(Role::key(&name), &role.encode());
        Ok(Response { warnings, ..Response::default() })
    }
}

/// Takes over the fields of a request; what is to be said about them.
fn take_fields(role: &mut Role, request: &Request) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (field, list) in [
        ("allowed_policies", &mut role.allowed_policies),
        ("disallowed_policies", &mut role.disallowed_policies),
        ("allowed_policies_glob", &mut role.allowed_policies_glob),
        ("disallowed_policies_glob", &mut role.disallowed_policies_glob),
    ] {
        if let Some(given) = request.list(field)? {
            *list = fold_all(&given);
        }
    }
    if let Some(aliases) = request.list("allowed_entity_aliases")? {
        role.allowed_entity_aliases = Some(fold_all(&aliases));
    }
    for (field, flag) in [
        ("orphan", &mut role.orphan),
        ("renewable", &mut role.renewable),
        ("token_no_default_policy", &mut role.no_default_policy),
    ] {
        if let Some(given) = request.flag(field)? {
            *flag = given;
        }
    }
    if let Some(suffix) = request.text("path_suffix")? {
        if !suffix.is_empty() && !is_path_suffix(&suffix) {
            let text = "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w";
            return Err(Error::invalid(text));
        }
        role.path_suffix = suffix;
    }
    if let Some(name) = request.text("token_type")? {
        let unknown = || Error::invalid(format!("invalid 'token_type' value {name:?}"));
        role.token_type = TokenType::parse(&name).ok_or_else(unknown)?;
    }
    if let Some(uses) = request.integer("token_num_uses")? {
        let negative = |_| Error::invalid("error parsing role fields: 'token_num_uses' cannot be negative");
        role.num_uses = u64::try_from(uses).map_err(negative)?;
    }
    take_older(role, request, &mut warnings)?;
    // As at the peer, which does not look at them when the type is given with them.
    if !request.data.contains_key("token_type") && matches!(role.token_type, TokenType::Batch | TokenType::DefaultBatch)
    {
        check_no_batch(role)?;
    }
    Ok(warnings)
}

/// Takes over the fields that have an older name.
fn take_older(role: &mut Role, request: &Request, warnings: &mut Vec<String>) -> Result<()> {
    let OlderNames { period, explicit_max_ttl, bound_cidrs } = &mut role.older_names;
    if let Some(given) = by_either_name("bound_cidrs", bound_cidrs, warnings, |field| request.list(field))? {
        let parsed = given.iter().map(|text| Cidr::parse(text)).collect::<Result<_, _>>();
        role.bound_cidrs = parsed.map_err(|error| Error::invalid(format!("error parsing role fields: {error}")))?;
    }
    let read = |field: &str| seconds(request, field, "");
    if let Some(given) = by_either_name("explicit_max_ttl", explicit_max_ttl, warnings, read)? {
        role.explicit_max_ttl = given;
    }
    if let Some(given) = by_either_name("period", period, warnings, read)? {
        role.period = given;
    }
    Ok(())
}

/// What is given under `token_` and the name, else under the older name alone, which is remembered in `older`.
fn by_either_name<T>(
    name: &str,
    older: &mut bool,
    warnings: &mut Vec<String>,
    read: impl Fn(&str) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let (new, old) = (read(&format!("token_{name}"))?, read(name)?);
    if new.is_some() && old.is_some() {
        warnings
            .push(format!("Both 'token_{name}' and deprecated '{name}' value supplied, ignoring the deprecated value"));
    }
    let given = new.is_some() || old.is_some();
    if given {
        *older = new.is_none();
    }
    Ok(new.or(old))
}

/// A batch token has no parent that could revoke it, and nothing that a renewal would do.
fn check_batch(role: &Role) -> Result<()> {
    let reason = match role.token_type {
        TokenType::Batch if !role.orphan => "non-orphan tokens",
        TokenType::Batch if !role.period.is_zero() => "periodic tokens",
        TokenType::Batch if role.renewable => "renewable tokens",
        TokenType::Batch if !role.explicit_max_ttl.is_zero() => "tokens with an explicit max TTL",
        _ => return Ok(()),
    };
    Err(Error::invalid(format!("'token_type' cannot be 'batch' when role is set to generate {reason}")))
}

/// What tokens of a role that makes batch tokens unless told otherwise cannot have.
fn check_no_batch(role: &Role) -> Result<()> {
    let reason = match (role.period.is_zero(), role.num_uses) {
        (false, _) => "periodic tokens",
        (_, 1..) => "tokens with limited use count",
        _ => return Ok(()),
    };
    Err(Error::invalid(format!(
        "error parsing role fields: 'token_type' cannot be 'batch' or 'default_batch' when set to generate {reason}"
    )))
}

/// A duration in whole seconds, with the API's words for what is none.
pub(super) fn seconds(request: &Request, field: &str, prefix: &str) -> Result<Option<Duration>> {
    let Some(text) = request.text(field)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let failed = |why: String| Error::invalid(format!("{prefix}error converting input for field {field:?}: {why}"));
    let text = text.trim();
    if let Some(seconds) = text.strip_prefix('-').and_then(crate::duration::parse).map(|duration| duration.as_secs())
        && seconds > 0
    {
        return Err(failed(format!("cannot provide negative value '-{seconds}'")));
    }
    let parsed = crate::duration::parse(text).ok_or_else(|| failed(malformed_duration(text)))?;
    Ok(Some(Duration::from_secs(parsed.as_secs())))
}

/// The JSON that a read shows.
fn shown(name: &str, role: &Role) -> Value {
    let older = role.older_names;
    let if_older = |is_older: bool, duration: Duration| if is_older { duration.as_secs() } else { 0 };
    let cidrs: Vec<String> = role.bound_cidrs.iter().map(ToString::to_string).collect();
    let mut data = json!({
        "allowed_entity_aliases": role.allowed_entity_aliases,
        "allowed_policies": role.allowed_policies,
        "allowed_policies_glob": role.allowed_policies_glob,
        "disallowed_policies": role.disallowed_policies,
        "disallowed_policies_glob": role.disallowed_policies_glob,
        "explicit_max_ttl": if_older(older.explicit_max_ttl, role.explicit_max_ttl),
        "name": name,
        "orphan": role.orphan,
        "path_suffix": role.path_suffix,
        "period": if_older(older.period, role.period),
        "renewable": role.renewable,
        "token_explicit_max_ttl": role.explicit_max_ttl.as_secs(),
        "token_no_default_policy": role.no_default_policy,
        "token_period": role.period.as_secs(),
        "token_type": role.token_type.name(),
    });
    if !cidrs.is_empty() {
        if older.bound_cidrs {
            data["bound_cidrs"] = json!(cidrs);
        }
        data["token_bound_cidrs"] = json!(cidrs);
    }
    if role.num_uses > 0 {
        data["token_num_uses"] = json!(role.num_uses);
    }
    data
}
