//! Files that others can read or run: state, keys, sockets, logs, whatever the umask. All servers of these tests are started
//! with umask 0.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::support::node::tree;
use crate::support::ports::Ports;
use crate::support::{Cluster, Node, Shape, until};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).expect("a file").permissions().mode() & 0o7777
}

#[test]
fn whatever_the_server_writes_is_private() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let node = &mut cluster.nodes[0];
    let (log, pid, socket) =
        (node.folder.join("made/vault.log"), node.folder.join("vault.pid"), node.folder.join("vault.sock"));
    std::fs::create_dir(node.folder.join("made")).expect("a folder");
    let mut text = std::fs::read_to_string(node.config()).expect("a file");
    text.push_str(&format!(
        "log_file = \"{}\"\npid_file = \"{}\"\nlistener \"unix\" {{\n  address = \"{}\"\n}}\n",
        log.display(),
        pid.display(),
        socket.display()
    ));
    std::fs::write(node.config(), text).expect("a file");
    // A data directory that somebody made too open beforehand.
    std::fs::create_dir(node.data()).expect("a folder");
    std::fs::set_permissions(node.data(), PermissionsExt::from_mode(0o777)).expect("a mode");
    node.start();
    cluster.init(1, 1);
    cluster.unseal(&cluster.nodes[0]);
    until("active", 20, || (cluster.nodes[0].health() == 200).then_some(()));
    let node = &cluster.nodes[0];
    node.http("POST", "sys/mounts/secret", &cluster.root, &crate::support::cluster::kv2()).ok();
    assert!(cluster.put(0, "app", "x"));
    node.http("PUT", "sys/policies/acl/p", &cluster.root, &json!({ "policy": "path \"x\" {}" })).ok();
    for path in tree(&node.data()) {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        let (mode, wanted) = (metadata.permissions().mode() & 0o7777, if path.is_dir() { 0o700 } else { 0o600 });
        assert_eq!(mode, wanted, "{} has mode {mode:o}", path.display());
    }
    until("the log is there", 10, || log.exists().then_some(()));
    assert_eq!(mode(&log) & 0o137, 0, "{:o}", mode(&log));
    assert_eq!(mode(&pid) & 0o133, 0, "{:o}", mode(&pid));
    assert_eq!(mode(&socket) & 0o077, 0, "{:o}", mode(&socket));
}

#[test]
fn files_of_a_development_server_are_private_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ports = Ports::reserve();
    let mut dev = Node::new("dev", folder.path().join("dev"), ports.next(), ports.next());
    let address = format!("-dev-listen-address=127.0.0.1:{}", dev.api);
    dev.spawn(&["-dev", "-dev-tls", "-dev-tls-cert-dir=tls", "-dev-root-token-id=root", &address]);
    until("it is ready", 20, || dev.log().contains("Root Token").then_some(()));
    for path in tree(&dev.folder).into_iter().filter(|path| path.is_file() && !path.ends_with("output")) {
        let mode = mode(&path);
        let public = path.extension().is_some_and(|end| end == "pem") && !path.display().to_string().contains("key");
        assert_eq!(mode & if public { 0o133 } else { 0o177 }, 0, "{} has mode {mode:o}", path.display());
    }
    dev.terminate();
}
