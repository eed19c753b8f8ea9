//! Several listeners of one server: plain, TLS with client certificates, unix socket.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::tls::Authority;
use crate::support::{Cluster, Shape, assert_has};

#[test]
fn several_listeners_each_with_its_own_rules() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let tls = cluster.folder.path().join("tls");
    let ca = Authority::new("test CA").write(&tls, "vault").display().to_string();
    let stranger = cluster.folder.path().join("stranger");
    Authority::new("another CA").write(&stranger, "vault");
    let ports: Vec<u16> = (0..4).map(|_| cluster.ports.next()).collect();
    let socket = cluster.folder.path().join("vault.sock");
    let node = &mut cluster.nodes[0];
    let mut text = std::fs::read_to_string(node.config()).expect("a file");
    let files = format!("tls_cert_file = \"{0}/vault.crt\"\n tls_key_file = \"{0}/vault.key\"", tls.display());
    for (port, more) in ports.chunks(2).zip([
        format!("tls_require_and_verify_client_cert = true\n tls_client_ca_file = \"{ca}\""),
        "tls_max_version = \"tls12\"\n http2_enable = false\n tls_cipher_suites = \"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\"".into(),
    ]) {
        text.push_str(&format!(
            "listener \"tcp\" {{\n address = \"127.0.0.1:{}\"\n cluster_address = \"127.0.0.1:{}\"\n {files}\n {more}\n}}\n",
            port[0], port[1]
        ));
    }
    text.push_str(&format!("listener \"unix\" {{\n address = \"{}\"\n socket_mode = \"600\"\n}}\n", socket.display()));
    std::fs::write(node.config(), text).expect("a file");
    node.start();
    let curl = |args: &[&str]| {
        let output = Command::new("curl").args(["-sS", "-i"]).args(args).output().expect("curl");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let url = |port: u16| format!("https://127.0.0.1:{port}/v1/sys/seal-status");
    // Client certificates.
    let file = |folder: &std::path::Path, name: &str| folder.join(name).display().to_string();
    let (cert, key) = (file(&tls, "vault.crt"), file(&tls, "vault.key"));
    let (ok, text) = curl(&["--cacert", &ca, "--cert", &cert, "--key", &key, &url(ports[0])]);
    assert!(ok, "{text}");
    assert_has(&text, &["HTTP/2 200", "strict-transport-security", "no-store"]);
    assert!(!curl(&["--cacert", &ca, &url(ports[0])]).0, "without a client certificate");
    let (cert, key) = (file(&stranger, "vault.crt"), file(&stranger, "vault.key"));
    assert!(!curl(&["--cacert", &ca, "--cert", &cert, "--key", &key, &url(ports[0])]).0, "with one of another CA");
    // TLS 1.2 with one suite, HTTP/1.1.
    let (ok, text) = curl(&["--cacert", &ca, &url(ports[2])]);
    assert!(ok && text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(!curl(&["--cacert", &ca, "--tlsv1.3", &url(ports[2])]).0, "TLS 1.3 although tls_max_version is tls12");
    let other = ["--cacert", &ca, "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", &url(ports[2])];
    assert!(!curl(&other).0, "a cipher suite that is not listed");
    // Plain text where TLS is spoken, and the other way round.
    let plain = curl(&[&format!("http://127.0.0.1:{}/v1/sys/seal-status", ports[2])]);
    assert!(!plain.1.contains("200 OK"), "{plain:?}");
    assert!(!curl(&["-k", &url(node.api)]).0);
    // The socket.
    let mode = std::fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let path = socket.display().to_string();
    let (ok, text) = curl(&["--unix-socket", &path, "http://localhost/v1/sys/seal-status"]);
    assert!(ok && text.starts_with("HTTP/1.1 200"), "{text}");
    let bao = crate::support::Bao::new(&format!("unix://{path}"), cluster.folder.path());
    assert_eq!(bao.run("status").code, 2);
    // A socket that a killed server left behind is in nobody's way.
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    assert!(curl(&["--unix-socket", &path, "http://localhost/v1/sys/seal-status"]).0);
    // Another server does not take the socket from the one that runs; one that stops leaves none behind.
    let mut second = Cluster::prepare(1, &Shape::default());
    let config = second.nodes[0].config();
    let text = std::fs::read_to_string(&config).expect("a file");
    std::fs::write(&config, format!("{text}listener \"unix\" {{\n address = \"{path}\"\n}}\n")).expect("a file");
    second.nodes[0].spawn(&[&format!("-config={}", config.display())]);
    assert!(!second.nodes[0].wait_until_it_ends(20).success());
    assert_has(&second.nodes[0].log(), &["another process listens on this socket"]);
    assert!(curl(&["--unix-socket", &path, "http://localhost/v1/sys/seal-status"]).0);
    cluster.nodes[0].terminate();
    assert!(!socket.exists());
}
