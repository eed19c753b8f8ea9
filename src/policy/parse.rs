//! ACL policies from HCL or JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::capability::{Capabilities, Capability};
use super::parameters::Parameters;
use crate::hcl::{self, Block, Body, Item};
use crate::runtime::UnixTime;

/// A parsed policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its folded name.
    pub name: String,
    /// Its text as written.
    pub text: String,
    /// Its rules, in order.
    pub rules: Vec<PathRule>,
}

/// What a policy says of one path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathRule {
    /// The path or pattern, without a leading slash.
    pub path: String,
    /// What it grants.
    pub capabilities: Capabilities,
    /// What it demands.
    pub parameters: Parameters,
    /// Whether the path has a template (`{{identity.entity.id}}`). Until there are identities, such a rule is accepted
    /// and never matches.
    pub templated: bool,
    /// From then on it is as if it had not been written.
    pub expires: Option<UnixTime>,
}

/// Why a text is no policy: 400. The texts begin as the peer's do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse policy: {0}")]
pub struct ParseError(String);

impl Policy {
    /// Parses the text of the policy `name` (already folded).
    ///
    /// # Errors
    /// Names path, key and line.
    pub fn parse(name: &str, text: &str) -> Result<Policy, ParseError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(ParseError(format!("the text is longer than {MAX_POLICY_BYTES} bytes")));
        }
        let body = hcl::parse(text).map_err(|error| ParseError(error.to_string()))?;
        check_keys(&body, &["name", "path"]).map_err(ParseError)?;
        if let Some(item) = body.get("name")
            && item.value.value.text().is_none()
        {
            return Err(ParseError(wrong_type(item, "a string")));
        }
        let blocks =
            body.labelled_blocks("path").map_err(|item| ParseError(wrong_type(item, "path \"...\" { ... }")))?;
        let rules = blocks.iter().map(rule).collect::<Result<_, _>>()?;
        Ok(Policy { name: name.to_string(), text: text.to_string(), rules })
    }
}

fn rule(block: &Block<'_>) -> Result<PathRule, ParseError> {
    let fail = |message: String| ParseError(format!("path {:?}: {message}", block.label));
    let body = block.body;
    if let Some(item) = body.items.iter().find(|item| UNSUPPORTED.contains(&item.key())) {
        return Err(fail(format!("key {:?} on line {} is not supported yet", item.key(), item.line)));
    }
    check_keys(body, KEYS).map_err(fail)?;
    if let Some(item) = body.repeated() {
        return Err(fail(format!("key {:?} is given again on line {}", item.key(), item.line)));
    }
    let path = block.label.strip_prefix('/').unwrap_or(block.label);
    if path.contains("+*") {
        return Err(fail(format!("path {path:?}: invalid use of wildcards ('+*' is forbidden)")));
    }
    let templated = templated(path).map_err(fail)?;
    let capabilities = capabilities(block).map_err(fail)?;
    let parameters = parameters(body).map_err(fail)?;
    let expires = expiration(body).map_err(fail)?;
    Ok(PathRule { path: path.to_string(), capabilities, parameters, templated, expires })
}

fn capabilities(block: &Block<'_>) -> Result<Capabilities, String> {
    let mut granted = Capabilities::default();
    if let Some(item) = block.body.get("policy") {
        let word = item.value.value.text().ok_or_else(|| wrong_type(item, "a string"))?;
        if !word.is_empty() {
            granted = Capabilities::legacy(&word)
                .ok_or_else(|| format!("path {:?}: invalid policy {word:?}", block.label))?;
        }
    }
    for word in strings(block.body, "capabilities")? {
        let capability =
            Capability::parse(&word).ok_or_else(|| format!("path {:?}: invalid capability {word:?}", block.label))?;
        granted.add(capability);
    }
    Ok(granted)
}

fn parameters(body: &Body) -> Result<Parameters, String> {
    let parameters = Parameters {
        allowed: values(body, "allowed_parameters")?,
        denied: values(body, "denied_parameters")?,
        required: strings(body, "required_parameters")?.iter().map(|name| name.to_lowercase()).collect(),
        min_wrapping_ttl: duration(body, "min_wrapping_ttl")?,
        max_wrapping_ttl: duration(body, "max_wrapping_ttl")?,
    };
    match (parameters.min_wrapping_ttl, parameters.max_wrapping_ttl) {
        (Some(min), Some(max)) if max < min => Err("max_wrapping_ttl cannot be less than min_wrapping_ttl".to_string()),
        _ => Ok(parameters),
    }
}

