//! Why a request was not answered with what it asked for. [`crate::http::error`] alone gives each a status.

/// A request's failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 400 with these messages.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// 403 `permission denied`, with what else there is to say.
    #[error("permission denied")]
    Denied(Vec<String>),
    /// 403 with exactly these words: there is no such token.
    #[error("{0}")]
    Forbidden(String),
    /// 404 with no messages: nothing is there.
    #[error("nothing is there")]
    Absent,
    /// 404 with these messages: no route leads there.
    #[error("{0}")]
    NoRoute(String),
    /// 405.
    #[error("unsupported operation")]
    Unsupported,
    /// 413.
    #[error("request body too large")]
    TooLarge,
    /// 503: the node is sealed.
    #[error("Vault is sealed")]
    Sealed,
    /// 503: this node was removed from its cluster, and nothing but an empty data directory changes that.
    #[error("this node was removed from the cluster; wipe its data directory and join as a new node")]
    Removed,
    /// Not carried out and may be sent again: 503 with Retry-After.
    #[error("{0}")]
    Unavailable(String),
    /// May or may not have been carried out: 500, never made to look retryable.
    #[error("the outcome of the request is unknown: {0}")]
    Unknown(String),
    /// 500: a bug or a broken store.
    #[error("internal error: {0}")]
    Internal(String),
    /// This node cannot serve it; the active node can. Never reaches a client: the standby forwards or redirects.
    #[error("this node is not the active node")]
    Standby,
    /// The read set did not hold: the pipeline runs the request again. Never reaches a client.
    #[error("a conflicting write")]
    Conflict,
}

impl Error {
    /// 400 with one message.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::Invalid(vec![message.into()])
    }

    /// 400 that names a field.
    pub fn field(field: &str, message: &str) -> Error {
        Error::Invalid(vec![format!("field {field:?}: {message}")])
    }

    /// 403 without more words.
    pub fn denied() -> Error {
        Error::Denied(Vec::new())
    }

    /// 403 for a request without a token, or with one that does not live.
    pub fn no_token() -> Error {
        Error::Forbidden("permission denied".into())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Internal(error.to_string())
    }
}

impl From<crate::barrier::BarrierError> for Error {
    fn from(error: crate::barrier::BarrierError) -> Error {
        use crate::barrier::BarrierError;
        match error {
            BarrierError::Sealed => Error::Sealed,
            // The rotation is applied here in a moment.
            BarrierError::UnknownTerm(_) => Error::Unavailable(error.to_string()),
            error => Error::Internal(error.to_string()),
        }
    }
}

impl From<crate::seal::SealError> for Error {
    fn from(error: crate::seal::SealError) -> Error {
        Error::invalid(error.to_string())
    }
}

/// The result of what a request does.
pub type Result<T, E = Error> = std::result::Result<T, E>;
