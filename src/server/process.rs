//! The process around a node: logging, locked memory, pid file, signals.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{Node, ServerArgs, Tuning, dev};
use crate::config::logging::{Log, LogFormat, LogLevel};
use crate::config::{self, Config};
use crate::runtime::Runtime;
use crate::telemetry::{self, Level, LogHandle, LogOptions, Metrics};

/// Stack of a thread of the runtime. Locked memory counts whole stacks once they are touched.
const THREAD_STACK_BYTES: usize = 2 << 20;

/// How long the last log lines have to reach their file.
const LOG_FLUSH: Duration = Duration::from_secs(2);

/// Runs a server to its end.
pub fn run(args: ServerArgs) -> ExitCode {
    // Half as many threads as processors, two being one: a request passes many short tasks, and waking a second thread
    // for some of them costs more than they do (docs/performance.md). Syncs, RocksDB and long computations have threads
    // of their own.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().worker_threads(processors.div_ceil(2)).thread_stack_size(THREAD_STACK_BYTES);
    let built = builder.build();
    let outcome = match built {
        Ok(tokio) => tokio.block_on(serve(args)),
        Err(error) => Err(format!("the runtime cannot be started: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error starting server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: ServerArgs) -> Result<(), String> {
    if let Some(unknown) = args.unknown.first() {
        return Err(format!("{unknown:?} is not understood: the server takes flags only"));
    }
    if args.migrate {
        println!(
            "-migrate is not needed here: start the server, then give the shares with `operator unseal -migrate`."
        );
    }
    let runtime = Runtime::real();
    if args.dev || args.dev_three_node {
        return dev::serve(args, runtime).await;
    }
    let mut config = load(&args, &runtime).await?;
    let metrics = Metrics::new(runtime.clock.clone());
    let log = telemetry::log::init(log_options(&config.log), &runtime, &metrics).await;
    let log = log.map_err(|error| error.to_string())?;
    tell_panics();
    harden(&config)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if !config.later.is_empty() {
        tracing::warn!("known keys without effect yet: {}", config.later.join(", "));
    }
    keep_node_id(&mut config, &runtime).await?;
    let pid_file = config.pid_file.clone();
    let node = Node::start_with(config, runtime.clone(), Tuning::default(), metrics).await;
    let node = node.map_err(|error| error.to_string())?;
    // Not before: a start that fails must not take the name of a process that runs.
    if let Some(path) = &pid_file {
        write_pid_file(path, &runtime).await?;
    }
    print_summary(&node);
    let args = &args;
    until_stopped(&node, &log, || load(args, &runtime)).await?;
    node.shutdown().await;
    if let Some(path) = pid_file {
        let _ = runtime.disk.remove(&path).await;
    }
    log.flush(LOG_FLUSH).await;
    Ok(())
}

async fn load(args: &ServerArgs, runtime: &Runtime) -> Result<Config, String> {
    let environment = std::env::vars().collect();
    let interfaces = runtime.net.interfaces().unwrap_or_else(|error| {
        eprintln!("the addresses of this machine are not known: {error}");
        Vec::new()
    });
    let config = config::load_on(&runtime.disk, &args.config, &environment, &interfaces).await;
    let mut config = config.map_err(|error| error.to_string())?;
    override_log(&mut config.log, args)?;
    Ok(config)
}

/// A panic ends one request or task; its place and words go to the log like everything else.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let words = panic.payload_as_str().unwrap_or("no words");
        tracing::error!(target: "panic", place, "a task panicked: {words}");
    }));
}

fn override_log(log: &mut Log, args: &ServerArgs) -> Result<(), String> {
    if let Some(level) = &args.log_level {
        log.level = LogLevel::parse(level).map_err(|error| format!("-log-level: {error}"))?;
    }
    if let Some(format) = &args.log_format {
        log.format = LogFormat::parse(format).map_err(|error| format!("-log-format: {error}"))?;
    }
    if let Some(file) = &args.log_file {
        log.file = Some(file.clone());
    }
    if let Some(bytes) = args.log_rotate_bytes {
        log.rotate_bytes = bytes;
    }
    if let Some(duration) = args.log_rotate_duration {
        log.rotate_duration = duration;
    }
    if let Some(files) = args.log_rotate_max_files {
        log.rotate_max_files = u32::try_from(files).ok();
    }
    Ok(())
}

