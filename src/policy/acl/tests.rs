use proptest::prelude::*;
use serde_json::json;

use super::*;

fn acl(texts: &[&str]) -> Acl {
    let policies: Vec<Arc<Policy>> =
        texts.iter().enumerate().map(|(i, text)| Arc::new(Policy::parse(&format!("p{i}"), text).unwrap())).collect();
    Acl::new(&policies, UnixTime(0))
}

fn rule(path: &str, capabilities: &str) -> String {
    let words: Vec<String> = capabilities.split(' ').map(|word| format!("{word:?}")).collect();
    format!("path {path:?} {{ capabilities = [{}] }}\n", words.join(","))
}

fn allowed(acl: &Acl, operation: Operation, path: &str) -> bool {
    acl.check(&Ask { operation, path, data: &Map::new(), wrap_ttl: None }).allowed
}

/// Each line was seen on OpenBao 2.7.2: rules (one policy each), path, answer of `sys/capabilities`.
#[test]
fn capabilities_are_the_peers() {
    type Line<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);
    let table: &[Line<'_>] = &[
        (
            &[("a/b", "create read update delete list sudo patch")],
            "a/b/",
            &["create", "delete", "list", "patch", "read", "sudo", "update"],
        ),
        (&[("a/b", "read")], "a", &["deny"]),
        (&[("a/b/", "list")], "a/b", &["deny"]),
        (&[("a/b/", "list")], "a/b/", &["list"]),
        (&[("a/b", "deny read")], "a/b", &["deny"]),
        (&[("a/*", "deny"), ("a/b", "read")], "a/b", &["read"]),
        (&[("a/*", "deny"), ("a/b", "read")], "a/c", &["deny"]),
        (&[("a/b*", "read"), ("a/*", "list")], "a/bc", &["read"]),
        (&[("a/b*", "read"), ("a/*", "list")], "a/", &["list"]),
        (&[("+/b", "read"), ("a/*", "list")], "a/b", &["list"]),
        (&[("+/b", "read"), ("a/*", "list")], "x/b", &["read"]),
        (&[("a/+/c", "read"), ("a/b/*", "list")], "a/b/c", &["list"]),
        (&[("a/+/*", "read"), ("a/b*", "list")], "a/b/c", &["list"]),
        (&[("+/+/c", "read"), ("+/b/+", "list")], "a/b/c", &["list"]),
        (&[("a/+/+", "read"), ("a/+/c", "list")], "a/b/c", &["list"]),
        (&[("a/+", "read"), ("a/b/", "list")], "a/b", &["read"]),
        (&[("a/+", "read"), ("a/b/", "list")], "a/b/", &["list"]),
        (&[("a/+", "list")], "a/b/", &["list"]),
        (&[("a/+", "list")], "a/", &["list"]),
        (&[("a/+/", "list")], "a/b", &["deny"]),
        (&[("+", "read")], "a/", &["read"]),
        (&[("+/*", "read")], "a", &["deny"]),
        (&[("/a/b", "read")], "a/b", &["read"]),
        (&[("+/b", "read"), ("+/b", "list")], "a/b", &["list", "read"]),
        (&[("+/b", "read"), ("+/b", "deny")], "a/b", &["deny"]),
        (&[("a/b", "deny"), ("a/b", "read")], "a/b", &["deny"]),
        (&[("a/{{identity.entity.id}}/b", "read")], "a//b", &["deny"]),
        (&[("*", "create list patch"), ("+", "sudo read patch")], "a/", &["create", "list", "patch"]),
        (&[("+/+/+", "read"), ("+/", "sudo")], "a//", &["read"]),
        (&[("a*", "patch"), ("a/b/+", "create")], "a/b//", &["patch"]),
    ];
    for (rules, path, answer) in table {
        let texts: Vec<String> = rules.iter().map(|(path, capabilities)| rule(path, capabilities)).collect();
        let acl = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(acl.capabilities(path), *answer, "{rules:?} {path}");
    }
    assert_eq!(Acl::root().capabilities("x"), ["root"]);
    assert_eq!(Acl::default().capabilities("x"), ["deny"]);
}

#[test]
fn only_a_list_falls_back_to_the_path_without_slash() {
    let acl = acl(&[&rule("a/b", "list read"), &rule("c/+", "list read")]);
    for path in ["a/b/", "c/d/"] {
        assert!(allowed(&acl, Operation::List, path));
        assert!(!allowed(&acl, Operation::Read, path));
    }
}

