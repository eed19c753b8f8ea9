//! The auth methods that `login` knows, as data: their parameters, and the text that `auth help` prints.

use crate::cli::env::Brand;
use crate::cli::output::wrap;

/// One auth method.
#[derive(Debug)]
pub struct Method {
    /// Its type, and by default its path.
    pub name: &'static str,
    about: &'static str,
    /// What a log-in is for, and the words after the program's name.
    examples: &'static [(&'static str, &'static str)],
    /// Parameters, each with its type and what it is.
    settings: &'static [(&'static str, &'static str)],
}

/// The method of this type.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

impl Method {
    /// How to log in by it.
    pub fn help(&self, brand: &Brand) -> String {
        let program = &brand.program;
        let usage = match self.name {
            "token" => "login TOKEN [CONFIG K=V...]".to_string(),
            name => format!("login -method={name} [CONFIG K=V...]"),
        };
        let mut text = format!("Usage: {program} {usage}\n\n{}\n", wrap(self.about, 2));
        for (what, line) in self.examples {
            text.push_str(&format!("\n  {what}:\n\n      $ {program} {line}\n"));
        }
        text.push_str("\nConfiguration:\n");
        for (name, what) in self.settings {
            text.push_str(&format!("\n  {name}\n{}\n", wrap(what, 6)));
        }
        text.trim_end().to_string()
    }
}

const ROLE: (&str, &str) = ("role=<string>", "Name of the role to log in with.");
const USERNAME: (&str, &str) =
    ("username=<string>", "Who logs in. Without it the environment's LOGNAME or USER is taken.");
const PASSWORD: (&str, &str) = ("password=<string>", "The password. Without it the terminal is asked.");

/// All that `login` knows.
pub static METHODS: &[Method] = &[
    Method {
        name: "token",
        about: "Logs in with a token that exists already. The token is looked up, so that a wrong one is told at once, and \
                kept for the next commands.",
        examples: &[
            ("With a token as the argument", "login s.3jnbMAKl1i4YS3QoKdbHzGXq"),
            ("Without looking it up", "login token=s.3jnbMAKl1i4YS3QoKdbHzGXq lookup=false"),
        ],
        settings: &[
            ("token=<string>", "The token; more often it is given without a key, or typed when asked for."),
            ("lookup=<bool>", "Whether to look the token up. The default is true."),
        ],
    },
    Method {
        name: "userpass",
        about: "Logs in with a name and a password that the server keeps.",
        examples: &[
            ("As sally, who types her password", "login -method=userpass username=sally"),
            ("As bob", "login -method=userpass username=bob password=secret"),
        ],
        settings: &[PASSWORD, USERNAME],
    },
    Method {
        name: "approle",
        about: "Logs in a machine with the id of its role and a secret id.",
        examples: &[("With both", "login -method=approle role_id=59d6d1ca secret_id=84896a0c")],
        settings: &[
            ("role_id=<string>", "The id of the role."),
            ("secret_id=<string>", "A secret id of that role, if the role asks for one."),
        ],
    },
    Method {
        name: "cert",
        about: "Logs in with the client certificate of the TLS connection. The flags -client-cert and -client-key, or the \
                variables of the same names, say which.",
        examples: &[
            (
                "With any role that trusts the certificate",
                "login -method=cert -client-cert=cert.pem -client-key=key.pem",
            ),
            ("With one role", "login -method=cert -client-cert=cert.pem -client-key=key.pem name=web"),
        ],
        settings: &[("name=<string>", "Name of the role to match; else all roles are tried.")],
    },
    Method {
        name: "jwt",
        about: "Logs in with a signed token (JWT) of an issuer that the server trusts.",
        examples: &[("With a role", "login -method=jwt role=dev jwt=@token.jwt")],
        settings: &[("jwt=<string>", "The signed token."), ROLE],
    },
    Method {
        name: "kubernetes",
        about: "Logs in with the token of a Kubernetes service account.",
        examples: &[("From inside a pod", "login -method=kubernetes role=dev jwt=@token")],
        settings: &[("jwt=<string>", "The service account's token."), ROLE],
    },
    Method {
        name: "ldap",
        about: "Logs in with the name and password of an LDAP directory.",
        examples: &[("As sally, who types her password", "login -method=ldap username=sally")],
        settings: &[PASSWORD, USERNAME],
    },
    Method {
        name: "radius",
        about: "Logs in with the name and password of a RADIUS server.",
        examples: &[("As sally, who types her password", "login -method=radius username=sally")],
        settings: &[PASSWORD, USERNAME],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Invocation, parse};

    #[test]
    fn examples_are_commands() {
        for (_, line) in METHODS.iter().flat_map(|method| method.examples) {
            let parsed = parse(line.split(' ').map(str::to_string).collect());
            assert!(matches!(parsed, Invocation::Run(_)), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn help_reads_as_the_peers() {
        let brand = Brand::of_program(std::ffi::OsStr::new("vault"));
        let text = find("userpass").unwrap().help(&brand);
        assert!(text.starts_with("Usage: vault login -method=userpass [CONFIG K=V...]\n\n  Logs in"), "{text}");
        assert!(text.contains("\n      $ vault login -method=userpass username=sally\n"), "{text}");
        assert!(text.contains("\nConfiguration:\n\n  password=<string>\n      The password."), "{text}");
    }
}
