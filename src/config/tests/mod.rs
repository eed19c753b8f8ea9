use bytes::Bytes;

use super::*;
use crate::config::listener::{ClientAuth, ProxyBehavior, TlsVersion};
use crate::config::logging::{LogFormat, LogLevel};
use crate::runtime::{Offload, real};

fn no_env() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect()
}

fn parse_with(text: &str, env: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
    read(&[source("vault.hcl".to_string(), text)?], &Environment(env))
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_with(text, &no_env())
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

const INMEM: &str = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";

#[test]
fn the_guides_config_loads_as_it_stands() {
    let config = parse(include_str!("../../../tests/it/fixtures/guide.hcl")).unwrap();
    let storage = &config.storage;
    assert_eq!(storage.kind, StorageKind::Raft);
    assert_eq!(storage.path.as_deref(), Some(Path::new("/opt/vault/data")));
    assert_eq!(storage.node_id.as_deref(), Some("vault-1"));
    assert_eq!(storage.performance_multiplier, 1);
    assert_eq!(storage.retry_join.len(), 2);
    let join = &storage.retry_join[1];
    assert_eq!(join.leader_api_addr.to_string(), "https://vault-3.internal:8200");
    assert_eq!(join.ca_cert, Some(Pem::File("/opt/vault/tls/ca.crt".into())));
    assert_eq!(
        join.client,
        Some((Pem::File("/opt/vault/tls/vault.crt".into()), Pem::File("/opt/vault/tls/vault.key".into())))
    );
    let listener = &config.listeners[0];
    let Bind::Tcp { address, cluster_address } = &listener.bind else { panic!("tcp") };
    assert_eq!(
        (address.to_string(), cluster_address.to_string()),
        ("0.0.0.0:8200".to_string(), "0.0.0.0:8201".to_string())
    );
    let tls = listener.tls.as_ref().unwrap();
    assert_eq!(tls.min_version, TlsVersion::Tls13);
    assert_eq!(tls.client_auth, ClientAuth::Optional("/opt/vault/tls/ca.crt".into()));
    assert_eq!(listener.max_request_size, Some(33_554_432));
    assert_eq!(listener.max_request_duration, Duration::from_secs(90));
    assert!(listener.unauthenticated_metrics_access && listener.http2);
    assert_eq!(config.api_addr.to_string(), "https://vault-1.internal:8200");
    assert_eq!(config.cluster_addr.to_string(), "vault-1.internal:8201");
    assert_eq!(config.cluster_name.as_deref(), Some("vault-prod"));
    assert!(config.ui && !config.disable_mlock);
    assert_eq!(config.log.level, LogLevel::Info);
    assert_eq!(config.log.file.as_deref(), Some(Path::new("/var/log/vault/vault.log")));
    assert_eq!((config.log.rotate_duration, config.log.rotate_max_files), (Duration::from_secs(86_400), Some(30)));
    assert_eq!(config.telemetry.prometheus_retention_time, Duration::from_secs(30));
    assert_eq!(config.default_lease_ttl, Duration::from_secs(3600));
    assert_eq!(config.max_lease_ttl, DEFAULT_LEASE_TTL);
    assert_eq!(
        config.later,
        [
            "storage \"raft\": autopilot_reconcile_interval",
            "telemetry: maximum_gauge_cardinality",
            "telemetry: usage_gauge_period",
            "ui",
        ]
    );
    assert_eq!(config.warnings, Vec::<String>::new());
}

/// The keys of vault-helm's default configurations, and the variables that its StatefulSet sets.
#[test]
fn helm_configs_load() {
    let pod = env(&[
        ("VAULT_API_ADDR", "http://10.0.0.7:8200"),
        ("VAULT_CLUSTER_ADDR", "https://vault-0.vault-internal:8201"),
        ("VAULT_RAFT_NODE_ID", "vault-0"),
        ("VAULT_LOG_LEVEL", "debug"),
        ("VAULT_LOG_FORMAT", "json"),
    ]);
    let ha = r#"
        disable_mlock = true
        ui = true
        listener "tcp" {
          tls_disable = 1
          address = "[::]:8200"
          cluster_address = "[::]:8201"
          telemetry { unauthenticated_metrics_access = "true" }
        }
        storage "raft" {
          path = "/vault/data"
          retry_join { leader_api_addr = "http://vault-1.vault-internal:8200" }
        }
        service_registration "kubernetes" {}
    "#;
    let config = parse_with(ha, &pod).unwrap();
    assert_eq!(config.storage.node_id.as_deref(), Some("vault-0"));
    assert_eq!(config.cluster_addr.to_string(), "vault-0.vault-internal:8201");
    assert_eq!(config.api_addr.to_string(), "http://10.0.0.7:8200");
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Json));
    assert_eq!(config.later, ["service_registration", "ui"]);
    assert_eq!(config.cluster_listen()[0].to_string(), "[::]:8201");
    assert_eq!(config.listeners[0].tls, None);
    assert!(config.listeners[0].unauthenticated_metrics_access);
    let standalone = r#"{"ui": true, "listener": {"tcp": {"tls_disable": "true", "address": "[::]:8200"}}, "storage": {"file": {"path": "/vault/data"}}}"#;
    let config = parse_with(standalone, &env(&[])).unwrap();
    assert_eq!(config.storage.kind, StorageKind::File);
    assert_eq!(config.api_addr.to_string(), "http://[::1]:8200");
    assert_eq!(config.cluster_addr.to_string(), "[::1]:8201");
}

