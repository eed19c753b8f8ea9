//! Log lines from `tracing` events: to standard error, and to a file where one is configured.
//!
//! Nothing depends on this being set up: without it, as in simulations, events go nowhere and cost a branch.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::runtime::{Clock, Runtime, UnixTime};

use super::log_file::{self, Sink};
use super::metrics::Metrics;

/// The configuration of log lines.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// `log_level`.
    pub level: Level,
    /// `log_format`.
    pub format: LogFormat,
    /// `log_file`: a file, or a directory with a slash at its end.
    pub file: Option<PathBuf>,
    /// `log_rotate_bytes`; 0 for no limit.
    pub rotate_bytes: u64,
    /// `log_rotate_duration`.
    pub rotate_duration: Duration,
    /// `log_rotate_max_files`: archives that are kept; 0 for all, negative for none.
    pub rotate_max_files: i64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            level: Level::Info,
            format: LogFormat::Standard,
            file: None,
            rotate_bytes: 0,
            rotate_duration: Duration::from_secs(24 * 3600),
            rotate_max_files: 0,
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file could not be opened.
    #[error("log_file {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        error: std::io::Error,
    },
    /// Another logger was there first.
    #[error("logging is already set up in this process")]
    Twice,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors only.
    Error,
    /// And warnings.
    Warn,
    /// And what an operator wants to know.
    Info,
    /// And what a developer wants to know.
    Debug,
    /// And the libraries' own.
    Trace,
}

