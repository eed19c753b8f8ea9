//! The two servers side by side.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::table::Request;
use crate::support::http::raw;
use crate::support::ports::Ports;
use crate::support::{Answer, Node, bao, until};

/// The peer and Holdfast.
pub struct Pair {
    pub peer: Side,
    pub own: Side,
    peer_process: Child,
    _own_process: Node,
    _ports: Ports,
    _folder: tempfile::TempDir,
}

/// One of the two.
pub struct Side {
    port: u16,
    /// What earlier answers held, by name.
    pub kept: BTreeMap<String, String>,
}

impl Pair {
    /// Starts both in development mode: unsealed, and empty but for KV v2 at `secret/`.
    pub fn start(name: &str) -> Pair {
        let args = |port: u16| {
            let listen = format!("-dev-listen-address=127.0.0.1:{port}");
            ["-dev", "-dev-root-token-id=root", "-dev-no-store-token", &listen].map(String::from).to_vec()
        };
        let (mut pair, log) = Pair::spawn(name, |port, _| args(port));
        pair.peer.take_over("the peer", || std::fs::read_to_string(&log).unwrap_or_default());
        let node = &pair._own_process;
        pair.own.take_over("Holdfast", || node.log());
        pair
    }

    /// Starts both with storage in memory, not initialised.
    pub fn start_new(name: &str) -> Pair {
        let (pair, _) = Pair::spawn(name, |port, folder| {
            // The peer closes these by default.
            let open =
                "  disable_unauthed_rekey_endpoints = false\n  disable_unauthed_generate_root_endpoints = false\n";
            let listener =
                format!("listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_disable = true\n{open}}}\n");
            let addresses =
                format!("api_addr = \"http://127.0.0.1:{port}\"\ncluster_addr = \"http://127.0.0.1:{}\"\n", port + 1);
            let file = folder.join(format!("{port}.hcl"));
            let text = format!("storage \"inmem\" {{}}\ndisable_mlock = true\n{listener}{addresses}");
            std::fs::write(&file, text).expect("a file");
            vec![format!("-config={}", file.display())]
        });
        for side in [&pair.peer, &pair.own] {
            until("it answers", 30, || (side.ask("GET", "/v1/sys/seal-status", &[], "").status == 200).then_some(()));
        }
        pair
    }

    /// Starts both with the arguments for a port of their own; where the peer's output goes.
    fn spawn(name: &str, args: impl Fn(u16, &Path) -> Vec<String>) -> (Pair, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ports = Ports::reserve();
        // The cluster port is the one after the API's.
        let (peer_port, _, own_port, own_cluster) = (ports.next(), ports.next(), ports.next(), ports.next());
        let log = folder.path().join("peer");
        let output = File::create(&log).expect("a file");
        let mut command = Command::new(bao::binary());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder.path()).current_dir(folder.path());
        command.arg("server").args(args(peer_port, folder.path())).stdin(Stdio::null());
        command.stdout(output.try_clone().expect("a file")).stderr(output);
        let peer_process = command.spawn().expect("the peer starts");
        let mut node = Node::new(name, folder.path().join("own"), own_port, own_cluster);
        let args = args(own_port, folder.path());
        node.spawn(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let pair = Pair {
            peer: Side { port: peer_port, kept: BTreeMap::new() },
            own: Side { port: own_port, kept: BTreeMap::new() },
            peer_process,
            _own_process: node,
            _ports: ports,
            _folder: folder,
        };
        (pair, log)
    }

    /// Sends a request to both.
    pub fn ask(&self, request: &Request) -> (Answer, Answer) {
        (self.peer.send(request), self.own.send(request))
    }

    /// Keeps what later requests need.
    pub fn keep(&mut self, request: &Request, peer: &Answer, own: &Answer) {
        for (side, answer) in [(&mut self.peer, peer), (&mut self.own, own)] {
            let body = answer.json();
            for (name, pointer) in &request.keep {
                let value = match body.pointer(pointer) {
                    Some(serde_json::Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => format!("no-{name}"),
                };
                side.kept.insert(name.clone(), value);
            }
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.peer_process.kill();
        let _ = self.peer_process.wait();
    }
}

impl Side {
    /// Waits until it serves, and takes root token and unseal key from what it printed.
    fn take_over(&mut self, name: &str, output: impl Fn() -> String) {
        let key = until(&format!("{name} serves"), 30, || {
            let text = output();
            let key = text.lines().find_map(|line| line.trim().strip_prefix("Unseal Key: "))?.to_string();
            let mount =
                raw(self.port, &self.bytes("GET", "/v1/secret/config", &[("X-Vault-Token", "root")], "")).ok()?;
            (mount.status == 200).then_some(key)
        });
        self.kept.insert("unseal_key".into(), key);
        self.kept.insert("root".into(), "root".into());
    }

    fn send(&self, request: &Request) -> Answer {
        let (method, path) = request.line();
        let token = self.fill(&request.token);
        let headers: Vec<(&str, String)> = (!token.is_empty())
            .then_some(("X-Vault-Token", token))
            .into_iter()
            .chain(request.headers.iter().map(|(name, value)| (name.as_str(), self.fill(value))))
            .collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.ask(method, &self.fill(&path), &headers, &self.fill(&request.body))
    }

    /// Its API's address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends one request; an answer of status 0 if there is none.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        raw(self.port, &self.bytes(method, path, headers, body)).unwrap_or_default()
    }

    fn bytes(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n", self.port);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        format!("{head}\r\n{body}").into_bytes()
    }

    /// The text with what earlier answers held.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.to_string();
        for (name, value) in &self.kept {
            text = text.replace(&format!("{{{{{name}}}}}"), value);
        }
        text
    }

    /// The text with the names of what earlier answers held: the opposite of [`Side::fill`].
    pub fn unfill(&self, text: &str) -> String {
        let mut text = text.to_string();
        for (name, value) in self.kept.iter().filter(|(_, value)| value.len() >= 8) {
            text = text.replace(value.as_str(), &format!("{{{{{name}}}}}"));
        }
        text
    }
}