#[test]
fn a_rule_ends_at_its_time() {
    let text = r#"path "a/*" { capabilities = ["read"] expiration = "2030-01-01T00:00:00Z" } path "b" { capabilities = ["read"] }"#;
    let policy = Arc::new(Policy::parse("p", text).unwrap());
    let end = UnixTime::parse_rfc3339("2030-01-01T00:00:00Z").unwrap();
    let before = Acl::new([&policy], UnixTime(end.0 - 1));
    assert!(allowed(&before, Operation::Read, "a/x") && before.holds(UnixTime(end.0 - 1)));
    assert!(!before.holds(end), "the compiled rules are not used beyond the end");
    let after = Acl::new([&policy], end);
    assert!(!allowed(&after, Operation::Read, "a/x") && allowed(&after, Operation::Read, "b"));
    assert!(after.holds(UnixTime(i64::MAX)));
}

#[test]
fn root_and_nothing() {
    let data = Map::new();
    let ask = Ask { operation: Operation::Update, path: "sys/seal", data: &data, wrap_ttl: None };
    assert_eq!(Acl::root().check(&ask), Verdict { allowed: true, sudo: true, root: true });
    assert_eq!(Acl::default().check(&ask), Verdict::default());
    assert!(allowed(&Acl::default(), Operation::Help, "sys/seal"));
    let root = Arc::new(Policy::parse("root", "").unwrap());
    assert!(Acl::new([&root], UnixTime(0)).check(&ask).root);
}

#[test]
fn sudo_is_asked_for_on_protected_paths() {
    let without = acl(&[&rule("*", "create read update patch delete list")]);
    let with = acl(&[&rule("*", "update sudo")]);
    let only = acl(&[&rule("*", "sudo")]);
    assert!(!allowed(&without, Operation::Update, "sys/seal"));
    assert!(allowed(&without, Operation::Update, "sys/mounts/x"));
    assert!(allowed(&with, Operation::Update, "sys/seal"));
    assert!(!allowed(&only, Operation::Update, "sys/seal"));
}

fn permits(body: &str, operation: Operation, data: Value, wrap_ttl: Option<u64>) -> bool {
    permits_all(&[body], operation, data, wrap_ttl)
}

fn permits_all(bodies: &[&str], operation: Operation, data: Value, wrap_ttl: Option<u64>) -> bool {
    let texts: Vec<String> = bodies
        .iter()
        .map(|body| format!("path \"a\" {{ capabilities = [\"read\", \"update\", \"list\", \"delete\"]\n{body}\n}}"))
        .collect();
    let acl = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let Value::Object(data) = data else { panic!("an object") };
    acl.check(&Ask { operation, path: "a", data: &data, wrap_ttl: wrap_ttl.map(Duration::from_secs) }).allowed
}

