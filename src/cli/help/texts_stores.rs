//! What the commands do that act on stores, leases, policies, mounts and the cluster.

use super::texts::{Text, text};

pub(super) const KV: &[Text] = &[
    text(
        "kv",
        "This command groups what is done with key-value stores of version 1 and 2. Which version a store has is asked of \
         the server. A secret is named by the store's mount and the path in it, better with -mount: then the path is one \
         and the same for all versions.",
        &[
            ("Write a secret", "kv put -mount=secret app password=x"),
            ("Read it", "kv get -mount=secret app"),
            ("Read an older version", "kv get -mount=secret -version=1 app"),
            ("What is known of its versions", "kv metadata get -mount=secret app"),
        ],
    ),
    text(
        "kv delete",
        "Deletes a secret. In a store of version 2 the newest version, or those given, are only marked: `kv undelete` \
         brings them back. In a store of version 1 the secret is gone.",
        &[
            ("Delete the newest version", "kv delete -mount=secret app"),
            ("Delete old versions", "kv delete -mount=secret -versions=1,2 app"),
        ],
    ),
    text(
        "kv destroy",
        "Removes the data of versions for good; only that they existed is still known.",
        &[("Destroy two versions", "kv destroy -mount=secret -versions=3,4 app")],
    ),
    text(
        "kv enable-versioning",
        "Makes a store of version 1 one of version 2, in place. What it holds becomes version 1 of each secret. There is \
         no way back, and paths of the API change: policies need the parts data/ and metadata/.",
        &[("Upgrade the store at legacy/", "kv enable-versioning legacy")],
    ),
    text(
        "kv get",
        "Reads a secret. A deleted version shows its metadata only. Without a secret the exit code is 2.",
        &[
            ("Read the newest version", "kv get -mount=secret app"),
            ("Read an older one", "kv get -mount=secret -version=1 app"),
            ("Print one field, for scripts", "kv get -mount=secret -field=password app"),
            ("With the mount in the path", "kv get secret/app"),
        ],
    ),
    text(
        "kv list",
        "Lists the names of secrets at a path, folders with a slash at their end.",
        &[("List a store", "kv list -mount=secret"), ("List a folder", "kv list -mount=secret team/")],
    ),
    text(
        "kv metadata",
        "This command groups what is done with the metadata of a secret of version 2: its versions, its settings, its \
         custom metadata.",
        &[
            ("Read it", "kv metadata get -mount=secret app"),
            ("Keep ten versions", "kv metadata put -mount=secret -max-versions=10 app"),
            ("Forget the secret with all its versions", "kv metadata delete -mount=secret app"),
        ],
    ),
    text(
        "kv metadata delete",
        "Deletes a secret with all its versions and metadata, for good.",
        &[("Forget a secret", "kv metadata delete -mount=secret app")],
    ),
    text(
        "kv metadata get",
        "Reads the settings of a secret and what is known of each version.",
        &[("Read them", "kv metadata get -mount=secret app")],
    ),
    text(
        "kv metadata patch",
        "Changes settings of a secret; what is not given stays as it is. The secret must exist.",
        &[
            ("Change one setting", "kv metadata patch -mount=secret -max-versions=5 app"),
            (
                "Remove a key of the custom metadata",
                "kv metadata patch -mount=secret -remove-custom-metadata=owner app",
            ),
        ],
    ),
    text(
        "kv metadata put",
        "Sets settings of a secret, which need not exist yet. Custom metadata is replaced as a whole.",
        &[
            ("Delete versions after a time", "kv metadata put -mount=secret -delete-version-after=720h app"),
            ("Note who owns it", "kv metadata put -mount=secret -custom-metadata=owner=ann app"),
        ],
    ),
    text(
        "kv patch",
        "Changes keys of the newest version and writes the result as a new version. Data is given as for `kv put`. Where \
         the token may not patch, the secret is read and written with check-and-set instead.",
        &[
            ("Change one key", "kv patch -mount=secret app password=y"),
            ("Only if version 4 is the newest", "kv patch -mount=secret -cas=4 app password=y"),
            ("Remove a key", "kv patch -mount=secret -remove-data=password app"),
        ],
    ),
    text(
        "kv put",
        "Writes a secret; in a store of version 2 as a new version. Keys that are not given are not in the new version. A \
         value @FILE is read from a file, a value - from standard input; @FILE without a key is a whole JSON object.",
        &[
            ("Write two keys", "kv put -mount=secret app user=ann password=x"),
            ("Take a value from a file", "kv put -mount=secret app key=@key.pem"),
            ("Write a JSON object", "kv put -mount=secret app @app.json"),
            ("Only if version 4 is the newest; 0 means none", "kv put -mount=secret -cas=4 app password=y"),
        ],
    ),
    text(
        "kv rollback",
        "Writes an older version again as the newest one. The version must not be deleted or destroyed.",
        &[("Back to version 2", "kv rollback -mount=secret -version=2 app")],
    ),
    text(
        "kv scan",
        "Lists the names of all secrets below a path, however deep. Not every server can.",
        &[("All secrets of a store", "kv scan -mount=secret")],
    ),
    text(
        "kv undelete",
        "Brings deleted versions back. What was destroyed stays so.",
        &[("Undelete version 3", "kv undelete -mount=secret -versions=3 app")],
    ),
];