/// Lists of values by parameter, the names in lower case.
fn values(body: &Body, key: &str) -> Result<BTreeMap<String, Vec<Value>>, String> {
    let mut map = BTreeMap::new();
    let Some(item) = body.get(key) else { return Ok(map) };
    let hcl::Value::Object(object) = &item.value.value else { return Err(wrong_type(item, "a map of lists")) };
    for item in &object.items {
        let hcl::Value::List(nodes) = &item.value.value else { return Err(wrong_type(item, "a list")) };
        let values = nodes.iter().map(|node| node.value.to_json()).collect();
        if map.insert(item.key().to_lowercase(), values).is_some() {
            return Err(format!("key {:?} is given again on line {}", item.key(), item.line));
        }
    }
    Ok(map)
}

fn strings(body: &Body, key: &str) -> Result<Vec<String>, String> {
    let Some(item) = body.get(key) else { return Ok(Vec::new()) };
    let hcl::Value::List(nodes) = &item.value.value else { return Err(wrong_type(item, "a list of strings")) };
    nodes.iter().map(|node| node.value.text().ok_or_else(|| wrong_type(item, "a list of strings"))).collect()
}

fn duration(body: &Body, key: &str) -> Result<Option<Duration>, String> {
    let Some(item) = body.get(key) else { return Ok(None) };
    let text = item.value.value.text().ok_or_else(|| wrong_type(item, "a duration"))?;
    let duration =
        crate::duration::parse(&text).ok_or_else(|| format!("error parsing {key}: invalid duration {text:?}"))?;
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}

fn expiration(body: &Body) -> Result<Option<UnixTime>, String> {
    let Some(item) = body.get("expiration") else { return Ok(None) };
    let text = item.value.value.text().ok_or_else(|| wrong_type(item, "a time"))?;
    let time = UnixTime::parse_rfc3339(&text);
    time.map(Some).ok_or_else(|| format!("error parsing expiration: {text:?} is no time of RFC 3339"))
}

/// Whether the path has templates.
fn templated(path: &str) -> Result<bool, String> {
    let mut rest = path;
    let mut found = false;
    loop {
        let Some(open) = rest.find("{{") else {
            return if rest.contains("}}") { Err(UNBALANCED.to_string()) } else { Ok(found) };
        };
        let (before, behind) = (&rest[..open], &rest[open + 2..]);
        let close = behind.find("}}").ok_or(UNBALANCED)?;
        if before.contains("}}") || behind[..close].contains("{{") {
            return Err(UNBALANCED.to_string());
        }
        found = true;
        rest = &behind[close + 2..];
    }
}

fn check_keys(body: &Body, known: &[&str]) -> Result<(), String> {
    let unknown: Vec<&Item> = body.items.iter().filter(|item| !known.contains(&item.key())).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let mut message = format!("{} error{} occurred:\n", unknown.len(), if unknown.len() == 1 { "" } else { "s" });
    for item in unknown.iter().take(MAX_NAMED_KEYS) {
        let _ = writeln!(message, "\t* invalid key {:?} on line {}", item.key(), item.line);
    }
    message.push('\n');
    Err(message)
}

fn wrong_type(item: &Item, expected: &str) -> String {
    format!("key {:?} on line {}: expected {expected}, got {}", item.key(), item.line, item.value.value.kind())
}

const KEYS: &[&str] = &[
    "allowed_parameters",
    "capabilities",
    "comment",
    "denied_parameters",
    "expiration",
    "max_wrapping_ttl",
    "min_wrapping_ttl",
    "policy",
    "required_parameters",
    "subscribe_event_types",
];

/// Keys that narrow what a rule grants and that we do not honour yet: to ignore one would grant more than was written.
const UNSUPPORTED: &[&str] =
    &["control_group", "list_scan_response_keys_filter_path", "mfa_methods", "pagination_limit"];

const UNBALANCED: &str = "failed to validate policy templating: unbalanced templating characters";

/// How many unknown keys an error names.
const MAX_NAMED_KEYS: usize = 20;

