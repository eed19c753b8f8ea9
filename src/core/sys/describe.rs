//! What is known of a mount's paths, for help and the OpenAPI document.

use crate::core::mount::Mount;
use crate::engines::catalog;
use crate::logical::Route;

/// All routes of what is mounted.
pub(super) fn routes_of(mount: &Mount) -> Vec<&'static Route> {
    match mount.kind.as_str() {
        "system" => super::routes().collect(),
        "token" => crate::core::tokens::routes::ROUTES.iter().collect(),
        kind => catalog::find(kind, &mount.options).map_or_else(Vec::new, |backend| backend.routes().iter().collect()),
    }
}

/// What the mount is for, in a sentence.
pub(super) fn about(mount: &Mount) -> &'static str {
    match mount.kind.as_str() {
        "system" => "The server's own endpoints: mounts, policies, the seal, the cluster, and what it tells of itself.",
        "token" => "Tokens: making, looking up, renewing and revoking them.",
        kind => catalog::find(kind, &mount.options).map_or("", |backend| backend.about()),
    }
}

/// A route's pattern as a regular expression, as help shows it.
pub(super) fn expression(pattern: &str) -> String {
    let mut shown = String::from("^");
    for (number, part) in pattern.split('/').enumerate() {
        if number > 0 {
            shown.push('/');
        }
        match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            None => shown.push_str(part),
            Some(name) => match name.strip_suffix("...") {
                Some(name) => shown.push_str(&format!("(?P<{name}>.*)")),
                None => shown.push_str(&format!("(?P<{name}>[^/]+)")),
            },
        }
    }
    shown.push('$');
    shown
}
