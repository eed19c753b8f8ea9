//! The rules of several policies, merged and compiled for one lookup a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::capability::{Capabilities, Capability};
use super::parameters::Parameters;
use super::parse::Policy;
use super::pattern::Pattern;
use super::{name, root_paths};
use crate::logical::Operation;
use crate::runtime::UnixTime;

/// What some policies allow together. The default allows nothing.
///
/// Which rule is obeyed: the one of exactly this path; for a list, else the one of the path without its trailing slash;
/// else the matching pattern of highest [priority](Pattern::priority). Rules of one path are merged over all policies,
/// and `deny` in one of them wins; a `deny` on a pattern that is not obeyed does not count.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    root: bool,
    exact: BTreeMap<Box<str>, Rule>,
    /// Highest priority first.
    patterns: Vec<(Pattern, Rule)>,
    /// When the next of its rules ends: from then on it is to be made anew.
    until: Option<UnixTime>,
}

/// A request as policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What it wants to do; a write counts as a create or an update by the engine's existence check.
    pub operation: Operation,
    /// The whole canonical path.
    pub path: &'a str,
    /// Its parameters.
    pub data: &'a Map<String, Value>,
    /// The wrapping it asks for.
    pub wrap_ttl: Option<Duration>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be carried out. Includes `sudo` where the path is root-protected.
    pub allowed: bool,
    /// Whether the obeyed rule grants `sudo`: engines ask for it on their own (orphan tokens, periods).
    pub sudo: bool,
    /// Whether this is by the `root` policy.
    pub root: bool,
}

#[derive(Clone, Debug, Default)]
struct Rule {
    capabilities: Capabilities,
    /// Boxed since few rules have any.
    parameters: Option<Box<Parameters>>,
}

impl Acl {
    /// Merges policies as they are at `now`; their order makes no difference.
    pub fn new<'a>(policies: impl IntoIterator<Item = &'a Arc<Policy>>, now: UnixTime) -> Acl {
        let mut acl = Acl::default();
        let mut rules: BTreeMap<&str, Rule> = BTreeMap::new();
        for policy in policies {
            acl.root |= policy.name == name::ROOT;
            for rule in policy.rules.iter().filter(|rule| !rule.templated) {
                if let Some(end) = rule.expires {
                    if end <= now {
                        continue;
                    }
                    acl.until = Some(acl.until.map_or(end, |until| until.min(end)));
                }
                match rules.get_mut(rule.path.as_str()) {
                    Some(merged) => merged.merge(rule.capabilities, &rule.parameters),
                    None => {
                        let mut merged = Rule { capabilities: rule.capabilities, parameters: None };
                        merged.merge(rule.capabilities, &rule.parameters);
                        rules.insert(&rule.path, merged);
                    }
                }
            }
        }
        for (path, rule) in rules {
            match Pattern::parse(path) {
                Some(pattern) => acl.patterns.push((pattern, rule)),
                None => {
                    acl.exact.insert(path.into(), rule);
                }
            }
        }
        acl.patterns.sort_by(|(a, _), (b, _)| b.priority(a));
        acl
    }

    /// The ACL of the `root` policy.
    pub fn root() -> Acl {
        Acl { root: true, ..Acl::default() }
    }

    /// Whether it is still what the policies say at `now`.
    pub fn holds(&self, now: UnixTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether a request may be carried out. Help is for all.
    pub fn check(&self, ask: &Ask<'_>) -> Verdict {
        if self.root {
            return Verdict { allowed: true, sudo: true, root: true };
        }
        let Some(needed) = Capability::for_operation(ask.operation) else {
            return Verdict { allowed: true, ..Verdict::default() };
        };
        let Some(rule) = self.obeyed(ask.path, ask.operation == Operation::List) else {
            return Verdict::default();
        };
        let sudo = rule.capabilities.has(Capability::Sudo);
        let allowed = rule.capabilities.has(needed)
            && (sudo || !root_paths::sudo_required(ask.path))
            && rule.parameters.as_ref().is_none_or(|demands| demands.permit(ask.operation, ask.data, ask.wrap_ttl));
        Verdict { allowed, sudo, root: false }
    }

    /// The words that `sys/capabilities` answers for a canonical path, sorted: `["root"]`, `["deny"]` or what is granted.
    pub fn capabilities(&self, path: &str) -> Vec<&'static str> {
        if self.root {
            return vec![name::ROOT];
        }
        self.obeyed(path, true).map_or_else(|| Capabilities::default().names(), |rule| rule.capabilities.names())
    }

    /// What `sys/internal/ui/resultant-acl` answers: capabilities by exact path, and by the beginning of paths, without its
    /// star, or by a pattern with `+`.
    pub fn resultant(&self) -> Value {
        if self.root {
            return serde_json::json!({ "root": true });
        }
        let shown = |rule: &Rule| serde_json::json!({ "capabilities": rule.capabilities.names() });
        let exact: Map<String, Value> = self.exact.iter().map(|(path, rule)| (path.to_string(), shown(rule))).collect();
        let key = |pattern: String| match pattern.strip_suffix('*') {
            Some(beginning) if !pattern.contains('+') => beginning.to_string(),
            _ => pattern,
        };
        let patterns = self.patterns.iter().map(|(pattern, rule)| (key(pattern.to_string()), shown(rule)));
        serde_json::json!({ "root": false, "exact_paths": exact, "glob_paths": patterns.collect::<Map<String, Value>>() })
    }

    /// Whether anything is granted on or below a mount (`secret/`): then `sys/internal/ui/mounts` shows it.
    pub fn reaches(&self, mount: &str) -> bool {
        let grants =
            |rule: &Rule| rule.capabilities != Capabilities::default() && !rule.capabilities.has(Capability::Deny);
        let bare = mount.strip_suffix('/').unwrap_or(mount);
        self.root
            || self.exact.iter().any(|(path, rule)| grants(rule) && (path.starts_with(mount) || **path == *bare))
            || self.patterns.iter().any(|(pattern, rule)| grants(rule) && pattern.reaches(mount))
    }

    fn obeyed(&self, path: &str, list: bool) -> Option<&Rule> {
        let bare = if list { path.strip_suffix('/') } else { None };
        self.exact
            .get(path)
            .or_else(|| self.exact.get(bare?))
            .or_else(|| self.matching(path))
            .or_else(|| self.matching(bare?))
    }

    fn matching(&self, path: &str) -> Option<&Rule> {
        self.patterns.iter().find(|(pattern, _)| pattern.matches(path)).map(|(_, rule)| rule)
    }
}

impl Rule {
    fn merge(&mut self, capabilities: Capabilities, parameters: &Parameters) {
        self.capabilities.merge(capabilities);
        if !parameters.is_empty() {
            self.parameters.get_or_insert_default().merge(parameters);
        }
    }
}

#[cfg(test)]
mod tests;
