//! `sys/config/cors`, `sys/config/ui/headers`, `sys/audit`: what browsers and audit devices would read. The server has
//! neither a user interface nor audit devices yet; settings are kept and shown as clients expect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::{Ask, settings};
use crate::core::{Core, Error, Operation, Request, Response, Result};
use crate::logical::route::{Field, Kind, Route, Verb};

const ORIGINS: Field =
    Field::new("allowed_origins", Kind::List, "Origins that browsers may call from; `*` alone is all.");
const HEADERS: Field =
    Field::new("allowed_headers", Kind::List, "Request headers that browsers may send, beside the API's own.");
const MULTIVALUE: Field = Field::new("multivalue", Kind::Flag, "Shows all values.");

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "config/cors",
        about: "Cross-origin requests of browsers. No such headers are sent yet.",
        verbs: &[
            Verb::new(
                Operation::Read,
                "Shows the settings.",
                &[
                    Field::new("enabled", Kind::Flag, "Whether there are any."),
                    ORIGINS,
                    HEADERS,
                    Field::new("allow_credentials", Kind::Flag, "Never."),
                ],
            ),
            Verb::new(Operation::Update, "Keeps the settings.", &[]),
            Verb::new(Operation::Delete, "Forgets the settings.", &[]),
        ],
        fields: &[
            Field::new("enable", Kind::Flag, "Accepted: settings that are kept are enabled."),
            ORIGINS,
            HEADERS,
            Field::new("allow_credentials", Kind::Flag, "Accepted: it is never set."),
        ],
    },
    Route {
        pattern: "config/ui/headers",
        about: "Headers for answers of the user interface, which there is none of yet.",
        verbs: &[Verb::new(Operation::List, "Lists their names.", &[Field::new("keys", Kind::List, "The names.")])],
        fields: &[],
    },
    Route {
        pattern: "config/ui/headers/{header}",
        about: "One header for answers of the user interface.",
        verbs: &[
            Verb::new(
                Operation::Read,
                "Shows its first value, or all.",
                &[
                    Field::new("value", Kind::Text, "The first value."),
                    Field::new("values", Kind::List, "All values, if asked for."),
                ],
            ),
            Verb::new(Operation::Update, "Keeps the header.", &[]),
            Verb::new(Operation::Delete, "Forgets the header.", &[]),
        ],
        fields: &[
            Field::new("header", Kind::Text, "Its name."),
            Field::new("values", Kind::List, "Its values."),
            MULTIVALUE,
        ],
    },
    Route {
        pattern: "audit",
        about: "Audit devices.",
        verbs: &[Verb::new(Operation::Read, "Shows them by their paths: there are none yet.", &[])],
        fields: &[],
    },
    Route {
        pattern: "audit/{path...}",
        about: "One audit device.",
        verbs: &[
            Verb::new(Operation::Update, "Is refused: audit devices are not supported yet.", &[]),
            Verb::new(Operation::Delete, "Disables the device, if there is one.", &[]),
        ],
        fields: &[
            Field::new("path", Kind::Text, "Names it."),
            Field::new("type", Kind::Text, "Which kind."),
            Field::new("description", Kind::Text, "For people."),
            Field::new("options", Kind::Map, "What the kind needs."),
            Field::new("local", Kind::Flag, "Not replicated."),
        ],
    },
];

/// Headers of requests that the API itself reads.
const OWN_HEADERS: [&str; 10] = [
    "Content-Type",
    "Authorization",
    "X-Vault-Token",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
    "X-Requested-With",
    "X-Vault-AWS-IAM-Server-ID",
    "X-Vault-Policy-Override",
];

const CORS: &str = "cors";
const UI_HEADERS: &str = "ui-headers";

/// Headers that are kept; they are one record.
const UI_HEADERS_MAX: usize = 100;

#[derive(Serialize, Deserialize)]
struct Cors {
    origins: Vec<String>,
    headers: Vec<String>,
}

/// By their lower-case name: the name as it was given, and the values.
type UiHeaders = BTreeMap<String, (String, Vec<String>)>;

