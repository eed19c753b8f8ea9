//! The stock client, unmodified, against clusters of real processes.

use std::process::Command;

use serde_json::json;

use crate::support::tls::Authority;
use crate::support::{Bao, Cluster, Shape, assert_has, until};

const GUIDE_CONFIG: &str = include_str!("fixtures/guide.hcl");
const HEALTH_SCRIPT: &str = include_str!("fixtures/vault-health-check.sh");
const VAULT_ADMIN: &str = include_str!("fixtures/vault-admin.hcl");

#[test]
fn a_stock_client_forms_a_cluster_and_works_on_it() {
    let mut cluster = Cluster::start(3, &Shape::default());
    form_with_the_client(&mut cluster);
    let bao = cluster.bao(0);
    keys_and_values(&bao);
    // A standby is as good.
    let standby = cluster.bao(cluster.standby_index());
    assert_has(standby.run("kv get -field=password secret/app").ok(), &["second"]);
    tokens(&bao);
    wrapping(&bao);
    status(&cluster);
}

#[test]
fn the_guides_configuration_forms_a_cluster_over_tls_1_3() {
    let mut cluster = Cluster::prepare(3, &Shape::default());
    follow_the_guide(&mut cluster);
    for node in &mut cluster.nodes {
        node.start();
    }
    form_with_the_client(&mut cluster);
    keys_and_values(&cluster.bao(cluster_active(&cluster)));
    health_script(&cluster);
    let old = ["-sS", "--tls-max", "1.2", "--cacert", &ca(&cluster), &cluster.nodes[0].address()].map(String::from);
    let refused = Command::new("curl").args(old).output().expect("curl");
    assert!(!refused.status.success(), "TLS 1.2 was taken although tls_min_version is tls13");
    let stranger = Bao::new(&cluster.nodes[0].address(), cluster.folder.path());
    assert_has(stranger.run("status").fails(1), &["certificate"]);
}

#[test]
fn the_guides_admin_policy_is_enforced() {
    let cluster = Cluster::formed(1);
    let root = cluster.bao(0);
    root.feed("policy write vault-admin -", VAULT_ADMIN).ok();
    root.run("kv put secret/app password=x").ok();
    let token = root.run("token create -policy=vault-admin -field=token").ok().trim().to_string();
    let admin = cluster.nodes[0].bao().token(&token);
    for denied in [
        "kv get secret/app",
        "kv put secret/app password=y",
        "kv list secret/",
        "kv metadata get secret/app",
        "kv delete secret/app",
    ] {
        // The client asks for the mount first and shows what the server says to that, in the peer's words.
        assert_has(admin.run(denied).fails(2), &["403", "grant access to path \"secret/"]);
    }
    // What looks as if it were granted but is not: a root-protected path needs sudo as well.
    for (method, path) in [
        ("GET", "sys/audit"),
        ("PUT", "sys/leases/revoke-prefix/database"),
        ("POST", "sys/storage/raft/autopilot/configuration"),
        ("PUT", "sys/storage/raft/remove-peer"),
        ("PUT", "sys/step-down"),
        ("PUT", "sys/seal"),
        ("PUT", "sys/rotate"),
    ] {
        let answer = cluster.nodes[0].http(method, path, &token, &json!({ "server_id": "none" }));
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
    }
    for denied in ["operator step-down", "operator seal", "operator raft remove-peer vault-1"] {
        assert_has(admin.run(denied).fails(2), &["permission denied"]);
    }
    // What is granted. Not all of it exists yet, but none of it is forbidden.
    assert_has(admin.run("operator raft list-peers").ok(), &["vault-1"]);
    for (method, path) in [("GET", "sys/storage/raft/snapshot"), ("POST", "sys/auth/approle"), ("GET", "sys/metrics")] {
        let answer = cluster.nodes[0].http(method, path, &token, &json!({ "type": "approle" }));
        assert_ne!(answer.status, 403, "{method} {path}: {}", answer.text());
    }
    admin.run("secrets enable -path=other kv").ok();
    admin.run("secrets list").ok();
    admin.run("secrets disable other").ok();
    admin.feed("policy write app -", "path \"secret/data/app\" { capabilities = [\"read\"] }").ok();
    assert_has(admin.run("policy list").ok(), &["app", "vault-admin", "default"]);
    admin.run("policy delete app").ok();
}

