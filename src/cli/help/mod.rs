//! Help as the peers lay it out: usage, what it does, options with one dash under their headings.

pub mod texts;
mod texts_stores;

use clap::{ArgAction, CommandFactory};

use super::args::Cli;
use super::env::Brand;
use super::near;
use super::output::wrap;

/// The help of the command at `path`.
pub fn text(path: &[String], brand: &Brand) -> String {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    for name in path {
        match command.find_subcommand(name) {
            Some(sub) => command = sub,
            None => break,
        }
    }
    let full = std::iter::once(brand.program.as_str()).chain(path.iter().map(String::as_str)).collect::<Vec<_>>();
    let full = full.join(" ");
    let what = describe(&path.join(" "), brand);
    let text = match command.has_subcommands() {
        true => group(command, &full, &what, path.is_empty()),
        false => leaf(command, &full, &what),
    };
    // Variables go by the name that this program reads first.
    text.replace("VAULT_", brand.prefix)
}

/// The help after a command line that names no command, with the nearest name to what it says.
pub fn incomplete(path: &[String], unknown: Option<&str>, brand: &Brand) -> String {
    let help = text(path, brand);
    let Some(unknown) = unknown else {
        return help;
    };
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    for name in path {
        command = command.find_subcommand(name).unwrap_or(command);
    }
    match near::nearest(unknown, command.get_subcommands().map(clap::Command::get_name)) {
        Some(name) => format!("Unknown command {unknown:?}. Did you mean {name:?}?\n\n{help}"),
        None => format!("Unknown command {unknown:?}.\n\n{help}"),
    }
}

/// What a command does, with its examples.
fn describe(path: &str, brand: &Brand) -> String {
    let Some(known) = texts::TEXTS.iter().flat_map(|texts| texts.iter()).find(|text| text.path == path) else {
        return String::new();
    };
    let mut text = known.about.split('\n').map(|part| wrap(part, 2)).collect::<Vec<_>>().join("\n\n");
    for (what, line) in known.examples {
        text.push_str(&format!("\n\n{}\n\n      $ {} {line}", wrap(&format!("{what}:"), 2), brand.program));
    }
    text
}

fn group(command: &clap::Command, full: &str, what: &str, root: bool) -> String {
    let usage = if root { "<command> [args]" } else { "<subcommand> [options] [args]" };
    let mut text = format!("Usage: {full} {usage}\n\n{what}\n");
    let subs: Vec<_> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    let width = subs.iter().map(|sub| sub.get_name().len()).max().unwrap_or(0) + 4;
    let line = |sub: &&clap::Command| {
        let short = sub.get_about().map(ToString::to_string).unwrap_or_default();
        format!("    {:width$}{}", sub.get_name(), short.trim_end_matches('.'))
    };
    if !root {
        let lines: Vec<String> = subs.iter().map(line).collect();
        text.push_str(&format!("\nSubcommands:\n{}", lines.join("\n")));
        return text;
    }
    let (common, other): (Vec<_>, Vec<_>) = subs.iter().partition(|sub| COMMON.contains(&sub.get_name()));
    for (title, subs) in [("Common commands", common), ("Other commands", other)] {
        let lines: Vec<String> = subs.into_iter().map(line).collect();
        text.push_str(&format!("\n{title}:\n{}\n", lines.join("\n")));
    }
    text.trim_end().to_string()
}

fn leaf(command: &clap::Command, full: &str, what: &str) -> String {
    let positional = command.get_positionals().find(|arg| !arg.is_hide_set());
    let positional = positional.and_then(|arg| arg.get_value_names()?.first().map(ToString::to_string));
    let usage = positional.map_or_else(String::new, |names| format!(" {names}"));
    let mut text = format!("Usage: {full} [options]{usage}\n\n{what}\n");
    let mut headings: Vec<&str> = Vec::new();
    let flags: Vec<_> = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).collect();
    for flag in &flags {
        let heading = flag.get_help_heading().unwrap_or(COMMAND);
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    headings.sort_by_key(|heading| *heading == COMMAND);
    for heading in headings {
        text.push_str(&format!("\n{heading}:\n"));
        let mut of_heading: Vec<_> =
            flags.iter().filter(|flag| flag.get_help_heading().unwrap_or(COMMAND) == heading).collect();
        of_heading.sort_by_key(|flag| flag.get_long());
        for flag in of_heading {
            let name = flag.get_long().unwrap_or_default();
            let value = flag.get_value_names().and_then(|names| names.first());
            let switch = matches!(flag.get_action(), ArgAction::SetTrue);
            let value = value.filter(|_| !switch).map_or_else(String::new, |name| format!("=<{name}>"));
            let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
            let aliases: Vec<String> =
                flag.get_all_aliases().unwrap_or_default().iter().map(|a| format!("-{a}")).collect();
            let also = if aliases.is_empty() { String::new() } else { format!(" Short: {}.", aliases.join(", ")) };
            let help = format!("{}.{also}", help.trim_end_matches('.'));
            text.push_str(&format!("\n  -{name}{value}\n{}\n", wrap(&help, 6)));
        }
    }
    text.trim_end().to_string()
}

const COMMAND: &str = "Command Options";
const COMMON: [&str; 8] = ["read", "write", "delete", "list", "login", "server", "status", "unwrap"];

#[cfg(test)]
mod tests {
    use super::*;

    fn brand(name: &str) -> Brand {
        Brand::of_program(std::ffi::OsStr::new(name))
    }

    #[test]
    fn a_command_reads_as_the_peers() {
        let path = ["kv".to_string(), "rollback".to_string()];
        let help = text(&path, &brand("bao"));
        let start = "Usage: bao kv rollback [options] KEY\n\n  Writes an older version again as the newest one. The version \
                     must not be\n  deleted or destroyed.\n\n  Back to version 2:\n\n      $ bao kv rollback -mount=secret \
                     -version=2 app\n\nHTTP Options:\n\n  -address=<string>\n      Address of the server.";
        assert!(help.starts_with(start), "{help}");
        assert!(help.contains("BAO_ADDR") && !help.contains("VAULT_"), "{help}");
        let end = "Command Options:\n\n  -mount=<string>\n";
        assert!(help.contains(end), "{help}");
    }

    #[test]
    fn a_group_lists_its_commands() {
        let help = text(&["lease".to_string()], &brand("vault"));
        assert!(
            help.starts_with("Usage: vault lease <subcommand> [options] [args]\n\n  This command groups"),
            "{help}"
        );
        assert!(help.ends_with("    revoke    Revoke leases and what they stand for"), "{help}");
        let help = text(&[], &brand("vault"));
        assert!(help.contains("\nCommon commands:\n    read") && help.contains("\nOther commands:\n"), "{help}");
    }

    #[test]
    fn the_nearest_command_is_named() {
        let help = incomplete(&["kv".to_string()], Some("gte"), &brand("vault"));
        assert!(help.starts_with("Unknown command \"gte\". Did you mean \"get\"?\n\nUsage: vault kv"), "{help}");
    }
}
