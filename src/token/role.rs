//! Token roles: what tokens made through them are like, whatever their maker asks for.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::cidr::Cidr;
use crate::storage::plain;
use crate::storage::schema::{Kind, NAMESPACE_ROOT, key};

/// What is stored of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Tokens have policies of these, rather than of their maker's.
    pub allowed_policies: Vec<String>,
    /// Tokens have none of these.
    pub disallowed_policies: Vec<String>,
    /// As [`Role::allowed_policies`], with `*` for any text.
    pub allowed_policies_glob: Vec<String>,
    /// As [`Role::disallowed_policies`], with `*` for any text.
    pub disallowed_policies_glob: Vec<String>,
    /// Tokens have no parent.
    pub orphan: bool,
    /// Tokens can be renewed.
    pub renewable: bool,
    /// Added to the path that a token is said to come from.
    pub path_suffix: String,
    /// Where tokens may be used; empty is anywhere.
    pub bound_cidrs: Vec<Cidr>,
    /// No token lives longer than this, as it is at each renewal; zero is no such bound.
    pub explicit_max_ttl: Duration,
    /// Each renewal gives a token this long; zero is no period.
    pub period: Duration,
    /// Uses of each token; zero is any number.
    pub num_uses: u64,
    /// Tokens do not get the policy `default` unasked.
    pub no_default_policy: bool,
    /// Which type tokens are.
    pub token_type: TokenType,
    /// Aliases that tokens may be made for, with `*` for any text; `None` if never given.
    pub allowed_entity_aliases: Option<Vec<String>>,
    /// Which fields were last set by their older names, which are then shown too.
    pub older_names: OlderNames,
}

/// Fields of a role that have an older name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderNames {
    /// `period`.
    pub period: bool,
    /// `explicit_max_ttl`.
    pub explicit_max_ttl: bool,
    /// `bound_cidrs`.
    pub bound_cidrs: bool,
}

/// Which type of token is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenType {
    /// Service tokens, whatever is asked for.
    Service,
    /// Batch tokens, whatever is asked for.
    Batch,
    /// Service tokens unless asked for batch tokens.
    #[default]
    DefaultService,
    /// Batch tokens unless asked for service tokens.
    DefaultBatch,
}

impl TokenType {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            TokenType::Service => "service",
            TokenType::Batch => "batch",
            TokenType::DefaultService => "default-service",
            TokenType::DefaultBatch => "default-batch",
        }
    }

    /// The type of a name.
    pub fn parse(name: &str) -> Option<TokenType> {
        let all = [TokenType::Service, TokenType::Batch, TokenType::DefaultService, TokenType::DefaultBatch];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a token is a batch token, when its maker has asked for one (`Some(true)`), for a service token or for
    /// neither.
    pub fn makes_batch(self, asked: Option<bool>) -> bool {
        match self {
            TokenType::Service => false,
            TokenType::Batch => true,
            TokenType::DefaultService => asked.unwrap_or(false),
            TokenType::DefaultBatch => asked.unwrap_or(true),
        }
    }
}

impl Default for Role {
    fn default() -> Role {
        Role {
            allowed_policies: Vec::new(),
            disallowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            bound_cidrs: Vec::new(),
            explicit_max_ttl: Duration::ZERO,
            period: Duration::ZERO,
            num_uses: 0,
            no_default_policy: false,
            token_type: TokenType::default(),
            allowed_entity_aliases: None,
            older_names: OlderNames::default(),
        }
    }
}

impl Role {
    /// The record's storage key.
    pub fn key(name: &str) -> Bytes {
        key(Kind::TokenRole, &[NAMESPACE_ROOT.to_be_bytes().as_slice(), name.as_bytes()].concat())
    }

    /// The prefix of all roles' keys.
    pub fn all() -> Bytes {
        Role::key("")
    }

    /// The name in a key that [`Role::key`] made.
    pub fn name_of(key: &[u8]) -> Option<String> {
        String::from_utf8(key.get(5..)?.to_vec()).ok()
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        plain::encode(self).to_vec()
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Option<Role> {
        plain::decode(bytes)
    }

    /// Whether tokens have policies of the role rather than of their maker.
    pub fn names_policies(&self) -> bool {
        !self.allowed_policies.is_empty() || !self.allowed_policies_glob.is_empty()
    }

    /// Whether the role keeps tokens from having this policy.
    pub fn disallows(&self, policy: &str) -> bool {
        self.disallowed_policies.iter().any(|name| name == policy) || any_glob(&self.disallowed_policies_glob, policy)
    }

    /// Whether tokens may be made for this alias.
    pub fn allows_alias(&self, alias: &str) -> bool {
        self.allowed_entity_aliases.as_deref().is_some_and(|globs| any_glob(globs, &alias.to_lowercase()))
    }
}

/// Whether a role's name can be: letters, digits, `_`, and within it `-` and `.`.
pub fn is_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(|c| is_word(c) || c == '-' || c == '.') && name.starts_with(is_word) && name.ends_with(is_word)
}

/// Whether a path suffix can be: as a name, but of three characters at least.
pub fn is_path_suffix(suffix: &str) -> bool {
    suffix.len() >= 3 && is_name(suffix)
}

/// Whether one of the patterns fits; `*` stands for any text, also none.
pub(super) fn any_glob(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| glob(pattern, text))
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let Some((middle, tail)) = rest.rsplit_once('*') else { return text.ends_with(rest) };
    for part in middle.split('*') {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, fits, does_not) in [
            ("a", "a", "ab"),
            ("a*", "a", "ba"),
            ("*a", "ba", "ab"),
            ("a*b", "ab", "a"),
            ("a*b", "axxb", "axxbc"),
            ("*a*", "xay", "xy"),
            ("a*b*c", "a1b2c", "a1c2b"),
            ("a*b*b", "abb", "ab"),
            ("*", "", "\0never"),
        ] {
            assert!(glob(pattern, fits), "{pattern} {fits}");
            assert!(pattern == "*" || !glob(pattern, does_not), "{pattern} {does_not}");
        }
    }

    #[test]
    fn names_and_suffixes() {
        for (name, is, suffix) in [
            ("a", true, false),
            ("ab", true, false),
            ("a-b", true, true),
            ("A.b_9", true, true),
            ("", false, false),
            ("-abc", false, false),
            ("abc-", false, false),
            ("a b", false, false),
            ("a/b", false, false),
            ("é1", false, false),
        ] {
            assert_eq!((is_name(name), is_path_suffix(name)), (is, suffix), "{name}");
        }
        assert_eq!(Role::name_of(&Role::key("web")).as_deref(), Some("web"));
    }

    #[test]
    fn the_type_is_the_roles_or_the_makers() {
        for (name, asked, batch) in [
            ("service", Some(true), false),
            ("batch", Some(false), true),
            ("default-service", None, false),
            ("default-service", Some(true), true),
            ("default-batch", None, true),
            ("default-batch", Some(false), false),
        ] {
            assert_eq!(TokenType::parse(name).expect(name).makes_batch(asked), batch, "{name}");
        }
        assert_eq!(TokenType::parse("default"), None);
    }
}