#[test]
fn five_and_seven_nodes_form() {
    for count in [5, 7] {
        let cluster = Cluster::formed(count);
        assert!(cluster.put(count - 1, "app", "there"));
        assert_eq!(cluster.read(count - 2, "app").as_deref(), Some("there"));
    }
}

/// Init, unseal of all nodes and the list of peers, as the guide's section on formation has them.
fn form_with_the_client(cluster: &mut Cluster) {
    let first = cluster.nodes[0].bao();
    assert_eq!(first.run("status").code, 2, "not initialised counts as sealed");
    let init = first.run("operator init -key-shares=5 -key-threshold=3");
    let after = |label: &str| {
        let line = init.ok().lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("{label}: {init}"));
        line.rsplit(' ').next().unwrap_or_default().to_string()
    };
    cluster.shares = (1..=5).map(|number| after(&format!("Unseal Key {number}: "))).collect();
    cluster.root = after("Initial Root Token: ");
    cluster.threshold = 3;
    assert!(cluster.root.starts_with("hvs."), "{}", cluster.root);
    assert_has(first.run("operator init").fails(2), &["already initialized"]);
    for (number, node) in cluster.nodes.iter().enumerate() {
        let bao = node.bao();
        until("the node knows the cluster", 20, || {
            let status = bao.run("status -format=json");
            let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap_or_default();
            (status["initialized"] == true || status["t"] == 3).then_some(())
        });
        // Any three of the five.
        for (given, share) in cluster.shares.iter().skip(number).take(3).enumerate() {
            let status = bao.run(&format!("operator unseal -format=json {share}")).json();
            let pending = status["sealed"] == true && given == 2;
            assert!(status["sealed"] == (given < 2) || pending, "{status}");
        }
        until(&format!("{} is unsealed", node.name), 30, || (bao.run("status").code == 0).then_some(()));
    }
    let bao = cluster.bao(0);
    let peers = until("three voters", 30, || {
        let peers = bao.run("operator raft list-peers");
        (peers.ok().matches("true").count() == 3).then(|| peers.stdout.clone())
    });
    let lines: Vec<Vec<&str>> = peers.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["Node", "Address", "State", "Voter"]);
    assert_eq!(lines.iter().filter(|line| line.get(2) == Some(&"leader")).count(), 1, "{peers}");
    assert_eq!(lines.iter().filter(|line| line.get(2) == Some(&"follower")).count(), 2, "{peers}");
    for node in &cluster.nodes {
        let row = lines.iter().find(|line| line[0] == node.name).unwrap_or_else(|| panic!("{peers}"));
        assert_eq!(row[1], format!("127.0.0.1:{}", node.cluster));
    }
}

fn keys_and_values(bao: &Bao) {
    bao.run("secrets enable -version=2 -path=secret kv").ok();
    assert_has(bao.run("secrets list").ok(), &["secret/", "kv", "cubbyhole/", "sys/"]);
    assert_has(bao.run("kv put secret/app user=web password=first").ok(), &["secret/data/app", "version", "1"]);
    assert_has(bao.run("kv get secret/app").ok(), &["user", "web", "password", "first"]);
    bao.run("kv put -cas=1 secret/app user=web password=second").ok();
    assert_has(bao.run("kv put -cas=1 secret/app password=third").fails(2), &["check-and-set"]);
    assert_eq!(bao.run("kv get -version=1 -field=password secret/app").ok(), "first");
    bao.run("kv patch secret/app extra=more").ok();
    assert_eq!(bao.run("kv get -format=json secret/app").json()["data"]["data"]["user"], "web");
    let metadata = bao.run("kv metadata get -format=json secret/app").json();
    assert_eq!(metadata["data"]["current_version"], 3);
    bao.run("kv metadata put -max-versions=5 -custom-metadata=owner=team secret/app").ok();
    assert_has(bao.run("kv metadata get secret/app").ok(), &["max_versions", "5", "team"]);
    bao.run("kv delete secret/app").ok();
    let deleted = bao.run("kv get secret/app").stdout;
    assert!(deleted.contains("deletion_time") && !deleted.contains("second"), "{deleted}");
    bao.run("kv undelete -versions=3 secret/app").ok();
    assert_eq!(bao.run("kv get -field=extra secret/app").ok(), "more");
    bao.run("kv rollback -version=2 secret/app").ok();
    let rolled_back = bao.run("kv get -format=json secret/app").json();
    assert_eq!(rolled_back["data"]["metadata"]["version"], 4);
    assert_eq!(rolled_back["data"]["data"], json!({ "user": "web", "password": "second" }));
    bao.run("kv put secret/folder/inner a=b").ok();
    assert_eq!(bao.run("kv list -format=json secret/").json(), json!(["app", "folder/"]));
    bao.run("kv destroy -versions=1 secret/app").ok();
    let destroyed = bao.run("kv get -version=1 secret/app").stdout;
    assert!(destroyed.contains("destroyed") && !destroyed.contains("first"), "{destroyed}");
    bao.run("kv metadata delete secret/folder/inner").ok();
    assert_eq!(bao.run("kv get secret/folder/inner").code, 2);
    bao.run("write cubbyhole/mine a=1").ok();
    assert_eq!(bao.run("read -field=a cubbyhole/mine").ok(), "1");
}

