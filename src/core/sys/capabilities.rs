//! `sys/capabilities`, `-self` and `-accessor`: what a token may do at paths.

use std::sync::Arc;

use serde_json::{Map, json};

use super::Ask;
use crate::core::{Core, Error, Operation, Response, Result};
use crate::logical::Route;
use crate::logical::route::{Field, Kind, Verb};
use crate::token;

/// The paths.
pub(crate) static ROUTES: &[Route] = &[
    Route {
        pattern: "capabilities",
        about: "What a token may do at paths.",
        verbs: VERBS,
        fields: &[PATHS, PATH, Field::new("token", Kind::Text, "The token.")],
    },
    Route {
        pattern: "capabilities-accessor",
        about: "What the token with an accessor may do at paths.",
        verbs: VERBS,
        fields: &[PATHS, PATH, Field::new("accessor", Kind::Text, "The token's accessor.")],
    },
    Route {
        pattern: "capabilities-self",
        about: "What the calling token may do at paths.",
        verbs: VERBS,
        fields: &[
            PATHS,
            PATH,
            Field::new("token", Kind::Text, "Accepted and ignored: it is the calling token that counts."),
        ],
    },
];

const VERBS: &[Verb] = &[Verb {
    operation: Operation::Update,
    about: "Answers, for each path, the capabilities there; and under \"capabilities\" those of an only path.",
    answer: &[
        Field::new("capabilities", Kind::List, "Words of the policy language, or only root, or only deny."),
        Field::new("*", Kind::Any, "The same, by path."),
    ],
}];

const PATHS: Field = Field::new("paths", Kind::List, "The paths, without /v1/.");
const PATH: Field = Field::new("path", Kind::List, "The older name of \"paths\".");

impl Core {
    /// Serves the three.
    pub(super) async fn sys_capabilities(&self, ask: Ask<'_>) -> Result<Response> {
        let Ask { unsealed, txn, authorized, request, route, .. } = ask;
        let is_by_accessor = route.pattern == "capabilities-accessor";
        if is_by_accessor && request.text("accessor")?.is_none_or(|accessor| accessor.is_empty()) {
            return Err(Error::invalid("missing accessor"));
        }
        let paths = match (request.list("paths")?, request.list("path")?) {
            (Some(paths), _) | (None, Some(paths)) if !paths.is_empty() => paths,
            _ => return Err(Error::invalid("paths must be supplied")),
        };
        if paths.iter().any(String::is_empty) {
            return Err(Error::invalid("1 error occurred:\n\t* missing path\n\n"));
        }
        let salt = &unsealed.secrets.salt;
        let invalid = || Error::invalid("1 error occurred:\n\t* invalid token\n\n");
        let entry = match route.pattern {
            "capabilities-self" => Arc::clone(&authorized.caller()?.entry),
            "capabilities-accessor" => {
                let accessor = request.text("accessor")?.unwrap_or_default();
                let found = token::store::by_accessor(txn, salt, &accessor).await?;
                let found = found.ok_or_else(|| Error::invalid("1 error occurred:\n\t* invalid accessor\n\n"))?;
                self.live_token(unsealed, txn, &found.0).await?.ok_or_else(invalid)?.0
            }
            _ => {
                let id = request.text("token")?.unwrap_or_default();
                self.live_token_of(unsealed, txn, &id).await?.ok_or_else(invalid)?.entry
            }
        };
        let acl = self.acl(unsealed, &entry.policies).await?;
        // People write paths as they see them in a browser.
        let capabilities = |path: &str| acl.capabilities(path.trim_start_matches('/'));
        let mut data = Map::new();
        for path in &paths {
            data.insert(path.clone(), json!(capabilities(path)));
        }
        if let [only] = paths.as_slice() {
            data.insert("capabilities".into(), json!(capabilities(only)));
        }
        Ok(Response { data: Some(data), ..Response::default() }.flat())
    }
}
