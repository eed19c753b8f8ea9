//! The process itself: development servers, other storage, signals, files that it writes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::support::ports::Ports;
use crate::support::tls::Authority;
use crate::support::{Bao, Cluster, Node, Shape, assert_has, until};

#[test]
fn development_servers_are_ready_to_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ports = Ports::reserve();
    let mut dev = Node::new("dev", folder.path().join("dev"), ports.next(), ports.next());
    let address = format!("-dev-listen-address=127.0.0.1:{}", dev.api);
    dev.spawn(&["-dev", "-dev-root-token-id=root", &address]);
    dev.wait_until_it_answers();
    until("it is ready", 20, || dev.log().contains("Root Token").then_some(()));
    assert_has(&dev.log(), &["root", &dev.address(), "Unseal Key"]);
    // The client finds its token by itself.
    assert_eq!(std::fs::read_to_string(dev.folder.join(".vault-token")).expect("a token file"), "root");
    let bao = dev.bao();
    bao.run("kv put secret/app a=b").ok();
    assert_eq!(bao.run("kv get -field=a secret/app").ok(), "b");
    assert_has(bao.run("status").ok(), &["inmem", "false"]);
    dev.terminate();
    let left: Vec<_> = crate::support::node::tree(&dev.folder).into_iter().filter(|path| path.is_file()).collect();
    assert_eq!(left.len(), 2, "nothing but the token and this test's output: {left:?}");

    std::fs::remove_file(dev.folder.join(".vault-token")).expect("a file");
    dev.spawn(&["-dev", "-dev-no-store-token", &address]);
    until("it is ready", 20, || (dev.log().matches("Root Token").count() == 2).then_some(()));
    assert!(!dev.folder.join(".vault-token").exists());
    let log = dev.log();
    let token =
        log.lines().rev().find(|line| line.contains("Root Token")).and_then(|line| line.split_whitespace().last());
    dev.bao().token(token.expect("a token")).run("kv put secret/app a=b").ok();
    dev.terminate();

    dev.spawn(&["-dev-tls", "-dev-tls-cert-dir=tls", "-dev-root-token-id=root", &address]);
    until("it is ready", 20, || (dev.log().matches("Root Token").count() == 3).then_some(()));
    dev.ca = Some(dev.folder.join("tls/vault-ca.pem"));
    dev.bao().run("kv put secret/app a=b").ok();
    dev.terminate();
}

#[test]
fn three_development_nodes_are_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ports = Ports::reserve();
    let mut dev = Node::new("dev", folder.path().join("dev"), ports.next(), ports.next());
    let address = format!("-dev-listen-address=127.0.0.1:{}", dev.api);
    dev.spawn(&["-dev-three-node", "-dev-root-token-id=root", "-dev-cluster-json=cluster.json", &address]);
    until("it is ready", 30, || dev.log().contains("Root Token").then_some(()));
    let others = [dev.api + 2, dev.api + 4]
        .map(|port| Bao::new(&format!("http://127.0.0.1:{port}"), folder.path()).token("root"));
    others[0].run("kv put secret/app a=b").ok();
    assert_eq!(others[1].run("kv get -field=a secret/app").ok(), "b");
    until("three voters", 20, || {
        (dev.bao().run("operator raft list-peers").ok().matches("true").count() == 3).then_some(())
    });
    let described = std::fs::read_to_string(dev.folder.join("cluster.json")).expect("a file");
    let described: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(described["nodes"][2]["api_address"], format!("http://127.0.0.1:{}", dev.api + 4));
    assert_eq!(described["root_token"], "root");
    dev.terminate();
    // With TLS on all three.
    dev.spawn(&["-dev-three-node", "-dev-tls", "-dev-tls-cert-dir=tls", "-dev-root-token-id=root", &address]);
    until("it is ready", 30, || (dev.log().matches("Root Token").count() == 2).then_some(()));
    let ca = dev.folder.join("tls/vault-ca.pem").display().to_string();
    let bao =
        Bao::new(&format!("https://127.0.0.1:{}", dev.api + 4), folder.path()).token("root").env("VAULT_CACERT", &ca);
    bao.run("kv put secret/app a=b").ok();
    dev.terminate();
}

