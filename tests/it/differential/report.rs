//! `docs/compatibility.md`, written from what the tests have shown to be so.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::table::{Area, Book, Difference, Endpoint, Kind};

/// A request of any area, where it goes and what is said of it.
struct Asked<'a> {
    endpoint: Option<&'a Endpoint>,
    differences: Vec<&'a Difference>,
}

/// A row of a table.
struct Row<'a> {
    endpoint: &'a Endpoint,
    requests: usize,
    verdict: &'static str,
    why: Vec<&'a str>,
}

/// The whole report.
pub fn write(book: &Book) -> String {
    let asked: Vec<Asked> = book.areas.iter().flat_map(|area| asked(book, area)).collect();
    let rows: Vec<Vec<Row>> = book
        .groups
        .iter()
        .map(|group| group.endpoints.iter().map(|endpoint| row(&asked, endpoint)).collect())
        .collect();
    let mut out = INTRODUCTION.to_string();
    let _ = writeln!(out, "\n{} requests are compared. Endpoints by what they show:\n\n| | |\n|---|---|", asked.len());
    for verdict in VERDICTS {
        let count = rows.iter().flatten().filter(|row| row.verdict == verdict).count();
        let _ = writeln!(out, "| {verdict} | {count} |");
    }
    out.push_str("\n## On every answer\n\n");
    for known in book.differences.iter().filter(|known| known.areas == "*") {
        let _ = writeln!(out, "- {}", known.why);
    }
    for (group, rows) in book.groups.iter().zip(rows) {
        let _ = writeln!(out, "\n## {}\n\n| endpoint | verbs | requests | |\n|---|---|---|---|", group.title);
        for Row { endpoint, requests, verdict, why } in rows {
            let verbs = endpoint.verbs.replace(' ', ", ");
            let requests = if requests == 0 { String::new() } else { requests.to_string() };
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(" ")) };
            let _ = writeln!(out, "| `{}` | {verbs} | {requests} | **{verdict}**{why} |", endpoint.path);
        }
    }
    out.push_str("\n## Requests to no endpoint\n\nWrong paths, wrong methods, and what only a listener sees.\n\n");
    for why in reasons(asked.iter().filter(|asked| asked.endpoint.is_none())) {
        let _ = writeln!(out, "- {why}");
    }
    out
}

fn asked<'a>(book: &'a Book, area: &'a Area) -> impl Iterator<Item = Asked<'a>> {
    let known: Vec<&Difference> =
        book.differences.iter().filter(|known| known.areas != "*" && known.is_in(&area.name)).collect();
    area.requests.iter().map(move |request| Asked {
        endpoint: book.endpoint(request),
        differences: known.iter().copied().filter(|known| known.is_about(&area.name, request)).collect(),
    })
}

fn row<'a>(asked: &[Asked<'a>], endpoint: &'a Endpoint) -> Row<'a> {
    let is_here = |asked: &&Asked<'a>| asked.endpoint.is_some_and(|found| std::ptr::eq(found, endpoint));
    let here = || asked.iter().filter(is_here);
    let worst = here().flat_map(|asked| &asked.differences).map(|known| known.kind).max();
    let (verdict, why) = match (&endpoint.missing, &endpoint.extra, worst) {
        (Some(reason), _, _) => ("missing", vec![reason.as_str()]),
        (None, Some(reason), _) => ("only here", vec![reason.as_str()]),
        (None, None, None) => ("same", Vec::new()),
        (None, None, Some(Kind::Better)) => ("better", reasons(here())),
        (None, None, Some(_)) => ("different", reasons(here())),
    };
    Row { endpoint, requests: here().count(), verdict, why }
}

/// Each reason once.
fn reasons<'a: 'b, 'b>(asked: impl Iterator<Item = &'b Asked<'a>>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let all = asked.flat_map(|asked| asked.differences.iter().map(|known| known.why.as_str()));
    all.filter(|why| seen.insert(*why)).collect()
}

const VERDICTS: [&str; 5] = ["same", "better", "different", "missing", "only here"];

const INTRODUCTION: &str = "\
# Compatibility

Written by `tests/it/differential.rs`; do not edit. Each request of `tests/differential/*.toml` is sent to `bao` 2.7.2 and to
Holdfast, both fresh, in the same order. Status, headers, the shape of the body, values, warnings and error texts are
compared. What differs is listed in `tests/differential/differences.toml` with its reason; a difference that is not listed
fails the tests, and so does one that is listed and gone.

**same**: every request to it is answered alike. **better**: alike but for what is said. **different**: it differs for the
reason given. **missing**: Holdfast does not have it (yet). **only here**: the peer does not have it.

Compared by their kind alone are ids, accessors, tokens, moments, versions, names of clusters, and
the names of server and client in texts. Tokens of Holdfast begin
with `hvs.` or `hvb.`, as secret scanners know them; the peer's begin with `s.` or `b.`.
";