pub(super) const LEASE: &[Text] = &[
    text(
        "lease",
        "This command groups what is done with leases: the time that a secret or token is good for.",
        &[
            ("What is known of a lease", "lease lookup auth/userpass/login/ann/h5e1a"),
            ("Revoke all below a path", "lease revoke -prefix auth/userpass"),
        ],
    ),
    text(
        "lease lookup",
        "Displays when a lease was given, when it ends and whether it can be renewed.",
        &[("Look one up", "lease lookup database/creds/readonly/2f6a614c")],
    ),
    text(
        "lease renew",
        "Renews the lease of a secret, as far as the server allows. The secret itself stays as it is. Tokens are renewed \
         with `token renew`.",
        &[
            ("Renew by as much as it was given for", "lease renew database/creds/readonly/2f6a614c"),
            ("Ask for another hour", "lease renew -increment=1h database/creds/readonly/2f6a614c"),
        ],
    ),
    text(
        "lease revoke",
        "Revokes a lease and the secret with it, or all leases whose id begins with the argument. The server queues that \
         and tries until it succeeds, unless -sync waits for it.",
        &[
            ("Revoke one", "lease revoke database/creds/readonly/2f6a614c"),
            ("Revoke all of a role", "lease revoke -prefix database/creds/readonly"),
            ("Forget them although the database is gone", "lease revoke -force -prefix database/creds/readonly"),
        ],
    ),
];

pub(super) const OPERATOR: &[Text] = &[
    text(
        "operator",
        "This command groups what operators do with a cluster: initialize it, seal and unseal its nodes, see to its keys \
         and its peers.",
        &[
            ("Initialize a cluster", "operator init"),
            ("Unseal a node", "operator unseal"),
            ("The nodes of the cluster", "operator members"),
        ],
    ),
    text(
        "operator generate-root",
        "Makes a new root token from a quorum of unseal keys, for the case that all others are gone. One person begins the \
         attempt and keeps the one-time password; each holder of a key gives it with the nonce of the attempt; the last \
         one gets the encoded token, which only the password decodes. An attempt that nobody goes on with lapses.",
        &[
            ("Begin", "operator generate-root -init"),
            ("Give a key, when asked for it", "operator generate-root"),
            ("Decode the token", "operator generate-root -decode=QU9cPjkM -otp=2ajHoewkw9lavOQdAxsEGrFD7w"),
            ("Give up", "operator generate-root -cancel"),
        ],
    ),
    text(
        "operator init",
        "Initializes a cluster: makes its root key and prints the shares that unseal it, and the first root token. It is \
         done once for all nodes. What is printed is not shown again: give each share to another person.",
        &[
            ("Five shares, three of which unseal", "operator init"),
            ("Other numbers", "operator init -key-shares=7 -key-threshold=4"),
            (
                "Each share for its own PGP key",
                "operator init -key-shares=2 -key-threshold=2 -pgp-keys=ann.asc,bob.asc",
            ),
            ("Only whether it was done: exit code 0 or 2", "operator init -status"),
        ],
    ),
    text(
        "operator key-status",
        "Prints the number of the key that data is encrypted with, since when it is in use, and how often it was used.",
        &[("Print it", "operator key-status")],
    ),
    text(
        "operator members",
        "Lists the nodes that the active node knows, with their addresses and versions.",
        &[("List them", "operator members"), ("As JSON", "operator members -format=json")],
    ),
    text(
        "operator raft",
        "This command groups what operators do with the Raft cluster that stores everything.",
        &[
            ("The peers, and who leads", "operator raft list-peers"),
            ("Join the node at the address to a cluster", "operator raft join https://vault-1:8200"),
        ],
    ),
    text(
        "operator raft join",
        "Joins the node at -address to the cluster of the node given. The node must not be initialized; once joined, it \
         is unsealed with the cluster's shares.",
        &[
            ("Join", "operator raft join https://vault-1:8200"),
            (
                "With the CA of the leader's certificate",
                "operator raft join -leader-ca-cert=@ca.pem https://vault-1:8200",
            ),
            ("Keep trying until it succeeds", "operator raft join -retry https://vault-1:8200"),
        ],
    ),
    text(
        "operator raft list-peers",
        "Lists the peers of the Raft cluster: address, state, and whether they vote.",
        &[("List them", "operator raft list-peers")],
    ),
    text(
        "operator raft remove-peer",
        "Removes a peer from the Raft cluster for good: a node that is not to come back. The argument is its node id.",
        &[("Remove vault-3", "operator raft remove-peer vault-3")],
    ),
    text(
        "operator rekey",
        "Makes new unseal keys from a quorum of the old ones, without a token where the listener allows that; \"operator \
         rotate-keys\" is the same with a token, and nobody without one disturbs it. One person begins; each holder of an \
         old key gives it with the nonce; the last one gets the new keys, which are not shown again. Begin it with \
         -verify: then the old keys hold until the new ones were given once, and none can be lost on the way.",
        &[
            ("Begin", "operator rekey -init -key-shares=5 -key-threshold=3 -verify"),
            ("Give an old key, when asked for it", "operator rekey"),
            ("Give a new key", "operator rekey -verify"),
            ("Give up", "operator rekey -cancel"),
        ],
    ),
    text(
        "operator rotate",
        "Makes a new key that new data is encrypted with. Older keys stay, so that older data can be read. Nothing stops \
         meanwhile.",
        &[("Rotate", "operator rotate")],
    ),
    text(
        "operator rotate-keys",
        "Makes new unseal keys from a quorum of the old ones, for who has a token that may. One person begins; each holder \
         of an old key gives it with the nonce; the last one gets the new keys, which are not shown again. Begin it with \
         -verify: then the old keys hold until the new ones were given once, and none can be lost on the way.",
        &[
            ("Begin", "operator rotate-keys -init -key-shares=5 -key-threshold=3 -verify"),
            ("Give an old key, when asked for it", "operator rotate-keys"),
            ("Give a new key", "operator rotate-keys -verify"),
            ("Give up", "operator rotate-keys -cancel"),
        ],
    ),
    text(
        "operator seal",
        "Seals the cluster: every node forgets its keys and serves nothing until it is unsealed again.",
        &[("Seal all nodes", "operator seal"), ("Seal one node only", "operator seal -node")],
    ),
    text(
        "operator step-down",
        "Makes the active node hand its duty over to another. It goes on as a standby.",
        &[("Step down", "operator step-down")],
    ),
    text(
        "operator unseal",
        "Gives one share of the unseal key to the node at -address. When enough have been given, the node is unsealed. \
         Better let it ask than give the share as an argument, which other users and the shell's history can see.",
        &[("Be asked for a share", "operator unseal"), ("Start over", "operator unseal -reset")],
    ),
];

