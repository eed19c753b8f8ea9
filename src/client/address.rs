//! Where a server is: `http://host:port`, `https://host:port`, `unix:///path/to/socket`.

/// A parsed server address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    target: Target,
    text: String,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// TCP, with or without TLS.
    Tcp {
        /// Whether TLS is spoken.
        tls: bool,
        /// Name or address, an IPv6 address without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A unix socket's path; never TLS.
    Unix(String),
}

impl Address {
    /// Parses an address; the error is the reason as Go's HTTP client words it. A path after the host is kept in the
    /// text only: the API lives at the root.
    pub fn parse(text: &str) -> Result<Address, String> {
        let trimmed = text.trim().trim_end_matches('/');
        let (scheme, rest) = trimmed.split_once("://").unwrap_or(("", trimmed));
        let target = match scheme.to_ascii_lowercase().as_str() {
            "http" => tcp(false, rest)?,
            "https" => tcp(true, rest)?,
            "unix" => Target::Unix(rest.to_string()),
            _ => return Err(format!("unsupported protocol scheme {scheme:?}")),
        };
        let text = match &target {
            Target::Unix(_) => "http://localhost".to_string(),
            Target::Tcp { .. } => trimmed.to_string(),
        };
        Ok(Address { target, text })
    }

    /// As it was given, without trailing slashes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What to connect to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        matches!(self.target, Target::Tcp { tls: true, .. })
    }

    /// `host:port` for the `Host` header and for [`crate::runtime::Network::connect`].
    pub fn authority(&self) -> String {
        match &self.target {
            Target::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port, .. } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_string(),
        }
    }

    /// Where a `Location` header leads: the address, and path with query.
    pub fn resolve(&self, location: &str) -> Option<(Address, String)> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some((self.clone(), location.to_string()));
        }
        let (scheme, rest) = location.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let address = Address::parse(&format!("{scheme}://{}", &rest[..end])).ok()?;
        let path = match &rest[end..] {
            path if path.starts_with('/') => path.to_string(),
            path => format!("/{path}"),
        };
        matches!(address.target, Target::Tcp { .. }).then_some((address, path))
    }
}

fn tcp(tls: bool, rest: &str) -> Result<Target, String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
    let default = if tls { 443 } else { 80 };
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or("missing ']' in host")?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("no Host in request URL".to_string());
    }
    let port = match port {
        None | Some("") => default,
        Some(port) => port.parse().map_err(|_| format!("invalid port {port:?} after host"))?,
    };
    Ok(Target::Tcp { tls, host: host.to_string(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_write() {
        let authority = |text: &str| Address::parse(text).map(|address| address.authority());
        assert_eq!(authority("http://127.0.0.1:8200/").as_deref(), Ok("127.0.0.1:8200"));
        assert_eq!(authority("https://vault").as_deref(), Ok("vault:443"));
        assert_eq!(authority("https://[::1]:8200").as_deref(), Ok("[::1]:8200"));
        assert_eq!(authority("HTTP://a/b/c").as_deref(), Ok("a:80"));
        assert_eq!(authority("foo"), Err("unsupported protocol scheme \"\"".to_string()));
        assert!(authority("http://").is_err());
        assert!(authority("http://a:99999").is_err());
        assert!(authority("http://[::1").is_err());
        let unix = Address::parse("unix:///run/vault.sock").map(|address| address.target().clone());
        assert_eq!(unix, Ok(Target::Unix("/run/vault.sock".to_string())));
    }

    #[test]
    fn resolves_redirects() {
        let from = Address::parse("https://a:8200").unwrap();
        let (to, path) = from.resolve("https://b:8200/v1/x?list=true").unwrap();
        assert_eq!((to.authority().as_str(), path.as_str()), ("b:8200", "/v1/x?list=true"));
        assert_eq!(from.resolve("/v1/y").unwrap().0, from);
        assert!(from.resolve("nowhere").is_none());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = Address::parse(&text);
            let _ = Address::parse("http://a").unwrap().resolve(&text);
        }
    }
}
