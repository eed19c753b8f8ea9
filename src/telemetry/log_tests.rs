use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::runtime::real;

async fn logged(options: LogOptions, events: impl Fn(&LogHandle)) -> Vec<(String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let runtime = Runtime::real();
    let metrics = Metrics::new(runtime.clock.clone());
    let options = LogOptions { file: Some(directory.path().join("holdfast.log")), ..options };
    let (layer, handle) = start(options, &runtime, &metrics, false).await.unwrap();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    events(&handle);
    drop(guard);
    handle.flush(Duration::from_secs(10)).await;
    let disk = real::disk(real::offload());
    let mut files = Vec::new();
    for entry in disk.list(directory.path()).await.unwrap() {
        let bytes = disk.read(&directory.path().join(&entry.name)).await.unwrap();
        files.push((entry.name, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    files
}

#[tokio::test]
async fn standard_lines() {
    let files = logged(LogOptions::default(), |_| {
        tracing::info!(target: "core", nodes = 3, name = "a b", "started");
        tracing::warn!(target: "holdfast::core::seal", "line\nbreak");
        tracing::debug!(target: "core", "not shown");
        tracing::info!(target: "openraft::engine", "not shown");
        tracing::error!(target: "core", token = "hvs.CAESIJabcdefghijklmnopqrst", "leak");
    })
    .await;
    let lines: Vec<&str> = files[0].1.lines().map(|line| &line[24..]).collect();
    assert_eq!(
        lines,
        [
            " [INFO]  core: started: nodes=3 name=\"a b\"",
            " [WARN]  core.seal: line\\nbreak",
            " [ERROR] core: leak: token=hvs.[redacted]",
        ]
    );
    assert!(files[0].1.starts_with("20") && files[0].1.as_bytes()[23] == b'Z', "{}", files[0].1);
}

#[tokio::test]
async fn json_lines() {
    let options = LogOptions { format: LogFormat::Json, ..LogOptions::default() };
    let files = logged(options, |_| tracing::info!(target: "core", nodes = 3, "a \"b\"")).await;
    let mut line: serde_json::Value = serde_json::from_str(&files[0].1).unwrap();
    line["@timestamp"].take();
    assert_eq!(
        line,
        serde_json::json!({"@level": "info", "@message": "a \"b\"", "@module": "core", "@timestamp": null, "nodes": "3"})
    );
}

#[tokio::test]
async fn files_rotate_and_old_ones_go() {
    let options = LogOptions { rotate_bytes: 100, rotate_max_files: 2, ..LogOptions::default() };
    let directory = tempfile::tempdir().unwrap();
    let runtime = Runtime::real();
    let metrics = Metrics::new(runtime.clock.clone());
    let options = LogOptions { file: Some(directory.path().join("holdfast.log")), ..options };
    let (layer, handle) = start(options, &runtime, &metrics, false).await.unwrap();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    for number in 0..5 {
        tracing::info!(target: "core", number, "a line that is long enough to fill more than half of a file");
        handle.flush(Duration::from_secs(10)).await;
    }
    let names = |entries: Vec<crate::runtime::disk::Entry>| entries.into_iter().map(|e| e.name).collect::<Vec<_>>();
    let entries = names(runtime.disk.list(directory.path()).await.unwrap());
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert!(entries.contains(&"holdfast.log".to_string()));
    let text = runtime.disk.read(&directory.path().join("holdfast.log")).await.unwrap();
    assert!(String::from_utf8_lossy(&text).contains("number=4"));

    // What logrotate does: move away, then SIGHUP.
    let moved = directory.path().join("moved");
    runtime.disk.rename(&directory.path().join("holdfast.log"), &moved).await.unwrap();
    handle.reopen();
    tokio::time::sleep(Duration::from_millis(50)).await;
    tracing::info!(target: "core", "after");
    handle.flush(Duration::from_secs(10)).await;
    let text = runtime.disk.read(&directory.path().join("holdfast.log")).await.unwrap();
    assert!(String::from_utf8_lossy(&text).contains("after"));
}

#[test]
fn levels_and_formats() {
    assert_eq!(Level::parse("WARN"), Some(Level::Warn));
    assert_eq!(Level::parse(""), Some(Level::Info));
    assert_eq!(Level::parse("loud"), None);
    assert_eq!(Level::of_byte(Level::Trace as u8), Level::Trace);
}

#[test]
fn tokens_are_cut_out() {
    let cut = |text: &str| without_tokens(text.to_string());
    assert_eq!(
        cut("x hvs.abcdefghijklmnopqrstuvwx y hvb.AAAAAAAAAAAAAAAAAAAAAAAA"),
        "x hvs.[redacted] y hvb.[redacted]"
    );
    assert_eq!(cut("hv hvs. hvs.short hvé"), "hv hvs. hvs.short hvé");
}
