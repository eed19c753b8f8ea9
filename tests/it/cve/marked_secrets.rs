//! Secrets in logs, figures, errors of others, and in plain on disk. Marked secrets go through every operation of the
//! OpenAPI document, and then nobody but who may have them has them.

use serde_json::{Value, json};

use super::{endpoints, ends_the_run, send};
use crate::support::node::tree;
use crate::support::{Cluster, Node, Shape, until};

/// Part of each secret that goes in.
const MARK: &str = "canary7f3a9e";

#[test]
fn marked_secrets_are_nowhere_but_with_who_may_have_them() {
    let shape = Shape {
        top: "log_level = \"trace\"\ntelemetry {\n  prometheus_retention_time = \"1h\"\n  disable_hostname = true\n}"
            .into(),
        ..Shape::default()
    };
    let mut cluster = Cluster::formed_as(1, &shape);
    let root = cluster.root.clone();
    let node = &cluster.nodes[0];
    // A token of a marked id, a value, a wrapped answer, metadata of a token, names that are data.
    let id = format!("{MARK}-token");
    let wish = json!({ "id": id, "policies": ["root"], "ttl": "1h", "meta": { "who": format!("{MARK}-meta") } });
    node.http("POST", "auth/token/create", &root, &wish).ok();
    let value = format!("{MARK}-value");
    node.http("POST", "secret/data/app", &id, &json!({ "data": { "value": value, format!("{MARK}-key"): 1 } })).ok();
    node.http("POST", "cubbyhole/app", &id, &json!({ "value": value })).ok();
    let wrapped = send_wrapped(node, &id, &json!({ "value": value }));
    assert_eq!(node.get("secret/data/app", &id).ok()["data"]["data"]["value"], value.as_str());

    // Every operation, with the marked value in each field as each kind of JSON, by root and by nobody.
    let all = endpoints(node, &root, "canary");
    let mut sent = 0;
    for endpoint in all.iter().filter(|endpoint| !ends_the_run(endpoint)) {
        for shape in 0..4 {
            let marked = |text: &str| match shape {
                0 => json!(format!("{MARK}-{text}")),
                1 => json!([format!("{MARK}-{text}")]),
                2 => json!({ format!("{MARK}-{text}"): format!("{MARK}-{text}") }),
                _ => json!({ "deep": [{ "data": format!("{MARK}-{text}") }] }),
            };
            let mut body: Value = endpoint.fields.iter().map(|name| (name.clone(), marked(name))).collect();
            body["unknown"] = marked("unknown");
            // One request says nothing of the marked token's life: it must not end it.
            let by = if ["DELETE", "LIST", "GET"].contains(&endpoint.method.as_str()) && shape > 0 { "" } else { &id };
            let answer = send(node, &endpoint.method, &endpoint.path, by, body.to_string().as_bytes());
            assert_ne!(answer.status, 500, "{} {}: {}", endpoint.method, endpoint.path, answer.text());
            sent += 1;
            // Broken bodies: a parser's error tells where, not what.
            let mut broken = body.to_string().into_bytes();
            broken.truncate(broken.len() - 2);
            let answer = send(node, &endpoint.method, &endpoint.path, &id, &broken);
            let echoes = answer.status == 400 && answer.text().contains(MARK);
            assert!(!echoes, "{} {} repeats a broken body: {}", endpoint.method, endpoint.path, answer.text());
        }
    }
    assert!(sent > 400, "{sent}");
    // Tokens in odd places, and a share that is not one.
    node.get(&format!("auth/token/lookup/{id}"), &root);
    node.get(&format!("secret/data/{MARK}-no-such-path"), &format!("{MARK}-no-such-token"));
    node.http("PUT", "sys/unseal", "", &json!({ "key": format!("{MARK}-share") }));
    send(node, "POST", "sys/storage/raft/bootstrap/answer", "", format!("{{\"cookie\":\"{MARK}\"}}").as_bytes());

    // Others do not see it: not in answers without a token, nor with one that may do nothing.
    let default = super::token(node, &root, &json!({ "policies": ["default"] }));
    for endpoint in all.iter().filter(|endpoint| !ends_the_run(endpoint)) {
        for by in ["", default.as_str()] {
            let answer = send(node, &endpoint.method, &endpoint.path, by, b"");
            assert!(
                !answer.text().contains(MARK),
                "{} {} to others: {}",
                endpoint.method,
                endpoint.path,
                answer.text()
            );
        }
    }
    for format in ["prometheus", "json"] {
        let figures = node.get(&format!("sys/metrics?format={format}"), &root);
        assert!(figures.status == 200 && !figures.text().contains(MARK), "{}", figures.text());
    }

    // It goes onto the disk, and into the log of the process, and is in plain in neither.
    let shares = cluster.shares.clone();
    cluster.nodes[0].terminate();
    let node = &cluster.nodes[0];
    let log = node.log();
    assert!(log.contains("[TRACE]") || log.contains("[DEBUG]"), "the log tells much");
    assert!(!log.contains("panicked"), "{log}");
    let bare = |token: &str| token.trim_start_matches("hvs.").to_string();
    let mut marks = vec![MARK.to_string(), bare(&root), bare(&default), bare(&wrapped)];
    marks.extend(shares);
    for line in log.lines() {
        // Nothing is logged that had to be cut out, either.
        assert!(!line.contains("[redacted]"), "{line}");
        for mark in &marks {
            assert!(!line.contains(mark.as_str()), "{line}");
        }
    }
    // The names of policies and of paths below a mount are in plain (docs/security/stolen-disk.md); values, keys of
    // values, metadata and tokens are not.
    let files_with = |marks: &[String]| {
        let patterns = marks.iter().flat_map(|mark| ["-e", mark.as_str()]);
        let found = std::process::Command::new("grep").args(["-rlaF"]).args(patterns).arg(node.data()).output();
        String::from_utf8_lossy(&found.expect("grep").stdout).into_owned()
    };
    assert_eq!(files_with(&marks), "");
    assert_ne!(
        files_with(&["vault-prod".into()]),
        "",
        "the cluster's name is there in plain: this looks at all there is"
    );
}

