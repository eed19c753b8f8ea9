//! `sys/rekey/*` (without a token) and `sys/rotate/root/*` (with one): new unseal shares from the threshold of the old
//! ones. A new seal key wraps the root key, which stays; the records of both seals change places in one commit, so that on
//! every node one set of shares holds and never both.
//!
//! There is no seal key in memory, so `sys/rotate/root` alone, a new root key without shares, is refused.

use serde_json::{Value, json};

use super::Ask;
use super::attempts::{Attempt, Family};
use crate::core::sealing::bare;
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::seal::rekey::NewSeal;
use crate::seal::{self, Params, UnsealProgress};
use crate::storage::plain::{self, SealConfig};
use crate::storage::schema;

const STATUS: &[Field] = &[
    Field::new("started", Kind::Flag, "There is an attempt."),
    Field::new("nonce", Kind::Text, "Names the attempt."),
    Field::new("n", Kind::Integer, "How many new shares there will be."),
    Field::new("t", Kind::Integer, "How many of them will be needed."),
    Field::new("progress", Kind::Integer, "How many of the old shares were given."),
    Field::new("required", Kind::Integer, "How many of them are needed."),
    Field::new("verification_required", Kind::Flag, "The old shares hold until the new ones were given once."),
    Field::new("verification_nonce", Kind::Text, "Names the verification, once there is one."),
];
const DONE: &[Field] = &[
    Field::new("complete", Kind::Flag, "The new shares were made."),
    Field::new("nonce", Kind::Text, "Names the attempt."),
    Field::new("keys", Kind::List, "The new shares, in hex. They are shown this once."),
    Field::new("keys_base64", Kind::List, "The same in base64."),
    Field::new("verification_required", Kind::Flag, "The old shares hold until the new ones were given once."),
    Field::new("verification_nonce", Kind::Text, "Names the verification."),
];
const VERIFICATION: &[Field] = &[
    Field::new("started", Kind::Flag, "There are new shares to be verified."),
    Field::new("nonce", Kind::Text, "Names the verification."),
    Field::new("n", Kind::Integer, "How many new shares there are."),
    Field::new("t", Kind::Integer, "How many of them are needed."),
    Field::new("progress", Kind::Integer, "How many of them were given."),
    Field::new("complete", Kind::Flag, "They hold now."),
];
const INIT_VERBS: &[Verb] = &[
    Verb::new(Operation::Read, "Shows the attempt.", STATUS),
    Verb::new(Operation::Update, "Begins an attempt.", STATUS),
    Verb::new(Operation::Delete, "Gives the attempt up.", &[]),
];
const INIT_FIELDS: &[Field] = &[
    Field::new("secret_shares", Kind::Integer, "How many shares to make."),
    Field::new("secret_threshold", Kind::Integer, "How many of them open the seal."),
    Field::new("require_verification", Kind::Flag, "The old shares hold until the new ones were given once."),
    Field::new("pgp_keys", Kind::List, "Refused: PGP is not supported."),
    Field::new("backup", Kind::Flag, "Refused: it takes PGP keys."),
];
const UPDATE_VERBS: &[Verb] =
    &[Verb::new(Operation::Update, "Gives one of the old shares; the last one answers the new ones.", DONE)];
const VERIFY_VERBS: &[Verb] = &[
    Verb::new(Operation::Read, "Shows the verification.", VERIFICATION),
    Verb::new(Operation::Update, "Gives one of the new shares; with the last one they hold.", VERIFICATION),
    Verb::new(Operation::Delete, "Drops what was given of the new shares.", VERIFICATION),
];
const SHARE_FIELDS: &[Field] = &[
    Field::new("key", Kind::Text, "A share, in hex or base64."),
    Field::new("nonce", Kind::Text, "That of the attempt, or of the verification."),
];
const BACKUP_VERBS: &[Verb] = &[
    Verb::new(Operation::Read, "There is none.", &[]),
    Verb::new(Operation::Delete, "There is none: nothing happens.", &[]),
];

const fn init(pattern: &'static str, about: &'static str) -> Route {
    Route { pattern, about, verbs: INIT_VERBS, fields: INIT_FIELDS }
}

const fn update(pattern: &'static str, about: &'static str) -> Route {
    Route { pattern, about, verbs: UPDATE_VERBS, fields: SHARE_FIELDS }
}

