//! What the active node tells of itself: host, configuration, requests under way, loggers, versions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Ask, settings};
use crate::barrier::BarrierTxn;
use crate::core::sealing::bare;
use crate::core::{Core, Error, Operation, Response, Result, Unsealed};
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::runtime::UnixTime;
use crate::telemetry::{Level, LogHandle};

const LEVEL: Field = Field::new("level", Kind::Text, "trace, debug, info, warn or error.");
const LOGGER_VERBS: &[Verb] = &[
    Verb::new(Operation::Read, "Shows levels by the names of loggers.", &[]),
    Verb::new(Operation::Update, "Sets the level until the server starts again.", &[]),
    Verb::new(Operation::Delete, "Sets the configured level again.", &[]),
];

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "host-info",
        about: "The machine of the active node.",
        verbs: &[Verb::new(
            Operation::Read,
            "Shows processors, memory, disk and system.",
            &[
                Field::new("cpu", Kind::Any, "One object for each processor."),
                Field::new("cpu_times", Kind::Any, "Seconds that each has spent on what."),
                Field::new("disk", Kind::Any, "The file system of the data."),
                Field::new("host", Kind::Any, "Name, system, uptime."),
                Field::new("memory", Kind::Any, "Bytes."),
                Field::new("timestamp", Kind::Text, "When it was looked at."),
            ],
        )],
        fields: &[],
    },
    Route {
        pattern: "config/state/sanitized",
        about: "The configuration of the active node, without secrets.",
        verbs: &[Verb::new(Operation::Read, "Shows it.", &[])],
        fields: &[],
    },
    Route {
        pattern: "in-flight-req",
        about: "Requests that the active node is serving.",
        verbs: &[Verb::new(Operation::Read, "Shows them by their ids.", &[Field::new("*", Kind::Any, "A request.")])],
        fields: &[],
    },
    Route { pattern: "loggers", about: "How much the active node logs.", verbs: LOGGER_VERBS, fields: &[LEVEL] },
    Route {
        pattern: "loggers/{name}",
        about: "How much one part of the active node logs.",
        verbs: LOGGER_VERBS,
        fields: &[Field::new("name", Kind::Text, "The part."), LEVEL],
    },
    Route {
        pattern: "version-history",
        about: "Versions that have been active in the cluster.",
        verbs: &[Verb::new(
            Operation::List,
            "Lists them in their order.",
            &[
                Field::new("keys", Kind::List, "The versions."),
                Field::new("key_info", Kind::Any, "When each was first active, and after which."),
            ],
        )],
        fields: &[],
    },
    Route {
        pattern: "replication/status",
        about: "Replication to other clusters, which there is none of.",
        verbs: &[Verb::new(
            Operation::Read,
            "Tells that it is off.",
            &[Field::new("dr", Kind::Any, "Its mode."), Field::new("performance", Kind::Any, "Its mode.")],
        )],
        fields: &[],
    },
    Route {
        pattern: "pprof/{profile...}",
        about: "Profiles of a Go program, which this server is not.",
        verbs: &[Verb::new(Operation::Read, "Is refused.", &[])],
        fields: &[Field::new("profile", Kind::Text, "Which.")],
    },
    Route {
        pattern: "namespaces",
        about: "Namespaces below the root one, which there are none of.",
        verbs: &[Verb::new(Operation::List, "Finds nothing.", &[Field::new("keys", Kind::List, "The names.")])],
        fields: &[],
    },
    Route {
        pattern: "internal/counters/requests",
        about: "Counts of requests by month, which nobody keeps any more.",
        verbs: &[Verb::new(Operation::Read, "Is refused.", &[])],
        fields: &[],
    },
];

const VERSIONS: &str = "versions";

/// Versions in the order in which they were first active, and when that was.
type Versions = Vec<FirstActive>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct FirstActive {
    version: String,
    at: UnixTime,
}

/// The history's length; the oldest go first.
const VERSIONS_MAX: usize = 100;

