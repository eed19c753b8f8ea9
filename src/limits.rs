//! Every bound in one place.

pub mod http;

use std::time::Duration;

/// Keys that one page of a scan holds.
pub const SCAN_PAGE_KEYS: usize = 1000;

/// Records of one kind that a view keeps decoded.
pub const VIEW_RECORDS: usize = 10_000;

/// Mounts of one cluster; a transaction that adds one lists them all.
pub const MOUNTS_MAX: u32 = 1000;

/// Times a request is run again after a definite conflict before it waits in line.
pub const CONFLICT_RETRIES: u32 = 20;

/// Encoded bytes of one log entry (Vault's `max_entry_size`).
pub const ENTRY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of proposals that are not yet applied; 503 past that.
pub const PROPOSALS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// After so long without an answer a proposal's outcome is unknown.
pub const PROPOSAL_DEADLINE: Duration = Duration::from_secs(30);

/// Bytes of a token in a header.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Parents of a token, all of which are checked with each request.
pub const TOKEN_DEPTH_MAX: usize = 1000;

/// Tokens that one step of a revocation or expiry handles.
pub const REVOKE_PAGE: usize = 10;

/// How long the record of a token stays whose last use was taken: longer than any request takes.
pub const LAST_USE: Duration = Duration::from_secs(600);

/// Keys that one step of deleting a prefix removes.
pub const DELETE_PAGE: u32 = 1000;

/// Objects that one step of an upgrade from KV version 1 to 2 moves at most.
pub const UPGRADE_PAGE_KEYS: usize = 200;

/// Bytes that one step of an upgrade moves, if it is more than one object.
pub const UPGRADE_PAGE_BYTES: usize = 256 * 1024;

/// Children that one revocation makes orphans within its own commit; more are left to a job.
pub const ORPHANS_MAX: u32 = 100;

/// Index keys that one step of a tidying looks at.
pub const TIDY_PAGE: usize = 1000;

/// How long a request at a standby waits for an active node to be known.
pub const ACTIVE_WAIT: Duration = Duration::from_millis(1500);

/// Between two looks for an active node while a request waits for one.
pub const ACTIVE_POLL: Duration = Duration::from_millis(10);

/// How long a forwarded request may take.
pub const FORWARD_DEADLINE: Duration = Duration::from_secs(90);

const _: () = assert!(PROPOSALS_BYTES_MAX > ENTRY_BYTES_MAX);
