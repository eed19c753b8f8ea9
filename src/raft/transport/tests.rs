use std::sync::atomic::AtomicUsize;

use super::testing::{TestNet, TestNode, answering, cluster, enter};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in time: {what}");
}

#[tokio::test]
async fn calls_share_one_connection_and_keep_their_answers_apart() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 2).await;
    let own = nodes[0].id();
    nodes[1].transport.register(
        Kind::Status,
        answering(move |peer, body| {
            assert_eq!((peer.incarnation, peer.label.as_str()), (own, "n0"));
            Ok(body.iter().rev().copied().collect())
        }),
    );
    let calls = (0..50u8).map(|n| {
        let (transport, peer) = (nodes[0].transport.clone(), nodes[1].id());
        async move {
            let body: Vec<u8> = (0..(usize::from(n) * 5000)).map(|at| (at % 251) as u8).collect();
            let answer = transport.call(peer, Kind::Status, body.clone().into(), 5 * SECOND).await.unwrap();
            assert!(answer.iter().eq(body.iter().rev()));
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(net.dials(), 1);
    let error = nodes[0].transport.call(nodes[1].id(), Kind::Forward, Bytes::new(), SECOND).await;
    assert!(matches!(error, Err(CallError::NotSent(_))), "no handler: {error:?}");
    nodes[1].transport.register(Kind::Forward, answering(|_, _| Err("no".into())));
    let error = nodes[0].transport.call(nodes[1].id(), Kind::Forward, Bytes::new(), SECOND).await;
    assert_eq!(error, Err(CallError::Remote("no".into())));
}

#[tokio::test]
async fn three_nodes_learn_addresses_and_fitness_of_one_another() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 3).await;
    let ids: Vec<u64> = nodes.iter().map(TestNode::id).collect();
    nodes[1].transport.introduce("n2").await.unwrap();
    // n0 has heard only of n1, which passes on what it knows of n2.
    nodes[0].transport.introduce("n1").await.unwrap();
    assert_eq!(nodes[0].transport.address_book().address(ids[2]).as_deref(), Some("n2"));
    assert_eq!(nodes[1].transport.peer(ids[0]).unwrap().fitness, Some(Fitness { sealed: true, ..Fitness::default() }));

    nodes[1].transport.set_fitness(Fitness::default());
    for at in [0, 2] {
        let transport = nodes[at].transport.clone();
        until("fitness arrives", || {
            let peer = transport.peer(ids[1]).unwrap();
            peer.fitness == Some(Fitness::default()) && peer.connected && peer.last_heard.is_some()
        })
        .await;
    }
}

#[tokio::test]
async fn a_cluster_with_all_addresses_changed_forms_again() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 3).await;
    let members: BTreeMap<u64, Member> = nodes.iter().map(|node| (node.id(), node.member())).collect();
    for node in &nodes {
        node.transport.shutdown().await;
    }
    let net = TestNet::default();
    let mut moved = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let node = TestNode::start_at(&net, &node.directory, &format!("n{at}"), &format!("new{at}")).await;
        node.transport.set_members(members.clone());
        node.transport.register(Kind::Status, answering(|_, _| Ok(b"ok".to_vec())));
        moved.push(node);
    }
    let error = moved[0].transport.call(moved[1].id(), Kind::Status, Bytes::new(), SECOND).await.unwrap_err();
    assert!(matches!(error, CallError::NotSent(_)));
    // The one target that each knows from its configuration is enough.
    moved[1].transport.introduce("new0").await.unwrap();
    moved[2].transport.introduce("new0").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for (from, to) in [(0, 1), (0, 2), (2, 1)] {
        let answer = moved[from].transport.call(moved[to].id(), Kind::Status, Bytes::new(), SECOND).await;
        assert_eq!(answer.as_deref(), Ok(b"ok".as_slice()), "{from} to {to}");
    }
}

#[tokio::test]
async fn a_silent_peer_costs_a_deadline_and_its_connection() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 2).await;
    nodes[1].transport.register(Kind::Status, answering(|_, _| Ok(Vec::new())));
    let (transport, peer) = (nodes[0].transport.clone(), nodes[1].id());
    transport.call(peer, Kind::Status, Bytes::new(), SECOND).await.unwrap();
    net.silence(true);
    let error = transport.call(peer, Kind::Status, Bytes::new(), Duration::from_millis(150)).await;
    assert!(matches!(error, Err(CallError::Unknown(_))), "{error:?}");
    net.silence(false);
    // The old stream is dead for good; the next call takes a new one.
    transport.call(peer, Kind::Status, Bytes::new(), SECOND).await.unwrap();
    assert_eq!(net.dials(), 2);
}

