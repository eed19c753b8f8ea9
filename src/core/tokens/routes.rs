//! All paths of the token mount, with their fields and answers.

use crate::logical::Operation::{Delete, List, Read, Update};
use crate::logical::route::{Field, Kind, Route, Verb};

const TOKEN: &[Field] = &[Field::new("token", Kind::Text, "The token.")];

const ACCESSOR: &[Field] = &[Field::new("accessor", Kind::Text, "The token's accessor.")];

const INCREMENT: Field = Field::new(
    "increment",
    Kind::Duration,
    "How long it should live from now on; as long as the last time if not given.",
);

const CREATE: &[Field] = &[
    Field::new("policies", Kind::List, "Its policies; those of the calling token if none are given."),
    Field::new("no_default_policy", Kind::Flag, "Leave out the policy default."),
    Field::new("ttl", Kind::Duration, "How long it lives unless it is renewed; the mount's default if not given."),
    Field::new("lease", Kind::Duration, "The older name of ttl."),
    Field::new("explicit_max_ttl", Kind::Duration, "How long it can live at most, whatever its renewals."),
    Field::new("period", Kind::Duration, "How long each renewal lets it live, any number of times. Takes sudo."),
    Field::new("renewable", Kind::Flag, "Whether it can be renewed; true if not given."),
    Field::new("num_uses", Kind::Integer, "How often it can be used; 0, the default, for any number of times."),
    Field::new("type", Kind::Text, "service or batch."),
    Field::new("display_name", Kind::Text, "A name for people to know it by."),
    Field::new("meta", Kind::Map, "Texts that are kept with it and shown in the audit log."),
    Field::new("no_parent", Kind::Flag, "It shall not end with the calling token. Takes sudo."),
    Field::new("id", Kind::Text, "The token itself, instead of a random one. Takes sudo."),
    Field::new("entity_alias", Kind::Text, "The alias of an entity that it acts for; only with a role that allows it."),
];

const SHOWN: &[Field] = &[
    Field::new("accessor", Kind::Text, "Its accessor; empty for a batch token."),
    Field::new("bound_cidrs", Kind::List, "Blocks of addresses that it can be used from, if it has any."),
    Field::new("creation_time", Kind::Integer, "When it was made, in seconds since 1970."),
    Field::new("creation_ttl", Kind::Integer, "The life it was given, in seconds; 0 for ever."),
    Field::new("display_name", Kind::Text, "A name for people to know it by."),
    Field::new("entity_id", Kind::Text, "The entity that it acts for."),
    Field::new("expire_time", Kind::Moment, "When it ends (RFC 3339); null for never."),
    Field::new(
        "explicit_max_ttl",
        Kind::Integer,
        "How long it can live at most, in seconds; 0 for no such bound of its own.",
    ),
    Field::new("id", Kind::Text, "The token; empty where it was looked up by its accessor."),
    Field::new("issue_time", Kind::Text, "When it was made (RFC 3339)."),
    Field::new("last_renewal", Kind::Text, "When it was last renewed (RFC 3339), if it ever was."),
    Field::new("last_renewal_time", Kind::Integer, "The same in seconds since 1970."),
    Field::new("meta", Kind::Map, "Texts that are kept with it; null if there are none."),
    Field::new("num_uses", Kind::Integer, "Uses left; 0 for any number, -1 with the last one."),
    Field::new("orphan", Kind::Flag, "Whether it has no parent."),
    Field::new("path", Kind::Text, "The path that made it."),
    Field::new("period", Kind::Integer, "Its period in seconds, if it has one of its own."),
    Field::new("policies", Kind::List, "Its policies."),
    Field::new("renewable", Kind::Flag, "Whether it can be renewed."),
    Field::new("role", Kind::Text, "The role that it was made through, if any."),
    Field::new("ttl", Kind::Integer, "What is left of its life in seconds; 0 for ever."),
    Field::new("type", Kind::Text, "service or batch."),
];

