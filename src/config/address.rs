//! Addresses as operators write them.

use std::fmt;
use std::net::IpAddr;

/// A host (name or IP address, without brackets) and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    /// Whether by TLS.
    pub tls: bool,
    /// Where.
    pub at: HostPort,
}

/// A network, such as `10.0.0.0/8`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl HostPort {
    /// Parses `host:port`, `[v6]:port`, and with a `default_port` also without one.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<HostPort, String> {
        if text.contains("{{") {
            return Err("an address template ({{ ... }}) cannot stand here: write the address itself".to_string());
        }
        let expected = || format!("expected HOST:PORT, got {text:?}");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(expected)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| expected())?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(expected)?) })
            }
            None => match text.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => Some(port.parse().map_err(|_| format!("{port:?} is not a port in {text:?}"))?),
            None => default_port,
        };
        let is_name = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        if host.is_empty() || !(is_name || host.parse::<IpAddr>().is_ok()) {
            return Err(expected());
        }
        Ok(HostPort { host: host.to_string(), port: port.ok_or_else(expected)? })
    }

    /// Whether only this machine is reached by it.
    pub fn is_loopback(&self) -> bool {
        match self.ip() {
            Some(ip) => ip.is_loopback(),
            None => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// Whether it means all interfaces (`0.0.0.0`, `::`).
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// The address with the next port; `None` past the last. Port 0, which stands for any free one, stays.
    pub fn next_port(&self) -> Option<HostPort> {
        let port = if self.port == 0 { 0 } else { self.port.checked_add(1)? };
        Some(HostPort { host: self.host.clone(), port })
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }
}

impl Url {
    /// Parses a URL of scheme `http` or `https`, host and port; without a port it is 80 or 443. A path other than `/` is
    /// refused.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str) -> Result<Url, String> {
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(format!("expected http://HOST:PORT or https://HOST:PORT, got {text:?}")),
        };
        let at = HostPort::parse(rest.strip_suffix('/').unwrap_or(rest), Some(if tls { 443 } else { 80 }))?;
        Ok(Url { tls, at })
    }
}

impl Cidr {
    /// Parses `ADDRESS` or `ADDRESS/PREFIX`.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let bits = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Cidr { address, prefix })
    }

    /// Whether an address is in it. An IPv4 address mapped into IPv6 counts as the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| {
            let shift = bits - u32::from(self.prefix);
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_addresses_as_they_are_written() {
        for (text, shown) in [
            ("[::]:8200", "[::]:8200"),
            ("0.0.0.0:8200", "0.0.0.0:8200"),
            ("vault-1.internal:1", "vault-1.internal:1"),
            ("localhost", "localhost:99"),
            ("::1", "[::1]:99"),
            ("[::1]", "[::1]:99"),
        ] {
            assert_eq!(HostPort::parse(text, Some(99)).unwrap().to_string(), shown);
        }
        for bad in
            ["", ":8200", "a:b", "a:70000", "[::1", "[a]:1", "[::1]x", "a b:1", "a/b:1", "{{ GetPrivateIP }}:8200"]
        {
            assert!(HostPort::parse(bad, Some(99)).is_err(), "{bad}");
        }
        assert!(HostPort::parse("a", None).is_err());
        for (text, shown) in
            [("https://a", "https://a:443"), ("http://[::1]:8200/", "http://[::1]:8200"), ("http://a", "http://a:80")]
        {
            assert_eq!(Url::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["a:1", "ftp://a", "https://", "https://a/b", "https://u@a", "https://a?b"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn knows_loopback_and_all_interfaces() {
        let at = |text| HostPort::parse(text, Some(1)).unwrap();
        for text in ["127.0.0.1", "127.3.2.1", "::1", "localhost", "a.localhost", "::ffff:127.0.0.1"] {
            assert!(at(text).is_loopback(), "{text}");
        }
        for text in ["10.0.0.1", "a", "localhost.example", "0.0.0.0"] {
            assert!(!at(text).is_loopback(), "{text}");
        }
        assert!(at("0.0.0.0").is_unspecified() && at("::").is_unspecified() && !at("a").is_unspecified());
    }

    #[test]
    fn networks_contain_addresses() {
        for (network, ip, inside) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4", "1.2.3.5", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "fe80::1", true),
            ("::/0", "1.2.3.4", false),
        ] {
            assert_eq!(Cidr::parse(network).unwrap().contains(ip.parse().unwrap()), inside, "{network} {ip}");
        }
        for bad in ["", "x", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3/8"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_to_the_same(text in "\\PC{0,20}") {
            if let Ok(address) = HostPort::parse(&text, Some(1)) {
                prop_assert_eq!(HostPort::parse(&address.to_string(), None), Ok(address));
            }
        }
    }
}
