//! How a run ended, and the exit code that names its class.

use std::fmt;

/// The class of what went wrong; its number is the exit code of `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A panic in the server.
    Crash = 10,
    /// A safety property was violated.
    Safety = 11,
    /// The cluster did not serve again in time.
    Liveness = 12,
    /// Two runs of one seed differ.
    NonDeterminism = 13,
    /// The simulator or the scenario itself is at fault: nothing is said about the server.
    Harness = 14,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Crash => "crash",
            Class::Safety => "safety",
            Class::Liveness => "liveness",
            Class::NonDeterminism => "non-determinism",
            Class::Harness => "harness",
        })
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its class.
    pub class: Class,
    /// The property's name, as in the index table of `check/mod.rs`.
    pub property: &'static str,
    /// What was seen, on one line.
    pub what: String,
}

impl Violation {
    /// A violated safety property.
    pub fn safety(property: &'static str, what: impl Into<String>) -> Violation {
        Violation { class: Class::Safety, property, what: what.into() }
    }

    /// A violated liveness property.
    pub fn liveness(property: &'static str, what: impl Into<String>) -> Violation {
        Violation { class: Class::Liveness, property, what: what.into() }
    }

    /// The simulator itself is at fault.
    pub fn harness(what: impl Into<String>) -> Violation {
        Violation { class: Class::Harness, property: "harness", what: what.into() }
    }

    /// A panic.
    pub fn crash(what: impl Into<String>) -> Violation {
        Violation { class: Class::Crash, property: "no-panic", what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.class, self.property, self.what.replace('\n', " | "))
    }
}

/// What `run` says at its end.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Simulated time, in seconds.
    pub sim_seconds: f64,
    /// Events in the trace.
    pub events: u64,
    /// SHA-256 of the trace.
    pub digest: String,
    /// What was violated, the gravest first; empty if all is well.
    pub violations: Vec<Violation>,
}

impl Outcome {
    /// The exit code: 0, or the class of the first violation.
    pub fn exit_code(&self) -> i32 {
        self.violations.first().map_or(0, |violation| violation.class as i32)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { scenario, seed, sim_seconds, events, digest, violations } = self;
        write!(f, "scenario={scenario} seed={seed} sim_seconds={sim_seconds:.3} events={events} digest={digest} ")?;
        match violations.first() {
            None => f.write_str("ok"),
            Some(violation) => write!(f, "VIOLATION {violation}"),
        }
    }
}
