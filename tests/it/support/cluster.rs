//! Clusters of real processes, formed from configuration files like the guide's.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ports::Ports;
use super::tls::Authority;
use super::{Bao, Node, until};

/// Further lines for the configuration.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    pub top: String,
    pub storage: String,
    /// With the shortest timeouts, as in the guide. Otherwise they suit a machine on which much else runs.
    pub quick: bool,
    pub listener: String,
}

/// Nodes with the keys of their cluster.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub shares: Vec<String>,
    pub threshold: usize,
    pub root: String,
    pub ports: Ports,
    pub folder: TempDir,
}

impl Cluster {
    /// Nodes with their configuration files, none of them running.
    pub fn prepare(count: usize, shape: &Shape) -> Cluster {
        let mut ports = Ports::reserve();
        let folder = tempfile::Builder::new().prefix("holdfast-it-").tempdir().expect("a folder");
        let mut nodes = Vec::new();
        for number in 1..=count {
            let name = format!("vault-{number}");
            nodes.push(Node::new(&name, folder.path().join(&name), ports.next(), ports.next()));
        }
        let targets: Vec<(String, String)> = nodes.iter().map(|node| (node.name.clone(), node.address())).collect();
        for node in &nodes {
            std::fs::write(node.config(), config(node, &targets, shape)).expect("a file");
        }
        Cluster { nodes, shares: Vec::new(), threshold: 0, root: String::new(), ports, folder }
    }

    /// Running nodes, not initialised.
    pub fn start(count: usize, shape: &Shape) -> Cluster {
        let mut cluster = Cluster::prepare(count, shape);
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster
    }

    /// A running cluster, initialised and unsealed, of which all nodes vote; KV v2 is at `secret/`.
    pub fn formed(count: usize) -> Cluster {
        Cluster::formed_as(count, &Shape::default())
    }

    /// As [`Cluster::formed`], with the shortest timeouts.
    pub fn formed_quick(count: usize) -> Cluster {
        Cluster::formed_as(count, &Shape { quick: true, ..Shape::default() })
    }

    /// As [`Cluster::formed`], with further lines of configuration.
    pub fn formed_as(count: usize, shape: &Shape) -> Cluster {
        let mut cluster = Cluster::start(count, shape);
        cluster.init(3, 2);
        cluster.unseal_all();
        cluster.wait_for_voters(count);
        cluster.active().http("POST", "sys/mounts/secret", &cluster.root, &kv2()).ok();
        cluster
    }

    /// A node beside the others, not running, configured as the first one is with these `retry_join` blocks besides.
    pub fn another(&mut self, name: &str, targets: &str) -> Node {
        let node = Node::new(name, self.folder.path().join(name), self.ports.next(), self.ports.next());
        let first = &self.nodes[0];
        let text = std::fs::read_to_string(first.config()).expect("a file");
        let text = text
            .replace(&first.name, name)
            .replace(&format!(":{}", first.api), &format!(":{}", node.api))
            .replace(&format!(":{}", first.cluster), &format!(":{}", node.cluster))
            .replace("performance_multiplier", &format!("{targets}\n  performance_multiplier"));
        std::fs::write(node.config(), text).expect("a file");
        node
    }

    /// Gives the first node, which does not run yet, one more listener with further lines; its port.
    pub fn add_listener(&mut self, lines: &str) -> u16 {
        let (port, other) = (self.ports.next(), self.ports.next());
        let config = self.nodes[0].config();
        let text = std::fs::read_to_string(&config).expect("a file");
        let more = format!(
            "listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n cluster_address = \"127.0.0.1:{other}\"\n {lines}\n}}\n"
        );
        std::fs::write(config, text + &more).expect("a file");
        port
    }

    /// As [`Cluster::add_listener`], with TLS; also the file of the CA.
    pub fn add_tls_listener(&mut self) -> (u16, PathBuf) {
        let tls = self.folder.path().join("tls");
        let ca = Authority::new("test CA").write(&tls, "vault");
        let files = format!("tls_cert_file = \"{0}/vault.crt\"\n tls_key_file = \"{0}/vault.key\"", tls.display());
        (self.add_listener(&files), ca)
    }

    /// Initialises the cluster through its first node.
    pub fn init(&mut self, shares: usize, threshold: usize) {
        let body = json!({ "secret_shares": shares, "secret_threshold": threshold });
        let answer = self.nodes[0].http("PUT", "sys/init", "", &body).ok();
        let keys = answer["keys_base64"].as_array().cloned().unwrap_or_default();
        self.shares = keys.iter().filter_map(|key| key.as_str().map(String::from)).collect();
        self.root = answer["root_token"].as_str().expect("a root token").to_string();
        self.threshold = threshold;
    }