fn send_wrapped(node: &Node, token: &str, body: &Value) -> String {
    let headers = [("X-Vault-Token", token), ("X-Vault-Wrap-TTL", "60s")];
    let answer = crate::support::call(node.api, "POST", "sys/wrapping/wrap", &headers, body.to_string().as_bytes());
    let answer = answer.expect("an answer").ok();
    answer["wrap_info"]["token"].as_str().expect("a token").to_string()
}

fn holds(content: &[u8], mark: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = content[from..].iter().position(|byte| *byte == mark[0]) {
        if content[from + at..].starts_with(mark) {
            return true;
        }
        from += at + 1;
    }
    false
}

#[test]
fn the_client_keeps_its_token_to_itself() {
    let mut cluster = Cluster::prepare(1, &Shape::default());
    cluster.nodes[0].start();
    cluster.init(1, 1);
    cluster.unseal(&cluster.nodes[0]);
    until("active", 20, || (cluster.nodes[0].health() == 200).then_some(()));
    let node = &cluster.nodes[0];
    let home = cluster.folder.path().join("home");
    std::fs::create_dir(&home).expect("a folder");
    let run = |args: &[&str], input: &str, token: &str, address: &str| {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut child = Command::new("sh")
            .args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_holdfast")])
            .args(args)
            .env_clear()
            .env("HOME", &home)
            .env("VAULT_ADDR", address)
            .envs((!token.is_empty()).then_some(("VAULT_TOKEN", token)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("sent");
        let output = child.wait_with_output().expect("its end");
        (output.status.success(), [output.stdout, output.stderr].concat())
    };
    let text = |output: &[u8]| String::from_utf8_lossy(output).into_owned();
    // Errors of every kind: nobody there, refused, an unknown path, a mistyped command.
    let canary = format!("hvs.{MARK}{MARK}{MARK}");
    for (args, address) in [
        (&["kv", "get", "secret/app"][..], "http://127.0.0.1:1"),
        (&["kv", "get", "secret/app"], &node.address()),
        (&["token", "lookup"], &node.address()),
        (&["read", "-output-curl-string", "sys/mounts"], &node.address()),
        (&["kvv", "get", "secret/app"], &node.address()),
        (&["read", "sys/mounts"], "https://127.0.0.1:1"),
        (&["read", "sys/mounts"], "nonsense://"),
    ] {
        let (_, output) = run(args, "", &canary, address);
        assert!(!holds(&output, MARK.as_bytes()), "{args:?} at {address}: {}", text(&output));
    }
    // A login from standard input leaves the token in a private file, and nowhere else.
    let (ok, output) = run(&["login", "-no-print", "-"], &cluster.root, "", &node.address());
    assert!(ok, "{}", text(&output));
    assert!(!text(&output).contains(&cluster.root), "{}", text(&output));
    let files: Vec<_> = tree(&home).into_iter().filter(|path| path.is_file()).collect();
    assert_eq!(files, [home.join(".vault-token")]);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&files[0]).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    // The server dumps no core and has no secret in its environment or command line.
    let of = |name: &str| std::fs::read(format!("/proc/{}/{name}", node.pid())).unwrap_or_default();
    let limits = text(&of("limits"));
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    for name in ["environ", "cmdline"] {
        assert!(
            !holds(&of(name), cluster.root.as_bytes()) && !holds(&of(name), cluster.shares[0].as_bytes()),
            "{name}"
        );
    }
}