const fn verify(pattern: &'static str, about: &'static str) -> Route {
    Route { pattern, about, verbs: VERIFY_VERBS, fields: SHARE_FIELDS }
}

const fn backup(pattern: &'static str) -> Route {
    Route { pattern, about: "New shares, encrypted with PGP: never kept here.", verbs: BACKUP_VERBS, fields: &[] }
}

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    init("rekey/init", "An attempt to replace the unseal shares. Only sudo can give it up; else it lapses."),
    update("rekey/update", "Old shares for the attempt to replace them."),
    verify("rekey/verify", "Verification of the new shares."),
    backup("rekey/backup"),
    backup("rekey/recovery-key-backup"),
    Route {
        pattern: "rotate/root",
        about: "A new root key without shares: refused, since no seal key is kept in memory. See rotate/root/init.",
        verbs: &[Verb::new(Operation::Update, "Is refused.", &[])],
        fields: &[],
    },
    init("rotate/root/init", "An attempt to replace the unseal shares, which nobody without a token sees or disturbs."),
    update("rotate/root/update", "Old shares for the attempt to replace them."),
    verify("rotate/root/verify", "Verification of the new shares."),
    backup("rotate/root/backup"),
    init("rotate/recovery/init", "Recovery shares: a Shamir seal has none."),
    update("rotate/recovery/update", "Recovery shares: a Shamir seal has none."),
    verify("rotate/recovery/verify", "Recovery shares: a Shamir seal has none."),
    backup("rotate/recovery/backup"),
];

/// What an attempt is for.
pub(crate) struct NewShares {
    params: Params,
    /// The old shares hold until the new ones were verified.
    verify: bool,
    /// The new seal, once there is one that waits for its verification.
    made: Option<Made>,
}

struct Made {
    /// Names the verification.
    nonce: String,
    new: New,
}

/// A new seal and the one that it takes the place of.
struct New {
    seal: NewSeal,
    replaces: [u8; 32],
}

type Rekey = Attempt<NewShares>;

/// What clients of a family read; they match on some of it.
struct Words {
    busy: &'static str,
    none: &'static str,
    /// Of the nonce.
    this: &'static str,
    finished: &'static str,
    /// Of a share that was given before.
    again: &'static str,
    no_attempt: &'static str,
    nothing_to_verify: &'static str,
    nothing_there: &'static str,
    kind: &'static str,
}

const OPEN: Words = Words {
    busy: "rekey already in progress",
    none: "no barrier rekey in progress",
    this: "this rekey operation",
    finished: "rekey operation already finished",
    again: "generation operation",
    no_attempt: "no rekey in progress",
    nothing_to_verify: "no rekey verification in progress",
    nothing_there: "no rekey configuration found",
    kind: "rekey",
};

const TOKEN: Words = Words {
    busy: "rotation already in progress",
    none: "no rotation in progress",
    this: "rotation",
    finished: "rotation already finished",
    again: "rotation",
    no_attempt: "no rotation in progress",
    nothing_to_verify: "no rotation verification in progress",
    nothing_there: "no rotation configuration found",
    kind: "rotate",
};

impl Family {
    fn words(self) -> &'static Words {
        match self {
            Family::Open => &OPEN,
            Family::Token => &TOKEN,
        }
    }
}

/// A share and whom it is for.
struct Given {
    share: String,
    nonce: String,
}

impl Given {
    fn read(family: Family, request: &Request) -> Result<Given> {
        let text = |name| Ok::<_, Error>(request.text(name)?.filter(|text| !text.is_empty()));
        let (share, nonce) = (text("key")?, text("nonce")?);
        Ok(match family {
            Family::Open => Given {
                share: share.ok_or_else(|| Error::invalid("'key' must be specified in request body as JSON"))?,
                nonce: nonce.unwrap_or_default(),
            },
            Family::Token => Given {
                share: share.ok_or_else(|| Error::invalid("missing required field 'key'"))?,
                nonce: nonce.ok_or_else(|| Error::invalid("missing required field 'nonce'"))?,
            },
        })
    }
}

