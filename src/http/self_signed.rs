//! Certificates for `-dev-tls` and simulations: a CA and a server certificate, all of it drawn from `Entropy`.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::runtime::Entropy;

/// PEM texts of a CA and of a server certificate that it signed.
#[derive(Clone)]
pub struct SelfSigned {
    /// The CA's certificate: what clients take as `VAULT_CACERT`.
    pub ca: String,
    /// The server's certificate.
    pub cert: String,
    /// The server's private key. Secret.
    pub key: String,
}

/// Makes a CA and a server certificate for `names` (host names and IP addresses). Ed25519 keys from 32-byte seeds, serial
/// numbers drawn from `entropy` and fixed dates make the same bytes of the same entropy. The CA's key is thrown away.
///
/// # Errors
/// If a name is neither a host name nor an IP address.
pub fn self_signed(entropy: &Entropy, names: &[String]) -> Result<SelfSigned, rcgen::Error> {
    let ca_key = key(entropy)?;
    let mut ca = params(entropy, "Holdfast development CA", Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_cert = ca.self_signed(&ca_key)?;
    let server_key = key(entropy)?;
    let common_name = names.first().map_or("localhost", String::as_str);
    let mut server = params(entropy, common_name, names.to_vec())?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    server.use_authority_key_identifier_extension = true;
    let cert = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;
    Ok(SelfSigned { ca: ca_cert.pem(), cert: cert.pem(), key: server_key.serialize_pem() })
}

fn params(entropy: &Entropy, common_name: &str, names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let mut serial: [u8; 16] = entropy.bytes();
    // Positive and of one length in DER.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(params)
}

/// An Ed25519 key from a 32-byte seed in PKCS#8 (RFC 8410).
fn key(entropy: &Entropy) -> Result<KeyPair, rcgen::Error> {
    let mut der = ED25519_PKCS8.to_vec();
    der.extend_from_slice(&entropy.bytes::<32>());
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &rcgen::PKCS_ED25519)
}

/// What comes before the seed: version 0, algorithm 1.3.101.112, an octet string in an octet string.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_entropy_makes_the_same_certificates() {
        let names = ["localhost".to_string(), "127.0.0.1".to_string()];
        let make = |seed| self_signed(&Entropy::seeded_u64(seed), &names).unwrap();
        let (first, second, other) = (make(1), make(1), make(2));
        assert_eq!((&first.ca, &first.cert, &first.key), (&second.ca, &second.cert, &second.key));
        assert_ne!(first.cert, other.cert);
        assert_eq!(first.cert.len(), other.cert.len());
        assert!(self_signed(&Entropy::seeded_u64(1), &["ä b".to_string()]).is_err());
    }
}