#[tokio::test]
async fn a_slow_handler_does_not_cost_the_connection() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 2).await;
    let slow: Handler = Arc::new(|_, body| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(u64::from(body[0]) * 10)).await;
            Ok(body)
        })
    });
    nodes[1].transport.register(Kind::Forward, slow);
    let (transport, peer) = (nodes[0].transport.clone(), nodes[1].id());
    let error = transport.call(peer, Kind::Forward, vec![60].into(), Duration::from_millis(400)).await;
    assert!(matches!(error, Err(CallError::Unknown(_))), "{error:?}");
    transport.call(peer, Kind::Forward, vec![0].into(), SECOND).await.unwrap();
    assert_eq!(net.dials(), 1);
}

/// How often a forwarded request arrives whose answer never comes, once for lack of time and once because the connection
/// breaks.
async fn arrivals_of_two_requests() -> usize {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 2).await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&seen);
    let never: Handler = Arc::new(move |_, _| {
        counting.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    });
    nodes[1].transport.register(Kind::Forward, never);
    let call = nodes[0].transport.call(nodes[1].id(), Kind::Forward, Bytes::new(), Duration::from_millis(100));
    assert!(matches!(call.await, Err(CallError::Unknown(_))));
    let (transport, peer) = (nodes[0].transport.clone(), nodes[1].id());
    let before = seen.load(Ordering::SeqCst);
    let call = tokio::spawn(async move { transport.call(peer, Kind::Forward, Bytes::new(), SECOND).await });
    until("it arrives", || seen.load(Ordering::SeqCst) > before).await;
    nodes[1].transport.shutdown().await;
    assert!(call.await.unwrap().is_err());
    seen.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_forwarded_request_is_sent_once() {
    assert_eq!(arrivals_of_two_requests().await, 2);
}

#[cfg(feature = "mutants")]
#[tokio::test]
async fn the_planted_repetition_of_a_forwarded_request_is_seen() {
    crate::runtime::point::plant_here("repeat-forward");
    assert!(arrivals_of_two_requests().await > 2);
}

#[tokio::test]
async fn a_removed_peer_is_cut_and_cannot_come_back() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 2).await;
    let (stays, goes) = (nodes[0].transport.clone(), nodes[1].transport.clone());
    stays.register(Kind::Status, answering(|_, _| Ok(Vec::new())));
    goes.register(Kind::Status, answering(|_, _| Ok(Vec::new())));
    goes.call(nodes[0].id(), Kind::Status, Bytes::new(), SECOND).await.unwrap();
    stays.call(nodes[1].id(), Kind::Status, Bytes::new(), SECOND).await.unwrap();

    let gone = nodes[1].id();
    stays.on_removed(Arc::new(move |incarnation| (incarnation == gone).then_some(42)));
    stays.evict(gone);
    until("the streams are cut", || !goes.peer(nodes[0].id()).unwrap().connected).await;
    let error = goes.call(nodes[0].id(), Kind::Status, Bytes::new(), SECOND).await;
    assert!(matches!(error, Err(CallError::NotSent(_))), "{error:?}");
    let removal = goes.removal().unwrap();
    assert_eq!((removal.incarnation, removal.index, removal.by.incarnation), (gone, 42, nodes[0].id()));
    let error = stays.call(gone, Kind::Status, Bytes::new(), SECOND).await;
    assert!(matches!(error, Err(CallError::NotSent(_))), "{error:?}");
    // A join under the same incarnation is told the same.
    let error = goes.join_call("n0", Kind::JoinChallenge, Bytes::new(), SECOND).await;
    assert!(matches!(error, Err(CallError::NotSent(_))), "{error:?}");
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_a_connection_ends() {
    for way in ["the asker was removed", "the asked was removed", "the asked stops"] {
        let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
        let nodes = cluster(&net, directory.path(), 2).await;
        let (asker, asked) = (nodes[0].transport.clone(), nodes[1].transport.clone());
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
        let slow: Handler = Arc::new(move |_, _| {
            let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
            Box::pin(async move {
                tell.notify_one();
                wait.notified().await;
                Ok(Bytes::from_static(b"done"))
            })
        });
        asked.register(Kind::Forward, slow);
        let to = nodes[1].id();
        let call = |within| {
            let asker = asker.clone();
            async move { asker.call(to, Kind::Forward, Bytes::new(), within).await }
        };
        let first = tokio::spawn(call(10 * SECOND));
        begun.notified().await;
        let mut stopping = None;
        match way {
            "the asker was removed" => asked.evict(nodes[0].id()),
            "the asked was removed" => asker.evict(to),
            _ => {
                let asked = asked.clone();
                stopping = Some(tokio::spawn(async move { asked.shutdown().await }));
                until("it stops", || nodes[1].transport.is_stopped()).await;
            }
        }
        if way != "the asked was removed" {
            let second = call(SECOND).await;
            assert!(matches!(second, Err(CallError::NotSent(_))), "{way}: {second:?}");
        }
        go_on.notify_one();
        assert_eq!(first.await.unwrap(), Ok(Bytes::from_static(b"done")), "{way}");
        if let Some(stopping) = stopping {
            stopping.await.unwrap();
        }
    }
}

