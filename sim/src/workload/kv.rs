//! The KV v2 workload: clients that read, write and check-and-set a few keys through random nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::history::{Ask, History, Op, Outcome, Phase};
use super::http::{Answer, Http, HttpError};
use crate::draw::Draw;
use crate::world::Hands;

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many clients.
    pub clients: usize,
    /// How many keys.
    pub keys: usize,
    /// Out of a hundred calls, reads.
    pub read_percent: u64,
    /// Out of a hundred calls, check-and-sets; the rest are plain writes.
    pub cas_percent: u64,
    /// The longest pause of a client between two calls.
    pub pause_max: Duration,
    /// How long a client waits for an answer.
    pub deadline: Duration,
}

/// The workload. Clones share history and switches.
#[derive(Clone)]
pub struct Kv {
    hands: Hands,
    shape: Shape,
    token: Arc<str>,
    history: History,
    serials: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Kv {
    /// A workload whose clients act with `token`.
    pub fn new(hands: Hands, shape: Shape, token: &str) -> Kv {
        let (serials, stop) = Default::default();
        Kv { hands, shape, token: token.into(), history: History::default(), serials, stop }
    }

    /// What the clients saw.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Starts the clients.
    pub fn start(&self) -> Vec<JoinHandle<()>> {
        (0..self.shape.clients).map(|client| tokio::spawn(self.clone().client(client))).collect()
    }

    /// Lets each client end after its present call.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    async fn client(self, client: usize) {
        let draw = Draw::new(self.hands.settings().seed, &format!("client {client}"));
        let http = self.hands.http();
        let mut seen = vec![0; self.shape.keys];
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(draw.duration(&(Duration::ZERO..self.shape.pause_max))).await;
            let key = draw.index(self.shape.keys);
            let node = draw.index(self.hands.nodes().len());
            let sort = draw.below(100);
            let ask = if sort < self.shape.read_percent {
                Ask::Get
            } else {
                let cas = (sort < self.shape.read_percent + self.shape.cas_percent).then_some(seen[key]);
                Ask::Put { serial: self.next_serial(), cas }
            };
            let op = self.call(&http, client, node, &key_name(key), ask, Phase::Load).await;
            seen[key] = op.witness().unwrap_or(seen[key]);
        }
    }

    /// The serial of the next write.
    pub fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// All keys of the workload.
    pub fn keys(&self) -> Vec<String> {
        (0..self.shape.keys).map(key_name).collect()
    }

    /// Makes one call and notes it in the history.
    pub async fn call(&self, http: &Http, client: usize, node: usize, key: &str, ask: Ask, phase: Phase) -> Op {
        let trace = self.hands.trace();
        let now_ns = || trace.now().as_nanos() as u64;
        let outcome = Outcome::Unknown { why: String::new() };
        let key_text = key.to_string();
        let op = Op { id: 0, client, node, key: key_text, ask, phase, start_ns: now_ns(), end_ns: u64::MAX, outcome };
        let id = self.history.begin(op.clone());
        let (method, body) = match &op.ask {
            Ask::Get => (Method::GET, None),
            Ask::Put { serial, cas } => {
                let options = cas.map_or(json!({}), |cas| json!({"cas": cas}));
                (Method::POST, Some(json!({"data": {"serial": serial}, "options": options})))
            }
        };
        let path = format!("/v1/secret/data/{key}");
        let call = http.call(self.hands.address(node), method, &path, &self.token, body.as_ref());
        let deadline = if phase == Phase::Final { FINAL_DEADLINE } else { self.shape.deadline };
        let result = tokio::time::timeout(deadline, call).await;
        let outcome = judge(&op.ask, result);
        self.history.end(id, now_ns(), outcome.clone());
        trace.event("load", "op", format_args!("{id} c{client}->n{} {key} {:?} {outcome:?}", node + 1, op.ask));
        Op { id, end_ns: now_ns(), outcome, ..op }
    }
}

/// How long the calls of the final phase may take, which must all succeed.
const FINAL_DEADLINE: Duration = Duration::from_secs(6);

/// What an answer, or the lack of one, says about the call.
fn judge(ask: &Ask, result: Result<Result<Answer, HttpError>, tokio::time::error::Elapsed>) -> Outcome {
    let unknown = |why: String| Outcome::Unknown { why };
    let answer = match result {
        Ok(Ok(answer)) => answer,
        // The request never left, but a load balancer could not tell either: unknown is honest, if weak.
        Ok(Err(error)) => return unknown(error.to_string()),
        Err(_) => return unknown("deadline".to_string()),
    };
    let data = &answer.body["data"];
    let number = |value: &Value| value.as_u64();
    match (ask, answer.status) {
        (Ask::Get, 200) => match (number(&data["metadata"]["version"]), number(&data["data"]["serial"])) {
            (Some(version), Some(serial)) => Outcome::Read { version, serial },
            _ => unknown(format!("an answer without version or serial: {}", answer.body)),
        },
        (Ask::Get, 404) => Outcome::Missing,
        (Ask::Put { .. }, 200) => match number(&data["version"]) {
            Some(version) => Outcome::Written { version },
            None => unknown(format!("an answer without version: {}", answer.body)),
        },
        (_, status @ 400..=499) => Outcome::Rejected { status },
        (_, status) => unknown(format!("status {status}")),
    }
}

fn key_name(index: usize) -> String {
    format!("k{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(status: u16, body: Value) -> Outcome {
        judge(&Ask::Put { serial: 1, cas: None }, Ok(Ok(Answer { status, body })))
    }

    #[test]
    fn outcomes_are_honest() {
        assert_eq!(put(200, json!({"data": {"version": 3}})), Outcome::Written { version: 3 });
        assert_eq!(put(400, Value::Null), Outcome::Rejected { status: 400 });
        assert!(matches!(put(500, Value::Null), Outcome::Unknown { .. }));
        assert!(matches!(put(503, Value::Null), Outcome::Unknown { .. }));
        assert!(matches!(put(200, Value::Null), Outcome::Unknown { .. }));
        let missing = judge(&Ask::Get, Ok(Ok(Answer { status: 404, body: Value::Null })));
        assert_eq!(missing, Outcome::Missing);
        let broken = judge(&Ask::Get, Ok(Err(HttpError::Broken("reset".into()))));
        assert!(matches!(broken, Outcome::Unknown { .. }));
    }
}
