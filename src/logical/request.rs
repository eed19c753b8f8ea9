//! A request as the core sees it: no HTTP in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::secret::Secret;

/// What a request wants to do. Whether a write creates or updates is found out by the engine's existence check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A write of something that does not exist yet.
    Create,
    /// GET.
    Read,
    /// POST or PUT.
    Update,
    /// PATCH with a merge patch.
    Patch,
    /// DELETE.
    Delete,
    /// LIST, or GET with `list=true`.
    List,
    /// `?help=1`.
    Help,
}

/// Who sent the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Client {
    /// The client's IP address as text; empty for a unix socket.
    pub address: Arc<str>,
    /// The client's port.
    pub port: u16,
    /// What the listener that it came by opens without a token.
    pub access: Access,
}

/// What a listener serves to whoever asks, token or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Access {
    /// `sys/metrics`.
    pub metrics: bool,
    /// `sys/in-flight-req`.
    pub in_flight_requests: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// A UUID, also answered as `request_id`.
    pub id: String,
    /// What to do.
    pub operation: Operation,
    /// The canonical path without `/v1/`, as [`crate::policy::path`] made it.
    pub path: String,
    /// The body's object, and query parameters of a read or list.
    pub data: Map<String, Value>,
    /// The token presented; `None` if there was none.
    pub token: Option<Secret>,
    /// Asked for by `X-Vault-Wrap-TTL`.
    pub wrap_ttl: Option<Duration>,
    /// Who sent it.
    pub client: Client,
    /// Headers that the core may look at, by lower-case name.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    /// A string field of the body; `None` if absent or null.
    ///
    /// # Errors
    /// If it is neither a string nor a number or boolean, naming the field.
    pub fn text(&self, field: &str) -> Result<Option<String>, super::Error> {
        match self.data.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(value)) => Ok(Some(value.to_string())),
            Some(_) => Err(super::Error::field(field, "expected a string")),
        }
    }

    /// A boolean field of the body, also as the strings and numbers that Go's `ParseBool` takes.
    ///
    /// # Errors
    /// If it is none, naming the field.
    pub fn flag(&self, field: &str) -> Result<Option<bool>, super::Error> {
        let text = match self.data.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Bool(value)) => return Ok(Some(*value)),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(super::Error::field(field, "expected a boolean")),
        };
        match text.as_str() {
            "" => Ok(None),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(super::Error::field(field, "expected a boolean")),
        }
    }

    /// A whole number of the body, also as a string.
    ///
    /// # Errors
    /// If it is none, naming the field.
    pub fn integer(&self, field: &str) -> Result<Option<i64>, super::Error> {
        let text = match self.data.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(super::Error::field(field, "expected a whole number")),
        };
        text.parse().map(Some).map_err(|_| super::Error::field(field, "expected a whole number"))
    }

    /// A duration of the body: a number of seconds, a string of one, or Go's form (`1h30m`), also with days (`30d`).
    ///
    /// # Errors
    /// If it is none, naming the field.
    pub fn duration(&self, field: &str) -> Result<Option<Duration>, super::Error> {
        match self.text(field)? {
            None => Ok(None),
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => crate::duration::parse(&text)
                .map(Some)
                .ok_or_else(|| super::Error::field(field, "expected a duration such as 300, \"300s\" or \"1h\"")),
        }
    }

    /// A list of strings of the body: an array, one string with commas, or one number.
    ///
    /// # Errors
    /// If it is none, naming the field.
    pub fn list(&self, field: &str) -> Result<Option<Vec<String>>, super::Error> {
        match self.data.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => Ok(Some(vec![number.to_string()])),
            Some(Value::String(text)) => {
                Ok(Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()))
            }
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text.clone()),
                    Value::Number(number) => Ok(number.to_string()),
                    _ => Err(super::Error::field(field, "expected a list of strings")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(super::Error::field(field, "expected a list of strings")),
        }
    }

    /// An object of strings of the body; null within it is the empty string.
    ///
    /// # Errors
    /// If it is none, naming the field.
    pub fn text_map(&self, field: &str) -> Result<Option<BTreeMap<String, String>>, super::Error> {
        match self.data.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => object
                .iter()
                .map(|(key, value)| match value {
                    Value::Null => Ok((key.clone(), String::new())),
                    Value::String(text) => Ok((key.clone(), text.clone())),
                    Value::Number(number) => Ok((key.clone(), number.to_string())),
                    Value::Bool(flag) => Ok((key.clone(), flag.to_string())),
                    _ => Err(super::Error::field(field, "expected an object of strings")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(super::Error::field(field, "expected an object of strings")),
        }
    }
}
