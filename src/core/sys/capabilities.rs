//! `sys/capabilities`, `-self` and `-accessor`: what a token may do at paths.

use serde_json::{Map, json};

use crate::barrier::BarrierTxn;
use crate::core::authorize::Authorized;
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};
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
    answer: &[Field::new("capabilities", Kind::List, "Words of the policy language, or only root, or only deny.")],
}];

const PATHS: Field = Field::new("paths", Kind::List, "The paths, without /v1/.");
const PATH: Field = Field::new("path", Kind::List, "The older name of \"paths\".");

impl Core {
    /// Serves the three.
    pub(crate) async fn sys_capabilities(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
    ) -> Result<Response> {
        let (route, _) = Route::find(ROUTES, &authorized.rest).ok_or_else(super::unsupported_path)?;
        if !matches!(authorized.operation, Operation::Update | Operation::Create) {
            return Err(Error::Unsupported);
        }
        let paths = match (request.list("paths")?, request.list("path")?) {
            (Some(paths), _) | (None, Some(paths)) if !paths.is_empty() => paths,
            _ => return Err(Error::invalid("paths must be supplied")),
        };
        let salt = &unsealed.secrets.salt;
        let hash = match route.pattern {
            "capabilities-self" => authorized.caller()?.hash,
            "capabilities-accessor" => {
                let accessor = request.text("accessor")?.unwrap_or_default();
                if accessor.is_empty() {
                    return Err(Error::invalid("missing accessor"));
                }
                let found = token::store::by_accessor(txn, salt, &accessor).await?;
                found.ok_or_else(|| Error::invalid("1 error occurred:\n\t* invalid accessor\n\n"))?.0
            }
            _ => salt.hash(&request.text("token")?.unwrap_or_default()),
        };
        let (entry, _) = self
            .live_token(unsealed, txn, &hash)
            .await?
            .ok_or_else(|| Error::invalid("1 error occurred:\n\t* invalid token\n\n"))?;
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
