//! How results are printed: tables, JSON, YAML, single fields, warnings.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::context::Context;
use super::env::Brand;
use super::{Failure, Outcome, near, table, value, yaml};
use crate::client::ApiSecret;

/// `-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// Indented, keys in order, as Go's encoder writes it.
    Json,
    /// YAML 1.1.
    Yaml,
    /// For the few commands that have such a form.
    Pretty,
    /// The answer's bytes; `read` only.
    Raw,
}

impl Format {
    /// Parses a format's name.
    pub fn parse(name: &str) -> Result<Format, Failure> {
        match name.to_ascii_lowercase().as_str() {
            "table" => Ok(Format::Table),
            "json" => Ok(Format::Json),
            "yaml" | "yml" => Ok(Format::Yaml),
            "pretty" => Ok(Format::Pretty),
            "raw" => Ok(Format::Raw),
            _ => {
                let names = ["table", "json", "yaml", "pretty", "raw"];
                Err(Failure::local(near::hint(format!("Invalid output format: {name}"), name, "-format=", names)))
            }
        }
    }
}

/// Prints a line to standard output. A reader that went away is not an error worth a message.
pub fn out(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints text to standard output without a line end.
pub fn out_raw(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints a line to standard error.
pub fn err(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints an answer by the flags `-field` and `-format`.
pub fn secret(context: &Context, secret: &ApiSecret) -> Outcome {
    if let Some(name) = context.field() {
        return field(context, value::secret_field(secret, name), name, "secret");
    }
    match context.format {
        Format::Table => {
            let warnings = warnings(secret.warnings(), &context.brand);
            if !warnings.is_empty() {
                err(&warnings);
            }
            let rows = table::secret_rows(secret);
            if !rows.is_empty() {
                out(&table::key_value(&rows));
            }
            Ok(0)
        }
        _ => structured(context, secret),
    }
}

/// Prints the answer of a write: the answer if there is one, else that it succeeded.
pub fn written(context: &Context, answer: Option<&ApiSecret>, success: &str) -> Outcome {
    match answer {
        Some(answer) => secret(context, answer),
        None => {
            if context.format == Format::Table {
                out(success);
            }
            Ok(0)
        }
    }
}

/// Prints one field without a line end, unless on a terminal. `what` is the thing that may lack it.
pub fn field(context: &Context, value: Option<Value>, name: &str, what: &str) -> Outcome {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Err(Failure::local(format!("Field {name:?} not present in {what}")));
    };
    let text = match context.format {
        Format::Json => json_text(&value),
        Format::Yaml => yaml::document(&value),
        _ => value::go_text(&value),
    };
    if std::io::stdout().is_terminal() {
        out(text.trim_end_matches('\n'));
    } else {
        out_raw(&text);
    }
    Ok(0)
}

/// Prints as JSON or YAML.
pub fn structured(context: &Context, data: &impl Serialize) -> Outcome {
    match context.format {
        Format::Yaml => {
            let value = serde_json::to_value(data).map_err(|error| Failure::local(error.to_string()))?;
            out(yaml::document(&value).trim_end_matches('\n'));
            Ok(0)
        }
        Format::Pretty => Err(Failure::local("Could not parse output: cannot use the pretty formatter for this type")),
        Format::Raw => Err(Failure::local("This command does not support the -format=raw option.")),
        Format::Json | Format::Table => {
            out(&json_text(data));
            Ok(0)
        }
    }
}

/// Prints names: one a line under `Keys`, or a list. No names are a failure with the text `none`, unless the server says
/// why there are none.
pub fn list(context: &Context, answer: Option<&ApiSecret>, none: &str) -> Outcome {
    let keys = answer.and_then(|answer| answer.get("keys")).and_then(Value::as_array);
    let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
        if context.format == Format::Table {
            return match answer.map(ApiSecret::warnings).filter(|warnings| !warnings.is_empty()) {
                Some(why) => {
                    err(&warnings(why, &context.brand));
                    Ok(0)
                }
                None => Err(Failure::server(none)),
            };
        }
        structured(context, &json!({}))?;
        return Ok(super::EXIT_SERVER);
    };
    if context.format != Format::Table {
        return structured(context, keys);
    }
    if let Some(answer) = answer.filter(|answer| !answer.warnings().is_empty()) {
        err(&warnings(answer.warnings(), &context.brand));
    }
    let info = answer.and_then(|answer| answer.get("key_info")).and_then(Value::as_object);
    match info.filter(|_| context.detailed()) {
        Some(info) => out(&table::detailed_keys(keys, info)),
        None => {
            let mut rows: Vec<Vec<String>> = keys.iter().map(|key| vec![value::go_text(key)]).collect();
            rows.sort();
            out(&table::table(&["Keys"], &rows));
        }
    }
    Ok(0)
}

/// A map as a table under `Key`, `Value`, sorted, or as JSON or YAML.
pub fn map(context: &Context, data: &Map<String, Value>) -> Outcome {
    match context.format {
        Format::Table => {
            out(&table::map(data));
            Ok(0)
        }
        _ => structured(context, data),
    }
}

/// Warnings as they are shown; empty if there are none.
pub fn warnings(warnings: &[String], brand: &Brand) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let mut text = format!("WARNING! The following warnings were returned from {}:\n\n", brand.product);
    for warning in warnings {
        text.push_str(&wrap(&format!("* {warning}"), 2));
        text.push_str("\n\n");
    }
    text.pop();
    text
}

