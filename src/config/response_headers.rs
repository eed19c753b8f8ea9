//! `custom_response_headers` of a listener: headers for all answers, for those of a class, for those of one status.

use super::error::ConfigError;
use super::section::Section;
use crate::hcl::Value;

/// Which answers. The more special come later in the order, and replace what the more general set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForStatus {
    /// `default`.
    Any,
    /// `2xx`: the first digit.
    Class(u16),
    /// `404`.
    One(u16),
}

impl ForStatus {
    /// Whether an answer of this status is meant.
    pub fn matches(self, status: u16) -> bool {
        match self {
            ForStatus::Any => true,
            ForStatus::Class(first) => status / 100 == first,
            ForStatus::One(one) => status == one,
        }
    }

    fn parse(text: &str) -> Option<ForStatus> {
        let first = |text: &str| text.parse().ok().filter(|first| (1..=5).contains(first));
        match text {
            "default" => Some(ForStatus::Any),
            _ if text.len() == 3 && text.ends_with("xx") => first(&text[..1]).map(ForStatus::Class),
            _ => text.parse().ok().filter(|code| (100..600).contains(code)).map(ForStatus::One),
        }
    }
}

/// Reads the blocks of one listener.
pub(super) fn read(
    listener: &Section<'_>,
    later: &mut Vec<String>,
) -> Result<Vec<(ForStatus, String, String)>, ConfigError> {
    let mut read = Vec::new();
    for block in listener.blocks("custom_response_headers")? {
        for found in block.all() {
            let item = found.item();
            let (keys, fault) = (item.keys.as_slice(), |message: &str| Err(block.wrong(found, message)));
            let Some(status) = keys.first().and_then(|key| ForStatus::parse(key)).filter(|_| keys.len() == 1) else {
                return fault("is neither \"default\" nor a class such as \"2xx\" nor a status such as \"404\"");
            };
            for node in item.value.each() {
                let Value::Object(headers) = &node.value else { return fault("expected a block of headers") };
                for header in &headers.items {
                    let name = header.keys.join(" ");
                    if is_reserved(&name) {
                        return fault(&format!("the header {name:?} is the server's own"));
                    }
                    let Some(value) = value(&header.value.value) else {
                        return fault(&format!("the values of {name:?} must be given in a list of strings"));
                    };
                    read.push((status, name, value));
                }
            }
        }
        block.finish(later)?;
    }
    Ok(read)
}

/// Several values become one, as other servers of this API join them.
fn value(value: &Value) -> Option<String> {
    let Value::List(nodes) = value else { return None };
    let text = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
    let texts: Option<Vec<String>> = nodes.iter().map(|node| text(&node.value)).collect();
    Some(texts?.join("; "))
}

/// What clients of the API read, and what would break the framing of the answer.
fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("x-vault-") || RESERVED.contains(&name.as_str())
}

const RESERVED: &[&str] =
    &["connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
