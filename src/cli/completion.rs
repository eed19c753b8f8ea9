//! Shell completion: a script that is printed or put where the shell finds it, and the answers to `complete -C vault vault`,
//! which people who come from the peers have in their shell's files.

use std::path::PathBuf;

use clap::{Arg, CommandFactory};
use clap_complete::Shell;

use super::args::{self, Cli};
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

/// What the last word of a command line may become, by a shell's `COMP_LINE` up to `COMP_POINT`.
pub fn candidates(line: &str, point: Option<usize>) -> Vec<String> {
    let line = point.and_then(|point| line.get(..point)).unwrap_or(line);
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let last = if line.ends_with(char::is_whitespace) { "" } else { words.pop().unwrap_or_default() };
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    let mut value_of = None;
    for word in words.into_iter().skip(1) {
        let flag = word.trim_start_matches('-');
        let takes = (word.starts_with('-') && !flag.contains('=')).then(|| args::find(command, flag)).flatten();
        match (value_of.take(), command.find_subcommand(word)) {
            (None, Some(sub)) => command = sub,
            _ => value_of = takes.filter(|arg| !matches!(arg.get_action(), clap::ArgAction::SetTrue)),
        }
    }
    if let Some(arg) = value_of {
        let known: &[&str] = if arg.get_long() == Some("format") { &FORMATS } else { &[] };
        return known.iter().filter(|value| value.starts_with(last)).map(|value| value.to_string()).collect();
    }
    let names = |visible: &mut dyn Iterator<Item = &str>, before: &str| -> Vec<String> {
        let mut names: Vec<String> = visible.map(|name| format!("{before}{name}")).collect();
        names.retain(|name| name.starts_with(last));
        names.sort();
        names
    };
    if last.starts_with('-') {
        let dashes = if last.starts_with("--") { "--" } else { "-" };
        return names(&mut command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long), dashes);
    }
    names(&mut command.get_subcommands().map(clap::Command::get_name), "")
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

const FORMATS: [&str; 4] = ["json", "pretty", "table", "yaml"];

#[cfg(test)]
mod tests {
    use super::candidates;

    #[test]
    fn completes_commands_flags_and_values() {
        for (line, expected) in [
            ("vault au", "auth"),
            ("vault kv en", "enable-versioning"),
            ("vault kv metadata ", "delete get patch put"),
            ("vault kv get -mount kv -ver", "-version"),
            ("vault kv get --ver", "--version"),
            ("vault lease revoke -f", "-field -force -format"),
            ("vault read -format ", "json pretty table yaml"),
            ("vault -format js", "json"),
            ("vault -format=json pri", "print"),
            ("vault -detailed pri", "print"),
            ("vault kv get secret/", ""),
            ("vault nothing ", "auth"),
        ] {
            let got = candidates(line, None).join(" ");
            match line {
                // A word that is no command leaves the place where it was.
                "vault nothing " => assert!(got.starts_with(expected), "{line}: {got}"),
                _ => assert_eq!(got, expected, "{line}"),
            }
        }
        assert_eq!(candidates("vault kv put", Some(8)).join(" "), "kv");
        assert_eq!(candidates("é", Some(1)), Vec::<String>::new());
    }
}
