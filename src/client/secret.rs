//! The envelope that most answers of the API come in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An answer's envelope. Serialises with its fields in the order that other clients print.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiSecret {
    /// Id of the request in the server's audit log.
    #[serde(deserialize_with = "null_as_default")]
    pub request_id: String,
    /// Id of a lease, or empty.
    #[serde(deserialize_with = "null_as_default")]
    pub lease_id: String,
    /// Seconds.
    #[serde(deserialize_with = "null_as_default")]
    pub lease_duration: i64,
    /// Whether the lease can be renewed.
    #[serde(deserialize_with = "null_as_default")]
    pub renewable: bool,
    /// The secret itself.
    pub data: Option<Map<String, Value>>,
    /// What the server wants people to know.
    pub warnings: Option<Vec<String>>,
    /// A new or renewed token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<ApiAuth>,
    /// Where the real answer is, if it was wrapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrap_info: Option<WrapInfo>,
}

/// A token as log-in, creation and renewal return it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiAuth {
    /// The token.
    #[serde(deserialize_with = "null_as_default")]
    pub client_token: String,
    /// Its accessor.
    #[serde(deserialize_with = "null_as_default")]
    pub accessor: String,
    /// All policies.
    pub policies: Option<Vec<String>>,
    /// Policies of the token itself.
    pub token_policies: Option<Vec<String>>,
    /// Policies by identity.
    pub identity_policies: Option<Vec<String>>,
    /// What the log-in noted.
    pub metadata: Option<Map<String, Value>>,
    /// Whether it has no parent.
    #[serde(deserialize_with = "null_as_default")]
    pub orphan: bool,
    /// The entity, or empty.
    #[serde(deserialize_with = "null_as_default")]
    pub entity_id: String,
    /// Seconds; 0: it does not expire.
    #[serde(deserialize_with = "null_as_default")]
    pub lease_duration: i64,
    /// Whether it can be renewed.
    #[serde(deserialize_with = "null_as_default")]
    pub renewable: bool,
    /// What a second factor has to prove.
    pub mfa_requirement: Option<Value>,
}

/// A wrapping token and what is known of what it wraps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WrapInfo {
    /// The wrapping token.
    #[serde(deserialize_with = "null_as_default")]
    pub token: String,
    /// Its accessor.
    #[serde(deserialize_with = "null_as_default")]
    pub accessor: String,
    /// Seconds.
    #[serde(deserialize_with = "null_as_default")]
    pub ttl: i64,
    /// RFC 3339.
    #[serde(deserialize_with = "null_as_default")]
    pub creation_time: String,
    /// The path of the wrapped answer.
    #[serde(deserialize_with = "null_as_default")]
    pub creation_path: String,
    /// Accessor of the token inside, or empty.
    #[serde(deserialize_with = "null_as_default")]
    pub wrapped_accessor: String,
}

impl ApiSecret {
    /// The warnings, if any.
    pub fn warnings(&self) -> &[String] {
        self.warnings.as_deref().unwrap_or_default()
    }

    /// Whether nothing at all is set.
    pub fn is_blank(&self) -> bool {
        let named =
            !self.request_id.is_empty() || !self.lease_id.is_empty() || self.lease_duration != 0 || self.renewable;
        let filled = self.data.is_some() || self.warnings.is_some() || self.auth.is_some() || self.wrap_info.is_some();
        !named && !filled
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.data.as_ref().is_none_or(Map::is_empty)
    }

    /// A field of the data.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.data.as_ref()?.get(field).filter(|value| !value.is_null())
    }
}

fn null_as_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
