//! The event trace of a run: one line an event, `[ns] node kind text`, and a SHA-256 over all lines. Two runs of one seed
//! must not differ in one byte of it.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast::runtime::Trace;
use holdfast::runtime::trace::TraceSink;
use sha2::{Digest, Sha256};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Simulated time since the start, in nanoseconds.
    pub ns: u64,
    /// The node's name (`n1`), `world` or `load`.
    pub node: String,
    /// A kind of a few letters.
    pub kind: &'static str,
    /// What happened.
    pub text: String,
}

/// The collector. Clones share it.
#[derive(Clone)]
pub struct TraceLog(Arc<Inner>);

struct Inner {
    now_ns: AtomicU64,
    state: Mutex<State>,
}

struct State {
    hasher: Sha256,
    events: u64,
    output: Option<Box<dyn Write + Send>>,
    kept: Vec<Event>,
    hidden: Vec<String>,
    opaque_snapshots: bool,
}

impl TraceLog {
    /// A collector that also writes each line to `output`.
    pub fn new(output: Option<Box<dyn Write + Send>>) -> TraceLog {
        let state = State {
            hasher: Sha256::new(),
            events: 0,
            output,
            kept: Vec::new(),
            hidden: Vec::new(),
            opaque_snapshots: false,
        };
        TraceLog(Arc::new(Inner { now_ns: AtomicU64::new(0), state: Mutex::new(state) }))
    }

    /// The handle that the library's `Runtime` of `node` gets.
    pub fn for_node(&self, node: &str) -> Trace {
        Trace::new(NodeSink { log: self.clone(), node: node.to_string() })
    }

    /// Writes `/data` for `path` in all events: the names of real directories differ from run to run.
    pub fn hide(&self, path: &str) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).hidden.push(path.to_string());
    }

    /// Leaves the hashes of snapshots' bytes out of all events: RocksDB writes session ids of its own into its files, which
    /// nothing can seed. Their lengths stay.
    pub fn hide_snapshot_bytes(&self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).opaque_snapshots = true;
    }

    /// Sets the time of events that come from outside any host: the step loop's.
    pub fn set_now(&self, now: Duration) {
        self.0.now_ns.store(now.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The step loop's time.
    pub fn step_time(&self) -> Duration {
        Duration::from_nanos(self.0.now_ns.load(Ordering::Relaxed))
    }

    /// Simulated time since the start, of the host that runs or else of the step loop.
    pub fn now(&self) -> Duration {
        host_time().unwrap_or_else(|| self.step_time())
    }

    /// Records one event.
    pub fn event(&self, node: &str, kind: &'static str, text: fmt::Arguments<'_>) {
        let ns = self.now().as_nanos() as u64;
        let mut text = text.to_string().replace('\n', " | ");
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if text.contains(REAL_DIR_PREFIX) {
            for path in &state.hidden {
                text = text.replace(path.as_str(), "/data");
            }
        }
        if state.opaque_snapshots {
            text = without_snapshot_hashes(kind, text);
        }
        let line = format!("[{ns:>12}] {node} {kind} {text}\n");
        state.hasher.update(line.as_bytes());
        state.events += 1;
        if let Some(output) = &mut state.output {
            // A reader that went away (`verify` stops at the first difference) ends the run, not the trace.
            if output.write_all(line.as_bytes()).is_err() {
                std::process::exit(141);
            }
        }
        if KEPT.contains(&kind) {
            state.kept.push(Event { ns, node: node.to_string(), kind, text });
        }
    }

    /// The events that checkers read, in order.
    pub fn kept(&self) -> Vec<Event> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    /// Number of events and the digest so far, in hex.
    pub fn digest(&self) -> (u64, String) {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.events, hex::encode(state.hasher.clone().finalize()))
    }

    /// Writes out what is buffered.
    pub fn flush(&self) {
        if let Some(output) = &mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner).output {
            let _ = output.flush();
        }
    }
}

/// The time of the host that runs, if one does.
fn host_time() -> Option<Duration> {
    #[cfg(not(madsim))]
    return turmoil::sim_elapsed();
    #[cfg(madsim)]
    return madsim::time::TimeHandle::try_current().map(|time| time.elapsed());
}

struct NodeSink {
    log: TraceLog,
    node: String,
}

impl TraceSink for NodeSink {
    fn event(&self, kind: &'static str, text: fmt::Arguments<'_>) {
        self.log.event(&self.node, kind, text);
    }
}

/// The event without the hashes of a snapshot's bytes: at the end of a frame's or a write's event, and in the names of
/// the directories where received snapshots are staged.
fn without_snapshot_hashes(kind: &str, mut text: String) -> String {
    let staged = kind == "disk" && text.contains(STAGING);
    if staged && text.starts_with("write ") || kind == "rpc" && text.contains("Snapshot") {
        text.truncate(text.rfind(' ').unwrap_or(text.len()));
    }
    if !staged {
        return text;
    }
    let mut parts = text.split(STAGING);
    let mut named = parts.next().unwrap_or_default().to_string();
    for part in parts {
        named.push_str(STAGING);
        named.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    named
}

/// Where the library stages snapshots, each in a directory named by a hash of its bytes.
const STAGING: &str = "/staging/";
/// How the names of the nodes' real directories begin.
pub const REAL_DIR_PREFIX: &str = "holdfast-sim-";
/// Kinds that checkers read.
const KEPT: &[&str] = &["raft", "world", "node"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_node_kind_and_text() {
        let digest = |node: &str, text: &str| {
            let log = TraceLog::new(None);
            log.event(node, "raft", format_args!("{text}"));
            log.digest().1
        };
        assert_eq!(digest("n1", "a"), digest("n1", "a"));
        assert_ne!(digest("n1", "a"), digest("n2", "a"));
        assert_ne!(digest("n1", "a"), digest("n1", "b"));
    }

    #[test]
    fn hidden_hashes_of_snapshots_do_not_count() {
        let digest = |kind: &'static str, text: &str| {
            let log = TraceLog::new(None);
            log.hide_snapshot_bytes();
            log.event("n1", kind, format_args!("{text}"));
            log.digest().1
        };
        let chunk = |hash: &str| digest("rpc", &format!("send 1f Some(SnapshotChunk) id=1 flags=0 99 {hash}"));
        assert_eq!(chunk("aa"), chunk("bb"));
        let append = |hash: &str| digest("rpc", &format!("send 1f Some(Append) id=1 flags=0 99 {hash}"));
        assert_ne!(append("aa"), append("bb"));
        let write = |hash: &str| digest("disk", &format!("write /data/staging/{hash}/8.sst 0+99 {hash}"));
        assert_eq!(write("aa"), write("bb"));
        let log = |hash: &str| digest("disk", &format!("write /data/raft/log/0.log 0+99 {hash}"));
        assert_ne!(log("aa"), log("bb"));
    }

    #[test]
    fn an_event_is_one_line() {
        let log = TraceLog::new(None);
        log.event("n1", "raft", format_args!("a\nb"));
        assert_eq!(log.kept()[0].text, "a | b");
    }
}
