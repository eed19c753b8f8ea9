//! The one map from what went wrong to a status and a body. No other file knows status codes of failures.

use crate::core::Error;
use crate::logical::envelope;

use super::reply::Reply;

/// Why a request did not get as far as the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What the core would say.
    Core(Error),
    /// 307 to this path and query.
    Moved(String),
    /// 404 without words: no path of the API.
    NoSuchPath,
    /// 405 without words: no method of the API.
    NoSuchMethod,
    /// 404: there is only the root namespace.
    NoSuchNamespace,
    /// 415: PATCH with another media type than a merge patch's.
    MediaType(String),
    /// 408: the body did not arrive within the request's life. Nothing was carried out.
    SlowBody,
    /// 431: a head, path or token beyond any use.
    TooLong(&'static str),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Core(error)
    }
}

impl Refusal {
    /// 400 with one message.
    pub fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::Core(Error::invalid(message))
    }

    /// The answer.
    pub fn reply(&self, request_id: &str) -> Reply {
        match self {
            Refusal::Core(error) => reply(error, request_id),
            Refusal::Moved(to) => Reply::redirect("", to),
            Refusal::NoSuchPath => wordless(404),
            Refusal::NoSuchMethod => wordless(405),
            Refusal::NoSuchNamespace => errors(404, &["namespace not found"]),
            Refusal::MediaType(given) => errors(
                415,
                &[&format!("PATCH requires Content-Type of application/merge-patch+json, provided {given}")],
            ),
            Refusal::SlowBody => errors(408, &["the request's body did not arrive in time"]),
            Refusal::TooLong(what) => errors(431, &[&format!("the request's {what} is too long")]),
        }
    }
}

/// The answer to a request that failed.
///
/// What may be sent again answers 503 with Retry-After; what may have happened answers 500 and says so, and is never
/// made to look retryable. An internal error's words go to the log, under the request's id, and not to the client.
pub fn reply(error: &Error, request_id: &str) -> Reply {
    match error {
        Error::Invalid(messages) => errors(400, messages),
        Error::Denied(words) => errors(403, &[several(std::iter::once("permission denied").chain(words_of(words)))]),
        Error::Forbidden(words) => errors(403, &[words]),
        Error::Absent => wordless(404),
        Error::NoRoute(message) => errors(404, &[message]),
        Error::Unsupported => errors(405, &[several(std::iter::once("unsupported operation"))]),
        Error::TooLarge => errors(413, &["request body too large"]),
        Error::Sealed => errors(503, &["Vault is sealed"]),
        Error::Removed => errors(503, &[error.to_string()]),
        Error::Unavailable(message) => retry_later(message),
        Error::Standby => retry_later("there is no active node at the moment"),
        Error::Conflict => retry_later("the request was in conflict with others and was not carried out"),
        Error::Unknown(message) => {
            errors(500, &[&format!("the outcome of the request is unknown, it may have been carried out: {message}")])
        }
        Error::Internal(message) => {
            tracing::error!(target: "http", request_id, error = %message, "internal error");
            errors(500, &[&format!("internal error; the server's log has more under request_id {request_id}")])
        }
    }
}

/// The answer when the code that served a request panicked.
pub fn panicked(request_id: &str) -> Reply {
    tracing::error!(target: "http", request_id, "a request panicked");
    errors(500, &[&format!("internal error, the outcome of the request is unknown; request_id {request_id}")])
}

/// The answer when a request has outlived its time.
pub fn timed_out(request_id: &str) -> Reply {
    reply(&Error::Unknown("it took longer than max_request_duration".to_string()), request_id)
}

fn retry_later(message: &str) -> Reply {
    errors(503, &[message]).with_header("Retry-After", "1")
}

/// `{"errors":[]}`: the status says it all.
fn wordless(status: u16) -> Reply {
    errors::<&str>(status, &[])
}

/// `{"errors":[...]}`.
fn errors<T: AsRef<str>>(status: u16, messages: &[T]) -> Reply {
    let mut body = b"{\"errors\":[".to_vec();
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        envelope::write_json(&mut body, message.as_ref());
    }
    body.extend_from_slice(b"]}\n");
    Reply::json(status, body)
}

/// The text that clients know for one or more errors of the core.
fn several<'a>(messages: impl Iterator<Item = &'a str>) -> String {
    let messages: Vec<&str> = messages.collect();
    let mut text = match messages.len() {
        1 => "1 error occurred:\n".to_string(),
        count => format!("{count} errors occurred:\n"),
    };
    for message in messages {
        text.push_str("\t* ");
        text.push_str(message);
        text.push('\n');
    }
    text.push('\n');
    text
}

fn words_of(words: &[String]) -> impl Iterator<Item = &str> {
    words.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(refusal: Refusal) -> String {
        let reply = refusal.reply("id-1");
        let retry = reply.header("Retry-After").map(|value| format!(" retry-after={value}")).unwrap_or_default();
        format!("{}{retry} {}", reply.status, String::from_utf8_lossy(&reply.body).trim_end())
    }

    #[test]
    fn each_failure_has_its_answer() {
        let all = [
            Refusal::Core(Error::Invalid(vec!["a".into(), "b\"c".into()])),
            Refusal::Core(Error::denied()),
            Refusal::Core(Error::Denied(vec!["invalid token".into()])),
            Refusal::Core(Error::no_token()),
            Refusal::Core(Error::Absent),
            Refusal::Core(Error::NoRoute("no handler for route \"x/y\". route entry not found.".into())),
            Refusal::Core(Error::Unsupported),
            Refusal::Core(Error::TooLarge),
            Refusal::Core(Error::Sealed),
            Refusal::Core(Error::Removed),
            Refusal::Core(Error::Unavailable("busy".into())),
            Refusal::Core(Error::Standby),
            Refusal::Core(Error::Conflict),
            Refusal::Core(Error::Unknown("no answer".into())),
            Refusal::Core(Error::Internal("secret words".into())),
            Refusal::NoSuchPath,
            Refusal::NoSuchMethod,
            Refusal::NoSuchNamespace,
            Refusal::MediaType("text/plain".into()),
            Refusal::SlowBody,
            Refusal::TooLong("token"),
        ]
        .map(shown)
        .join("\n");
        insta::assert_snapshot!(all, @r#"
        400 {"errors":["a","b\"c"]}
        403 {"errors":["1 error occurred:\n\t* permission denied\n\n"]}
        403 {"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}
        403 {"errors":["permission denied"]}
        404 {"errors":[]}
        404 {"errors":["no handler for route \"x/y\". route entry not found."]}
        405 {"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}
        413 {"errors":["request body too large"]}
        503 {"errors":["Vault is sealed"]}
        503 {"errors":["this node was removed from the cluster; wipe its data directory and join as a new node"]}
        503 retry-after=1 {"errors":["busy"]}
        503 retry-after=1 {"errors":["there is no active node at the moment"]}
        503 retry-after=1 {"errors":["the request was in conflict with others and was not carried out"]}
        500 {"errors":["the outcome of the request is unknown, it may have been carried out: no answer"]}
        500 {"errors":["internal error; the server's log has more under request_id id-1"]}
        404 {"errors":[]}
        405 {"errors":[]}
        404 {"errors":["namespace not found"]}
        415 {"errors":["PATCH requires Content-Type of application/merge-patch+json, provided text/plain"]}
        408 {"errors":["the request's body did not arrive in time"]}
        431 {"errors":["the request's token is too long"]}
        "#);
    }
}
