//! What a new token may have: its policies.

use super::role::{Role, any_glob};
use crate::policy::name;

/// What a creation asks for, and who asks.
pub struct Asked<'a> {
    /// Policies by name, folded; none for those that are given without asking.
    pub policies: Vec<String>,
    /// Without `default`.
    pub no_default_policy: bool,
    /// The maker's policies.
    pub makers: &'a [String],
    /// The maker may do anything here.
    pub sudo: bool,
}

/// The policies of a new token.
///
/// A role that names policies bounds them; one that only forbids some lets the maker give any other; without either they
/// are of the maker's own, unless that one has `sudo`. Only root gives root.
///
/// # Errors
/// If the maker may not give what was asked for.
pub fn policies(asked: Asked<'_>, role: Option<&Role>) -> Result<Vec<String>, GrantError> {
    let inherits = asked.policies.is_empty();
    let no_default = asked.no_default_policy || role.is_some_and(|role| role.no_default_policy);
    let adds_default = !no_default && !role.is_some_and(|role| role.disallows(name::DEFAULT));
    let naming = role.filter(|role| role.names_policies());
    let mut given = match (inherits, naming) {
        (false, _) => asked.policies,
        (true, Some(role)) => role.allowed_policies.clone(),
        (true, None) => asked.makers.to_vec(),
    };
    let is_root = given.iter().any(|policy| policy == name::ROOT);
    if adds_default && !is_root && (!inherits || naming.is_some()) {
        given.push(name::DEFAULT.into());
    }
    let mut given = name::fold_all(&given);
    name::assignable(&given)?;
    if let Some(role) = naming {
        let mut allowed = role.allowed_policies.clone();
        allowed.extend(adds_default.then(|| name::DEFAULT.to_string()));
        let allowed = name::fold_all(&allowed);
        let globs = &role.allowed_policies_glob;
        if !given.iter().all(|policy| allowed.contains(policy) || any_glob(globs, policy)) {
            return Err(GrantError::NotAllowed { given: list(&given), allowed: list(&allowed), globs: list(globs) });
        }
    } else if !asked.sudo
        && !role.is_some_and(forbids)
        && given.iter().any(|policy| policy != name::DEFAULT && !asked.makers.contains(policy))
    {
        return Err(GrantError::NotOfTheMaker);
    }
    if let Some(policy) = given.iter().find(|policy| role.is_some_and(|role| role.disallows(policy))) {
        return Err(GrantError::Disallowed(policy.clone()));
    }
    if is_root && !asked.makers.iter().any(|policy| policy == name::ROOT) {
        return Err(GrantError::Root);
    }
    // What the maker asks for by name stays, also under a role that does not add it.
    if asked.no_default_policy || no_default && inherits && naming.is_none() {
        given.retain(|policy| policy != name::DEFAULT);
    }
    Ok(given)
}

fn forbids(role: &Role) -> bool {
    !role.disallowed_policies.is_empty() || !role.disallowed_policies_glob.is_empty()
}