#[test]
fn defaults_are_vaults() {
    let config = parse(INMEM).unwrap();
    assert_eq!(config.api_addr.to_string(), "http://127.0.0.1:8200");
    assert_eq!(config.cluster_addr.to_string(), "127.0.0.1:8201");
    assert_eq!(config.listeners[0].max_request_size, Some(32 << 20));
    assert_eq!(config.storage.max_entry_size, 1 << 20);
    assert_eq!(config.log, Log::default());
    assert_eq!(config.default_lease_ttl, DEFAULT_LEASE_TTL);
    assert!(config.warnings.is_empty() && config.later.is_empty());
    assert_eq!(parse(&format!("{INMEM}api_addr = \"https://a:9000\"")).unwrap().cluster_addr.to_string(), "a:9001");
}

#[test]
fn listener_keys_are_read() {
    let config = parse(
        r#"storage "inmem" {}
        default_max_request_duration = 30
        listener "tcp" {
          tls_cert_file = "c" tls_key_file = "k" tls_require_and_verify_client_cert = "true" tls_client_ca_file = "ca"
          tls_cipher_suites = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
          http2_enable = false max_request_size = -1
          proxy_protocol_behavior = "deny_unauthorized" proxy_protocol_authorized_addrs = "10.0.0.0/8, 127.0.0.1"
          x_forwarded_for_authorized_addrs = ["10.0.0.0/8"] x_forwarded_for_hop_skips = 1
          redact_version = true
        }
        listener "unix" { address = "/run/vault.sock" socket_mode = "660" tls_disable = true }"#,
    )
    .unwrap();
    let tcp = &config.listeners[0];
    assert_eq!(tcp.max_request_duration, Duration::from_secs(30));
    assert_eq!(tcp.max_request_size, None);
    assert!(!tcp.http2);
    assert_eq!(tcp.tls.as_ref().unwrap().client_auth, ClientAuth::Required("ca".into()));
    assert_eq!(tcp.tls.as_ref().unwrap().cipher_suites.len(), 2);
    let proxy = tcp.proxy_protocol.as_ref().unwrap();
    assert_eq!((proxy.behavior, proxy.authorized.len()), (ProxyBehavior::DenyUnauthorized, 2));
    assert_eq!((tcp.forwarded_for.authorized.len(), tcp.forwarded_for.hop_skips), (1, 1));
    assert_eq!(config.listeners[1].bind, Bind::Unix { path: "/run/vault.sock".into(), mode: 0o660 });
    assert_eq!(config.later, ["listener \"tcp\": redact_version"]);
}

