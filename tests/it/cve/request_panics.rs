//! A request that ends the process, or another's request. Every operation of the OpenAPI document gets what it does not
//! expect. (That a panic ends only its own request: `http/listener_tests.rs`.)

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{endpoints, ends_the_run, send};
use crate::support::Cluster;

/// Values of every kind that a field may not be.
fn hostile() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(u64::MAX),
        serde_json::from_str("1e999").unwrap_or(json!(1e300)),
        json!(""),
        json!("\u{0}\u{202e}\u{ffff}%s%n{{"),
        json!("9".repeat(4000)),
        json!("-99999999999999999999h"),
        json!([null, [], {}]),
        json!({ "": {} }),
    ]
}

#[test]
fn no_operation_panics_whatever_its_fields_are() {
    let cluster = Cluster::formed(1);
    let (node, root) = (&cluster.nodes[0], cluster.root.as_str());
    assert!(cluster.put(0, "app", "kept"));
    let mut all = Vec::new();
    for parameter in ["x", "%00", "..%2f..%2f", "%f0%9f%92%a5", "+", "*"] {
        // Without a parameter they differ by nothing but the fields.
        let differs = |path: &str| parameter == "x" || path.split('/').any(|part| part == parameter);
        let more = endpoints(node, root, parameter).into_iter();
        all.extend(more.filter(|endpoint| !ends_the_run(endpoint) && differs(&endpoint.path)));
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Somebody else's requests go on meanwhile, every one of them answered.
        let others = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(cluster.read(0, "app").as_deref(), Some("kept"), "after {count} reads");
                count += 1;
            }
            count
        });
        for (at, endpoint) in all.iter().enumerate() {
            let values = hostile();
            // Each field has another one of the values; a few rounds give each field several.
            for round in 0..3 {
                let field = |(number, name): (usize, &String)| {
                    (name.clone(), values[(at + number + round * 4) % values.len()].clone())
                };
                let body: Value = endpoint.fields.iter().enumerate().map(field).collect();
                // Mounts and the test's own policies must outlive it.
                if endpoint.method == "DELETE" && endpoint.path.starts_with("sys/mounts") {
                    continue;
                }
                let answer = send(node, &endpoint.method, &endpoint.path, root, body.to_string().as_bytes());
                assert!(
                    answer.status != 0 && answer.status != 500,
                    "{} {} {body}: {} {}",
                    endpoint.method,
                    endpoint.path,
                    answer.status,
                    answer.text()
                );
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(others.join().expect("all were answered") > 10);
    });
    assert!(!node.log().contains("panicked"), "{}", node.log());
    assert_eq!(node.health(), 200);
}
