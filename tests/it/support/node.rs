//! One server process with its configuration, data directory and log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::http::{Answer, call};
use super::{Bao, until};

/// A server of the tested binary, running or not. It is killed when dropped; its log is shown if the test failed.
pub struct Node {
    pub name: String,
    pub folder: PathBuf,
    pub api: u16,
    pub cluster: u16,
    /// The CA that clients need if the listener speaks TLS.
    pub ca: Option<PathBuf>,
    /// Variables of its environment beside the usual ones.
    pub environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Node {
    /// A node that is not running yet and whose configuration is to be written.
    pub fn new(name: &str, folder: PathBuf, api: u16, cluster: u16) -> Node {
        std::fs::create_dir_all(&folder).expect("a folder");
        Node { name: name.into(), folder, api, cluster, ca: None, environment: Vec::new(), child: None }
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("vault.hcl")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What it has printed, of all its runs.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("output")).unwrap_or_default()).into_owned()
    }

    /// Starts `holdfast server -config=...` and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn(&[&format!("-config={}", self.config().display())]);
        self.wait_until_it_answers();
    }

    /// Starts `holdfast server` with these flags.
    pub fn spawn(&mut self, flags: &[&str]) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let output = File::options().create(true).append(true).open(self.folder.join("output")).expect("a file");
        // With the most careless umask: what is private is so by the server's own doing.
        let mut command = Command::new("sh");
        command.args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_holdfast")]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.folder).current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("server").args(flags).stdin(Stdio::null());
        command.stdout(output.try_clone().expect("a file")).stderr(output);
        self.child = Some(command.spawn().expect("the server starts"));
    }

    /// Waits until its API answers at all.
    pub fn wait_until_it_answers(&mut self) {
        until(&format!("{} answers", self.name), 20, || {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                panic!("{} ended with {status}:\n{}", self.name, self.log());
            }
            match self.ca {
                Some(_) => std::net::TcpStream::connect(("127.0.0.1", self.api)).ok().map(drop),
                None => call(self.api, "GET", "sys/seal-status", &[], b"").ok().map(drop),
            }
        });
    }

    /// Waits until the process ends by itself.
    #[track_caller]
    pub fn wait_until_it_ends(&mut self, seconds: u64) -> ExitStatus {
        let name = self.name.clone();
        let child = self.child.as_mut().expect("it runs");
        let status = until(&format!("{name} ends"), seconds, || child.try_wait().expect("a child"));
        self.child = None;
        status
    }

    /// Whether the process runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("the process is there");
    }

    /// SIGSTOP, and waits until every thread has stopped.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        until(&format!("{} stands still", self.name), 20, || {
            let stands = |task: std::io::Result<std::fs::DirEntry>| {
                let status = std::fs::read_to_string(task.expect("a thread").path().join("status")).unwrap_or_default();
                status.is_empty() || status.lines().any(|line| line.starts_with("State:\tT"))
            };
            std::fs::read_dir(&tasks).expect("its threads").all(stands).then_some(())
        });
    }

    /// `kill -9`, as far as this node runs.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the end; how long that took.
    #[track_caller]
    pub fn terminate(&mut self) -> Duration {
        let from = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait_until_it_ends(30);
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
        from.elapsed()
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) * 1024
    }

    /// The API's address.
    pub fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.ca.is_some() { "https" } else { "http" }, self.api)
    }

    /// The stock client of this node.
    pub fn bao(&self) -> Bao {
        let bao = Bao::new(&self.address(), &self.folder);
        match &self.ca {
            Some(ca) => bao.env("VAULT_CACERT", &ca.display().to_string()),
            None => bao,
        }
    }

    /// One request in plain HTTP; an answer of status 0 if there is none.
    pub fn http(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let headers = [("X-Vault-Token", token)];
        let headers = if token.is_empty() { &headers[..0] } else { &headers[..] };
        call(self.api, method, path, headers, &body).unwrap_or_default()
    }

    /// GET without a body.
    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.http("GET", path, token, &Value::Null)
    }

    /// The status of `sys/health`, 0 if nobody answers.
    pub fn health(&self) -> u16 {
        self.get("sys/health", "").status
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("---- {} ----\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// All files and folders below a folder, itself included.
pub fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    let mut at = 0;
    while at < found.len() {
        if found[at].is_dir() {
            let entries = std::fs::read_dir(&found[at]).expect("a readable folder");
            found.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        at += 1;
    }
    found
}
