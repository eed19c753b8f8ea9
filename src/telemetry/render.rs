//! The figures as `sys/metrics` shows them: Prometheus' text format 0.0.4, and the JSON of go-metrics' in-memory sink.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::metrics::{BOUNDS, Metrics, Shown};
use super::table::{ALL, Figure, Kind};
use super::window::{INTERVAL, QUANTILES, Seen};

/// The media type of [`Metrics::render_prometheus`].
pub const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// Prometheus' text format.
    pub fn render_prometheus(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        let labelled = self.labelled().clone();
        for figure in ALL {
            let name = figure.prometheus_name();
            let mut body = String::new();
            if let Some(shown) = self.shown(*figure) {
                write_series(&mut body, &name, &shown);
            }
            for ((_, labels), value) in labelled.range((*figure, Vec::new())..).take_while(|((f, _), _)| f == figure) {
                let _ = writeln!(body, "{name}{} {value}", label_text(labels));
            }
            if !body.is_empty() {
                let _ =
                    write!(out, "# HELP {name} {}\n# TYPE {name} {}\n{body}", figure.spec().help, type_text(*figure));
            }
        }
        out
    }

    /// The JSON that `sys/metrics` answers without `format=prometheus`: `Timestamp`, `Gauges`, `Points`, `Counters`,
    /// `Samples`, and `Summaries`, which are the samples with their quantiles.
    pub fn render_json(&self) -> Map<String, Value> {
        let (mut gauges, mut counters) = (Vec::new(), Vec::new());
        let (mut samples, mut summaries) = (Vec::new(), Vec::new());
        let labelled = self.labelled().clone();
        for figure in ALL {
            let name = figure.spec().name;
            match self.shown(*figure) {
                Some(Shown::Counter(count)) => counters.push(counter(name, count as f64, &[])),
                Some(Shown::Gauge(value)) => gauges.push(gauge(name, value, &[])),
                Some(Shown::Summary(seen)) if seen.count > 0 => {
                    samples.push(sample(name, &seen));
                    summaries.push(summary(name, &seen));
                }
                _ => {}
            }
            for ((_, labels), value) in labelled.range((*figure, Vec::new())..).take_while(|((f, _), _)| f == figure) {
                match figure.spec().kind {
                    Kind::Counter => counters.push(counter(name, *value, labels)),
                    _ => gauges.push(gauge(name, *value, labels)),
                }
            }
        }
        let mut shown = Map::new();
        shown.insert("Timestamp".into(), Value::String(self.timestamp()));
        shown.insert("Gauges".into(), Value::Array(gauges));
        shown.insert("Points".into(), Value::Array(Vec::new()));
        shown.insert("Counters".into(), Value::Array(counters));
        shown.insert("Samples".into(), Value::Array(samples));
        shown.insert("Summaries".into(), Value::Array(summaries));
        shown
    }

    /// The start of the interval as Go prints a time: `2006-01-02 15:04:05 +0000 UTC`.
    fn timestamp(&self) -> String {
        let interval = i64::try_from(INTERVAL.as_secs()).unwrap_or(1);
        let seconds = self.clock().now().seconds();
        match jiff::Timestamp::from_second(seconds - seconds.rem_euclid(interval)) {
            Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
            Err(_) => String::new(),
        }
    }
}

fn write_series(out: &mut String, name: &str, shown: &Shown) {
    match shown {
        Shown::Counter(count) => drop(writeln!(out, "{name} {count}")),
        Shown::Gauge(value) => drop(writeln!(out, "{name} {value}")),
        Shown::Summary(seen) if seen.total_count == 0 => {}
        Shown::Summary(seen) => {
            for (index, quantile) in QUANTILES.iter().enumerate() {
                match seen.quantiles {
                    Some(values) => drop(writeln!(out, "{name}{{quantile=\"{quantile}\"}} {}", values[index])),
                    None => drop(writeln!(out, "{name}{{quantile=\"{quantile}\"}} NaN")),
                }
            }
            let _ = writeln!(out, "{name}_sum {}\n{name}_count {}", seen.total_sum, seen.total_count);
        }
        Shown::Histogram(cumulative, count, sum) => {
            for (bound, below) in BOUNDS.iter().zip(cumulative) {
                let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
        }
    }
}

fn type_text(figure: Figure) -> &'static str {
    match figure.spec().kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Summary => "summary",
        Kind::Histogram => "histogram",
    }
}

fn label_text(labels: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{}{name}=\"{value}\"", if index > 0 { "," } else { "" });
    }
    text.push('}');
    text
}

fn label_map(labels: &[(String, String)]) -> Value {
    Value::Object(labels.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect())
}

fn gauge(name: &str, value: f64, labels: &[(String, String)]) -> Value {
    json!({ "Name": name, "Value": value, "Labels": label_map(labels) })
}

fn counter(name: &str, value: f64, labels: &[(String, String)]) -> Value {
    json!({
        "Name": name, "Count": value as u64, "Rate": 0, "Sum": value, "Min": 0, "Max": 0, "Mean": 0, "Stddev": 0,
        "Labels": label_map(labels),
    })
}

fn sample(name: &str, seen: &Seen) -> Value {
    json!({
        "Name": name, "Count": seen.count, "Rate": seen.sum / (2.0 * INTERVAL.as_secs_f64()), "Sum": seen.sum,
        "Min": seen.min, "Max": seen.max, "Mean": seen.mean, "Stddev": seen.deviation, "Labels": {},
    })
}

