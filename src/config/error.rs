//! What is wrong with a configuration.

use std::io;
use std::path::PathBuf;

/// A configuration's failure. The text is for an operator: it names file, line and key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or directory cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A place in a file.
    #[error("{file}:{line}: {message}")]
    At {
        /// The file as it was named, or the environment variable that held the text.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// An environment variable.
    #[error("environment variable {variable}: {message}")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        message: String,
    },
    /// Something between several keys, or a key that is missing.
    #[error("{0}")]
    Whole(String),
}
