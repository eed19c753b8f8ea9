//! `listener "tcp" | "unix"`.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Cidr, HostPort};
use super::error::ConfigError;
use super::response_headers;
pub use super::response_headers::ForStatus;
use super::section::Section;

/// Where the API is served, and on what terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The socket.
    pub bind: Bind,
    /// TLS; none in plain text and on unix sockets.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is spoken (by ALPN).
    pub http2: bool,
    /// The longest request body in bytes; `None` for any. Not for streams such as a snapshot restore.
    pub max_request_size: Option<u64>,
    /// How long a request may take. Not for streams.
    pub max_request_duration: Duration,
    /// How long request headers may take to arrive.
    pub http_read_header_timeout: Duration,
    /// How long a connection may be idle.
    pub http_idle_timeout: Duration,
    /// Whether `sys/metrics` needs no token.
    pub unauthenticated_metrics_access: bool,
    /// Whether `sys/in-flight-req` needs no token.
    pub unauthenticated_in_flight_requests_access: bool,
    /// Whether `sys/pprof` needs no token.
    pub unauthenticated_pprof_access: bool,
    /// Whether `sys/rekey/*` without a token answers 405.
    pub disable_unauthed_rekey_endpoints: bool,
    /// Whether `sys/generate-root/*` without a token answers 405.
    pub disable_unauthed_generate_root_endpoints: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub forwarded_for: ForwardedFor,
    /// Whose PROXY protocol header is believed; `None` if none is expected.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Further headers of answers: for which of them, name, value.
    pub response_headers: Vec<(ForStatus, String, String)>,
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// TCP.
    Tcp {
        /// The API's address.
        address: HostPort,
        /// The cluster port's address.
        cluster_address: HostPort,
    },
    /// A unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub cert_file: PathBuf,
    /// The private key, PEM.
    pub key_file: PathBuf,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// The newest version spoken.
    pub max_version: TlsVersion,
    /// Names of TLS 1.2 cipher suites in preference; empty for all that are good.
    pub cipher_suites: Vec<String>,
    /// Whether clients are asked for certificates, and with what authority.
    pub client_auth: ClientAuth,
}

/// Client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not asked for.
    None,
    /// Asked for; one that is shown must be of this authority.
    Optional(PathBuf),
    /// Demanded, of this authority.
    Required(PathBuf),
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

/// `x_forwarded_for_*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedFor {
    /// Peers that are believed; empty switches the header off.
    pub authorized: Vec<Cidr>,
    /// How many addresses are skipped from the end.
    pub hop_skips: usize,
    /// Whether a believed peer without the header is refused.
    pub reject_not_present: bool,
    /// Whether the header from another peer is refused.
    pub reject_not_authorized: bool,
}

/// `proxy_protocol_*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// What is done with the header.
    pub behavior: ProxyBehavior,
    /// Peers that are believed.
    pub authorized: Vec<Cidr>,
}

/// What is done with a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyBehavior {
    /// Believed from all.
    UseAlways,
    /// Believed from authorized peers, skipped from others.
    AllowAuthorized,
    /// Believed from authorized peers, others' connections are closed.
    DenyUnauthorized,
}

impl Listener {
    /// A listener in plain text with default limits.
    pub fn plain(bind: Bind) -> Listener {
        Listener {
            bind,
            tls: None,
            http2: true,
            max_request_size: Some(DEFAULT_REQUEST_SIZE),
            max_request_duration: DEFAULT_REQUEST_DURATION,
            http_read_header_timeout: Duration::from_secs(10),
            http_idle_timeout: Duration::from_secs(300),
            unauthenticated_metrics_access: false,
            unauthenticated_in_flight_requests_access: false,
            unauthenticated_pprof_access: false,
            disable_unauthed_rekey_endpoints: false,
            disable_unauthed_generate_root_endpoints: false,
            forwarded_for: ForwardedFor {
                authorized: Vec::new(),
                hop_skips: 0,
                reject_not_present: true,
                reject_not_authorized: true,
            },
            proxy_protocol: None,
            response_headers: Vec::new(),
        }
    }
}

