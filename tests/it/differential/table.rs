//! What is asked, of what, and which differences are meant: the files of `tests/differential/`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::compare::Observed;

/// The areas, each a file, in the order of the report.
pub const AREAS: [&str; 16] = [
    "tokens",
    "roles",
    "policies",
    "kv1",
    "kv2",
    "cubbyhole",
    "wrapping",
    "mounts",
    "auth-mounts",
    "sys",
    "init",
    "health-seal",
    "shares",
    "headers",
    "errors",
    "help",
];

/// All files.
pub struct Book {
    pub areas: Vec<Area>,
    pub groups: Vec<Group>,
    pub differences: Vec<Difference>,
}

/// An area's requests in their order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    #[serde(skip)]
    pub name: String,
    /// Whether the servers are not initialised yet, rather than in development mode.
    #[serde(default)]
    pub new: bool,
    pub requests: Vec<Request>,
}

/// A request. `{{name}}` stands for what an answer before it held, for each server its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Method and path; the path is below `/v1/` unless it begins with a slash.
    pub send: String,
    /// The body as it is sent.
    #[serde(default)]
    pub body: String,
    /// The token; empty for none.
    #[serde(default = "root_token")]
    pub token: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What later requests need: a name, and a JSON pointer into the answer.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// How much of the answers is compared.
    #[serde(default)]
    pub compare: Depth,
}

/// How much of two answers is compared.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Status and headers.
    Status,
    /// Also which fields the body has at its top, and of which types.
    Top,
    /// Also which fields those have.
    Shape,
    /// Everything.
    #[default]
    Values,
}

/// Endpoints under one heading of the report.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub title: String,
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint that the peer or Holdfast has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// `{name}` stands for a segment, `{name...}` for one or more.
    pub path: String,
    /// GET, POST (also PUT), PATCH, DELETE, LIST.
    pub verbs: String,
    /// Why Holdfast does not have it.
    pub missing: Option<String>,
    /// Why the peer does not have it.
    pub extra: Option<String>,
}

/// A difference that is meant. Every request that it names must show it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Names of areas, or `*` for all.
    pub areas: String,
    /// Requests as [`Request::shown`] has them; `*` stands for any text.
    pub requests: Vec<String>,
    /// Where: `status`, `header NAME`, a JSON pointer; `*` stands for any text.
    pub at: String,
    /// What the peer has there, with `*`.
    pub peer: Option<String>,
    /// What Holdfast has there, with `*`.
    pub own: Option<String>,
    pub kind: Kind,
    /// The reason, a sentence for users.
    pub why: String,
}

/// What a difference is to a user.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Better,
    Different,
    Missing,
}

impl Book {
    /// Reads all files.
    pub fn read() -> Book {
        #[derive(Deserialize)]
        struct Endpoints {
            group: Vec<Group>,
        }
        #[derive(Deserialize)]
        struct Differences {
            #[serde(default)]
            difference: Vec<Difference>,
        }
        let area = |name: &&str| Area { name: name.to_string(), ..file::<Area>(name) };
        Book {
            areas: AREAS.iter().map(area).collect(),
            groups: file::<Endpoints>("endpoints").group,
            differences: file::<Differences>("differences").difference,
        }
    }

    /// All endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.groups.iter().flat_map(|group| &group.endpoints)
    }

    /// The endpoint that a request goes to; `None` for a path or verb that nobody has.
    pub fn endpoint(&self, request: &Request) -> Option<&Endpoint> {
        let path = request.send.split(' ').nth(1)?;
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let serves = |endpoint: &&Endpoint| endpoint.verbs.split_whitespace().any(|verb| verb == request.verb());
        best(self.endpoints().filter(serves), path)
    }

    /// The endpoint of a path, whatever the verb.
    pub fn endpoint_at(&self, path: &str) -> Option<&Endpoint> {
        best(self.endpoints(), path.trim_end_matches('/'))
    }
}

