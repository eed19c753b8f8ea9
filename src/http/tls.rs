//! TLS of the API listeners: rustls from PEM files, reloaded together or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use crate::runtime::{Clock, Disk};

/// Why TLS could not be set up. Each names the file or the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("{key} {}: {error}", path.display())]
    File {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
    /// A file has something else in it than it should.
    #[error("{key} {}: {reason}", path.display())]
    Content {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key of the configuration has a value that cannot be.
    #[error("{key}: {reason}")]
    Setting {
        /// The configuration key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// The lowest version that a listener speaks. What is below TLS 1.2 is not spoken at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// The value of `tls_min_version` or `tls_max_version`.
    ///
    /// # Errors
    /// If it is no version, or one that is no longer safe.
    pub fn parse(text: &str) -> Result<TlsVersion, TlsError> {
        let reason = match text {
            "tls12" => return Ok(TlsVersion::Tls12),
            "tls13" => return Ok(TlsVersion::Tls13),
            "tls10" | "tls11" => format!("{text} is not safe and not supported: use tls12 or tls13"),
            _ => format!("{text:?} is not a TLS version: use tls12 or tls13"),
        };
        Err(TlsError::Setting { key: "tls_min_version", reason })
    }
}

/// What a listener's configuration says of TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// `tls_cert_file`: the certificate and its chain.
    pub cert_file: PathBuf,
    /// `tls_key_file`: its private key (PKCS#8, PKCS#1 or SEC1).
    pub key_file: PathBuf,
    /// `tls_min_version`.
    pub min_version: TlsVersion,
    /// `tls_max_version`: TLS 1.2 only if `Some(Tls12)`.
    pub max_version: Option<TlsVersion>,
    /// `tls_cipher_suites`: Go's names; empty for all that are safe. TLS 1.3's are always on, as in Go.
    pub cipher_suites: Vec<String>,
    /// `tls_require_and_verify_client_cert`.
    pub require_client_cert: bool,
    /// `tls_client_ca_file`.
    pub client_ca_file: Option<PathBuf>,
    /// `tls_disable_client_certs`: do not even ask for one.
    pub disable_client_certs: bool,
}

/// A listener's TLS: what new connections are served with, and how to load it anew.
pub struct Tls {
    options: TlsOptions,
    http2: bool,
    disk: Disk,
    clock: Clock,
    current: RwLock<Arc<ServerConfig>>,
}

/// Material that has been read and checked and waits for its turn.
pub struct Staged(Arc<ServerConfig>);

impl Tls {
    /// Loads certificate, key and client CA.
    ///
    /// # Errors
    /// If any of them cannot be used; it names the file.
    pub async fn load(options: TlsOptions, http2: bool, disk: Disk, clock: Clock) -> Result<Tls, TlsError> {
        let config = build(&options, http2, &disk, &clock).await?;
        Ok(Tls { options, http2, disk, clock, current: RwLock::new(Arc::new(config)) })
    }

    /// Reads and checks all files again. Nothing changes until [`Tls::take`].
    ///
    /// # Errors
    /// If any of them cannot be used; it names the file.
    pub async fn stage(&self) -> Result<Staged, TlsError> {
        build(&self.options, self.http2, &self.disk, &self.clock).await.map(|config| Staged(Arc::new(config)))
    }

    /// Serves new connections with what was staged. Sessions of the old material cannot be resumed: the session store
    /// goes with it.
    pub fn take(&self, staged: Staged) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = staged.0;
    }

    /// What the next connection is served with.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn build(options: &TlsOptions, http2: bool, disk: &Disk, clock: &Clock) -> Result<ServerConfig, TlsError> {
    let chain = certificates(disk, "tls_cert_file", &options.cert_file).await?;
    let key = private_key(disk, &options.key_file).await?;
    let provider = Arc::new(provider(&options.cipher_suites)?);
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(clock.clone()))
        .with_protocol_versions(&versions(options)?)
        .map_err(|error| TlsError::Setting { key: "tls_cipher_suites", reason: error.to_string() })?;
    let builder = match client_roots(options, disk).await? {
        None => builder.with_no_client_auth(),
        Some((path, roots)) => {
            let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            if !options.require_client_cert {
                verifier = verifier.allow_unauthenticated();
            }
            let verifier = verifier.build().map_err(|error| TlsError::Content {
                key: "tls_client_ca_file",
                path: path.clone(),
                reason: error.to_string(),
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let (key, path) = match error {
            rustls::Error::InconsistentKeys(_) => ("tls_key_file", &options.key_file),
            _ => ("tls_cert_file", &options.cert_file),
        };
        TlsError::Content { key, path: path.clone(), reason: error.to_string() }
    })?;
    config.alpn_protocols = match http2 {
        true => vec![ALPN_HTTP2.to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

async fn client_roots(options: &TlsOptions, disk: &Disk) -> Result<Option<(PathBuf, RootCertStore)>, TlsError> {
    let setting =
        |reason: &str| Err(TlsError::Setting { key: "tls_require_and_verify_client_cert", reason: reason.to_string() });
    if options.require_client_cert && options.disable_client_certs {
        return setting("contradicts tls_disable_client_certs");
    }
    let path = match &options.client_ca_file {
        Some(path) if !options.disable_client_certs => path,
        None if options.require_client_cert => return setting("needs tls_client_ca_file"),
        _ => return Ok(None),
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(disk, "tls_client_ca_file", path).await? {
        roots.add(certificate).map_err(|error| TlsError::Content {
            key: "tls_client_ca_file",
            path: path.clone(),
            reason: error.to_string(),
        })?;
    }
    Ok(Some((path.clone(), roots)))
}

async fn read(disk: &Disk, key: &'static str, path: &Path) -> Result<bytes::Bytes, TlsError> {
    disk.read(path).await.map_err(|error| TlsError::File { key, path: path.to_path_buf(), error })
}

async fn certificates(disk: &Disk, key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(disk, key, path).await?;
    let content = |reason: String| TlsError::Content { key, path: path.to_path_buf(), reason };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| content(format!("not a PEM file: {error}")))?;
    match chain.is_empty() {
        true => Err(content("no certificate in it".to_string())),
        false => Ok(chain),
    }
}

async fn private_key(disk: &Disk, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(disk, "tls_key_file", path).await?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| TlsError::Content {
        key: "tls_key_file",
        path: path.to_path_buf(),
        reason: match error {
            rustls::pki_types::pem::Error::NoItemsFound if bytes.windows(9).any(|text| text == b"ENCRYPTED") => {
                "the private key is encrypted: it must be in plain PEM".to_string()
            }
            rustls::pki_types::pem::Error::NoItemsFound => "no private key in it".to_string(),
            error => format!("not a PEM file: {error}"),
        },
    })
}

fn versions(options: &TlsOptions) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    match (options.min_version, options.max_version) {
        (TlsVersion::Tls12, None | Some(TlsVersion::Tls13)) => {
            Ok(vec![&rustls::version::TLS13, &rustls::version::TLS12])
        }
        (TlsVersion::Tls12, Some(TlsVersion::Tls12)) => Ok(vec![&rustls::version::TLS12]),
        (TlsVersion::Tls13, None | Some(TlsVersion::Tls13)) => Ok(vec![&rustls::version::TLS13]),
        (TlsVersion::Tls13, Some(TlsVersion::Tls12)) => {
            Err(TlsError::Setting { key: "tls_max_version", reason: "is below tls_min_version".to_string() })
        }
    }
}

/// aws-lc with the suites asked for, in our order of preference.
fn provider(names: &[String]) -> Result<CryptoProvider, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if !names.is_empty() {
        let wanted = names.iter().map(|name| suite(name)).collect::<Result<Vec<_>, _>>()?;
        provider.cipher_suites.retain(|suite| {
            suite.version().version == ProtocolVersion::TLSv1_3 || wanted.iter().any(|wanted| wanted == suite)
        });
    }
    Ok(provider)
}

/// The suite of a name as Go writes it.
fn suite(name: &str) -> Result<SupportedCipherSuite, TlsError> {
    let found = SUITES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
    found.map(|(_, suite)| *suite).ok_or_else(|| TlsError::Setting {
        key: "tls_cipher_suites",
        reason: match CBC_AND_RSA.iter().any(|part| name.contains(part)) {
            true => format!("{name} is not safe and not supported"),
            false => format!("{name:?} is not a cipher suite"),
        },
    })
}

/// HTTP/2's name in ALPN.
pub const ALPN_HTTP2: &[u8] = b"h2";

use aws_lc_rs::cipher_suite as suites;

const SUITES: [(&str, SupportedCipherSuite); 11] = [
    ("TLS_AES_128_GCM_SHA256", suites::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", suites::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", suites::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Parts of the names of Go's other suites: no forward secrecy, CBC, RC4, 3DES.
const CBC_AND_RSA: [&str; 4] = ["TLS_RSA_", "_CBC_", "_RC4_", "_3DES_"];

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
