//! The nearest of known names to one that is mistyped.

/// The candidate that is nearest to `word`, if it is near enough to have been meant: one slip, or one in three letters. A
/// beginning of a name counts as near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |name: &str| match name.strip_prefix(&word) {
        Some(rest) if word.chars().count() >= BEGINNING_MIN => Some(rest.len().min(1)),
        _ => Some(strsim::damerau_levenshtein(&word, name)).filter(|far| *far <= 1.max(name.chars().count() / 3)),
    };
    candidates.into_iter().filter_map(|name| Some((distance(name)?, name))).min().map(|(_, name)| name)
}

/// `message`, and the nearest name with what stands before such names.
pub fn hint<'a>(message: String, word: &str, before: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, names) {
        Some(name) => format!("{message}\nDid you mean {before}{name}?"),
        None => message,
    }
}

const BEGINNING_MIN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["get", "put", "metadata", "enable-versioning", "list", "patch", "namespace", "ns"];
        for (word, meant) in [
            ("gte", Some("get")),
            ("Get", Some("get")),
            ("meta", Some("metadata")),
            ("enable", Some("enable-versioning")),
            ("lsit", Some("list")),
            ("namspace", Some("namespace")),
            ("foo", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
        assert_eq!(hint("no -x".into(), "lst", "-", names), "no -x\nDid you mean -list?");
        assert_eq!(hint("no".into(), "quux", "-", names), "no");
    }
}
