//! What standbys, sealed nodes and new nodes answer.

use serde_json::json;

use crate::support::{Cluster, Shape, call, until};

#[test]
fn standbys_forward_or_redirect() {
    let cluster = Cluster::formed(3);
    let (active, standby) = (cluster.active_index(), cluster.standby_index());
    assert!(cluster.put(standby, "app", "through a standby"));
    assert_eq!(cluster.read(standby, "app").as_deref(), Some("through a standby"));
    // Errors come through as they are.
    let node = &cluster.nodes[standby];
    assert_eq!(node.get("secret/data/none", &cluster.root).status, 404);
    assert_eq!(node.get("secret/data/app", "hvs.wrong").status, 403);
    assert_eq!(node.http("POST", "secret/data/app", &cluster.root, &json!({ "data": 1 })).status, 400);

    let headers = [("X-Vault-Token", cluster.root.as_str()), ("X-Vault-No-Request-Forwarding", "true")];
    let answer = call(node.api, "PUT", "secret/data/app?x=1", &headers, b"{\"data\":{\"value\":\"redirected\"}}")
        .expect("an answer");
    assert_eq!(answer.status, 307);
    let to = format!("{}/v1/secret/data/app?x=1", cluster.nodes[active].address());
    assert_eq!(answer.header("location"), Some(to.as_str()));
    assert_eq!(cluster.read(active, "app").as_deref(), Some("through a standby"), "nothing was carried out");
    let at_the_active = call(cluster.nodes[active].api, "GET", "secret/data/app", &headers, b"").expect("an answer");
    assert_eq!(at_the_active.status, 200);
    // A node answers these itself.
    for path in ["sys/health?standbyok", "sys/seal-status", "sys/leader", "sys/init"] {
        assert_eq!(call(node.api, "GET", path, &headers[1..], b"").expect("an answer").status, 200, "{path}");
    }
    let leader = node.get("sys/leader", "").json();
    assert_eq!(leader["leader_address"], cluster.nodes[active].address());
    assert_eq!(leader["is_self"], false);
    // HTTP's manners.
    for method in ["POST", "PUT"] {
        let headers = [("Authorization", format!("Bearer {}", cluster.root)), ("Content-Type", "text/plain".into())];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = call(node.api, method, "secret/data/app", &headers, b"{\"data\":{\"value\":\"bearer\"}}")
            .expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let list = call(node.api, "LIST", "secret/metadata", &headers[..1], b"").expect("an answer");
    assert_eq!(list.json()["data"]["keys"], json!(["app"]));
    let elsewhere = call(node.api, "GET", "secret/data/app", &[headers[0], ("X-Vault-Namespace", "team")], b"");
    assert_eq!(elsewhere.expect("an answer").status, 404);
    for served in ["sys/metrics?format=prometheus", "sys/internal/ui/mounts", "sys/mounts", "sys/ha-status"] {
        assert_eq!(node.get(served, &cluster.root).status, 200, "{served}");
    }
}

#[test]
fn health_has_a_code_for_every_state() {
    let mut cluster = Cluster::start(3, &Shape::default());
    let health = |cluster: &Cluster, node: usize, query: &str| {
        let get = cluster.nodes[node].get(&format!("sys/health{query}"), "");
        let head = cluster.nodes[node].http("HEAD", &format!("sys/health{query}"), "", &json!(null));
        assert_eq!(get.status, head.status);
        assert!(head.body.is_empty());
        assert_eq!(get.text().trim_end().lines().count(), 1, "{}", get.text());
        get.status
    };
    // While a state is waited for, two questions may have two answers.
    let becomes = |cluster: &Cluster, node: usize, status: u16| {
        (cluster.nodes[node].get("sys/health", "").status == status).then_some(())
    };
    assert_eq!((health(&cluster, 0, ""), health(&cluster, 0, "?uninitcode=244")), (501, 244));
    cluster.init(1, 1);
    until("sealed", 10, || becomes(&cluster, 0, 503));
    assert_eq!(health(&cluster, 0, "?sealedcode=298&uninitcode=244"), 298);
    cluster.unseal_all();
    cluster.wait_for_voters(3);
    let (active, standby) = (cluster.active_index(), cluster.standby_index());
    assert_eq!((health(&cluster, active, ""), health(&cluster, active, "?activecode=299")), (200, 299));
    assert_eq!((health(&cluster, standby, ""), health(&cluster, standby, "?standbyok=true")), (429, 200));
    assert_eq!(health(&cluster, standby, "?standbycode=288&perfstandbyok=true"), 288);
    assert_eq!(health(&cluster, standby, "?standbycode=nonsense"), 400);
    let body = cluster.nodes[active].get("sys/health", "").json();
    assert_eq!(
        (&body["cluster_name"], &body["initialized"], &body["standby"]),
        (&json!("vault-prod"), &json!(true), &json!(false))
    );
    let version = body["version"].as_str().unwrap_or_default();
    assert!(version.starts_with("1.") && !version.contains("ent"), "{version}");
    // Without a quorum nobody is active.
    for node in 0..3 {
        if node != standby {
            cluster.nodes[node].kill();
        }
    }
    until("a standby without a leader says so", 10, || becomes(&cluster, standby, 474));
    assert_eq!(health(&cluster, standby, "?haunhealthycode=285"), 285);
    let answer = cluster.nodes[standby].get("sys/mounts", &cluster.root);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}
