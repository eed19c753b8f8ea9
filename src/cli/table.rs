//! Tables: columns four spaces apart, a dashed line under the header, `n/a` for an empty cell.

use serde_json::{Map, Value};

use super::value::{field_text, go_text, go_time, human_duration, quoted_list};
use crate::client::ApiSecret;

/// A row of `Key` and `Value`.
pub type Row = (String, String);

/// A table with a header.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let dashes = header.iter().map(|title| "-".repeat(title.len())).collect();
    let mut lines: Vec<Vec<String>> = vec![header.iter().map(|title| title.to_string()).collect(), dashes];
    lines.extend(rows.iter().cloned());
    columns(&lines)
}

/// A table of `Key` and `Value`.
pub fn key_value(rows: &[Row]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|(key, value)| vec![key.clone(), value.clone()]).collect();
    table(&["Key", "Value"], &rows)
}

/// A map as a table of `Key` and `Value`, sorted.
pub fn map(data: &Map<String, Value>) -> String {
    let mut rows: Vec<Row> = data.iter().map(|(key, value)| (key.clone(), go_text(value))).collect();
    rows.sort();
    key_value(&rows)
}

/// Aligned columns without a header.
pub fn columns(lines: &[Vec<String>]) -> String {
    let cell = |text: &str| match text.trim() {
        "" => "n/a".to_string(),
        text => text.to_string(),
    };
    let lines: Vec<Vec<String>> = lines.iter().map(|line| line.iter().map(|text| cell(text)).collect()).collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let mut out = Vec::new();
    for line in &lines {
        let mut text = String::new();
        for (at, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < line.len() {
                text.push_str(&" ".repeat(widths[at] - cell.chars().count() + GAP));
            }
        }
        out.push(text);
    }
    out.join("\n")
}

/// `=== Title ===`, as wide as a table of `data` would be if all its values were five wide.
pub fn map_header(title: &str, data: &Map<String, Value>) -> String {
    let longest = data.keys().map(String::len).max().unwrap_or(0);
    padded(title, longest + GAP + "value".len())
}

/// `=== Title ===`, at least `total` wide if that leaves room for a sign.
pub fn padded(title: &str, total: usize) -> String {
    let mut signs = total.saturating_sub(title.len() + 2);
    if signs == 0 {
        signs = 4;
    }
    let side = "=".repeat(signs.div_ceil(2));
    format!("{side} {title} {side}")
}

/// The rows in which an answer is shown; empty if it holds nothing.
pub fn secret_rows(secret: &ApiSecret) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |key: &str, value: String| rows.push((key.to_string(), value));
    if secret.lease_duration > 0 {
        if secret.lease_id.is_empty() {
            add("refresh_interval", human_duration(secret.lease_duration));
        } else {
            add("lease_id", secret.lease_id.clone());
            add("lease_duration", human_duration(secret.lease_duration));
            add("lease_renewable", secret.renewable.to_string());
        }
    }
    if let Some(auth) = &secret.auth {
        add("token", auth.client_token.clone());
        add("token_accessor", auth.accessor.clone());
        add(
            "token_duration",
            match auth.lease_duration {
                0 => "∞".to_string(),
                seconds => human_duration(seconds),
            },
        );
        add("token_renewable", auth.renewable.to_string());
        add("token_policies", quoted_list(auth.token_policies.as_ref()));
        add("identity_policies", quoted_list(auth.identity_policies.as_ref()));
        add("policies", quoted_list(auth.policies.as_ref()));
        for (key, value) in auth.metadata.iter().flatten() {
            add(&format!("token_meta_{key}"), go_text(value));
        }
    }
    if let Some(wrap) = &secret.wrap_info {
        add("wrapping_token:", wrap.token.clone());
        add("wrapping_accessor:", wrap.accessor.clone());
        add("wrapping_token_ttl:", human_duration(wrap.ttl));
        add("wrapping_token_creation_time:", go_time(&wrap.creation_time));
        add("wrapping_token_creation_path:", wrap.creation_path.clone());
        if !wrap.wrapped_accessor.is_empty() {
            add("wrapped_accessor:", wrap.wrapped_accessor.clone());
        }
    }
    let mut data: Vec<_> = secret.data.iter().flatten().collect();
    data.sort_by_key(|(key, _)| *key);
    for (key, value) in data {
        add(key, field_text(key, value));
    }
    rows
}

/// Names with what is known of each: a column for every field that any of them has.
pub fn detailed_keys(keys: &[Value], info: &Map<String, Value>) -> String {
    let mut fields: Vec<&String> = info.values().filter_map(Value::as_object).flat_map(Map::keys).collect();
    fields.sort();
    fields.dedup();
    let header: Vec<&str> = std::iter::once("Keys").chain(fields.iter().map(|field| field.as_str())).collect();
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(go_text)
        .map(|key| {
            let values = fields.iter().map(|field| info.get(&key).and_then(|info| info.get(field.as_str())));
            let cells = values.map(|value| value.map_or_else(String::new, go_text)).collect::<Vec<_>>();
            std::iter::once(key.clone()).chain(cells).collect()
        })
        .collect();
    table(&header, &rows)
}

const GAP: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_read_as_the_peers() {
        let rows =
            vec![("created_time".to_string(), "2026".to_string()), ("deletion_time".to_string(), " ".to_string())];
        let expected = "Key              Value\n---              -----\ncreated_time     2026\ndeletion_time    n/a";
        assert_eq!(key_value(&rows), expected);
        let peers = [vec!["n1".into(), "127.0.0.1:18401".into(), "leader".into(), "true".into()]];
        let expected = "Node    Address            State     Voter\n----    -------            -----     -----\n\
                        n1      127.0.0.1:18401    leader    true";
        assert_eq!(table(&["Node", "Address", "State", "Voter"], &peers), expected);
    }

    #[test]
    fn headers_read_as_the_peers() {
        assert_eq!(padded("Secret Path", "secret/data/a".len()), "== Secret Path ==");
        assert_eq!(padded("Secret Path", "secret/data/b/c".len()), "= Secret Path =");
        assert_eq!(padded("Secret Path", 33), "========== Secret Path ==========");
        let data = |value: Value| value.as_object().cloned().unwrap();
        assert_eq!(map_header("Data", &data(json!({ "x": 1 }))), "== Data ==");
        assert_eq!(map_header("Data", &data(json!({ "arr": 1 }))), "=== Data ===");
        assert_eq!(map_header("Version 1", &data(json!({ "deletion_time": 1 }))), "====== Version 1 ======");
        assert_eq!(map_header("Metadata", &data(json!({ "custom_metadata": 1 }))), "======= Metadata =======");
    }

    #[test]
    fn a_token_reads_as_the_peers() {
        let secret: ApiSecret = serde_json::from_value(json!({ "auth": {
            "client_token": "s.x", "accessor": "a", "lease_duration": 0, "renewable": false,
            "token_policies": ["root"], "policies": ["root"], "metadata": {"a": "b"}
        }}))
        .unwrap();
        let expected = "Key                  Value\n---                  -----\ntoken                s.x\n\
                        token_accessor       a\ntoken_duration       ∞\ntoken_renewable      false\n\
                        token_policies       [\"root\"]\nidentity_policies    []\npolicies             [\"root\"]\n\
                        token_meta_a         b";
        assert_eq!(key_value(&secret_rows(&secret)), expected);
    }
}