impl Core {
    /// Serves them.
    pub(super) async fn sys_config(&self, ask: Ask<'_>) -> Result<Response> {
        match ask.at() {
            ("config/cors", Operation::Read) => read_cors(ask).await,
            ("config/cors", Operation::Delete) => {
                settings::delete(ask.txn, CORS);
                Ok(Response::empty())
            }
            ("config/cors", _) => write_cors(ask),
            ("audit", _) => Ok(Response { data: Some(Map::new()), ..Response::default() }),
            ("audit/{path...}", Operation::Delete) => Ok(Response::empty()),
            ("audit/{path...}", _) => Err(Error::invalid("audit devices are not supported yet")),
            _ => ui_headers(ask).await,
        }
    }
}

async fn read_cors(ask: Ask<'_>) -> Result<Response> {
    Ok(match settings::get::<Cors>(ask.txn, CORS).await? {
        None => Response::data(json!({ "enabled": false })).flat(),
        Some(cors) => {
            let headers: Vec<String> = OWN_HEADERS.iter().map(ToString::to_string).chain(cors.headers).collect();
            Response::data(json!({
                "enabled": true,
                "allowed_origins": cors.origins,
                "allowed_headers": headers,
                "allow_credentials": false,
            }))
            .flat()
        }
    })
}

fn write_cors(ask: Ask<'_>) -> Result<Response> {
    let cors = parse_cors(ask.request)?;
    settings::put(ask.txn, CORS, &cors);
    Ok(Response::empty().warn("kept, but this server does not send the headers of cross-origin requests yet"))
}

fn parse_cors(request: &Request) -> Result<Cors> {
    let origins = request.list("allowed_origins")?.unwrap_or_default();
    if origins.is_empty() {
        return Err(Error::invalid("at least one origin or the wildcard must be provided"));
    }
    if origins.len() > 1 && origins.iter().any(|origin| origin == "*") {
        return Err(Error::invalid("to allow all origins the '*' must be the only value for allowed_origins"));
    }
    Ok(Cors { origins, headers: request.list("allowed_headers")?.unwrap_or_default() })
}

async fn ui_headers(ask: Ask<'_>) -> Result<Response> {
    let mut all: UiHeaders = settings::get(ask.txn, UI_HEADERS).await?.unwrap_or_default();
    let name = ask.param().to_string();
    let key = name.to_ascii_lowercase();
    match ask.at().1 {
        Operation::List if all.is_empty() => Err(Error::Absent),
        Operation::List => Ok(Response::keys(all.into_values().map(|(name, _)| name).collect())),
        Operation::Read => {
            let (_, values) = all.remove(&key).ok_or(Error::Absent)?;
            Ok(Response::data(match ask.request.flag("multivalue")?.unwrap_or(false) {
                true => json!({ "values": values }),
                false => json!({ "value": values.first() }),
            }))
        }
        Operation::Delete => {
            if all.remove(&key).is_some() {
                settings::put(ask.txn, UI_HEADERS, &all);
            }
            Ok(Response::empty())
        }
        _ => {
            if key.starts_with("x-vault-") {
                return Err(Error::invalid("X-Vault headers cannot be set"));
            }
            let values = ask.request.list("values")?.unwrap_or_default();
            if values.is_empty() {
                return Err(Error::invalid("header and values must be specified"));
            }
            all.insert(key.clone(), (name, values));
            if all.len() > UI_HEADERS_MAX {
                return Err(Error::invalid(format!("there are {UI_HEADERS_MAX} headers already")));
            }
            settings::put(ask.txn, UI_HEADERS, &all);
            Ok(match key.as_str() {
                "content-security-policy" => Response::empty().warn(
                    "overriding default Content-Security-Policy which is secure by default, proceed with caution",
                ),
                _ => Response::empty(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_alone() {
        let said = |data: serde_json::Value| {
            let data = data.as_object().cloned().unwrap_or_default();
            parse_cors(&Request { data, ..super::super::tests::request("sys/config/cors") })
                .map(|cors| cors.origins.len())
                .map_err(|error| error.to_string())
        };
        assert_eq!(said(json!({ "allowed_origins": "http://a,http://b" })), Ok(2));
        assert_eq!(said(json!({ "allowed_origins": ["*"] })), Ok(1));
        assert!(said(json!({})).is_err());
        assert!(said(json!({ "allowed_origins": "*,http://a" })).is_err());
    }
}
