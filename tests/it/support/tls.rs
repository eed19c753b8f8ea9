//! Certificates for test servers: a CA, and one certificate for loopback signed by it.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority of its own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Writes `ca.crt`, `vault.crt` and `vault.key` into a folder.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let names = ["localhost".to_string(), "127.0.0.1".to_string(), "vault-1.internal".to_string()];
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join("ca.crt"), &self.pem).expect("a file");
        std::fs::write(folder.join("vault.crt"), certificate.pem()).expect("a file");
        std::fs::write(folder.join("vault.key"), key.serialize_pem()).expect("a file");
        folder.join("ca.crt")
    }
}