impl Core {
    /// Serves the family that takes a token: answers have the envelope.
    pub(super) async fn sys_rekey(&self, ask: Ask<'_>) -> Result<Response> {
        let (pattern, operation) = ask.at();
        match pattern {
            "rotate/root/init" | "rotate/root/update" | "rotate/root/verify" => {
                let what = &pattern["rotate/root/".len()..];
                let answer = self.rekey(Family::Token, what, operation, ask.unsealed, ask.request).await?;
                Ok(answer.map_or_else(Response::empty, Response::data))
            }
            "rotate/root" => Err(Error::invalid(
                "this server keeps no seal key in memory, so a root key cannot be wrapped without shares: replace them \
                 (sys/rotate/root/init), or rotate the encryption key (sys/rotate/keyring)",
            )),
            pattern if pattern.starts_with("rotate/recovery/") && !pattern.ends_with("/backup") => {
                recovery(&pattern["rotate/recovery/".len()..], operation, ask.request)
            }
            _ if operation == Operation::Read => Err(Error::invalid("no backed-up keys found")),
            _ => Ok(Response::empty()),
        }
    }

    /// Serves the family that takes none: answers are bare.
    pub(super) async fn rekey_openly(&self, request: &Request) -> Result<Response> {
        let unsealed = self.unsealed_and_active().await?;
        let what = request.path.strip_prefix("sys/rekey/").unwrap_or_default();
        let answer = self.rekey(Family::Open, what, request.operation, &unsealed, request).await?;
        Ok(answer.map_or_else(Response::empty, bare))
    }

    async fn rekey(
        &self,
        family: Family,
        what: &str,
        operation: Operation,
        unsealed: &Unsealed,
        request: &Request,
    ) -> Result<Option<Value>> {
        // Nobody ends what others began: who has shares proves it by giving them, who has not by sudo.
        if family == Family::Open && operation == Operation::Delete && self.has_rekey()? {
            self.demand_sudo(unsealed, request).await?;
        }
        match (what, operation) {
            ("init", Operation::Read) => {
                let config = self.present_seal().await?;
                self.with_rekey(family, |attempt| shown(family, attempt.as_ref(), &config)).map(Some)
            }
            ("init", Operation::Update) => self.begin_rekey(family, request).await.map(Some),
            ("init", Operation::Delete) => self.with_rekey(family, |attempt| *attempt = None).map(|()| None),
            ("update", Operation::Update) => self.give_old_share(family, unsealed, request).await.map(Some),
            ("verify", Operation::Read) => self.with_rekey(family, |attempt| verification(family, attempt))?.map(Some),
            ("verify", Operation::Update) => self.give_new_share(family, unsealed, request).await.map(Some),
            ("verify", Operation::Delete) => {
                let fresh = self.runtime.entropy.uuid();
                self.with_rekey(family, |attempt| {
                    if let Some(held) = attempt.as_mut() {
                        held.verify_anew(fresh);
                    }
                    verification(family, attempt)
                })?
                .map(Some)
            }
            _ => Err(Error::Unsupported),
        }
    }

    fn has_rekey(&self) -> Result<bool> {
        self.with_rekey(Family::Open, |attempt| attempt.is_some())
    }

    fn with_rekey<T>(&self, family: Family, work: impl FnOnce(&mut Option<Rekey>) -> T) -> Result<T> {
        self.with_attempt(self.attempts.shares.of(family), work)
    }

    async fn begin_rekey(&self, family: Family, request: &Request) -> Result<Value> {
        let config = self.present_seal().await?;
        let of = NewShares::read(family, request)?;
        self.begin_attempt(self.attempts.shares.of(family), of, request, family.words().busy, |attempt| {
            tracing::warn!(nonce = attempt.nonce, "an attempt to replace the unseal shares was begun");
            shown(family, Some(attempt), &config)
        })
    }

