//! `key=value` arguments: `key=text`, `key=@file`, `key=-` (standard input), `key=\@text`, and whole JSON objects from
//! `@file.json` or `-`.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::Failure;
use crate::runtime::Runtime;

/// Parses data arguments; a key given several times becomes a list.
pub async fn parse(runtime: &Runtime, args: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut data = Map::new();
    let mut stdin = Stdin::default();
    for arg in args {
        let bad = |reason: String| Failure::local(format!("invalid key/value pair {arg:?}: {reason}"));
        if arg == "-" {
            data.extend(object(&stdin.take().map_err(bad)?).map_err(bad)?);
        } else if let Some(path) = arg.strip_prefix('@') {
            data.extend(object(&read(runtime, path).await.map_err(bad)?).map_err(bad)?);
        } else {
            let (key, value) = arg.split_once('=').ok_or_else(|| bad("format must be key=value".to_string()))?;
            let value = match value {
                "-" => text(stdin.take().map_err(bad)?).map_err(bad)?,
                _ if value.starts_with('@') => {
                    let bytes = read(runtime, &value[1..]).await;
                    let bytes = bytes.map_err(|reason| bad(format!("error reading file: {reason}")))?;
                    text(bytes).map_err(bad)?
                }
                _ => value.strip_prefix('\\').filter(|rest| rest.starts_with('@')).unwrap_or(value).to_string(),
            };
            add(&mut data, key, value);
        }
    }
    Ok(data)
}

/// As [`parse`], with the words that most commands put before an error.
pub async fn parse_kv(runtime: &Runtime, args: &[String]) -> Result<Map<String, Value>, Failure> {
    parse(runtime, args).await.map_err(|failure| failure.context("Failed to parse K=V data"))
}

/// Reads a file, or all of standard input by one of its names.
pub async fn read(runtime: &Runtime, path: &str) -> Result<Vec<u8>, String> {
    if matches!(path, "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0") {
        return Stdin::default().take();
    }
    match runtime.disk.read(Path::new(path)).await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(open_error(path, &error)),
    }
}

/// Why a file could not be opened, as Go words it.
pub fn open_error(path: &str, error: &std::io::Error) -> String {
    let reason = error.to_string();
    format!("open {path}: {}", reason.split(" (os error").next().unwrap_or_default().to_lowercase())
}

/// All of standard input, once.
#[derive(Default)]
pub struct Stdin {
    taken: bool,
}

impl Stdin {
    /// Reads to the end; an error the second time.
    pub fn take(&mut self) -> Result<Vec<u8>, String> {
        if std::mem::replace(&mut self.taken, true) {
            return Err("stdin already consumed".to_string());
        }
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if bytes.trim_ascii().is_empty() {
        return Err("EOF".to_string());
    }
    serde_json::from_slice(bytes).map_err(|error| format!("invalid JSON object: {error}"))
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "the value is not UTF-8".to_string())
}

fn add(data: &mut Map<String, Value>, key: &str, value: String) {
    match data.get_mut(key) {
        None => drop(data.insert(key.to_string(), Value::String(value))),
        Some(Value::Array(values)) => values.push(Value::String(value)),
        Some(first) => *first = Value::Array(vec![first.take(), Value::String(value)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(parse(&Runtime::real(), &args)) {
            Ok(data) => Value::Object(data).to_string(),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn takes_pairs_files_and_escapes() {
        assert_eq!(parsed(&["a=1", "b==c", "=d", "a=2", "a=3"]), r#"{"":"d","a":["1","2","3"],"b":"=c"}"#);
        assert_eq!(parsed(&[r"a=\@x", r"b=\y"]), r#"{"a":"@x","b":"\\y"}"#);
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::io::Write::write_all(&mut &file, br#"{"n":12345678901234567890,"f":1.50}"#).unwrap();
        assert_eq!(parsed(&[&format!("@{path}")]), r#"{"f":1.50,"n":12345678901234567890}"#);
        assert_eq!(parsed(&[&format!("k=@{path}")]).len(), r#"{"k":"{\"n\":12345678901234567890,\"f\":1.50}"}"#.len());
    }

    #[test]
    fn names_the_bad_pair() {
        assert_eq!(parsed(&["foo"]), r#"invalid key/value pair "foo": format must be key=value"#);
        let text = r#"invalid key/value pair "a=@/nope": error reading file: open /nope: no such file or directory"#;
        assert_eq!(parsed(&["a=@/nope"]), text);
        let text = r#"invalid key/value pair "@/nope": open /nope: no such file or directory"#;
        assert_eq!(parsed(&["@/nope"]), text);
    }
}
