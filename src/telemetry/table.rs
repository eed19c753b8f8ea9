//! Every figure: name, kind, unit, help. Names are those of Vault's telemetry; in Prometheus' form dots and dashes become
//! underscores.

/// How a figure behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations with quantiles over the last interval, in milliseconds.
    Summary,
    /// Durations in buckets since the start, in seconds.
    Histogram,
}

/// What is known of a figure beside its value.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The dotted name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
}

macro_rules! figures {
    ($($(#[$attribute:meta])* $figure:ident $kind:ident $name:literal $unit:literal $help:literal;)*) => {
        /// A figure of this node.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Figure { $(#[doc = $help] $figure,)* }

        /// The table, in the order of [`Figure`].
        pub const TABLE: &[Spec] = &[
            $(Spec { name: $name, kind: Kind::$kind, unit: $unit, help: $help },)*
        ];

        /// All figures in the order of the table.
        pub const ALL: &[Figure] = &[$(Figure::$figure,)*];
    };
}

figures! {
    HandleRequest            Summary   "vault.core.handle_request" "ms" "Time to serve a request.";
    HandleRequestSeconds     Histogram "vault.core.handle_request.duration_seconds" "seconds" "Time to serve a request.";
    HandleLoginRequest       Summary   "vault.core.handle_login_request" "ms" "Time to serve a login.";
    CheckToken               Summary   "vault.core.check_token" "ms" "Time to check a request's token and policies.";
    InFlightRequests         Gauge     "vault.core.in_flight_requests" "requests" "Requests under way.";
    Unsealed                 Gauge     "vault.core.unsealed" "boolean" "1 while this node is unsealed.";
    Active                   Gauge     "vault.core.active" "boolean" "1 while this node is the active node.";
    Initialized              Gauge     "vault.core.initialized" "boolean" "1 once the cluster is initialised.";
    Unseal                   Summary   "vault.core.unseal" "ms" "Time to unseal.";
    PostUnseal               Summary   "vault.core.post_unseal" "ms" "Time from unsealed or elected to serving.";
    PreSeal                  Summary   "vault.core.pre_seal" "ms" "Time to stop serving.";
    LeadershipLost           Summary   "vault.core.leadership_lost" "ms" "How long leadership was held when it was lost.";
    LeadershipSetupFailed    Counter   "vault.core.leadership_setup_failed" "events" "Leaderships whose first steps failed.";
    StepDown                 Summary   "vault.core.step_down" "ms" "Time to step down.";
    MountTableEntries        Gauge     "vault.core.mount_table.num_entries" "mounts" "Mounts.";
    ForwardedRequests        Counter   "vault.ha.rpc.client.forward" "requests" "Requests handed on to the active node.";
    ForwardErrors            Counter   "vault.ha.rpc.client.forward.errors" "requests" "Requests that could not be handed on.";
    ForwardTime              Summary   "vault.ha.rpc.client.forward.time" "ms" "Time of a request at the active node as a standby sees it.";

    RaftApply                Counter   "vault.raft.apply" "entries" "Entries applied.";
    RaftCommitTime           Summary   "vault.raft.commitTime" "ms" "Time from proposal to commit at the leader.";
    RaftCommitTimeSeconds    Histogram "vault.raft.commit.duration_seconds" "seconds" "Time from proposal to commit at the leader.";
    RaftCommitNumLogs        Gauge     "vault.raft.commitNumLogs" "entries" "Entries of the last group commit.";
    RaftLastContact          Summary   "vault.raft.leader.lastContact" "ms" "Time since a quorum acknowledged this leader.";
    RaftLastContactSeconds   Gauge     "vault.raft.leader.lastContact_seconds" "seconds" "Time since a quorum last acknowledged the leader.";
    RaftTerm                 Gauge     "vault.raft.term" "term" "Current term.";
    RaftLastIndex            Gauge     "vault.raft.last_index" "index" "Index of the last entry of the log.";
    RaftCommittedIndex       Gauge     "vault.raft.committed_index" "index" "Index of the last committed entry.";
    RaftAppliedIndex         Gauge     "vault.raft.applied_index" "index" "Index of the last applied entry.";
    RaftPeers                Gauge     "vault.raft.peers" "nodes" "Voters and learners of the cluster.";
    RaftIsLeader             Gauge     "vault.raft.is_leader" "boolean" "1 while this node leads.";
    RaftLogBytes             Gauge     "vault.raft.log.bytes" "bytes" "Disk use of the log.";
    RaftFsync                Summary   "vault.raft.log.fsync" "ms" "Time of a sync of the log.";
    RaftFsyncSeconds         Histogram "vault.raft.log.fsync.duration_seconds" "seconds" "Time of a sync of the log.";
    RaftElections            Counter   "vault.raft.state.candidate" "elections" "Elections that this node stood in.";
    RaftLeaderships          Counter   "vault.raft.state.leader" "leaderships" "Elections that this node won.";
    RaftSnapshots            Counter   "vault.raft.snapshot.create" "snapshots" "Snapshots taken.";
    RaftSnapshotTime         Summary   "vault.raft.snapshot.create.time" "ms" "Time to take a snapshot.";
    RaftInFlightBytes        Gauge     "vault.raft.in_flight_bytes" "bytes" "Bytes of proposals that are not yet committed.";
    RaftFaulted              Gauge     "vault.raft.faulted" "boolean" "1 once this node's storage has failed.";
    ReplicationLag           Gauge     "vault.raft.replication.lag" "entries" "Entries that a peer is behind, by peer.";

    BarrierGet               Summary   "vault.barrier.get" "ms" "Time to read and decrypt a value.";
    BarrierPut               Summary   "vault.barrier.put" "ms" "Time to encrypt and store a value.";
    BarrierDelete            Summary   "vault.barrier.delete" "ms" "Time to delete a value.";
    BarrierList              Summary   "vault.barrier.list" "ms" "Time to list keys.";
    BarrierEncryptions       Gauge     "vault.barrier.estimated_encryptions" "values" "Values encrypted under the current term.";
    BarrierTerm              Gauge     "vault.barrier.term" "term" "The keyring's active term.";
    BarrierRotations         Counter   "vault.barrier.rotations" "rotations" "Rotations of the keyring.";

    SealEncryptTime          Summary   "vault.seal.encrypt.time" "ms" "Time to wrap a key.";
    SealDecryptTime          Summary   "vault.seal.decrypt.time" "ms" "Time to unwrap a key.";
    SealErrors               Counter   "vault.seal.errors" "errors" "Wraps and unwraps that failed.";

    TokenCount               Gauge     "vault.token.count" "tokens" "Service tokens.";
    TokenCreate              Summary   "vault.token.create" "ms" "Time to create a token.";
    TokenLookup              Summary   "vault.token.lookup" "ms" "Time to look a token up.";
    TokenRevoke              Summary   "vault.token.revoke" "ms" "Time to revoke a token.";
    TokenExpired             Counter   "vault.expire.tokens" "tokens" "Tokens revoked because their time was over.";
    Leases                   Gauge     "vault.expire.num_leases" "leases" "Leases that can expire.";

    HttpConnections          Gauge     "vault.http.connections" "connections" "Open connections of the API listeners.";
    HttpPanics               Counter   "vault.http.panics" "requests" "Requests that ended by a fault of the server's code.";
    LogLinesDropped          Counter   "vault.log.lines_dropped" "lines" "Log lines lost because they could not be written in time.";

    RuntimeAllocBytes        Gauge     "vault.runtime.alloc_bytes" "bytes" "Memory in use (resident).";
    RuntimeSysBytes          Gauge     "vault.runtime.sys_bytes" "bytes" "Virtual memory of the process.";
    RuntimeTasks             Gauge     "vault.runtime.num_goroutines" "tasks" "Tasks alive; the name is the one that dashboards use.";
    RuntimeThreads           Gauge     "vault.runtime.num_threads" "threads" "Threads of the process.";
    RuntimeUptimeSeconds     Gauge     "vault.runtime.uptime_seconds" "seconds" "Time since the start of the process.";
}

impl Figure {
    /// What is known of it.
    pub fn spec(self) -> &'static Spec {
        &TABLE[self as usize]
    }

    /// The name in Prometheus' form.
    pub fn prometheus_name(self) -> String {
        self.spec().name.replace(['.', '-'], "_")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        let names: BTreeSet<String> = ALL.iter().map(|figure| figure.prometheus_name()).collect();
        assert_eq!(names.len(), ALL.len());
        for figure in ALL {
            let (spec, name) = (figure.spec(), figure.prometheus_name());
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
            assert!(spec.help.ends_with('.') && !spec.unit.is_empty(), "{name}");
            // A histogram's series must not run into another family's name.
            for suffix in ["_sum", "_count", "_bucket"] {
                assert!(!names.contains(&format!("{name}{suffix}")), "{name}{suffix}");
            }
        }
    }

    #[test]
    fn the_names_that_people_alert_on_are_there() {
        let names: BTreeSet<String> = ALL.iter().map(|figure| figure.prometheus_name()).collect();
        for name in [
            "vault_core_unsealed",
            "vault_core_handle_request",
            "vault_core_handle_request_duration_seconds",
            "vault_raft_leader_lastContact",
            "vault_raft_leader_lastContact_seconds",
            "vault_raft_commitTime",
            "vault_raft_apply",
            "vault_expire_num_leases",
            "vault_runtime_alloc_bytes",
            "vault_barrier_get",
            "vault_barrier_put",
        ] {
            assert!(names.contains(name), "{name}");
        }
    }
}
