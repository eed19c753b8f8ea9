//! What a node tells of itself to whoever asks, token or not.

/// What `sys/health` tells of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthFacts {
    /// Whether the cluster has been initialised.
    pub initialized: bool,
    /// Whether this node is sealed.
    pub sealed: bool,
    /// Whether another node than this is to be asked for writes.
    pub standby: bool,
    /// Whether this standby serves reads and answers as a performance standby.
    pub performance_standby: bool,
    /// Whether this node has been removed from its cluster.
    pub removed: bool,
    /// Whether this standby has no connection to the active node, or knows none.
    pub ha_unhealthy: bool,
    /// Whether this cluster is a DR secondary.
    pub dr_secondary: bool,
    /// `disabled`, `primary`, `secondary` or `unknown`.
    pub replication_performance_mode: String,
    /// `disabled`, `primary`, `secondary` or `unknown`.
    pub replication_dr_mode: String,
    /// The product's version as clients parse it.
    pub version: String,
    /// The cluster's name; empty if not known.
    pub cluster_name: String,
    /// The cluster's id; empty if not known.
    pub cluster_id: String,
    /// Why the node does not serve although nobody sealed it (a faulted disk); empty if it does.
    pub reason: String,
}