    /// Gives a node as many shares as it takes; its last answer.
    #[track_caller]
    pub fn give_shares(&self, node: &Node) -> Value {
        let mut status = Value::Null;
        for share in &self.shares[..self.threshold] {
            status = node.http("PUT", "sys/unseal", "", &json!({ "key": share })).ok();
        }
        status
    }

    /// Unseals a node, with pending shares if it has to.
    #[track_caller]
    pub fn unseal(&self, node: &Node) {
        // Shares of a node that has not heard of a cluster yet are refused.
        until(&format!("{} knows that there is a cluster", node.name), 20, || {
            let status = node.get("sys/seal-status", "").json();
            (status["initialized"] == true || status["t"].as_u64() > Some(0)).then_some(())
        });
        self.give_shares(node);
        self.wait_unsealed(node);
    }

    /// Waits until a node is unsealed.
    #[track_caller]
    pub fn wait_unsealed(&self, node: &Node) {
        until(&format!("{} is unsealed", node.name), 30, || {
            (node.get("sys/seal-status", "").json()["sealed"] == false).then_some(())
        });
    }

    /// Unseals every node.
    pub fn unseal_all(&self) {
        for node in &self.nodes {
            self.unseal(node);
        }
    }

    /// The active node, once there is one.
    #[track_caller]
    pub fn active(&self) -> &Node {
        &self.nodes[self.active_index()]
    }

    /// The number of the active node, once there is one.
    #[track_caller]
    pub fn active_index(&self) -> usize {
        until("an active node", 30, || self.nodes.iter().position(|node| node.health() == 200))
    }

    /// A standby that answers as such.
    #[track_caller]
    pub fn standby_index(&self) -> usize {
        until("a standby", 30, || self.nodes.iter().position(|node| node.health() == 429))
    }

    /// The stock client of a node with the root token.
    pub fn bao(&self, node: usize) -> Bao {
        self.nodes[node].bao().token(&self.root)
    }

    /// The peers as the active node lists them: label, whether it leads, whether it votes.
    pub fn peers(&self) -> Vec<(String, bool, bool)> {
        let answer = self.active().get("sys/storage/raft/configuration", &self.root).json();
        let servers = answer["data"]["config"]["servers"].as_array().cloned().unwrap_or_default();
        let read = |server: &Value| {
            (
                server["node_id"].as_str().unwrap_or_default().to_string(),
                server["leader"] == true,
                server["voter"] == true,
            )
        };
        servers.iter().map(read).collect()
    }

    /// Waits until so many nodes vote.
    #[track_caller]
    pub fn wait_for_voters(&self, count: usize) {
        until(&format!("{count} voters"), 40, || {
            (self.peers().iter().filter(|(_, _, voter)| *voter).count() == count).then_some(())
        });
    }

    /// Writes a KV v2 secret through a node; whether it was acknowledged.
    pub fn put(&self, node: usize, path: &str, value: &str) -> bool {
        let body = json!({ "data": { "value": value } });
        self.nodes[node].http("POST", &format!("secret/data/{path}"), &self.root, &body).status == 200
    }

    /// Reads a KV v2 secret through a node.
    pub fn read(&self, node: usize, path: &str) -> Option<String> {
        let answer = self.nodes[node].get(&format!("secret/data/{path}"), &self.root).json();
        answer["data"]["data"]["value"].as_str().map(String::from)
    }
}

/// The body that mounts KV v2.
pub fn kv2() -> Value {
    json!({ "type": "kv", "options": { "version": "2" } })
}

/// A configuration as in the guide, on loopback.
fn config(node: &Node, targets: &[(String, String)], shape: &Shape) -> String {
    let others = targets.iter().filter(|(name, _)| *name != node.name);
    let joins: String =
        others.map(|(_, address)| format!("  retry_join {{ leader_api_addr = \"{address}\" }}\n")).collect();
    let Node { name, api, cluster, .. } = node;
    let data = display(&node.data());
    let Shape { top, storage, listener, quick } = shape;
    let multiplier = if *quick { 1 } else { 3 };
    format!(
        r#"storage "raft" {{
  path    = "{data}"
  node_id = "{name}"
  performance_multiplier = {multiplier}
  {storage}
{joins}}}
listener "tcp" {{
  address         = "127.0.0.1:{api}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_disable     = true
  {listener}
}}
api_addr      = "http://127.0.0.1:{api}"
cluster_addr  = "https://127.0.0.1:{cluster}"
cluster_name  = "vault-prod"
disable_mlock = true
{top}
"#
    )
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
