//! What the commands of our client ask, and what they make of the answers.

use serde_json::{Value, json};

use crate::support::assert_has;
use crate::support::canned::Canned;

/// A command, the requests it makes (with the last one's body, if that matters), the answers, and what it prints.
struct Case {
    args: &'static [&'static str],
    answers: &'static [(u16, &'static str)],
    lines: &'static [&'static str],
    body: Option<Value>,
    code: i32,
    prints: &'static str,
}

const MOUNTS: &str = r#"{"request_id":"1","data":{"token/":{"type":"token","accessor":"auth_token_1","description":"token based credentials","config":{"default_lease_ttl":0,"max_lease_ttl":0,"token_type":"default-service"},"options":null,"uuid":"u"},"staff/":{"type":"userpass","accessor":"auth_userpass_1","description":"","config":{"default_lease_ttl":3600,"max_lease_ttl":7200,"token_type":"batch"},"options":{"a":"b"},"local":true,"seal_wrap":true,"uuid":"v"}}}"#;
const MOVED: &str = r#"{"request_id":"1","data":{"migration_id":"m1"}}"#;
const RUNNING: &str = r#"{"request_id":"1","data":{"migration_info":{"status":"in-progress"}}}"#;
const SUCCESS: &str = r#"{"request_id":"1","data":{"migration_info":{"status":"success"}}}"#;
const FAILURE: &str = r#"{"request_id":"1","data":{"migration_info":{"status":"failure"}}}"#;
const LEASE: &str = r#"{"request_id":"1","data":{"id":"a/b","ttl":3600,"renewable":true,"last_renewal":null}}"#;
const NODES: &str = r#"{"request_id":"1","data":{"nodes":[{"hostname":"h1","api_address":"http://a","cluster_address":"https://b","active_node":true,"last_echo":null,"version":"1.2"}]}}"#;
const REKEY: &str = r#"{"nonce":"a","started":true,"t":2,"n":3,"progress":0,"required":1,"pgp_fingerprints":null,"backup":false,"verification_required":true}"#;
const ROTATION: &str = r#"{"data":{"nonce":"a","started":true,"t":2,"n":2,"progress":0,"required":1,"verification_nonce":"","verification_required":false}}"#;
const ROTATED: &str = r#"{"data":{"nonce":"a","complete":true,"keys":["1","2"],"keys_base64":["one","two"],"verification_nonce":"","verification_required":false}}"#;
const NO_MOUNT: &str = r#"{"request_id":"1","data":{"path":"old/","options":{"version":"1"}}}"#;

