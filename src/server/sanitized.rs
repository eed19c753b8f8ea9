//! The configuration without its secrets, for `sys/config/state/sanitized`. What it shows is named here one by one, so
//! that a new key is hidden until somebody decides that it is no secret.

use serde_json::{Map, Value, json};

use crate::config::listener::{Bind, ClientAuth, Listener, ProxyBehavior};
use crate::config::logging::{LogFormat, LogLevel};
use crate::config::{Config, StorageKind};

/// What is shown of a configuration.
pub(super) fn shown(config: &Config) -> Map<String, Value> {
    let seconds = |duration: std::time::Duration| duration.as_secs();
    let shown = json!({
        "api_addr": config.api_addr.to_string(),
        "cache_size": 0,
        "cluster_addr": format!("https://{}", config.cluster_addr),
        "cluster_cipher_suites": "",
        "cluster_name": config.cluster_name.clone().unwrap_or_default(),
        "default_lease_ttl": seconds(config.default_lease_ttl),
        "default_max_request_duration": 0,
        "disable_cache": false,
        "disable_clustering": false,
        "disable_indexing": false,
        "disable_mlock": config.disable_mlock,
        "disable_performance_standby": true,
        "disable_printable_check": false,
        "disable_sealwrap": true,
        "enable_response_header_hostname": false,
        "enable_response_header_raft_node_id": false,
        "enable_ui": config.ui,
        "listeners": config.listeners.iter().map(listener).collect::<Vec<_>>(),
        "log_format": match config.log.format {
            LogFormat::Standard => "standard",
            LogFormat::Json => "json",
        },
        "log_level": match config.log.level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        },
        "max_lease_ttl": seconds(config.max_lease_ttl),
        "pid_file": config.pid_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        "plugin_directory": "",
        "raw_storage_endpoint": false,
        "seals": [{ "disabled": false, "type": "shamir" }],
        "storage": {
            "cluster_addr": format!("https://{}", config.cluster_addr),
            "disable_clustering": false,
            "raft": { "max_entry_size": config.storage.max_entry_size.to_string() },
            "redirect_addr": config.api_addr.to_string(),
            "type": match config.storage.kind {
                StorageKind::Raft => "raft",
                StorageKind::File => "file",
                StorageKind::Inmem => "inmem",
            },
        },
        "telemetry": {
            "disable_hostname": config.telemetry.disable_hostname,
            "maximum_gauge_cardinality": config.telemetry.maximum_gauge_cardinality,
            "prometheus_retention_time": nanoseconds(config.telemetry.prometheus_retention_time),
            "usage_gauge_period": nanoseconds(config.telemetry.usage_gauge_period.unwrap_or_default()),
        },
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

/// As Go writes a duration into JSON.
fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn listener(listener: &Listener) -> Value {
    let mut config = Map::new();
    let kind = match &listener.bind {
        Bind::Tcp { address, cluster_address } => {
            config.insert("address".into(), address.to_string().into());
            config.insert("cluster_address".into(), cluster_address.to_string().into());
            "tcp"
        }
        Bind::Unix { path, .. } => {
            config.insert("address".into(), path.display().to_string().into());
            "unix"
        }
    };
    match &listener.tls {
        None => drop(config.insert("tls_disable".into(), true.into())),
        Some(tls) => {
            config.insert("tls_cert_file".into(), tls.cert_file.display().to_string().into());
            config.insert("tls_key_file".into(), tls.key_file.display().to_string().into());
            if let ClientAuth::Optional(ca) | ClientAuth::Required(ca) = &tls.client_auth {
                let required = matches!(tls.client_auth, ClientAuth::Required(_));
                config.insert("tls_client_ca_file".into(), ca.display().to_string().into());
                config.insert("tls_require_and_verify_client_cert".into(), required.into());
            }
        }
    }
    if let Some(proxy) = &listener.proxy_protocol {
        let behavior = match proxy.behavior {
            ProxyBehavior::UseAlways => "use_always",
            ProxyBehavior::AllowAuthorized => "allow_authorized",
            ProxyBehavior::DenyUnauthorized => "deny_unauthorized",
        };
        config.insert("proxy_protocol_behavior".into(), behavior.into());
    }
    json!({ "type": kind, "config": config })
}
