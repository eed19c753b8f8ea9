//! Which HTTP proxy a request goes through, by the rules that Go's clients follow.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::address::{Address, Target};

/// The proxies that settings name, each as `[http[s]://][user:password@]host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For every address, local ones included.
    pub all: Option<String>,
    /// For addresses without TLS.
    pub http: Option<String>,
    /// For addresses with TLS.
    pub https: Option<String>,
    /// Hosts, domains, addresses and networks that `http` and `https` are not for, divided by commas; `*` for all.
    pub except: String,
}

/// A proxy to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub address: Address,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<String>,
}

impl Proxies {
    /// The variables that curl, Go and others read: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, in capitals or not.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Proxies {
        let either = |name: &str| get(name).or_else(|| get(&name.to_lowercase()));
        // In a CGI program a request's header would become this variable.
        let http = either("HTTP_PROXY").filter(|_| get("REQUEST_METHOD").is_none());
        Proxies { all: None, http, https: either("HTTPS_PROXY"), except: either("NO_PROXY").unwrap_or_default() }
    }

    /// The proxy for an address, if it needs one; the error is the reason why there cannot be one.
    pub fn of(&self, address: &Address) -> Result<Option<Proxy>, String> {
        let Target::Tcp { tls, host, port } = address.target() else {
            return Ok(None);
        };
        let by_scheme = if *tls { &self.https } else { &self.http };
        let by_scheme = by_scheme.as_ref().filter(|_| !is_local(host) && !self.excepts(host, *port));
        self.all.as_ref().or(by_scheme).map(|text| Proxy::parse(text)).transpose()
    }

    fn excepts(&self, host: &str, port: u16) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        let host = host.to_ascii_lowercase();
        self.except.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
            let entry = entry.to_ascii_lowercase();
            if entry == "*" {
                return true;
            }
            if let (Some((network, bits)), Some(address)) = (entry.split_once('/'), address) {
                return in_network(address, network, bits);
            }
            let (name, only) = match entry.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse::<u16>().ok()),
                _ => (entry.as_str(), None),
            };
            let name = name.trim_start_matches('[').trim_end_matches(']');
            let named = match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
                Some(domain) => host.strip_suffix(domain).is_some_and(|start| start.ends_with('.')),
                None => host == name || host.strip_suffix(name).is_some_and(|start| start.ends_with('.')),
            };
            named && only.is_none_or(|only| only == port)
        })
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Proxy, String> {
        let text = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
        let address = Address::parse(&text).map_err(|reason| format!("invalid proxy address {text:?}: {reason}"))?;
        let authority = text.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        let user = authority.rsplit_once('@').map(|(user, _)| decode(user));
        Ok(Proxy { address, authorization: user.map(|user| format!("Basic {}", STANDARD.encode(user))) })
    }
}

fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let bits_of = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let ((network, longest), (address, width)) = (bits_of(network), bits_of(address));
    let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
    bits <= longest && longest == width && (network & mask) == (address & mask)
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|digits| hex::decode(digits).ok()).filter(|_| *first == b'%');
        rest = match code {
            Some(code) => {
                bytes.extend(code);
                &tail[2..]
            }
            None => {
                bytes.push(*first);
                tail
            }
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(proxies: &Proxies, address: &str) -> Option<String> {
        let proxy = proxies.of(&Address::parse(address).unwrap()).unwrap()?;
        Some(proxy.address.authority())
    }

    #[test]
    fn chooses_as_go() {
        let both = |except: &str| Proxies {
            http: Some("plain:3128".into()),
            https: Some("https://tls".into()),
            except: except.into(),
            ..Proxies::default()
        };
        for (except, address, proxy) in [
            ("", "http://a:8200", Some("plain:3128")),
            ("", "https://a:8200", Some("tls:443")),
            ("", "http://localhost:8200", None),
            ("", "http://127.1.2.3:8200", None),
            ("", "https://[::1]:8200", None),
            ("", "unix:///run/a", None),
            ("*", "http://a:8200", None),
            ("b, a", "http://a:8200", None),
            ("example.com", "http://x.example.com", None),
            ("example.com", "http://xexample.com", Some("plain:3128")),
            (".example.com", "http://example.com", Some("plain:3128")),
            (".example.com", "http://x.Example.com", None),
            ("a:8200", "http://a:8200", None),
            ("a:80", "http://a:8200", Some("plain:3128")),
            ("10.0.0.0/8", "http://10.1.2.3", None),
            ("10.0.0.0/8", "http://11.1.2.3", Some("plain:3128")),
            ("10.0.0.0/99", "http://10.1.2.3", Some("plain:3128")),
            ("fd00::/8", "http://[fd01::1]", None),
            ("10.1.2.3", "http://10.1.2.3", None),
            ("::ffff/x,,:,[", "http://a", Some("plain:3128")),
        ] {
            assert_eq!(chosen(&both(except), address).as_deref(), proxy, "{address} without {except}");
        }
        let all = Proxies { all: Some("http://u%40:p@all:1".into()), ..both("*") };
        assert_eq!(chosen(&all, "http://localhost").as_deref(), Some("all:1"));
        let proxy = all.of(&Address::parse("http://a").unwrap()).unwrap().unwrap();
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dUA6cA=="));
        let bad = Proxies { all: Some("socks5://a".into()), ..Proxies::default() };
        assert!(bad.of(&Address::parse("http://a").unwrap()).is_err());
    }

    #[test]
    fn reads_the_usual_variables() {
        let get = |name: &str| match name {
            "http_proxy" => Some("a".to_string()),
            "HTTPS_PROXY" => Some("b".to_string()),
            _ => None,
        };
        let expected = Proxies { http: Some("a".into()), https: Some("b".into()), ..Proxies::default() };
        assert_eq!(Proxies::from_env(get), expected);
    }
}