const ROLE: &[Field] = &[
    Field::new("allowed_policies", Kind::List, "Policies that tokens can have, rather than those of their maker."),
    Field::new("allowed_policies_glob", Kind::List, "The same as patterns, in which * stands for any text."),
    Field::new("disallowed_policies", Kind::List, "Policies that no token has."),
    Field::new("disallowed_policies_glob", Kind::List, "The same as patterns, in which * stands for any text."),
    Field::new("orphan", Kind::Flag, "Tokens have no parent; false if not given."),
    Field::new("renewable", Kind::Flag, "Tokens can be renewed; true if not given."),
    Field::new("path_suffix", Kind::Text, "Added to the path that tokens are said to come from."),
    Field::new("allowed_entity_aliases", Kind::List, "Aliases that tokens can be made for, as patterns."),
    Field::new("token_bound_cidrs", Kind::List, "Blocks of addresses that tokens can be used from; anywhere if empty."),
    Field::new("token_explicit_max_ttl", Kind::Duration, "How long tokens can live at most; 0 for no such bound."),
    Field::new(
        "token_period",
        Kind::Duration,
        "How long each renewal lets tokens live, any number of times; 0 for no period.",
    ),
    Field::new("token_num_uses", Kind::Integer, "How often tokens can be used; 0 for any number of times."),
    Field::new("token_no_default_policy", Kind::Flag, "Tokens do not get the policy default unasked."),
    Field::new("token_type", Kind::Text, "service, batch, default-service or default-batch."),
    Field::new("bound_cidrs", Kind::List, "The older name of token_bound_cidrs."),
    Field::new("explicit_max_ttl", Kind::Duration, "The older name of token_explicit_max_ttl."),
    Field::new("period", Kind::Duration, "The older name of token_period."),
];

const ROLE_SHOWN: &[Field] = &[
    Field::new("name", Kind::Text, "The role's name."),
    Field::new("allowed_policies", Kind::List, "Policies that tokens can have."),
    Field::new("allowed_policies_glob", Kind::List, "The same as patterns."),
    Field::new("disallowed_policies", Kind::List, "Policies that no token has."),
    Field::new("disallowed_policies_glob", Kind::List, "The same as patterns."),
    Field::new("orphan", Kind::Flag, "Tokens have no parent."),
    Field::new("renewable", Kind::Flag, "Tokens can be renewed."),
    Field::new("path_suffix", Kind::Text, "Added to the path that tokens are said to come from."),
    Field::new("allowed_entity_aliases", Kind::Any, "Aliases that tokens can be made for; null if never given."),
    Field::new("token_bound_cidrs", Kind::List, "Where tokens can be used, if there is a bound."),
    Field::new("token_explicit_max_ttl", Kind::Integer, "How long tokens can live at most, in seconds."),
    Field::new("token_period", Kind::Integer, "The period of tokens in seconds."),
    Field::new("token_num_uses", Kind::Integer, "How often tokens can be used, if there is a bound."),
    Field::new("token_no_default_policy", Kind::Flag, "Tokens do not get the policy default unasked."),
    Field::new("token_type", Kind::Text, "Which type tokens are."),
    Field::new("bound_cidrs", Kind::List, "As token_bound_cidrs, if they were set by this name."),
    Field::new("explicit_max_ttl", Kind::Integer, "As token_explicit_max_ttl if it was set by this name, else 0."),
    Field::new("period", Kind::Integer, "As token_period if it was set by this name, else 0."),
];

const KEYS: &[Field] = &[Field::new("keys", Kind::List, "The names.")];

