//! All paths of the token mount, with their fields and answers.

use crate::logical::Operation::{Delete, List, Read, Update};
use crate::logical::route::{Field, Kind, Route, field, verb};

const TOKEN: &[Field] = &[field("token", Kind::Text, "The token.")];

const ACCESSOR: &[Field] = &[field("accessor", Kind::Text, "The token's accessor.")];

const INCREMENT: Field =
    field("increment", Kind::Duration, "How long it should live from now on; as long as the last time if not given.");

const CREATE: &[Field] = &[
    field("policies", Kind::List, "Its policies; those of the calling token if none are given."),
    field("no_default_policy", Kind::Flag, "Leave out the policy default."),
    field("ttl", Kind::Duration, "How long it lives unless it is renewed; the mount's default if not given."),
    field("lease", Kind::Duration, "The older name of ttl."),
    field("explicit_max_ttl", Kind::Duration, "How long it can live at most, whatever its renewals."),
    field("period", Kind::Duration, "How long each renewal lets it live, any number of times. Takes sudo."),
    field("renewable", Kind::Flag, "Whether it can be renewed; true if not given."),
    field("num_uses", Kind::Integer, "How often it can be used; 0, the default, for any number of times."),
    field("type", Kind::Text, "service or batch."),
    field("display_name", Kind::Text, "A name for people to know it by."),
    field("meta", Kind::Map, "Texts that are kept with it and shown in the audit log."),
    field("no_parent", Kind::Flag, "It shall not end with the calling token. Takes sudo."),
    field("id", Kind::Text, "The token itself, instead of a random one. Takes sudo."),
    field("entity_alias", Kind::Text, "The alias of an entity that it acts for; only with a role that allows it."),
];

const SHOWN: &[Field] = &[
    field("accessor", Kind::Text, "Its accessor; empty for a batch token."),
    field("bound_cidrs", Kind::List, "Blocks of addresses that it can be used from, if it has any."),
    field("creation_time", Kind::Integer, "When it was made, in seconds since 1970."),
    field("creation_ttl", Kind::Integer, "The life it was given, in seconds; 0 for ever."),
    field("display_name", Kind::Text, "A name for people to know it by."),
    field("entity_id", Kind::Text, "The entity that it acts for."),
    field("expire_time", Kind::Text, "When it ends (RFC 3339); null for never."),
    field(
        "explicit_max_ttl",
        Kind::Integer,
        "How long it can live at most, in seconds; 0 for no such bound of its own.",
    ),
    field("id", Kind::Text, "The token; empty where it was looked up by its accessor."),
    field("issue_time", Kind::Text, "When it was made (RFC 3339)."),
    field("last_renewal", Kind::Text, "When it was last renewed (RFC 3339), if it ever was."),
    field("last_renewal_time", Kind::Integer, "The same in seconds since 1970."),
    field("meta", Kind::Map, "Texts that are kept with it; null if there are none."),
    field("num_uses", Kind::Integer, "Uses left; 0 for any number, -1 with the last one."),
    field("orphan", Kind::Flag, "Whether it has no parent."),
    field("path", Kind::Text, "The path that made it."),
    field("period", Kind::Integer, "Its period in seconds, if it has one of its own."),
    field("policies", Kind::List, "Its policies."),
    field("renewable", Kind::Flag, "Whether it can be renewed."),
    field("role", Kind::Text, "The role that it was made through, if any."),
    field("ttl", Kind::Integer, "What is left of its life in seconds; 0 for ever."),
    field("type", Kind::Text, "service or batch."),
];

