//! A node within the test's own process, asked without HTTP: it starts in milliseconds, and requests can be made to race.

use std::sync::Arc;
use std::time::Duration;

use holdfast::config::Config;
use holdfast::core::{Client, Error, Operation, Request, Response};
use holdfast::raft::state::EngineKind;
use holdfast::runtime::Runtime;
use holdfast::secret::Secret;
use holdfast::server::{Node, Tuning};
use serde_json::{Value, json};

use super::ports::Ports;

/// An unsealed node in memory with its root token.
pub struct Local {
    node: Node,
    /// The root token.
    pub root: String,
    /// The one share of the seal key.
    pub share: String,
    _ports: Ports,
}

impl Local {
    /// Starts, initialises and unseals a node.
    pub async fn start() -> Arc<Local> {
        let mut ports = Ports::reserve();
        // The cluster port is the one after the API's.
        let (api, _cluster) = (ports.next(), ports.next());
        let config = Config::dev(&format!("127.0.0.1:{api}")).expect("a configuration");
        let tuning = Tuning { disk_engine: EngineKind::Memory, segment_bytes: 1 << 20, ..Tuning::default() };
        let node = Node::start(config, Runtime::real(), tuning).await.expect("the node starts");
        let mut local = Local { node, root: String::new(), share: String::new(), _ports: ports };
        let made = local.raw("sys/init", json!({ "secret_shares": 1, "secret_threshold": 1 })).await;
        local.root = made["root_token"].as_str().expect("a token").to_string();
        local.share = made["keys"][0].as_str().expect("a share").to_string();
        local.unseal().await;
        Arc::new(local)
    }

    /// Gives the share and waits until the node is active.
    pub async fn unseal(&self) {
        assert_eq!(self.raw("sys/unseal", json!({ "key": self.share })).await["sealed"], false);
        while !self.node.core().is_active() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A request; the answer's `data`, or what it says instead.
    pub async fn call(&self, operation: Operation, path: &str, token: &str, data: Value) -> Result<Response, Error> {
        self.node.core().handle(&request(operation, path, token, data)).await
    }

    /// As [`Local::call`], from a client with this address.
    pub async fn call_from(
        &self,
        address: &str,
        operation: Operation,
        path: &str,
        token: &str,
        data: Value,
    ) -> Result<Response, Error> {
        let client = Client { address: address.into(), port: 1, ..Client::default() };
        self.node.core().handle(&Request { client, ..request(operation, path, token, data) }).await
    }

    /// A request whose answer is to be wrapped; the wrapping token.
    pub async fn wrapped(&self, operation: Operation, path: &str, token: &str, data: Value) -> String {
        let wrap_ttl = Some(Duration::from_secs(60));
        let request = Request { wrap_ttl, ..request(operation, path, token, data) };
        let response = self.node.core().handle(&request).await.expect("an answer");
        response.wrap_info.expect("it was wrapped").token
    }

    /// A write by root whose answer is to be wrapped for a minute; the wrapping token as a JWT.
    pub async fn wrapped_as_jwt(&self, path: &str, data: Value) -> String {
        let mut request =
            Request { wrap_ttl: Some(Duration::from_secs(60)), ..request(Operation::Update, path, &self.root, data) };
        request.headers.insert("x-vault-wrap-format".into(), "jwt".into());
        let response = self.node.core().handle(&request).await.expect("an answer");
        response.wrap_info.expect("it was wrapped").token
    }

    /// A write by root that must succeed; the answer's data.
    pub async fn write(&self, path: &str, data: Value) -> Value {
        let response = self.call(Operation::Update, path, &self.root, data).await;
        response.unwrap_or_else(|error| panic!("{path}: {error}")).data.map_or(Value::Null, Value::Object)
    }

    /// Makes a token; its id and accessor.
    pub async fn token(&self, parent: &str, data: Value) -> (String, String) {
        let made = self.call(Operation::Update, "auth/token/create", parent, data).await.expect("a token");
        let auth = made.auth.expect("a token");
        (auth.client_token, auth.accessor)
    }

    async fn raw(&self, path: &str, data: Value) -> Value {
        let response = self.call(Operation::Update, path, "", data).await.expect("an answer");
        serde_json::from_slice(&response.raw.expect("a bare answer").body).expect("JSON")
    }
}

fn request(operation: Operation, path: &str, token: &str, data: Value) -> Request {
    Request {
        id: "test".into(),
        operation,
        path: path.into(),
        data: data.as_object().cloned().unwrap_or_default(),
        token: Some(token).filter(|token| !token.is_empty()).map(Secret::from),
        wrap_ttl: None,
        client: Client::default(),
        headers: Default::default(),
    }
}
