//! Custom metadata and its limits.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::logical::{Error, Result};

/// Checks the limits of the API.
///
/// # Errors
/// 400 that lists all that is wrong, in the API's words.
pub(super) fn check(custom: &BTreeMap<String, String>) -> Result<()> {
    if custom.len() > KEYS {
        return refuse(&[format!("payload must contain at most {KEYS} keys, provided {}", custom.len())]);
    }
    let mut problems = Vec::new();
    for (key, value) in custom {
        if !(1..=KEY_BYTES).contains(&key.len()) {
            problems.push(format!("length of key {key:?} is {} but must be 0 < len(key) <= {KEY_BYTES}", key.len()));
        }
        if !is_printable(key) {
            problems.push(format!("key {key:?} ({key}) contains unprintable characters"));
        }
        if !(1..=VALUE_BYTES).contains(&value.len()) {
            problems.push(format!(
                "length of value for key {key:?} is {} but must be 0 < len(value) <= {VALUE_BYTES}",
                value.len()
            ));
        }
        if !is_printable(value) {
            problems.push(format!("value for key {key:?} contains unprintable characters"));
        }
    }
    if problems.is_empty() { Ok(()) } else { refuse(&problems) }
}

/// Applies a merge patch: null removes a key, or all of them in place of an object.
pub(super) fn patch(custom: &mut BTreeMap<String, String>, patch: &Value) -> Result<()> {
    let patch = match patch {
        Value::Null => {
            custom.clear();
            return Ok(());
        }
        Value::Object(patch) => patch,
        _ => return Err(Error::field("custom_metadata", "expected an object of strings")),
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                custom.remove(key);
            }
            Value::String(text) => {
                custom.insert(key.clone(), text.clone());
            }
            _ => return Err(Error::field("custom_metadata", "expected an object of strings")),
        }
    }
    check(custom)
}

fn refuse(problems: &[String]) -> Result<()> {
    let noun = if problems.len() == 1 { "error" } else { "errors" };
    let list: String = problems.iter().map(|problem| format!("\t* {PREFIX}: {problem}\n")).collect();
    Err(Error::invalid(format!("{} {noun} occurred:\n{list}\n", problems.len())))
}

fn is_printable(text: &str) -> bool {
    text.chars().all(|c| c == ' ' || !(c.is_control() || c.is_whitespace()))
}

const PREFIX: &str = "custom_metadata validation failed";
const KEYS: usize = 64;
const KEY_BYTES: usize = 128;
const VALUE_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(pairs: &[(&str, &str)]) -> String {
        let custom = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        check(&custom).unwrap_err().to_string()
    }

    #[test]
    fn refuses_in_the_words_of_the_api() {
        assert_eq!(
            problem(&[("", "x")]),
            "1 error occurred:\n\t* custom_metadata validation failed: length of key \"\" is 0 but must be 0 < len(key) \
             <= 128\n\n"
        );
        assert_eq!(
            problem(&[("a", "x\u{1}")]),
            "1 error occurred:\n\t* custom_metadata validation failed: value for key \"a\" contains unprintable \
             characters\n\n"
        );
        let (key, value) = ("k".repeat(130), "v".repeat(520));
        assert_eq!(
            problem(&[(&key, ""), ("x", &value)]),
            format!(
                "3 errors occurred:\n\t* custom_metadata validation failed: length of key \"{key}\" is 130 but must be 0 \
                 < len(key) <= 128\n\t* custom_metadata validation failed: length of value for key \"{key}\" is 0 but \
                 must be 0 < len(value) <= 512\n\t* custom_metadata validation failed: length of value for key \"x\" is \
                 520 but must be 0 < len(value) <= 512\n\n"
            )
        );
        let many: BTreeMap<String, String> = (0..65).map(|n| (n.to_string(), "x".to_string())).collect();
        assert!(check(&many).unwrap_err().to_string().contains("payload must contain at most 64 keys, provided 65"));
    }
}
