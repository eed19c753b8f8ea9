//! Flags as Go's flag package reads them, in front of a clap tree.
//!
//! `-flag`, `--flag`, `-flag=value` and `-flag value` are flags up to the first positional argument or `--`; everything
//! after is positional, whatever it looks like. The value after `-flag` is taken as it is, even `-1`. Switches take
//! `=true` and `=false`. The tree tells which flags exist and which take a value; this module rewrites the command line
//! into clap's one unambiguous form (`--flag=value ... -- positional ...`), so that clap's own guesses never matter.

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser};

use super::commands::Command;
use super::context::Global;
use super::{near, output};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "holdfast",
    about = "A highly available secrets server that speaks the Vault HTTP API, and its client",
    disable_help_flag = true,
    disable_help_subcommand = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run a command.
    Run(Box<Cli>),
    /// Print the help of the command at this path.
    Help(Vec<String>),
    /// A group of commands without a command that it knows.
    Incomplete {
        /// The group.
        path: Vec<String>,
        /// The word that is no command.
        unknown: Option<String>,
    },
    /// Print this and fail.
    Failed(String),
}

/// Reads a command line without the program's name.
pub fn parse(args: Vec<String>) -> Invocation {
    let mut root = Cli::command();
    root.build();
    let args = match args.first().map(String::as_str) {
        Some("-v" | "-version" | "--version") => vec!["version".to_string()],
        Some("-autocomplete-install" | "--autocomplete-install") => words("completion -install"),
        Some("-autocomplete-uninstall" | "--autocomplete-uninstall") => words("completion -uninstall"),
        _ => args,
    };
    let plain = match rewrite(&root, args) {
        Ok(plain) => plain,
        Err(invocation) => return invocation,
    };
    match root.try_get_matches_from_mut(plain).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Invocation::Run(Box::new(cli)),
        Err(error) => Invocation::Failed(describe(&error)),
    }
}

fn rewrite(root: &clap::Command, args: Vec<String>) -> Result<Vec<String>, Invocation> {
    let mut command = root;
    let mut path = Vec::new();
    // Help is asked for anywhere before "--".
    let helps = args.iter().take_while(|arg| *arg != "--").any(|arg| matches!(arg.as_str(), "-h" | "-help" | "--help"));
    let mut plain = vec![root.get_name().to_string()];
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            break_off(&mut plain, args.by_ref(), None);
        } else if arg.len() > 1 && arg.starts_with('-') {
            if helps {
                continue;
            }
            let flag = arg.strip_prefix("--").unwrap_or(&arg[1..]);
            plain.extend(rewrite_flag(command, flag, &mut args).map_err(Invocation::Failed)?);
        } else if let Some(sub) = command.find_subcommand(&arg) {
            command = sub;
            path.push(sub.get_name().to_string());
            plain.push(sub.get_name().to_string());
        } else if command.has_subcommands() && (arg == "help" || helps) {
            return Err(Invocation::Help(help_path(command, path, args)));
        } else if command.has_subcommands() {
            return Err(Invocation::Incomplete { path, unknown: Some(arg) });
        } else if helps {
            break;
        } else {
            let rest: Vec<String> = args.by_ref().collect();
            plain.extend(late_format(&rest).filter(|_| find(command, "format").is_some()));
            break_off(&mut plain, rest.into_iter(), Some(arg));
        }
    }
    if helps {
        return Err(Invocation::Help(path));
    }
    if command.has_subcommands() {
        return Err(Invocation::Incomplete { path, unknown: None });
    }
    Ok(plain)
}

/// Whom `help kv get` asks about: what follows, as far as it names commands.
fn help_path(command: &clap::Command, mut path: Vec<String>, words: impl Iterator<Item = String>) -> Vec<String> {
    let mut command = command;
    for word in words {
        match command.find_subcommand(&word) {
            Some(sub) => command = sub,
            None => break,
        }
        path.push(word);
    }
    path
}

/// From here on everything is positional. What looks like a flag all the same is pointed out.
fn break_off(plain: &mut Vec<String>, rest: impl Iterator<Item = String>, first: Option<String>) {
    let told = first.is_some();
    let rest: Vec<String> = first.into_iter().chain(rest).collect();
    let flags: Vec<&str> = rest.iter().filter(|arg| looks_like_flag(arg)).map(String::as_str).collect();
    if told && !flags.is_empty() {
        output::err(&format!(
            "Command flags must be provided before positional arguments. The following arguments will not be parsed as \
             flags: [{}]",
            flags.join(",")
        ));
    }
    plain.push("--".to_string());
    plain.extend(rest);
}

/// The last `-format` among words that are no flags any more: it counts all the same, as the peers have it.
fn late_format(rest: &[String]) -> Option<String> {
    let own = rest.iter().take_while(|arg| *arg != "--");
    let format = |arg: &String| arg.trim_start_matches('-').strip_prefix("format=").map(String::from);
    own.filter(|arg| arg.starts_with('-')).filter_map(format).last().map(|format| format!("--format={format}"))
}

/// The peers look for a few flags everywhere, so that they do not warn of these.
fn looks_like_flag(arg: &str) -> bool {
    let name = arg.trim_start_matches('-').split('=').next().unwrap_or_default();
    arg.len() > 1
        && arg.starts_with('-')
        && !matches!(name, "format" | "output-curl-string" | "output-policy" | "non-interactive" | "detailed")
}

