//! What a client is made from, and how the environment sets it.

use std::path::PathBuf;
use std::time::Duration;

use super::proxy::Proxies;
use super::rate::RateLimit;
use crate::secret::Secret;

/// Settings of a [`super::Client`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `http://`, `https://` or `unix://`.
    pub address: String,
    /// Sent as `X-Vault-Token`; empty: none.
    pub token: Secret,
    /// Sent as `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// Sent as `X-Vault-Wrap-Ttl`.
    pub wrap_ttl: Option<String>,
    /// Sent as `X-Vault-Mfa`, one header each.
    pub mfa: Vec<String>,
    /// Sent as `X-Vault-Policy-Override`.
    pub policy_override: bool,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// How the server is verified and the client identified.
    pub tls: TlsFiles,
    /// For one request with all its retries.
    pub timeout: Duration,
    /// How often a request is repeated (see [`super`]).
    pub max_retries: u32,
    /// Pause before the first repetition, without what the server asks for; the second is twice as long. Up to half of it
    /// is added at random.
    pub retry_wait: Duration,
    /// Do not follow redirects.
    pub disable_redirects: bool,
    /// HTTP proxies to go through.
    pub proxies: Proxies,
    /// How many requests are sent a second.
    pub rate_limit: Option<RateLimit>,
}

/// TLS material, by file or inline. Files are read through the runtime's disk at the first TLS connection.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// PEM file of trusted certificates; before `ca_path`.
    pub ca_cert: Option<PathBuf>,
    /// Trusted certificates, PEM; before `ca_cert`.
    pub ca_cert_bytes: Option<Vec<u8>>,
    /// Directory of PEM files of trusted certificates.
    pub ca_path: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub client_cert: Option<PathBuf>,
    /// PEM file of the client's private key.
    pub client_key: Option<PathBuf>,
    /// The client's certificate chain and private key, PEM; before the files.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// Name to ask for and to verify instead of the address's host.
    pub server_name: Option<String>,
    /// Verify nothing.
    pub skip_verify: bool,
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig {
            address: "https://127.0.0.1:8200".to_string(),
            token: Secret::default(),
            namespace: None,
            wrap_ttl: None,
            mfa: Vec::new(),
            policy_override: false,
            headers: Vec::new(),
            tls: TlsFiles::default(),
            timeout: Duration::from_secs(60),
            max_retries: 2,
            retry_wait: Duration::from_secs(1),
            disable_redirects: false,
            proxies: Proxies::default(),
            rate_limit: None,
        }
    }
}

impl ClientConfig {
    /// A configuration for `address`, else default.
    pub fn at(address: impl Into<String>) -> ClientConfig {
        ClientConfig { address: address.into(), ..ClientConfig::default() }
    }

    /// Reads the client's variables. `get("ADDR")` is to return the whole name and the value of whichever spelling of the
    /// variable counts (see [`crate::cli::env`]). The error names the variable.
    pub fn from_env(get: impl Fn(&str) -> Option<(String, String)>) -> Result<ClientConfig, String> {
        let text = |name: &str| get(name).map(|(_, value)| value);
        let mut config = ClientConfig::default();
        if let Some(address) = text("AGENT_ADDR").or_else(|| text("ADDR")) {
            config.address = address;
        }
        if let Some(token) = text("TOKEN") {
            config.token = Secret::from(token.as_str());
        }
        config.namespace = text("NAMESPACE");
        // What cannot be understood is for the server to refuse.
        config.wrap_ttl = text("WRAP_TTL").map(|text| match crate::duration::parse(&text) {
            Some(ttl) if !ttl.is_zero() => crate::duration::go_text(ttl),
            _ => text,
        });
        config.mfa = text("MFA").into_iter().collect();
        config.tls = TlsFiles {
            ca_cert: text("CACERT").map(PathBuf::from),
            ca_cert_bytes: text("CACERT_BYTES").map(String::into_bytes),
            ca_path: text("CAPATH").map(PathBuf::from),
            client_cert: text("CLIENT_CERT").map(PathBuf::from),
            client_key: text("CLIENT_KEY").map(PathBuf::from),
            client_pem: match (text("CLIENT_CERT_BYTES"), text("CLIENT_KEY_BYTES")) {
                (None, None) => None,
                (Some(cert), Some(key)) => Some((cert.into_bytes(), key.into_bytes())),
                _ => return Err("both client cert and client key must be provided".to_string()),
            },
            server_name: text("TLS_SERVER_NAME"),
            skip_verify: boolean(&get, "SKIP_VERIFY")?,
        };
        if config.tls.client_cert.is_some() != config.tls.client_key.is_some() {
            return Err("both client cert and client key must be provided".to_string());
        }
        if let Some((name, text)) = get("CLIENT_TIMEOUT") {
            let timeout = crate::duration::parse(&text).ok_or_else(|| format!("could not parse {name:?}"))?;
            // Zero stands for no limit.
            config.timeout = if timeout.is_zero() { FOREVER } else { timeout };
        }
        if let Some((name, text)) = get("MAX_RETRIES") {
            config.max_retries = text.trim().parse().map_err(|_| format!("could not parse {name}: {text:?}"))?;
        }
        if let Some((name, text)) = get("RATE_LIMIT") {
            let limit = RateLimit::parse(&text);
            config.rate_limit = Some(limit.ok_or_else(|| format!("{name} was provided but incorrectly formatted"))?);
        }
        if let (Some((name, _)), true) = (get("SRV_LOOKUP"), boolean(&get, "SRV_LOOKUP")?) {
            return Err(format!("{name} is not supported: give the address with its port"));
        }
        config.disable_redirects = boolean(&get, "DISABLE_REDIRECTS")?;
        config.proxies.all = text("PROXY_ADDR").or_else(|| text("HTTP_PROXY"));
        Ok(config)
    }
}