#[test]
fn wrong_configs_are_explained() {
    let raft = |more: &str| {
        format!("storage \"raft\" {{\npath = \"/d\"\n{more}\n}}\nlistener \"tcp\" {{ tls_disable = 1 }}\n")
    };
    let tcp = |more: &str| format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\n{more}\n}}\n");
    let plain = |more: &str| tcp(&format!("tls_disable = 1\n{more}"));
    for (text, expected) in [
        (String::new(), "no storage stanza: add storage \"raft\" { path = \"...\" }"),
        ("storage \"inmem\" {}".into(), "no listener stanza: add listener \"tcp\" { address = \"...\" }"),
        (
            "storage \"inmem\" {}\nstorage \"inmem\" {}".into(),
            "vault.hcl:2: storage \"inmem\": only one storage stanza is permitted",
        ),
        (
            "storage \"consul\" {}".into(),
            "vault.hcl:1: storage \"consul\": this type is not supported: raft, file or inmem",
        ),
        ("storage \"raft\" {}".into(), "vault.hcl:1: storage \"raft\": \"path\" is missing"),
        ("storage = \"raft\"".into(), "vault.hcl:1: \"storage\": expected storage \"TYPE\" { ... }, got a string"),
        (raft("nodeid = \"a\""), "vault.hcl:3: storage \"raft\": unknown key \"nodeid\" (did you mean \"node_id\"?)"),
        (
            raft("performance_multiplier = 11"),
            "vault.hcl:3: storage \"raft\": \"performance_multiplier\": expected a whole number from 0 to 10, got \"11\"",
        ),
        (
            raft("performance_multiplier = [1]"),
            "vault.hcl:3: storage \"raft\": \"performance_multiplier\": expected a string, got a list",
        ),
        (
            raft("autopilot_reconcile_interval = \"soon\""),
            "vault.hcl:3: storage \"raft\": \"autopilot_reconcile_interval\": expected a duration such as \"90s\" or \"1h30m\", got \"soon\"",
        ),
        (raft("retry_join {}"), "vault.hcl:3: storage \"raft\": retry_join: \"leader_api_addr\" is missing"),
        (raft("retry_join = \"a\""), "vault.hcl:3: storage \"raft\": \"retry_join\": expected a block, got a string"),
        (
            raft("retry_join { auto_join = \"provider=k8s\" }"),
            "vault.hcl:3: storage \"raft\": retry_join: \"auto_join\": is not supported yet: name the nodes by leader_api_addr",
        ),
        (
            raft("retry_join { leader_api_addr = \"vault-2:8200\" }"),
            "vault.hcl:3: storage \"raft\": retry_join: \"leader_api_addr\": expected http://HOST:PORT or https://HOST:PORT, got \"vault-2:8200\"",
        ),
        (
            raft("retry_join { leader_api_addr = \"https://a\" leader_client_cert = \"x\" }"),
            "vault.hcl:3: storage \"raft\": retry_join: a client certificate needs its key, and a key its certificate",
        ),
        (
            raft("retry_join { leader_api_addr = \"https://vault-2:8200\" }"),
            "cluster_addr 127.0.0.1:8201 is a loopback address, but retry_join names https://vault-2:8200: set cluster_addr (or VAULT_CLUSTER_ADDR) to an address that the other nodes can reach",
        ),
        (
            raft("") + "cluster_addr = \"https://0.0.0.0:8201\"",
            "cluster_addr 0.0.0.0:8201 is no address that other nodes can use: set cluster_addr (or VAULT_CLUSTER_ADDR)",
        ),
        (raft("node_id = \"a b\""), "node_id \"a b\" must not be longer than 128 bytes or contain white space"),
        (raft("") + "storage \"inmem\" {}", "vault.hcl:6: storage \"inmem\": only one storage stanza is permitted"),
        (
            "storage \"inmem\" {}\nlistener \"udp\" {}".into(),
            "vault.hcl:2: listener \"udp\": this type is not supported: tcp or unix",
        ),
        (tcp(""), "vault.hcl:2: listener \"tcp\": \"tls_cert_file\" is missing (plain text needs tls_disable = true)"),
        (tcp("tls_cert_file = \"c\""), "vault.hcl:2: listener \"tcp\": \"tls_key_file\" is missing"),
        (
            tcp("tls_disable = \"maybe\""),
            "vault.hcl:3: listener \"tcp\": \"tls_disable\": expected true or false, got \"maybe\"",
        ),
        (
            tcp("tls_min_version = \"tls10\""),
            "vault.hcl:3: listener \"tcp\": \"tls_min_version\": tls10 is no longer safe and not supported: tls12 or tls13",
        ),
        (
            plain("address = \"{{ GetPrivateIP }}:8200\""),
            "vault.hcl:4: listener \"tcp\": \"address\": an address template ({{ ... }}) cannot stand here: write the address itself",
        ),
        (plain("address = \"a:b\""), "vault.hcl:4: listener \"tcp\": \"address\": \"b\" is not a port in \"a:b\""),
        (
            plain("tls_require_and_verify_client_cert = true"),
            "vault.hcl:4: listener \"tcp\": \"tls_require_and_verify_client_cert\": needs tls_client_ca_file",
        ),
        (
            plain("max_reqest_size = 1"),
            "vault.hcl:4: listener \"tcp\": unknown key \"max_reqest_size\" (did you mean \"max_request_size\"?)",
        ),
        (
            plain("telemetry { unauthenticated_metric_access = true }"),
            "vault.hcl:4: listener \"tcp\": telemetry: unknown key \"unauthenticated_metric_access\" (did you mean \"unauthenticated_metrics_access\"?)",
        ),
        (
            plain("proxy_protocol_behavior = \"allow_authorized\""),
            "vault.hcl:4: listener \"tcp\": \"proxy_protocol_behavior\": needs proxy_protocol_authorized_addrs",
        ),
        (
            plain("x_forwarded_for_authorized_addrs = \"me\""),
            "vault.hcl:4: listener \"tcp\": \"x_forwarded_for_authorized_addrs\": expected addresses or networks such as 10.0.0.0/8, got \"me\"",
        ),
        (
            plain("chroot_namespace = \"a\""),
            "vault.hcl:4: listener \"tcp\": \"chroot_namespace\": is not supported: without it the listener would serve more than it should",
        ),
        (
            "storage \"inmem\" {}\nlistener \"unix\" {}".into(),
            "vault.hcl:2: listener \"unix\": \"address\" is missing: the path of the socket",
        ),
        (format!("{INMEM}listener \"tcp\" {{ tls_disable = 1 }}"), "two listeners use the address 127.0.0.1:8200"),
        (
            format!("{INMEM}seal \"awskms\" {{ region = \"x\" }}"),
            "vault.hcl:3: seal \"awskms\": seal type \"awskms\" is not supported yet",
        ),
        (format!("{INMEM}api_adr = \"x\""), "vault.hcl:3: unknown key \"api_adr\" (did you mean \"api_addr\"?)"),
        (format!("{INMEM}wholly_unlike_anything = 1"), "vault.hcl:3: unknown key \"wholly_unlike_anything\""),
        (
            format!("{INMEM}api_addr = \"x\""),
            "vault.hcl:3: \"api_addr\": expected http://HOST:PORT or https://HOST:PORT, got \"x\"",
        ),
        (format!("{INMEM}api_addr = {{}}"), "vault.hcl:3: \"api_addr\": expected a string, got a block"),
        (
            format!("{INMEM}log_level = \"loud\""),
            "vault.hcl:3: \"log_level\": unknown log level \"loud\": expected trace, debug, info, warn or error",
        ),
        (
            format!("{INMEM}log_format = \"xml\""),
            "vault.hcl:3: \"log_format\": unknown log format \"xml\": expected standard or json",
        ),
        (format!("{INMEM}disable_mlock = \"x\""), "vault.hcl:3: \"disable_mlock\": expected true or false, got \"x\""),
        (
            format!("{INMEM}default_lease_ttl = \"10h\"\nmax_lease_ttl = \"1h\""),
            "vault.hcl:3: \"default_lease_ttl\": is longer than max_lease_ttl",
        ),
        (
            format!("{INMEM}max_lease_ttl = \"1h\""),
            "vault.hcl:3: \"max_lease_ttl\": is shorter than default_lease_ttl, which is 768h if it is left out",
        ),
        (format!("{INMEM}ui = true\nui = false"), "vault.hcl:4: \"ui\": is given twice"),
        (
            format!("{INMEM}telemetry {{ usage_gauge_period = \"x\" }}"),
            "vault.hcl:3: telemetry: \"usage_gauge_period\": expected a duration such as \"90s\" or \"1h30m\", got \"x\"",
        ),
        (
            format!("{INMEM}api_addr = yes"),
            "vault.hcl:3: expected a value, got the bare word \"yes\" (quotes missing?)",
        ),
        (
            "{\n\"storage\": {\"inmem\": {}},\n\"listner\": {}}".into(),
            "vault.hcl:3: unknown key \"listner\" (did you mean \"listener\"?)",
        ),
    ] {
        // The last case has no listener under its right name; what is missing would be said first.
        let text = text.replace("\"listner\"", "\"listener\": {\"tcp\": {\"tls_disable\": 1}}, \"listner\"");
        assert_eq!(error(&text), expected, "{text}");
    }
    let wrong = parse_with(INMEM, &env(&[("VAULT_API_ADDR", "x")])).unwrap_err().to_string();
    assert_eq!(wrong, "environment variable VAULT_API_ADDR: expected http://HOST:PORT or https://HOST:PORT, got \"x\"");
}