/// JSON as Go's encoder writes it: two spaces, `<`, `>`, `&` escaped.
pub fn json_text(data: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(data).unwrap_or_else(|error| error.to_string());
    // These occur inside strings only.
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Breaks text at spaces so that a line with its indent has at most 78 columns, and lines are about as long as each other,
/// as the peers do it.
pub fn wrap(text: &str, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let lines = text.split('\n').flat_map(|paragraph| even_lines(paragraph, LINE_COLUMNS - indent));
    lines.map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n")
}

/// The lines of at most `columns` whose squared distances from that sum up to the least. The last line counts nothing.
fn even_lines(paragraph: &str, columns: usize) -> Vec<String> {
    let words: Vec<&str> = paragraph.split(' ').collect();
    // Of the words from each on: the least cost, and where the next line begins.
    let mut best = vec![(0, words.len()); words.len() + 1];
    for first in (0..words.len()).rev() {
        let mut width = 0;
        let mut found = None;
        for next in first + 1..=words.len() {
            width += words[next - 1].chars().count() + usize::from(next > first + 1);
            if width > columns && next > first + 1 {
                break;
            }
            if next == words.len() {
                found = Some((0, next));
                break;
            }
            let cost = columns.saturating_sub(width).pow(2) + best[next].0;
            if found.is_none_or(|(least, _)| cost < least) {
                found = Some((cost, next));
            }
        }
        best[first] = found.unwrap_or((0, words.len()));
    }
    let (mut lines, mut at) = (Vec::new(), 0);
    while at < words.len() {
        lines.push(words[at..best[at].1].join(" "));
        at = best[at].1;
    }
    lines
}

const LINE_COLUMNS: usize = 78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_read_as_the_peers() {
        let brand = Brand::of_program(std::ffi::OsStr::new("bao"));
        let long = "Supplying a custom ID for the token uses the weaker SHA1 hashing instead of the more secure SHA2-256 \
                    HMAC for token obfuscation. SHA1 hashed tokens on the wire leads to less secure lookups.";
        let expected = "WARNING! The following warnings were returned from OpenBao:\n\n  \
                        * Supplying a custom ID for the token uses the weaker SHA1 hashing instead\n  \
                        of the more secure SHA2-256 HMAC for token obfuscation. SHA1 hashed tokens\n  \
                        on the wire leads to less secure lookups.\n";
        assert_eq!(warnings(&[long.to_string()], &brand), expected);
    }

    #[test]
    fn lines_are_even() {
        let text = "* Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to \
                    use. If using the OpenBao CLI, use 'bao kv list' for this operation.";
        let expected = "  * Invalid path for a versioned K/V secrets engine. See the API docs for\n  \
                        the appropriate API endpoints to use. If using the OpenBao CLI, use 'bao kv\n  \
                        list' for this operation.";
        assert_eq!(wrap(text, 2), expected);
        let long = "x".repeat(100);
        assert_eq!(wrap(&format!("a {long} b\n\nc"), 0), format!("a\n{long}\nb\n\nc"));
        assert_eq!(wrap("", 2), "  ");
    }

    #[test]
    fn json_reads_as_gos() {
        let expected = "{\n  \"a\": \"\\u003c\\u0026\\u003e\",\n  \"l\": [],\n  \"m\": {}\n}";
        assert_eq!(json_text(&json!({ "m": {}, "l": [], "a": "<&>" })), expected);
    }
}
