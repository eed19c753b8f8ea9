//! What must hold between several keys.

use super::section::Section;
use super::storage::StorageKind;
use super::{Bind, Config, ConfigError};

/// Refuses contradictions and collects warnings.
pub(super) fn check(config: &mut Config) -> Result<(), ConfigError> {
    sockets(config)?;
    advertised(config)?;
    node_id(config)
}

/// Refuses lives of leases that contradict each other, where they are written.
pub(super) fn lease_ttls(top: &Section<'_>, config: &Config) -> Result<(), ConfigError> {
    if config.default_lease_ttl > config.max_lease_ttl {
        return Err(match top.get("default_lease_ttl") {
            Some(_) => top.fault("default_lease_ttl", "is longer than max_lease_ttl"),
            None => top.fault("max_lease_ttl", "is shorter than default_lease_ttl, which is 768h if it is left out"),
        });
    }
    if config.default_lease_ttl.is_zero() {
        return Err(top.fault("default_lease_ttl", "is zero: leave it out for 768h"));
    }
    Ok(())
}

fn sockets(config: &Config) -> Result<(), ConfigError> {
    let mut seen = Vec::new();
    for listener in &config.listeners {
        if let Bind::Tcp { address, cluster_address } = &listener.bind {
            for one in [address, cluster_address] {
                if seen.contains(&one) && one.port != 0 {
                    return fail(&format!("two listeners use the address {one}"));
                }
                seen.push(one);
            }
        }
    }
    if seen.is_empty() && config.storage.kind == StorageKind::Raft {
        return fail("storage \"raft\" needs a listener \"tcp\": the cluster port belongs to it");
    }
    Ok(())
}

/// An address that others cannot use leaves them unable to replicate, so a cluster that would form and then fail is
/// refused at the start.
fn advertised(config: &mut Config) -> Result<(), ConfigError> {
    let cluster = &config.cluster_addr;
    if cluster.is_unspecified() {
        return fail(&format!(
            "cluster_addr {cluster} is no address that other nodes can use: set cluster_addr (or VAULT_CLUSTER_ADDR)"
        ));
    }
    if config.api_addr.at.is_unspecified() {
        return fail(&format!(
            "api_addr {} is no address that clients can use: set api_addr (or VAULT_API_ADDR)",
            config.api_addr
        ));
    }
    if config.storage.kind != StorageKind::Raft {
        return Ok(());
    }
    let remote =
        config.storage.retry_join.iter().map(|join| &join.leader_api_addr).find(|target| !target.at.is_loopback());
    match remote {
        Some(target) if cluster.is_loopback() => fail(&format!(
            "cluster_addr {cluster} is a loopback address, but retry_join names {target}: set cluster_addr (or VAULT_CLUSTER_ADDR) to an address that the other nodes can reach"
        )),
        Some(target) if config.api_addr.at.is_loopback() => {
            let warning = format!(
                "api_addr {} is a loopback address, but retry_join names {target}: redirected clients will not find this node",
                config.api_addr
            );
            config.warnings.push(warning);
            Ok(())
        }
        None if cluster.is_loopback() => {
            let warning = format!("cluster_addr {cluster} is a loopback address: nodes on other machines cannot join");
            config.warnings.push(warning);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn node_id(config: &Config) -> Result<(), ConfigError> {
    match config.storage.node_id.as_deref() {
        Some(id) if id.len() > 128 || id.chars().any(|c| c.is_control() || c.is_whitespace()) => {
            fail(&format!("node_id {id:?} must not be longer than 128 bytes or contain white space"))
        }
        _ => Ok(()),
    }
}

fn fail(message: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Whole(message.to_string()))
}