fn cases() -> Vec<Case> {
    vec![
        Case {
            args: &["auth", "list"],
            answers: &[(200, MOUNTS)],
            lines: &["GET /v1/sys/auth"],
            body: None,
            code: 0,
            prints: "Path      Type        Accessor           Description                Version\n\
                     ----      ----        --------           -----------                -------\n\
                     staff/    userpass    auth_userpass_1    n/a                        n/a\n\
                     token/    token       auth_token_1       token based credentials    n/a\n",
        },
        Case {
            args: &["auth", "enable", "-path=staff", "-token-type=batch", "-max-lease-ttl=1h", "userpass"],
            answers: &[(204, "")],
            lines: &["POST /v1/sys/auth/staff"],
            body: Some(json!({
                "type": "userpass", "description": "", "local": false, "seal_wrap": false, "external_entropy_access": false,
                "options": null, "config": { "default_lease_ttl": "0s", "max_lease_ttl": "1h0m0s", "token_type": "batch",
                    "force_no_cache": false, "options": null },
            })),
            code: 0,
            prints: "Success! Enabled userpass auth method at: staff/\n",
        },
        Case {
            args: &["auth", "tune", "-user-lockout-threshold=3", "-user-lockout-disable=false", "staff/"],
            answers: &[(204, "")],
            lines: &["POST /v1/sys/mounts/auth/staff/tune"],
            body: Some(json!({
                "default_lease_ttl": "", "max_lease_ttl": "", "options": null, "force_no_cache": false,
                "user_lockout_config": { "lockout_threshold": "3", "lockout_disable": false },
            })),
            code: 0,
            prints: "Success! Tuned the auth method at: staff/\n",
        },
        Case {
            args: &["auth", "move", "userpass", "staff/"],
            answers: &[(200, MOVED), (200, RUNNING), (200, SUCCESS)],
            lines: &["POST /v1/sys/remount", "GET /v1/sys/remount/status/m1", "GET /v1/sys/remount/status/m1"],
            body: None,
            code: 0,
            prints: "Started moving auth method auth/userpass/ to auth/staff/, with migration ID m1\n\
                     Waiting for terminal status in migration of auth method auth/userpass/ to auth/staff/, with migration ID \
                     m1\nSuccess! Finished moving auth method auth/userpass/ to auth/staff/, with migration ID m1\n",
        },
        Case {
            args: &["secrets", "move", "a", "b"],
            answers: &[(200, MOVED), (200, FAILURE)],
            lines: &["POST /v1/sys/remount", "GET /v1/sys/remount/status/m1"],
            body: None,
            code: 2,
            prints: "Started moving secrets engine a/ to b/, with migration ID m1\n",
        },
        Case {
            args: &["auth", "help", "staff/"],
            answers: &[(200, MOUNTS)],
            lines: &["GET /v1/sys/auth"],
            body: None,
            code: 0,
            prints: "Usage: vault login -method=userpass [CONFIG K=V...]\n",
        },
        Case {
            args: &["secrets", "tune", "-default-lease-ttl=-1", "-description=", "team"],
            answers: &[(204, "")],
            lines: &["POST /v1/sys/mounts/team/tune"],
            body: Some(json!({
                "default_lease_ttl": "system", "max_lease_ttl": "", "options": null, "force_no_cache": false, "description": "",
            })),
            code: 0,
            prints: "Success! Tuned the secrets engine at: team/\n",
        },
        Case {
            args: &["kv", "enable-versioning", "old/"],
            answers: &[(200, r#"{"request_id":"1","warnings":["no matter"]}"#)],
            lines: &["POST /v1/sys/mounts/old/tune"],
            body: Some(json!({
                "default_lease_ttl": "", "max_lease_ttl": "", "options": { "version": "2" }, "force_no_cache": false,
            })),
            code: 0,
            prints: "Success! Tuned the secrets engine at: old/\n",
        },
        Case {
            args: &["patch", "secret/metadata/a", "max_versions=4"],
            answers: &[(204, "")],
            lines: &["PATCH /v1/secret/metadata/a"],
            body: Some(json!({ "max_versions": "4" })),
            code: 0,
            prints: "Success! Data written to: secret/metadata/a\n",
        },
        Case {
            args: &["path-help", "/secret/"],
            answers: &[(200, r#"{"help":"What it does.","openapi":{"openapi":"3.0.2"}}"#)],
            lines: &["GET /v1/secret?help=1"],
            body: None,
            code: 0,
            prints: "What it does.\n",
        },
        Case {
            args: &["path-help", "-format=json", "secret"],
            answers: &[(200, r#"{"help":"What it does.","openapi":{"openapi":"3.0.2"}}"#)],
            lines: &["GET /v1/secret?help=1"],
            body: None,
            code: 0,
            prints: "{\n  \"openapi\": \"3.0.2\"\n}\n",
        },
        Case {
            args: &["kv", "scan", "-mount=old"],
            answers: &[(200, NO_MOUNT), (200, r#"{"request_id":"1","data":{"keys":["a","b/c"]}}"#)],
            lines: &["GET /v1/sys/internal/ui/mounts/old", "GET /v1/old?scan=true"],
            body: None,
            code: 0,
            prints: "Keys\n----\na\nb/c\n",
        },
        Case {
            args: &["lease", "lookup", "a/b"],
            answers: &[(200, LEASE)],
            lines: &["PUT /v1/sys/leases/lookup"],
            body: Some(json!({ "lease_id": "a/b" })),
            code: 0,
            prints: "Key             Value\n---             -----\nid              a/b\nlast_renewal    <nil>\n\
                     renewable       true\nttl             1h\n",
        },
        Case {
            args: &["lease", "renew", "-i", "90", "a/b"],
            answers: &[(200, r#"{"lease_id":"a/b","lease_duration":90,"renewable":true}"#)],
            lines: &["PUT /v1/sys/leases/renew"],
            body: Some(json!({ "lease_id": "a/b", "increment": 90 })),
            code: 0,
            prints: "Key                Value\n---                -----\nlease_id           a/b\nlease_duration     1m30s\n\
                     lease_renewable    true\n",
        },
        Case {
            args: &["lease", "revoke", "-prefix", "a"],
            answers: &[(202, "")],
            lines: &["PUT /v1/sys/leases/revoke-prefix/a"],
            body: Some(json!({ "sync": false })),
            code: 0,
            prints: "All revocation operations queued successfully!\n",
        },
        Case {
            args: &["operator", "generate-root", "-cancel", "-otp=x"],
            answers: &[(405, r#"{"errors":["unsupported operation"]}"#), (204, "")],
            lines: &["DELETE /v1/sys/generate-root/attempt?otp=x", "DELETE /v1/sys/generate-root-token/attempt?otp=x"],
            body: None,
            code: 0,
            prints: "Success! Root token generation canceled (if it was started)\n",
        },
        Case {
            args: &["kv", "list", "-mount=old"],
            answers: &[(200, NO_MOUNT), (404, r#"{"request_id":"1","warnings":["not here"]}"#)],
            lines: &["GET /v1/sys/internal/ui/mounts/old", "GET /v1/old?list=true"],
            body: None,
            code: 2,
            prints: "",
        },
        Case {
            args: &["operator", "rekey", "-init", "-n=3", "-t", "2", "-verify"],
            answers: &[(200, REKEY)],
            lines: &["PUT /v1/sys/rekey/init"],
            body: Some(json!({
                "secret_shares": 3, "secret_threshold": 2, "stored_shares": 0, "pgp_keys": null, "backup": false,
                "require_verification": true,
            })),
            code: 0,
            prints: "\nKey                      Value\n---                      -----\nNonce                    a\n\
                     Started                  true\nProgress                 0/1\nNew Shares               3\n\
                     New Threshold            2\nVerification Required    true\n",
        },
        Case {
            args: &["operator", "rotate-keys", "-nonce=a", "share"],
            answers: &[(200, ROTATION), (200, ROTATED)],
            lines: &["GET /v1/sys/rotate/root/init", "PUT /v1/sys/rotate/root/update"],
            body: Some(json!({ "key": "share", "nonce": "a" })),
            code: 0,
            prints: "\nKey 1: one\nKey 2: two\n\nOperation nonce: a\n\nVault unseal keys rotated to 2 key shares",
        },
        Case {
            args: &["list", "secret"],
            answers: &[(404, r#"{"request_id":"1","warnings":["not here"]}"#)],
            lines: &["GET /v1/secret?list=true"],
            body: None,
            code: 0,
            prints: "",
        },
        Case {
            args: &["operator", "members"],
            answers: &[(200, NODES)],
            lines: &["GET /v1/sys/ha-status"],
            body: None,
            code: 0,
            prints: "Host Name    API Address    Cluster Address    Active Node    Version    Upgrade Version    Last Echo\n\
                     ---------    -----------    ---------------    -----------    -------    ---------------    ---------\n\
                     h1           http://a       https://b          true           1.2        n/a                n/a\n",
        },
    ]
}

#[test]
fn commands_ask_and_print_as_the_peers() {
    for case in cases() {
        let server = Canned::start(case.answers);
        let done = server.run(case.args, &[]);
        assert_eq!(done.lines(), case.lines, "{:?}: {done:?}", case.args);
        assert_eq!(done.code, case.code, "{:?}: {done:?}", case.args);
        assert!(done.stdout.starts_with(case.prints), "{:?} prints\n{}\n{}", case.args, done.stdout, done.stderr);
        if let Some(body) = case.body {
            let (_, sent) = done.requests.last().and_then(|request| request.split_once("\r\n\r\n")).expect("a request");
            assert_eq!(serde_json::from_str::<Value>(sent).expect("JSON"), body, "{:?}", case.args);
        }
    }
}

#[test]
fn a_patch_is_a_merge_patch() {
    let done = Canned::start(&[(204, "")]).run(&["patch", "a/b", "c=d"], &[]);
    assert_has(&done.requests[0].to_ascii_lowercase(), &["\r\ncontent-type: application/merge-patch+json\r\n"]);
}

#[test]
fn flags_and_variables_become_headers() {
    let flags = ["read", "-header=X-Team=a", "-mfa=m:1", "-wrap-ttl=5m", "-ns=n1", "-policy-override", "a/b"];
    let done = Canned::start(&[(200, r#"{"request_id":"1","data":{"a":1}}"#)]).run(&flags, &[]);
    let head = done.requests[0].to_ascii_lowercase();
    let headers = [
        "x-team: a",
        "x-vault-mfa: m:1",
        "x-vault-wrap-ttl: 5m0s",
        "x-vault-namespace: n1/",
        "x-vault-policy-override: true",
        "x-vault-token: root",
        "x-vault-request: true",
    ];
    assert_has(&head, &headers);
    let env = [("BAO_NAMESPACE", "n2"), ("VAULT_WRAP_TTL", "30"), ("BAO_TOKEN", "other"), ("VAULT_FORMAT", "json")];
    let done = Canned::start(&[(200, r#"{"request_id":"1","data":{"a":1}}"#)]).run(&["read", "a/b"], &env);
    let head = done.requests[0].to_ascii_lowercase();
    assert_has(&head, &["x-vault-namespace: n2/", "x-vault-wrap-ttl: 30s", "x-vault-token: other"]);
    assert_has(&done.stdout, &["\"request_id\": \"1\""]);
}

#[test]
fn requests_go_through_a_proxy() {
    // The proxy is the one that answers: it sees the whole URL of a request without TLS.
    for (variable, user) in
        [("VAULT_HTTP_PROXY", ""), ("BAO_PROXY_ADDR", "u:p@"), ("HTTP_PROXY", ""), ("http_proxy", "")]
    {
        let proxy = Canned::start(&[(200, r#"{"request_id":"1","data":{"a":1}}"#)]);
        let address = proxy.address.replace("http://", &format!("http://{user}"));
        let done = proxy.run(&["read", "-address=http://vault.test:8200", "-field=a", "x/y"], &[(variable, &address)]);
        assert_eq!(done.lines(), ["GET http://vault.test:8200/v1/x/y"], "{variable}: {done:?}");
        assert_eq!(done.stdout, "1");
        let authorized = done.requests[0].to_ascii_lowercase().contains("proxy-authorization: basic dtpw");
        assert_eq!(authorized, !user.is_empty(), "{variable}");
    }
    // With TLS the proxy only connects.
    let proxy = Canned::start(&[(403, "")]);
    let done = proxy.run(&["read", "-address=https://vault.test:8200", "x/y"], &[("VAULT_HTTP_PROXY", &proxy.address)]);
    assert_eq!(done.lines(), ["CONNECT vault.test:8200"], "{done:?}");
    assert_has(&done.stderr, &["proxyconnect tcp: HTTP/1.1 403"]);
    // A local address needs none, unless it was meant.
    let server = Canned::start(&[(200, r#"{"request_id":"1","data":{"a":1}}"#)]);
    let done = server.run(&["read", "x/y"], &[("HTTP_PROXY", "http://127.0.0.1:1")]);
    assert_eq!((done.code, done.lines()), (0, vec!["GET /v1/x/y"]));
}

#[test]
fn what_is_mistyped_is_answered_with_the_nearest_name() {
    let server = Canned::start(&[]);
    for (args, code, says) in [
        (&["stauts"][..], 127, "Did you mean \"status\"?"),
        (&["kv", "gte", "a"], 1, "Did you mean \"get\"?"),
        (&["secrets", "tuen", "a"], 1, "Did you mean \"tune\"?"),
        (&["read", "-fromat=json", "a"], 1, "flag provided but not defined: -fromat\nDid you mean -format?"),
        (&["auth", "tune", "-user-lockout-treshold=3", "a"], 1, "Did you mean -user-lockout-threshold?"),
        (&["login", "-method=userpas"], 1, "Did you mean -method=userpass?"),
        (&["read", "-format=jsno", "a"], 1, "Invalid output format: jsno\nDid you mean -format=json?"),
    ] {
        let done = server.run(args, &[]);
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        assert_has(&done.stderr, &[says]);
        assert_eq!(done.stdout, "", "{args:?}");
    }
}

#[test]
fn what_the_environment_says_wrong_is_named() {
    let server = Canned::start(&[]);
    for (name, value, says) in [
        ("VAULT_CLIENT_TIMEOUT", "x", "failed to read environment: could not parse \"VAULT_CLIENT_TIMEOUT\""),
        ("BAO_RATE_LIMIT", "x", "failed to read environment: BAO_RATE_LIMIT was provided but incorrectly formatted"),
        ("VAULT_SKIP_VERIFY", "x", "failed to read environment: could not parse VAULT_SKIP_VERIFY"),
    ] {
        let done = server.run(&["read", "a"], &[(name, value)]);
        assert_eq!(done.code, 2, "{done:?}");
        assert_has(&done.stderr, &[says]);
    }
}

#[test]
fn a_shell_is_told_what_may_follow() {
    let server = Canned::start(&[]);
    let done = server.run(&["vault", "", ""], &[("COMP_LINE", "vault secrets t"), ("COMP_POINT", "15")]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "tune\n"));
    for shell in ["bash", "zsh", "fish"] {
        let done = server.run(&["completion", shell], &[]);
        assert_has(&done.stdout, &["enable-versioning", "path-help", "lookup"]);
        assert_eq!(done.code, 0);
    }
}
