//! Requests as data, sent to the peer (`bao server -dev`) and to `holdfast server -dev`, both fresh: whatever differs is
//! listed in `tests/differential/differences.toml` with its reason, or it is a bug.
//!
//! `tests/differential/AREA.toml` holds the requests of an area, `endpoints.toml` what there is to be tested. The files are
//! read at run time: adding a request needs no build. `docs/compatibility.md` is written from the same files:
//!
//!     HOLDFAST_WRITE_DOCS=1 cargo nextest run differential
//!
//! With `HOLDFAST_SHOW=1` and `--no-capture` the tests print every request with both answers.

mod compare;
mod document;
pub mod pair;
mod report;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};

use self::compare::Observed;
use self::document::Document;
use self::pair::Pair;
use self::table::{AREAS, Area, Book, Endpoint, Request};

/// One test an area, so that they run side by side and fail by name.
macro_rules! areas {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(&stringify!($name).replace('_', "-")); })*

        #[test]
        fn every_area_has_a_test() {
            let tested: Vec<String> = [$(stringify!($name)),*].iter().map(|name| name.replace('_', "-")).collect();
            assert_eq!(tested, AREAS);
        }
    };
}

areas! { tokens roles policies kv1 kv2 cubbyhole wrapping mounts auth_mounts sys init health_seal shares headers errors help }

#[test]
fn every_endpoint_is_asked() {
    let book = Book::read();
    let asked: BTreeSet<(String, String)> = book
        .areas
        .iter()
        .flat_map(|area| &area.requests)
        .filter_map(|request| Some((book.endpoint(request)?.path.clone(), request.verb().to_string())))
        .collect();
    let mut silent = Vec::new();
    for endpoint in book.endpoints().filter(|endpoint| endpoint.missing.is_none()) {
        for verb in endpoint.verbs.split_whitespace() {
            if !asked.contains(&(endpoint.path.clone(), verb.to_string())) {
                silent.push(format!("{verb} {}", endpoint.path));
            }
        }
    }
    assert!(silent.is_empty(), "no request in tests/differential/ goes to\n{}", silent.join("\n"));
}

#[test]
fn the_peers_endpoints_are_all_known() {
    let book = Book::read();
    let pair = Pair::start("endpoints");
    let document = pair.peer.ask("GET", "/v1/sys/internal/specs/openapi", &[("X-Vault-Token", "root")], "").ok();
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 150, "{} paths", paths.len());
    // The last is no path: the peer's KV shows the pattern that catches all.
    let known = |path: &str| book.endpoint_at(path).is_some() || path.contains("^.*$");
    let unknown: Vec<&str> =
        paths.keys().map(|path| path.trim_start_matches('/')).filter(|path| !known(path)).collect();
    assert!(unknown.is_empty(), "endpoints.toml does not know\n{}", unknown.join("\n"));
}

/// What is listed as missing and served after all would be hidden from users.
#[test]
fn what_is_missing_is_not_served() {
    let book = Book::read();
    let pair = Pair::start("missing");
    let mut served = Vec::new();
    for endpoint in book.endpoints().filter(|endpoint| endpoint.missing.is_some()) {
        let segments = endpoint.path.split('/').map(|part| if part.starts_with('{') { "thing" } else { part });
        let path = segments.collect::<Vec<_>>().join("/");
        for verb in endpoint.verbs.split_whitespace() {
            let body = if matches!(verb, "POST" | "PATCH") { "{}" } else { "" };
            let headers = [("X-Vault-Token", "root"), ("Content-Type", "application/merge-patch+json")];
            let headers = if verb == "PATCH" { &headers[..] } else { &headers[..1] };
            let answer = pair.own.ask(verb, &format!("/v1/{path}"), headers, body);
            // A 404 without a text is of a path that is served, with nothing there.
            let text = answer.json()["errors"][0].as_str().unwrap_or_default().to_string();
            let refused =
                answer.status == 405 || answer.status == 404 && !text.is_empty() || text.contains("not supported yet");
            if !refused {
                served.push(format!("{verb} {path}: {} {}", answer.status, answer.text()));
            }
        }
    }
    assert!(served.is_empty(), "endpoints.toml says missing of\n{}", served.join("\n"));
}