#[tokio::test]
async fn copied_and_rolled_back_directories_are_refused() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 2).await;
    let runtime = net.runtime();
    let original = nodes[1].directory.clone();
    let copy = directory.path().join("copy");
    runtime.disk.create_dir_all(&copy).await.unwrap();
    for file in ["identity", "node-key"] {
        let bytes = runtime.disk.read(&original.join(file)).await.unwrap();
        runtime.disk.replace(&copy.join(file), bytes).await.unwrap();
    }
    let members: BTreeMap<u64, Member> = nodes.iter().map(|node| (node.id(), node.member())).collect();
    // Start 2 of the original is seen; the copy's first start is also number 2.
    nodes[1].transport.shutdown().await;
    let again = TestNode::start_at(&net, &original, "n1", "n1").await;
    again.transport.introduce("n0").await.unwrap();
    let copied = TestNode::start_at(&net, &copy, "n1", "copied").await;
    copied.transport.set_members(members.clone());
    let refused = Arc::new(Mutex::new(None));
    let hook = Arc::clone(&refused);
    copied.transport.on_event(Arc::new(move |event| *hook.lock().unwrap() = Some(event)));
    let error = copied.transport.introduce("n0").await.unwrap_err();
    assert!(error.to_string().contains("wipe it and rejoin"), "{error}");
    assert!(matches!(*refused.lock().unwrap(), Some(Event::Refused(_))));
    // Nor is it believed when it is dialled.
    let error = nodes[0].transport.introduce("copied").await.unwrap_err();
    assert!(matches!(error, DialError::Refused(_)), "{error}");
    // The original is not disturbed.
    again.transport.register(Kind::Status, answering(|_, _| Ok(Vec::new())));
    nodes[0].transport.call(nodes[1].id(), Kind::Status, Bytes::new(), SECOND).await.unwrap();
    // What was seen is remembered over a restart of who has seen it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    nodes[0].transport.shutdown().await;
    let witness = TestNode::start_at(&net, &nodes[0].directory, "n0", "n0").await;
    let error = copied.transport.introduce("n0").await.unwrap_err();
    assert!(error.to_string().contains("wipe it and rejoin"), "{error}");
    drop(witness);
}

#[tokio::test]
async fn the_dialler_demands_the_key_it_dials_for() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 3).await;
    let mut members: BTreeMap<u64, Member> = nodes.iter().map(|node| (node.id(), node.member())).collect();
    // Membership says that n1 is where n2 listens.
    members.get_mut(&nodes[1].id()).unwrap().address = "n2".into();
    nodes[0].transport.set_members(members);
    nodes[2].transport.register(Kind::Status, answering(|_, _| panic!("the wrong node was asked")));
    let error = nodes[0].transport.call(nodes[1].id(), Kind::Status, Bytes::new(), SECOND).await.unwrap_err();
    assert!(error.to_string().contains("another node is there"), "{error}");
}