/// The endpoint with the most literal segments of those that fit.
fn best<'a>(endpoints: impl Iterator<Item = &'a Endpoint>, path: &str) -> Option<&'a Endpoint> {
    let literal = |endpoint: &&Endpoint| endpoint.path.split('/').filter(|part| !part.starts_with('{')).count();
    endpoints.filter(|endpoint| fits(&endpoint.path, path)).max_by_key(literal)
}

/// Whether a path is one of a pattern's.
pub fn fits(pattern: &str, path: &str) -> bool {
    let (first, others) = pattern.split_once('/').map_or((pattern, None), |(first, others)| (first, Some(others)));
    let (segment, rest) = path.split_once('/').map_or((path, None), |(segment, rest)| (segment, Some(rest)));
    let here = match first.starts_with('{') {
        true => !segment.is_empty(),
        false => first == segment,
    };
    let many = first.ends_with("...}");
    let alone = match (others, rest) {
        (None, None) => true,
        (Some(others), Some(rest)) => fits(others, rest),
        _ => false,
    };
    here && (alone || many && rest.is_some_and(|rest| fits(pattern, rest)))
}

impl Request {
    /// Method, path, headers, a token other than root's, and body, as differences name it.
    pub fn shown(&self) -> String {
        let mut shown = self.send.clone();
        for (name, value) in &self.headers {
            shown.push_str(&format!(" {name}: {value}"));
        }
        if self.token != root_token() {
            shown.push_str(&format!(" token: {}", if self.token.is_empty() { "none" } else { &self.token }));
        }
        if !self.body.is_empty() {
            shown.push_str(&format!(" {}", self.body));
        }
        shown
    }

    /// Method and path to send.
    pub fn line(&self) -> (&str, String) {
        let (method, path) = self.send.split_once(' ').expect("a method and a path");
        match path.starts_with('/') {
            true => (method, path.to_string()),
            false => (method, format!("/v1/{path}")),
        }
    }

    /// The verb that an endpoint is listed with.
    pub fn verb(&self) -> &str {
        match self.send.split(' ').next().unwrap_or_default() {
            "GET" | "HEAD" if self.send.contains("list=true") => "LIST",
            "GET" | "HEAD" => "GET",
            "POST" | "PUT" => "POST",
            other => other,
        }
    }
}

impl Difference {
    /// Whether it says something about an area.
    pub fn is_in(&self, area: &str) -> bool {
        self.areas == "*" || self.areas.split_whitespace().any(|known| known == area)
    }

    /// Whether it says something about a request.
    pub fn is_about(&self, area: &str, request: &Request) -> bool {
        let shown = request.shown();
        self.is_in(area) && self.requests.iter().any(|pattern| glob(pattern, &shown))
    }

    /// Whether an observation is this difference.
    pub fn explains(&self, observed: &Observed) -> bool {
        let value = |pattern: &Option<String>, value: &str| pattern.as_ref().is_none_or(|pattern| glob(pattern, value));
        glob(&self.at, &observed.at) && value(&self.peer, &observed.peer) && value(&self.own, &observed.own)
    }
}

/// Whether `*`, which stands for any text, can be filled in so that the pattern becomes the text.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((part, after)) = rest.split_once('*') {
        let Some(at) = text.find(part) else { return false };
        (text, rest) = (&text[at + part.len()..], after);
    }
    text.ends_with(rest)
}

/// The root of the sources.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn file<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = root().join("tests/differential").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root_token() -> String {
    "{{root}}".to_string()
}

#[test]
fn globs_and_paths() {
    for (pattern, text, expected) in [
        ("a*c", "abc", true),
        ("a*c", "ab", false),
        ("*", "", true),
        ("a", "a", true),
        ("*b*", "abc", true),
        ("a*b*", "ac", false),
    ] {
        assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
    }
    for (pattern, path, expected) in [
        ("sys/mounts/{path...}", "sys/mounts/a/b", true),
        ("sys/mounts/{path...}/tune", "sys/mounts/a/b/tune", true),
        ("sys/mounts/{path}", "sys/mounts/a/b", false),
        ("sys/mounts", "sys/mounts/a", false),
        ("{path...}", "a", true),
    ] {
        assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
    }
}
