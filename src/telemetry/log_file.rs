//! Writers of log lines. A bounded queue lies between those who log and the disk: a slow disk costs lines, which are
//! counted and reported, and never a request's time.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::runtime::disk::Open;
use crate::runtime::{Clock, Disk, File, Offload, Pool, Runtime};

use super::log::LogOptions;
use super::metrics::Metrics;
use super::table::Figure;

/// The way to one writer.
#[derive(Clone)]
pub(super) struct Sink {
    queue: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
    metrics: Metrics,
}

enum Message {
    Line(Box<str>),
    Reopen,
    Flush(oneshot::Sender<()>),
}

impl Sink {
    /// Hands a line to the writer; drops and counts it if the queue is full.
    pub(super) fn line(&self, line: &str) {
        if self.queue.try_send(Message::Line(line.into())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.metrics.add(Figure::LogLinesDropped, 1);
        }
    }

    /// Makes the writer open its file anew.
    pub(super) fn reopen(&self) {
        let queue = self.queue.clone();
        tokio::spawn(async move { queue.send(Message::Reopen).await });
    }

    /// Waits until all lines so far have been written.
    pub(super) async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        if self.queue.send(Message::Flush(sender)).await.is_ok() {
            let _ = done.await;
        }
    }
}

/// A writer to standard error.
pub(super) fn standard_error(runtime: &Runtime, metrics: &Metrics) -> Sink {
    start(Target::StandardError(runtime.offload.clone()), metrics)
}

/// A writer to a file that rotates.
pub(super) async fn file(path: &Path, options: &LogOptions, runtime: &Runtime, metrics: &Metrics) -> io::Result<Sink> {
    let path =
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") { path.join(DEFAULT_NAME) } else { path.to_path_buf() };
    let mut log = LogFile {
        path,
        disk: runtime.disk.clone(),
        clock: runtime.clock.clone(),
        rotate_bytes: options.rotate_bytes,
        rotate_duration: options.rotate_duration,
        max_files: options.rotate_max_files,
        file: None,
        opened: runtime.clock.boot(),
    };
    log.open().await?;
    Ok(start(Target::File(log), metrics))
}

fn start(target: Target, metrics: &Metrics) -> Sink {
    let (queue, receiver) = mpsc::channel(QUEUE_LINES);
    let dropped = Arc::new(AtomicU64::new(0));
    tokio::spawn(write_loop(receiver, target, Arc::clone(&dropped), metrics.clone()));
    Sink { queue, dropped, metrics: metrics.clone() }
}

async fn write_loop(
    mut receiver: mpsc::Receiver<Message>,
    mut target: Target,
    dropped: Arc<AtomicU64>,
    metrics: Metrics,
) {
    let mut batch = Vec::with_capacity(BATCH_LINES);
    loop {
        batch.clear();
        if receiver.recv_many(&mut batch, BATCH_LINES).await == 0 {
            return;
        }
        let (mut text, mut lines, mut waiting, mut reopen) = (String::new(), 0, Vec::new(), false);
        for message in batch.drain(..) {
            match message {
                Message::Line(line) => {
                    text.push_str(&line);
                    lines += 1;
                }
                Message::Reopen => reopen = true,
                Message::Flush(sender) => waiting.push(sender),
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            text.push_str(&format!("{lost} log lines were dropped here: they could not be written in time\n"));
        }
        if reopen {
            target.reopen();
        }
        if !text.is_empty() && target.write(text).await.is_err() {
            dropped.fetch_add(lost + lines, Ordering::Relaxed);
            metrics.add(Figure::LogLinesDropped, lines);
            tokio::time::sleep(ERROR_PAUSE).await;
        }
        for sender in waiting {
            let _ = sender.send(());
        }
    }
}

enum Target {
    StandardError(Offload),
    File(LogFile),
}

impl Target {
    fn reopen(&mut self) {
        if let Target::File(log) = self {
            log.file = None;
        }
    }

    async fn write(&mut self, text: String) -> io::Result<()> {
        match self {
            Target::StandardError(offload) => {
                offload.run(Pool::Disk, move || io::stderr().lock().write_all(text.as_bytes())).await
            }
            Target::File(log) => log.write(text).await,
        }
    }
}

/// A log file and its archives.
struct LogFile {
    path: PathBuf,
    disk: Disk,
    clock: Clock,
    rotate_bytes: u64,
    rotate_duration: Duration,
    max_files: i64,
    file: Option<File>,
    opened: Duration,
}

impl LogFile {
    async fn open(&mut self) -> io::Result<File> {
        if let Some(directory) = self.path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            self.disk.create_dir_all(directory).await?;
        }
        let file = self.disk.open(&self.path, Open::WRITE).await?;
        self.file = Some(file.clone());
        self.opened = self.clock.boot();
        Ok(file)
    }

    /// Appends, after a rotation if one is due. After an error the next write opens the file anew.
    async fn write(&mut self, text: String) -> io::Result<()> {
        let result = self.append(text).await;
        if result.is_err() {
            self.file = None;
        }
        result
    }

    async fn append(&mut self, text: String) -> io::Result<()> {
        let mut file = match &self.file {
            Some(file) => file.clone(),
            None => self.open().await?,
        };
        // The length is asked each time: logrotate's copytruncate may have cut the file.
        let mut len = file.size().await?;
        if len > 0 && self.is_due(len, text.len() as u64) {
            file = self.rotate().await?;
            len = file.size().await?;
        }
        file.write_at(len, Bytes::from(text)).await
    }

    fn is_due(&self, len: u64, more: u64) -> bool {
        let too_large = self.rotate_bytes > 0 && len + more > self.rotate_bytes;
        let too_old =
            !self.rotate_duration.is_zero() && self.clock.boot().saturating_sub(self.opened) >= self.rotate_duration;
        too_large || too_old
    }

    /// `holdfast.log` becomes `holdfast-1774260930123000000.log`; archives beyond the limit are removed, oldest first.
    async fn rotate(&mut self) -> io::Result<File> {
        let (stem, extension) = self.name_parts();
        let stamp = self.clock.now().0.max(0);
        let archive = self.path.with_file_name(format!("{stem}-{stamp:019}{extension}"));
        self.disk.rename(&self.path, &archive).await?;
        let file = self.open().await?;
        // A log that cannot be tidied is still a log.
        let _ = self.prune().await;
        Ok(file)
    }

    async fn prune(&self) -> io::Result<()> {
        let keep = match self.max_files {
            0 => return Ok(()),
            limit => usize::try_from(limit).unwrap_or(0),
        };
        let (stem, extension) = self.name_parts();
        let directory = self.path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let is_archive = |name: &str| {
            let middle = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&extension));
            middle.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let entries = self.disk.list(directory).await?;
        let mut archives: Vec<String> = entries
            .into_iter()
            .filter(|entry| !entry.is_dir && is_archive(&entry.name))
            .map(|entry| entry.name)
            .collect();
        archives.sort();
        let surplus = archives.len().saturating_sub(keep);
        for name in archives.into_iter().take(surplus) {
            self.disk.remove(&directory.join(name)).await?;
        }
        Ok(())
    }

    fn name_parts(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let extension = text(self.path.extension()).map(|extension| format!(".{extension}")).unwrap_or_default();
        (text(self.path.file_stem()).unwrap_or_else(|| "holdfast".to_string()), extension)
    }
}

/// Lines that wait for one writer at most.
const QUEUE_LINES: usize = 8192;

/// Lines of one write at most.
const BATCH_LINES: usize = 512;

/// Pause after a failed write.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// The file's name where the configuration names a directory.
const DEFAULT_NAME: &str = "holdfast.log";