#[test]
fn loopback_clusters_are_allowed_with_a_warning() {
    let raft = |target: &str| {
        format!(
            "storage \"raft\" {{ path = \"/d\" retry_join {{ leader_api_addr = \"{target}\" }} }}\nlistener \"tcp\" {{ tls_disable = 1 }}\n"
        )
    };
    let config = parse(&raft("http://127.0.0.1:8210")).unwrap();
    assert_eq!(
        config.warnings,
        ["cluster_addr 127.0.0.1:8201 is a loopback address: nodes on other machines cannot join"]
    );
    let config = parse(&(raft("http://10.0.0.1:8200") + "cluster_addr = \"https://10.0.0.2:8201\"")).unwrap();
    assert!(
        config.warnings[0].starts_with("api_addr http://127.0.0.1:8200 is a loopback address"),
        "{:?}",
        config.warnings
    );
}

#[test]
fn our_own_variables_come_first() {
    let names = env(&[
        ("VAULT_RAFT_PATH", "/v"),
        ("BAO_RAFT_PATH", "/b"),
        ("HOLDFAST_RAFT_NODE_ID", "h"),
        ("VAULT_RAFT_NODE_ID", "v"),
    ]);
    let config =
        parse_with("storage \"raft\" { path = \"/f\" }\nlistener \"tcp\" { tls_disable = 1 }", &names).unwrap();
    assert_eq!(config.storage.path.as_deref(), Some(Path::new("/b")));
    assert_eq!(config.storage.node_id.as_deref(), Some("h"));
}

