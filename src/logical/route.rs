//! A backend's paths as data: dispatch, `?help=1`, the warning about unknown fields and the OpenAPI document all read the
//! same table, so that none of them can know a path that the others do not.

use super::Operation;

/// A path that a backend serves.
#[derive(Debug)]
pub struct Route {
    /// Relative to the mount. `{name}` stands for one segment, `{name...}` at the end for all the rest, which may be empty.
    pub pattern: &'static str,
    /// What the path is for, a sentence or more.
    pub about: &'static str,
    /// What may be done there.
    pub verbs: &'static [Verb],
    /// The fields that requests may have in body or query.
    pub fields: &'static [Field],
}

/// An operation on a path. [`Operation::Update`] stands for both create and update.
#[derive(Debug)]
pub struct Verb {
    /// Which.
    pub operation: Operation,
    /// What it does, in a few words.
    pub about: &'static str,
    /// What `data` of the answer holds; nothing for an answer without body.
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
    /// Any JSON value.
    Any,
}

/// A verb of a table.
pub const fn verb(operation: Operation, about: &'static str, answer: &'static [Field]) -> Verb {
    Verb { operation, about, answer }
}

/// A field of a table.
pub const fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about }
}

/// What stood for the names of a pattern, in their order.
pub type Params<'a> = Vec<&'a str>;

impl Route {
    /// The route of `routes` that `path` leads to: the first that fits.
    pub fn find<'a>(routes: &'static [Route], path: &'a str) -> Option<(&'static Route, Params<'a>)> {
        routes.iter().find_map(|route| Some((route, route.params(path)?)))
    }

    /// Whether the route knows the operation.
    pub fn serves(&self, operation: Operation) -> bool {
        let asked = if operation == Operation::Create { Operation::Update } else { operation };
        self.verbs.iter().any(|verb| verb.operation == asked)
    }

    /// What stands for the pattern's names in `path`; `None` if it does not fit. A slash at the end of a folder's path
    /// makes no difference.
    fn params<'a>(&self, path: &'a str) -> Option<Params<'a>> {
        let mut params = Params::new();
        let mut rest = Some(path);
        for part in self.pattern.split('/') {
            let here = rest?;
            if part.ends_with("...}") {
                params.push(here);
                return Some(params);
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
        rest.is_none_or(str::is_empty).then_some(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn route(pattern: &'static str) -> Route {
        Route { pattern, about: "", verbs: &[], fields: &[] }
    }

    static ROUTES: [Route; 4] =
        [route("roles"), route("roles/{name}"), route("roles/{name}/id"), route("data/{path...}")];

    #[test]
    fn the_first_route_that_fits_is_taken() {
        let found = |path| Route::find(&ROUTES, path).map(|(route, params)| (route.pattern, params.concat()));
        assert_eq!(found("roles"), Some(("roles", String::new())));
        assert_eq!(found("roles/"), Some(("roles", String::new())));
        assert_eq!(found("roles/a"), Some(("roles/{name}", "a".into())));
        assert_eq!(found("roles/a/id"), Some(("roles/{name}/id", "a".into())));
        assert_eq!(found("data/a/b/"), Some(("data/{path...}", "a/b/".into())));
        assert_eq!(found("data/"), Some(("data/{path...}", String::new())));
        for lost in ["", "role", "roles/a/b", "roles//id", "data"] {
            assert_eq!(found(lost), None, "{lost}");
        }
    }
}
