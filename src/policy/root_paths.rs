//! Root-protected paths: using one takes the capability `sudo` besides the one of the operation.

/// Whether a canonical path is root-protected. A trailing slash makes no difference.
pub fn sudo_required(path: &str) -> bool {
    let bare = path.strip_suffix('/').unwrap_or(path);
    PROTECTED.iter().any(|protected| match protected.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => bare == *protected,
    })
}

/// Seen on the peer, endpoint by endpoint, with a policy that grants everything but sudo; the replication, export and
/// snapshot schedule paths are from the API documentation, since the peer lacks them. `auth/token/revoke-orphan`,
/// `no_parent`, `period` and `id` of `auth/token/create` are no paths of this list: there the token store itself asks
/// for sudo and answers 400 without it.
const PROTECTED: &[&str] = &[
    "auth/token/accessors",
    "sys/audit",
    "sys/audit/*",
    "sys/auth/*",
    "sys/config/auditing/*",
    "sys/config/control-group",
    "sys/config/cors",
    "sys/config/ui/headers/*",
    "sys/internal/counters/activity/export",
    "sys/internal/inspect/*",
    "sys/leases",
    "sys/leases/lookup/*",
    "sys/leases/revoke-force/*",
    "sys/leases/revoke-prefix/*",
    "sys/plugins/catalog/*",
    "sys/raw",
    "sys/raw/*",
    "sys/remount",
    "sys/replication/dr/primary/secondary-token",
    "sys/replication/dr/reindex",
    "sys/replication/performance/primary/secondary-token",
    "sys/replication/performance/reindex",
    "sys/replication/primary/secondary-token",
    "sys/replication/reindex",
    "sys/revoke-force/*",
    "sys/revoke-prefix/*",
    "sys/rotate",
    "sys/rotate/keyring",
    "sys/rotate/root",
    "sys/seal",
    "sys/step-down",
    "sys/storage/raft/snapshot-auto/config/*",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_on_the_peer() {
        for path in [
            "auth/token/accessors/",
            "sys/audit",
            "sys/audit/file",
            "sys/auth/userpass",
            "sys/auth/userpass/tune",
            "sys/auth/",
            "sys/config/auditing/request-headers/x",
            "sys/config/cors",
            "sys/leases/lookup/aws/",
            "sys/leases/revoke-prefix/aws",
            "sys/leases/revoke-force/aws",
            "sys/remount",
            "sys/remount/",
            "sys/rotate",
            "sys/rotate/keyring",
            "sys/seal",
            "sys/step-down",
        ] {
            assert!(sudo_required(path), "{path}");
        }
        for path in [
            "sys/auth",
            "sys/mounts/x",
            "sys/mounts/x/tune",
            "sys/leases/lookup",
            "sys/leases/renew",
            "sys/leases/revoke",
            "sys/leases/count",
            "sys/policies/acl/x",
            "sys/remount/status/x",
            "sys/rotate/config",
            "sys/storage/raft/configuration",
            "sys/storage/raft/remove-peer",
            "sys/storage/raft/autopilot/configuration",
            "sys/storage/raft/snapshot",
            "sys/health",
            "sys/metrics",
            "sys/key-status",
            "sys/audit-hash/file",
            "sys/sealed",
            "auth/token/create-orphan",
            "auth/token/revoke-orphan",
            "auth/token/accessorsx",
            "secret/sys/audit",
        ] {
            assert!(!sudo_required(path), "{path}");
        }
    }
}