#[tokio::test]
async fn strangers_do_not_come_in() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 1).await;
    nodes[0].transport.register(Kind::Status, answering(|_, _| panic!("a stranger was served")));
    nodes[0].transport.register(
        Kind::JoinChallenge,
        answering(|peer, body| Ok([peer.label.as_bytes(), &peer.public_key, body].concat())),
    );
    let stranger = TestNode::start(&net, directory.path(), "stranger").await;
    assert!(stranger.transport.introduce("n0").await.is_err());
    let error = stranger.transport.join_call("n0", Kind::Status, Bytes::new(), SECOND).await;
    assert!(matches!(error, Err(CallError::NotSent(_))), "{error:?}");
    let reply = stranger.transport.join_call("n0", Kind::JoinChallenge, b"?".as_slice().into(), SECOND).await.unwrap();
    let key = stranger.transport.identity().public_key();
    assert_eq!(reply.body, [b"stranger".as_slice(), &key, b"?"].concat());
    assert_eq!(reply.public_key, nodes[0].transport.identity().public_key());
    // A node without a cluster asks to try later.
    let error = nodes[0].transport.join_call("stranger", Kind::JoinChallenge, Bytes::new(), SECOND).await.unwrap_err();
    assert!(error.to_string().contains("no cluster yet"), "{error}");
}

#[tokio::test]
async fn garbage_and_idlers_cost_little_and_nothing_breaks() {
    use tokio::io::AsyncWriteExt;
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 2).await;
    let runtime = net.runtime();
    let mut idle = Vec::new();
    for at in 0..100 {
        let mut stream = runtime.net.connect("n1").await.unwrap();
        if at % 2 == 0 {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        }
        idle.push(stream);
    }
    tokio::time::sleep(SECOND + SECOND / 4).await;
    nodes[1].transport.register(Kind::Status, answering(|_, _| Ok(Vec::new())));
    nodes[0].transport.call(nodes[1].id(), Kind::Status, Bytes::new(), SECOND).await.unwrap();
}

#[tokio::test]
async fn ordered_requests_are_handled_in_order() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 2).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (began, ended) = (Arc::clone(&seen), Arc::clone(&seen));
    let _ = ended;
    let handler: Handler = Arc::new(move |_, body| {
        let began = Arc::clone(&began);
        Box::pin(async move {
            began.lock().unwrap().push(body[0]);
            // The first are slow: they must not be overtaken in their answers either.
            tokio::time::sleep(Duration::from_millis(u64::from(20u8.saturating_sub(body[0])))).await;
            Ok(body.slice(..1))
        })
    });
    nodes[1].transport.register(Kind::Append, handler);
    let mux = nodes[0].transport.connection(nodes[1].id(), SECOND).await.unwrap();
    let mut pending = Vec::new();
    for n in 0..40u8 {
        // Long and short ones in turn.
        let length = if n % 2 == 0 { 300_000 } else { 1 };
        pending.push(mux.start(Kind::Append, vec![n; length].into()).await.unwrap());
    }
    for (n, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.wait(5 * SECOND).await.unwrap()[0] as usize, n);
    }
    assert!(seen.lock().unwrap().iter().copied().eq(0..40));
}

#[tokio::test]
async fn a_joiner_enters_and_is_then_a_member() {
    let (directory, net) = (tempfile::tempdir().unwrap(), TestNet::default());
    let nodes = cluster(&net, directory.path(), 1).await;
    let joiner = TestNode::start(&net, directory.path(), "joiner").await;
    nodes[0].transport.register(Kind::Status, answering(|_, _| Ok(Vec::new())));
    assert!(joiner.transport.introduce("n0").await.is_err());
    enter(joiner.transport.identity()).await;
    joiner.transport.introduce("n0").await.unwrap();
    joiner.transport.call(nodes[0].id(), Kind::Status, Bytes::new(), SECOND).await.unwrap();
}

#[tokio::test]
async fn who_asks_and_does_not_read_loses_its_connection() {
    use tokio::io::AsyncWriteExt;
    let directory = tempfile::tempdir().unwrap();
    let runtime = Runtime::real();
    let key = Identity::open(&runtime, directory.path(), None, "stranger").await.unwrap().public_key();
    let peer =
        PeerInfo { incarnation: 1, label: "stranger".into(), public_key: key, purpose: Purpose::Join, remote: None };
    let mux = mux::Mux::new(peer, &runtime, &Arc::new(TransportConfig::default().for_joiners()));
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let running = tokio::spawn(mux.run(Box::new(near), bytes::BytesMut::new(), Dispatch::default()));
    let mut pings = bytes::BytesMut::new();
    for id in 0..1000 {
        frame::put(&mut pings, id, Kind::Ping as u8, 0, b"");
    }
    let flood = async { while far.write_all(&pings).await.is_ok() {} };
    tokio::time::timeout(10 * SECOND, flood).await.expect("its connection is closed");
    assert_eq!(running.await.unwrap(), "closed");
}