/// A list of texts as the API's errors show it.
fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// Why a token may not have what was asked for: 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A name that only the server gives.
    #[error(transparent)]
    Name(#[from] name::NameError),
    /// Beyond what the role allows.
    #[error(
        "token policies ({given}) must be subset of the role's allowed policies ({allowed}) or glob policies ({globs})"
    )]
    NotAllowed {
        /// What would be given.
        given: String,
        /// What the role allows by name.
        allowed: String,
        /// What the role allows by pattern.
        globs: String,
    },
    /// The role forbids it.
    #[error("token policy {0:?} is disallowed by this role")]
    Disallowed(String),
    /// The maker has less.
    #[error("child policies must be subset of parent")]
    NotOfTheMaker,
    /// Only root gives root.
    #[error("root tokens may not be created without parent token being root")]
    Root,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    /// allowed / disallowed / allowed globs / disallowed globs, and `!` for a role without `default`.
    fn role(text: &str) -> Option<Role> {
        let no_default_policy = text.ends_with('!');
        let parts: Vec<Vec<String>> = text.trim_end_matches('!').split('/').map(names).collect();
        let [allowed_policies, disallowed_policies, allowed_policies_glob, disallowed_policies_glob] =
            parts.try_into().ok()?;
        Some(Role {
            allowed_policies,
            disallowed_policies,
            allowed_policies_glob,
            disallowed_policies_glob,
            no_default_policy,
            ..Role::default()
        })
    }

    /// Each as on the peer, but for the role that only has `no_default_policy`, which there counts with names only.
    #[test]
    fn policies_as_the_maker_and_the_role_allow() {
        let maker = names("creator default web");
        let root = names("root");
        for (asked, role_text, expected) in [
            ("web", "", "default web"),
            ("", "", "creator default web"),
            ("web2", "", "child policies must be subset of parent"),
            ("root", "", "child policies must be subset of parent"),
            ("web", "///", "default web"),
            ("web2", "///", "child policies must be subset of parent"),
            ("web", "///!", "web"),
            ("default", "///!", "default"),
            ("default web", "///!", "default web"),
            ("", "///!", "creator web"),
            ("default", "/web2//!", "default"),
            ("", "default web2///!", "default web2"),
            ("web2", "/web2//", "token policy \"web2\" is disallowed by this role"),
            ("creator web", "/web2//", "creator default web"),
            ("other", "/web2//", "default other"),
            ("root", "/web2//", "root tokens may not be created without parent token being root"),
            ("", "/web2//", "creator default web"),
            ("web2", "default web2///", "default web2"),
            ("", "default web2///", "default web2"),
            ("", "web2///", "default web2"),
            ("default", "web2///", "default"),
            (
                "creator",
                "default web2///",
                "token policies ([\"creator\" \"default\"]) must be subset of the role's allowed policies ([\"default\" \
                 \"web2\"]) or glob policies ([])",
            ),
            ("", "web2/default//", "web2"),
            ("web2", "web2/default//", "web2"),
            ("", "root///", "root tokens may not be created without parent token being root"),
            ("", "//web*/web2*", "default"),
            ("webby", "//web*/web2*", "default webby"),
            ("web2", "//web*/web2*", "token policy \"web2\" is disallowed by this role"),
            (
                "creator",
                "//web*/web2*",
                "token policies ([\"creator\" \"default\"]) must be subset of the role's allowed policies ([\"default\"]) or \
                 glob policies ([\"web*\"])",
            ),
            ("nn", "///web2*", "default nn"),
            ("web", "///def*", "web"),
            ("", "web2///!", "web2"),
            (
                "default web2",
                "web2///!",
                "token policies ([\"default\" \"web2\"]) must be subset of the role's allowed policies ([\"web2\"]) or glob \
                 policies ([])",
            ),
            ("response-wrapping", "", "cannot assign policy \"response-wrapping\""),
        ] {
            let asked_for = Asked { policies: names(asked), no_default_policy: false, makers: &maker, sudo: false };
            let given = policies(asked_for, role(role_text).as_ref());
            let shown = given.map_or_else(|error| error.to_string(), |given| given.join(" "));
            assert_eq!(shown, expected, "{asked:?} with {role_text:?}");
        }
        for (asked, no_default_policy, makers, sudo, expected) in [
            ("", false, &root, true, "root"),
            ("root web", false, &root, true, "root"),
            ("nope", false, &root, true, "default nope"),
            ("web2", false, &maker, true, "default web2"),
            ("root", false, &maker, true, "root tokens may not be created without parent token being root"),
            ("web", true, &maker, false, "web"),
            ("default web", true, &maker, false, "web"),
            ("", true, &maker, false, "creator web"),
        ] {
            let asked_for = Asked { policies: names(asked), no_default_policy, makers, sudo };
            let shown = policies(asked_for, None).map_or_else(|error| error.to_string(), |given| given.join(" "));
            assert_eq!(shown, expected, "{asked:?}");
        }
    }
}
