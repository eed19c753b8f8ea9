//! `?help=1` on any path: what the mount's table says of it.

use serde_json::{Value, json};

use super::{describe, openapi, unsupported_path};
use crate::core::authorize::Authorized;
use crate::core::mount::Mount;
use crate::core::sealing::bare;
use crate::core::{Core, Operation, Response, Result};
use crate::logical::Route;
use crate::logical::route::{Field, Kind};

impl Core {
    /// Tells of a path, or of a whole mount if nothing is behind its path.
    pub(crate) fn help(&self, authorized: &Authorized) -> Result<Response> {
        let (mount, path) = (&authorized.mount, authorized.rest.as_str());
        let routes = describe::routes_of(mount);
        if path.is_empty() {
            return Ok(answer(of_mount(mount, &routes), openapi::of_routes(mount, &routes)));
        }
        match routes.iter().find(|route| route.fits(path)) {
            Some(route) => Ok(answer(of_route(route, path), openapi::of_routes(mount, &[*route]))),
            // There, a path that is none is answered too: with what was most likely meant.
            None if mount.is_versioned_kv() => Ok(answer(of_mount(mount, &routes), openapi::of_routes(mount, &[]))),
            None => Err(unsupported_path()),
        }
    }
}

fn answer(help: String, openapi: Value) -> Response {
    bare(json!({ "help": help.trim_end(), "see_also": null, "openapi": openapi }))
}

fn of_mount(mount: &Mount, routes: &[&'static Route]) -> String {
    let mut text = format!("## DESCRIPTION\n\n{}\n\n## PATHS\n\n{PATHS}\n", describe::about(mount));
    for route in routes {
        text.push_str(&format!("\n    {}\n        {}\n", describe::expression(route.pattern), route.about));
    }
    text
}

fn of_route(route: &Route, path: &str) -> String {
    let expression = describe::expression(route.pattern);
    let mut text = format!("Request:        {path}\nMatching Route: {expression}\n\n{}\n", route.about);
    let mut fields: Vec<&Field> = route.fields.iter().filter(|field| field.name != "*").collect();
    fields.sort_by_key(|field| field.name);
    if !fields.is_empty() {
        text.push_str("\n## PARAMETERS\n");
    }
    for field in fields {
        text.push_str(&format!("\n    {} ({})\n\n        {}\n", field.name, type_name(field.kind), field.about));
    }
    text.push_str("\n## DESCRIPTION\n");
    for verb in route.verbs {
        text.push_str(&format!("\n    {}\n        {}\n", method(verb.operation), verb.about));
    }
    text
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Moment => "string",
        Kind::Integer => "int",
        Kind::Flag => "bool",
        Kind::Duration => "duration",
        Kind::List => "slice",
        Kind::Map => "keypair",
        Kind::Any => "map",
    }
}

/// The HTTP method of an operation.
fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::Read | Operation::Help => "GET",
        Operation::List => "LIST",
        Operation::Create | Operation::Update => "POST",
        Operation::Patch => "PATCH",
        Operation::Delete => "DELETE",
    }
}

const PATHS: &str =
    "What is served below the mount, each with what it is for. Ask for help with a path to read more of it.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_tells_of_itself() {
        let route = super::super::routes().find(|route| route.pattern == "capabilities-self");
        let text = of_route(route.expect("a route"), "x");
        assert!(text.starts_with("Request:        x\nMatching Route: ^"), "{text}");
        assert!(text.contains("## DESCRIPTION"), "{text}");
    }
}
