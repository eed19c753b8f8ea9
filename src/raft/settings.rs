//! openraft's settings, each with its reason: the defaults are wrong for this design.

use std::time::Duration;

use openraft::{Config, SnapshotPolicy, StepDownPolicy};

/// Heartbeat interval at `performance_multiplier = 1`.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// A follower stands for election when it has heard nothing for the leader's lease (the upper bound) and then a time
/// drawn between the two, at `performance_multiplier = 1`: 450 to 600 ms.
const ELECTION: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(300));

/// The timings of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Shortest drawn election timeout.
    pub election_min: Duration,
    /// Longest drawn election timeout; also the leader's lease.
    pub election_max: Duration,
}

impl Timing {
    /// As Vault's `performance_multiplier`: 1 is tightest, 5 its default, 10 the most.
    pub fn new(performance_multiplier: u32) -> Timing {
        let by = performance_multiplier.clamp(1, 10);
        Timing { heartbeat: HEARTBEAT * by, election_min: ELECTION.0 * by, election_max: ELECTION.1 * by }
    }

    /// After so long without a leader a follower stands for election at the latest.
    pub fn without_leader(&self) -> Duration {
        self.election_max * 2
    }
}

/// openraft's configuration.
pub fn config(cluster_name: &str, timing: Timing, entries_max: u64) -> Config {
    Config {
        cluster_name: cluster_name.to_string(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: millis(timing.election_max),
        // Without RocksDB's WAL a restarted node's state is older than what it has served: as a restored leader it
        // would serve that. It must win an election, whose blank entry makes it re-apply its log.
        enable_leader_restore: Some(crate::runtime::point::mutant("restore-leadership")),
        // A node that comes back from a partition must not depose a working leader.
        enable_pre_vote: Some(true),
        // A log that is shorter than it was is amnesia, not a fact to adapt to.
        allow_log_reversion: Some(false),
        // Checkpoints are triggered by bytes of log, in `node.rs`.
        snapshot_policy: SnapshotPolicy::Never,
        // The default keeps 1000 entries, however large.
        max_in_snapshot_log_to_keep: 0,
        purge_batch_size: 1,
        // Segments bound appends by bytes; this bounds what one RPC decodes at once.
        max_payload_entries: entries_max,
        // A lagging follower gets a snapshot when the entries it lacks are gone, never because it is slow.
        replication_lag_threshold: u64::MAX,
        // A snapshot moves in resumable chunks, each with its own deadline, in `transport/`.
        install_snapshot_timeout: millis(Duration::from_secs(600)),
        removed_leader_step_down: StepDownPolicy::After(millis(timing.election_max)),
        ..Config::default()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_safety_rests_on() {
        let config = config("test", Timing::new(1), 64).validate().expect("valid settings");
        assert_eq!(config.enable_leader_restore, Some(false));
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.allow_log_reversion, Some(false));
        assert_eq!(config.max_in_snapshot_log_to_keep, 0);
        assert!(matches!(config.snapshot_policy, SnapshotPolicy::Never));
    }

    #[test]
    fn a_follower_stands_within_a_second_at_multiplier_one() {
        assert!(Timing::new(1).without_leader() <= Duration::from_millis(600));
    }
}
