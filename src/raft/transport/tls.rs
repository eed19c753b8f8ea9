//! TLS 1.3 between nodes: mutual, with raw Ed25519 public keys (RFC 7250). It proves that the peer holds the private
//! half of the key it shows, and nothing else; who may do what is decided by the hello behind it. Sessions are never
//! resumed, since a resumed session skips the verifier.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime as TlsTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::raft::grant::PublicKey;
use crate::raft::identity::Identity;
use crate::runtime::point::mutant;
use crate::runtime::{Clock, Stream};

/// Both sides' TLS settings of one node.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

/// An encrypted stream and the key that its peer has proved to hold.
pub type Proven = (Stream, PublicKey);

impl Tls {
    /// Settings for the node's key.
    ///
    /// # Errors
    /// If the key is unusable, which cannot happen for an Ed25519 seed.
    pub fn new(identity: &Identity, clock: &Clock) -> io::Result<Tls> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = certified_key(&provider, identity).map_err(io::Error::other)?;
        let time: Arc<dyn TimeProvider> = Arc::new(clock.clone());
        let connector = client(&provider, &time, &key).map_err(io::Error::other)?;
        let acceptor = server(&provider, &time, &key).map_err(io::Error::other)?;
        Ok(Tls { connector: TlsConnector::from(Arc::new(connector)), acceptor: TlsAcceptor::from(Arc::new(acceptor)) })
    }

    /// Shakes hands as the side that dialled. The caller sets the deadline and compares the key.
    ///
    /// # Errors
    /// If the peer does not speak this TLS or does not hold the key it shows.
    pub async fn connect(&self, stream: Stream) -> io::Result<Proven> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let stream = self.connector.connect(name, stream).await?;
        let key = proven_key(stream.get_ref().1.peer_certificates())?;
        Ok((Box::new(stream), key))
    }

    /// Shakes hands as the side that was dialled. The caller sets the deadline.
    ///
    /// # Errors
    /// If the peer does not speak this TLS or does not hold the key it shows.
    pub async fn accept(&self, stream: Stream) -> io::Result<Proven> {
        let stream = self.acceptor.accept(stream).await?;
        let key = proven_key(stream.get_ref().1.peer_certificates())?;
        Ok((Box::new(stream), key))
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
    key: &Arc<CertifiedKey>,
) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Possession::new(provider)))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(key))));
    config.enable_sni = false;
    if !mutant("tls-resumption") {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

fn server(
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
    key: &Arc<CertifiedKey>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Possession::new(provider)))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(key))));
    if !mutant("tls-resumption") {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(config)
}

fn certified_key(provider: &CryptoProvider, identity: &Identity) -> Result<Arc<CertifiedKey>, Error> {
    let seed = identity.seed();
    let mut pkcs8 = zeroize::Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + seed.len()));
    pkcs8.extend_from_slice(&PKCS8_PREFIX);
    pkcs8.extend_from_slice(seed.as_slice());
    let key = provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(pkcs8.to_vec()).into())?;
    let spki = [SPKI_PREFIX.as_slice(), &identity.public_key()].concat();
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], key)))
}

/// The Ed25519 key in what the peer showed instead of a certificate.
fn proven_key(shown: Option<&[CertificateDer<'_>]>) -> io::Result<PublicKey> {
    match shown {
        Some([only]) => raw_key(only).ok_or_else(|| io::Error::other("the peer's key is not an Ed25519 key")),
        _ => Err(io::Error::other("the peer shows no key")),
    }
}

fn raw_key(spki: &[u8]) -> Option<PublicKey> {
    spki.strip_prefix(SPKI_PREFIX.as_slice())?.try_into().ok()
}

/// Checks that the peer signed the handshake with the key it shows, and that it is an Ed25519 key.
#[derive(Debug)]
struct Possession {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Possession {
    fn new(provider: &CryptoProvider) -> Possession {
        Possession { algorithms: provider.signature_verification_algorithms }
    }

    fn key(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        raw_key(shown).map(|_| ()).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
    }

    fn signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

impl ServerCertVerifier for Possession {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: TlsTime,
    ) -> Result<ServerCertVerified, Error> {
        self.key(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::ServerSentHelloRetryRequestWithUnknownExtension))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Possession {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: TlsTime,
    ) -> Result<ClientCertVerified, Error> {
        self.key(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Never sent and never checked; rustls wants one.
const SERVER_NAME: &str = "holdfast";
/// SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// PKCS #8 of an Ed25519 key up to the seed itself (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

#[cfg(test)]
mod tests {
    use rustls::HandshakeKind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::runtime::Runtime;

    async fn node(runtime: &Runtime, directory: &std::path::Path) -> (Identity, Tls) {
        let identity = Identity::open(runtime, directory, None, "n").await.unwrap();
        let tls = Tls::new(&identity, &runtime.clock).unwrap();
        (identity, tls)
    }

    #[tokio::test]
    async fn each_side_learns_the_other_s_key() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::real();
        let (a, a_tls) = node(&runtime, &directory.path().join("a")).await;
        let (b, b_tls) = node(&runtime, &directory.path().join("b")).await;
        let (left, right) = tokio::io::duplex(4096);
        let (client, server) = tokio::join!(a_tls.connect(Box::new(left)), b_tls.accept(Box::new(right)));
        let ((mut client, b_key), (mut server, a_key)) = (client.unwrap(), server.unwrap());
        assert_eq!((a_key, b_key), (a.public_key(), b.public_key()));
        client.write_all(b"hello").await.unwrap();
        client.flush().await.unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hello");
    }

    /// The kinds of three handshakes between the same two nodes, as both sides see them.
    async fn three_handshakes() -> Vec<Option<HandshakeKind>> {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::real();
        let (_, a) = node(&runtime, &directory.path().join("a")).await;
        let (_, b) = node(&runtime, &directory.path().join("b")).await;
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let (left, right) = tokio::io::duplex(4096);
            let name = ServerName::try_from(SERVER_NAME).unwrap();
            let (client, server) = tokio::join!(a.connector.connect(name, left), b.acceptor.accept(right));
            let (mut client, mut server) = (client.unwrap(), server.unwrap());
            // A byte from the server brings any ticket to the client.
            server.write_all(b"x").await.unwrap();
            server.flush().await.unwrap();
            client.read_exact(&mut [0]).await.unwrap();
            kinds.extend([client.get_ref().1.handshake_kind(), server.get_ref().1.handshake_kind()]);
        }
        kinds
    }

    #[tokio::test]
    async fn sessions_are_never_resumed() {
        assert_eq!(three_handshakes().await, [Some(HandshakeKind::Full); 6]);
    }

    #[cfg(feature = "mutants")]
    #[tokio::test]
    async fn the_planted_resumption_is_seen() {
        crate::runtime::point::plant_here("tls-resumption");
        assert!(three_handshakes().await.contains(&Some(HandshakeKind::Resumed)));
    }

    #[tokio::test]
    async fn a_peer_without_a_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::real();
        let (_, b) = node(&runtime, &directory.path().join("b")).await;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(runtime.clock.clone()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Possession::new(&provider)))
            .with_no_client_auth();
        let (left, right) = tokio::io::duplex(4096);
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let client = tokio::spawn(async move { connector.connect(name, left).await.map(|_| ()) });
        assert!(b.accept(Box::new(right)).await.is_err());
        let _ = client.await;
    }
}
