//! Authorisation that lives on at another node, or in a cache, after its end was acknowledged. (Under faults: the
//! simulator's scenario `policy-change-visibility`.)

use serde_json::{Value, json};

use super::{token, token_with};
use crate::support::Cluster;

const READ: &str = "path \"secret/data/app\" { capabilities = [\"read\"] }";
const DENY: &str = "path \"secret/data/app\" { capabilities = [\"deny\"] }";

#[test]
fn no_node_honours_what_was_taken_away_through_any_node() {
    let cluster = Cluster::formed(3);
    let root = cluster.root.as_str();
    assert!(cluster.put(0, "app", "x"));
    let status = |node: usize, token: &str| cluster.nodes[node].get("secret/data/app", token).status;
    // Asked of all nodes at once, so that none has time to hear of it by itself.
    let all = |token: &str| -> Vec<u16> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..3).map(|node| scope.spawn(move || status(node, token))).collect();
            asked.into_iter().map(|status| status.join().expect("an answer")).collect()
        })
    };
    for round in 0..6 {
        let (through, then) = (round % 3, (round + 1) % 3);
        let node = &cluster.nodes[through];
        // Each node has the token and its policies in its views.
        let reader = token_with(node, root, "reader", READ);
        let child = {
            let rules = format!("{READ}\npath \"auth/token/create\" {{ capabilities = [\"update\"] }}");
            let parent = token_with(node, root, "parent", &rules);
            (token(node, &parent, &json!({ "policies": ["parent"], "no_default_policy": true })), parent)
        };
        let custom = token(node, root, &json!({ "policies": ["reader"], "ttl": "1h" }));
        for token in [&reader, &child.0, &child.1, &custom] {
            assert_eq!(all(token), [200; 3], "round {round}");
        }
        // The policy, then the token, the parent, the accessor: each through another node than the next.
        node.http("PUT", "sys/policies/acl/reader", root, &json!({ "policy": DENY })).ok();
        assert_eq!(all(&reader), [403; 3], "round {round}: a policy that was changed");
        cluster.nodes[then].http("PUT", "sys/policies/acl/reader", root, &json!({ "policy": READ })).ok();
        assert_eq!(all(&reader), [200; 3], "round {round}: a policy that was given back");
        cluster.nodes[then].http("DELETE", "sys/policies/acl/reader", root, &Value::Null).ok();
        assert_eq!(all(&custom), [403; 3], "round {round}: a policy that was deleted");
        token_with(node, root, "reader", READ);
        cluster.nodes[then].http("POST", "auth/token/revoke", root, &json!({ "token": reader })).ok();
        assert_eq!(all(&reader), [403; 3], "round {round}: a token that was revoked");
        node.http("POST", "auth/token/revoke", root, &json!({ "token": child.1 })).ok();
        assert_eq!(all(&child.0), [403; 3], "round {round}: the child of a token that was revoked");
        let told = node.http("POST", "auth/token/lookup", root, &json!({ "token": custom })).ok();
        let by_accessor = json!({ "accessor": told["data"]["accessor"] });
        cluster.nodes[then].http("POST", "auth/token/revoke-accessor", root, &by_accessor).ok();
        assert_eq!(all(&custom), [403; 3], "round {round}: a token whose accessor was revoked");
    }
    // A mount that is gone is gone everywhere, and what comes after it at its path is empty.
    cluster.nodes[1].http("DELETE", "sys/mounts/secret", root, &Value::Null).ok();
    assert!(all(root).iter().all(|status| *status == 404 || *status == 403), "{:?}", all(root));
    // A token's last use is the last on all nodes together.
    let once = token(&cluster.nodes[0], root, &json!({ "policies": ["default"], "num_uses": 1 }));
    let looked: Vec<u16> = std::thread::scope(|scope| {
        let look = |node: usize| cluster.nodes[node].get("auth/token/lookup-self", &once).status;
        let asked: Vec<_> = (0..6).map(|at| scope.spawn(move || look(at % 3))).collect();
        asked.into_iter().map(|status| status.join().expect("an answer")).collect()
    });
    assert_eq!(looked.iter().filter(|status| **status == 200).count(), 1, "{looked:?}");
    // After a seal is acknowledged no node serves anything.
    let sealed = cluster.nodes[cluster.standby_index()].http("PUT", "sys/seal", root, &json!({}));
    assert!([200, 204].contains(&sealed.status), "{}", sealed.text());
    for node in &cluster.nodes {
        let answer = node.get("auth/token/lookup-self", root);
        assert_eq!(answer.status, 503, "{}: {}", node.name, answer.text());
    }
}