const ROLE: &[Field] = &[
    field("allowed_policies", Kind::List, "Policies that tokens can have, rather than those of their maker."),
    field("allowed_policies_glob", Kind::List, "The same as patterns, in which * stands for any text."),
    field("disallowed_policies", Kind::List, "Policies that no token has."),
    field("disallowed_policies_glob", Kind::List, "The same as patterns, in which * stands for any text."),
    field("orphan", Kind::Flag, "Tokens have no parent; false if not given."),
    field("renewable", Kind::Flag, "Tokens can be renewed; true if not given."),
    field("path_suffix", Kind::Text, "Added to the path that tokens are said to come from."),
    field("allowed_entity_aliases", Kind::List, "Aliases that tokens can be made for, as patterns."),
    field("token_bound_cidrs", Kind::List, "Blocks of addresses that tokens can be used from; anywhere if empty."),
    field("token_explicit_max_ttl", Kind::Duration, "How long tokens can live at most; 0 for no such bound."),
    field(
        "token_period",
        Kind::Duration,
        "How long each renewal lets tokens live, any number of times; 0 for no period.",
    ),
    field("token_num_uses", Kind::Integer, "How often tokens can be used; 0 for any number of times."),
    field("token_no_default_policy", Kind::Flag, "Tokens do not get the policy default unasked."),
    field("token_type", Kind::Text, "service, batch, default-service or default-batch."),
    field("bound_cidrs", Kind::List, "The older name of token_bound_cidrs."),
    field("explicit_max_ttl", Kind::Duration, "The older name of token_explicit_max_ttl."),
    field("period", Kind::Duration, "The older name of token_period."),
];

const ROLE_SHOWN: &[Field] = &[
    field("name", Kind::Text, "The role's name."),
    field("allowed_policies", Kind::List, "Policies that tokens can have."),
    field("allowed_policies_glob", Kind::List, "The same as patterns."),
    field("disallowed_policies", Kind::List, "Policies that no token has."),
    field("disallowed_policies_glob", Kind::List, "The same as patterns."),
    field("orphan", Kind::Flag, "Tokens have no parent."),
    field("renewable", Kind::Flag, "Tokens can be renewed."),
    field("path_suffix", Kind::Text, "Added to the path that tokens are said to come from."),
    field("allowed_entity_aliases", Kind::List, "Aliases that tokens can be made for; null if never given."),
    field("token_bound_cidrs", Kind::List, "Where tokens can be used, if there is a bound."),
    field("token_explicit_max_ttl", Kind::Integer, "How long tokens can live at most, in seconds."),
    field("token_period", Kind::Integer, "The period of tokens in seconds."),
    field("token_num_uses", Kind::Integer, "How often tokens can be used, if there is a bound."),
    field("token_no_default_policy", Kind::Flag, "Tokens do not get the policy default unasked."),
    field("token_type", Kind::Text, "Which type tokens are."),
    field("bound_cidrs", Kind::List, "As token_bound_cidrs, if they were set by this name."),
    field("explicit_max_ttl", Kind::Integer, "As token_explicit_max_ttl if it was set by this name, else 0."),
    field("period", Kind::Integer, "As token_period if it was set by this name, else 0."),
];

const KEYS: &[Field] = &[field("keys", Kind::List, "The names.")];

