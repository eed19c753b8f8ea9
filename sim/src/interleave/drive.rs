//! A run: a cluster is formed, loaded, broken and healed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use holdfast::core::{Operation, Response};
use holdfast_sim::check::Evidence;
use holdfast_sim::draw::Draw;
use holdfast_sim::outcome::Violation;
use holdfast_sim::trace::TraceLog;
use holdfast_sim::workload::history::{History, Outcome, Phase};
use serde_json::{Value, json};

use super::load::{Load, request};
use super::world::{NODES, World};

/// Simulated time after which a run is given up.
const LIMIT: Duration = Duration::from_secs(600);

/// After the last fault the cluster takes a fresh write within this time.
const SERVE_WITHIN: Duration = Duration::from_secs(30);

/// The driver's number among the clients.
const DRIVER: usize = 99;

type Carried<T = ()> = Result<T, String>;

/// Plays the run of `seed`.
pub fn play(seed: u64, trace: &TraceLog) -> (Evidence, Vec<Violation>) {
    let mut runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.set_time_limit(LIMIT);
    let history = History::default();
    let end = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let outcome = drive(World::new(seed, trace), &history).await;
            trace.set_now(trace.now());
            outcome
        })
    }));
    let violations = match end {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(what)) => vec![Violation::liveness("serves-again", what)],
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let what = text.unwrap_or("a panic").to_string();
            // What is left of the world cannot be taken down in order.
            std::mem::forget(runtime);
            vec![if what.contains("time limit") {
                Violation::liveness("bounded-run", what)
            } else {
                Violation::crash(what)
            }]
        }
    };
    (Evidence { ops: history.ops(), events: trace.kept(), ..Evidence::default() }, violations)
}

async fn drive(world: World, history: &History) -> Carried {
    let keys = form(&world).await?;
    let load = Load::new(&world, &keys.token, history);
    let clients = load.start(3);
    let draw = world.draw("faults");
    for _ in 0..6 + draw.below(8) {
        pause(&draw, 1500).await;
        fault(&world, &draw, &keys).await?;
    }
    world.note(format_args!("finale"));
    for node in 0..NODES {
        unseal(&world, node, &keys, SERVE_WITHIN).await?;
    }
    until("no fresh write was taken", SERVE_WITHIN, async || {
        for node in 0..NODES {
            let op = load.call(DRIVER, node, "final", load.put(None), Phase::Load).await;
            if matches!(op.outcome, Outcome::Written { .. }) {
                return Some(());
            }
        }
        None
    })
    .await?;
    load.stop();
    for client in clients {
        let _ = client.await;
    }
    for key in Load::keys() {
        until("no read was answered", SERVE_WITHIN, async || {
            for node in 0..NODES {
                let op = load.call(DRIVER, node, &key, holdfast_sim::workload::history::Ask::Get, Phase::Load).await;
                if matches!(op.outcome, Outcome::Read { .. } | Outcome::Missing) {
                    return Some(());
                }
            }
            None
        })
        .await?;
    }
    Ok(())
}

/// What init answered.
struct Keys {
    share: String,
    token: String,
}

/// Three unsealed voters with a KV store at `secret/`.
async fn form(world: &World) -> Carried<Keys> {
    (0..NODES).for_each(|node| world.start(node));
    let init = json!({"secret_shares": 1, "secret_threshold": 1});
    let answer = until("n1 does not init", SERVE_WITHIN, async || {
        let call = request(Operation::Update, "sys/init", None, init.clone());
        world.call(0, call, SERVE_WITHIN).await?.ok()
    })
    .await?;
    let answer = body(&answer);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let keys = Keys { share: text(&answer["keys"][0]), token: text(&answer["root_token"]) };
    unseal(world, 0, &keys, SERVE_WITHIN).await?;
    for node in 1..NODES {
        unseal(world, node, &keys, SERVE_WITHIN).await?;
    }
    let mount = json!({"type": "kv", "options": {"version": "2"}});
    until("no store was mounted", SERVE_WITHIN, async || {
        let call = request(Operation::Update, "sys/mounts/secret", Some(&keys.token), mount.clone());
        world.call(0, call, SERVE_WITHIN).await?.ok()
    })
    .await?;
    Ok(keys)
}

/// Enters the share until the node is unsealed.
async fn unseal(world: &World, node: usize, keys: &Keys, within: Duration) -> Carried {
    until(&format!("n{} does not unseal", node + 1), within, async || {
        let status = request(Operation::Read, "sys/seal-status", None, json!({}));
        if let Some(Ok(answer)) = world.call(node, status, Duration::from_secs(5)).await
            && body(&answer)["sealed"] == false
        {
            return Some(());
        }
        let call = request(Operation::Update, "sys/unseal", None, json!({"key": keys.share}));
        let answer = world.call(node, call, Duration::from_secs(5)).await?.ok()?;
        (body(&answer)["sealed"] == false).then_some(())
    })
    .await
}

/// One disturbance, from its beginning to its end.
async fn fault(world: &World, draw: &Draw, keys: &Keys) -> Carried {
    let (a, b) = (draw.index(NODES), draw.index(NODES));
    let mut others = (0..NODES).filter(|node| *node != a);
    match draw.below(6) {
        0 | 1 => {
            let mut down = vec![a];
            down.extend((a != b && draw.one_in(3)).then_some(b));
            let power = draw.one_in(2);
            down.iter().for_each(|node| world.kill(*node, power));
            pause(draw, 2500).await;
            down.iter().for_each(|node| world.start(*node));
            pause(draw, 500).await;
            for node in down {
                unseal(world, node, keys, SERVE_WITHIN).await?;
            }
        }
        2 => {
            let links: Vec<(usize, usize)> = others.flat_map(|other| [(a, other), (other, a)]).collect();
            cut(world, draw, &links).await;
        }
        3 => {
            let to = others.next().unwrap_or(a);
            cut(world, draw, &[(a, to)]).await;
        }
        4 => {
            world.note(format_args!("step-down at n{}", a + 1));
            let call = request(Operation::Update, "sys/step-down", Some(&keys.token), json!({}));
            let _ = world.call(a, call, Duration::from_secs(5)).await;
        }
        _ => pause(draw, 2000).await,
    }
    Ok(())
}

async fn cut(world: &World, draw: &Draw, links: &[(usize, usize)]) {
    links.iter().for_each(|(from, to)| world.clog(*from, *to, true));
    pause(draw, 3000).await;
    links.iter().for_each(|(from, to)| world.clog(*from, *to, false));
}

async fn pause(draw: &Draw, upto_ms: u64) {
    tokio::time::sleep(Duration::from_millis(1 + draw.below(upto_ms))).await;
}

/// Looks again and again until there is something.
async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Carried<T> {
    let end = tokio::time::Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if tokio::time::Instant::now() > end {
            return Err(format!("{what} within {within:?}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A body of an answer's own.
fn body(response: &Response) -> Value {
    response.raw.as_ref().and_then(|raw| serde_json::from_slice(&raw.body).ok()).unwrap_or_default()
}