/// Reads one listener. `default_duration` is the top level's `default_max_request_duration`.
pub(super) fn read(
    label: &str,
    section: Section<'_>,
    default_duration: Option<Duration>,
    later: &mut Vec<String>,
) -> Result<Listener, ConfigError> {
    let bind = match label {
        "tcp" => read_tcp(&section)?,
        "unix" => read_unix(&section)?,
        _ => return Err(section.missing("this type is not supported: tcp or unix")),
    };
    let tls = if matches!(bind, Bind::Tcp { .. }) { read_tls(&section)? } else { skip_tls(&section).map(Ok)? };
    let tls = tls.map_err(|missing| section.missing(missing));
    let mut listener = Listener::plain(bind);
    if let Some(duration) =
        section.duration("max_request_duration")?.or(default_duration).filter(|duration| !duration.is_zero())
    {
        listener.max_request_duration = duration;
    }
    match section.number("max_request_size", i64::MIN, i64::MAX)? {
        None | Some(0) => {}
        Some(size) => listener.max_request_size = u64::try_from(size).ok(),
    }
    listener.http2 = section.flag("http2_enable")?.unwrap_or(true);
    let timeout = |key| Ok::<_, ConfigError>(section.duration(key)?.filter(|timeout| !timeout.is_zero()));
    let read_timeout = timeout("http_read_timeout")?;
    listener.http_read_header_timeout =
        timeout("http_read_header_timeout")?.unwrap_or(listener.http_read_header_timeout);
    listener.http_idle_timeout = timeout("http_idle_timeout")?.or(read_timeout).unwrap_or(listener.http_idle_timeout);
    timeout("http_write_timeout")?;
    let flag = |key| Ok::<_, ConfigError>(section.flag(key)?.unwrap_or(false));
    listener.disable_unauthed_rekey_endpoints = flag("disable_unauthed_rekey_endpoints")?;
    listener.disable_unauthed_generate_root_endpoints = flag("disable_unauthed_generate_root_endpoints")?;
    read_access(&section, &mut listener, later)?;
    listener.forwarded_for = read_forwarded_for(&section)?;
    listener.proxy_protocol = read_proxy_protocol(&section)?;
    listener.response_headers = response_headers::read(&section, later)?;
    if section.text("chroot_namespace")?.is_some() {
        return Err(section
            .fault("chroot_namespace", "is not supported: without it the listener would serve more than it should"));
    }
    section.later(LATER);
    section.finish(later)?;
    // After the unknown keys: one of them may be the missing one misspelt.
    listener.tls = tls?;
    Ok(listener)
}

fn read_tcp(section: &Section<'_>) -> Result<Bind, ConfigError> {
    let default = HostPort { host: "127.0.0.1".to_string(), port: DEFAULT_PORT };
    let address = section.address("address", Some(DEFAULT_PORT))?.unwrap_or(default);
    let cluster_address = match section.address("cluster_address", Some(DEFAULT_PORT + 1))? {
        Some(cluster) => cluster,
        None => address
            .next_port()
            .ok_or_else(|| section.fault("address", "leaves no port for the cluster: set cluster_address"))?,
    };
    if address == cluster_address {
        return Err(section.fault("cluster_address", "must differ from address"));
    }
    Ok(Bind::Tcp { address, cluster_address })
}

fn read_unix(section: &Section<'_>) -> Result<Bind, ConfigError> {
    let Some(path) = section.path("address")? else {
        return Err(section.missing("\"address\" is missing: the path of the socket"));
    };
    let mode = section.parsed("socket_mode", |text| {
        match u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => Err(format!("expected octal permissions such as \"660\", got {text:?}")),
        }
    })?;
    section.later(&["socket_user", "socket_group", "cluster_address"]);
    Ok(Bind::Unix { path, mode: mode.unwrap_or(0o600) })
}

