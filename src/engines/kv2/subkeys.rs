//! The structure of an object without its values.

use serde_json::{Map, Value};

/// `value` with null in place of everything that is no object, of empty objects, and of what lies `depth` levels deep.
pub(super) fn without_values(value: &Value, depth: usize) -> Value {
    match value {
        Value::Object(object) if !object.is_empty() && depth > 0 => {
            let stripped: Map<String, Value> =
                object.iter().map(|(key, value)| (key.clone(), without_values(value, depth - 1))).collect();
            Value::Object(stripped)
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strips_values() {
        let value = json!({"a": {"b": {"c": 1, "e": {}}, "d": [1, 2]}, "z": null, "q": "s"});
        assert_eq!(
            without_values(&value, usize::MAX),
            json!({"a": {"b": {"c": null, "e": null}, "d": null}, "z": null, "q": null})
        );
        assert_eq!(without_values(&value, 1), json!({"a": null, "z": null, "q": null}));
        assert_eq!(without_values(&value, 2), json!({"a": {"b": null, "d": null}, "z": null, "q": null}));
        assert_eq!(without_values(&Value::Null, 3), Value::Null);
    }
}
