//! TLS as a client: whom to trust, whom to be.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::config::TlsFiles;
use crate::runtime::{Pool, Runtime, Stream};

/// Builds the configuration that `files` describe.
pub async fn config(runtime: &Runtime, files: &TlsFiles) -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match files.skip_verify {
        true => Arc::new(NoVerifier(Arc::clone(&provider))),
        false => Arc::new(Verifier::new(trusted(runtime, files).await?, &provider)?),
    };
    let builder = rustls::ClientConfig::builder_with_details(provider, Arc::new(runtime.clock.clone()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    if let Some((chain, key)) = &files.client_pem {
        let (chain, key) = identity_of(chain, key).map_err(|what| format!("the client's {what} is not PEM"))?;
        let config = builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?;
        return Ok(Arc::new(config));
    }
    let config = match (&files.client_cert, &files.client_key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let (chain, key) = identity(runtime, cert, key).await?;
            builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
        }
        _ => return Err("both client cert and client key must be provided".to_string()),
    };
    Ok(Arc::new(config))
}

/// Performs the handshake. The error is worded as Go's TLS client words it, where people know the text.
pub async fn connect(config: Arc<rustls::ClientConfig>, name: &str, stream: Stream) -> Result<Stream, String> {
    let server_name = ServerName::try_from(name.to_string()).map_err(|_| format!("invalid server name {name:?}"))?;
    match tokio_rustls::TlsConnector::from(config).connect(server_name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(tls) => Err(describe(tls, name)),
            None => Err(match error.kind() {
                std::io::ErrorKind::UnexpectedEof => "EOF".to_string(),
                _ => error.to_string(),
            }),
        },
    }
}

async fn trusted(runtime: &Runtime, files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, String> {
    if let Some(bytes) = &files.ca_cert_bytes {
        return certificates(bytes).ok_or_else(|| "Error appending CA: Couldn't parse PEM".to_string());
    }
    if let Some(path) = &files.ca_cert {
        let bytes = read(runtime, path).await.map_err(|reason| format!("Error loading CA File: {reason}"))?;
        return certificates(&bytes)
            .ok_or_else(|| format!("Error loading CA File: Couldn't parse PEM in: {}", path.display()));
    }
    if let Some(directory) = &files.ca_path {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("lstat {}: no such file or directory", directory.display()),
            _ => format!("Error loading CA path {}: {error}", directory.display()),
        };
        let mut all = Vec::new();
        for entry in runtime.disk.list(directory).await.map_err(failed)? {
            if !entry.is_dir {
                let bytes = runtime.disk.read(&directory.join(&entry.name)).await.map_err(failed)?;
                all.extend(certificates(&bytes).unwrap_or_default());
            }
        }
        return Ok(all);
    }
    let found = runtime.offload.run(Pool::Disk, rustls_native_certs::load_native_certs).await;
    Ok(found.certs)
}

async fn identity(
    runtime: &Runtime,
    cert: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let (chain_pem, key_pem) = (read(runtime, cert).await?, read(runtime, key).await?);
    identity_of(&chain_pem, &key_pem)
        .map_err(|what| format!("no {what} in {}", if what == "certificate" { cert } else { key }.display()))
}

/// A certificate chain and its key; the error names what is missing.
fn identity_of(
    chain: &[u8],
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), &'static str> {
    let chain = certificates(chain).ok_or("certificate")?;
    Ok((chain, PrivateKeyDer::from_pem_slice(key).map_err(|_| "private key")?))
}

async fn read(runtime: &Runtime, path: &Path) -> Result<bytes::Bytes, String> {
    runtime.disk.read(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("open {}: no such file or directory", path.display()),
        _ => format!("open {}: {error}", path.display()),
    })
}

/// The certificates of a PEM text; `None` if there is none or one is broken.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

fn describe(error: &Error, name: &str) -> String {
    let reason = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "certificate signed by unknown authority".to_string()
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
            let names: Vec<&str> = presented.iter().map(|name| strip_kind(name)).collect();
            format!("certificate is valid for {}, not {name}", names.join(", "))
        }
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "certificate has expired or is not yet valid".to_string(),
        Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            return "http: server gave HTTP response to HTTPS client".to_string();
        }
        Error::AlertReceived(alert) => return format!("remote error: tls: {}", words(&format!("{alert:?}"))),
        other => return format!("tls: {other}"),
    };
    format!("tls: failed to verify certificate: x509: {reason}")
}

/// `BadCertificate` as `bad certificate`.
fn words(camel: &str) -> String {
    let mut text = String::new();
    for (at, letter) in camel.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// `DnsName("a")` and `IpAddress(1.2.3.4)` as `a` and `1.2.3.4`.
fn strip_kind(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner.trim_end_matches(')'));
    inner.trim_matches('"')
}

/// The web PKI, and besides it a self-signed certificate that is itself among the trusted ones, which `openssl req -x509`
/// makes with the CA flag set and which Go's clients accept.
#[derive(Debug)]
struct Verifier {
    web: Option<Arc<WebPkiServerVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trusted: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Verifier, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let web = match roots.is_empty() {
            true => None,
            false => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                    .build()
                    .map_err(|error| error.to_string())?,
            ),
        };
        Ok(Verifier { web, trusted, provider: Arc::clone(provider) })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(web) = &self.web else {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        let result = web.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match result {
            Err(Error::InvalidCertificate(CertificateError::Other(other)))
                if format!("{other:?}").contains("CaUsedAsEndEntity") =>
            {
                // The dates were checked before this error arises.
                if !self.trusted.contains(end_entity) {
                    return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
                }
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies nothing: `-tls-skip-verify`.
#[derive(Debug)]
struct NoVerifier(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
