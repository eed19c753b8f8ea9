//! The cluster port and the endpoints of joining, in the hands of strangers: floods, and requests that are for members only.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use holdfast::core::join::JoinReply;
use holdfast::raft::identity::Identity;
use holdfast::raft::join::decode;
use holdfast::raft::transport::{Kind, Transport, TransportConfig};
use holdfast::runtime::Runtime;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::support::{Cluster, Shape, call, until};

/// A node of nobody's with a key of its own, which speaks the protocol.
async fn stranger(folder: &std::path::Path, port: u16) -> Transport {
    let runtime = Runtime::real();
    let identity = Identity::open(&runtime, folder, None, "stranger").await.expect("an identity");
    let config = TransportConfig { keep_connected: Duration::ZERO, ..TransportConfig::default() };
    let at = format!("127.0.0.1:{port}");
    Transport::start(&runtime, identity, &at, &at, config).await.expect("a transport")
}

/// A connection from another address than the tests' nodes have.
async fn from_elsewhere(port: u16) -> std::io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 66], 0)))?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await
}

#[test]
fn strangers_are_asked_for_proof_and_told_nothing() {
    let mut cluster = Cluster::formed(1);
    let port = cluster.ports.next();
    let target = format!("127.0.0.1:{}", cluster.nodes[0].cluster);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = cluster.folder.path().join("stranger");
    runtime.block_on(async {
        let stranger = stranger(&folder, port).await;
        let ask = |kind, body: &[u8]| {
            let (stranger, target, body) = (stranger.clone(), target.clone(), Bytes::copy_from_slice(body));
            async move { stranger.join_call(&target, kind, body, Duration::from_secs(3)).await }
        };
        // What members ask each other for, nobody else does, whatever is in it.
        for kind in [
            Kind::Append,
            Kind::Heartbeat,
            Kind::Vote,
            Kind::PreVote,
            Kind::Transfer,
            Kind::SnapshotBegin,
            Kind::SnapshotChunk,
            Kind::SnapshotFinish,
            Kind::ReadIndex,
            Kind::Forward,
            Kind::Propose,
            Kind::Status,
            Kind::Fitness,
            Kind::Hello,
        ] {
            for body in [&b""[..], &[0; 64], &[255; 64]] {
                let answer = ask(kind, body).await;
                assert!(answer.is_err(), "{kind:?} was served: {answer:?}");
            }
        }
        // Answers without proof, and what no message of a join is as long as.
        let long = vec![7; 300 << 10];
        for body in [&b""[..], &[0; 300], &long] {
            let _ = ask(Kind::JoinChallenge, body).await;
            let granted = ask(Kind::JoinAnswer, body).await.map(|reply| decode::<JoinReply>(&reply.body));
            assert!(!matches!(granted, Ok(Ok(JoinReply::Granted(_)))), "{granted:?}");
        }
        // As a member it is refused.
        assert!(stranger.introduce(&target).await.is_err());
    });
    // The same by HTTP: a challenge is anyone's, and worth nothing without the shares.
    let node = &cluster.nodes[0];
    let challenge =
        node.http("PUT", "sys/storage/raft/bootstrap/challenge", "", &json!({ "label": "x", "incarnation": 1 }));
    let told = challenge.ok();
    let mut answer = json!({
        "cookie": told["cookie"], "incarnation": 1, "public_key": told["granter"]["public_key"], "label": "vault-1",
        "cluster_address": "127.0.0.1:1", "granter_key": told["granter"]["public_key"], "proof": told["sealed"],
    });
    for _ in 0..2 {
        let refused = node.http("PUT", "sys/storage/raft/bootstrap/answer", "", &answer);
        assert_eq!(refused.status, 400, "{}", refused.text());
        answer["proof"] = json!("");
    }
    assert_eq!(cluster.peers().len(), 1);
    assert_eq!(
        node.http("POST", "sys/storage/raft/join", "", &json!({ "leader_api_addr": "http://127.0.0.1:1" })).status,
        400
    );
}

#[test]
fn a_flood_of_joins_costs_bounded_memory_and_keeps_no_node_out() {
    let mut cluster = Cluster::prepare(2, &Shape::default());
    cluster.nodes[0].start();
    cluster.init(3, 2);
    cluster.unseal(&cluster.nodes[0]);
    until("active", 20, || (cluster.nodes[0].health() == 200).then_some(()));
    let port = cluster.ports.next();
    let (api, target) = (cluster.nodes[0].api, cluster.nodes[0].cluster);
    let folder = cluster.folder.path().join("stranger");
    let (done, counted) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let stranger = stranger(&folder, port).await;
                let mut held = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    // Handshakes that do not go on, of three kinds.
                    for number in 0..100_u8 {
                        let Ok(mut stream) = from_elsewhere(target).await else { continue };
                        let hello: &[u8] = match number % 3 {
                            0 => b"",
                            1 => b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03",
                            _ => &[number; 4096],
                        };
                        let _ = stream.write_all(hello).await;
                        held.push(stream);
                    }
                    let calls =
                        (0..20).map(|_| {
                            let at = format!("127.0.0.1:{target}");
                            let (stranger, body) = (stranger.clone(), Bytes::from(vec![1; 100 << 10]));
                            async move {
                                stranger.join_call(&at, Kind::JoinChallenge, body, Duration::from_millis(300)).await
                            }
                        });
                    futures_util::future::join_all(calls).await;
                    counted.fetch_add(120, Ordering::Relaxed);
                    if held.len() > 2000 {
                        held.drain(..1000);
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        for thread in 0..2 {
            let (done, counted) = (&done, &counted);
            scope.spawn(move || {
                let label = "l".repeat(60_000);
                while !done.load(Ordering::Relaxed) {
                    let incarnation = counted.fetch_add(1, Ordering::Relaxed);
                    let body = json!({ "label": label, "incarnation": incarnation }).to_string();
                    let what = if thread == 0 { "challenge" } else { "answer" };
                    let path = format!("sys/storage/raft/bootstrap/{what}");
                    let _ = call(api, "PUT", &path, &[], body.as_bytes());
                }
            });
        }
        let flooded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("the flood runs", 20, || (counted.load(Ordering::Relaxed) > 500).then_some(()));
            cluster.nodes[1].start();
            cluster.unseal(&cluster.nodes[1]);
            cluster.wait_for_voters(2);
        }));
        done.store(true, Ordering::Relaxed);
        assert!(flooded.is_ok(), "a node was kept out");
    });
    let (peak, count) = (cluster.nodes[0].peak_resident() >> 20, counted.load(Ordering::Relaxed));
    println!("peak memory {peak} MiB after {count} attempts");
    assert!(peak < 256, "{peak} MiB");
    assert_eq!(cluster.peers().len(), 2, "{:?}", cluster.peers());
    let log = std::fs::metadata(cluster.nodes[0].folder.join("output")).expect("a log").len();
    assert!(log < 4 << 20, "the flood wrote {log} bytes of log");
}