#[test]
fn the_report_is_current() {
    let path = table::root().join("docs/compatibility.md");
    let report = report::write(&Book::read());
    if std::env::var_os("HOLDFAST_WRITE_DOCS").is_some() {
        std::fs::write(&path, &report).expect("a file");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == report,
        "docs/compatibility.md is stale: HOLDFAST_WRITE_DOCS=1 cargo nextest run differential"
    );
}

/// Sends an area's requests to both servers and compares.
fn run(name: &str) {
    let book = Book::read();
    let area = book.areas.iter().find(|area| area.name == name).expect("the area's file");
    let pair = if area.new { Pair::start_new(name) } else { Pair::start(name) };
    let all = exchange(area, pair);
    let mut problems = String::new();
    for (request, outcome) in area.requests.iter().zip(&all) {
        problems.push_str(&judge(&book, name, request, &outcome.differences));
        let lines: String = outcome.undocumented.iter().map(|line| format!("    the document: {line}\n")).collect();
        if !lines.is_empty() {
            problems.push_str(&format!("{}\n{lines}", request.shown()));
        }
    }
    for problem in stale(&book, area, &all) {
        problems.push_str(&problem);
    }
    assert!(problems.is_empty(), "\n{problems}");
}

/// What came of a request.
struct Outcome {
    differences: Vec<Observed>,
    /// Whether Holdfast did what was asked.
    succeeded: bool,
    /// What of Holdfast's answer is not as its OpenAPI document says.
    undocumented: Vec<String>,
}

fn exchange(area: &Area, mut pair: Pair) -> Vec<Outcome> {
    let show = std::env::var_os("HOLDFAST_SHOW").is_some();
    let mut all = Vec::new();
    let mut document = Document::default();
    for request in &area.requests {
        let (peer, own) = pair.ask(request);
        if show {
            println!("{}\n  peer {}\n  own  {}", request.shown(), peer.shown(), own.shown());
        }
        let differences = compare::differences(request, &pair, &peer, &own);
        let undocumented = document.problems(&pair.own, request, &own);
        pair.keep(request, &peer, &own);
        all.push(Outcome { differences, succeeded: (200..300).contains(&own.status), undocumented });
    }
    all
}

/// What differs and is not listed.
fn judge(book: &Book, area: &str, request: &Request, observed: &[Observed]) -> String {
    let one_sided = |endpoint: &Endpoint| endpoint.missing.is_some() || endpoint.extra.is_some();
    let one_sided = book.endpoint(request).is_some_and(one_sided);
    let listed = |observed: &Observed| {
        book.differences.iter().any(|known| known.is_about(area, request) && known.explains(observed))
    };
    let unlisted: Vec<&Observed> = observed.iter().filter(|observed| !one_sided && !listed(observed)).collect();
    if unlisted.is_empty() {
        return String::new();
    }
    let lines: String = unlisted.iter().map(|observed| format!("    {observed}\n")).collect();
    format!("{}\n{lines}", request.shown())
}

/// What is listed and does not differ any more.
fn stale(book: &Book, area: &Area, all: &[Outcome]) -> Vec<String> {
    let mut stale = Vec::new();
    for known in book.differences.iter().filter(|known| known.is_in(&area.name)) {
        // A request that is sent several times has to show it once.
        let mut about: BTreeMap<String, bool> = BTreeMap::new();
        for (request, outcome) in area.requests.iter().zip(all) {
            if known.is_about(&area.name, request) {
                *about.entry(request.shown()).or_default() |=
                    outcome.differences.iter().any(|observed| known.explains(observed));
            }
        }
        if about.is_empty() && known.areas != "*" {
            stale.push(format!("no request in {} is like {:?} ({})\n", area.name, known.requests, known.why));
        }
        // What is said of every answer need not hold for those that the peer's HTTP library gives by itself.
        let strict = known.areas != "*";
        for (shown, _) in about.iter().filter(|(_, differs)| !**differs && strict) {
            stale.push(format!("{shown}\n    no longer differs at {} as differences.toml says\n", known.at));
        }
    }
    for (request, _) in area.requests.iter().zip(all).filter(|(_, outcome)| outcome.succeeded) {
        let Some(endpoint) = book.endpoint(request) else { continue };
        if endpoint.missing.is_some() {
            stale.push(format!("{}\n    {} is there: endpoints.toml says missing\n", request.shown(), endpoint.path));
        }
    }
    stale
}
