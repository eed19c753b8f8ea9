//! `sys/remount`: moves a mount to another path. Its data is under its UUID, so the move is one write of its record;
//! nothing is copied or encrypted anew.

use serde_json::json;

use super::Ask;
use super::mounts::is_reserved;
use crate::core::mount::{Class, Mount, Moved, Router};
use crate::core::{Core, Error, Operation, Response, Result};
use crate::limits;
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::policy::path::canonical;

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "remount",
        about: "Moves a mount to another path, with all that is in it.",
        verbs: &[Verb::new(
            Operation::Update,
            "Moves the mount; it is done when this is answered.",
            &[Field::new("migration_id", Kind::Text, "Names the move.")],
        )],
        fields: &[
            Field::new("from", Kind::Text, "Where it is, with auth/ before an auth mount."),
            Field::new("to", Kind::Text, "Where it is to be, with auth/ before an auth mount."),
        ],
    },
    Route {
        pattern: "remount/status/{migration_id}",
        about: "What came of a move. Each mount's last one is known.",
        verbs: &[Verb::new(
            Operation::Read,
            "Tells what came of it.",
            &[
                Field::new("migration_id", Kind::Text, "Names the move."),
                Field::new("migration_info", Kind::Any, "source_mount, target_mount, status."),
            ],
        )],
        fields: &[Field::new("migration_id", Kind::Text, "As the move was answered.")],
    },
];

/// Clients look for words of this.
const QUEUED: &str = "Mount move has been queued. Progress will be reported in Holdfast's server log, tagged with the \
                      returned migration_id";

impl Core {
    /// Serves them.
    pub(super) async fn sys_remount(&self, ask: Ask<'_>) -> Result<Response> {
        match ask.at().1 {
            Operation::Read => status(&*self.router.get(self.raft.state(), &ask.unsealed.keyring).await?, ask.param()),
            _ => self.remount(ask).await,
        }
    }

    async fn remount(&self, ask: Ask<'_>) -> Result<Response> {
        let text = |name| ask.request.text(name).map(Option::unwrap_or_default);
        let (from, to) = (text("from")?, text("to")?);
        if from.is_empty() || to.is_empty() {
            return Err(Error::invalid("both 'from' and 'to' path must be specified as a string"));
        }
        for (name, path) in [("from", &from), ("to", &to)] {
            if path.ends_with(char::is_whitespace) {
                return Err(Error::invalid(format!("'{name}' path cannot contain trailing whitespace")));
            }
        }
        let (from, to) = (mount_path("source", &from)?, mount_path("destination", &to)?);
        check(&from, &to)?;
        let (router, _) = self.router.read_in(ask.txn, limits::MOUNTS_MAX).await?;
        let found = router.at(&from).ok_or_else(|| Error::invalid(format!("no matching mount at \"{from}\"")))?;
        if let Some(taken) = router.conflict(&to) {
            return Err(Error::invalid(format!("path already in use at \"{taken}\"")));
        }
        let id = self.runtime.entropy.uuid();
        let moved = Some(Moved { id: id.clone(), from: from.clone(), to: to.clone() });
        let mount = Mount { path: to.clone(), moved, ..Mount::clone(&found.record) };
        ask.txn.below().expect(&mount.key(), found.revision);
        ask.txn.put(mount.key(), &mount.encode());
        tracing::info!(migration_id = id, from, to, "a mount was moved");
        Ok(Response::data(json!({ "migration_id": id })).flat().warn(QUEUED))
    }
}

/// The canonical path of a mount.
fn mount_path(what: &str, path: &str) -> Result<String> {
    let path = format!("{}/", path.trim_end_matches('/'));
    match canonical(&path) {
        Ok(clean) if clean == path => Ok(path),
        _ => Err(Error::invalid(format!("invalid {what} mount: path '{path}' is not canonical"))),
    }
}

/// Whether these may be moved at all.
fn check(from: &str, to: &str) -> Result<()> {
    let is_auth = |path: &str| path.starts_with("auth/");
    if from == "auth/token/" || !is_auth(from) && is_reserved(from) {
        return Err(Error::invalid(format!("cannot remount \"{from}\"")));
    }
    match (is_auth(from), is_auth(to)) {
        (true, false) => Err(Error::invalid(format!("cannot remount auth mount to non-auth mount \"{to}\""))),
        (true, true) if to == "auth/token/" || to == "auth/" => {
            Err(Error::invalid(format!("cannot remount to destination {to}")))
        }
        (false, _) if is_reserved(to) => Err(Error::invalid(format!("cannot remount to destination {to}"))),
        _ => Ok(()),
    }
}

fn status(router: &Router, id: &str) -> Result<Response> {
    let mut moves =
        router.all(Class::Secret).chain(router.all(Class::Auth)).filter_map(|found| found.record.moved.as_ref());
    let moved = moves.find(|moved| moved.id == id).ok_or(Error::Absent)?;
    Ok(Response::data(json!({
        "migration_id": moved.id,
        "migration_info": { "source_mount": moved.from, "target_mount": moved.to, "status": "success" },
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_move_where() {
        let said = |from: &str, to: &str| check(from, to).err().map_or(String::new(), |error| error.to_string());
        for (from, to, expected) in [
            ("kv/", "a/b/", ""),
            ("auth/up/", "auth/x/y/", ""),
            ("sys/", "x/", "cannot remount \"sys/\""),
            ("cubbyhole/", "x/", "cannot remount \"cubbyhole/\""),
            ("identity/", "x/", "cannot remount \"identity/\""),
            ("auth/token/", "auth/x/", "cannot remount \"auth/token/\""),
            ("kv/", "sys/x/", "cannot remount to destination sys/x/"),
            ("kv/", "auth/x/", "cannot remount to destination auth/x/"),
            ("kv/", "audit/x/", "cannot remount to destination audit/x/"),
            ("auth/up/", "up/", "cannot remount auth mount to non-auth mount \"up/\""),
        ] {
            assert_eq!(said(from, to), expected, "{from} {to}");
        }
        assert!(mount_path("destination", "a/../b").is_err());
        assert_eq!(mount_path("source", "a/b/"), Ok("a/b/".to_string()));
    }
}