    async fn give_old_share(&self, family: Family, unsealed: &Unsealed, request: &Request) -> Result<Value> {
        let Given { share, nonce } = Given::read(family, request)?;
        let (words, config) = (family.words(), self.present_seal().await?);
        let (now, entropy) = (self.runtime.clock.boot(), &self.runtime.entropy);
        let done = self.with_rekey(family, |attempt| {
            let Some(held) = attempt.as_mut() else { return Err(Error::invalid(words.none)) };
            if let Some(made) = &held.of.made {
                return Err(Error::invalid(format!(
                    "{}; verification must be performed; nonce for the verification operation is {:?}",
                    words.finished, made.nonce
                )));
            }
            if held.nonce != nonce {
                let text = format!("incorrect nonce supplied; nonce for {} is {:?}", words.this, held.nonce);
                return Err(Error::invalid(text));
            }
            held.give(&share, words.again, now, entropy)?;
            let Some(key) = held.shares.resolve(&config)? else {
                return Ok(Err(shown(family, attempt.as_ref(), &config)));
            };
            let made = seal::rekey(&key, &config, held.of.params, entropy)?;
            let (keys, base64) = seal::init::share_texts(&made.shares);
            let new = New { seal: made.seal, replaces: config.check_key };
            let mut answer = json!({
                "nonce": held.nonce,
                "complete": true,
                "keys": keys,
                "keys_base64": base64,
                "pgp_fingerprints": null,
                "backup": false,
                "verification_required": held.of.verify,
            });
            if held.of.verify {
                held.prove(now);
                let nonce = entropy.uuid();
                answer["verification_nonce"] = json!(nonce);
                held.of.made = Some(Made { nonce, new });
                return Ok(Ok((answer, None)));
            }
            if family == Family::Token {
                answer["verification_nonce"] = json!("");
            }
            // The attempt is over, whatever comes of the commit.
            Ok(Ok((answer, attempt.take().map(|held| (held.term, new)))))
        })??;
        match done {
            Err(status) => Ok(status),
            Ok((answer, None)) => Ok(answer),
            Ok((mut answer, Some((term, new)))) => match self.replace_seal(unsealed, term, &new).await {
                // Were the new shares the ones that hold and nobody had them, the cluster could never be unsealed again.
                Err(Error::Unknown(reason)) => {
                    tracing::error!(reason, "nobody can say whether the unseal shares were replaced");
                    answer["warnings"] = json!([UNKNOWN]);
                    Ok(answer)
                }
                done => done.map(|()| answer),
            },
        }
    }

    async fn give_new_share(&self, family: Family, unsealed: &Unsealed, request: &Request) -> Result<Value> {
        let Given { share, nonce } = Given::read(family, request)?;
        let words = family.words();
        let (now, entropy) = (self.runtime.clock.boot(), &self.runtime.entropy);
        let done = self.with_rekey(family, |attempt| {
            let Some(held) = attempt.as_mut() else { return Err(Error::invalid(words.no_attempt)) };
            let Some(made) = &held.of.made else { return Err(Error::invalid(words.nothing_to_verify)) };
            if made.nonce != nonce {
                let text = format!("incorrect nonce supplied; nonce for this verify operation is {:?}", made.nonce);
                return Err(Error::invalid(text));
            }
            let config = made.new.seal.config.clone();
            held.give(&share, "verify operation", now, entropy)?;
            match held.shares.resolve(&config) {
                Ok(None) => Ok(Err(verification(family, attempt)?)),
                Ok(Some(_right)) => Ok(attempt.take().ok_or(json!({}))),
                Err(wrong) => {
                    held.verify_anew(entropy.uuid());
                    Err(wrong.into())
                }
            }
        })??;
        match done {
            Err(status) => Ok(status),
            Ok(Attempt { of: NewShares { made: Some(Made { nonce, new }), .. }, term, .. }) => {
                self.replace_seal(unsealed, term, &new).await?;
                Ok(json!({ "nonce": nonce, "complete": true }))
            }
            Ok(_) => Err(Error::Internal("an attempt without new shares was verified".into())),
        }
    }

    /// Puts a seal in the place of the one that its shares came from, in one commit. Challenges of nodes that join were
    /// made for the old one: their cookies end with it, so that nobody joins with shares that were taken away.
    async fn replace_seal(&self, unsealed: &Unsealed, term: u64, new: &New) -> Result<()> {
        let mut txn = self.begin_in(unsealed, term);
        let key = schema::key(schema::Kind::SealConfig, b"");
        let present = txn.below().get(&key).await?;
        let present = present.and_then(|present| plain::decode::<SealConfig>(&present.value));
        if present.is_none_or(|present| present.check_key != new.replaces) {
            return Err(Error::invalid("the unseal shares were replaced meanwhile: begin anew"));
        }
        txn.below().put_plain(key, plain::encode(&new.seal.config));
        let secret = |name: &[u8]| schema::key(schema::Kind::ClusterSecret, name);
        let challenge_key = seal::init::encode(new.seal.challenge_key.danger_expose());
        txn.put(secret(schema::CHALLENGE_KEY), &challenge_key);
        txn.put(secret(schema::COOKIE_KEY), &seal::init::encode(&self.runtime.entropy.bytes()));
        self.commit(txn).await.map_err(|error| match error {
            Error::Conflict => Error::Unavailable("the leadership or the shares changed: begin anew".into()),
            error => error,
        })?;
        let SealConfig { shares, threshold, .. } = new.seal.config;
        tracing::warn!(shares, threshold, "the unseal shares were replaced: the old ones open nothing any more");
        Ok(())
    }
}

