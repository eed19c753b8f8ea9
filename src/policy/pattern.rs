//! The path patterns of policies: how one matches, and which of several matching ones is obeyed.

use std::cmp::Ordering;

use crate::runtime::point::mutant;

/// A path of a policy that is not exact: it ends with `*` (any rest), or has `+` segments (any one segment), or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Without the final `*`.
    body: Box<str>,
    glob: bool,
    /// Number of `+` segments.
    wildcards: usize,
    /// Byte offset of the first `+` segment, or of the final `*`.
    first: usize,
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.body, if self.glob { "*" } else { "" })
    }
}

impl Pattern {
    /// The pattern of this text; `None` if the text names exactly one path. A `*` that is not last and a `+` that is
    /// not a whole segment are ordinary characters.
    pub fn parse(text: &str) -> Option<Pattern> {
        let (body, glob) = text.strip_suffix('*').map_or((text, false), |body| (body, true));
        let mut wildcards = 0;
        let mut first = body.len();
        let mut offset = 0;
        for segment in body.split('/') {
            if segment == "+" {
                wildcards += 1;
                first = first.min(offset);
            }
            offset += segment.len() + 1;
        }
        (glob || wildcards > 0).then(|| Pattern { body: body.into(), glob, wildcards, first })
    }

    /// Whether it matches the path. A `+` also stands for an empty segment.
    pub fn matches(&self, path: &str) -> bool {
        if self.wildcards == 0 {
            return path.starts_with(&*self.body);
        }
        let mut wanted = self.body.split('/').peekable();
        let mut segments = path.split('/');
        while let Some(want) = wanted.next() {
            let Some(segment) = segments.next() else { return false };
            if self.glob && wanted.peek().is_none() {
                // `+*` is refused by the parser, so this is plain text.
                return segment.starts_with(want);
            }
            if want != "+" && want != segment {
                return false;
            }
        }
        segments.next().is_none()
    }

    /// Whether it can match a path that begins with `prefix` (which ends with `/`).
    pub fn reaches(&self, prefix: &str) -> bool {
        if self.wildcards == 0 {
            return prefix.starts_with(&*self.body) || self.body.starts_with(prefix);
        }
        let given: Vec<&str> = prefix.strip_suffix('/').unwrap_or(prefix).split('/').collect();
        let wanted: Vec<&str> = self.body.split('/').collect();
        // The final piece before a `*` is a prefix of its segment.
        let fits = |(index, (want, segment)): (usize, (&&str, &&str))| {
            *want == "+" || want == segment || (self.glob && index + 1 == wanted.len() && segment.starts_with(*want))
        };
        (self.glob || wanted.len() > given.len()) && wanted.iter().zip(&given).enumerate().all(fits)
    }

    /// The order in which matching patterns are obeyed, greatest first. The five rules of the policy documentation
    /// ("priority matching"): a pattern is of lower priority if its first `+` or `*` comes earlier; else if it ends
    /// with `*` and the other does not; else if it has more `+` segments; else if it is shorter; else if it is
    /// smaller in byte order.
    pub fn priority(&self, other: &Pattern) -> Ordering {
        let by_length = match mutant("deny-lost-to-longer-glob") {
            true => self.body.len().cmp(&other.body.len()),
            false => Ordering::Equal,
        };
        by_length
            .then(self.first.cmp(&other.first))
            .then(other.glob.cmp(&self.glob))
            .then(other.wildcards.cmp(&self.wildcards))
            .then(self.body.len().cmp(&other.body.len()))
            .then_with(|| self.body.cmp(&other.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_the_peer_does() {
        for (pattern, yes, no) in [
            ("a/*", &["a/", "a/b", "a/b/c"][..], &["a", "ab"][..]),
            ("a/b*", &["a/b", "a/bc", "a/b/c"], &["a/c"]),
            ("a/+", &["a/b", "a/"], &["a", "a/b/", "a/b/c"]),
            ("+", &["a"], &["a/", "a/b"]),
            ("+/*", &["a/", "a/b", "a/b/c"], &["a"]),
            ("a/+/b*", &["a/x/b", "a/x/bc", "a/x/bc/d", "a//b"], &["a/x/c", "a/x"]),
            ("a/b**", &["a/b*", "a/b*c"], &["a/b", "a/bxc"]),
            ("+/b", &["a/b"], &["a/b/c", "b"]),
            ("*", &["", "a", "a/b"], &[]),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            yes.iter().for_each(|path| assert!(parsed.matches(path), "{pattern} {path}"));
            no.iter().for_each(|path| assert!(!parsed.matches(path), "{pattern} {path}"));
        }
        for exact in ["a", "a/b+c", "a/b*c", "a/*/c", "", "a/+b"] {
            assert_eq!(Pattern::parse(exact), None, "{exact}");
        }
    }

    #[test]
    fn obeys_the_five_rules() {
        // Each line: lower, higher.
        for (lower, higher) in [
            ("+/b", "a/*"),
            ("a/+/c", "a/b/*"),
            ("a/+/*", "a/b*"),
            ("a/*", "a/+"),
            ("a/+/*", "a/+/c"),
            ("a/+/+", "a/+/c"),
            ("+/+/+", "+/b/+"),
            ("a/+/b*", "a/+/bc*"),
            ("+/+/c", "+/b/+"),
        ] {
            let (lower, higher) = (Pattern::parse(lower).unwrap(), Pattern::parse(higher).unwrap());
            assert_eq!(lower.priority(&higher), Ordering::Less, "{lower:?} {higher:?}");
            assert_eq!(higher.priority(&lower), Ordering::Greater);
        }
    }
}