/// The longest policy text, in bytes.
pub const MAX_POLICY_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        let message = Policy::parse("t", text).unwrap_err().to_string();
        message.strip_prefix("failed to parse policy: ").unwrap().to_string()
    }

    #[test]
    fn takes_what_the_peer_takes() {
        for text in [
            "",
            "# only a comment\n",
            "{}",
            r#"name = "x" path "a" { capabilities = ["read"] comment = "c" }"#,
            r#"path "a" { policy = "write" }"#,
            r#""path" "a" { "capabilities" = ["read",], }path b.c {}"#,
            r#"{"path": {"a": {"capabilities": ["read"]}}}"#,
            r#"{"path": [{"a": {"capabilities": ["read"]}}, {"b": {"policy": "deny"}}]}"#,
            r#"path "a" { capabilities = ["subscribe", "scan", "recover", "patch", "sudo"] }"#,
            r#"path "a" { allowed_parameters { "x" = ["1"] "y" = [] } required_parameters = ["x"] min_wrapping_ttl = "1s" max_wrapping_ttl = 90 }"#,
            r#"path "a/{{identity.entity.id}}/*" { capabilities = ["read"] }"#,
            super::super::builtin::DEFAULT_TEXT,
            super::super::builtin::RESPONSE_WRAPPING_TEXT,
        ] {
            assert_eq!(Policy::parse("t", text).map(|_| ()), Ok(()), "{text}");
        }
    }

    #[test]
    fn reads_a_rule_whole() {
        let policy = Policy::parse(
            "p",
            r#"path "/kv/*" { policy = "read" capabilities = ["patch"] denied_parameters = { "A" = [1, "x*"] } max_wrapping_ttl = "90s" }"#,
        )
        .unwrap();
        let rule = &policy.rules[0];
        assert_eq!(rule.path, "kv/*");
        assert_eq!(rule.capabilities.names(), ["list", "patch", "read"]);
        assert_eq!(rule.parameters.denied["a"], [Value::from(1), Value::from("x*")]);
        assert_eq!(rule.parameters.max_wrapping_ttl, Some(Duration::from_secs(90)));
        assert!(!rule.templated);
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, message) in [
            (r#"path "a" { capabilities = ["foo"] }"#, r#"path "a": path "a": invalid capability "foo""#),
            (r#"path "a" { capabilities = ["READ"] }"#, r#"path "a": path "a": invalid capability "READ""#),
            (r#"path "a" { policy = "list" }"#, r#"path "a": path "a": invalid policy "list""#),
            (
                "path \"a\" { capabilities = [\"create\"]\n\n\n cap = \"x\" }",
                "path \"a\": 1 error occurred:\n\t* invalid key \"cap\" on line 4\n\n",
            ),
            ("pth \"a\" {}", "1 error occurred:\n\t* invalid key \"pth\" on line 1\n\n"),
            (
                "x = 1\ny = 2",
                "2 errors occurred:\n\t* invalid key \"x\" on line 1\n\t* invalid key \"y\" on line 2\n\n",
            ),
            ("{\n\"x\": 1}", "1 error occurred:\n\t* invalid key \"x\" on line 2\n\n"),
            (
                r#"path "a" { capabilities = "read" }"#,
                r#"path "a": key "capabilities" on line 1: expected a list of strings, got a string"#,
            ),
            (
                r#"path "a" { allowed_parameters = { "x" = "1" } }"#,
                r#"path "a": key "x" on line 1: expected a list, got a string"#,
            ),
            (
                r#"path "a" { capabilities = [] capabilities = [] }"#,
                r#"path "a": key "capabilities" is given again on line 1"#,
            ),
            (r#"path "a/+*" {}"#, r#"path "a/+*": path "a/+*": invalid use of wildcards ('+*' is forbidden)"#),
            (
                r#"path "a" { min_wrapping_ttl = "10s" max_wrapping_ttl = "5s" }"#,
                r#"path "a": max_wrapping_ttl cannot be less than min_wrapping_ttl"#,
            ),
            (
                r#"path "a" { min_wrapping_ttl = "x" }"#,
                r#"path "a": error parsing min_wrapping_ttl: invalid duration "x""#,
            ),
            (
                r#"path "a" { min_wrapping_ttl = -1 }"#,
                r#"path "a": error parsing min_wrapping_ttl: invalid duration "-1""#,
            ),
            (
                r#"path "{{x" {}"#,
                r#"path "{{x": failed to validate policy templating: unbalanced templating characters"#,
            ),
            (
                r#"path "}}{{" {}"#,
                r#"path "}}{{": failed to validate policy templating: unbalanced templating characters"#,
            ),
            (
                r#"path "a" { expiration = "tomorrow" }"#,
                r#"path "a": error parsing expiration: "tomorrow" is no time of RFC 3339"#,
            ),
            (
                r#"path "a" { pagination_limit = 5 }"#,
                r#"path "a": key "pagination_limit" on line 1 is not supported yet"#,
            ),
            (r#"path = "a""#, r#"key "path" on line 1: expected path "..." { ... }, got a string"#),
            ("path { capabilities = [\"read\"] }", r#"key "path" on line 1: expected path "..." { ... }, got a block"#),
            ("path \"a\" {", "At 1:11: object expected closing brace, got the end of the text"),
        ] {
            assert_eq!(error(text), message, "{text}");
        }
        assert!(error(&" ".repeat(MAX_POLICY_BYTES + 1)).contains("longer"));
    }

    proptest! {
        #[test]
        fn never_panics(path in "[a{}+*/]{0,8}", key in "[a-z_]{0,10}", value in "\\PC{0,10}") {
            let _ = Policy::parse("t", &format!("path \"{path}\" {{ {key} = {value} }}"));
            let _ = Policy::parse("t", &value);
        }
    }
}
