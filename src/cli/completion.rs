//! Shell completion: printed, or put where the shell finds it.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::context::Context;
use super::{Failure, Outcome, output};

/// Prints a completion script, or installs or removes it.
#[derive(Debug, clap::Args)]
pub struct Completion {
    /// Install the script for this user and the shell in SHELL.
    #[arg(long)]
    pub install: bool,
    /// Remove it.
    #[arg(long)]
    pub uninstall: bool,
    /// bash, zsh or fish.
    #[arg(value_name = "SHELL", hide = true)]
    pub args: Vec<String>,
}

/// Runs `completion`.
pub async fn run(context: &Context, completion: Completion) -> Outcome {
    let named = completion.args.first().cloned().or_else(|| {
        let shell = context.env.var("SHELL")?;
        shell.rsplit('/').next().map(str::to_string)
    });
    let shell = match named.as_deref() {
        Some("bash") => Shell::Bash,
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => return Err(Failure::local("Name a shell: bash, zsh or fish")),
    };
    let program = &context.brand.program;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), program.as_str(), &mut script);
    if !completion.install && !completion.uninstall {
        output::out_raw(&String::from_utf8_lossy(&script));
        return Ok(0);
    }
    let home = context.env.home().ok_or_else(|| Failure::local("HOME is not set"))?;
    let path: PathBuf = match shell {
        Shell::Bash => home.join(".local/share/bash-completion/completions").join(program),
        Shell::Zsh => home.join(".zfunc").join(format!("_{program}")),
        _ => home.join(".config/fish/completions").join(format!("{program}.fish")),
    };
    let failed = |error: std::io::Error| Failure::local(format!("{}: {error}", path.display()));
    if completion.uninstall {
        context.runtime.disk.remove(&path).await.map_err(failed)?;
        output::out(&format!("Removed {}", path.display()));
        return Ok(0);
    }
    if let Some(directory) = path.parent() {
        context.runtime.disk.create_dir_all(directory).await.map_err(failed)?;
    }
    context.runtime.disk.replace(&path, script.into()).await.map_err(failed)?;
    output::out(&format!("Installed {}", path.display()));
    if shell == Shell::Zsh {
        output::out("Add ~/.zfunc to fpath before compinit in ~/.zshrc");
    }
    Ok(0)
}
