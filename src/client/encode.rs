//! Percent-encoding of paths and queries, with the same choices as Go's `net/url`, so that messages and logged URLs read
//! the same as those of other clients.

/// Encodes a path (RFC 3986, section 3.3); slashes stay.
pub fn path(text: &str) -> String {
    escape(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte))
}

/// Encodes query parameters as a form, ordered by key.
pub fn query(parameters: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = parameters.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let form =
        |text: &str| escape(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~ ".contains(&byte)).replace(' ', "+");
    let pairs: Vec<String> = sorted.iter().map(|(key, value)| format!("{}={}", form(key), form(value))).collect();
    pairs.join("&")
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn encodes_as_go() {
        assert_eq!(super::path("a b/%2f?x=1"), "a%20b/%252f%3Fx=1");
        assert_eq!(super::path("é"), "%C3%A9");
        let pairs = [("version".to_string(), "1".to_string()), ("a".to_string(), "b c&".to_string())];
        assert_eq!(super::query(&pairs), "a=b+c%26&version=1");
    }
}
