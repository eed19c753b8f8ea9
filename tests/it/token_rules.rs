//! What tokens can be asked to be, roles, batch tokens, and what becomes of trees of them. The answers are those of the
//! peer where there is no remark.

use std::sync::Arc;
use std::time::Duration;

use holdfast::core::{Error, Operation};
use serde_json::{Value, json};

use crate::support::Local;

use Operation::{Delete, List, Read, Update};

const CREATE: &str = "auth/token/create";
const LOOKUP: &str = "auth/token/lookup-self";

/// A node with the policies `maker`, who may make tokens, and `web`.
async fn start() -> (Arc<Local>, String) {
    let node = Local::start().await;
    let maker = "path \"auth/token/*\" { capabilities = [\"create\", \"update\", \"read\", \"list\"] }";
    node.write("sys/policies/acl/maker", json!({ "policy": maker })).await;
    node.write("sys/policies/acl/web", json!({ "policy": "path \"secret/*\" { capabilities = [\"read\"] }" })).await;
    let (maker, _) = node.token(&node.root, json!({ "policies": ["maker", "web"] })).await;
    (node, maker)
}

/// What an answer says in short: its error, or the life, policies and warnings of the token that it brings.
async fn said(node: &Local, path: &str, token: &str, data: Value) -> String {
    match node.call(Update, path, token, data).await {
        Err(Error::Invalid(words)) => words.concat(),
        Err(error) => format!("{error:?}"),
        Ok(response) => {
            let mut said = response.auth.as_ref().map_or(String::new(), |auth| {
                let kind = if auth.orphan { " orphan" } else { "" };
                let uses = if auth.num_uses > 0 { format!(" {} uses", auth.num_uses) } else { String::new() };
                let fixed = if auth.renewable { "" } else { " fixed" };
                let life = auth.lease_duration.as_secs();
                format!("{} {life} {}{kind}{uses}{fixed}", auth.token_type, auth.policies.join(","))
            });
            for warning in response.warnings {
                said.push_str(&format!("; {warning}"));
            }
            said
        }
    }
}

async fn shown(node: &Local, token: &str) -> Value {
    let found = node.call(Update, "auth/token/lookup", &node.root, json!({ "token": token })).await.expect("it lives");
    Value::Object(found.data.expect("data"))
}

async fn is_alive(node: &Local, token: &str) -> bool {
    node.call(Read, LOOKUP, token, json!({})).await.is_ok()
}

