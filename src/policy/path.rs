//! The one room that makes a path canonical: what the policy checks, the router routes and storage uses is this string.

/// Why a path is refused: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `.` or `..` segment.
    #[error("relative paths not supported")]
    Relative,
    /// `//`.
    #[error("empty path segments not supported")]
    EmptySegment,
    /// A control character, line or bidirectional mark, or another character that does not print.
    #[error("path must not contain non-printable characters")]
    NotPrintable,
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
}

/// Makes a path canonical. `raw` is what stands behind `/v1/`, percent-decoded once (a `%` in it is an ordinary
/// character). One leading slash is stripped, a trailing slash (a list) stays, case stays.
///
/// # Errors
/// See [`PathError`]; nothing is silently repaired, so no two layers can disagree about what was meant.
pub fn canonical(raw: &str) -> Result<String, PathError> {
    let path = raw.strip_prefix('/').unwrap_or(raw);
    if path.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    if !path.chars().all(is_printable) {
        return Err(PathError::NotPrintable);
    }
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(PathError::Relative),
            "" if segments.peek().is_some() => return Err(PathError::EmptySegment),
            _ => {}
        }
    }
    Ok(path.to_string())
}

/// The form in which a canonical path is listed: with a trailing slash.
pub fn listed(mut canonical: String) -> String {
    if !canonical.is_empty() && !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// As Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // A string's `escape_debug` escapes what does not print; marks only at its start, hence the letter before it.
    let mut buffer = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_and_refuses() {
        for (raw, path) in [
            ("secret/data/a", "secret/data/a"),
            ("/secret/data/a", "secret/data/a"),
            ("secret/metadata/", "secret/metadata/"),
            ("", ""),
            ("/", ""),
            ("a/...", "a/..."),
            ("a/..b/c..", "a/..b/c.."),
            (".hidden/x", ".hidden/x"),
            ("KV/A b/%2e%2e", "KV/A b/%2e%2e"),
            ("a/+/*", "a/+/*"),
            ("a\\b", "a\\b"),
            ("e\u{301}/é/日本", "e\u{301}/é/日本"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(path), "{raw:?}");
        }
        for (raw, error) in [
            ("a/../b", PathError::Relative),
            ("..", PathError::Relative),
            ("a/.", PathError::Relative),
            ("./a", PathError::Relative),
            ("a//b", PathError::EmptySegment),
            ("//a", PathError::EmptySegment),
            ("a//", PathError::EmptySegment),
            ("//", PathError::EmptySegment),
            ("a\0b", PathError::NotPrintable),
            ("a\nb", PathError::NotPrintable),
            ("a\u{7f}", PathError::NotPrintable),
            ("a\u{85}", PathError::NotPrintable),
            ("a\u{a0}b", PathError::NotPrintable),
            ("a\u{202e}b", PathError::NotPrintable),
            ("a\u{200b}b", PathError::NotPrintable),
            ("a\u{feff}", PathError::NotPrintable),
            ("a\u{2028}", PathError::NotPrintable),
        ] {
            assert_eq!(canonical(raw), Err(error), "{raw:?}");
        }
        assert_eq!(canonical(&"a".repeat(MAX_PATH_BYTES + 1)), Err(PathError::TooLong));
    }

    #[test]
    fn a_list_ends_with_a_slash() {
        assert_eq!(listed("a/b".into()), "a/b/");
        assert_eq!(listed("a/b/".into()), "a/b/");
        assert_eq!(listed(String::new()), "");
    }

    proptest! {
        #[test]
        fn canonical_is_idempotent_and_clean(raw in prop_oneof!["[a./\\\\%+* ]{0,24}", any::<String>()]) {
            if let Ok(path) = canonical(&raw) {
                prop_assert_eq!(canonical(&path), Ok(path.clone()));
                prop_assert!(!path.contains("//") && !path.starts_with('/'));
                prop_assert!(!path.chars().any(char::is_control));
                prop_assert!(!path.split('/').any(|segment| segment == "." || segment == ".."));
                prop_assert_eq!(path.ends_with('/'), raw.ends_with('/') && raw != "/");
            }
        }
    }
}