fn tokens(bao: &Bao) {
    let read = "path \"secret/data/app\" { capabilities = [\"read\"] }";
    bao.feed("policy write reader -", read).ok();
    assert_eq!(bao.run("policy read reader").ok().trim(), read);
    let made = bao.run("token create -format=json -policy=reader -ttl=1h").json();
    let text = |pointer: &str| made.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_string();
    let (token, accessor) = (text("/auth/client_token"), text("/auth/accessor"));
    assert_eq!(made["auth"]["lease_duration"], 3600);
    let reader = bao.clone().token(&token);
    assert_eq!(reader.run("kv get -field=password secret/app").ok(), "second");
    assert_has(reader.run("kv put secret/app a=b").fails(2), &["permission denied"]);
    assert_has(reader.run("token lookup").ok(), &["reader", &accessor]);
    assert_eq!(reader.run("token capabilities secret/data/app").ok().trim(), "read");
    assert_has(bao.run(&format!("token lookup -accessor {accessor}")).ok(), &["reader"]);
    let renewed = reader.run("token renew -format=json -increment=2h").json();
    assert_eq!(renewed["auth"]["lease_duration"], 7200);
    bao.run(&format!("token revoke {token}")).ok();
    assert_has(reader.run("kv get secret/app").fails(2), &["permission denied"]);
    // Children go with their parent.
    let parent = bao.run("token create -policy=root -field=token").ok().to_string();
    let child = bao.clone().token(&parent).run("token create -policy=default -field=token").ok().to_string();
    bao.clone().token(&child).run("token lookup").ok();
    bao.clone().token(&parent).run("token revoke -self").ok();
    bao.clone().token(&child).run("token lookup").fails(2);
}

fn wrapping(bao: &Bao) {
    let wrapped = bao.run("read -format=json -wrap-ttl=60s secret/data/app").json();
    let token = wrapped["wrap_info"]["token"].as_str().expect("a wrapping token").to_string();
    assert!(wrapped["data"].is_null(), "{wrapped}");
    assert_has(bao.run(&format!("unwrap {token}")).ok(), &["second"]);
    assert_has(bao.run(&format!("unwrap {token}")).fails(2), &["wrapping token is not valid or does not exist"]);
}

fn status(cluster: &Cluster) {
    let active = cluster.active_index();
    let unsealed = cluster.bao(active).run("status -format=json").json();
    assert_eq!((&unsealed["sealed"], &unsealed["t"], &unsealed["n"]), (&json!(false), &json!(3), &json!(5)));
    assert_eq!(unsealed["cluster_name"], "vault-prod");
    assert_has(cluster.bao(active).run("status").ok(), &["HA Mode", "active", "raft"]);
    let standby = cluster.standby_index();
    assert_has(cluster.bao(standby).run("status").ok(), &["standby", &cluster.nodes[active].address()]);
    let sealed = cluster.nodes[standby].http("PUT", "sys/seal?scope=node", &cluster.root, &json!({}));
    assert_eq!(sealed.status, 204, "{}", sealed.text());
    let output = cluster.bao(standby).run("status");
    assert_eq!(output.code, 2, "{output}");
    assert_has(&output.stdout, &["Sealed", "true", "0/3"]);
}

