//! A toy server to test the simulator with: KV v2 on one node's log, to which the other nodes forward. It has no
//! failover and no secrets, but it keeps its promises over crashes and power cuts; its planted bugs
//! (`stand-in-skip-sync`, `stand-in-ack-first`, `stand-in-stale-read`) must be found by the checkers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast::runtime::disk::Open;
use holdfast::runtime::point::mutant;
use holdfast::runtime::{File, Runtime};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::host::{API_PORT, Spec};
use crate::workload::http::Http;

struct Server {
    spec: Spec,
    runtime: Runtime,
    forward: Http,
    log: Mutex<Log>,
}

struct Log {
    file: File,
    end: u64,
    kv: BTreeMap<String, (u64, Value)>,
}

/// Runs the toy server.
///
/// # Errors
/// An I/O error of its log.
pub async fn run(spec: Spec, runtime: Runtime) -> io::Result<()> {
    let listener = runtime.net.listen(&format!("{}:{API_PORT}", spec.address)).await?;
    let log = Mutex::new(Log::open(&runtime).await?);
    let forward = Http::new(runtime.clone(), None);
    let server = Arc::new(Server { spec, runtime, forward, log });
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(Arc::clone(&server), request));
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.clone().auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    server: Arc<Server>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, body) = server.handle(&parts.method, parts.uri.path(), body).await;
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

impl Server {
    async fn handle(&self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let first = self.spec.label == "n1";
        match path {
            "/v1/sys/init" if method == Method::GET => (200, json!({"initialized": true})),
            "/v1/sys/init" => (200, json!({"keys": ["k1", "k2", "k3"], "root_token": "root"})),
            "/v1/sys/unseal" | "/v1/sys/seal-status" => (200, json!({"sealed": false, "initialized": true})),
            "/v1/sys/health" => (if first { 200 } else { 429 }, json!({"initialized": true, "standby": !first})),
            "/v1/sys/leader" => (200, json!({"is_self": first, "ha_enabled": true})),
            "/v1/sys/mounts/secret" => (204, Value::Null),
            _ if mutant("stand-in-stale-read") && method == Method::GET => self.kv(method, path, body).await,
            _ if !first => self.forward(method, path, body).await,
            _ => self.kv(method, path, body).await,
        }
    }

    async fn forward(&self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let Some(to) = self.spec.others.first() else { return (503, Value::Null) };
        let call = self.forward.call(*to, method.clone(), path, "", Some(&body));
        match tokio::time::timeout(Duration::from_secs(5), call).await {
            Ok(Ok(answer)) => (answer.status, answer.body),
            // Whether it was carried out is unknown.
            _ => (500, json!({"errors": ["outcome unknown"]})),
        }
    }

    async fn kv(&self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let mut log = self.log.lock().await;
        let (version, value) = log.kv.get(path).cloned().unwrap_or_default();
        if method == Method::GET {
            return match version {
                0 => (404, json!({"errors": []})),
                _ => (200, json!({"data": {"data": value, "metadata": {"version": version}}})),
            };
        }
        if body["options"]["cas"].as_u64().is_some_and(|cas| cas != version) {
            return (400, json!({"errors": ["check-and-set parameter did not match the current version"]}));
        }
        let record = json!({"key": path, "value": body["data"]});
        if mutant("stand-in-ack-first") {
            // The record is lost with the process; the answer has left.
            log.kv.insert(path.to_string(), (version + 1, body["data"].clone()));
        } else if let Err(error) = log.append(&record).await {
            self.runtime.trace.event("toy", format_args!("append fails: {error}"));
            return (500, json!({"errors": [error.to_string()]}));
        }
        (200, json!({"data": {"version": version + 1}}))
    }
}

impl Log {
    async fn open(runtime: &Runtime) -> io::Result<Log> {
        runtime.disk.create_dir_all(Path::new("/data")).await?;
        let file = runtime.disk.open(Path::new("/data/log"), Open::WRITE).await?;
        runtime.disk.sync_dir(Path::new("/data")).await?;
        runtime.disk.sync_dir(Path::new("/")).await?;
        let bytes = file.read_at(0, file.size().await? as usize).await?;
        let mut log = Log { file, end: 0, kv: BTreeMap::new() };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Ok(record) = serde_json::from_slice::<Value>(line) else { break };
            log.end += line.len() as u64;
            log.apply(&record);
        }
        runtime.trace.event("toy", format_args!("open end={} keys={}", log.end, log.kv.len()));
        log.file.set_len(log.end).await?;
        log.file.sync().await?;
        Ok(log)
    }

    async fn append(&mut self, record: &Value) -> io::Result<()> {
        let line = format!("{record}\n");
        self.file.write_at(self.end, Bytes::from(line.clone())).await?;
        self.end += line.len() as u64;
        if !mutant("stand-in-skip-sync") {
            self.file.sync().await?;
        }
        self.apply(record);
        Ok(())
    }

    fn apply(&mut self, record: &Value) {
        let key = record["key"].as_str().unwrap_or_default().to_string();
        let entry = self.kv.entry(key).or_default();
        *entry = (entry.0 + 1, record["value"].clone());
    }
}
