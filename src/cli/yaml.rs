//! YAML 1.1 as the peers write it: keys sorted, strings quoted where a 1.1 reader would take them for something else
//! (`y`, `n`, dates), which general emitters for YAML 1.2 do not do.

use serde_json::Value;

/// A whole document, with a line end.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(map, 0, &mut out),
        Value::Array(values) if !values.is_empty() => array(values, 0, &mut out),
        _ => {
            scalar(value, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn object(map: &serde_json::Map<String, Value>, indent: usize, out: &mut String) {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    for (at, (key, value)) in pairs.into_iter().enumerate() {
        // The first key of a list's element follows the dash.
        if at > 0 || !out.ends_with("- ") {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&string(key));
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                object(map, indent + 2, out);
            }
            Value::Array(values) if !values.is_empty() => {
                out.push('\n');
                array(values, indent, out);
            }
            _ => {
                out.push(' ');
                scalar(value, indent + 2, out);
                out.push('\n');
            }
        }
    }
}

fn array(values: &[Value], indent: usize, out: &mut String) {
    for (at, value) in values.iter().enumerate() {
        if at > 0 || !out.ends_with("- ") {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str("- ");
        match value {
            Value::Object(map) if !map.is_empty() => object(map, indent + 2, out),
            Value::Array(values) if !values.is_empty() => array(values, indent + 2, out),
            _ => {
                scalar(value, indent + 2, out);
                out.push('\n');
            }
        }
    }
}

/// A fraction without the zeros at its end that JSON keeps.
fn shortest(number: String) -> String {
    let is_fraction = number.contains('.') && !number.contains(['e', 'E']);
    match number.parse::<f64>() {
        Ok(value) if is_fraction => value.to_string(),
        _ => number,
    }
}

fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::String(text) if block(text) => {
            out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    out.push_str(&" ".repeat(indent));
                    out.push_str(line);
                }
            }
        }
        Value::String(text) => out.push_str(&string(text)),
        Value::Number(number) => out.push_str(&shortest(number.to_string())),
        other => out.push_str(&other.to_string()),
    }
}

/// Whether a text of several lines can stand as a literal block.
fn block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.ends_with("\n\n")
        && text.chars().all(|c| c == '\n' || c == '\t' || printable(c))
        && text.split('\n').all(|line| !line.ends_with(' '))
}

fn string(text: &str) -> String {
    if plain(text) {
        return text.to_string();
    }
    // A JSON string is a YAML string, but for what YAML does not allow bare.
    let mut out = String::new();
    for c in Value::from(text).to_string().chars() {
        if printable(c) { out.push(c) } else { out.push_str(&format!("\\U{:08X}", u32::from(c))) }
    }
    out
}

/// Whether a character may stand in a document as it is (YAML 1.1, section 5.1).
fn printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether a 1.1 reader takes the bare text for this very string.
fn plain(text: &str) -> bool {
    const WORDS: [&str; 14] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "<<", "=", ".inf", ".nan"];
    let lower = text.to_ascii_lowercase();
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
    !text.is_empty()
        && text.trim() == text
        && !WORDS.contains(&lower.as_str())
        && !looks_numeric(&lower, numeric)
        && !text.starts_with([
            '-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`',
        ])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && text.chars().all(printable)
}

/// Numbers of every kind, dates, times and sexagesimals.
fn looks_numeric(lower: &str, numeric: impl Fn(char) -> bool) -> bool {
    if !lower.starts_with(numeric) || !lower.contains(|c: char| c.is_ascii_digit() || lower.contains("inf")) {
        return false;
    }
    let date = lower.len() >= 8 && lower.as_bytes()[..4].iter().all(u8::is_ascii_digit) && lower.as_bytes()[4] == b'-';
    let digits = lower.trim_start_matches(['+', '-']);
    let hex = digits.strip_prefix("0x").or(digits.strip_prefix("0b")).or(digits.strip_prefix("0o"));
    let prefixed = hex.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit() || c == '_'));
    let dots = lower.matches('.').count() <= 1;
    let decimal = dots && lower.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | '_' | ':'));
    let dated = date && lower.chars().all(|c| c.is_ascii_digit() || "-:.tz +".contains(c));
    prefixed || decimal || dated
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_as_the_peers() {
        let value = json!({
            "n": 1, "y": "two", "version": "2.7.2", "at": "2026-11-24T22:56:12.04Z", "e": "", "nul": null, "d": "0s",
            "m": {"x": [1, "a", null], "o": {}}, "servers": [{"address": "127.0.0.1:18401", "voter": true}],
            "num": "12", "t": "a: b", "p": "a\nb\n"
        });
        let expected = "at: \"2026-11-24T22:56:12.04Z\"\nd: 0s\ne: \"\"\nm:\n  o: {}\n  x:\n  - 1\n  - a\n  - null\n\
                        \"n\": 1\nnul: null\nnum: \"12\"\np: |\n  a\n  b\nservers:\n- address: 127.0.0.1:18401\n  \
                        voter: true\nt: \"a: b\"\nversion: 2.7.2\n\"y\": two\n";
        assert_eq!(document(&value), expected);
    }

    proptest::proptest! {
        #[test]
        fn comes_back_as_it_was(texts in proptest::collection::vec(".{0,12}|[-0-9.:eE_+ a-z\n#]{0,8}", 0..5)) {
            let value = json!({ "l": texts, "m": { "k": texts } });
            let back: Value = serde_yaml_ng::from_str(&document(&value)).unwrap();
            proptest::prop_assert_eq!(back, value);
        }
    }
}