/// Turns the prepared nodes into three of the guide's, on loopback.
fn follow_the_guide(cluster: &mut Cluster) {
    let tls = cluster.folder.path().join("tls");
    let ca = Authority::new("test CA").write(&tls, "vault");
    let at: Vec<(u16, u16)> = cluster.nodes.iter().map(|node| (node.api, node.cluster)).collect();
    for (own, node) in cluster.nodes.iter_mut().enumerate() {
        let mut text = GUIDE_CONFIG.to_string();
        let mut replace = |from: &str, to: &str| {
            assert!(text.contains(from), "the guide has {from}");
            text = text.replace(from, to);
        };
        let others: Vec<usize> = (0..3).filter(|other| *other != own).collect();
        for (name, other) in ["vault-2", "vault-3"].iter().zip(others) {
            replace(&format!("{name}.internal:8200"), &format!("127.0.0.1:{}", at[other].0));
        }
        replace("vault-1.internal:8200", &format!("127.0.0.1:{}", at[own].0));
        replace("vault-1.internal:8201", &format!("127.0.0.1:{}", at[own].1));
        replace("0.0.0.0:8200", &format!("127.0.0.1:{}", at[own].0));
        replace("0.0.0.0:8201", &format!("127.0.0.1:{}", at[own].1));
        replace("node_id = \"vault-1\"", &format!("node_id = \"{}\"", node.name));
        replace("/opt/vault/tls", &tls.display().to_string());
        replace("/opt/vault/data", &node.data().display().to_string());
        replace("/var/log/vault", &node.folder.join("log").display().to_string());
        // Not every machine that tests may lock memory.
        replace("# disable_mlock", "disable_mlock");
        std::fs::write(node.config(), text).expect("a file");
        node.ca = Some(ca.clone());
    }
}

fn ca(cluster: &Cluster) -> String {
    cluster.folder.path().join("tls/ca.crt").display().to_string()
}

/// The active node of a cluster whose listeners speak TLS.
fn cluster_active(cluster: &Cluster) -> usize {
    until("an active node", 20, || {
        (0..cluster.nodes.len()).find(|node| {
            let status = cluster.bao(*node).run("status -format=json");
            serde_json::from_str::<serde_json::Value>(&status.stdout).unwrap_or_default()["is_self"] == true
                || status.stdout.contains("\"ha_mode\": \"active\"")
        })
    })
}

/// Runs the guide's script as it stands, but for where the CA is: curl is told where the nodes' names lead, and `vault`
/// is a link to the stock client.
fn health_script(cluster: &Cluster) {
    let home = cluster.folder.path().join("script");
    std::fs::create_dir_all(&home).expect("a folder");
    let lead = |(number, node): (usize, &crate::support::Node)| {
        format!("connect-to = \"vault-{}.internal:8200:127.0.0.1:{}\"\n", number + 1, node.api)
    };
    let curlrc: String = cluster.nodes.iter().enumerate().map(lead).collect();
    std::fs::write(home.join(".curlrc"), curlrc).expect("a file");
    std::fs::write(home.join("check.sh"), HEALTH_SCRIPT.replace("/opt/vault/tls/ca.crt", &ca(cluster)))
        .expect("a file");
    std::os::unix::fs::symlink(crate::support::bao::binary(), home.join("vault")).expect("a link");
    let run = || {
        let output = Command::new("bash")
            .arg(home.join("check.sh"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", home.display()))
            .env("HOME", &home)
            .env("VAULT_ADDR", cluster.nodes[0].address())
            .env("VAULT_CACERT", ca(cluster))
            .env("VAULT_TOKEN", &cluster.root)
            .output()
            .expect("bash");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = run();
    assert_eq!(text.matches(": ACTIVE (leader) (v1.").count(), 1, "{text}");
    assert_eq!(text.matches(": STANDBY (v1.").count(), 2, "{text}");
    assert_has(&text, &["vault-1 ", "vault-2 ", "vault-3 ", "leader", "follower"]);
}
