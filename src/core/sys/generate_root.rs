//! `sys/generate-root/*` (without a token, as in an emergency) and `sys/generate-root-token/*` (with one): whoever has the
//! threshold of unseal shares gets a new root token.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Ask;
use super::attempts::{self, Family};
use crate::core::sealing::{bare, root_entry};
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::storage::plain::SealConfig;
use crate::token;

const STATUS: &[Field] = &[
    Field::new("started", Kind::Flag, "There is an attempt."),
    Field::new("nonce", Kind::Text, "Names the attempt."),
    Field::new("progress", Kind::Integer, "How many shares were given."),
    Field::new("required", Kind::Integer, "How many are needed."),
    Field::new("complete", Kind::Flag, "The token was made."),
    Field::new("encoded_token", Kind::Text, "The token, XORed with the one-time password, in base64."),
    Field::new("encoded_root_token", Kind::Text, "The same, by its older name."),
    Field::new("otp", Kind::Text, "The one-time password, shown to who begins without one."),
    Field::new("otp_length", Kind::Integer, "Its length."),
    Field::new("pgp_fingerprint", Kind::Text, "Empty: PGP is not supported."),
];
const ATTEMPT_VERBS: &[Verb] = &[
    Verb::new(Operation::Read, "Shows the attempt.", STATUS),
    Verb::new(Operation::Update, "Begins an attempt.", STATUS),
    Verb::new(Operation::Delete, "Gives the attempt up.", &[]),
];
const ATTEMPT_FIELDS: &[Field] = &[
    Field::new("otp", Kind::Text, "A one-time password as long as a token; one is made if it is missing."),
    Field::new("pgp_key", Kind::Text, "Refused: PGP is not supported."),
];
const UPDATE_VERBS: &[Verb] = &[Verb::new(Operation::Update, "Gives a share; the last one answers the token.", STATUS)];
const UPDATE_FIELDS: &[Field] = &[
    Field::new("key", Kind::Text, "An unseal share, in hex or base64."),
    Field::new("nonce", Kind::Text, "That of the attempt."),
];

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "generate-root/attempt",
        about: "An attempt to make a root token from unseal shares. Only who began it, or has sudo, can give it up.",
        verbs: ATTEMPT_VERBS,
        fields: ATTEMPT_FIELDS,
    },
    Route {
        pattern: "generate-root/update",
        about: "Shares for the attempt to make a root token.",
        verbs: UPDATE_VERBS,
        fields: UPDATE_FIELDS,
    },
    Route {
        pattern: "generate-root-token/attempt",
        about: "An attempt of its own, for callers with a token: nobody without one sees or disturbs it.",
        verbs: ATTEMPT_VERBS,
        fields: ATTEMPT_FIELDS,
    },
    Route {
        pattern: "generate-root-token/update",
        about: "Shares for the attempt of callers with a token.",
        verbs: UPDATE_VERBS,
        fields: UPDATE_FIELDS,
    },
    Route {
        pattern: "decode-token",
        about: "The token behind its encoding.",
        verbs: &[Verb::new(
            Operation::Update,
            "Decodes a token with its one-time password.",
            &[Field::new("token", Kind::Text, "The token.")],
        )],
        fields: &[
            Field::new("encoded_token", Kind::Text, "The encoded token."),
            Field::new("otp", Kind::Text, "The one-time password that it was encoded with."),
        ],
    },
];

/// An attempt: for the one-time password that the token is encoded with.
type Attempt = attempts::Attempt<Zeroizing<String>>;

impl Core {
    /// Serves the family that takes a token: answers have the envelope.
    pub(super) async fn sys_generate_root(&self, ask: Ask<'_>) -> Result<Response> {
        let answer = match ask.at() {
            ("generate-root-token/update", _) => self.give_root_share(Family::Token, ask.unsealed, ask.request).await?,
            ("generate-root-token/attempt", Operation::Read) => self.root_status(Family::Token).await?,
            ("generate-root-token/attempt", Operation::Update) => self.begin_root(Family::Token, ask.request).await?,
            ("generate-root-token/attempt", _) => {
                self.with_root_attempt(Family::Token, |attempt| *attempt = None)?;
                return Ok(Response::empty());
            }
            _ => return Err(Error::Unsupported),
        };
        Ok(Response::data(answer))
    }