impl Core {
    /// Serves them.
    pub(super) async fn sys_node(&self, ask: Ask<'_>) -> Result<Response> {
        match ask.at() {
            ("host-info", _) => Ok(self.host_info()),
            ("config/state/sanitized", _) => {
                Ok(Response { data: Some(self.settings.sanitized.clone()), ..Response::default() })
            }
            ("in-flight-req", _) => Ok(self.in_flight_answer()),
            ("version-history", _) => version_history(ask.txn).await,
            ("namespaces", _) => Err(Error::Absent),
            ("replication/status", _) => Ok(replication_status()),
            ("internal/counters/requests", _) => {
                Err(Error::NoRoute("The functionality has been removed on this path".into()))
            }
            ("pprof/{profile...}", _) => {
                Err(Error::NoRoute("there are no such profiles: this server is no Go program".into()))
            }
            _ => loggers(&ask, LogHandle::of_process().as_ref()),
        }
    }

    /// `sys/in-flight-req`.
    pub(super) fn in_flight_answer(&self) -> Response {
        bare(Value::Object(self.in_flight.shown()))
    }

    /// Notes in the history that this version is active, once a term.
    pub(crate) async fn note_version(&self, unsealed: &Unsealed, term: u64) -> Result<()> {
        let mut txn = self.begin_in(unsealed, term);
        let mut versions = settings::get::<Versions>(&mut txn, VERSIONS).await?.unwrap_or_default();
        if versions.last().is_some_and(|last| last.version == crate::VERSION) {
            return Ok(());
        }
        versions.retain(|known| known.version != crate::VERSION);
        versions.push(FirstActive { version: crate::VERSION.into(), at: self.runtime.clock.now() });
        let surplus = versions.len().saturating_sub(VERSIONS_MAX);
        versions.drain(..surplus);
        settings::put(&mut txn, VERSIONS, &versions);
        self.commit(txn).await
    }
}

async fn version_history(txn: &mut BarrierTxn) -> Result<Response> {
    let versions = settings::get::<Versions>(txn, VERSIONS).await?.unwrap_or_default();
    let mut info = Map::new();
    let mut previous = Value::Null;
    for known in &versions {
        let shown = json!({
            "build_date": crate::BUILD_DATE,
            "commit_date": crate::BUILD_DATE,
            "previous_version": previous,
            "timestamp_installed": known.at.rfc3339(),
        });
        info.insert(known.version.clone(), shown);
        previous = known.version.clone().into();
    }
    let keys: Vec<&str> = versions.iter().map(|known| known.version.as_str()).collect();
    Ok(Response::data(json!({ "keys": keys, "key_info": info })))
}

/// `sys/replication/status`.
pub(super) fn replication_status() -> Response {
    Response::data(json!({ "dr": { "mode": "disabled" }, "performance": { "mode": "disabled" } }))
}

/// Without a log of the process, as in a simulation, there are no loggers.
fn loggers(ask: &Ask<'_>, log: Option<&LogHandle>) -> Result<Response> {
    let (pattern, operation) = ask.at();
    let name = (pattern != "loggers").then(|| ask.param());
    let levels = log.map(LogHandle::levels).unwrap_or_default();
    if operation == Operation::Read {
        let wanted = levels.iter().filter(|(known, _)| name.is_none_or(|name| name == *known));
        let shown = wanted.map(|(name, level)| (name.to_string(), level.name().into())).collect();
        return Ok(Response { data: Some(shown), ..Response::default() });
    }
    let level = match operation {
        Operation::Delete => None,
        _ => Some(wanted_level(ask)?),
    };
    if let Some(name) = name.filter(|name| levels.iter().all(|(known, _)| known != name)) {
        return Err(Error::invalid(format!("logger \"{name}\" not found")));
    }
    if let Some(log) = log {
        log.override_level(name, level);
    }
    Ok(Response::empty())
}

fn wanted_level(ask: &Ask<'_>) -> Result<Level> {
    let text = ask.request.text("level")?.unwrap_or_default();
    if text.is_empty() {
        return Err(Error::invalid("level is required"));
    }
    let unknown = || Error::invalid(format!("invalid level provided: unknown log level: {text}"));
    Level::parse(&text).ok_or_else(unknown)
}
