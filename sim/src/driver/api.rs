//! The operator's calls, over the Vault API.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::Driver;
use crate::workload::http::Answer;

/// How long the operator waits for one answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long the operator waits before a repetition.
pub const PAUSE: Duration = Duration::from_millis(50);

/// What `operator init` gave.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Unseal shares.
    pub shares: Vec<String>,
    /// How many of them open the seal.
    pub threshold: usize,
    /// The root token.
    pub token: String,
}

impl Driver {
    /// One call to a node; `None` if there was no answer in time.
    pub async fn call(&self, node: usize, method: Method, path: &str, body: Option<Value>) -> Option<Answer> {
        let (to, token) = (self.hands.address(node), self.keys.token.clone());
        let call = self.http.call(to, method.clone(), path, &token, body.as_ref());
        let answer = tokio::time::timeout(DEADLINE, call).await.ok().and_then(Result::ok);
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        self.hands.trace().event("load", "api", format_args!("n{} {method} {path} {status}", node + 1));
        answer
    }

    /// `operator init` at the first node, as soon as it answers.
    ///
    /// # Errors
    /// A text if it does not answer.
    pub async fn init(&mut self) -> Result<(), String> {
        let body = json!({"secret_shares": SHARES, "secret_threshold": THRESHOLD});
        for _ in 0..400 {
            match self.call(0, Method::PUT, "/v1/sys/init", Some(body.clone())).await {
                Some(answer) if answer.status == 200 => {
                    let shares = answer.body["keys"].as_array().into_iter().flatten();
                    let shares = shares.filter_map(|key| Some(key.as_str()?.to_string())).collect();
                    let token = answer.body["root_token"].as_str().unwrap_or_default().to_string();
                    self.keys = Keys { shares, threshold: THRESHOLD, token };
                    return Ok(());
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        Err("the first node does not initialise the cluster".to_string())
    }

    /// Enters shares at `node` until it is unsealed or holds them pending; gives up after `within`.
    ///
    /// # Errors
    /// A text if the node does not take them.
    pub async fn unseal(&self, node: usize, within: Duration) -> Result<(), String> {
        let end = tokio::time::Instant::now() + within;
        let mut last = None;
        while tokio::time::Instant::now() < end {
            match self.call(node, Method::GET, "/v1/sys/seal-status", None).await {
                Some(answer) if answer.body["sealed"] == json!(false) => return Ok(()),
                Some(_) => {}
                None => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            for share in self.keys.shares.iter().take(self.keys.threshold) {
                last = self.call(node, Method::PUT, "/v1/sys/unseal", Some(json!({"key": share}))).await;
            }
            let pending = last.as_ref().is_some_and(|answer| !answer.body["pending"].is_null());
            let unsealed = last.as_ref().is_some_and(|answer| answer.body["sealed"] == json!(false));
            if pending || unsealed {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("n{} does not take its unseal shares; its last answer was {last:?}", node + 1))
    }

    /// The node that says it is active; if several do, the first one asked.
    pub async fn active(&self) -> Option<usize> {
        for node in self.live() {
            let answer = self.call(node, Method::GET, "/v1/sys/health", None).await;
            if answer.is_some_and(|answer| answer.status == 200) {
                return Some(node);
            }
        }
        None
    }

    /// Waits for an active node.
    ///
    /// # Errors
    /// A text after `within`.
    pub async fn wait_active(&self, within: Duration) -> Result<usize, String> {
        let search = async {
            loop {
                if let Some(node) = self.active().await {
                    return node;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let found = tokio::time::timeout(within, search).await;
        found.map_err(|_| format!("no node was active within {within:?}"))
    }

    /// Waits until every node votes: before that the death of one leaves the others without a quorum. The stand-in, which
    /// has no such answer, is not waited for.
    ///
    /// # Errors
    /// A text if that does not come about in time.
    pub async fn wait_voters(&self, within: Duration) -> Result<(), String> {
        let node = self.wait_active(within).await?;
        let votes = |server: &&Value| server["voter"] == json!(true);
        let search = async {
            loop {
                let path = "/v1/sys/storage/raft/configuration";
                if let Some(answer) = self.call(node, Method::GET, path, None).await {
                    let servers = answer.body["data"]["config"]["servers"].as_array();
                    let voters = servers.into_iter().flatten().filter(votes).count();
                    if voters == self.hands.nodes().len() || answer.status == 404 {
                        return;
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(within, search).await.map_err(|_| format!("not all nodes vote within {within:?}"))
    }

    /// Mounts KV v2 at `secret/`, unless it is there.
    ///
    /// # Errors
    /// A text if that does not come about in time.
    pub async fn mount(&self) -> Result<(), String> {
        let node = self.wait_active(Duration::from_secs(20)).await?;
        let body = json!({"type": "kv", "options": {"version": "2"}});
        let mut said = None;
        for _ in 0..100 {
            let answer = self.call(node, Method::POST, "/v1/sys/mounts/secret", Some(body.clone())).await;
            if answer.as_ref().is_some_and(|answer| answer.status < 300 || answer.body.to_string().contains("in use")) {
                return Ok(());
            }
            said = answer;
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("kv cannot be mounted: {said:?}"))
    }
}

const SHARES: usize = 3;
const THRESHOLD: usize = 2;