impl Level {
    /// The value of `log_level`, in any case; `None` if it is none.
    pub fn parse(text: &str) -> Option<Level> {
        match text.trim().to_ascii_lowercase().as_str() {
            "error" | "err" => Some(Level::Error),
            "warn" | "warning" => Some(Level::Warn),
            "" | "info" | "notice" => Some(Level::Info),
            "debug" => Some(Level::Debug),
            "trace" => Some(Level::Trace),
            _ => None,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }

    /// Libraries are chattier than we are.
    fn filter_of_libraries(self) -> LevelFilter {
        match self {
            Level::Error => LevelFilter::ERROR,
            Level::Warn | Level::Info => LevelFilter::WARN,
            Level::Debug => LevelFilter::INFO,
            Level::Trace => LevelFilter::TRACE,
        }
    }

    /// Its name, as [`Level::parse`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    fn of_byte(byte: u8) -> Level {
        [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace]
            .into_iter()
            .nth(byte.into())
            .unwrap_or(Level::Info)
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-03-23T10:15:30.123Z [INFO]  core: message: key=value`.
    #[default]
    Standard,
    /// One JSON object a line, with `@level`, `@message`, `@module`, `@timestamp`.
    Json,
}

/// What can be changed while the server runs.
#[derive(Clone)]
pub struct LogHandle {
    levels: Arc<Levels>,
    sinks: Vec<Sink>,
}

/// The handle of the process, once its log is set up.
static OF_PROCESS: OnceLock<LogHandle> = OnceLock::new();

impl LogHandle {
    /// The handle of the process's log; `None` where it has none, as in a simulation.
    pub fn of_process() -> Option<LogHandle> {
        OF_PROCESS.get().cloned()
    }

    /// Changes the configured level. What was set for a part or for all while the server runs is forgotten.
    pub fn set_level(&self, level: Level) {
        self.levels.configured.store(level as u8, Ordering::Relaxed);
        self.override_level(None, None);
    }

    /// Sets the level of a part, or of all, beside what is configured; `None` as the level is the configured one.
    pub fn override_level(&self, part: Option<&str>, level: Option<Level>) {
        let configured = Level::of_byte(self.levels.configured.load(Ordering::Relaxed));
        let mut parts = self.levels.parts.write().unwrap_or_else(PoisonError::into_inner);
        match part {
            None => {
                parts.clear();
                self.levels.base.store(level.unwrap_or(configured) as u8, Ordering::Relaxed);
            }
            Some(part) => drop(parts.insert(part.to_string(), level.unwrap_or(configured))),
        }
        drop(parts);
        tracing::callsite::rebuild_interest_cache();
    }

    /// The level of what has none of its own.
    pub fn level(&self) -> Level {
        self.levels.base()
    }

    /// Each part and its level.
    pub fn levels(&self) -> Vec<(&'static str, Level)> {
        PARTS.iter().map(|part| (*part, self.levels.of(part))).collect()
    }

    /// Opens the file anew at its path, after logrotate has moved it (SIGHUP).
    pub fn reopen(&self) {
        for sink in &self.sinks {
            sink.reopen();
        }
    }

    /// Waits until every line so far has been written, at most `deadline`.
    pub async fn flush(&self, deadline: Duration) {
        for sink in &self.sinks {
            let _ = tokio::time::timeout(deadline, sink.flush()).await;
        }
    }
}

/// Sets logging up for the whole process. In production once, before anything else; never in a simulation.
///
/// # Errors
/// If the file cannot be opened, or it was done before.
pub async fn init(options: LogOptions, runtime: &Runtime, metrics: &Metrics) -> Result<LogHandle, LogError> {
    let (layer, handle) = start(options, runtime, metrics, true).await?;
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    let _ = OF_PROCESS.set(handle.clone());
    Ok(handle)
}

/// The layer that makes the lines and the handle to it; the caller installs the layer.
///
/// # Errors
/// If the file cannot be opened.
pub async fn start(
    options: LogOptions,
    runtime: &Runtime,
    metrics: &Metrics,
    standard_error: bool,
) -> Result<(LogLayer, LogHandle), LogError> {
    let mut sinks = Vec::new();
    if standard_error {
        sinks.push(log_file::standard_error(runtime, metrics));
    }
    if let Some(path) = &options.file {
        let sink = log_file::file(path, &options, runtime, metrics).await;
        sinks.push(sink.map_err(|error| LogError::File { path: path.clone(), error })?);
    }
    let levels = Arc::new(Levels::new(options.level));
    let handle = LogHandle { levels: Arc::clone(&levels), sinks: sinks.clone() };
    Ok((LogLayer { levels, format: options.format, clock: runtime.clock.clone(), sinks }, handle))
}

/// Parts of the server whose level can be set by itself, and the library that has the most to say.
const PARTS: [&str; 9] = ["barrier", "config", "core", "http", "openraft", "raft", "seal", "server", "storage"];

/// The part that a target belongs to.
fn part(target: &str) -> &str {
    let within = target.strip_prefix("holdfast::").unwrap_or(target);
    within.split("::").next().unwrap_or(within)
}

/// How much each part logs.
struct Levels {
    configured: AtomicU8,
    base: AtomicU8,
    parts: RwLock<BTreeMap<String, Level>>,
}

impl Levels {
    fn new(level: Level) -> Levels {
        let level = level as u8;
        Levels { configured: AtomicU8::new(level), base: AtomicU8::new(level), parts: RwLock::default() }
    }

    fn base(&self) -> Level {
        Level::of_byte(self.base.load(Ordering::Relaxed))
    }

    fn of(&self, part: &str) -> Level {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.get(part).copied().unwrap_or_else(|| self.base())
    }

    /// The most that any part logs.
    fn most(&self) -> Level {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.values().copied().fold(self.base(), Level::max)
    }
}

/// Makes lines of events and hands them to the writers; never waits.
pub struct LogLayer {
    levels: Arc<Levels>,
    format: LogFormat,
    clock: Clock,
    sinks: Vec<Sink>,
}

impl LogLayer {
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        let crate_name = metadata.target().split("::").next().unwrap_or("");
        let level = self.levels.of(part(metadata.target()));
        let filter = match crate_name {
            // It warns of every try to reach a node that is down, many times a second.
            "openraft" if level < Level::Debug => LevelFilter::ERROR,
            name if LIBRARIES.contains(&name) => level.filter_of_libraries(),
            _ => level.filter(),
        };
        *metadata.level() <= filter
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() && self.takes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && self.takes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels.most().filter())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = line(self.format, self.clock.now(), event.metadata(), &fields);
        for sink in &self.sinks {
            sink.line(&line);
        }
    }
}

/// An event's message and its other fields as text.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        let value = without_tokens(value);
        match field.name() {
            "message" => self.message = value,
            name => self.others.push((name, value)),
        }
    }
}

fn line(format: LogFormat, now: UnixTime, metadata: &Metadata<'_>, fields: &Fields) -> String {
    let module = module(metadata.target());
    match format {
        LogFormat::Standard => standard_line(now, metadata.level(), &module, fields),
        LogFormat::Json => json_line(now, metadata.level(), &module, fields),
    }
}

fn standard_line(now: UnixTime, level: &tracing::Level, module: &str, fields: &Fields) -> String {
    let mut line = format!("{} {:<7} {module}: ", stamp(now, "%Y-%m-%dT%H:%M:%S%.3fZ"), format!("[{level}]"));
    write_escaped(&mut line, &fields.message);
    for (index, (name, value)) in fields.others.iter().enumerate() {
        line.push_str(if index == 0 { ": " } else { " " });
        let _ = write!(line, "{name}=");
        if value.is_empty() || value.contains([' ', '"', '=']) {
            line.push('"');
            write_escaped(&mut line, &value.replace('"', "\\\""));
            line.push('"');
        } else {
            write_escaped(&mut line, value);
        }
    }
    line.push('\n');
    line
}

fn json_line(now: UnixTime, level: &tracing::Level, module: &str, fields: &Fields) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut line = format!(
        "{{\"@level\":\"{}\",\"@message\":{},\"@module\":{},\"@timestamp\":\"{}\"",
        level.as_str().to_ascii_lowercase(),
        text(&fields.message),
        text(module),
        stamp(now, "%Y-%m-%dT%H:%M:%S%.6fZ"),
    );
    for (name, value) in &fields.others {
        let _ = write!(line, ",{}:{}", text(name), text(value));
    }
    line.push_str("}\n");
    line
}

/// `holdfast::core::seal` is `core.seal`.
fn module(target: &str) -> String {
    target.strip_prefix("holdfast::").unwrap_or(target).replace("::", ".")
}

fn stamp(now: UnixTime, format: &str) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(now.0)) {
        Ok(time) => time.strftime(format).to_string(),
        Err(_) => "0001-01-01T00:00:00.000Z".to_string(),
    }
}

/// A line stays one line, whatever a client put into a path.
fn write_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            c if c.is_control() => drop(write!(line, "\\u{{{:x}}}", u32::from(c))),
            c => line.push(c),
        }
    }
}

/// A text that is to be seen by others, such as a line of the log or a path: no code puts a token there; should one slip
/// through all the same, its prefix gives it away.
pub fn without_tokens(text: String) -> String {
    let mut from = 0;
    let mut text = text;
    while let Some(found) = text[from..].find("hv") {
        let start = from + found;
        from = start + 2;
        let rest = &text[start..];
        if !TOKEN_PREFIXES.iter().any(|prefix| rest.starts_with(prefix)) {
            continue;
        }
        let body =
            rest[4..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(rest.len() - 4);
        if body >= 16 {
            text.replace_range(start + 4..start + 4 + body, "[redacted]");
        }
    }
    text
}

const TOKEN_PREFIXES: [&str; 3] = ["hvs.", "hvb.", "hvr."];

/// Crates whose events are filtered more strictly than ours.
const LIBRARIES: [&str; 12] = [
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "openraft",
    "rustls",
    "tokio",
    "tokio_rustls",
    "tokio_util",
    "tower",
    "want",
    "turmoil",
];

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