    /// Serves the family that takes none: answers are bare.
    pub(super) async fn generate_root_openly(&self, request: &Request) -> Result<Response> {
        let unsealed = self.unsealed_and_active().await?;
        let answer = match (request.path.as_str(), request.operation) {
            ("sys/generate-root/attempt", Operation::Read) => self.root_status(Family::Open).await?,
            ("sys/generate-root/attempt", Operation::Update) => self.begin_root(Family::Open, request).await?,
            ("sys/generate-root/attempt", Operation::Delete) => return self.give_root_up(&unsealed, request).await,
            ("sys/generate-root/update", Operation::Update) => {
                self.give_root_share(Family::Open, &unsealed, request).await?
            }
            _ => return Err(Error::Unsupported),
        };
        Ok(bare(answer))
    }

    /// Serves `sys/decode-token`.
    pub(super) async fn decode_token(&self, request: &Request) -> Result<Response> {
        self.unsealed().await?;
        decode(request)
    }

    fn with_root_attempt<T>(&self, family: Family, work: impl FnOnce(&mut Option<Attempt>) -> T) -> Result<T> {
        self.with_attempt(self.attempts.root.of(family), work)
    }

    async fn root_status(&self, family: Family) -> Result<Value> {
        let config = self.present_seal().await?;
        self.with_root_attempt(family, |attempt| shown(family, attempt.as_ref(), &config))
    }

    async fn begin_root(&self, family: Family, request: &Request) -> Result<Value> {
        let config = self.present_seal().await?;
        let given = request.text("otp")?.filter(|otp| !otp.is_empty());
        if request.text("pgp_key")?.is_some_and(|key| !key.is_empty()) {
            return Err(Error::field("pgp_key", "PGP is not supported by this server: use a one-time password"));
        }
        if given.as_ref().is_some_and(|otp| otp.len() != token::id::SERVICE_LENGTH || !otp.is_ascii()) {
            return Err(Error::invalid("OTP string has incorrect length"));
        }
        let entropy = &self.runtime.entropy;
        let made = given.is_none().then(|| entropy.base62(token::id::SERVICE_LENGTH));
        let otp = Zeroizing::new(given.or_else(|| made.clone()).unwrap_or_default());
        self.begin_attempt(
            self.attempts.root.of(family),
            otp,
            request,
            "root generation already in progress",
            |attempt| {
                let mut answer = shown(family, Some(attempt), &config);
                answer["otp"] = json!(made.unwrap_or_default());
                tracing::warn!(nonce = answer["nonce"].as_str(), "an attempt to make a root token was begun");
                answer
            },
        )
    }

    async fn give_root_share(&self, family: Family, unsealed: &Unsealed, request: &Request) -> Result<Value> {
        let config = self.present_seal().await?;
        let (share, nonce) = (request.text("key")?.unwrap_or_default(), request.text("nonce")?.unwrap_or_default());
        if family == Family::Token && nonce.is_empty() {
            return Err(Error::invalid("nonce is required"));
        }
        if family == Family::Open && share.is_empty() {
            return Err(Error::invalid("'key' must be specified in request body as JSON"));
        }
        let (now, entropy) = (self.runtime.clock.boot(), &self.runtime.entropy);
        let done = self.with_root_attempt(family, |attempt| {
            let Some(held) = attempt.as_mut() else { return Err(Error::invalid("no root generation in progress")) };
            if held.nonce != nonce {
                let text =
                    format!("incorrect nonce supplied; nonce for this root generation operation is {:?}", held.nonce);
                return Err(Error::invalid(text));
            }
            held.give(&share, "generation operation", now, entropy)?;
            match held.shares.resolve(&config)? {
                None => Ok(Err(shown(family, attempt.as_ref(), &config))),
                // The attempt is over, whatever comes of the commit.
                Some(_right) => Ok(attempt.take().ok_or(json!({}))),
            }
        })??;
        match done {
            Err(answer) => Ok(answer),
            Ok(attempt) => self.make_root(family, unsealed, &attempt, &config).await,
        }
    }

    /// Makes the token, in a commit of its own.
    async fn make_root(
        &self,
        family: Family,
        unsealed: &Unsealed,
        attempt: &Attempt,
        config: &SealConfig,
    ) -> Result<Value> {
        let entropy = &self.runtime.entropy;
        let mut txn = self.begin_in(unsealed, attempt.term);
        let id = Zeroizing::new(token::id::service(entropy));
        let entry = root_entry(token::id::accessor(entropy), self.runtime.clock.now());
        let salt = &unsealed.secrets.salt;
        token::store::create(&mut txn, salt, &salt.hash(&id), &entry);
        self.commit(txn).await.map_err(|error| match error {
            Error::Conflict => Error::Unavailable("the leadership changed: begin anew".into()),
            error => error,
        })?;
        tracing::warn!(nonce = attempt.nonce, accessor = entry.accessor, "a root token was made from unseal shares");
        let encoded = encode(&id, &attempt.of);
        let mut answer = shown(family, Some(attempt), config);
        answer["progress"] = json!(config.threshold);
        answer["complete"] = json!(true);
        answer["encoded_token"] = json!(encoded);
        answer["encoded_root_token"] = json!(encoded);
        Ok(answer)
    }

