//! Figures and log lines.
//!
//! [`table`] names every figure; [`metrics`] keeps their values, one registry a node and none for the process;
//! [`render`] shows them. [`log`] turns `tracing` events into lines, [`log_file`] writes and rotates them, and
//! [`seldom`] keeps a line from repeating without end.

pub mod log;
pub mod log_file;
pub mod metrics;
pub mod render;
pub mod seldom;
pub mod table;
pub mod window;

pub use log::{Level, LogError, LogFormat, LogHandle, LogOptions};
pub use metrics::Metrics;
pub use seldom::Seldom;
pub use table::Figure;
