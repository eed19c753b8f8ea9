//! `sys/host-info`: the machine of the active node, for support.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::core::{Core, Response};
use crate::runtime::UnixTime;
use crate::runtime::real::{HostTexts, host};

impl Core {
    /// What the machine tells of itself; in a simulation, nothing.
    pub(super) fn host_info(&self) -> Response {
        let texts = match self.runtime.trace.is_on() {
            true => HostTexts::default(),
            false => host(self.raft.data_dir()),
        };
        Response::data(shown(&texts, self.runtime.clock.now()))
    }
}

fn shown(texts: &HostTexts, now: UnixTime) -> Value {
    json!({
        "cpu": processors(&texts.processors),
        "cpu_times": times(&texts.times),
        "disk": disk(texts.space),
        "host": machine(texts, now),
        "memory": memory(&texts.memory),
        "timestamp": now.rfc3339(),
    })
}

/// One object each, from blocks of `name : value`.
fn processors(text: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let fields: BTreeMap<&str, &str> = block
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let text = |name: &str| fields.get(name).copied().unwrap_or_default();
        let number = |name: &str| text(name).split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
        all.push(json!({
            "cpu": number("processor") as i64,
            "vendorId": text("vendor_id"),
            "family": text("cpu family"),
            "model": text("model"),
            "stepping": number("stepping") as i64,
            "physicalId": text("physical id"),
            "coreId": text("core id"),
            "cores": 1,
            "modelName": text("model name"),
            "mhz": number("cpu MHz"),
            "cacheSize": number("cache size") as i64,
            "flags": text("flags").split_whitespace().collect::<Vec<_>>(),
            "microcode": text("microcode"),
        }));
    }
    all
}

/// Seconds that each processor has spent, from lines `cpu0 user nice system idle iowait irq softirq steal guest ...`.
fn times(text: &str) -> Vec<Value> {
    const NAMES: [&str; 10] =
        ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guestNice"];
    let mut all = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")) {
        let mut words = line.split_whitespace();
        let mut shown = json!({ "cpu": words.next() });
        for (name, ticks) in NAMES.iter().zip(words) {
            shown[name] = json!(ticks.parse::<f64>().unwrap_or(0.0) / TICKS);
        }
        all.push(shown);
    }
    all
}

/// The kernel counts in hundredths of a second on all machines of today.
const TICKS: f64 = 100.0;

fn disk([total, free, inodes, inodes_free]: [u64; 4]) -> Vec<Value> {
    let percent = |used: u64, all: u64| if all == 0 { 0.0 } else { used as f64 * 100.0 / all as f64 };
    let (used, inodes_used) = (total.saturating_sub(free), inodes.saturating_sub(inodes_free));
    vec![json!({
        "path": "/",
        "fstype": "",
        "total": total,
        "free": free,
        "used": used,
        "usedPercent": percent(used, total),
        "inodesTotal": inodes,
        "inodesUsed": inodes_used,
        "inodesFree": inodes_free,
        "inodesUsedPercent": percent(inodes_used, inodes),
    })]
}

fn machine(texts: &HostTexts, now: UnixTime) -> Value {
    let release = |name: &str| {
        let line = texts.release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_string()
    };
    let [hostname, kernel, architecture] = &texts.names;
    json!({
        "hostname": hostname,
        "uptime": texts.uptime,
        "bootTime": now.seconds().saturating_sub(i64::try_from(texts.uptime).unwrap_or(0)),
        "procs": texts.processes,
        "os": "linux",
        "platform": release("ID"),
        "platformFamily": release("ID"),
        "platformVersion": release("VERSION_ID"),
        "kernelVersion": kernel,
        "kernelArch": architecture,
        "virtualizationSystem": "",
        "virtualizationRole": "",
        "hostid": "",
    })
}

/// Bytes, from lines `MemTotal: 123 kB`.
fn memory(text: &str) -> Value {
    let bytes = |wanted: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
        kilobytes.unwrap_or(0).saturating_mul(1024)
    };
    let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
    let used = total.saturating_sub(available);
    json!({
        "total": total,
        "available": available,
        "used": used,
        "usedPercent": if total == 0 { 0.0 } else { used as f64 * 100.0 / total as f64 },
        "free": bytes("MemFree"),
        "active": bytes("Active"),
        "inactive": bytes("Inactive"),
        "buffers": bytes("Buffers"),
        "cached": bytes("Cached"),
        "dirty": bytes("Dirty"),
        "mapped": bytes("Mapped"),
        "shared": bytes("Shmem"),
        "slab": bytes("Slab"),
        "swaptotal": bytes("SwapTotal"),
        "swapfree": bytes("SwapFree"),
        "committedas": bytes("Committed_AS"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let texts = HostTexts {
            processors:
                "processor\t: 0\nvendor_id\t: X\ncpu MHz\t\t: 2596.098\ncache size\t: 1024 KB\nflags\t\t: a b\n\n"
                    .into(),
            times: "cpu  1 2 3\ncpu0 100 200 300 400 0 0 0 0 0 0\nintr 5\n".into(),
            memory: "MemTotal:       1000 kB\nMemAvailable:    250 kB\nActive:   7 kB\nActive(anon):  9 kB\n".into(),
            release: "ID=debian\nVERSION_ID=\"12\"\n".into(),
            names: ["vm".into(), "6.1".into(), "x86_64".into()],
            uptime: 100,
            space: [1000, 250, 10, 5],
            processes: 3,
        };
        let shown = shown(&texts, UnixTime(1_000_000_000_000));
        assert_eq!(shown["cpu"][0]["mhz"], 2596.098);
        assert_eq!(shown["cpu"][0]["cacheSize"], 1024);
        assert_eq!(shown["cpu"][0]["flags"], json!(["a", "b"]));
        assert_eq!((&shown["cpu_times"][0]["cpu"], &shown["cpu_times"][0]["system"]), (&json!("cpu0"), &json!(3.0)));
        assert_eq!(shown["memory"]["used"], 750 * 1024);
        assert_eq!(shown["memory"]["active"], 7 * 1024);
        assert_eq!(shown["disk"][0]["usedPercent"], 75.0);
        assert_eq!(shown["host"]["platformVersion"], "12");
        assert_eq!(shown["host"]["bootTime"], 900);
        assert_eq!(super::shown(&HostTexts::default(), UnixTime(0))["cpu"], json!([]));
    }
}