#[test]
fn other_storage_and_directories_of_configuration() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let node = &mut cluster.nodes[0];
    let text = std::fs::read_to_string(node.config()).expect("a file");
    // `file`, as one file in a directory of two, the other of them in JSON.
    let from = text.find("listener").expect("a listener");
    let file = format!("storage \"file\" {{\n  path = \"{}\"\n}}\n{}", node.data().display(), &text[from..]);
    let folder = node.folder.join("conf.d");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("a.hcl"), file.replace("cluster_name  = \"vault-prod\"", "")).expect("a file");
    std::fs::write(folder.join("b.json"), r#"{ "cluster_name": "from-json", "ui": true }"#).expect("a file");
    std::fs::write(folder.join("readme.txt"), "not a configuration").expect("a file");
    let flag = format!("-config={}", folder.display());
    node.spawn(&[&flag]);
    node.wait_until_it_answers();
    cluster.init(1, 1);
    cluster.unseal(&cluster.nodes[0]);
    cluster.active().http("POST", "sys/mounts/secret", &cluster.root, &crate::support::cluster::kv2()).ok();
    assert!(cluster.put(0, "app", "kept"));
    assert_eq!(cluster.nodes[0].get("sys/health", "").json()["cluster_name"], "from-json");
    cluster.nodes[0].kill();
    cluster.nodes[0].spawn(&[&flag]);
    cluster.nodes[0].wait_until_it_answers();
    until("initialised and sealed", 20, || (cluster.nodes[0].health() == 503).then_some(()));
    cluster.unseal(&cluster.nodes[0]);
    until("active", 20, || (cluster.nodes[0].health() == 200).then_some(()));
    assert_eq!(cluster.read(0, "app").as_deref(), Some("kept"));
    assert_eq!(cluster.nodes[0].get("sys/seal-status", "").json()["storage_type"], "file");
    cluster.nodes[0].terminate();
    // `inmem` forgets.
    let node = &mut cluster.nodes[0];
    std::fs::write(node.config(), format!("storage \"inmem\" {{}}\n{}", &text[from..])).expect("a file");
    node.start();
    assert_eq!(node.health(), 501);
    cluster.init(1, 1);
    cluster.unseal(&cluster.nodes[0]);
    until("active", 20, || (cluster.nodes[0].health() == 200).then_some(()));
    cluster.nodes[0].terminate();
    cluster.nodes[0].start();
    assert_eq!(cluster.nodes[0].health(), 501);
}

#[test]
fn a_hang_up_reloads_certificates_or_keeps_the_old() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let tls = cluster.folder.path().join("tls");
    let old = cluster.folder.path().join("old.crt");
    std::fs::rename(Authority::new("first CA").write(&tls, "vault"), &old).expect("a file");
    let node = &mut cluster.nodes[0];
    let text = std::fs::read_to_string(node.config()).expect("a file").replace("http://", "https://");
    let files = format!("tls_cert_file = \"{0}/vault.crt\"\n  tls_key_file = \"{0}/vault.key\"", tls.display());
    std::fs::write(node.config(), text.replace("tls_disable     = true", &files)).expect("a file");
    node.ca = Some(old.clone());
    node.start();
    let api = node.api;
    let trusts = |ca: &Path| {
        let url = format!("https://127.0.0.1:{api}/v1/sys/seal-status");
        let output = Command::new("curl").args(["-sS", "--cacert"]).arg(ca).arg(url).output().expect("curl");
        output.status.success()
    };
    assert!(trusts(&old));
    let new = Authority::new("second CA").write(&tls, "vault");
    assert!(trusts(&old), "nothing changes before the signal");
    node.signal(Signal::HUP);
    until("the new certificate is served", 10, || trusts(&new).then_some(()));
    assert!(!trusts(&old));
    // A key that does not fit, and a certificate that is none.
    let log = node.log().len();
    Authority::new("third CA").write(&cluster.folder.path().join("third"), "vault");
    std::fs::copy(cluster.folder.path().join("third/vault.key"), tls.join("vault.key")).expect("a file");
    node.signal(Signal::HUP);
    until("the log tells of it", 10, || node.log()[log..].contains("the old certificates stay").then_some(()));
    assert!(trusts(&new));
    std::fs::write(tls.join("vault.crt"), "-----BEGIN NONSENSE-----").expect("a file");
    let log = node.log().len();
    node.signal(Signal::HUP);
    until("the log tells of it", 10, || node.log()[log..].contains("vault.crt").then_some(()));
    assert!(trusts(&new));
    // Whole again, it is taken.
    let fourth = Authority::new("fourth CA").write(&tls, "vault");
    node.signal(Signal::HUP);
    until("the new certificate is served", 10, || trusts(&fourth).then_some(()));
}

