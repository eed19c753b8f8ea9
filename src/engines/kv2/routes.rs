//! The paths of KV version 2.

use crate::engines::fields::{AFTER, KEYS, LIMIT};
use crate::logical::route::{Field, Kind, Verb};
use crate::logical::{Operation, Route};

pub(super) const CONFIG: &str = "config";
pub(super) const DATA: &str = "data/{path...}";
pub(super) const DELETE: &str = "delete/{path...}";
pub(super) const UNDELETE: &str = "undelete/{path...}";
pub(super) const DESTROY: &str = "destroy/{path...}";
pub(super) const METADATA: &str = "metadata/{path...}";
pub(super) const DETAILED_METADATA: &str = "detailed-metadata/{path...}";
pub(super) const SUBKEYS: &str = "subkeys/{path...}";

/// The paths.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: CONFIG,
        about: "Settings that hold for every key of the mount.",
        verbs: &[
            Verb::new(
                Operation::Read,
                "Reads the settings.",
                &[MAX_VERSIONS, CAS_REQUIRED, META_CAS_REQUIRED, DELETE_AFTER_SHOWN],
            ),
            Verb::new(Operation::Update, "Changes settings; those that are not given stay.", &[]),
        ],
        fields: &[MAX_VERSIONS, CAS_REQUIRED, META_CAS_REQUIRED, DELETE_AFTER],
    },
    Route {
        pattern: DATA,
        about: "The data of a key, version by version.",
        verbs: &[
            Verb::new(Operation::Read, "Reads a version, without \"version\" the latest.", &[SECRET, VERSION_METADATA]),
            Verb::new(Operation::Update, "Writes a new version.", VERSION_ANSWER),
            Verb::new(
                Operation::Patch,
                "Writes a new version: the latest with a JSON merge patch applied.",
                VERSION_ANSWER,
            ),
            Verb::new(Operation::Delete, "Marks the latest version as deleted.", &[]),
        ],
        fields: &[
            Field::new("data", Kind::Any, "The object to store, or the merge patch."),
            Field::new(
                "options",
                Kind::Any,
                "An object; \"cas\" in it is the number of the version that must be the latest, 0 for none.",
            ),
            VERSION,
        ],
    },
    Route {
        pattern: DELETE,
        about: "Marks versions of a key as deleted. Their data stays and can be brought back.",
        verbs: &[Verb::new(Operation::Update, "Marks versions as deleted.", &[])],
        fields: &[VERSIONS],
    },
    Route {
        pattern: UNDELETE,
        about: "Brings deleted versions of a key back.",
        verbs: &[Verb::new(Operation::Update, "Takes the marks back.", &[])],
        fields: &[VERSIONS],
    },
    Route {
        pattern: DESTROY,
        about: "Removes the data of versions of a key for good.",
        verbs: &[Verb::new(Operation::Update, "Removes the data.", &[])],
        fields: &[VERSIONS],
    },
    Route {
        pattern: METADATA,
        about: "What is known of a key beside its data; lists of keys.",
        verbs: &[
            Verb::new(Operation::Read, "Reads settings, custom metadata and the list of versions.", METADATA_ANSWER),
            Verb::new(
                Operation::Update,
                "Changes settings and replaces the custom metadata; makes the key if there is none.",
                &[],
            ),
            Verb::new(Operation::Patch, "Changes settings and custom metadata by a JSON merge patch.", &[]),
            Verb::new(Operation::Delete, "Removes the key with all its versions for good.", &[]),
            Verb::new(Operation::List, "Lists keys and folders.", &[KEYS]),
        ],
        fields: &[
            MAX_VERSIONS,
            CAS_REQUIRED,
            META_CAS_REQUIRED,
            Field::new(
                "metadata_cas",
                Kind::Integer,
                "The number of changes that the metadata must have had, 0 for none.",
            ),
            DELETE_AFTER,
            CUSTOM,
            AFTER,
            LIMIT,
        ],
    },
    Route {
        pattern: DETAILED_METADATA,
        about: "Lists keys together with their metadata.",
        verbs: &[Verb::new(
            Operation::List,
            "Lists keys and folders.",
            &[
                KEYS,
                Field::new(
                    "key_info",
                    Kind::Any,
                    "For each name what metadata/ answers; an empty object for a folder.",
                ),
            ],
        )],
        fields: &[AFTER, LIMIT],
    },
    Route {
        pattern: SUBKEYS,
        about: "The structure of a version without its values.",
        verbs: &[Verb::new(
            Operation::Read,
            "Reads a version with null in place of its values.",
            &[Field::new("subkeys", Kind::Any, "The object without its values."), VERSION_METADATA],
        )],
        fields: &[VERSION, Field::new("depth", Kind::Integer, "So many levels are shown; all for 0, the default.")],
    },
];

const MAX_VERSIONS: Field = Field::new(
    "max_versions",
    Kind::Integer,
    "Versions kept of each key; the larger of the mount's and the key's number holds, and 10 if both are 0.",
);
const CAS_REQUIRED: Field =
    Field::new("cas_required", Kind::Flag, "Whether each write must say which version is the latest.");
const META_CAS_REQUIRED: Field =
    Field::new("metadata_cas_required", Kind::Flag, "Whether each change of metadata must give \"metadata_cas\".");
const DELETE_AFTER: Field = Field::new(
    "delete_version_after",
    Kind::Duration,
    "How long a version lives; the shorter of the mount's and the key's time holds. 0 is for ever. A negative time of the \
     mount turns this off for all its keys.",
);
const DELETE_AFTER_SHOWN: Field =
    Field::new("delete_version_after", Kind::Text, "How long a version lives, such as 720h0m0s; 0s is for ever.");
const CUSTOM: Field =
    Field::new("custom_metadata", Kind::Map, "At most 64 pairs of texts; a name has at most 128 bytes, a value 512.");
const VERSION: Field = Field::new("version", Kind::Integer, "Which version is read; 0, the default, is the latest.");
const VERSIONS: Field = Field::new("versions", Kind::List, "Numbers of versions.");
const SECRET: Field = Field::new("data", Kind::Any, "The object, null if it was deleted.");
const VERSION_METADATA: Field = Field::new("metadata", Kind::Any, "What is known of this version.");

/// What is answered of a version that was written.
const VERSION_ANSWER: &[Field] = &[
    CREATED,
    Field::new("custom_metadata", Kind::Map, "The key's, null if it has none."),
    Field::new("deletion_time", Kind::Text, "When it was or will be deleted (RFC 3339); empty for never."),
    Field::new("destroyed", Kind::Flag, "Whether the data was removed for good."),
    Field::new("version", Kind::Integer, "Its number."),
];

const METADATA_ANSWER: &[Field] = &[
    CREATED,
    Field::new("updated_time", Kind::Text, "When the key was last changed (RFC 3339)."),
    Field::new("current_version", Kind::Integer, "The latest version; 0 if none was written."),
    Field::new("oldest_version", Kind::Integer, "The oldest version kept; 0 until there are as many as are kept."),
    Field::new("current_metadata_version", Kind::Integer, "How often the metadata was changed."),
    Field::new("versions", Kind::Any, "What is known of each version, by number."),
    MAX_VERSIONS,
    CAS_REQUIRED,
    META_CAS_REQUIRED,
    DELETE_AFTER_SHOWN,
    CUSTOM,
];

const CREATED: Field = Field::new("created_time", Kind::Text, "When it was made (RFC 3339).");
