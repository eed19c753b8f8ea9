//! A three-node cluster of one server program on loopback: start, initialise, unseal, find who is active, kill, restart.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Connection, request};

/// Nodes of a cluster.
pub const NODES: usize = 3;

/// How long any step of bringing a cluster up may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running cluster. Dropping it ends its processes.
pub struct Cluster {
    /// `holdfast` or `bao`.
    pub name: &'static str,
    /// The root token.
    pub token: String,
    program: PathBuf,
    directory: PathBuf,
    first_port: u16,
    key: String,
    nodes: [Option<Child>; NODES],
}

impl Cluster {
    /// Starts three nodes, initialises the first with one key share, unseals all and mounts KV version 2 at `secret/`.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn start(
        name: &'static str,
        program: &Path,
        directory: &Path,
        first_port: u16,
    ) -> Result<Cluster, String> {
        let mut cluster = Cluster {
            name,
            token: String::new(),
            program: program.to_path_buf(),
            directory: directory.join(name),
            first_port,
            key: String::new(),
            nodes: [const { None }; NODES],
        };
        for node in 0..NODES {
            cluster.configure(node).map_err(|error| format!("{name}: {error}"))?;
            cluster.start_node(node)?;
        }
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let answer = cluster.until(0, "PUT", "sys/init", &shares, 200).await?;
        cluster.key = text(&answer["keys_base64"][0])?;
        cluster.token = text(&answer["root_token"])?;
        for node in 0..NODES {
            cluster.unseal(node).await?;
        }
        let active = cluster.active().await?;
        let mount = json!({ "type": "kv", "options": { "version": "2" } });
        cluster.until(active, "POST", "sys/mounts/secret", &mount, 204).await?;
        cluster.until(active, "POST", "secret/data/first", &json!({ "data": { "a": "b" } }), 200).await?;
        cluster.until_voters(active).await?;
        Ok(cluster)
    }

    /// The API address of a node.
    pub fn address(&self, node: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.first_port + node as u16 * 2))
    }

    /// The program's own name and version.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn version(&self) -> Result<String, String> {
        let output = Command::new(&self.program).arg("version").output().map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("").to_string())
    }

    /// The active node, once there is one.
    ///
    /// # Errors
    /// If there is none for a long time.
    pub async fn active(&self) -> Result<usize, String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for node in 0..NODES {
                if let Ok((200, _)) = self.ask(node, "GET", "sys/health", &Value::Null).await {
                    return Ok(node);
                }
            }
            pause().await;
        }
        Err(format!("{}: no active node", self.name))
    }

    /// Kills a node as `kill -9` does.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a killed node and waits until it is a standby again.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn restart(&mut self, node: usize) -> Result<(), String> {
        self.start_node(node)?;
        self.unseal(node).await
    }

    /// CPU time that all nodes have used.
    pub fn cpu(&self) -> Duration {
        let ticks: u64 = self.nodes.iter().flatten().filter_map(|child| ticks(child.id())).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Resident memory of each node in bytes.
    pub fn memory(&self) -> Vec<u64> {
        self.nodes.iter().flatten().filter_map(|child| resident(child.id())).collect()
    }

    fn configure(&self, node: usize) -> std::io::Result<()> {
        let (api, cluster) = (self.address(node), self.cluster_address(node));
        let data = self.data(node);
        fs::create_dir_all(&data)?;
        let joins: String = (0..NODES)
            .filter(|other| *other != node)
            .map(|other| format!("  retry_join {{ leader_api_addr = \"http://{}\" }}\n", self.address(other)))
            .collect();
        let text = format!(
            "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"n{node}\"\n  performance_multiplier = 1\n{joins}}}\n\
             listener \"tcp\" {{\n  address = \"{api}\"\n  cluster_address = \"{cluster}\"\n  tls_disable = true\n}}\n\
             api_addr = \"http://{api}\"\ncluster_addr = \"https://{cluster}\"\ndisable_mlock = true\n",
            data.display()
        );
        fs::write(self.config(node), text)
    }

    /// Starts a node's process.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn start_node(&mut self, node: usize) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.directory.join(format!("n{node}.log")));
        let log = log.map_err(|error| error.to_string())?;
        let copy = log.try_clone().map_err(|error| error.to_string())?;
        let child = Command::new(&self.program)
            .arg("server")
            .arg(format!("-config={}", self.config(node).display()))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .spawn();
        self.nodes[node] = Some(child.map_err(|error| format!("{}: {error}", self.program.display()))?);
        Ok(())
    }

    /// Unseals a node and waits until it is active or a standby.
    ///
    /// # Errors
    /// If it does not for a long time.
    pub async fn unseal(&self, node: usize) -> Result<(), String> {
        let key = json!({ "key": self.key });
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // A node that has not joined yet answers with an error, and one that has just taken the key may not yet
            // say so.
            let _ = self.ask(node, "PUT", "sys/unseal", &key).await;
            if let Ok((200 | 429, _)) = self.ask(node, "GET", "sys/health", &Value::Null).await {
                return Ok(());
            }
            pause().await;
        }
        Err(format!("{}: node {node} does not unseal", self.name))
    }

    /// Waits until all nodes vote.
    async fn until_voters(&self, active: usize) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok((200, answer)) = self.ask(active, "GET", "sys/storage/raft/configuration", &Value::Null).await {
                let servers = answer["data"]["config"]["servers"].as_array().cloned().unwrap_or_default();
                if servers.iter().filter(|server| server["voter"] == json!(true)).count() == NODES {
                    return Ok(());
                }
            }
            pause().await;
        }
        Err(format!("{}: not all nodes vote", self.name))
    }

    async fn until(&self, node: usize, method: &str, path: &str, body: &Value, wanted: u16) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::from("no answer");
        while Instant::now() < deadline {
            match self.ask(node, method, path, body).await {
                Ok((status, answer)) if status == wanted => return Ok(answer),
                Ok((status, answer)) => last = format!("{status} {answer}"),
                Err(error) => last = error,
            }
            pause().await;
        }
        Err(format!("{}: {method} {path}: {last}", self.name))
    }

    async fn ask(&self, node: usize, method: &str, path: &str, body: &Value) -> Result<(u16, Value), String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut connection = Connection::open(self.address(node)).await.map_err(|error| error.to_string())?;
        let sent = request(method, path, &self.token, &body);
        let answer = tokio::time::timeout(Duration::from_secs(10), connection.send(&sent)).await;
        let answer = answer.map_err(|_| "no answer in time")?.map_err(|error| error.to_string())?;
        Ok((answer.status, serde_json::from_slice(answer.body).unwrap_or(Value::Null)))
    }

    fn cluster_address(&self, node: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.first_port + node as u16 * 2 + 1))
    }

    /// A node's data directory.
    pub fn data(&self, node: usize) -> PathBuf {
        self.directory.join(format!("n{node}"))
    }

    fn config(&self, node: usize) -> PathBuf {
        self.directory.join(format!("n{node}.hcl"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..NODES {
            self.kill(node);
        }
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_string).ok_or_else(|| "an answer without keys".to_string())
}

/// User and system time of a process in clock ticks, from `/proc/PID/stat` (fields 14 and 15).
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

fn resident(pid: u32) -> Option<u64> {
    let pages: u64 = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