#[test]
fn a_stopping_server_answers_what_it_has_begun() {
    let mut cluster = Cluster::formed(1);
    let (api, root) = (cluster.nodes[0].api, cluster.root.clone());
    let body = json!({ "data": { "value": "x".repeat(1000) } }).to_string();
    let head = format!(
        "POST /v1/secret/data/app HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {root}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", api)).expect("a connection");
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&body.as_bytes()[..500]).expect("sent");
    // Another request on another connection shows that the server has read the first one's head.
    assert!(cluster.put(0, "other", "x"));
    cluster.nodes[0].signal(Signal::TERM);
    until("it takes nothing new", 10, || TcpStream::connect(("127.0.0.1", api)).is_err().then_some(()));
    assert!(cluster.nodes[0].runs());
    stream.write_all(&body.as_bytes()[500..]).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(cluster.nodes[0].wait_until_it_ends(15).success());
    cluster.nodes[0].start();
    cluster.unseal(&cluster.nodes[0]);
    until("what was answered is there", 20, || cluster.read(0, "app").filter(|value| value.len() == 1000));
}

#[test]
fn pid_file_log_file_and_rotation() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    let folder = cluster.folder.path().to_path_buf();
    let (pid, log) = (folder.join("vault.pid"), folder.join("logs/vault.log"));
    // A relative path is one of the directory that the server is started in.
    let top = format!(
        "pid_file = \"../vault.pid\"\nlog_file = \"{}\"\nlog_level = \"trace\"\nlog_format = \"json\"\nlog_rotate_bytes = 4096\nlog_rotate_max_files = 2\n",
        log.display()
    );
    let node = &mut cluster.nodes[0];
    let text = std::fs::read_to_string(node.config()).expect("a file");
    std::fs::write(node.config(), format!("{text}\n{top}")).expect("a file");
    std::fs::create_dir(folder.join("logs")).expect("a folder");
    node.start();
    let written = until("a pid file", 10, || std::fs::read_to_string(&pid).ok());
    assert_eq!(written.trim(), node.pid().to_string());
    cluster.init(1, 1);
    cluster.unseal(&cluster.nodes[0]);
    let rotated = || {
        let entries = std::fs::read_dir(folder.join("logs")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| *path != log).collect::<Vec<_>>()
    };
    until("the log has rotated twice", 30, || {
        for _ in 0..20 {
            cluster.nodes[0].http("PUT", "sys/unseal", "", &json!({ "reset": true }));
            cluster.nodes[0].http("PUT", "sys/policies/acl/p", &cluster.root, &json!({ "policy": "" }));
        }
        cluster.nodes[0].signal(Signal::HUP);
        (rotated().len() == 2).then_some(())
    });
    for path in rotated() {
        for line in std::fs::read_to_string(&path).unwrap_or_default().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["@message"].is_string() && line["@level"].is_string(), "{line}");
        }
    }
    until("only two are kept", 10, || (rotated().len() <= 2).then_some(()));
    // Moved away by somebody else, as logrotate does.
    // A rotation may be under way: between its two steps there is no file.
    until("a file to move away", 10, || std::fs::rename(&log, folder.join("moved.log")).ok());
    cluster.nodes[0].signal(Signal::HUP);
    until("a new log file", 10, || log.exists().then_some(()));
    // The level follows the configuration.
    let text = std::fs::read_to_string(cluster.nodes[0].config()).expect("a file").replace("\"trace\"", "\"error\"");
    std::fs::write(cluster.nodes[0].config(), text).expect("a file");
    cluster.nodes[0].signal(Signal::HUP);
    let size = || std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
    until("the log is quiet", 10, || {
        let before = size();
        cluster.nodes[0].http("PUT", "sys/policies/acl/p", &cluster.root, &json!({ "policy": "" }));
        std::thread::sleep(std::time::Duration::from_millis(200));
        (size() == before).then_some(())
    });
    cluster.nodes[0].terminate();
    assert!(!pid.exists(), "the pid file goes with the process");
    // Flags come before the file.
    let text = std::fs::read_to_string(cluster.nodes[0].config()).expect("a file").replace("../vault.pid", "vault.pid");
    std::fs::write(cluster.nodes[0].config(), text).expect("a file");
    let flag = format!("-config={}", cluster.nodes[0].config().display());
    cluster.nodes[0].spawn(&[&flag, "-log-file", &folder.join("other.log").display().to_string(), "-log-level=info"]);
    cluster.nodes[0].wait_until_it_answers();
    assert!(cluster.nodes[0].folder.join("vault.pid").exists());
    until("the other log", 10, || folder.join("other.log").exists().then_some(()));
}
