//! Events that make up a simulation's trace. They hold plaintext events above TLS, never TLS bytes or their lengths:
//! aws-lc's randomness cannot be seeded.

use std::fmt;
use std::sync::Arc;

/// Takes one event: a kind of a few letters and its text.
pub trait TraceSink: Send + Sync + 'static {
    /// Records one event.
    fn event(&self, kind: &'static str, text: fmt::Arguments<'_>);
}

/// A handle to the trace; silent by default.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<dyn TraceSink>>);

impl Trace {
    /// Sends events to `sink`.
    pub fn new(sink: impl TraceSink) -> Trace {
        Trace(Some(Arc::new(sink)))
    }

    /// Whether anyone listens.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records one event; costs one branch when nobody listens.
    pub fn event(&self, kind: &'static str, text: fmt::Arguments<'_>) {
        if let Some(sink) = &self.0 {
            sink.event(kind, text);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}
