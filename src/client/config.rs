//! What a client is made from, and how the environment sets it.

use std::path::PathBuf;
use std::time::Duration;

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
    /// `http://host:port` of an HTTP proxy.
    pub proxy: Option<String>,
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
            proxy: None,
        }
    }
}

impl ClientConfig {
    /// A configuration for `address`, else default.
    pub fn at(address: impl Into<String>) -> ClientConfig {
        ClientConfig { address: address.into(), ..ClientConfig::default() }
    }

    /// Reads the client's variables. `get("ADDR")` is to return the value of whichever spelling of the variable counts
    /// (see [`crate::cli::env`]). The error names the variable.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<ClientConfig, String> {
        let mut config = ClientConfig::default();
        if let Some(address) = get("AGENT_ADDR").or_else(|| get("ADDR")) {
            config.address = address;
        }
        if let Some(token) = get("TOKEN") {
            config.token = Secret::from(token.as_str());
        }
        config.namespace = get("NAMESPACE");
        config.wrap_ttl = get("WRAP_TTL");
        config.mfa = get("MFA").into_iter().collect();
        config.tls = TlsFiles {
            ca_cert: get("CACERT").map(PathBuf::from),
            ca_cert_bytes: get("CACERT_BYTES").map(String::into_bytes),
            ca_path: get("CAPATH").map(PathBuf::from),
            client_cert: get("CLIENT_CERT").map(PathBuf::from),
            client_key: get("CLIENT_KEY").map(PathBuf::from),
            client_pem: None,
            server_name: get("TLS_SERVER_NAME"),
            skip_verify: boolean(&get, "SKIP_VERIFY")?,
        };
        if let Some(text) = get("CLIENT_TIMEOUT") {
            let timeout = crate::duration::parse(&text).ok_or("could not parse VAULT_CLIENT_TIMEOUT")?;
            // Zero stands for no limit.
            config.timeout = if timeout.is_zero() { FOREVER } else { timeout };
        }
        if let Some(text) = get("MAX_RETRIES") {
            config.max_retries = text.trim().parse().map_err(|_| "could not parse VAULT_MAX_RETRIES".to_string())?;
        }
        config.disable_redirects = boolean(&get, "DISABLE_REDIRECTS")?;
        config.proxy = get("PROXY_ADDR").or_else(|| get("HTTP_PROXY"));
        Ok(config)
    }
}

fn boolean(get: &impl Fn(&str) -> Option<String>, name: &str) -> Result<bool, String> {
    match get(name).as_deref() {
        None => Ok(false),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(_) => Err(format!("could not parse VAULT_{name}")),
    }
}

const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
