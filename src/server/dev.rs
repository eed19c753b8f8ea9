//! `server -dev`: one node in memory, unsealed, with KV v2 at `secret/`; or three of them to play with.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::process::{log_options, until_stopped, write_private};
use super::{Node, ServerArgs, Tuning};
use crate::config::Config;
use crate::config::listener::{ClientAuth, Tls, TlsVersion};
use crate::config::logging::{LogFormat, LogLevel};
use crate::config::storage::Pem;
use crate::core::{Client, Core, Operation, Request, Response};
use crate::http;
use crate::raft::state::EngineKind;
use crate::runtime::Runtime;
use crate::runtime::mem_disk::MemDisk;
use crate::secret::Secret;
use crate::telemetry::{self, Metrics};

const DEFAULT_ADDRESS: &str = "127.0.0.1:8200";

// The files of `-dev-tls`, under the names that scripts know.
const CA_FILE: &str = "vault-ca.pem";
const CERT_FILE: &str = "vault-cert.pem";
const KEY_FILE: &str = "vault-key.pem";

/// Runs the development server.
pub(super) async fn serve(args: ServerArgs, runtime: Runtime) -> Result<(), String> {
    let address = args.dev_listen_address.clone().unwrap_or_else(|| DEFAULT_ADDRESS.into());
    let metrics = Metrics::new(runtime.clock.clone());
    let mut config = Config::dev(&address).map_err(|error| error.to_string())?;
    config.log.level = LogLevel::parse(args.log_level.as_deref().unwrap_or("info"))?;
    config.log.format = LogFormat::parse(args.log_format.as_deref().unwrap_or("standard"))?;
    let log = telemetry::log::init(log_options(&config.log), &runtime, &metrics).await;
    let log = log.map_err(|error| error.to_string())?;
    let tls = match args.dev_tls {
        true => Some(DevTls::make(&args, &runtime)?),
        false => None,
    };
    if let Some(tls) = &tls {
        tls.install(&mut config, &runtime).await?;
    }
    let nodes = match args.dev_three_node {
        true => three_nodes(&address, &runtime, tls.as_ref()).await?,
        false => vec![start(config, runtime.clone(), metrics).await?],
    };
    let (first, others) = nodes.split_first().ok_or("no node was started")?;
    let secrets = prepare(first.core(), args.dev_root_token_id.as_deref()).await?;
    for node in others {
        unseal(node.core(), &secrets.share).await?;
    }
    if let Some(path) = args.dev_token_file.as_ref().filter(|_| !args.dev_no_store_token) {
        write_private(&runtime, path, secrets.root_token.clone()).await?;
    }
    let ca = tls.as_ref().map(|tls| tls.path(CA_FILE));
    if let Some(path) = &args.dev_cluster_json {
        write_private(&runtime, path, describe(&nodes, ca.as_deref(), &secrets)).await?;
    }
    print_banner(&nodes, args.dev_tls, ca.as_deref(), &secrets);
    until_stopped(first, &log, || async { Err("-dev has no configuration to reload".to_string()) }).await?;
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}

/// A server in memory for who embeds one: initialised, unsealed, with KV version 2 at `secret/`, and its root token. It
/// listens on free ports of loopback.
///
/// # Errors
/// What went wrong, in words.
pub async fn in_memory(runtime: Runtime) -> Result<(Node, String), String> {
    let config = Config::dev("127.0.0.1:0").map_err(|error| error.to_string())?;
    let metrics = Metrics::new(runtime.clock.clone());
    let node = start(config, runtime, metrics).await?;
    let secrets = prepare(node.core(), None).await?;
    Ok((node, secrets.root_token))
}

async fn start(config: Config, runtime: Runtime, metrics: Metrics) -> Result<Node, String> {
    let tuning = Tuning { disk_engine: EngineKind::Memory, segment_bytes: 1 << 20, ..Tuning::default() };
    Node::start_with(config, runtime, tuning, metrics).await.map_err(|error| error.to_string())
}

/// Three nodes at the address and the two next pairs of ports, each with a disk of its own in memory.
async fn three_nodes(address: &str, runtime: &Runtime, tls: Option<&DevTls>) -> Result<Vec<Node>, String> {
    let (host, port) = address.rsplit_once(':').ok_or("-dev-listen-address: host:port is needed")?;
    let port: u16 = port.parse().map_err(|_| "-dev-listen-address: the port is no number".to_string())?;
    let addresses: Vec<String> = (0..3).map(|node| format!("{host}:{}", port.saturating_add(2 * node))).collect();
    let mut nodes = Vec::new();
    for (number, own) in addresses.iter().enumerate() {
        let others: Vec<&str> = match number {
            0 => Vec::new(),
            _ => vec![addresses[0].as_str()],
        };
        let label = format!("node-{}", number + 1);
        let config = Config::dev_member(own, &label, Path::new("/data"), &others);
        let mut config = config.map_err(|error| error.to_string())?;
        let own = Runtime { disk: MemDisk::new().disk(), ..runtime.clone() };
        if let Some(tls) = tls {
            tls.install(&mut config, &own).await?;
        }
        nodes.push(start(config, own, Metrics::new(runtime.clock.clone())).await?);
    }
    Ok(nodes)
}

/// What init gave.
struct Secrets {
    share: String,
    root_token: String,
}

