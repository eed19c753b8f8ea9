//! `sys/internal/ui/*`: what clients ask for to find their way among the mounts.

use serde_json::{Map, Value};

use super::Ask;
use crate::core::authorize::Authorized;
use crate::core::mount::{Class, Mount, Router, Tuned};
use crate::core::{Core, Error, Operation, Response, Result};
use crate::logical::route::{Field, Kind, Route, Verb};

const TABLES: &[Field] = &[
    Field::new("auth", Kind::Any, "Mounts of auth methods by their paths."),
    Field::new("secret", Kind::Any, "Mounts of secret engines by their paths."),
];

const MOUNT: &[Field] = &[
    Field::new("path", Kind::Text, "The path of the mount that serves the path asked for."),
    Field::new("accessor", Kind::Text, "Names the mount in policies and audit entries."),
    Field::new("config", Kind::Any, "What was tuned; a TTL of 0 is the system's."),
    Field::new("deprecation_status", Kind::Text, "`supported`, for an engine that is not the server's own."),
    Field::new("description", Kind::Text, "For people."),
    Field::new("external_entropy_access", Kind::Flag, "As it was enabled."),
    Field::new("local", Kind::Flag, "As it was enabled."),
    Field::new("plugin_version", Kind::Text, "Empty: engines are built in."),
    Field::new("running_plugin_version", Kind::Text, "The server's version."),
    Field::new("running_sha256", Kind::Text, "Empty: engines are built in."),
    Field::new("seal_wrap", Kind::Flag, "As it was enabled."),
    Field::new("uuid", Kind::Text, "Names the place of the mount's data."),
    Field::new("type", Kind::Text, "Which engine or method it is."),
    Field::new("options", Kind::Map, "What the engine was given, such as its version."),
];

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "internal/ui/mounts",
        about: "Mounts that the caller may use, and those that are shown to everybody.",
        verbs: &[Verb::new(Operation::Read, "Shows the mounts.", TABLES)],
        fields: &[],
    },
    Route {
        pattern: "internal/ui/mounts/{path...}",
        about: "The mount that serves a path, if the caller may use it.",
        verbs: &[Verb::new(Operation::Read, "Shows the mount.", MOUNT)],
        fields: &[Field::new("path", Kind::Text, "Any path that the mount serves.")],
    },
    Route {
        pattern: "internal/ui/resultant-acl",
        about: "What all policies of the caller's token allow together.",
        verbs: &[Verb::new(Operation::Read, "Shows the paths and their capabilities.", ACL)],
        fields: &[],
    },
    Route {
        pattern: "internal/ui/namespaces",
        about: "Namespaces that the caller may use. There is only the root namespace.",
        verbs: &[Verb::new(Operation::Read, "Shows none.", &[])],
        fields: &[],
    },
];

const ACL: &[Field] = &[
    Field::new("root", Kind::Flag, "Everything is allowed."),
    Field::new("exact_paths", Kind::Any, "Capabilities of exact paths."),
    Field::new("glob_paths", Kind::Any, "Capabilities of paths that begin so."),
];

impl Core {
    /// Serves them.
    pub(super) async fn sys_ui(&self, ask: Ask<'_>) -> Result<Response> {
        let router = self.router.get(self.raft.state(), &ask.unsealed.keyring).await?;
        match ask.route.pattern {
            "internal/ui/resultant-acl" => Ok(Response::data(ask.authorized.acl.resultant())),
            "internal/ui/namespaces" => Ok(Response { data: Some(Map::new()), ..Response::default() }),
            "internal/ui/mounts" => Ok(self.visible_mounts(&router, Some(ask.authorized))),
            _ => mount_of(&router, ask.authorized, ask.param()),
        }
    }

    /// Mounts that the caller may use, or that say they may be shown to anybody.
    pub(super) fn visible_mounts(&self, router: &Router, authorized: Option<&Authorized>) -> Response {
        let table = |class| -> Map<String, Value> {
            let mounts = router.all(class).filter(|found| is_visible(&found.record, authorized));
            let shown = |mount: &Mount| match authorized {
                Some(_) => mount.shown(),
                None => mount.shown_to_anybody(),
            };
            mounts.map(|found| (found.record.shown_path().to_string(), shown(&found.record))).collect()
        };
        Response::data(serde_json::json!({ "auth": table(Class::Auth), "secret": table(Class::Secret) }))
    }
}

/// Whether the caller may know of the mount.
pub(super) fn is_visible(mount: &Mount, authorized: Option<&Authorized>) -> bool {
    mount.tune.get("listing_visibility") == Some(&Tuned::Text("unauth".into()))
        || authorized.is_some_and(|authorized| authorized.acl.reaches(&mount.path))
}

fn mount_of(router: &Router, authorized: &Authorized, path: &str) -> Result<Response> {
    let denied = || {
        let path = format!("{}/", path.trim_end_matches('/'));
        let text = "preflight capability check returned 403, please ensure client's policies grant access to path";
        Error::Forbidden(format!("{text} \"{path}\""))
    };
    let (found, _) = router.route(path).ok_or_else(denied)?;
    if !authorized.acl.reaches(&found.record.path) {
        return Err(denied());
    }
    let mut shown = found.record.shown();
    shown["path"] = found.record.shown_path().into();
    Ok(Response::data(shown))
}