/// Seen on the peer, but for the last line: a denied number also matches as text here.
#[test]
fn parameters_are_checked_as_by_the_peer() {
    let update = |body: &str, data: Value| permits(body, Operation::Update, data, None);
    for (body, data, expected) in [
        ("allowed_parameters = {\"a\" = []}", json!({"a": {"x": 1}}), true),
        ("allowed_parameters = {\"a\" = []}", json!({"A": "1"}), true),
        ("allowed_parameters = {\"a\" = []}", json!({"a": "1", "b": "2"}), false),
        ("allowed_parameters = {\"a\" = [\"1\"]}", json!({"a": "1"}), true),
        ("allowed_parameters = {\"a\" = [\"1\"]}", json!({"a": 1}), false),
        ("allowed_parameters = {\"a\" = [\"1\"]}", json!({"a": "2"}), false),
        ("allowed_parameters = {\"a\" = [\"1\"]}", json!({}), true),
        ("allowed_parameters = {\"a\" = [\"x*\"]}", json!({"a": "xyz"}), true),
        ("allowed_parameters = {\"a\" = [\"*z\"]}", json!({"a": "xyz"}), true),
        ("allowed_parameters = {\"a\" = [\"*y*\"]}", json!({"a": "xyz"}), true),
        ("allowed_parameters = {\"a\" = [\"*y*\"]}", json!({"a": "xz"}), false),
        ("allowed_parameters = {\"a\" = [1, true]}", json!({"a": true}), true),
        ("allowed_parameters = {\"a\" = [[\"1\", \"2\"]]}", json!({"a": ["1", "2"]}), true),
        ("allowed_parameters = {\"*\" = []}", json!({"b": "1"}), true),
        ("allowed_parameters = {\"a\" = [\"1\"], \"*\" = []}", json!({"b": "1", "a": "2"}), false),
        ("allowed_parameters = {}", json!({"b": "1"}), true),
        ("denied_parameters = {\"a\" = []}", json!({"a": null}), false),
        ("denied_parameters = {\"a\" = []}", json!({"b": "1"}), true),
        ("denied_parameters = {\"a\" = [\"1\"]}", json!({"A": "1"}), false),
        ("denied_parameters = {\"a\" = [\"1\"]}", json!({"a": "2"}), true),
        ("denied_parameters = {\"*\" = []}", json!({"b": "1"}), false),
        ("denied_parameters = {\"*\" = []}", json!({}), true),
        ("denied_parameters = {\"a\" = [\"1\"]}\nallowed_parameters = {\"a\" = []}", json!({"a": "1"}), false),
        ("required_parameters = [\"B\"]", json!({"b": "1"}), true),
        ("required_parameters = [\"b\"]", json!({"a": "1"}), false),
        ("required_parameters = [\"b\"]", json!({"B": "1"}), false),
        ("allowed_parameters = {\"a\" = [\"*\"]}", json!({"a": "anything"}), false),
        ("allowed_parameters = {\"a\" = [\"*\"]}", json!({"a": "*"}), true),
        ("allowed_parameters = {\"a\" = [\"**\"]}", json!({"a": "anything"}), true),
        // Stricter than the peer, to which it is the one character here too.
        ("denied_parameters = {\"a\" = [\"*\"]}", json!({"a": "anything"}), false),
        ("denied_parameters = {\"a\" = [\"*\"]}", json!({"a": ["anything"]}), false),
        ("denied_parameters = {\"a\" = [\"1\"]}", json!({"a": 1}), false),
    ] {
        assert_eq!(update(body, data.clone()), expected, "{body} {data}");
    }
    let body = "allowed_parameters = {\"a\" = [\"1\"]}\nrequired_parameters = [\"a\"]";
    assert!(!permits(body, Operation::Read, json!({"x": "1"}), None));
    assert!(permits(body, Operation::List, json!({"after": "x"}), None));
    assert!(permits(body, Operation::Delete, json!({}), None));
}

#[test]
fn parameters_of_several_policies_add_up() {
    let update = |bodies: &[&str], data: Value| permits_all(bodies, Operation::Update, data, None);
    let one = "allowed_parameters = {\"a\" = [\"1\"]}";
    assert!(!update(&[one, ""], json!({"b": "1"})));
    assert!(!update(&["", one], json!({"b": "1"})));
    assert!(update(&[one, "allowed_parameters = {\"a\" = [\"2\"], \"b\" = []}"], json!({"a": "2", "b": "x"})));
    assert!(update(&[one, "allowed_parameters = {\"a\" = []}"], json!({"a": "7"})));
    assert!(!update(&["required_parameters = [\"a\"]", "required_parameters = [\"b\"]"], json!({"a": "1"})));
}

#[test]
fn wrapping_is_demanded_and_bounded() {
    let read = |bodies: &[&str], ttl| permits_all(bodies, Operation::Read, json!({}), ttl);
    let (min, max) = ("min_wrapping_ttl = \"10s\"", "max_wrapping_ttl = \"20s\"");
    assert_eq!([None, Some(5), Some(15)].map(|ttl| read(&[min], ttl)), [false, false, true]);
    assert_eq!([None, Some(5), Some(25)].map(|ttl| read(&[max], ttl)), [false, true, false]);
    assert_eq!([Some(5), Some(15), Some(25)].map(|ttl| read(&[min, max], ttl)), [false, true, false]);
    assert!(read(&[min, "min_wrapping_ttl = \"20s\""], Some(15)));
    assert!(!read(&[max, "max_wrapping_ttl = \"30s\""], Some(25)));
}

