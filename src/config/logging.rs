//! `log_*`.

use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::section::{Environment, Section};

/// The server's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What is worth a line.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
    /// Where they go besides standard error; a directory if it ends with `/`.
    pub file: Option<PathBuf>,
    /// Rotate when the file is larger, in bytes; 0 for no limit.
    pub rotate_bytes: u64,
    /// Rotate when the file is older.
    pub rotate_duration: Duration,
    /// How many rotated files stay; `None` for all.
    pub rotate_max_files: Option<u32>,
}

/// A level of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For those who work on the server.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// What has failed.
    Error,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Standard,
    /// One JSON object a line.
    Json,
}

impl LogLevel {
    /// Parses a level's name, in any case; `notice` counts as `info`, `err` as `error`.
    ///
    /// # Errors
    /// Names the levels.
    pub fn parse(text: &str) -> Result<LogLevel, String> {
        match text.trim().to_lowercase().as_str() {
            "trace" => Ok(LogLevel::Trace),
            "debug" => Ok(LogLevel::Debug),
            "info" | "notice" => Ok(LogLevel::Info),
            "warn" | "warning" => Ok(LogLevel::Warn),
            "err" | "error" => Ok(LogLevel::Error),
            _ => Err(format!("unknown log level {text:?}: expected trace, debug, info, warn or error")),
        }
    }
}

impl LogFormat {
    /// Parses a format's name.
    ///
    /// # Errors
    /// Names the formats.
    pub fn parse(text: &str) -> Result<LogFormat, String> {
        match text.trim().to_lowercase().as_str() {
            "standard" => Ok(LogFormat::Standard),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("unknown log format {text:?}: expected standard or json")),
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: LogLevel::Info,
            format: LogFormat::Standard,
            file: None,
            rotate_bytes: 0,
            rotate_duration: Duration::from_secs(24 * 3600),
            rotate_max_files: None,
        }
    }
}

pub(super) fn read(top: &Section<'_>, env: &Environment<'_>) -> Result<Log, ConfigError> {
    let default = Log::default();
    let mut log = Log {
        level: top.parsed("log_level", LogLevel::parse)?.unwrap_or(default.level),
        format: top.parsed("log_format", LogFormat::parse)?.unwrap_or(default.format),
        file: top.path("log_file")?,
        rotate_bytes: top.number("log_rotate_bytes", 0, i64::MAX)?.unwrap_or(0).unsigned_abs(),
        rotate_duration: top.duration("log_rotate_duration")?.unwrap_or(default.rotate_duration),
        // 0 keeps all, -1 none.
        rotate_max_files: match top.number("log_rotate_max_files", -1, i64::from(u32::MAX))? {
            None | Some(0) => None,
            Some(count) => Some(u32::try_from(count).unwrap_or(0)),
        },
    };
    env.set("LOG_LEVEL", &mut log.level, LogLevel::parse)?;
    env.set("LOG_FORMAT", &mut log.format, LogFormat::parse)?;
    Ok(log)
}