fn summary(name: &str, seen: &Seen) -> Value {
    let mut summary = sample(name, seen);
    if let (Value::Object(fields), Some(values)) = (&mut summary, seen.quantiles) {
        let quantiles = QUANTILES.iter().zip(values).map(|(quantile, value)| (quantile.to_string(), json!(value)));
        fields.insert("Quantiles".into(), Value::Object(quantiles.collect()));
    }
    summary
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime::clock::ClockSource;
    use crate::runtime::{Clock, UnixTime};

    struct Fixed;

    impl ClockSource for Fixed {
        fn now(&self) -> UnixTime {
            UnixTime(1_774_260_937_123_000_000)
        }
        fn boot(&self) -> Duration {
            Duration::from_secs(5)
        }
    }

    fn metrics() -> Metrics {
        let metrics = Metrics::new(Clock::new(Fixed));
        metrics.set_flag(Figure::Unsealed, true);
        metrics.add(Figure::RaftApply, 3);
        metrics.request(Duration::from_millis(2));
        metrics.request(Duration::from_millis(4));
        metrics.commit(Duration::from_micros(800));
        metrics.last_contact(Duration::from_millis(20));
        metrics.set_with(Figure::ReplicationLag, &[("peer_id", "a\"b")], 7.0);
        metrics.add_with(Figure::SealErrors, &[("seal", "awskms")], 1.0);
        metrics
    }

    #[test]
    fn prometheus_text() {
        let text = metrics().render_prometheus();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("handle_request") || line.contains("_lag") || line.contains("_unsealed"))
            .filter(|line| !line.contains("_bucket") || line.contains("0.0025") || line.contains("Inf"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        # HELP vault_core_handle_request Time to serve a request.
        # TYPE vault_core_handle_request summary
        vault_core_handle_request{quantile="0.5"} 2.048
        vault_core_handle_request{quantile="0.9"} 4
        vault_core_handle_request{quantile="0.99"} 4
        vault_core_handle_request_sum 6
        vault_core_handle_request_count 2
        # HELP vault_core_handle_request_duration_seconds Time to serve a request.
        # TYPE vault_core_handle_request_duration_seconds histogram
        vault_core_handle_request_duration_seconds_bucket{le="0.0025"} 1
        vault_core_handle_request_duration_seconds_bucket{le="+Inf"} 2
        vault_core_handle_request_duration_seconds_sum 0.006
        vault_core_handle_request_duration_seconds_count 2
        # HELP vault_core_unsealed 1 while this node is unsealed.
        # TYPE vault_core_unsealed gauge
        vault_core_unsealed 1
        # HELP vault_raft_replication_lag Entries that a peer is behind, by peer.
        # TYPE vault_raft_replication_lag gauge
        vault_raft_replication_lag{peer_id="a\"b"} 7
        "#);
        // A summary that never saw anything is not there; a histogram is, so that rates have a start.
        assert!(!text.contains("vault_barrier_get") && text.contains("vault_raft_log_fsync_duration_seconds_count 0"));
        assert!(text.contains("vault_raft_leader_lastContact_seconds 0.02\n"));
        assert!(text.contains("vault_seal_errors{seal=\"awskms\"} 1\n"));
        // A gauge that was never set is not there at all.
        assert!(!text.contains("vault_expire_num_leases"));
        assert!(text.ends_with('\n') && !text.contains("\n\n"));
    }

    #[test]
    fn json_in_the_shape_of_go_metrics() {
        let shown = metrics().render_json();
        assert_eq!(shown["Timestamp"], json!("2026-03-23 10:15:30 +0000 UTC"));
        assert_eq!(shown["Points"], json!([]));
        let find = |list: &str, name: &str| {
            shown[list].as_array().unwrap().iter().find(|entry| entry["Name"] == name).cloned().unwrap_or_default()
        };
        assert_eq!(
            find("Gauges", "vault.core.unsealed"),
            json!({"Name": "vault.core.unsealed", "Value": 1.0, "Labels": {}})
        );
        assert_eq!(find("Gauges", "vault.raft.replication.lag")["Labels"], json!({"peer_id": "a\"b"}));
        assert_eq!(find("Counters", "vault.raft.apply")["Count"], json!(3));
        assert_eq!(find("Samples", "vault.core.handle_request")["Mean"], json!(3.0));
        let summary = find("Summaries", "vault.raft.commitTime");
        assert_eq!((&summary["Count"], &summary["Max"]), (&json!(1), &json!(0.8)));
        assert!(summary["Quantiles"]["0.99"].is_number());
    }

    #[test]
    fn requests_under_way_are_counted_even_if_they_panic() {
        let metrics = Metrics::new(Clock::new(Fixed));
        let first = metrics.request_started();
        let second = metrics.request_started();
        assert_eq!(metrics.shown(Figure::InFlightRequests), Some(Shown::Gauge(2.0)));
        drop(first);
        second.done();
        assert_eq!(metrics.shown(Figure::InFlightRequests), Some(Shown::Gauge(0.0)));
        let Some(Shown::Summary(seen)) = metrics.shown(Figure::HandleRequest) else { panic!() };
        assert_eq!(seen.count, 1);
    }
}
