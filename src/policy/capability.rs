//! What a policy can grant on a path.

use crate::logical::Operation;

/// One thing that may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Write what does not exist yet.
    Create,
    /// Delete.
    Delete,
    /// Nothing at all, whatever else is granted on the same pattern.
    Deny,
    /// List names.
    List,
    /// Change a part.
    Patch,
    /// Read.
    Read,
    /// Reserved.
    Recover,
    /// Reserved.
    Scan,
    /// Reserved.
    Subscribe,
    /// Use root-protected paths.
    Sudo,
    /// Write what exists.
    Update,
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capability {
    /// The word in a policy.
    pub fn name(self) -> &'static str {
        ALL[self as usize].0
    }

    /// The capability of this word, in lower case.
    pub fn parse(word: &str) -> Option<Capability> {
        ALL.iter().find(|(name, _)| *name == word).map(|(_, capability)| *capability)
    }

    /// What an operation needs; nothing for help.
    pub fn for_operation(operation: Operation) -> Option<Capability> {
        match operation {
            Operation::Create => Some(Capability::Create),
            Operation::Read => Some(Capability::Read),
            Operation::Update => Some(Capability::Update),
            Operation::Patch => Some(Capability::Patch),
            Operation::Delete => Some(Capability::Delete),
            Operation::List => Some(Capability::List),
            Operation::Help => None,
        }
    }
}

impl Capabilities {
    /// The set of these.
    pub fn of(capabilities: &[Capability]) -> Capabilities {
        let mut set = Capabilities::default();
        capabilities.iter().for_each(|capability| set.add(*capability));
        set
    }

    /// What a legacy `policy = "WORD"` stands for.
    pub fn legacy(word: &str) -> Option<Capabilities> {
        use Capability::{Create, Delete, Deny, List, Read, Sudo, Update};
        match word {
            "deny" => Some(Capabilities::of(&[Deny])),
            "read" => Some(Capabilities::of(&[Read, List])),
            "write" => Some(Capabilities::of(&[Create, Read, Update, Delete, List])),
            "sudo" => Some(Capabilities::of(&[Create, Read, Update, Delete, List, Sudo])),
            _ => None,
        }
    }

    /// Adds one; `deny` takes all others away and keeps them away.
    pub fn add(&mut self, capability: Capability) {
        if capability == Capability::Deny {
            self.0 = bit(Capability::Deny);
        } else if !self.has(Capability::Deny) {
            self.0 |= bit(capability);
        }
    }

    /// Adds all of another set, by the same rule.
    pub fn merge(&mut self, other: Capabilities) {
        if self.has(Capability::Deny) || other.has(Capability::Deny) {
            self.0 = bit(Capability::Deny);
        } else {
            self.0 |= other.0;
        }
    }

    /// Whether this one is in it.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & bit(capability) != 0
    }

    /// Their words, sorted; `deny` for an empty set.
    pub fn names(self) -> Vec<&'static str> {
        if self.0 == 0 {
            return vec![Capability::Deny.name()];
        }
        ALL.iter().filter(|(_, capability)| self.has(*capability)).map(|(name, _)| *name).collect()
    }
}

fn bit(capability: Capability) -> u16 {
    1 << capability as u16
}

/// Sorted by word, in the order of the enum.
const ALL: [(&str, Capability); 11] = [
    ("create", Capability::Create),
    ("delete", Capability::Delete),
    ("deny", Capability::Deny),
    ("list", Capability::List),
    ("patch", Capability::Patch),
    ("read", Capability::Read),
    ("recover", Capability::Recover),
    ("scan", Capability::Scan),
    ("subscribe", Capability::Subscribe),
    ("sudo", Capability::Sudo),
    ("update", Capability::Update),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        for (index, (name, capability)) in ALL.iter().enumerate() {
            assert_eq!(*capability as usize, index);
            assert_eq!(capability.name(), *name);
            assert_eq!(Capability::parse(name), Some(*capability));
        }
        assert!(ALL.is_sorted());
        assert_eq!(Capability::parse("READ"), None);
    }

    #[test]
    fn deny_wins_in_any_order() {
        let mut set = Capabilities::of(&[Capability::Read, Capability::Deny, Capability::List]);
        assert_eq!(set.names(), ["deny"]);
        set.merge(Capabilities::of(&[Capability::Sudo]));
        assert_eq!(set.names(), ["deny"]);
        let mut other = Capabilities::of(&[Capability::Read]);
        other.merge(set);
        assert_eq!(other.names(), ["deny"]);
        assert_eq!(Capabilities::default().names(), ["deny"]);
    }
}