/// The guide's `vault-admin` policy: both columns of what it allows, each seen on the peer.
#[test]
fn vault_admin_is_allowed_and_denied_as_on_the_peer() {
    use Operation::{Create, Delete, List, Read, Update};
    let acl = acl(&[include_str!("../../../tests/it/fixtures/vault-admin.hcl"), super::super::builtin::DEFAULT_TEXT]);
    for (operation, path) in [
        (Update, "sys/audit/x"),
        (Delete, "sys/audit/x"),
        (Update, "sys/leases/revoke"),
        (Update, "sys/leases/renew"),
        (Update, "sys/leases/lookup"),
        (Read, "sys/storage/raft/autopilot/configuration"),
        (Read, "sys/storage/raft/autopilot/state"),
        (Read, "sys/storage/raft/configuration"),
        (Read, "sys/storage/raft/snapshot"),
        (Update, "sys/auth/up"),
        (Create, "sys/auth/up"),
        (Update, "sys/auth/up/tune"),
        (Read, "sys/auth/up/tune"),
        (Delete, "sys/auth/up"),
        (Read, "sys/auth"),
        (Update, "sys/mounts/kk"),
        (Read, "sys/mounts"),
        (Read, "sys/mounts/kk/tune"),
        (Delete, "sys/mounts/kk"),
        (Update, "sys/policies/acl/q"),
        (List, "sys/policies/acl/"),
        (Read, "sys/policies/acl/q"),
        (Delete, "sys/policies/acl/q"),
        (Read, "sys/metrics"),
        (Read, "auth/token/lookup-self"),
    ] {
        assert!(allowed(&acl, operation, path), "{operation:?} {path}");
    }
    for (operation, path) in [
        (Read, "sys/audit"),
        (Update, "sys/leases/revoke-prefix/x"),
        (Update, "sys/leases/revoke-force/x"),
        (List, "sys/leases/lookup/x/"),
        (Update, "sys/storage/raft/autopilot/configuration"),
        (Update, "sys/storage/raft/remove-peer"),
        (Update, "sys/storage/raft/snapshot"),
        (Update, "sys/step-down"),
        (Update, "sys/seal"),
        (Update, "sys/rotate"),
        (Update, "sys/rotate/keyring"),
        (Read, "sys/key-status"),
        (Update, "sys/remount"),
        (Read, "sys/policies/acl"),
        (Read, "sys/policy"),
        (Read, "secret/data/x"),
        (Update, "secret/data/x"),
        (Read, "database/creds/x"),
        (Read, "sys/ha-status"),
        (List, "auth/token/accessors/"),
        (Update, "auth/token/create"),
        (Read, "sys/host-info"),
    ] {
        assert!(!allowed(&acl, operation, path), "{operation:?} {path}");
    }
}

#[test]
fn shows_mounts_that_something_is_granted_on() {
    let acl = acl(&[
        &rule("secret/data/app/*", "read"),
        &rule("+/x", "list"),
        &rule("db/*", "deny"),
        &rule("kv", "list"),
        &rule("t/+/y*", "read"),
    ]);
    for (mount, shown) in
        [("secret/", true), ("any/", true), ("a/b/", false), ("kv/", true), ("t/u/", true), ("t/u/v/", false)]
    {
        assert_eq!(acl.reaches(mount), shown, "{mount}");
    }
    let acl = acl_of_deny();
    assert!(!acl.reaches("db/"));
}

fn acl_of_deny() -> Acl {
    acl(&[&rule("db/*", "deny"), &rule("other/*", "read")])
}

/// The documented rules read naively: every candidate is looked at, splitting paths anew.
mod reference {
    fn is_exact(pattern: &str) -> bool {
        !pattern.ends_with('*') && !pattern.split('/').any(|segment| segment == "+")
    }

    fn matches(pattern: &str, path: &str) -> bool {
        let glob = pattern.ends_with('*');
        let wanted: Vec<&str> = pattern.strip_suffix('*').unwrap_or(pattern).split('/').collect();
        let given: Vec<&str> = path.split('/').collect();
        if !glob {
            return wanted.len() == given.len() && wanted.iter().zip(&given).all(|(w, g)| *w == "+" || w == g);
        }
        let last = wanted.len() - 1;
        wanted.len() <= given.len()
            && wanted[..last].iter().zip(&given).all(|(w, g)| *w == "+" || w == g)
            && given[last].starts_with(wanted[last])
    }

    fn key(pattern: &str) -> (usize, bool, isize, usize, &str) {
        let mut first = if pattern.ends_with('*') { pattern.len() - 1 } else { usize::MAX };
        let mut offset = 0;
        let mut wildcards = 0;
        for segment in pattern.split('/') {
            if segment == "+" {
                wildcards += 1;
                first = first.min(offset);
            }
            offset += segment.len() + 1;
        }
        (first, !pattern.ends_with('*'), -wildcards, pattern.len(), pattern)
    }

