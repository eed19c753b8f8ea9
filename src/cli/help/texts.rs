//! What each command does, with examples. Each example is a command line that the program understands; a test parses them.

use super::texts_stores::{KV, LEASE, OPERATOR, POLICY, SECRETS};

/// The text of a command.
#[derive(Debug)]
pub struct Text {
    /// The command's words; empty for the program itself.
    pub path: &'static str,
    /// Paragraphs, divided by a line end.
    pub about: &'static str,
    /// What an example does, and its command line without the program's name.
    pub examples: &'static [(&'static str, &'static str)],
}

pub(super) const fn text(
    path: &'static str,
    about: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Text {
    Text { path, about, examples }
}

/// All texts, ordered as the commands.
pub static TEXTS: &[&[Text]] = &[DATA, AUTH, KV, LEASE, OPERATOR, POLICY, SECRETS, TOKEN, PROGRAM];

const DATA: &[Text] = &[
    text(
        "read",
        "Reads what is at a path of the API: a secret, a configuration, newly made credentials. Words key=value after the \
         path become parameters of the request.\n\
         Without anything at the path the exit code is 2.",
        &[
            ("Read a secret of the token's own cubbyhole", "read cubbyhole/note"),
            ("Print one field, for scripts", "read -field=password cubbyhole/note"),
            ("Read an old version through the plain API", "read secret/data/app version=2"),
        ],
    ),
    text(
        "write",
        "Writes key=value pairs to a path of the API. A value @FILE is read from a file, a value - from standard input, and \
         \\@ begins a value that really starts with @. A word without a key, @FILE or -, is a whole JSON object. A key given \
         several times becomes a list.",
        &[
            ("Write two keys", "write cubbyhole/note user=ann password=secret"),
            ("Take a value from a file", "write cubbyhole/key pem=@key.pem"),
            ("Write a JSON object from standard input", "write cubbyhole/note -"),
            ("Write to a path that takes no data", "write -force sys/rotate"),
        ],
    ),
    text(
        "patch",
        "Changes the given keys at a path and leaves the others as they are, by a JSON merge patch. Data is given as for \
         `write`. Not every path can be patched; for secrets of a KV store `kv patch` is easier.",
        &[
            ("Change one setting", "patch secret/metadata/app max_versions=5"),
            ("Change what a file holds", "patch secret/data/app @change.json"),
        ],
    ),
    text(
        "delete",
        "Deletes what is at a path of the API. What that means is the path's affair: a KV store of version 2 only marks the \
         newest version. It is no error if there is nothing.",
        &[("Delete a secret", "delete cubbyhole/note"), ("Remove a mount's user", "delete auth/userpass/users/ann")],
    ),
    text(
        "list",
        "Lists the names at a path of the API, folders with a slash at their end. Without any the exit code is 2.",
        &[
            ("List the secrets of the cubbyhole", "list cubbyhole"),
            ("List in pages, where the path can", "list -after=app -limit=100 secret/metadata"),
        ],
    ),
    text(
        "scan",
        "Lists all names below a path of the API, however deep. Not every engine can.",
        &[("List all secrets of a KV store", "scan secret/metadata"), ("As JSON", "scan -format=json secret/metadata")],
    ),
    text(
        "unwrap",
        "Gives back what a wrapping token holds. That works once: if somebody else was first, the token is gone. Without an \
         argument the token in use is taken for the wrapping token.",
        &[
            ("Unwrap and print", "unwrap hvs.CAESIAbc"),
            ("Print one field of what is inside", "unwrap -field=token hvs.CAESIAbc"),
        ],
    ),
    text(
        "path-help",
        "Prints what the server says of a path: what it does and which parameters it takes. For a mount it lists the paths \
         inside. With -format=json it is an OpenAPI document.",
        &[
            ("What a mount can do", "path-help secret"),
            ("What a path takes", "path-help auth/token/create"),
            ("The same for programs", "path-help -format=json sys/mounts"),
        ],
    ),
];

const AUTH: &[Text] = &[
    text(
        "auth",
        "This command groups what is done with auth methods: who may log in, and how. To log in, use `login`.",
        &[
            ("List what is enabled", "auth list"),
            ("Enable log-ins by name and password", "auth enable userpass"),
            ("How to log in by a method", "auth help userpass"),
        ],
    ),
    text(
        "auth disable",
        "Disables the auth method at a path. All tokens that were made through it are revoked and its configuration is \
         deleted; there is no way back. The argument is the path, not the type.",
        &[("Disable what is at auth/userpass/", "auth disable userpass/")],
    ),
    text(
        "auth enable",
        "Enables an auth method below auth/. Its path is its type unless -path says otherwise, so that one type can be \
         enabled several times.",
        &[
            ("Enable log-ins by name and password", "auth enable userpass"),
            ("Again, at another path", "auth enable -path=staff -description=\"people\" userpass"),
            ("With tokens that live an hour", "auth enable -default-lease-ttl=1h -max-lease-ttl=4h approle"),
        ],
    ),
    text(
        "auth help",
        "Prints how to log in by an auth method, and with which parameters. The argument is a type that this program knows, \
         or the path of an enabled method.",
        &[("By type", "auth help userpass"), ("By path", "auth help staff/")],
    ),
    text(
        "auth list",
        "Lists the enabled auth methods. A lifetime \"system\" is the server's default.",
        &[("List them", "auth list"), ("With their settings", "auth list -detailed")],
    ),
    text(
        "auth move",
        "Moves an auth method to another path and waits until that is done. Its configuration comes along; its tokens are \
         revoked. The word auth/ before the paths may be left out.",
        &[("Move auth/userpass/ to auth/staff/", "auth move userpass staff")],
    ),
    text(
        "auth tune",
        "Changes settings of the auth method at a path. What is not given stays as it is. A negative lifetime stands for \
         the server's default. The argument is the path, not the type.",
        &[
            ("Change the lifetime of new tokens", "auth tune -default-lease-ttl=72h userpass/"),
            ("Lock users out after three failures", "auth tune -user-lockout-threshold=3 userpass"),
        ],
    ),
    text(
        "login",
        "Logs in and keeps the token for the next commands, in a file of the home directory that only its owner can read. \
         Without arguments the token is asked for on the terminal; a single argument is the token, and - reads it from \
         standard input. Other methods take key=value pairs; see `auth help`.",
        &[
            ("With a token that is asked for", "login"),
            ("With name and password", "login -method=userpass username=ann"),
            ("With a method at another path", "login -method=userpass -path=staff username=ann"),
            (
                "Print the token and keep nothing, for scripts",
                "login -token-only -method=userpass username=ann password=x",
            ),
        ],
    ),
];

const TOKEN: &[Text] = &[
    text(
        "token",
        "This command groups what is done with tokens: create, look up, renew and revoke them.",
        &[
            ("Create one", "token create -policy=app -ttl=1h"),
            ("Who am I", "token lookup"),
            ("Revoke one", "token revoke s.abc"),
        ],
    ),
    text(
        "token capabilities",
        "Prints what a token may do with a path; the token in use if none is given.",
        &[
            ("Of the token in use", "token capabilities secret/data/app"),
            ("Of another", "token capabilities s.abc cubbyhole/a"),
        ],
    ),
    text(
        "token create",
        "Creates a token. It is a child of the token in use and dies with it, unless it is an orphan; it has the same \
         policies unless others are given.",
        &[
            ("With one policy, for an hour", "token create -policy=app -ttl=1h"),
            ("Renewable for ever", "token create -policy=app -period=24h"),
            ("For five uses", "token create -policy=app -use-limit=5"),
            ("By a role", "token create -role=ci"),
        ],
    ),
    text(
        "token lookup",
        "Displays what is known of a token: its policies, its lifetime, where it came from. An accessor finds a token \
         without being one.",
        &[
            ("The token in use", "token lookup"),
            ("Another", "token lookup s.abc"),
            ("By accessor", "token lookup -accessor 9793c9b3"),
        ],
    ),
    text(
        "token renew",
        "Renews a token, as far as the server allows.",
        &[
            ("The token in use", "token renew"),
            ("Another, by an hour", "token renew -increment=1h s.abc"),
            ("By accessor", "token renew -accessor 9793c9b3"),
        ],
    ),
    text(
        "token revoke",
        "Revokes a token and all its children; with -mode=orphan the children stay.",
        &[
            ("One token and its children", "token revoke s.abc"),
            ("The token in use", "token revoke -self"),
            ("By accessor", "token revoke -accessor 9793c9b3"),
            ("All that were made at a path", "token revoke -mode=path auth/userpass"),
        ],
    ),
];

const PROGRAM: &[Text] = &[
    text("", "A highly available secrets server that speaks the Vault HTTP API, and its client.", &[]),
    text(
        "completion",
        "Prints a script that completes commands and flags in a shell, or installs it for this user. Without an argument \
         it is for the shell that SHELL names.",
        &[
            ("Install it", "completion -install"),
            ("Print it for bash", "completion bash"),
            ("Remove it", "completion -uninstall"),
        ],
    ),
    text(
        "print",
        "This command groups what can be said of this client itself.",
        &[("The token in use", "print token")],
    ),
    text(
        "print token",
        "Prints the token that commands use: that of the environment, else the one that `login` kept.",
        &[("Print it", "print token")],
    ),
    text(
        "server",
        "Starts a server and runs until it is told to stop. It is configured by files; SIGHUP makes it read them again.",
        &[
            ("With a configuration", "server -config=/etc/vault.d/vault.hcl"),
            ("To play with: nothing is kept", "server -dev -dev-root-token-id=root"),
        ],
    ),
    text(
        "status",
        "Prints whether the server is initialized and unsealed, and its part in the cluster.\n\
         The exit code is 0 if it is unsealed, 2 if it is sealed, 1 if it cannot be asked.",
        &[("Print it", "status"), ("For programs", "status -format=json")],
    ),
    text("version", "Prints the version of this program.", &[("Print it", "version")]),
    text(
        "version-history",
        "Prints which versions the server has run, and since when.",
        &[("Print them", "version-history")],
    ),
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::{Cli, Invocation, parse};

    fn walk(command: &clap::Command, path: &mut Vec<String>, seen: &mut impl FnMut(&clap::Command, String)) {
        seen(command, path.join(" "));
        for sub in command.get_subcommands() {
            path.push(sub.get_name().to_string());
            walk(sub, path, seen);
            path.pop();
        }
    }

    #[test]
    fn every_command_is_described() {
        let mut root = Cli::command();
        root.build();
        let mut paths = Vec::new();
        walk(&root, &mut Vec::new(), &mut |command, path| {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                assert!(arg.get_help().is_some_and(|help| !help.to_string().is_empty()), "{path} {}", arg.get_id());
            }
            assert!(path.is_empty() || command.get_about().is_some(), "{path} has no line of its own");
            paths.push(path);
        });
        let mut known: Vec<&str> = TEXTS.iter().flat_map(|texts| texts.iter()).map(|text| text.path).collect();
        paths.sort();
        known.sort_unstable();
        assert_eq!(paths, known);
    }

    /// Words as a shell splits them.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for letter in line.chars() {
            match letter {
                '"' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                letter => words.last_mut().unwrap().push(letter),
            }
        }
        words
    }

    #[test]
    fn every_example_is_a_command_of_its_kind() {
        for text in TEXTS.iter().flat_map(|texts| texts.iter()) {
            assert!(text.path.is_empty() || !text.examples.is_empty(), "{}", text.path);
            for (what, line) in text.examples {
                assert!(line.starts_with(text.path), "{line}");
                assert!(what.starts_with(char::is_uppercase) && !what.ends_with('.'), "{what}");
                let parsed = parse(words(line));
                assert!(matches!(parsed, Invocation::Run(_)), "{line}: {parsed:?}");
            }
        }
    }
}