const UNKNOWN: &str = "nobody can say whether these shares hold or the old ones do: keep both, and find out by unsealing a \
                       node before you throw any away";

impl NewShares {
    fn read(family: Family, request: &Request) -> Result<NewShares> {
        let words = family.words();
        let params = Params::new(
            request.integer("secret_shares")?.unwrap_or(0),
            request.integer("secret_threshold")?.unwrap_or(0),
        );
        let params = params.map_err(|error| {
            let text = error.to_string();
            Error::invalid(format!("invalid {} {}", words.kind, text.strip_prefix("invalid ").unwrap_or(&text)))
        })?;
        let is_set = |value: &Value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Array(keys) => !keys.is_empty(),
            value => !value.is_null(),
        };
        if request.data.get("pgp_keys").is_some_and(is_set) {
            let text = "PGP is not supported by this server: leave it out and encrypt the shares afterwards";
            return Err(Error::field("pgp_keys", text));
        }
        if request.flag("backup")?.unwrap_or(false) {
            let text = "cannot request a backup of the new keys without providing PGP keys for encryption";
            return Err(Error::invalid(text));
        }
        Ok(NewShares { params, verify: request.flag("require_verification")?.unwrap_or(false), made: None })
    }
}

impl Rekey {
    /// Drops what was given of the new shares; the verification gets another name.
    fn verify_anew(&mut self, nonce: String) {
        if let Some(made) = &mut self.of.made {
            made.nonce = nonce;
            self.shares = UnsealProgress::new();
        }
    }
}

/// The state of an attempt, as a family's clients read it.
fn shown(family: Family, attempt: Option<&Rekey>, config: &SealConfig) -> Value {
    let (shares, threshold) = attempt.map_or((0, 0), |held| (held.of.params.shares, held.of.params.threshold));
    let verification = attempt.and_then(|held| held.of.made.as_ref()).map(|made| made.nonce.as_str());
    let mut status = json!({ "started": attempt.is_some(), "n": shares, "t": threshold, "required": config.threshold });
    if family == Family::Open {
        status["pgp_fingerprints"] = json!(null);
        status["backup"] = json!(false);
    }
    if family == Family::Open || attempt.is_some() {
        // Shares that were given for the verification are of another count.
        let given = attempt.filter(|held| held.of.made.is_none()).map_or(0, |held| held.shares.count());
        status["nonce"] = json!(attempt.map_or("", |held| held.nonce.as_str()));
        status["progress"] = json!(given);
        status["verification_required"] = json!(attempt.is_some_and(|held| held.of.verify));
    }
    if verification.is_some() || family == Family::Token && attempt.is_some() {
        status["verification_nonce"] = json!(verification.unwrap_or_default());
    }
    status
}

/// The state of a verification.
fn verification(family: Family, attempt: &Option<Rekey>) -> Result<Value> {
    let held = attempt.as_ref().ok_or_else(|| Error::invalid(family.words().nothing_there))?;
    let made = held.of.made.as_ref();
    Ok(json!({
        "nonce": made.map_or("", |made| made.nonce.as_str()),
        "started": made.is_some(),
        "n": held.of.params.shares,
        "t": held.of.params.threshold,
        "progress": made.map_or(0, |_| held.shares.count()),
    }))
}

/// What is said of recovery shares.
fn recovery(what: &str, operation: Operation, request: &Request) -> Result<Response> {
    let text = match (what, operation) {
        ("init", Operation::Delete) => return Ok(Response::empty()),
        ("init", Operation::Read) => "unable to look up config: recovery not supported",
        ("init", _) => "recovery keys not supported",
        ("update", _) => {
            Given::read(Family::Token, request)?;
            "failed to fetch existing config: recovery not supported"
        }
        (_, Operation::Update) => {
            Given::read(Family::Token, request)?;
            TOKEN.no_attempt
        }
        _ => TOKEN.nothing_there,
    };
    Err(Error::invalid(text))
}
