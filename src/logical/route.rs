//! A backend's paths as data: dispatch, `?help=1`, the warning about unknown fields and the OpenAPI document all read the
//! same table, so that none of them can know a path that the others do not.

use super::{Operation, Request, Response};

/// A path that a backend serves.
#[derive(Debug)]
pub struct Route {
    /// Relative to the mount. `{name}` stands for one segment, `{name...}` at the end for all the rest, which may be empty,
    /// and before a last literal part for all that comes before it.
    pub pattern: &'static str,
    /// What the path is for, a sentence or more.
    pub about: &'static str,
    /// What may be done there.
    pub verbs: &'static [Verb],
    /// The fields that requests may have in body or query; the name `*` stands for any.
    pub fields: &'static [Field],
}

/// An operation on a path. [`Operation::Update`] stands for both create and update.
#[derive(Debug)]
pub struct Verb {
    /// Which.
    pub operation: Operation,
    /// What it does, in a few words.
    pub about: &'static str,
    /// What `data` of the answer holds, the name `*` standing for any; nothing for an answer without body.
    pub answer: &'static [Field],
}

/// A field of a request or an answer.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it means, with unit and default.
    pub about: &'static str,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A boolean.
    Flag,
    /// Seconds as a number, or a string such as `1h30m`.
    Duration,
    /// Strings; in requests also one string with commas.
    List,
    /// An object of strings.
    Map,
    /// A moment as a string (RFC 3339), or null.
    Moment,
    /// Any JSON value.
    Any,
}

/// What stood for the names of a pattern, in their order.
pub type Params<'a> = Vec<&'a str>;

impl Verb {
    /// An operation whose answer has `answer` in its `data`.
    pub const fn new(operation: Operation, about: &'static str, answer: &'static [Field]) -> Verb {
        Verb { operation, about, answer }
    }
}

impl Field {
    /// A field.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Field {
        Field { name, kind, about }
    }
}

impl Route {
    /// The names of the pattern's parameters, in their order.
    pub fn param_names(&self) -> impl Iterator<Item = &'static str> {
        let named = |part: &'static str| part.strip_prefix('{')?.strip_suffix('}');
        self.pattern.split('/').filter_map(named).map(|name| name.trim_end_matches('.'))
    }

    /// Adds the warnings about fields that the path does not know, and about those that the path itself has set, unless
    /// there is nothing to add them to.
    pub fn warn(&self, request: &Request, mut response: Response) -> Response {
        let warned = response.warnings.iter().any(|warning| warning.starts_with("Endpoint "));
        if warned || has_no_room(&response) {
            return response;
        }
        let replaced: Vec<&str> = (names(request)).filter(|name| self.param_names().any(|it| it == *name)).collect();
        let known = |name: &str| self.fields.iter().any(|field| [name, "*"].contains(&field.name));
        response = warn_of_unknown(request, response, |name| replaced.contains(&name) || known(name));
        if !replaced.is_empty() {
            let text =
                "Endpoint replaced the value of these parameters with the values captured from the endpoint's path";
            response = response.warn(format!("{text}: [{}]", replaced.join(" ")));
        }
        response
    }

    /// The route of `routes` that `path` leads to: the first that fits.
    pub fn find<'a>(routes: &'static [Route], path: &'a str) -> Option<(&'static Route, Params<'a>)> {
        routes.iter().find_map(|route| Some((route, route.params(path)?)))
    }

    /// Whether the route leads to `path`.
    pub fn fits(&self, path: &str) -> bool {
        self.params(path).is_some()
    }

    /// Whether the route knows the operation.
    pub fn serves(&self, operation: Operation) -> bool {
        let asked = if operation == Operation::Create { Operation::Update } else { operation };
        self.verbs.iter().any(|verb| verb.operation == asked)
    }

    /// What stands for the pattern's names in `path`; `None` if it does not fit. A slash at the end makes no difference
    /// where there is something to list. Nowhere else: a policy that denies `a` says nothing of `a/`.
    fn params<'a>(&self, path: &'a str) -> Option<Params<'a>> {
        let mut params = Params::new();
        let mut rest = Some(path);
        for part in self.pattern.split('/') {
            let here = rest?;
            if part.ends_with("...}") {
                let after = self.pattern.split_once("...}").map_or("", |(_, after)| after);
                let all = if after.is_empty() { here } else { here.strip_suffix(after)? };
                params.push(all);
                return (after.is_empty() || !all.is_empty()).then_some(params);
            }
            let (segment, after) = match here.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (here, None),
            };
            match part.starts_with('{') {
                true if segment.is_empty() => return None,
                true => params.push(segment),
                false if segment != part => return None,
                false => {}
            }
            rest = after;
        }
        match rest {
            None => Some(params),
            Some("") if self.serves(Operation::List) => Some(params),
            Some(_) => None,
        }
    }
}

/// Adds the warning about fields that are not known, unless there is nothing to add it to.
pub(crate) fn warn_of_unknown(request: &Request, response: Response, known: impl Fn(&str) -> bool) -> Response {
    let unknown: Vec<&str> = names(request).filter(|name| !known(name)).collect();
    match unknown.is_empty() || has_no_room(&response) {
        true => response,
        false => response.warn(format!("Endpoint ignored these unrecognized parameters: [{}]", unknown.join(" "))),
    }
}

/// An answer with nothing in it has no place for a warning.
fn has_no_room(response: &Response) -> bool {
    response.data.is_none() && response.auth.is_none() && response.warnings.is_empty()
}

/// The names of the request's fields, but for those that say what is to be done.
fn names(request: &Request) -> impl Iterator<Item = &str> {
    request.data.keys().map(String::as_str).filter(|name| !["list", "scan", "help"].contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn route(pattern: &'static str) -> Route {
        Route { pattern, about: "", verbs: &[], fields: &[] }
    }

    const LIST: &[Verb] = &[Verb { operation: Operation::List, about: "", answer: &[] }];

    static ROUTES: [Route; 6] = [
        Route { verbs: LIST, ..route("roles") },
        route("roles/{name}"),
        route("roles/{name}/id"),
        route("data/{path...}"),
        route("mounts/{path...}/tune"),
        route("mounts/{path...}"),
    ];

    #[test]
    fn the_first_route_that_fits_is_taken() {
        let found = |path| Route::find(&ROUTES, path).map(|(route, params)| (route.pattern, params.concat()));
        assert_eq!(found("roles"), Some(("roles", String::new())));
        assert_eq!(found("roles/"), Some(("roles", String::new())));
        assert_eq!(found("roles/a"), Some(("roles/{name}", "a".into())));
        assert_eq!(found("roles/a/id"), Some(("roles/{name}/id", "a".into())));
        assert_eq!(found("data/a/b/"), Some(("data/{path...}", "a/b/".into())));
        assert_eq!(found("data/"), Some(("data/{path...}", String::new())));
        assert_eq!(found("mounts/a/b/tune"), Some(("mounts/{path...}/tune", "a/b".into())));
        assert_eq!(found("mounts/tune"), Some(("mounts/{path...}", "tune".into())));
        assert_eq!(found("mounts/a/"), Some(("mounts/{path...}", "a/".into())));
        for lost in ["", "role", "roles/a/", "roles/a/id/", "roles/a/b", "roles//id", "data"] {
            assert_eq!(found(lost), None, "{lost}");
        }
    }
}
