//! Names right below a prefix, found without reading what lies below a folder: having seen one key of a folder, the walk
//! goes on behind the folder's last possible key.

use std::collections::BTreeSet;

use crate::storage::schema::{after, prefix_end};

/// A walk over the keys below a prefix. It asks for ranges ([`Names::range`]) and is fed what was found.
pub(super) struct Names {
    prefix: Vec<u8>,
    after: Vec<u8>,
    from: Vec<u8>,
    limit: usize,
    found: BTreeSet<String>,
    done: bool,
}

impl Names {
    /// At most `limit` names below `prefix`, behind `after` (empty: from the first).
    pub fn new(prefix: Vec<u8>, after: &str, limit: usize) -> Names {
        let after = after.as_bytes().to_vec();
        let mut from = [prefix.as_slice(), &after].concat();
        if after.last() == Some(&b'/') {
            from = prefix_end(&from);
        } else if !after.is_empty() {
            from.push(0);
        }
        Names { prefix, after, from, limit, found: BTreeSet::new(), done: limit == 0 }
    }

    /// How many names were found.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// The next range to read from, in order and as many keys as is handy; `None` when the walk is over.
    pub fn range(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let end = prefix_end(&self.prefix);
        (!self.done && self.from < end).then(|| (self.from.clone(), end))
    }

    /// Takes the next keys of the range last asked for; `complete` if there are no more in it. `gone` says which keys
    /// count as absent.
    pub fn feed<'a>(&mut self, keys: impl Iterator<Item = &'a [u8]>, complete: bool, gone: impl Fn(&[u8]) -> bool) {
        for key in keys {
            if key < self.from.as_slice() {
                continue; // in a folder that is known already
            }
            self.from = after(key);
            if gone(key) {
                continue;
            }
            let Some((name, is_folder)) = name(&self.prefix, key) else { continue };
            if is_folder {
                self.from = prefix_end(&[self.prefix.as_slice(), name.as_bytes()].concat());
            }
            if name.as_bytes() > self.after.as_slice() {
                self.found.insert(name);
            }
            if self.found.len() >= self.limit {
                self.done = true;
                return;
            }
        }
        self.done |= complete;
    }

    /// Adds keys that are not in the store yet, and ends the walk.
    pub fn finish<'a>(mut self, own: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
        for key in own {
            if let Some((name, _)) = name(&self.prefix, key)
                && name.as_bytes() > self.after.as_slice()
            {
                self.found.insert(name);
            }
        }
        self.found.into_iter().take(self.limit).collect()
    }
}

/// The name of `key` right below `prefix`, and whether it is a folder.
fn name(prefix: &[u8], key: &[u8]) -> Option<(String, bool)> {
    let rest = std::str::from_utf8(key.strip_prefix(prefix)?).ok()?;
    match rest.find('/') {
        Some(slash) => Some((rest[..=slash].to_string(), true)),
        None if rest.is_empty() => None,
        None => Some((rest.to_string(), false)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Walks `keys` by `chunk` keys at a time; also counts the keys read.
    fn walk(keys: &BTreeSet<Vec<u8>>, prefix: &str, after: &str, limit: usize, chunk: usize) -> (Vec<String>, usize) {
        let mut names = Names::new(prefix.as_bytes().to_vec(), after, limit);
        let mut read = 0;
        while let Some((from, to)) = names.range() {
            let page: Vec<_> = keys.range(from..to).take(chunk).map(Vec::as_slice).collect();
            read += page.len();
            let complete = page.len() < chunk;
            names.feed(page.into_iter(), complete, |_| false);
        }
        (names.finish(std::iter::empty()), read)
    }

    fn keys(keys: &[&str]) -> BTreeSet<Vec<u8>> {
        keys.iter().map(|key| key.as_bytes().to_vec()).collect()
    }

    #[test]
    fn folders_come_once_and_are_jumped_over() {
        let mut all = keys(&["p/a", "p/b", "p/z", "q/x"]);
        all.extend((0..1000).map(|n| format!("p/b/{n:04}").into_bytes()));
        let (names, read) = walk(&all, "p/", "", usize::MAX, 4);
        assert_eq!(names, ["a", "b", "b/", "z"]);
        assert!(read < 10, "read {read} keys");
        assert_eq!(walk(&all, "p/", "b", 1, 4).0, ["b/"]);
        assert_eq!(walk(&all, "p/", "b/", 9, 4).0, ["z"]);
        assert_eq!(walk(&all, "p/", "zz", 9, 4).0, Vec::<String>::new());
        assert_eq!(walk(&all, "p/", "", 0, 4).0, Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn finds_what_a_full_scan_finds(
            all in prop::collection::btree_set("[ab/-]{1,5}", 0..40),
            after in "[ab/-]{0,3}",
            limit in 1usize..9,
            chunk in 1usize..5,
        ) {
            let all: BTreeSet<Vec<u8>> = all.into_iter().map(|key| format!("p/{key}").into_bytes()).collect();
            let expected: BTreeSet<String> =
                all.iter().filter_map(|key| name(b"p/", key)).map(|(name, _)| name).filter(|name| *name > after).collect();
            let expected: Vec<String> = expected.into_iter().take(limit).collect();
            prop_assert_eq!(walk(&all, "p/", &after, limit, chunk).0, expected);
        }
    }
}
