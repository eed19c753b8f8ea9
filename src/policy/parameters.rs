//! What a policy demands of a request's parameters and wrapping.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::logical::Operation;

/// The demands of one pattern. Names of parameters are compared in lower case, but one that is required must be sent so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// If not empty: only these may be given, with one of these values (an empty list: any; a value `*`: itself alone).
    /// A name `*` lets any other parameter pass.
    pub allowed: BTreeMap<String, Vec<Value>>,
    /// These may not be given with one of these values (an empty list or a value `*`: any); a name `*` forbids all.
    pub denied: BTreeMap<String, Vec<Value>>,
    /// These must be given.
    pub required: BTreeSet<String>,
    /// The answer must be wrapped for at least this long.
    pub min_wrapping_ttl: Option<Duration>,
    /// The answer must be wrapped for at most this long.
    pub max_wrapping_ttl: Option<Duration>,
}

impl Parameters {
    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        *self == Parameters::default()
    }

    /// Whether a request satisfies them. Parameters count for creates, updates, patches and reads; wrapping for all.
    pub fn permit(&self, operation: Operation, data: &Map<String, Value>, wrap_ttl: Option<Duration>) -> bool {
        self.permits_wrapping(wrap_ttl)
            && match operation {
                Operation::Create | Operation::Update | Operation::Patch | Operation::Read => self.permits_data(data),
                Operation::Delete | Operation::List | Operation::Help => true,
            }
    }

    fn permits_wrapping(&self, wrap_ttl: Option<Duration>) -> bool {
        let wrapped = wrap_ttl.filter(|ttl| !ttl.is_zero());
        self.min_wrapping_ttl.is_none_or(|min| wrapped.is_some_and(|ttl| ttl >= min))
            && self.max_wrapping_ttl.is_none_or(|max| wrapped.is_some_and(|ttl| ttl <= max))
    }

    fn permits_data(&self, data: &Map<String, Value>) -> bool {
        // An engine looks for the name itself: `OWNER` is nothing to one that asks for `owner`.
        if !self.required.iter().all(|wanted| data.contains_key(wanted)) {
            return false;
        }
        let given: Vec<(String, &Value)> = data.iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        if self.denied.contains_key(ANY) && !given.is_empty() {
            return false;
        }
        given.iter().all(|(name, value)| {
            let denied = self
                .denied
                .get(name)
                .is_some_and(|values| values.is_empty() || values.iter().any(|v| resembles(v, value)));
            let allowed = self.allowed.is_empty()
                || match self.allowed.get(name) {
                    Some(values) => values.is_empty() || values.iter().any(|v| equals(v, value)),
                    None => self.allowed.contains_key(ANY),
                };
            allowed && !denied
        })
    }

    /// Merges the demands of another policy on the same pattern, as the peer does: values add up, an empty list (any)
    /// swallows the others, the smaller of two wrapping limits holds.
    pub fn merge(&mut self, other: &Parameters) {
        merge_values(&mut self.allowed, &other.allowed);
        merge_values(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
        self.min_wrapping_ttl = smaller(self.min_wrapping_ttl, other.min_wrapping_ttl);
        self.max_wrapping_ttl = smaller(self.max_wrapping_ttl, other.max_wrapping_ttl);
    }
}

fn merge_values(into: &mut BTreeMap<String, Vec<Value>>, from: &BTreeMap<String, Vec<Value>>) {
    for (name, values) in from {
        match into.get_mut(name) {
            None => {
                into.insert(name.clone(), values.clone());
            }
            Some(existing) if existing.is_empty() || values.is_empty() => existing.clear(),
            Some(existing) => existing.extend(values.iter().cloned()),
        }
    }
}

fn smaller(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Whether a given value is the listed one; a listed string may begin or end with `*`, but `*` alone is no more than itself.
fn equals(listed: &Value, given: &Value) -> bool {
    match (listed, given) {
        (Value::String(listed), Value::String(given)) if listed != ANY => glob(listed, given),
        _ => listed == given,
    }
}

/// As [`equals`], but a number or boolean is also compared as text: an engine takes `1` for `"1"`, so a denied value must
/// not get through in the other form. And `*` is any value: who denies it hardly means the one character.
fn resembles(listed: &Value, given: &Value) -> bool {
    listed == ANY
        || equals(listed, given)
        || match (scalar(listed), scalar(given)) {
            (Some(listed), Some(given)) => glob(&listed, &given),
            _ => false,
        }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => text.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => pattern == text,
    }
}

const ANY: &str = "*";