/// The paths; what makes or renews a token answers with `auth` rather than `data`.
pub(crate) static ROUTES: &[Route] = &[
    Route {
        pattern: "create",
        about: "Makes a token, a child of the calling token.",
        verbs: &[Verb::new(Update, "make a token", &[])],
        fields: CREATE,
    },
    Route {
        pattern: "create-orphan",
        about: "Makes a token without a parent: it does not end with the calling token.",
        verbs: &[Verb::new(Update, "make a token without a parent", &[])],
        fields: CREATE,
    },
    Route {
        pattern: "create/{role_name}",
        about: "Makes a token as a role says.",
        verbs: &[Verb::new(Update, "make a token through a role", &[])],
        fields: CREATE,
    },
    Route {
        pattern: "lookup",
        about: "Shows what a token is; the calling token if none is named.",
        verbs: &[Verb::new(Read, "show a token", SHOWN), Verb::new(Update, "show a token", SHOWN)],
        fields: TOKEN,
    },
    Route {
        pattern: "lookup/{token}",
        about: "As lookup, with the token in the path, where logs may keep it.",
        verbs: &[Verb::new(Read, "show a token", SHOWN), Verb::new(Update, "show a token", SHOWN)],
        fields: &[],
    },
    Route {
        pattern: "lookup-self",
        about: "Shows what the calling token is.",
        verbs: &[Verb::new(Read, "show the calling token", SHOWN), Verb::new(Update, "show the calling token", SHOWN)],
        fields: TOKEN,
    },
    Route {
        pattern: "lookup-accessor",
        about: "Shows what the token of an accessor is, but for the token itself.",
        verbs: &[Verb::new(Update, "show the token of an accessor", SHOWN)],
        fields: ACCESSOR,
    },
    Route {
        pattern: "lookup-accessor/{accessor}",
        about: "As lookup-accessor, with the accessor in the path.",
        verbs: &[Verb::new(Update, "show the token of an accessor", SHOWN)],
        fields: &[],
    },
    Route {
        pattern: "renew",
        about: "Lets a token live longer.",
        verbs: &[Verb::new(Update, "renew a token", &[])],
        fields: &[Field::new("token", Kind::Text, "The token."), INCREMENT],
    },
    Route {
        pattern: "renew/{token}",
        about: "As renew, with the token in the path, where logs may keep it.",
        verbs: &[Verb::new(Update, "renew a token", &[])],
        fields: &[INCREMENT],
    },
    Route {
        pattern: "renew-self",
        about: "Lets the calling token live longer.",
        verbs: &[Verb::new(Update, "renew the calling token", &[])],
        fields: &[Field::new("token", Kind::Text, "Not looked at."), INCREMENT],
    },
    Route {
        pattern: "renew-accessor",
        about: "Lets the token of an accessor live longer; the answer does not hold the token.",
        verbs: &[Verb::new(Update, "renew the token of an accessor", &[])],
        fields: &[Field::new("accessor", Kind::Text, "The token's accessor."), INCREMENT],
    },
    Route {
        pattern: "revoke",
        about: "Ends a token and all below it.",
        verbs: &[Verb::new(Update, "end a token", &[])],
        fields: TOKEN,
    },
    Route {
        pattern: "revoke/{token}",
        about: "As revoke, with the token in the path, where logs may keep it.",
        verbs: &[Verb::new(Update, "end a token", &[])],
        fields: &[],
    },
    Route {
        pattern: "revoke-self",
        about: "Ends the calling token and all below it.",
        verbs: &[Verb::new(Update, "end the calling token", &[])],
        fields: &[],
    },
    Route {
        pattern: "revoke-accessor",
        about: "Ends the token of an accessor and all below it.",
        verbs: &[Verb::new(Update, "end the token of an accessor", &[])],
        fields: ACCESSOR,
    },
    Route {
        pattern: "revoke-accessor/{accessor}",
        about: "As revoke-accessor, with the accessor in the path.",
        verbs: &[Verb::new(Update, "end the token of an accessor", &[])],
        fields: &[],
    },
    Route {
        pattern: "revoke-orphan",
        about: "Ends a token, and not those below it, which have no parent any more. Takes sudo.",
        verbs: &[Verb::new(Update, "end a token without its children", &[])],
        fields: TOKEN,
    },
    Route {
        pattern: "revoke-orphan/{token}",
        about: "As revoke-orphan, with the token in the path, where logs may keep it.",
        verbs: &[Verb::new(Update, "end a token without its children", &[])],
        fields: &[],
    },
    Route {
        pattern: "accessors",
        about: "Lists the accessors of all tokens. Takes sudo.",
        verbs: &[Verb::new(List, "list accessors", KEYS)],
        fields: &[],
    },
    Route {
        pattern: "roles",
        about: "Lists the token roles.",
        verbs: &[Verb::new(List, "list roles", KEYS)],
        fields: &[],
    },
    Route {
        pattern: "roles/{role_name}",
        about: "A token role: what tokens that are made through it are like.",
        verbs: &[
            Verb::new(Read, "show a role", ROLE_SHOWN),
            Verb::new(Update, "make a role, or change the given fields", &[]),
            Verb::new(Delete, "remove a role", &[]),
        ],
        fields: ROLE,
    },
    Route {
        pattern: "tidy",
        about: "Begins to look through the indexes of tokens for what nothing leads to any more. Not needed in normal use.",
        verbs: &[Verb::new(Update, "begin to tidy", &[])],
        fields: &[],
    },
];