/// The paths; what makes or renews a token answers with `auth` rather than `data`.
pub(crate) static ROUTES: &[Route] = &[
    Route {
        pattern: "create",
        about: "Makes a token, a child of the calling token.",
        verbs: &[verb(Update, "make a token", &[])],
        fields: CREATE,
    },
    Route {
        pattern: "create-orphan",
        about: "Makes a token without a parent: it does not end with the calling token.",
        verbs: &[verb(Update, "make a token without a parent", &[])],
        fields: CREATE,
    },
    Route {
        pattern: "create/{role_name}",
        about: "Makes a token as a role says.",
        verbs: &[verb(Update, "make a token through a role", &[])],
        fields: CREATE,
    },
    Route {
        pattern: "lookup",
        about: "Shows what a token is; the calling token if none is named.",
        verbs: &[verb(Read, "show a token", SHOWN), verb(Update, "show a token", SHOWN)],
        fields: TOKEN,
    },
    Route {
        pattern: "lookup/{token}",
        about: "As lookup, with the token in the path, where logs may keep it.",
        verbs: &[verb(Read, "show a token", SHOWN), verb(Update, "show a token", SHOWN)],
        fields: &[],
    },
    Route {
        pattern: "lookup-self",
        about: "Shows what the calling token is.",
        verbs: &[verb(Read, "show the calling token", SHOWN), verb(Update, "show the calling token", SHOWN)],
        fields: TOKEN,
    },
    Route {
        pattern: "lookup-accessor",
        about: "Shows what the token of an accessor is, but for the token itself.",
        verbs: &[verb(Update, "show the token of an accessor", SHOWN)],
        fields: ACCESSOR,
    },
    Route {
        pattern: "lookup-accessor/{accessor}",
        about: "As lookup-accessor, with the accessor in the path.",
        verbs: &[verb(Update, "show the token of an accessor", SHOWN)],
        fields: &[],
    },
    Route {
        pattern: "renew",
        about: "Lets a token live longer.",
        verbs: &[verb(Update, "renew a token", &[])],
        fields: &[field("token", Kind::Text, "The token."), INCREMENT],
    },
    Route {
        pattern: "renew/{token}",
        about: "As renew, with the token in the path, where logs may keep it.",
        verbs: &[verb(Update, "renew a token", &[])],
        fields: &[INCREMENT],
    },
    Route {
        pattern: "renew-self",
        about: "Lets the calling token live longer.",
        verbs: &[verb(Update, "renew the calling token", &[])],
        fields: &[field("token", Kind::Text, "Not looked at."), INCREMENT],
    },
    Route {
        pattern: "renew-accessor",
        about: "Lets the token of an accessor live longer; the answer does not hold the token.",
        verbs: &[verb(Update, "renew the token of an accessor", &[])],
        fields: &[field("accessor", Kind::Text, "The token's accessor."), INCREMENT],
    },
    Route {
        pattern: "revoke",
        about: "Ends a token and all below it.",
        verbs: &[verb(Update, "end a token", &[])],
        fields: TOKEN,
    },
    Route {
        pattern: "revoke/{token}",
        about: "As revoke, with the token in the path, where logs may keep it.",
        verbs: &[verb(Update, "end a token", &[])],
        fields: &[],
    },
    Route {
        pattern: "revoke-self",
        about: "Ends the calling token and all below it.",
        verbs: &[verb(Update, "end the calling token", &[])],
        fields: &[],
    },
    Route {
        pattern: "revoke-accessor",
        about: "Ends the token of an accessor and all below it.",
        verbs: &[verb(Update, "end the token of an accessor", &[])],
        fields: ACCESSOR,
    },
    Route {
        pattern: "revoke-accessor/{accessor}",
        about: "As revoke-accessor, with the accessor in the path.",
        verbs: &[verb(Update, "end the token of an accessor", &[])],
        fields: &[],
    },
    Route {
        pattern: "revoke-orphan",
        about: "Ends a token, and not those below it, which have no parent any more. Takes sudo.",
        verbs: &[verb(Update, "end a token without its children", &[])],
        fields: TOKEN,
    },
    Route {
        pattern: "revoke-orphan/{token}",
        about: "As revoke-orphan, with the token in the path, where logs may keep it.",
        verbs: &[verb(Update, "end a token without its children", &[])],
        fields: &[],
    },
    Route {
        pattern: "accessors",
        about: "Lists the accessors of all tokens. Takes sudo.",
        verbs: &[verb(List, "list accessors", KEYS)],
        fields: &[],
    },
    Route { pattern: "roles", about: "Lists the token roles.", verbs: &[verb(List, "list roles", KEYS)], fields: &[] },
    Route {
        pattern: "roles/{role_name}",
        about: "A token role: what tokens that are made through it are like.",
        verbs: &[
            verb(Read, "show a role", ROLE_SHOWN),
            verb(Update, "make a role, or change the given fields", &[]),
            verb(Delete, "remove a role", &[]),
        ],
        fields: ROLE,
    },
    Route {
        pattern: "tidy",
        about: "Begins to look through the indexes of tokens for what nothing leads to any more. Not needed in normal use.",
        verbs: &[verb(Update, "begin to tidy", &[])],
        fields: &[],
    },
];
