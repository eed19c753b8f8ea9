//! The figures of a run, as a table for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cold_start::Outcome as ColdStart;
use crate::load::{Outcome, quantile};
use crate::scale::Figures as Scale;

/// The same load on both clusters, one right after the other: rate, p50, p99 and CPU of each.
pub struct Pair(Vec<Figures>);

#[derive(Clone, Copy)]
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
}

impl Pair {
    /// Of Holdfast first and, if it was measured, OpenBao second.
    pub fn new(outcomes: Vec<Outcome>) -> Pair {
        let figures = |outcome: &Outcome| Figures {
            rate: outcome.rate,
            p50: micros(outcome.quantile(0.5)),
            p99: micros(outcome.quantile(0.99)),
            cpu: micros(outcome.cpu),
        };
        Pair(outcomes.iter().map(figures).collect())
    }
}

/// All that was measured.
pub struct Report {
    versions: Vec<String>,
    idle_memory: Vec<Vec<u64>>,
    /// Times of a small write and its fdatasync.
    pub syncs: Vec<Duration>,
    /// Times without writes after a kill, by cluster.
    pub gaps: [Vec<Duration>; 2],
    loads: BTreeMap<&'static str, Vec<Pair>>,
}

type Column = (&'static str, fn(&Figures) -> f64);

const COLUMNS: [Column; 4] =
    [("per second", |f| f.rate), ("p50 us", |f| f.p50), ("p99 us", |f| f.p99), ("CPU us a request", |f| f.cpu)];

impl Report {
    /// An empty report on clusters of these versions, which use so much memory before any load.
    pub fn new(versions: Vec<String>, idle_memory: Vec<Vec<u64>>) -> Report {
        Report { versions, idle_memory, syncs: Vec::new(), gaps: Default::default(), loads: BTreeMap::new() }
    }

    /// Adds a round of a load.
    pub fn add(&mut self, name: &'static str, pair: Pair) {
        self.loads.entry(name).or_default().push(pair);
    }

    /// Sorts what was measured.
    pub fn finish(&mut self) {
        self.syncs.sort();
        self.gaps.iter_mut().for_each(|gaps| gaps.sort());
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for version in &self.versions {
            let _ = writeln!(text, "{version}");
        }
        for (name, memory) in ["holdfast", "bao"].iter().zip(&self.idle_memory) {
            let megabytes: Vec<String> = memory.iter().map(|bytes| format!("{:.0}", *bytes as f64 / 1e6)).collect();
            let _ = writeln!(text, "resident memory before the load, {name}: {} MB", megabytes.join(", "));
        }
        let (p50, p99) = (micros(quantile(&self.syncs, 0.5)), micros(quantile(&self.syncs, 0.99)));
        let _ = writeln!(text, "write and fdatasync of 512 bytes on the same disk: p50 {p50:.0} us, p99 {p99:.0} us\n");
        let _ =
            writeln!(text, "{:<24} {:<18} {:>10} {:>10} {:>16}", "load", "figure", "holdfast", "bao", "holdfast / bao");
        for (name, pairs) in &self.loads {
            for (figure, of) in COLUMNS {
                let _ = writeln!(text, "{name:<24} {figure:<18} {}", row(pairs, of));
            }
        }
        if !self.gaps[0].is_empty() {
            let median = |gaps: &[Duration]| quantile(gaps, 0.5).as_secs_f64() * 1e3;
            let (ours, theirs) = (median(&self.gaps[0]), median(&self.gaps[1]));
            let _ = writeln!(
                text,
                "{:<24} {:<18} {ours:>10.0} {theirs:>10.0} {:>16.2}",
                "kill -9 of the active",
                "gap, median ms",
                ours / theirs
            );
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let loads: serde_json::Map<String, Value> = self
            .loads
            .iter()
            .map(|(name, pairs)| {
                let figures = COLUMNS.iter().map(|(figure, of)| {
                    let sides = json!({
                        "holdfast": median(pairs.iter().map(|pair| of(&pair.0[0]))),
                        "bao": median(pairs.iter().filter_map(|pair| pair.0.get(1).map(of))),
                        "ratio": ratio(pairs, *of),
                    });
                    (figure.to_string(), sides)
                });
                (name.to_string(), Value::Object(figures.collect()))
            })
            .collect();
        let milliseconds = |gaps: &[Duration]| gaps.iter().map(|gap| gap.as_secs_f64() * 1e3).collect::<Vec<_>>();
        json!({
            "versions": self.versions,
            "idle_memory_bytes": self.idle_memory,
            "fdatasync_us": {
                "p50": micros(quantile(&self.syncs, 0.5)),
                "p99": micros(quantile(&self.syncs, 0.99)),
            },
            "loads": loads,
            "gap_after_kill_ms": { "holdfast": milliseconds(&self.gaps[0]), "bao": milliseconds(&self.gaps[1]) },
        })
    }
}

/// What a cold start showed, for people or for programs.
pub fn cold_start(outcome: &ColdStart, json: bool) -> String {
    let megabytes = |bytes: u64| (bytes as f64 / 1e6).round();
    let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
    let figures = [
        ("values written, MB", json!(megabytes(outcome.filled))),
        ("data of a node on disk, MB", json!(megabytes(outcome.data))),
        ("largest log seen, MB", json!(megabytes(outcome.log_peak))),
        ("start of all processes to first read, ms", json!(milliseconds(outcome.until_read))),
        ("last unseal to first read, ms", json!(milliseconds(outcome.read_after_unseal))),
        ("last unseal to first write, ms", json!(milliseconds(outcome.write_after_unseal))),
        (
            "resident memory of each node, MB",
            json!(outcome.memory.iter().map(|bytes| megabytes(*bytes)).collect::<Vec<_>>()),
        ),
    ];
    listed(&figures, json)
}

/// What many secrets and tokens showed, for people or for programs.
pub fn scale(figures: &Scale, json: bool) -> String {
    let round = |value: f64| json!((value * 100.0).round() / 100.0);
    let (few, many) = (micros(figures.few.quantile(0.5)), micros(figures.many.quantile(0.5)));
    let (before, during) = (micros(figures.before.quantile(0.99)), micros(figures.during.quantile(0.99)));
    let figures = [
        ("write p50 with 10,000 secrets, us", round(few)),
        ("secrets", json!(figures.keys)),
        ("write p50 with all of them, us", round(many)),
        ("ratio", round(many / few)),
        ("names in the large folder", json!(figures.names)),
        ("listing of it, ms", round(micros(figures.listing) / 1e3)),
        ("tokens, children of one", json!(figures.tokens)),
        ("tokens made a second, 16 connections", round(figures.token_rate)),
        ("resident bytes a token", round(figures.bytes_a_token)),
        ("read p99 before the parent is revoked, us", round(before)),
        ("read p99 while its children go, us", round(during)),
        ("ratio of the p99", round(during / before)),
    ];
    listed(&figures, json)
}

fn listed(figures: &[(&str, Value)], json: bool) -> String {
    match json {
        true => figures.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect::<Value>().to_string(),
        false => figures.iter().map(|(name, value)| format!("{name:<44} {value}\n")).collect(),
    }
}

fn row(pairs: &[Pair], of: fn(&Figures) -> f64) -> String {
    let ours = median(pairs.iter().map(|pair| of(&pair.0[0])));
    let theirs = median(pairs.iter().filter_map(|pair| pair.0.get(1).map(of)));
    let show = |value: Option<f64>, digits: usize| value.map_or("-".to_string(), |value| format!("{value:.digits$}"));
    format!("{:>10} {:>10} {:>16}", show(ours, 0), show(theirs, 0), show(ratio(pairs, of), 2))
}

fn ratio(pairs: &[Pair], of: fn(&Figures) -> f64) -> Option<f64> {
    median(pairs.iter().filter_map(|pair| Some(of(&pair.0[0]) / of(pair.0.get(1)?))))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