/// Waits until so many accessors are left.
async fn until_accessors(node: &Local, count: usize) {
    loop {
        let listed = node.call(List, "auth/token/accessors/", &node.root, json!({})).await.expect("a list");
        if listed.data.expect("data")["keys"].as_array().expect("a list").len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_bounded_by_what_its_maker_may_do() {
    let (node, maker) = start().await;
    for (root, data, expected) in [
        (true, json!({}), "service 0 root fixed"),
        (false, json!({}), "service 2764800 default,maker,web"),
        (false, json!({ "policies": ["web"], "ttl": "1h" }), "service 3600 default,web"),
        (false, json!({ "policies": "web,x" }), "child policies must be subset of parent"),
        (true, json!({ "policies": "web,x" }), "service 2764800 default,web,x; Policy \"web,x\" does not exist"),
        (false, json!({ "no_parent": true }), "root or sudo privileges required to create orphan token"),
        (true, json!({ "no_parent": true, "policies": ["web"] }), "service 2764800 default,web orphan"),
        (false, json!({ "period": "1h" }), "root or sudo privileges required to create periodic token"),
        (true, json!({ "period": "1h", "policies": ["web"] }), "service 3600 default,web"),
        (false, json!({ "id": "mine" }), "root or sudo privileges required to specify token id"),
        (true, json!({ "id": "mine", "policies": ["web"] }), "service 2764800 default,web"),
        (true, json!({ "id": "mine", "policies": ["web"] }), "cannot create a token with a duplicate ID"),
        (true, json!({ "id": "hvs.x" }), "custom token ID cannot have the 'hvs.' prefix"),
        (true, json!({ "id": "a.b" }), "custom token ID cannot have a '.' in the value"),
        (true, json!({ "entity_alias": "x" }), "'entity_alias' is only allowed in combination with token role"),
        (true, json!({ "type": "default" }), "invalid 'token_type' value"),
        (true, json!({ "ttl": "-1h" }), "ttl must be positive"),
        (true, json!({ "explicit_max_ttl": -5 }), "explicit_max_ttl must be positive"),
        (true, json!({ "ttl": "abc" }), "time: invalid duration \"abc\""),
        (true, json!({ "ttl": 60.7 }), "time: missing unit in duration \"60.7\""),
        (true, json!({ "num_uses": -1 }), "number of uses cannot be negative"),
        (true, json!({ "meta": ["a=b", "c"] }), META),
        (
            true,
            json!({ "policies": ["web"], "renewable": false, "num_uses": 3 }),
            "service 2764800 default,web 3 uses fixed",
        ),
        (
            true,
            json!({ "policies": ["nope"], "explicit_max_ttl": "30m", "ttl": "2h", "zz": 1 }),
            "service 1800 default,nope; TTL of \"2h\" exceeded the effective max_ttl of \"30m\"; TTL value is capped \
             accordingly; Policy \"nope\" does not exist; Endpoint ignored these unrecognized parameters: [zz]",
        ),
    ] {
        let token = if root { &node.root } else { &maker };
        assert_eq!(said(&node, CREATE, token, data.clone()).await, expected, "{data}");
    }
    let (mortal, _) = node.token(&node.root, json!({ "policies": ["root"], "ttl": "1h" })).await;
    let refused = "expiring root tokens cannot create non-expiring root tokens";
    assert_eq!(said(&node, CREATE, &mortal, json!({})).await, refused);
    assert_eq!(said(&node, CREATE, &mortal, json!({ "ttl": "5h" })).await, "service 18000 root");
}

const META: &str = "Field validation failed: error converting input for field \"meta\": invalid key pair at index 1 in \
                    field \"meta\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_role_keeps_what_it_was_given_and_gives_it_to_its_tokens() {
    let (node, maker) = start().await;
    let role = "auth/token/roles/full";
    let given = json!({
        "allowed_policies": ["web", "web2"], "disallowed_policies": "web2", "allowed_policies_glob": "w*",
        "disallowed_policies_glob": ["x*"], "orphan": true, "renewable": false, "path_suffix": "sfx",
        "token_bound_cidrs": ["127.0.0.1/32", "10.0.0.0/8"], "token_explicit_max_ttl": "2h", "token_period": "30m",
        "token_num_uses": 4, "token_no_default_policy": true, "token_type": "service", "allowed_entity_aliases": ["a", "B*"],
    });
    node.write(role, given).await;
    let read = async |path: &str| {
        let answer = node.call(Read, path, &node.root, json!({})).await;
        answer.map(|answer| Value::Object(answer.data.expect("data")))
    };
    assert_eq!(
        read(role).await.expect("the role"),
        json!({
            "allowed_entity_aliases": ["a", "b*"], "allowed_policies": ["web", "web2"], "allowed_policies_glob": ["w*"],
            "disallowed_policies": ["web2"], "disallowed_policies_glob": ["x*"], "explicit_max_ttl": 0, "name": "full",
            "orphan": true, "path_suffix": "sfx", "period": 0, "renewable": false,
            "token_bound_cidrs": ["127.0.0.1", "10.0.0.0/8"], "token_explicit_max_ttl": 7200,
            "token_no_default_policy": true, "token_num_uses": 4, "token_period": 1800, "token_type": "service",
        })
    );
    let create = "auth/token/create/full";
    let alias = "'entity_alias' takes the identity engine, which this server does not have";
    for (data, expected) in [
        (json!({ "policies": ["web"] }), "service 1800 web orphan 4 uses fixed"),
        (json!({ "policies": ["web"], "num_uses": 2, "type": "batch" }), "service 1800 web orphan 2 uses fixed"),
        (json!({ "policies": ["web2"] }), "token policy \"web2\" is disallowed by this role"),
        (json!({ "policies": ["web"], "entity_alias": "q" }), "invalid 'entity_alias' value"),
        (json!({ "policies": ["web"], "entity_alias": "BC" }), alias),
        (
            json!({ "policies": ["web"], "explicit_max_ttl": "1h" }),
            "service 1800 web orphan 4 uses fixed; Explicit max TTL specified both during creation call and in role; using \
             the lesser value of 3600 seconds",
        ),
    ] {
        assert_eq!(said(&node, create, &maker, data.clone()).await, expected, "{data}");
    }
    let made = node.call(Update, create, &maker, json!({ "policies": ["web"] })).await.expect("a token");
    let found = shown(&node, &made.auth.expect("a token").client_token).await;
    for (field, value) in [
        ("path", json!("auth/token/create/full/sfx")),
        ("role", json!("full")),
        ("bound_cidrs", json!(["127.0.0.1", "10.0.0.0/8"])),
        ("explicit_max_ttl", json!(0)),
        ("orphan", json!(true)),
    ] {
        assert_eq!(found[field], value, "{field}");
    }
    assert_eq!(said(&node, "auth/token/create/none", &maker, json!({})).await, "unknown role none");

    // By their older names; a later write changes what it names.
    let part = "auth/token/roles/part";
    node.write(part, json!({ "period": "1h", "explicit_max_ttl": "2h", "bound_cidrs": ["127.0.0.1"] })).await;
    let read_part = async |fields: [&str; 5]| {
        let role = read(part).await.expect("the role");
        fields.map(|field| role[field].clone())
    };
    let fields = ["period", "token_period", "explicit_max_ttl", "bound_cidrs", "token_bound_cidrs"];
    let local = json!(["127.0.0.1"]);
    assert_eq!(read_part(fields).await, [json!(3600), json!(3600), json!(7200), local.clone(), local.clone()]);
    node.write(part, json!({ "token_period": "3h" })).await;
    assert_eq!(read_part(fields).await, [json!(0), json!(10800), json!(7200), local.clone(), local]);
    node.write(part, json!({ "bound_cidrs": "" })).await;
    assert_eq!(read_part(fields).await, [json!(0), json!(10800), json!(7200), Value::Null, Value::Null]);

    let listed = node.call(List, "auth/token/roles/", &node.root, json!({})).await.expect("a list");
    assert_eq!(listed.data.expect("data")["keys"], json!(["full", "part"]));
    for path in [role, part, "auth/token/roles/none"] {
        node.call(Delete, path, &node.root, json!({})).await.expect("removed");
    }
    assert_eq!(read(role).await.unwrap_err(), Error::Absent);
    assert!(matches!(node.call(List, "auth/token/roles/", &node.root, json!({})).await, Err(Error::Absent)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_makes_no_sense_is_refused() {
    let node = Local::start().await;
    let suffix = "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w";
    let orphans = "'token_type' cannot be 'batch' when role is set to generate non-orphan tokens";
    for (data, expected) in [
        (json!({ "token_type": "bogus" }), "invalid 'token_type' value \"bogus\""),
        (json!({ "token_type": "batch" }), orphans),
        (
            json!({ "token_type": "batch", "orphan": true, "token_period": "1h" }),
            "'token_type' cannot be 'batch' when role is set to generate periodic tokens",
        ),
        (json!({ "path_suffix": "a b" }), suffix),
        (json!({ "path_suffix": "ab" }), suffix),
        (json!({ "token_num_uses": -1 }), "error parsing role fields: 'token_num_uses' cannot be negative"),
        (
            json!({ "token_period": "-1h" }),
            "error converting input for field \"token_period\": cannot provide negative value '-3600'",
        ),
        // The peer takes this one for the path of a unix socket.
        (
            json!({ "token_bound_cidrs": "1.2.3.4/40" }),
            "error parsing role fields: error parsing address \"1.2.3.4/40\": Unable to convert \"1.2.3.4/40\" to an IPv4 \
             or IPv6 address, or a UNIX Socket",
        ),
        (
            json!({ "token_period": "1h", "period": "2h" }),
            "; Both 'token_period' and deprecated 'period' value supplied, ignoring the deprecated value",
        ),
        (
            json!({ "token_explicit_max_ttl": "99999h" }),
            "; Given explicit max TTL of 359996400 is greater than system/mount allowed value of 2764800 seconds; until this \
             is fixed attempting to create tokens against this role will result in an error",
        ),
    ] {
        assert_eq!(said(&node, "auth/token/roles/r", &node.root, data.clone()).await, expected, "{data}");
    }
    for name in ["-x", "x-", "a b", "a/b", "é"] {
        let answer = node.call(Update, &format!("auth/token/roles/{name}"), &node.root, json!({})).await;
        assert!(matches!(answer, Err(Error::NoRoute(_))), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_token_is_no_record_and_goes_with_its_parent() {
    let (node, maker) = start().await;
    let batch = |more: Value| {
        let mut data = json!({ "type": "batch", "policies": ["web"], "ttl": "1h" });
        data.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        data
    };
    for (data, expected) in [
        (batch(json!({})), "batch 3600 default,web fixed"),
        (batch(json!({ "ttl": "99999h" })), CAPPED),
        (batch(json!({ "policies": ["root"] })), "batch tokens cannot be root tokens"),
        (batch(json!({ "num_uses": 3 })), "batch tokens cannot have \"num_uses\" set"),
        (batch(json!({ "period": "1h" })), "batch tokens cannot have \"period\" set"),
        (batch(json!({ "explicit_max_ttl": "1h" })), "batch tokens cannot have \"explicit_max_ttl\" set"),
    ] {
        assert_eq!(said(&node, CREATE, &node.root, data.clone()).await, expected, "{data}");
    }
    let (token, accessor) = node.token(&maker, batch(json!({ "policies": ["maker"], "meta": { "a": "b" } }))).await;
    assert!(token.starts_with("hvb.") && accessor.is_empty());
    let found = shown(&node, &token).await;
    assert_eq!((&found["type"], &found["meta"]["a"], &found["orphan"]), (&json!("batch"), &json!("b"), &json!(false)));
    assert!(is_alive(&node, &token).await);
    let named = json!({ "token": token });
    for (path, caller, data, expected) in [
        ("create", &token, json!({}), "batch tokens cannot create more tokens"),
        ("create-orphan", &token, json!({}), "batch tokens cannot create more tokens"),
        ("renew-self", &token, json!({}), "batch tokens cannot be renewed"),
        ("renew", &node.root, named.clone(), "batch tokens cannot be renewed"),
        ("revoke-self", &token, json!({}), "batch tokens cannot be revoked"),
        ("revoke", &node.root, named.clone(), "batch tokens cannot be revoked"),
        ("revoke-orphan", &node.root, named.clone(), "batch tokens cannot be revoked"),
    ] {
        assert_eq!(said(&node, &format!("auth/token/{path}"), caller, data).await, expected, "{path}");
    }
    let cubbyhole = "cubbyhole operations are only supported by 'service' type tokens";
    assert_eq!(said(&node, "cubbyhole/x", &token, json!({ "a": 1 })).await, cubbyhole);

    let (orphan, _) = node.token(&node.root, batch(json!({ "no_parent": true }))).await;
    node.call(Update, "auth/token/revoke-self", &maker, json!({})).await.expect("revoked");
    assert!(!is_alive(&node, &token).await);
    let looked_up = node.call(Update, "auth/token/lookup", &node.root, named).await;
    assert_eq!(looked_up.unwrap_err(), Error::Forbidden("bad token".into()));
    assert!(is_alive(&node, &orphan).await);
    assert!(!is_alive(&node, &format!("{orphan}A")).await && !is_alive(&node, "hvb.AAAA").await);
}

const CAPPED: &str = "batch 2764800 default,web fixed; TTL of \"99999h\" exceeded the effective max_ttl of \"768h\"; TTL \
                      value is capped accordingly";

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_used_from_its_addresses_only_and_so_are_its_children() {
    let (node, maker) = start().await;
    node.write("auth/token/roles/near", json!({ "token_bound_cidrs": ["10.0.0.0/8", "::1"] })).await;
    let create = async |path: &str, caller: &str, data: Value| {
        let made = node.call_from("10.1.2.3", Update, path, caller, data).await.expect("a token");
        made.auth.expect("a token").client_token
    };
    let bound = create("auth/token/create/near", &maker, json!({ "policies": ["maker", "default"] })).await;
    let child = create(CREATE, &bound, json!({})).await;
    let batch = create(CREATE, &bound, json!({ "type": "batch" })).await;
    for token in [&bound, &child, &batch] {
        for (address, works) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("::1", true),
            ("11.0.0.1", false),
            ("::2", false),
            ("", false),
        ] {
            let answer = node.call_from(address, Read, LOOKUP, token, json!({})).await;
            assert_eq!(answer.is_ok(), works, "{address}");
        }
        assert_eq!(shown(&node, token).await["bound_cidrs"], json!(["10.0.0.0/8", "::1"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_follows_the_role_and_ends_with_it() {
    let (node, maker) = start().await;
    node.write("auth/token/roles/per", json!({ "token_period": "1h" })).await;
    let made =
        node.call(Update, "auth/token/create/per", &maker, json!({ "policies": ["web"] })).await.expect("a token");
    let token = made.auth.expect("a token").client_token;
    let renew = async || said(&node, "auth/token/renew-self", &token, json!({ "increment": "10m" })).await;
    assert_eq!(renew().await, "service 3600 default,web");
    node.write("auth/token/roles/per", json!({ "token_period": "2h" })).await;
    assert_eq!(renew().await, "service 7200 default,web");
    node.call(Delete, "auth/token/roles/per", &node.root, json!({})).await.expect("removed");
    assert_eq!(
        renew().await,
        "1 error occurred:\n\t* failed to renew entry: original token role \"per\" could not be found, not renewing\n\n"
    );
    assert!(is_alive(&node, &token).await);

    // The lesser of both bounds holds, as it was said when the token was made; the peer forgets the token's own.
    node.write("auth/token/roles/max", json!({ "token_explicit_max_ttl": "1h" })).await;
    let data = json!({ "policies": ["web"], "explicit_max_ttl": "10m", "ttl": "2m" });
    let made = node.call(Update, "auth/token/create/max", &maker, data).await.expect("a token");
    let token = made.auth.expect("a token").client_token;
    let renewed = said(&node, "auth/token/renew-self", &token, json!({ "increment": "50m" })).await;
    assert!(renewed.starts_with("service 600 default,web; TTL of \"50m\" exceeded"), "{renewed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mounts_bounds_are_those_of_its_tokens() {
    let node = Local::start().await;
    node.write("sys/policies/acl/web", json!({ "policy": "path \"x\" { capabilities = [\"read\"] }" })).await;
    node.write("sys/auth/token/tune", json!({ "default_lease_ttl": "1h", "max_lease_ttl": "2h" })).await;
    for (data, expected) in [
        (json!({ "policies": ["web"] }), "service 3600 default,web"),
        (json!({ "policies": ["web"], "ttl": "2h" }), "service 7200 default,web"),
        (json!({ "policies": ["web"], "explicit_max_ttl": "3h" }), "service 3600 default,web"),
        (
            json!({ "policies": ["root"], "ttl": "3h" }),
            "service 7200 root; TTL of \"3h\" exceeded the effective max_ttl of \"2h\"; TTL value is capped accordingly",
        ),
    ] {
        assert_eq!(said(&node, CREATE, &node.root, data.clone()).await, expected, "{data}");
    }
    let (token, _) = node.token(&node.root, json!({ "policies": ["web"] })).await;
    let renewed = said(&node, "auth/token/renew", &node.root, json!({ "token": token, "increment": "3h" })).await;
    assert!(renewed.starts_with("service 7200 default,web; TTL of \"3h\" exceeded"), "{renewed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_tree_is_dead_at_once_and_removed_afterwards() {
    let (node, maker) = start().await;
    let mut family = Vec::new();
    for number in 0..130 {
        let (child, _) = node.token(&maker, json!({ "policies": ["maker", "default"], "ttl": "1h" })).await;
        if number % 10 == 0 {
            node.call(Update, "cubbyhole/x", &child, json!({ "a": 1 })).await.expect("written");
            family.push(node.token(&child, json!({ "policies": ["default"] })).await.0);
        }
        family.push(child);
    }
    node.call(Update, "auth/token/revoke", &node.root, json!({ "token": maker })).await.expect("revoked");
    for token in &family {
        assert!(!is_alive(&node, token).await);
    }
    until_accessors(&node, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_parent_revoked_alone_live_on() {
    let (node, _) = start().await;
    // Fewer and more than one commit makes orphans of.
    for count in [3, 130] {
        let (grandparent, _) = node.token(&node.root, json!({ "policies": ["maker"] })).await;
        let (parent, _) = node.token(&grandparent, json!({ "policies": ["maker"] })).await;
        let mut children = Vec::new();
        for _ in 0..count {
            children.push(node.token(&parent, json!({ "policies": ["default"] })).await.0);
        }
        let alone = json!({ "token": parent });
        node.call(Update, "auth/token/revoke-orphan", &node.root, alone.clone()).await.expect("revoked");
        assert!(!is_alive(&node, &parent).await);
        assert_eq!(
            said(&node, "auth/token/revoke-orphan", &node.root, alone.clone()).await,
            "token to revoke not found"
        );
        node.call(Update, "auth/token/revoke", &node.root, alone).await.expect("nothing is done");
        node.call(Update, "auth/token/revoke", &node.root, json!({ "token": grandparent })).await.expect("revoked");
        for child in &children {
            assert!(is_alive(&node, child).await);
            while shown(&node, child).await["orphan"] != true {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(is_alive(&node, child).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_removed() {
    let node = Local::start().await;
    let (token, _) = node.token(&node.root, json!({ "policies": ["default"], "ttl": "1s" })).await;
    node.call(Update, "cubbyhole/x", &token, json!({ "a": 1 })).await.expect("written");
    node.token(&node.root, json!({ "policies": ["default"], "ttl": "1s" })).await;
    until_accessors(&node, 1).await;
    assert!(!is_alive(&node, &token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_accessors_in_a_path_are_taken_with_a_warning() {
    let node = Local::start().await;
    let (token, accessor) = node.token(&node.root, json!({ "policies": ["default"] })).await;
    for (operation, path) in [
        (Read, format!("lookup/{token}")),
        (Update, format!("lookup-accessor/{accessor}")),
        (Update, format!("renew/{token}")),
        (Update, format!("revoke-accessor/{accessor}")),
        (Update, format!("revoke/{token}")),
    ] {
        let answer =
            node.call(operation, &format!("auth/token/{path}"), &node.root, json!({})).await.expect("an answer");
        assert!(answer.warnings[0].contains("in the path is unsafe"), "{path}");
    }
    assert!(!is_alive(&node, &token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_operations_that_there_are_not() {
    let node = Local::start().await;
    for (operation, path, route) in [
        (Read, "create", true),
        (Delete, "revoke", true),
        (Read, "accessors", true),
        (Read, "roles", true),
        (Read, "tidy", true),
        (Read, "lookup-accessor", true),
        (List, "create/", false),
        (List, "lookup-self/", false),
        (List, "accessors/x/", false),
        (Read, "bogus", false),
        (Update, "renew-self/x", false),
        (Update, "create/role/suffix", false),
        (Read, "", false),
    ] {
        let answer = node.call(operation, &format!("auth/token/{path}"), &node.root, json!({})).await;
        match route {
            true => assert!(matches!(answer, Err(Error::Unsupported)), "{path}"),
            false => assert!(matches!(answer, Err(Error::NoRoute(_))), "{path}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tidying_is_begun_once_and_ends() {
    let (node, maker) = start().await;
    let (child, _) = node.token(&maker, json!({ "policies": ["web"] })).await;
    let tidy = async || node.call(Update, "auth/token/tidy", &node.root, json!({})).await.expect("an answer");
    let begun = tidy().await;
    assert!(begun.accepted && begun.warnings[0].starts_with("Tidy operation successfully started."));
    while !tidy().await.accepted {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nothing that lives is lost with it.
    assert_eq!(shown(&node, &child).await["orphan"], false);
}
