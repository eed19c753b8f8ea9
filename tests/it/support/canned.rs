//! Our client under another name against a server of canned answers: what it asks and what it makes of the answer, without
//! a cluster.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// A server that gives the answers in order and keeps the requests.
pub struct Canned {
    /// `http://127.0.0.1:port`.
    pub address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The requests that arrived, head and body.
    pub requests: Vec<String>,
}

impl Canned {
    /// Answers of a status and a body, each on a connection of its own.
    pub fn start(answers: &[(u16, &str)]) -> Canned {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let answers: Vec<(u16, String)> = answers.iter().map(|(status, body)| (*status, body.to_string())).collect();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&seen);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for (status, body) in answers {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut reader = BufReader::new(&stream);
                let (mut head, mut length) = (String::new(), 0);
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {
                    let line = head.lines().last().unwrap_or_default().to_ascii_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                }
                let mut sent = vec![0; length];
                let _ = reader.read_exact(&mut sent);
                theirs.lock().expect("no panic").push(format!("{head}{}", String::from_utf8_lossy(&sent)));
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Canned { address, seen }
    }

    /// Runs our client, called as `vault`, with these words and variables and nothing else of the environment.
    #[track_caller]
    pub fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Done {
        let home = TempDir::new().expect("a folder");
        let link = home.path().join("vault");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), &link).expect("a link");
        let mut command = Command::new(link);
        command.args(args).env_clear().env("HOME", home.path()).env("VAULT_ADDR", &self.address);
        command.env("VAULT_TOKEN", "root").envs(env.iter().copied()).stdin(Stdio::null());
        let output = command.output().expect("the client runs");
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            requests: std::mem::take(&mut *self.seen.lock().expect("no panic")),
        }
    }
}

impl Done {
    /// The requests' methods and paths.
    pub fn lines(&self) -> Vec<&str> {
        self.requests.iter().map(|request| request.split(" HTTP/1.1").next().unwrap_or_default()).collect()
    }
}
