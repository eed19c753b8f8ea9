//! TLS of the simulated cluster: one certificate for all addresses that nodes may ever have, drawn from the seed.

use std::net::IpAddr;
use std::sync::Arc;

use holdfast::http::{SelfSigned, self_signed};
use holdfast::runtime::{Clock, Entropy};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::draw::stream_seed;

/// The cluster's certificates and the clients' side of them.
pub struct Tls {
    /// What the nodes show.
    pub signed: SelfSigned,
    /// What clients check it with.
    pub client: Arc<ClientConfig>,
}

impl Tls {
    /// Certificates for `addresses`; `clock` is the clients' one.
    ///
    /// # Errors
    /// A text: what the libraries say.
    pub fn new(seed: u64, addresses: &[IpAddr], clock: Clock) -> Result<Tls, String> {
        let names: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let entropy = Entropy::seeded(stream_seed(seed, "tls"));
        let signed = self_signed(&entropy, &names).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(signed.ca.as_bytes()).map_err(|error| error.to_string())?;
        roots.add(ca).map_err(|error| error.to_string())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_details(provider, Arc::new(clock))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        Ok(Tls { signed, client: Arc::new(client) })
    }
}
