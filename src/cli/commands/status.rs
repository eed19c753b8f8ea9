//! `status`, and the table of a node's seal and HA state that `operator unseal` prints as well.

use serde::Serialize;

use crate::cli::context::{Context, failure};
use crate::cli::output::{self, Format};
use crate::cli::{EXIT_LOCAL, EXIT_SERVER, Failure, Outcome, table};
use crate::client::api::{Leader, SealStatus, is_never};
use crate::client::{ApiRequest, Client};

/// `status`. The exit code is 0 when unsealed, 1 on an error, 2 when sealed.
#[derive(Debug, clap::Args)]
pub struct Status {
    #[arg(hide = true)]
    args: Vec<String>,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    seal: &'a SealStatus,
    #[serde(flatten)]
    leader: &'a Leader,
}

/// Runs `status`.
pub async fn run(context: &Context, status: Status) -> Outcome {
    super::exactly::<0>(status.args)?;
    let client = context.client().await.map_err(|failure| failure.exit(EXIT_LOCAL))?;
    let client = client.with(|config| config.namespace = None);
    let seal: Result<SealStatus, Failure> = context.typed(&client, ApiRequest::get("sys/seal-status")).await;
    let seal = seal.map_err(|failure| failure.context("Error checking seal status").exit(EXIT_LOCAL))?;
    show(context, &client, &seal).await?;
    Ok(if seal.sealed { EXIT_SERVER } else { 0 })
}

/// Prints the state of a node whose seal status is known.
pub async fn show(context: &Context, client: &Client, seal: &SealStatus) -> Outcome {
    let leader = match client.leader().await {
        Ok(leader) => leader,
        Err(error) if error.messages().iter().any(|message| message.contains("is sealed")) => {
            Leader { ha_enabled: true, ..Leader::default() }
        }
        Err(error) => return Err(failure(error).context("Error checking leader status").exit(EXIT_LOCAL)),
    };
    let whole = Whole { seal, leader: &leader };
    if let Some(field) = context.field() {
        let value = serde_json::to_value(&whole).ok().and_then(|value| value.get(field).cloned());
        return output::field(context, value, field, "map");
    }
    if context.format != Format::Table {
        return output::structured(context, &whole);
    }
    output::out(&table::key_value(&rows(seal, &leader)));
    for warning in &seal.warnings {
        output::err(warning);
    }
    Ok(0)
}

fn rows(seal: &SealStatus, leader: &Leader) -> Vec<table::Row> {
    let mut rows = Vec::new();
    let mut add = |key: &str, value: String| rows.push((key.to_string(), value));
    add("Seal Type", seal.kind.clone());
    if seal.recovery_seal {
        add("Recovery Seal Type", "shamir".to_string());
    }
    add("Initialized", seal.initialized.to_string());
    add("Sealed", seal.sealed.to_string());
    add(if seal.recovery_seal { "Total Recovery Shares" } else { "Total Shares" }, seal.n.to_string());
    add("Threshold", seal.t.to_string());
    if seal.sealed {
        add("Unseal Progress", format!("{}/{}", seal.progress, seal.t));
        add("Unseal Nonce", seal.nonce.clone());
    }
    if seal.migration {
        add("Seal Migration in Progress", "true".to_string());
    }
    add("Version", seal.version.clone());
    match &seal.commit_date {
        Some(date) => add("Commit Date", date.clone()),
        None => add("Build Date", seal.build_date.clone()),
    }
    add("Storage Type", seal.storage_type.clone());
    if !seal.cluster_name.is_empty() && !seal.cluster_id.is_empty() {
        add("Cluster Name", seal.cluster_name.clone());
        add("Cluster ID", seal.cluster_id.clone());
    }
    add("HA Enabled", leader.ha_enabled.to_string());
    if leader.ha_enabled && !seal.sealed {
        add("HA Cluster", leader.leader_cluster_address.clone());
        add("HA Mode", if leader.is_self { "active" } else { "standby" }.to_string());
        if leader.is_self && !is_never(&leader.active_time) {
            add("Active Since", leader.active_time.clone());
        }
        if !leader.is_self && !leader.leader_address.is_empty() {
            add("Active Node Address", leader.leader_address.clone());
        }
        if leader.performance_standby {
            add("Performance Standby Node", "true".to_string());
        }
    }
    if leader.raft_committed_index > 0 {
        add("Raft Committed Index", leader.raft_committed_index.to_string());
    }
    if leader.raft_applied_index > 0 {
        add("Raft Applied Index", leader.raft_applied_index.to_string());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_node_reads_as_the_peers() {
        let seal = SealStatus {
            kind: "shamir".into(),
            initialized: true,
            sealed: true,
            t: 2,
            n: 3,
            version: "2.7.2".into(),
            commit_date: Some("2026-10-26T20:32:27Z".into()),
            storage_type: "raft".into(),
            ..SealStatus::default()
        };
        let leader = Leader { ha_enabled: true, ..Leader::default() };
        let expected = "Key                Value\n---                -----\nSeal Type          shamir\n\
                        Initialized        true\nSealed             true\nTotal Shares       3\n\
                        Threshold          2\nUnseal Progress    0/2\nUnseal Nonce       n/a\n\
                        Version            2.7.2\nCommit Date        2026-10-26T20:32:27Z\n\
                        Storage Type       raft\nHA Enabled         true";
        assert_eq!(table::key_value(&rows(&seal, &leader)), expected);
    }
}