pub(super) const POLICY: &[Text] = &[
    text(
        "policy",
        "This command groups what is done with policies, which say who may do what.",
        &[
            ("Write one from a file", "policy write app app.hcl"),
            ("Read it", "policy read app"),
            ("List all", "policy list"),
        ],
    ),
    text(
        "policy delete",
        "Deletes a policy. Whoever has it may from now on do less, at once.",
        &[("Delete one", "policy delete app")],
    ),
    text(
        "policy fmt",
        "Writes a policy file in the usual layout, in place.",
        &[("Format a file", "policy fmt app.hcl")],
    ),
    text("policy list", "Lists the names of all policies.", &[("List them", "policy list")]),
    text("policy read", "Prints a policy.", &[("Read one", "policy read app")]),
    text(
        "policy write",
        "Writes a policy in HCL or JSON from a file, or from standard input for -. An existing one is replaced; that \
         counts at once for every token that has it. Names are in small letters.",
        &[("From a file", "policy write app app.hcl"), ("From standard input", "policy write app -")],
    ),
];

pub(super) const SECRETS: &[Text] = &[
    text(
        "secrets",
        "This command groups what is done with secrets engines: what is mounted where, and how it is set.",
        &[
            ("List what is mounted", "secrets list"),
            ("Mount a versioned key-value store", "secrets enable -path=secret -version=2 kv"),
        ],
    ),
    text(
        "secrets disable",
        "Disables the secrets engine at a path and deletes all it holds; there is no way back. The argument is the path, \
         not the type.",
        &[("Disable what is at legacy/", "secrets disable legacy/")],
    ),
    text(
        "secrets enable",
        "Enables a secrets engine. Its path is its type unless -path says otherwise, so that one type can be mounted \
         several times.",
        &[
            ("A versioned key-value store", "secrets enable -path=secret -version=2 kv"),
            ("With a description", "secrets enable -path=team -description=\"the team's\" kv-v2"),
        ],
    ),
    text(
        "secrets list",
        "Lists the mounted secrets engines. A lifetime \"system\" is the server's default.",
        &[("List them", "secrets list"), ("With their settings", "secrets list -detailed")],
    ),
    text(
        "secrets move",
        "Moves a secrets engine to another path and waits until that is done. What it holds comes along; its leases are \
         revoked.",
        &[("Move secret/ to old/", "secrets move secret/ old/")],
    ),
    text(
        "secrets tune",
        "Changes settings of the secrets engine at a path. What is not given stays as it is. A negative lifetime stands \
         for the server's default. The argument is the path, not the type.",
        &[
            ("Change the lifetime of leases", "secrets tune -default-lease-ttl=72h database/"),
            ("Change the description", "secrets tune -description=\"the team's\" team"),
        ],
    ),
];
