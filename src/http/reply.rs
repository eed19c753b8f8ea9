//! An answer that is ready to be sent: the same whether it was made here or forwarded from the active node.

use std::borrow::Cow;

use bytes::Bytes;

/// Status, headers and body.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body's media type.
    pub content_type: Cow<'static, str>,
    /// Headers beyond those of every answer ([`super::headers`]).
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// A JSON body that is already text.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Reply {
        Reply::raw(status, JSON, body)
    }

    /// Any body.
    pub fn raw(status: u16, content_type: impl Into<Cow<'static, str>>, body: impl Into<Bytes>) -> Reply {
        Reply { status, content_type: content_type.into(), headers: Vec::new(), body: body.into() }
    }

    /// 307 to the same path and query at the active node. The client keeps method and body.
    pub fn redirect(api_address: &str, path_and_query: &str) -> Reply {
        let location = format!("{}{path_and_query}", api_address.trim_end_matches('/'));
        Reply::json(307, Bytes::new()).with_header("Location", location)
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// The value of a header set by [`Reply::with_header`].
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The media type of the API.
pub const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_to_the_same_path() {
        let reply = Reply::redirect("https://vault-2.internal:8200/", "/v1/secret/data/a?version=2");
        assert_eq!(
            (reply.status, reply.header("location")),
            (307, Some("https://vault-2.internal:8200/v1/secret/data/a?version=2"))
        );
    }
}