fn skip_tls(section: &Section<'_>) -> Result<Option<Tls>, ConfigError> {
    section.flag("tls_disable")?;
    Ok(None)
}

/// The inner error is what is missing.
fn read_tls(section: &Section<'_>) -> Result<Result<Option<Tls>, &'static str>, ConfigError> {
    let disabled = section.flag("tls_disable")?.unwrap_or(false);
    let (certificate, key) = (section.path("tls_cert_file")?, section.path("tls_key_file")?);
    let version = |key| {
        section.parsed(key, |text| match text {
            "tls12" => Ok(TlsVersion::Tls12),
            "tls13" => Ok(TlsVersion::Tls13),
            "tls10" | "tls11" => Err(format!("{text} is no longer safe and not supported: tls12 or tls13")),
            _ => Err(format!("expected tls12 or tls13, got {text:?}")),
        })
    };
    let min_version = version("tls_min_version")?.unwrap_or(TlsVersion::Tls12);
    let max_version = version("tls_max_version")?.unwrap_or(TlsVersion::Tls13);
    if min_version > max_version {
        return Err(section.fault("tls_max_version", "is older than tls_min_version"));
    }
    let cipher_suites = section.list("tls_cipher_suites")?;
    if let Some(unknown) = cipher_suites.iter().find(|name| !CIPHER_SUITES.contains(&name.as_str())) {
        return Err(section.fault(
            "tls_cipher_suites",
            &format!("{unknown:?} is not supported; these are: {}", CIPHER_SUITES.join(", ")),
        ));
    }
    let client_auth = read_client_auth(section)?;
    section.flag("tls_prefer_server_cipher_suites")?;
    if disabled {
        return Ok(Ok(None));
    }
    Ok(match (certificate, key) {
        (Some(cert_file), Some(key_file)) => {
            Ok(Some(Tls { cert_file, key_file, min_version, max_version, cipher_suites, client_auth }))
        }
        (None, _) => Err("\"tls_cert_file\" is missing (plain text needs tls_disable = true)"),
        (_, None) => Err("\"tls_key_file\" is missing"),
    })
}

fn read_client_auth(section: &Section<'_>) -> Result<ClientAuth, ConfigError> {
    let required = section.flag("tls_require_and_verify_client_cert")?.unwrap_or(false);
    let disabled = section.flag("tls_disable_client_certs")?.unwrap_or(false);
    match (section.path("tls_client_ca_file")?, required, disabled) {
        (_, true, true) => {
            Err(section.fault("tls_disable_client_certs", "and tls_require_and_verify_client_cert exclude each other"))
        }
        (None, true, false) => Err(section.fault("tls_require_and_verify_client_cert", "needs tls_client_ca_file")),
        (Some(ca), true, false) => Ok(ClientAuth::Required(ca)),
        (Some(ca), false, false) => Ok(ClientAuth::Optional(ca)),
        (_, false, true) | (None, false, false) => Ok(ClientAuth::None),
    }
}

fn read_access(section: &Section<'_>, listener: &mut Listener, later: &mut Vec<String>) -> Result<(), ConfigError> {
    let flag = |section: &Section<'_>, key| Ok::<_, ConfigError>(section.flag(key)?.unwrap_or(false));
    for telemetry in section.blocks("telemetry")? {
        listener.unauthenticated_metrics_access = flag(&telemetry, "unauthenticated_metrics_access")?;
        for key in ["metrics_only", "disallow_metrics"] {
            if flag(&telemetry, key)? {
                return Err(telemetry.fault(key, "is not supported yet"));
            }
        }
        telemetry.later(&["metrics_path"]);
        telemetry.finish(later)?;
    }
    for profiling in section.blocks("profiling")? {
        listener.unauthenticated_pprof_access = flag(&profiling, "unauthenticated_pprof_access")?;
        listener.unauthenticated_in_flight_requests_access |=
            flag(&profiling, "unauthenticated_in_flight_request_access")?;
        profiling.finish(later)?;
    }
    for requests in section.blocks("inflight_requests_logging")? {
        listener.unauthenticated_in_flight_requests_access |=
            flag(&requests, "unauthenticated_in_flight_requests_access")?;
        requests.finish(later)?;
    }
    Ok(())
}

fn read_forwarded_for(section: &Section<'_>) -> Result<ForwardedFor, ConfigError> {
    Ok(ForwardedFor {
        authorized: section.networks("x_forwarded_for_authorized_addrs")?,
        hop_skips: usize::try_from(section.number("x_forwarded_for_hop_skips", 0, 1000)?.unwrap_or(0)).unwrap_or(0),
        reject_not_present: section.flag("x_forwarded_for_reject_not_present")?.unwrap_or(true),
        reject_not_authorized: section.flag("x_forwarded_for_reject_not_authorized")?.unwrap_or(true),
    })
}

fn read_proxy_protocol(section: &Section<'_>) -> Result<Option<ProxyProtocol>, ConfigError> {
    let authorized = section.networks("proxy_protocol_authorized_addrs")?;
    let behavior = section.parsed("proxy_protocol_behavior", |text| match text {
        "use_always" => Ok(ProxyBehavior::UseAlways),
        "allow_authorized" => Ok(ProxyBehavior::AllowAuthorized),
        "deny_unauthorized" => Ok(ProxyBehavior::DenyUnauthorized),
        _ => Err(format!("expected use_always, allow_authorized or deny_unauthorized, got {text:?}")),
    })?;
    match behavior {
        None => Ok(None),
        Some(behavior) if behavior != ProxyBehavior::UseAlways && authorized.is_empty() => {
            Err(section.fault("proxy_protocol_behavior", "needs proxy_protocol_authorized_addrs"))
        }
        Some(behavior) => Ok(Some(ProxyProtocol { behavior, authorized })),
    }
}

/// The names that operators know them by (IANA's) and that rustls has.
pub const CIPHER_SUITES: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// Known and without effect for now.
const LATER: &[&str] = &[
    "agent_api",
    "cors_allow_credentials",
    "cors_allowed_headers",
    "cors_allowed_origins",
    "cors_enabled",
    "disable_replication_status_endpoints",
    "disable_request_limiter",
    "http_read_timeout",
    "http_write_timeout",
    "max_json_array_element_count",
    "max_json_depth",
    "max_json_object_entry_count",
    "max_json_string_value_length",
    "max_request_json_memory",
    "max_request_json_strings",
    "proxy_api",
    "purpose",
    "redact_addresses",
    "redact_cluster_name",
    "redact_version",
    "require_request_header",
    "role",
    "tls_acme_alpn_challenge_port",
    "tls_acme_ca_directory",
    "tls_acme_ca_root",
    "tls_acme_cache_path",
    "tls_acme_challenge_host",
    "tls_acme_disable_alpn_challenge",
    "tls_acme_disable_http_challenge",
    "tls_acme_domains",
    "tls_acme_eab_key_id",
    "tls_acme_eab_mac_key",
    "tls_acme_email",
    "tls_acme_http_challenge_port",
    "tls_acme_key_type",
    "tls_acme_test_ca_directory",
    "tls_auto_reload",
    "tls_auto_reload_interval",
    "tls_key_exchange_preferences",
    "x_forwarded_for_client_cert_decoders",
    "x_forwarded_for_client_cert_header",
    "x_forwarded_for_client_cert_keep_not_forwarded",
    "x_forwarded_for_client_cert_keep_unauthorized",
];

const DEFAULT_PORT: u16 = 8200;
const DEFAULT_REQUEST_SIZE: u64 = 32 * 1024 * 1024;
const DEFAULT_REQUEST_DURATION: Duration = Duration::from_secs(90);
