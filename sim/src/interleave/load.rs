//! Clients that read, write and check-and-set a few keys through random nodes, by calling the core.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use holdfast::core::{Client, Error, Operation, Request, Response};
use holdfast::secret::Secret;
use holdfast_sim::workload::history::{Ask, History, Op, Outcome, Phase};
use serde_json::{Map, Value, json};

use super::world::{NODES, World};

/// Keys of the load.
const KEYS: usize = 4;

/// How long a client waits for an answer.
const DEADLINE: Duration = Duration::from_secs(6);

/// The load. Clones share history and switch.
#[derive(Clone)]
pub struct Load {
    world: World,
    token: Arc<str>,
    history: History,
    serials: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// A load whose clients act with `token`.
    pub fn new(world: &World, token: &str, history: &History) -> Load {
        let (serials, stop) = Default::default();
        Load { world: world.clone(), token: token.into(), history: history.clone(), serials, stop }
    }

    /// Starts the clients.
    pub fn start(&self, clients: usize) -> Vec<tokio::task::JoinHandle<()>> {
        (0..clients).map(|client| tokio::spawn(self.clone().client(client))).collect()
    }

    /// Lets each client end after its present call.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    async fn client(self, client: usize) {
        let draw = self.world.draw(&format!("client {client}"));
        let mut seen = [0; KEYS];
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(draw.below(60))).await;
            let (key, node) = (draw.index(KEYS), draw.index(NODES));
            let ask = match draw.below(100) {
                0..40 => Ask::Get,
                sort => self.put((sort < 60).then_some(seen[key])),
            };
            let op = self.call(client, node, &format!("k{key}"), ask, Phase::Load).await;
            seen[key] = op.witness().unwrap_or(seen[key]);
        }
    }

    /// A write with a serial of its own.
    pub fn put(&self, cas: Option<u64>) -> Ask {
        Ask::Put { serial: self.serials.fetch_add(1, Ordering::Relaxed) + 1, cas }
    }

    /// All keys.
    pub fn keys() -> Vec<String> {
        (0..KEYS).map(|key| format!("k{key}")).collect()
    }

    /// Makes one call and notes it in the history.
    pub async fn call(&self, client: usize, node: usize, key: &str, ask: Ask, phase: Phase) -> Op {
        let trace = self.world.trace();
        let now_ns = || trace.now().as_nanos() as u64;
        let outcome = Outcome::Unknown { why: String::new() };
        let key_text = key.to_string();
        let op = Op { id: 0, client, node, key: key_text, ask, phase, start_ns: now_ns(), end_ns: u64::MAX, outcome };
        let id = self.history.begin(op.clone());
        let path = format!("secret/data/{key}");
        let request = match &op.ask {
            Ask::Get => request(Operation::Read, &path, Some(&self.token), json!({})),
            Ask::Put { serial, cas } => {
                let options = cas.map_or(json!({}), |cas| json!({"cas": cas}));
                let body = json!({"data": {"serial": serial}, "options": options});
                request(Operation::Update, &path, Some(&self.token), body)
            }
        };
        let outcome = judge(&op.ask, self.world.call(node, request, DEADLINE).await);
        self.history.end(id, now_ns(), outcome.clone());
        trace.event("load", "op", format_args!("{id} c{client}->n{} {key} {:?} {outcome:?}", node + 1, op.ask));
        Op { id, end_ns: now_ns(), outcome, ..op }
    }
}

/// A request as the HTTP layer makes it.
pub fn request(operation: Operation, path: &str, token: Option<&str>, body: Value) -> Request {
    let data = match body {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    Request {
        id: "00000000-0000-4000-8000-000000000000".into(),
        operation,
        path: path.into(),
        data,
        token: token.map(Secret::from),
        wrap_ttl: None,
        client: Client::default(),
        headers: BTreeMap::new(),
    }
}

/// What an answer, or the lack of one, says about the call. The core itself says what was certainly not carried out.
fn judge(ask: &Ask, answer: Option<Result<Response, Error>>) -> Outcome {
    let unknown = |why: String| Outcome::Unknown { why };
    let response = match answer {
        Some(Ok(response)) => response,
        Some(Err(Error::Absent)) if *ask == Ask::Get => return Outcome::Missing,
        Some(Err(error @ (Error::Unknown(_) | Error::Internal(_)))) => return unknown(error.to_string()),
        Some(Err(Error::Invalid(_) | Error::Denied(_))) => return Outcome::Rejected { status: 400 },
        Some(Err(_)) => return Outcome::Rejected { status: 503 },
        None => return unknown("no answer".into()),
    };
    let Some(data) = response.data.map(Value::Object) else {
        return if response.absent { Outcome::Missing } else { unknown("an answer without data".into()) };
    };
    match ask {
        Ask::Get => match (data["metadata"]["version"].as_u64(), data["data"]["serial"].as_u64()) {
            (Some(version), Some(serial)) => Outcome::Read { version, serial },
            _ => unknown(format!("an answer without version or serial: {data}")),
        },
        Ask::Put { .. } => match data["version"].as_u64() {
            Some(version) => Outcome::Written { version },
            None => unknown(format!("an answer without version: {data}")),
        },
    }
}
