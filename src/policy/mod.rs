//! Who may do what: canonical paths, ACL policies and their evaluation.

pub mod acl;
pub mod builtin;
pub mod capability;
pub mod name;
pub mod parameters;
pub mod parse;
pub mod path;
pub mod pattern;
pub mod root_paths;

pub use acl::{Acl, Ask, Verdict};
pub use capability::{Capabilities, Capability};
pub use parse::{ParseError, PathRule, Policy};
pub use root_paths::sudo_required;