    /// Ends the attempt for who began it, or has `sudo`.
    async fn give_root_up(&self, unsealed: &Unsealed, request: &Request) -> Result<Response> {
        let otp = request.text("otp")?.unwrap_or_default();
        let began_it = self.with_root_attempt(Family::Open, |attempt| match attempt {
            None => true,
            Some(held) if !otp.is_empty() && bool::from(held.of.as_bytes().ct_eq(otp.as_bytes())) => {
                *attempt = None;
                true
            }
            Some(_) => false,
        })?;
        if !began_it {
            self.demand_sudo(unsealed, request).await?;
            self.with_root_attempt(Family::Open, |attempt| *attempt = None)?;
        }
        Ok(Response::empty())
    }

    /// Makes sure that the caller of a path without token has one, with `sudo` on that path.
    pub(super) async fn demand_sudo(&self, unsealed: &Unsealed, request: &Request) -> Result<()> {
        let mut txn = self.begin(unsealed);
        let caller = self.authenticate(unsealed, &mut txn, request, false).await?;
        match self.authorize(unsealed, &mut txn, caller, request).await?.sudo {
            true => Ok(()),
            false => Err(Error::denied()),
        }
    }

    pub(super) async fn present_seal(&self) -> Result<SealConfig> {
        self.seal_config().await?.ok_or_else(|| Error::Internal("there is no seal configuration".into()))
    }
}

/// The state of an attempt, as a family's clients read it.
fn shown(family: Family, attempt: Option<&Attempt>, config: &SealConfig) -> Value {
    let mut answer = json!({
        "started": attempt.is_some(),
        "progress": attempt.map_or(0, |attempt| attempt.shares.count()),
        "required": config.threshold,
        "complete": false,
        "otp": "",
        "otp_length": token::id::SERVICE_LENGTH,
    });
    if family == Family::Open || attempt.is_some() {
        answer["nonce"] = json!(attempt.map_or("", |attempt| attempt.nonce.as_str()));
        answer["pgp_fingerprint"] = json!("");
    }
    if family == Family::Open {
        answer["encoded_token"] = json!("");
        answer["encoded_root_token"] = json!("");
    }
    answer
}

/// `sys/decode-token`: the token behind its encoding. It takes the one-time password, and so no token.
fn decode(request: &Request) -> Result<Response> {
    let (encoded, otp) = (request.text("encoded_token")?.unwrap_or_default(), request.text("otp")?.unwrap_or_default());
    if encoded.is_empty() || otp.is_empty() {
        return Err(Error::invalid("provided 'encoded_token' or 'otp' is empty"));
    }
    let mixed = STANDARD_NO_PAD.decode(&encoded).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            base64::DecodeError::InvalidLength(length) => length,
            base64::DecodeError::InvalidPadding => encoded.len(),
        };
        Error::invalid(format!("error decoding base64'd token: illegal base64 data at input byte {at}"))
    })?;
    let mixed = Zeroizing::new(mixed);
    if mixed.len() != otp.len() {
        let (token, otp) = (mixed.len(), otp.len());
        return Err(Error::invalid(format!(
            "error xoring token: length of byte slices is not equivalent: {token} != {otp}"
        )));
    }
    let token: Vec<u8> = mixed.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
    Ok(Response::data(json!({ "token": String::from_utf8_lossy(&token) })))
}

/// The token XORed with the password, so that who reads along has nothing.
fn encode(id: &str, otp: &str) -> String {
    let mixed: Zeroizing<Vec<u8>> = Zeroizing::new(id.bytes().zip(otp.bytes()).map(|(a, b)| a ^ b).collect());
    STANDARD_NO_PAD.encode(&*mixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Entropy;

    #[test]
    fn a_token_is_as_long_as_its_password() {
        let entropy = Entropy::seeded_u64(3);
        let (id, otp) = (token::id::service(&entropy), entropy.base62(token::id::SERVICE_LENGTH));
        assert_eq!(id.len(), otp.len());
        let mixed = STANDARD_NO_PAD.decode(encode(&id, &otp)).expect("base64");
        let back: Vec<u8> = mixed.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
        assert_eq!(back, id.into_bytes());
    }
}
