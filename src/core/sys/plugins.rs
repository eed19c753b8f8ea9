//! `sys/plugins/catalog`: what can be mounted. It is read-only: engines and methods are built in.

use serde_json::{Value, json};

use super::Ask;
use crate::core::{Core, Error, Operation, Response, Result};
use crate::engines::catalog;
use crate::logical::route::{Field, Kind, Route, Verb};

const NAME: Field = Field::new("name", Kind::Text, "Its name.");
const TYPE: Field = Field::new("type", Kind::Text, "`secret`, `auth` or `database`.");
const KEYS: &[Field] = &[Field::new("keys", Kind::List, "The names.")];

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "plugins/catalog",
        about: "All engines and methods that can be mounted.",
        verbs: &[Verb::new(
            Operation::Read,
            "Shows them by their type.",
            &[
                Field::new("auth", Kind::List, "Auth methods."),
                Field::new("database", Kind::List, "Databases."),
                Field::new("secret", Kind::List, "Secret engines."),
                Field::new("detailed", Kind::Any, "One object each."),
            ],
        )],
        fields: &[],
    },
    Route {
        pattern: "plugins/catalog/{type}",
        about: "All of one type.",
        verbs: &[Verb::new(Operation::List, "Lists their names.", KEYS)],
        fields: &[TYPE],
    },
    Route {
        pattern: "plugins/catalog/{type}/{name}",
        about: "One engine or method.",
        verbs: &[
            Verb::new(
                Operation::Read,
                "Shows it.",
                &[
                    NAME,
                    Field::new("builtin", Kind::Flag, "Always."),
                    Field::new("version", Kind::Text, "That of the server."),
                    Field::new("deprecation_status", Kind::Text, "Whether it will stay."),
                ],
            ),
            Verb::new(Operation::Update, "Is refused: external plugins are not supported.", &[]),
            Verb::new(Operation::Delete, "Removes an external plugin, which there is none of.", &[]),
        ],
        fields: &[
            TYPE,
            NAME,
            Field::new("version", Kind::Text, "Ignored: there is one version."),
            Field::new("sha256", Kind::Text, "Refused."),
            Field::new("command", Kind::Text, "Refused."),
            Field::new("args", Kind::List, "Refused."),
            Field::new("env", Kind::List, "Refused."),
        ],
    },
    Route {
        pattern: "plugins/reload/backend",
        about: "Loads plugins anew. There is nothing to load: it is accepted.",
        verbs: &[Verb::new(
            Operation::Update,
            "Does nothing.",
            &[Field::new("reload_id", Kind::Text, "Names the request.")],
        )],
        fields: &[
            Field::new("plugin", Kind::Text, "Its name."),
            Field::new("mounts", Kind::List, "Mounts of it."),
            Field::new("scope", Kind::Text, "`global` or empty."),
        ],
    },
];

const TYPES: [&str; 3] = ["auth", "database", "secret"];

/// Names of one type, in order.
fn names(kind: &str) -> &'static [&'static str] {
    match kind {
        "secret" => catalog::KINDS,
        _ => &[],
    }
}

/// The version of all that is built in.
pub(crate) fn version() -> String {
    format!("v{}+builtin.holdfast", env!("CARGO_PKG_VERSION"))
}

impl Core {
    /// Serves them.
    pub(super) async fn sys_plugins(&self, ask: Ask<'_>) -> Result<Response> {
        let name = ask.params.get(1).copied().unwrap_or_default();
        match ask.at() {
            ("plugins/catalog", _) => Ok(all()),
            ("plugins/catalog/{type}", _) => match TYPES.contains(&ask.param()) {
                true => Ok(Response::keys(names(ask.param()).iter().map(ToString::to_string).collect())),
                false => Err(Error::Unsupported),
            },
            ("plugins/reload/backend", _) => Ok(Response::data(json!({ "reload_id": ask.request.id }))),
            (_, Operation::Read) => one(ask.param(), name),
            (_, Operation::Delete) => Ok(Response::empty()),
            _ => Err(Error::invalid("external plugins are not supported: what can be mounted is built in")),
        }
    }
}

fn all() -> Response {
    let detailed: Vec<Value> = TYPES
        .iter()
        .flat_map(|kind| names(kind).iter().map(move |name| (kind, name)))
        .map(|(kind, name)| {
            json!({
                "builtin": true, "deprecation_status": "supported", "name": name, "type": kind, "version": version(),
            })
        })
        .collect();
    Response::data(json!({
        "auth": names("auth"), "database": names("database"), "secret": names("secret"), "detailed": detailed,
    }))
}

fn one(kind: &str, name: &str) -> Result<Response> {
    if !names(kind).contains(&name) {
        return Err(Error::Absent);
    }
    Ok(Response::data(json!({
        "args": null, "builtin": true, "command": "", "declarative": false, "deprecation_status": "supported",
        "name": name, "oci": false, "sha256": "", "version": version(),
    })))
}