#[test]
fn dev_is_one_node_in_memory() {
    let config = Config::dev("127.0.0.1:8200").unwrap();
    assert_eq!(config.storage.kind, StorageKind::Inmem);
    assert_eq!(config.api_addr.to_string(), "http://127.0.0.1:8200");
    assert_eq!(config.cluster_listen()[0].to_string(), "127.0.0.1:8201");
    assert!(config.disable_mlock);
    assert!(Config::dev("x:y").is_err());
    let member = Config::dev_member("127.0.0.1:8210", "b", Path::new("/b"), &["127.0.0.1:8200"]).unwrap();
    assert_eq!(member.storage.retry_join[0].leader_api_addr.to_string(), "http://127.0.0.1:8200");
}

#[tokio::test]
async fn files_directories_and_the_local_config_are_merged() {
    let directory = tempfile::tempdir().unwrap();
    let disk = real::disk(Offload::inline());
    for (name, text) in [
        ("10-storage.hcl", "storage \"inmem\" {}\ncluster_name = \"first\"\n"),
        ("20-listener.json", r#"{"listener": {"tcp": {"tls_disable": 1}}, "cluster_name": "second"}"#),
        ("notes.txt", "not a configuration"),
        (".hidden.hcl", "x = 1"),
    ] {
        disk.replace(&directory.path().join(name), Bytes::from_static(text.as_bytes())).await.unwrap();
    }
    let paths = [directory.path().to_path_buf()];
    let config = load(&disk, &paths, &no_env()).await.unwrap();
    assert_eq!(config.cluster_name.as_deref(), Some("second"));
    let local = env(&[("VAULT_LOCAL_CONFIG", r#"{"cluster_name": "third"}"#)]);
    assert_eq!(load(&disk, &paths, &local).await.unwrap().cluster_name.as_deref(), Some("third"));
    let wrong = load(&disk, &paths, &env(&[("VAULT_LOCAL_CONFIG", "{\"x\": 1}")])).await.unwrap_err().to_string();
    assert_eq!(wrong, "VAULT_LOCAL_CONFIG:1: unknown key \"x\"");
    assert!(load(&disk, &[], &no_env()).await.unwrap_err().to_string().starts_with("no configuration"));
    let missing = directory.path().join("missing.hcl");
    assert!(
        load(&disk, std::slice::from_ref(&missing), &no_env()).await.unwrap_err().to_string().contains("missing.hcl")
    );
    let empty = tempfile::tempdir().unwrap();
    assert!(load(&disk, &[empty.path().to_path_buf()], &no_env()).await.is_err());
}
