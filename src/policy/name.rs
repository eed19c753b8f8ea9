//! Names of policies: the one place that folds them.

use std::collections::BTreeSet;

/// A name as it is stored and compared: without surrounding white space, in lower case.
pub fn fold(raw: &str) -> String {
    raw.trim().chars().flat_map(char::to_lowercase).collect()
}

/// A token's or role's list as it is stored: folded, without empty names, sorted, each once; `root` stands alone.
pub fn fold_all<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    let names: BTreeSet<String> =
        names.into_iter().map(|name| fold(name.as_ref())).filter(|name| !name.is_empty()).collect();
    if names.contains(ROOT) { vec![ROOT.to_string()] } else { names.into_iter().collect() }
}

/// The folded name of a policy that may be written.
///
/// # Errors
/// For built-in names that may not, an empty name and one longer than [`MAX_NAME_BYTES`].
pub fn writable(raw: &str) -> Result<String, NameError> {
    let name = fold(raw);
    match name.as_str() {
        "" => Err(NameError::Empty),
        ROOT | RESPONSE_WRAPPING => Err(NameError::Update(name)),
        _ if name.len() > MAX_NAME_BYTES => Err(NameError::TooLong),
        _ => Ok(name),
    }
}

/// The folded name of a policy that may be deleted.
///
/// # Errors
/// For built-in names.
pub fn deletable(raw: &str) -> Result<String, NameError> {
    let name = fold(raw);
    match name.as_str() {
        "" => Err(NameError::Empty),
        ROOT | RESPONSE_WRAPPING => Err(NameError::Delete(name)),
        DEFAULT => Err(NameError::DeleteDefault),
        _ => Ok(name),
    }
}

/// Checks a folded list that someone wants a token to have.
///
/// # Errors
/// If it holds a name that only the server gives.
pub fn assignable(names: &[String]) -> Result<(), NameError> {
    match names.iter().find(|name| *name == RESPONSE_WRAPPING) {
        Some(name) => Err(NameError::Assign(name.clone())),
        None => Ok(()),
    }
}

/// Why a name is refused: 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name.
    #[error("missing policy name")]
    Empty,
    /// Too long.
    #[error("policy name is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// May not be written.
    #[error("cannot update {0:?} policy")]
    Update(String),
    /// May not be deleted.
    #[error("cannot delete {0:?} policy")]
    Delete(String),
    /// May not be deleted.
    #[error("cannot delete default policy")]
    DeleteDefault,
    /// May not be given to a token.
    #[error("cannot assign policy {0:?}")]
    Assign(String),
}

/// The policy that allows everything.
pub const ROOT: &str = "root";
/// The policy that each token has unless it was asked for without.
pub const DEFAULT: &str = "default";
/// The policy of wrapping tokens; never assigned by people.
pub const RESPONSE_WRAPPING: &str = "response-wrapping";
/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn built_in_names_are_guarded_in_every_spelling() {
        for name in ["root", "Root", " ROOT ", "root\t", "response-wrapping", "Response-Wrapping"] {
            assert!(writable(name).is_err() && deletable(name).is_err(), "{name:?}");
        }
        assert_eq!(writable("ROOT ").unwrap_err().to_string(), "cannot update \"root\" policy");
        assert_eq!(deletable("Default").unwrap_err().to_string(), "cannot delete default policy");
        assert_eq!(writable(" Foo "), Ok("foo".to_string()));
        assert_eq!(writable("default"), Ok("default".to_string()));
    }

    #[test]
    fn lists_are_folded_and_root_stands_alone() {
        assert_eq!(fold_all(["Foo", " foo ", "", "a b ", "default"]), ["a b", "default", "foo"]);
        assert_eq!(fold_all(["foo", " Root"]), ["root"]);
        let error = assignable(&fold_all(["Response-wrapping"])).unwrap_err();
        assert_eq!(error.to_string(), "cannot assign policy \"response-wrapping\"");
    }

    proptest! {
        #[test]
        fn folding_is_idempotent(raw in any::<String>()) {
            prop_assert_eq!(fold(&fold(&raw)), fold(&raw));
        }
    }
}