    pub fn obeyed<'a>(patterns: &'a [String], path: &str, list: bool) -> Option<&'a String> {
        let bare = path.strip_suffix('/').filter(|_| list);
        let exact = |path: &str| patterns.iter().find(|pattern| is_exact(pattern) && *pattern == path);
        let best = |path: &str| {
            let matching = patterns.iter().filter(|pattern| !is_exact(pattern) && matches(pattern, path));
            matching.max_by(|a, b| key(a).cmp(&key(b)))
        };
        exact(path).or_else(|| exact(bare?)).or_else(|| best(path)).or_else(|| best(bare?))
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("+"), Just("+"), Just("b+"), Just("")];
    (proptest::collection::vec(segment, 1..5), prop_oneof![Just(""), Just("*")])
        .prop_map(|(segments, glob)| segments.join("/") + glob)
        .prop_filter("'+*' is forbidden; a leading slash is cut", |text| !text.contains("+*") && !text.starts_with('/'))
}

fn asked() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("abc"), Just("b+"), Just("")];
    proptest::collection::vec(segment, 1..6).prop_map(|segments| segments.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Each pattern grants `sudo` and is told from the others by its number in an allowed parameter.
    #[test]
    fn obeys_the_rule_that_the_naive_reading_obeys(
        patterns in proptest::collection::btree_set(pattern(), 1..8),
        path in asked(),
        list in any::<bool>(),
    ) {
        let patterns: Vec<String> = patterns.into_iter().collect();
        let text: String = patterns
            .iter()
            .enumerate()
            .map(|(i, pattern)| format!("path {pattern:?} {{ capabilities = [\"sudo\"]\nrequired_parameters = [\"{i}\"] }}\n"))
            .collect();
        let acl = acl(&[&text]);
        let found = acl.obeyed(&path, list).map(|rule| rule.parameters.clone().unwrap().required.into_iter().next().unwrap());
        let expected = reference::obeyed(&patterns, &path, list).map(|pattern| patterns.iter().position(|p| p == pattern).unwrap().to_string());
        prop_assert_eq!(found, expected, "{:?} {}", patterns, path);
    }

    /// Several policies, each with rules of its own: what is granted at a path is what all rules of the obeyed path grant
    /// together, and nothing if one of them denies.
    #[test]
    fn grants_what_the_rules_of_the_obeyed_path_grant_together(
        policies in proptest::collection::vec(proptest::collection::vec((pattern(), words()), 1..5), 1..5),
        path in asked(),
    ) {
        let texts: Vec<String> = policies
            .iter()
            .map(|rules| rules.iter().map(|(pattern, words)| rule(pattern, &words.join(" "))).collect())
            .collect();
        let acl = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let all: Vec<&(String, Vec<&str>)> = policies.iter().flatten().collect();
        let patterns: Vec<String> = all.iter().map(|(pattern, _)| pattern.clone()).collect();
        let obeyed = reference::obeyed(&patterns, &path, false);
        let mut granted: Vec<&str> = all
            .iter()
            .filter(|(pattern, _)| Some(pattern) == obeyed)
            .flat_map(|(_, words)| words.iter().copied())
            .collect();
        granted.sort_unstable();
        granted.dedup();
        if granted.is_empty() || granted.contains(&"deny") {
            granted = vec!["deny"];
        }
        for (operation, word) in [
            (Operation::Create, "create"),
            (Operation::Read, "read"),
            (Operation::Update, "update"),
            (Operation::Patch, "patch"),
            (Operation::Delete, "delete"),
        ] {
            prop_assert_eq!(allowed(&acl, operation, &path), granted.contains(&word), "{:?} {:?} {}", policies, operation, path);
        }
        if !path.ends_with('/') {
            prop_assert_eq!(acl.capabilities(&path), granted, "{:?} {}", policies, path);
        }
    }
}

/// Some capabilities; `deny` one time in four.
fn words() -> impl Strategy<Value = Vec<&'static str>> {
    let word = prop_oneof![
        Just("create"),
        Just("read"),
        Just("update"),
        Just("patch"),
        Just("delete"),
        Just("list"),
        Just("sudo"),
        Just("deny"),
    ];
    proptest::collection::vec(word, 1..3)
}