/// The log's options as `telemetry` takes them.
pub(super) fn log_options(log: &Log) -> LogOptions {
    LogOptions {
        level: level(log.level),
        format: match log.format {
            LogFormat::Standard => telemetry::LogFormat::Standard,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        file: log.file.clone(),
        rotate_bytes: log.rotate_bytes,
        rotate_duration: log.rotate_duration,
        rotate_max_files: log.rotate_max_files.map_or(0, i64::from),
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::Trace,
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
    }
}

/// Locks memory, so that no secret is swapped out, switches core dumps off, and closes the data directory to others.
fn harden(config: &Config) -> Result<(), String> {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if let Some(path) = &config.storage.path
        && let Err(error) = crate::runtime::real::keep_to_owner(path)
    {
        tracing::warn!(%error, "{} is open to others than this user and cannot be closed to them", path.display());
    }
    if config.disable_mlock {
        tracing::warn!("memory is not locked (disable_mlock): secrets may reach the swap");
        return Ok(());
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).map_err(|error| {
        format!(
            "memory cannot be locked: {error}. Raise the limit (LimitMEMLOCK=infinity in the unit, ulimit -l) or grant the \
             capability (setcap cap_ipc_lock=+ep), or set disable_mlock = true"
        )
    })
}

/// Without a `node_id` one is made and kept beside the data.
async fn keep_node_id(config: &mut Config, runtime: &Runtime) -> Result<(), String> {
    let storage = &mut config.storage;
    let Some(directory) = storage.path.clone().filter(|_| storage.node_id.is_none()) else { return Ok(()) };
    let path = directory.join("node-id");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(kept) = runtime.disk.read_if_exists(&path).await.map_err(failed)? {
        storage.node_id = Some(String::from_utf8_lossy(&kept).trim().to_string());
        return Ok(());
    }
    let made = runtime.entropy.uuid();
    runtime.disk.create_dir_all(&directory).await.map_err(failed)?;
    runtime.disk.replace(&path, made.clone().into_bytes().into()).await.map_err(failed)?;
    storage.node_id = Some(made);
    Ok(())
}

async fn write_pid_file(path: &Path, runtime: &Runtime) -> Result<(), String> {
    let pid = format!("{}\n", std::process::id());
    let written = runtime.disk.replace(path, pid.into_bytes().into()).await;
    written.map_err(|error| format!("pid_file {}: {error}", path.display()))
}

fn print_summary(node: &Node) {
    println!("==> Holdfast server started ({})", crate::VERSION);
    for (number, address) in node.addresses().into_iter().enumerate() {
        let address = address.map_or_else(|| "unix socket".to_string(), |address| address.to_string());
        println!("    Listener {}: {address}", number + 1);
    }
}

/// Waits for the signal to stop; reloads on SIGHUP.
pub(super) async fn until_stopped<F>(node: &Node, log: &LogHandle, load: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<Config, String>>,
{
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => reload(node, log, load().await).await,
        }
    }
    println!("==> Holdfast shutdown triggered");
    Ok(())
}

async fn reload(node: &Node, log: &LogHandle, config: Result<Config, String>) {
    tracing::info!("reload triggered");
    log.reopen();
    match config {
        Ok(config) => log.set_level(level(config.log.level)),
        Err(error) => tracing::error!(error, "the configuration was not reloaded"),
    }
    if let Err(error) = node.reload_tls().await {
        tracing::error!(%error, "TLS was not reloaded: the old certificates stay");
    }
}

/// Writes a file that only its owner may read.
pub(super) async fn write_private(runtime: &Runtime, path: &Path, text: String) -> Result<(), String> {
    let written = runtime.disk.replace(path, text.into_bytes().into()).await;
    written.map_err(|error| format!("{}: {error}", path.display()))
}
