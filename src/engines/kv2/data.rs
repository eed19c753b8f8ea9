//! `data/` and `subkeys/`: reading, writing and patching the versions of a key.

use serde_json::{Map, Value};

use super::record::{self, Config, Metadata, Version};
use super::subkeys::without_values;
use crate::engines::backend::Call;
use crate::engines::fields;
use crate::logical::{Error, Request, Response, Result};

/// Reads a version. A deleted one is absent, but its metadata is shown.
pub(super) async fn read(call: Call<'_>, path: &str) -> Result<Response> {
    show(call, path, |data| ("data", data)).await
}

/// Reads the structure of a version.
pub(super) async fn subkeys(call: Call<'_>, path: &str) -> Result<Response> {
    let depth = match call.request.integer("depth")? {
        None | Some(0) => usize::MAX,
        Some(depth) => usize::try_from(depth).unwrap_or(1),
    };
    show(call, path, |data| ("subkeys", without_values(&data, depth))).await
}

/// Writes a new version.
pub(super) async fn write(call: Call<'_>, path: &str) -> Result<Response> {
    let path = fields::writable(path)?;
    let data = match call.request.data.get("data") {
        None => return Err(Error::invalid("no data provided")),
        Some(data @ (Value::Object(_) | Value::Null)) => data.clone(),
        Some(_) => return Err(not_an_object("data")),
    };
    let cas = cas(call.request)?;
    let config = Config::load(call.txn).await?;
    let metadata = Metadata::load(call.txn, path).await?.unwrap_or_else(|| Metadata::new(call.now));
    check_cas(cas, &config, &metadata)?;
    Ok(add_version(call, path, &config, metadata, &data))
}

/// Writes a new version that is the latest one with a merge patch (RFC 7396) applied.
pub(super) async fn patch(call: Call<'_>, path: &str) -> Result<Response> {
    let path = fields::writable(path)?;
    let patch = match call.request.data.get("data") {
        None => return Err(Error::invalid("no data provided")),
        Some(Value::Null) => None,
        Some(Value::Object(patch)) => Some(patch.clone()),
        Some(_) => return Err(not_an_object("data")),
    };
    let cas = cas(call.request)?;
    let config = Config::load(call.txn).await?;
    let metadata = Metadata::load(call.txn, path).await?.ok_or(Error::Absent)?;
    let latest = metadata.versions.get(&metadata.current).ok_or(Error::Absent)?;
    check_cas(cas, &config, &metadata)?;
    if !latest.is_readable(call.now) {
        let shown = Response::data(metadata.version_json(metadata.current, latest));
        return Ok(Response { absent: true, ..shown });
    }
    let mut data = record::load_data(call.txn, path, metadata.current).await?;
    match patch {
        Some(patch) => merge(&mut data, patch),
        None => data = Value::Null,
    }
    Ok(add_version(call, path, &config, metadata, &data))
}

/// Shows a version: under a name of its own what `view` makes of its data, null if that is gone.
async fn show(
    call: Call<'_>,
    path: &str,
    view: impl FnOnce(Value) -> (&'static str, Value) + Send,
) -> Result<Response> {
    let asked = call.request.integer("version")?;
    let metadata = Metadata::load(call.txn, path).await?.ok_or(Error::Absent)?;
    let number = match asked {
        Some(number @ 1..) => number.unsigned_abs(),
        _ => metadata.current,
    };
    let version = metadata.versions.get(&number).ok_or(Error::Absent)?;
    let is_readable = version.is_readable(call.now);
    let data = if is_readable { record::load_data(call.txn, path, number).await? } else { Value::Null };
    let (name, data) = view(data);
    // Not by `json!`, which would copy the secret once more.
    let shown = [(name.to_string(), data), ("metadata".to_string(), metadata.version_json(number, version))];
    Ok(Response { data: Some(Map::from_iter(shown)), absent: !is_readable, ..Response::default() })
}

/// Adds a version, and removes the oldest ones that are more than are kept.
fn add_version(call: Call<'_>, path: &str, config: &Config, mut metadata: Metadata, data: &Value) -> Response {
    let number = metadata.current + 1;
    let version = Version {
        created: call.now,
        deleted: config.delete_after(&metadata).map(|after| call.now.plus(after)),
        destroyed: false,
    };
    let shown = metadata.version_json(number, &version);
    record::store_data(call.txn, path, number, data);
    metadata.versions.insert(number, version);
    metadata.current = number;
    metadata.updated = call.now;
    let kept = config.versions_kept(&metadata);
    while metadata.versions.len() > kept
        && let Some((old, _)) = metadata.versions.pop_first()
    {
        record::delete_data(call.txn, path, old);
    }
    if metadata.versions.len() >= kept {
        metadata.oldest = metadata.versions.keys().next().copied().unwrap_or(number);
    }
    metadata.store(call.txn, path);
    Response::data(shown)
}

/// The field `options.cas`: the version that must be the latest.
fn cas(request: &Request) -> Result<Option<i64>> {
    let options = match request.data.get("options") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(options)) => options,
        Some(_) => return Err(not_an_object("options")),
    };
    let parsed = match options.get("cas") {
        None => return Ok(None),
        Some(Value::Null) => Some(0),
        Some(Value::Bool(flag)) => Some(i64::from(*flag)),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) if text.is_empty() => Some(0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    parsed.map(Some).ok_or_else(|| Error::invalid("error parsing check-and-set parameter"))
}

fn check_cas(cas: Option<i64>, config: &Config, metadata: &Metadata) -> Result<()> {
    match cas {
        None if config.cas_required || metadata.cas_required => {
            Err(Error::invalid("check-and-set parameter required for this call"))
        }
        Some(cas) if u64::try_from(cas) != Ok(metadata.current) => {
            Err(Error::invalid("check-and-set parameter did not match the current version"))
        }
        _ => Ok(()),
    }
}

/// Applies a merge patch (RFC 7396). JSON that was parsed is not nested deeper than the parser's limit.
fn merge(target: &mut Value, patch: Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            Value::Object(patch) => merge(target.entry(key).or_insert(Value::Null), patch),
            value => {
                target.insert(key, value);
            }
        }
    }
}

fn not_an_object(field: &str) -> Error {
    Error::invalid(format!("error converting input for field {field:?}: expected an object"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A, whose patch is an object.
    #[test]
    fn merges_as_the_rfc_says() {
        for (mut target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let Value::Object(patch) = patch else { panic!("an object") };
            merge(&mut target, patch);
            assert_eq!(target, result);
        }
    }
}