fn rewrite_flag(
    command: &clap::Command,
    flag: &str,
    rest: &mut impl Iterator<Item = String>,
) -> Result<Option<String>, String> {
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value.to_string())),
        None => (flag, None),
    };
    let arg = find(command, name).ok_or_else(|| {
        let flags = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long);
        near::hint(format!("flag provided but not defined: -{name}"), name, "-", flags)
    })?;
    let long = arg.get_long().unwrap_or(name);
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        let on = value.as_deref().map_or(Ok(true), boolean).map_err(|reason| {
            format!("invalid boolean value {:?} for -{name}: {reason}", value.as_deref().unwrap_or(""))
        })?;
        return Ok(on.then(|| format!("--{long}")));
    }
    let optional = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
    match value {
        Some(value) => Ok(Some(format!("--{long}={value}"))),
        None if optional => Ok(Some(format!("--{long}"))),
        None => match rest.next() {
            Some(value) => Ok(Some(format!("--{long}={value}"))),
            None => Err(format!("flag needs an argument: -{name}")),
        },
    }
}

/// The flag of a command that has this name or alias.
pub fn find<'a>(command: &'a clap::Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
    })
}

/// A value that clap's parsers refused, as Go words it.
fn describe(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let (flag, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
    let reason = std::error::Error::source(error).map(ToString::to_string);
    match (flag.split([' ', '=', '[']).next(), reason) {
        (Some(flag), Some(reason)) if !flag.is_empty() => {
            format!("invalid value {value:?} for flag {}: {reason}", flag.replacen("--", "-", 1))
        }
        _ => error.to_string().trim_end().to_string(),
    }
}

/// A duration flag: `30s`, `5m`, `1h30m`, `30d`, or seconds.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::duration::parse(text).ok_or_else(|| format!("time: invalid duration {text:?}"))
}

/// An integer flag.
pub fn integer(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

/// An integer flag that is not negative.
pub fn unsigned(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
}

/// A switch's value.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// A `key=value` flag.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("missing = in KV pair: {text:?}"))?;
    Ok((key.to_string(), value.to_string()))
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(line: &str) -> String {
        let mut root = Cli::command();
        root.build();
        match rewrite(&root, words(line)) {
            Ok(plain) => plain[1..].join(" "),
            Err(invocation) => format!("{invocation:?}"),
        }
    }

    #[test]
    fn rewrites_flags() {
        assert_eq!(plain("operator init -key-shares=5 -t 3"), "operator init --key-shares=5 --key-threshold=3");
        assert_eq!(plain("write -f sys/rotate"), "write --force -- sys/rotate");
        assert_eq!(plain("write --force=true a b=-1 -f"), "write --force -- a b=-1 -f");
        assert_eq!(plain("write -force=false a"), "write -- a");
        assert_eq!(plain("kv put -cas -1 secret/a k=-"), "kv put --cas=-1 -- secret/a k=-");
        assert_eq!(plain("policy write p -"), "policy write -- p -");
        assert_eq!(plain("read -- -x"), "read -- -x");
        assert_eq!(plain("token create -renewable=false -policy a"), "token create --renewable=false --policy=a");
        assert_eq!(plain("read a -format=json"), "read --format=json -- a -format=json");
        assert_eq!(plain("kv put a format=json -- -format=x"), "kv put -- a format=json -- -format=x");
        assert_eq!(plain("read -field data -ns a x"), "read --field=data --namespace=a -- x");
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(plain("token create -foo"), r#"Failed("flag provided but not defined: -foo")"#);
        assert_eq!(plain("read -field"), r#"Failed("flag needs an argument: -field")"#);
        assert!(plain("write -force=maybe a").contains("invalid boolean value"));
        assert_eq!(plain("kv gte"), r#"Incomplete { path: ["kv"], unknown: Some("gte") }"#);
        for (line, path) in [
            ("kv put -h", r#"["kv", "put"]"#),
            ("kv put secret/a -cas=x --help", r#"["kv", "put"]"#),
            ("-h", "[]"),
            ("help", "[]"),
            ("help kv put x", r#"["kv", "put"]"#),
            ("kv help put", r#"["kv", "put"]"#),
            ("-help kv", r#"["kv"]"#),
            ("kv nope -h", r#"["kv"]"#),
        ] {
            assert_eq!(plain(line), format!("Help({path})"), "{line}");
        }
        assert_eq!(plain("read -- -h"), "read -- -h");
        let near = |line: &str| plain(line).contains("Did you mean");
        assert!(near("read -fromat=json x") && near("kv put -case=1 a b=c") && !near("read -xyz a"));
        let failed = |line: &str| match parse(words(line)) {
            Invocation::Failed(message) => message,
            other => format!("{other:?}"),
        };
        let text = "invalid value \"foo\" for flag -ttl: time: invalid duration \"foo\"";
        assert_eq!(failed("token create -ttl=foo"), text);
        let text = "invalid value \"x\" for flag -cas: strconv.ParseInt: parsing \"x\": invalid syntax";
        assert_eq!(failed("kv put -cas=x a b=c"), text);
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    proptest::proptest! {
        #[test]
        fn never_panics(args in proptest::collection::vec("-{0,2}(kv|put|cas|=|[a-z]{0,3}|.{0,4}){0,3}", 0..6)) {
            let _ = parse(args);
        }
    }
}