fn boolean(get: &impl Fn(&str) -> Option<(String, String)>, name: &str) -> Result<bool, String> {
    let Some((name, value)) = get(name) else {
        return Ok(false);
    };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("could not parse {name}")),
    }
}

const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<ClientConfig, String> {
        ClientConfig::from_env(|name| {
            let (_, value) = pairs.iter().find(|(known, _)| *known == name)?;
            Some((format!("BAO_{name}"), value.to_string()))
        })
    }

    #[test]
    fn every_variable_counts() {
        let config = read(&[
            ("ADDR", "http://a"),
            ("AGENT_ADDR", "http://agent"),
            ("TOKEN", "t"),
            ("NAMESPACE", "ns"),
            ("WRAP_TTL", "30"),
            ("MFA", "m:1"),
            ("CACERT", "/ca.pem"),
            ("CACERT_BYTES", "pem"),
            ("CAPATH", "/ca"),
            ("CLIENT_CERT", "/c.pem"),
            ("CLIENT_KEY", "/k.pem"),
            ("CLIENT_CERT_BYTES", "c"),
            ("CLIENT_KEY_BYTES", "k"),
            ("TLS_SERVER_NAME", "name"),
            ("SKIP_VERIFY", "1"),
            ("CLIENT_TIMEOUT", "5m"),
            ("MAX_RETRIES", "7"),
            ("RATE_LIMIT", "10:20"),
            ("DISABLE_REDIRECTS", "true"),
            ("HTTP_PROXY", "http://old"),
            ("PROXY_ADDR", "http://proxy"),
        ]);
        let config = config.unwrap();
        assert_eq!(config.address, "http://agent");
        assert!(config.token.same(b"t"));
        assert_eq!((config.namespace.as_deref(), config.wrap_ttl.as_deref()), (Some("ns"), Some("30s")));
        assert_eq!(config.mfa, ["m:1"]);
        let tls = &config.tls;
        let path = |path: &Option<PathBuf>| path.as_ref().unwrap().display().to_string();
        assert_eq!([path(&tls.ca_cert), path(&tls.ca_path)], ["/ca.pem", "/ca"]);
        assert_eq!([path(&tls.client_cert), path(&tls.client_key)], ["/c.pem", "/k.pem"]);
        assert_eq!(tls.ca_cert_bytes.as_deref(), Some(&b"pem"[..]));
        assert_eq!(tls.client_pem, Some((b"c".to_vec(), b"k".to_vec())));
        assert_eq!((tls.server_name.as_deref(), tls.skip_verify), (Some("name"), true));
        assert_eq!((config.timeout, config.max_retries), (Duration::from_secs(300), 7));
        assert_eq!(config.rate_limit, Some(RateLimit { per_second: 10.0, burst: 20 }));
        assert_eq!((config.disable_redirects, config.proxies.all.as_deref()), (true, Some("http://proxy")));
        assert_eq!(read(&[("CLIENT_TIMEOUT", "0")]).unwrap().timeout, FOREVER);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value, message) in [
            ("CLIENT_TIMEOUT", "x", "could not parse \"BAO_CLIENT_TIMEOUT\""),
            ("MAX_RETRIES", "-1", "could not parse BAO_MAX_RETRIES: \"-1\""),
            ("SKIP_VERIFY", "x", "could not parse BAO_SKIP_VERIFY"),
            ("DISABLE_REDIRECTS", "x", "could not parse BAO_DISABLE_REDIRECTS"),
            ("RATE_LIMIT", "10:x", "BAO_RATE_LIMIT was provided but incorrectly formatted"),
            ("SRV_LOOKUP", "x", "could not parse BAO_SRV_LOOKUP"),
            ("SRV_LOOKUP", "1", "BAO_SRV_LOOKUP is not supported: give the address with its port"),
            ("CLIENT_CERT", "/x", "both client cert and client key must be provided"),
            ("CLIENT_KEY_BYTES", "x", "both client cert and client key must be provided"),
        ] {
            assert_eq!(read(&[(name, value)]).unwrap_err(), message);
        }
    }
}
