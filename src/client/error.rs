//! Why a request failed, in the words that other clients of this API use.

use std::fmt;

use http::Method;
use serde_json::Value;

use super::{ApiResponse, ApiSecret};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with status 400 or above.
    #[error("{0}")]
    Api(Box<ApiError>),
    /// No answer arrived.
    #[error("{} {url:?}: {reason}", title(.method))]
    Transport {
        /// The request's method.
        method: Method,
        /// The request's URL.
        url: String,
        /// What went wrong.
        reason: String,
        /// The request may have been carried out all the same.
        outcome_unknown: bool,
    },
    /// The client cannot send such a request.
    #[error("{0}")]
    Setup(String),
    /// An answer's body has not the expected shape.
    #[error("{0}")]
    Body(String),
}

impl ClientError {
    /// The HTTP status, if the server answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Api(error) => Some(error.response.status.as_u16()),
            _ => None,
        }
    }

    /// The server's messages, if it answered.
    pub fn messages(&self) -> Vec<String> {
        match self {
            ClientError::Api(error) => error.messages().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Whether the request may have been carried out although no success was reported: a lost answer, or a 500, which
    /// is what a server answers when it does not know.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            ClientError::Api(error) => matches!(error.response.status.as_u16(), 500 | 502 | 504),
            ClientError::Transport { outcome_unknown, .. } => *outcome_unknown,
            ClientError::Setup(_) => false,
            ClientError::Body(_) => true,
        }
    }
}

/// An answer with status 400 or above. `Display` is what the command line shows and people match on.
#[derive(Debug)]
pub struct ApiError {
    /// The request's method.
    pub method: Method,
    /// The request's URL.
    pub url: String,
    /// The namespace that answered, if the server names it.
    pub namespace: Option<String>,
    /// The whole answer.
    pub response: ApiResponse,
}

impl ApiError {
    /// The `errors` of a JSON body; `None` if the body is no JSON object.
    pub fn messages(&self) -> Option<Vec<String>> {
        let errors = self.response.body.as_ref()?.as_object()?.get("errors");
        let errors = errors.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(errors.iter().map(|error| error.as_str().map_or_else(|| error.to_string(), str::to_string)).collect())
    }

    /// What a 404 carries besides: a deleted version's metadata, or warnings.
    pub fn secret(&self) -> Option<ApiSecret> {
        if self.response.status.as_u16() != 404 {
            return None;
        }
        self.response.secret().filter(|secret| !secret.warnings().is_empty() || !secret.is_empty())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Error making API request.\n\n")?;
        if let Some(namespace) = &self.namespace {
            writeln!(f, "Namespace: {namespace}")?;
        }
        writeln!(f, "URL: {} {}", self.method, self.url)?;
        write!(f, "Code: {}. ", self.response.status.as_u16())?;
        match self.messages() {
            Some(messages) => {
                let messages: Vec<String> = messages.iter().map(|message| format!("* {message}")).collect();
                write!(f, "Errors:\n\n{}", messages.join("\n"))
            }
            None => write!(f, "Raw Message:\n\n{}", String::from_utf8_lossy(&self.response.raw)),
        }
    }
}

/// `Get`, `Put`: as Go's HTTP client begins its messages.
fn title(method: &Method) -> String {
    let (first, rest) = method.as_str().split_at(1);
    format!("{first}{}", rest.to_ascii_lowercase())
}