/// Initialises and unseals a node, mounts KV v2 and makes the wanted root token.
async fn prepare(core: &Core, root_token_id: Option<&str>) -> Result<Secrets, String> {
    let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
    let answer = call(core, Operation::Update, "sys/init", body, None).await?;
    let text = |value: &Value| value.as_str().map(String::from).ok_or("init gave no keys");
    let (share, mut root_token) = (text(&answer["keys_base64"][0])?, text(&answer["root_token"])?);
    unseal(core, &share).await?;
    let mut changes = 0;
    while !core.is_active() {
        changes += 1;
        if changes > 1000 {
            return Err("the node did not become active".into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mount = json!({ "type": "kv", "options": { "version": "2" }, "description": "key/value secret storage" });
    call(core, Operation::Update, "sys/mounts/secret", mount, Some(&root_token)).await?;
    if let Some(id) = root_token_id {
        let body = json!({ "id": id, "policies": ["root"], "no_parent": true });
        call(core, Operation::Update, "auth/token/create", body, Some(&root_token)).await?;
        call(core, Operation::Update, "auth/token/revoke-self", json!({}), Some(&root_token)).await?;
        root_token = id.to_string();
    }
    Ok(Secrets { share, root_token })
}

async fn unseal(core: &Core, share: &str) -> Result<(), String> {
    for _ in 0..1000 {
        match call(core, Operation::Update, "sys/unseal", json!({ "key": share }), None).await {
            Ok(status) if status["sealed"] == json!(false) => return Ok(()),
            // A node that joins takes shares only when it has heard of its cluster.
            Ok(_) | Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
    Err("a node did not unseal".into())
}

async fn call(
    core: &Core,
    operation: Operation,
    path: &str,
    body: Value,
    token: Option<&str>,
) -> Result<Value, String> {
    let request = Request {
        id: String::new(),
        operation,
        path: path.to_string(),
        data: body.as_object().cloned().unwrap_or_default(),
        token: token.map(Secret::from),
        wrap_ttl: None,
        client: Client::default(),
        headers: Default::default(),
    };
    let response: Response = core.handle(&request).await.map_err(|error| format!("{path}: {error}"))?;
    Ok(match response.raw {
        Some(raw) => serde_json::from_slice(&raw.body).unwrap_or_default(),
        None => response.data.map(Value::Object).unwrap_or_default(),
    })
}

/// The certificate of `-dev-tls`, made anew with each start.
struct DevTls {
    directory: PathBuf,
    made: http::SelfSigned,
}

impl DevTls {
    fn make(args: &ServerArgs, runtime: &Runtime) -> Result<DevTls, String> {
        let directory = args.dev_tls_cert_dir.clone().unwrap_or_else(|| PathBuf::from("holdfast-tls"));
        let names = ["localhost".to_string(), "127.0.0.1".to_string(), "::1".to_string()];
        let made = http::self_signed(&runtime.entropy, &names).map_err(|error| error.to_string())?;
        Ok(DevTls { directory, made })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes the files to a node's disk and has the node use them.
    async fn install(&self, config: &mut Config, runtime: &Runtime) -> Result<(), String> {
        let directory = &self.directory;
        runtime.disk.create_dir_all(directory).await.map_err(|error| format!("{}: {error}", directory.display()))?;
        for (name, text) in [(CA_FILE, &self.made.ca), (CERT_FILE, &self.made.cert), (KEY_FILE, &self.made.key)] {
            write_private(runtime, &self.path(name), text.clone()).await?;
        }
        for listener in &mut config.listeners {
            listener.tls = Some(Tls {
                cert_file: self.path(CERT_FILE),
                key_file: self.path(KEY_FILE),
                min_version: TlsVersion::Tls12,
                max_version: TlsVersion::Tls13,
                cipher_suites: Vec::new(),
                client_auth: ClientAuth::None,
            });
        }
        for target in &mut config.storage.retry_join {
            target.leader_api_addr.tls = true;
            target.ca_cert = Some(Pem::File(self.path(CA_FILE)));
        }
        config.api_addr.tls = true;
        Ok(())
    }
}

/// What `-dev-cluster-json` writes: where the nodes are and how to get in.
fn describe(nodes: &[Node], ca: Option<&Path>, secrets: &Secrets) -> String {
    let api = |node: &Node| json!({ "api_address": node.core().api_addr() });
    let ca = ca.map(|ca| ca.display().to_string()).unwrap_or_default();
    let nodes: Vec<Value> = nodes.iter().map(api).collect();
    format!("{:#}\n", json!({ "nodes": nodes, "ca_cert_path": ca, "root_token": secrets.root_token }))
}

fn print_banner(nodes: &[Node], tls: bool, ca: Option<&Path>, secrets: &Secrets) {
    let scheme = if tls { "https" } else { "http" };
    println!("==> Holdfast development server started ({})", crate::VERSION);
    println!("    Nothing is on disk and everything is gone when it stops. Never use it in production.\n");
    for (number, node) in nodes.iter().enumerate() {
        for address in node.addresses().into_iter().flatten() {
            println!("    Node {}: {scheme}://{address}", number + 1);
        }
    }
    if let Some(address) = nodes.first().and_then(|node| node.addresses().into_iter().flatten().next()) {
        println!("\n    $ export VAULT_ADDR='{scheme}://{address}'");
    }
    if let Some(ca) = ca {
        // To be good in any other directory too.
        let ca = std::path::absolute(ca).unwrap_or_else(|_| ca.to_path_buf());
        println!("    $ export VAULT_CACERT='{}'", ca.display());
    }
    println!("\nUnseal Key: {}", secrets.share);
    println!("Root Token: {}\n", secrets.root_token);
}
