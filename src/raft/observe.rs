//! What a simulation's checkers hear of Raft beside log and state: how a process starts, and its role, term and marks as
//! they change. Silent in production.

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::Raft;
use super::identity::Identity;
use super::log::Log;
use super::state::State;
use crate::runtime::Runtime;

/// What an event is told about.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Role {
    term: u64,
    state: ServerState,
}

/// Tells what was found on disk, before anything is sent or applied.
pub(super) fn tell_start(runtime: &Runtime, identity: &Identity, log: &Log, state: &State) {
    let (incarnation, counter) = (identity.incarnation(), identity.counter());
    let (last, term) = log.found();
    let (last, applied) = (Shown(last), state.applied());
    let text =
        format_args!("start incarnation={incarnation} counter={counter} last={last} term={term} applied={applied}");
    runtime.trace.event("raft", text);
}

impl Raft {
    /// Tells role, term and marks whenever they change, until the node stops.
    pub(super) async fn observe(self) {
        let trace = self.inner().runtime.trace.clone();
        if !trace.is_on() {
            return;
        }
        let mut changes = self.changes();
        let (mut told_role, mut told_marks) = (None, None);
        loop {
            let (role, last, marks) = {
                let metrics = self.inner().openraft.metrics();
                let metrics = metrics.borrow_watched();
                let index = |id: &Option<super::types::LogId>| id.as_ref().map(|id| id.index);
                let marks = [
                    metrics.last_log_index,
                    index(&metrics.local_committed),
                    index(&metrics.last_applied),
                    index(&metrics.snapshot),
                    index(&metrics.purged),
                ];
                (Role { term: metrics.current_term, state: metrics.state }, metrics.last_log_index, marks)
            };
            // Term 0 is what the figures say before openraft has read its vote.
            if role.term > 0 && told_role.replace(role) != Some(role) {
                let Role { term, state } = role;
                let role = format!("{state:?}").to_lowercase();
                trace.event("raft", format_args!("role term={term} role={role} last={}", Shown(last)));
            }
            if role.term > 0 && told_marks.replace(marks) != Some(marks) {
                let [last, committed, applied, snapshot, purged] = marks.map(Shown);
                let text = format_args!(
                    "mark last={last} committed={committed} applied={applied} snapshot={snapshot} purged={purged}"
                );
                trace.event("raft", text);
            }
            changes.changed().await;
        }
    }
}

/// A number, or a dash for none.
struct Shown(Option<u64>);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(number) => write!(f, "{number}"),
            None => f.write_str("-"),
        }
    }
}
