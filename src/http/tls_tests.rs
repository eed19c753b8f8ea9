use std::path::PathBuf;

use super::*;
use crate::http::self_signed;
use crate::runtime::{Entropy, Runtime};

struct Files {
    directory: tempfile::TempDir,
    runtime: Runtime,
}

impl Files {
    fn new() -> Files {
        Files { directory: tempfile::tempdir().unwrap(), runtime: Runtime::real() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn write(&self, name: &str, text: &str) {
        self.runtime.disk.replace(&self.path(name), text.to_string().into()).await.unwrap();
    }

    async fn write_pair(&self, seed: u64) -> self_signed::SelfSigned {
        let made = self_signed::self_signed(&Entropy::seeded_u64(seed), &["localhost".to_string()]).unwrap();
        self.write("cert.pem", &made.cert).await;
        self.write("key.pem", &made.key).await;
        self.write("ca.pem", &made.ca).await;
        made
    }

    fn options(&self) -> TlsOptions {
        TlsOptions { cert_file: self.path("cert.pem"), key_file: self.path("key.pem"), ..TlsOptions::default() }
    }

    async fn load(&self, options: TlsOptions) -> Result<Tls, String> {
        let loaded = Tls::load(options, true, self.runtime.disk.clone(), self.runtime.clock.clone()).await;
        loaded.map_err(|error| error.to_string())
    }

    async fn error(&self, options: TlsOptions) -> String {
        self.load(options).await.err().expect("an error")
    }
}

#[tokio::test]
async fn errors_name_the_file_or_the_key() {
    let files = Files::new();
    assert!(files.error(files.options()).await.starts_with("tls_cert_file /"));
    files.write_pair(1).await;
    assert!(files.load(files.options()).await.is_ok());

    files.write("cert.pem", "nothing").await;
    assert!(files.error(files.options()).await.contains("cert.pem: no certificate in it"));
    files.write_pair(1).await;
    files.write("key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n").await;
    assert!(files.error(files.options()).await.contains("key.pem: the private key is encrypted"));
    let other = self_signed::self_signed(&Entropy::seeded_u64(2), &["localhost".to_string()]).unwrap();
    files.write("key.pem", &other.key).await;
    let error = files.error(files.options()).await;
    assert!(error.starts_with("tls_key_file") && error.contains("key.pem"), "{error}");

    files.write_pair(1).await;
    let suites = |names: &[&str]| TlsOptions {
        cipher_suites: names.iter().map(|name| name.to_string()).collect(),
        ..files.options()
    };
    assert!(files.load(suites(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"])).await.is_ok());
    assert!(files.error(suites(&["TLS_FOO"])).await.contains("tls_cipher_suites: \"TLS_FOO\" is not a cipher suite"));
    assert!(files.error(suites(&["TLS_RSA_WITH_AES_128_CBC_SHA"])).await.contains("is not safe"));
    let require = TlsOptions { require_client_cert: true, ..files.options() };
    assert!(files.error(require.clone()).await.contains("needs tls_client_ca_file"));
    let require = TlsOptions { client_ca_file: Some(files.path("none.pem")), ..require };
    assert!(files.error(require.clone()).await.starts_with("tls_client_ca_file /"));
    let require = TlsOptions { client_ca_file: Some(files.path("ca.pem")), ..require };
    assert!(files.load(require.clone()).await.is_ok());
    assert!(files.error(TlsOptions { disable_client_certs: true, ..require }).await.contains("contradicts"));
}

#[test]
fn versions_below_1_2_are_refused() {
    assert_eq!(TlsVersion::parse("tls13").unwrap(), TlsVersion::Tls13);
    assert!(TlsVersion::parse("tls10").unwrap_err().to_string().contains("not safe"));
    assert!(TlsVersion::parse("ssl3").unwrap_err().to_string().contains("not a TLS version"));
}

#[tokio::test]
async fn a_reload_is_all_or_nothing() {
    let files = Files::new();
    files.write_pair(1).await;
    let options = TlsOptions { client_ca_file: Some(files.path("ca.pem")), ..files.options() };
    let tls = files.load(options).await.unwrap();
    let first = tls.current();
    // A new pair, but the client CA is broken: nothing changes.
    files.write_pair(2).await;
    files.write("ca.pem", "nothing").await;
    assert!(tls.stage().await.is_err());
    assert!(Arc::ptr_eq(&first, &tls.current()));
    files.write_pair(2).await;
    let staged = tls.stage().await.unwrap();
    assert!(Arc::ptr_eq(&first, &tls.current()));
    tls.take(staged);
    assert!(!Arc::ptr_eq(&first, &tls.current()));
}
