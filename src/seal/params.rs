//! The parameters of an init, as `sys/init` of the Vault API takes them.

use serde_json::{Map, Value};

use super::SealError;

/// Into how many shares a seal key is split and how many of them open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Number of shares, at least one.
    pub shares: u8,
    /// How many open the seal: one for one share, else at least two.
    pub threshold: u8,
}

impl Params {
    /// Checks shares and threshold.
    ///
    /// # Errors
    /// [`SealError::Params`] in the words of the API.
    pub fn new(shares: i64, threshold: i64) -> Result<Params, SealError> {
        let problem = match (shares, threshold) {
            (..=0, _) => "shares must be at least one",
            (_, ..=0) => "threshold must be at least one",
            (2.., 1) => "threshold must be greater than one for multiple shares",
            (256.., _) => "shares must be less than 256",
            _ if threshold > shares => "threshold cannot be larger than shares",
            _ => {
                let narrow = |n: i64| u8::try_from(n).expect("checked to be in 1..=255");
                return Ok(Params { shares: narrow(shares), threshold: narrow(threshold) });
            }
        };
        Err(SealError::Params(format!("invalid seal configuration: {problem}")))
    }

    /// Reads the body of an init of a Shamir seal.
    ///
    /// # Errors
    /// [`SealError::Params`] if it asks for something impossible, for recovery shares (which a Shamir seal has not), or
    /// for PGP keys (which are not supported).
    pub fn parse(body: &Map<String, Value>) -> Result<Params, SealError> {
        let recovery: Vec<&str> = ["recovery_shares", "recovery_threshold", "recovery_pgp_keys"]
            .into_iter()
            .filter(|field| is_set(body.get(*field)))
            .collect();
        if !recovery.is_empty() {
            let fields = recovery.join(",");
            return Err(SealError::Params(format!("parameters {fields} not applicable to seal type shamir")));
        }
        for field in ["pgp_keys", "root_token_pgp_key"] {
            if is_set(body.get(field)) {
                return Err(SealError::Params(format!(
                    "{field} is not supported by this server: leave it out and encrypt the shares after the init"
                )));
            }
        }
        Params::new(integer(body, "secret_shares")?, integer(body, "secret_threshold")?)
    }
}

/// Whether a field says something: clients send zeros, nulls and empty lists for what was not asked for.
fn is_set(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Number(number)) => number.as_i64() != Some(0),
        Some(_) => true,
    }
}

fn integer(body: &Map<String, Value>, field: &str) -> Result<i64, SealError> {
    match body.get(field) {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(number)) => number.as_i64(),
        Some(_) => None,
    }
    .ok_or_else(|| SealError::Params(format!("failed to decode JSON input: {field} must be a whole number")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<Params, String> {
        let Value::Object(body) = body else { panic!("an object") };
        Params::parse(&body).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_what_the_api_takes() {
        assert_eq!(
            parse(json!({"secret_shares": 5, "secret_threshold": 3, "pgp_keys": null, "recovery_shares": 0})),
            Ok(Params { shares: 5, threshold: 3 })
        );
        assert_eq!(parse(json!({"secret_shares": 1, "secret_threshold": 1})), Ok(Params { shares: 1, threshold: 1 }));
        assert_eq!(
            parse(json!({"secret_shares": 255, "secret_threshold": 255, "root_token_pgp_key": ""})),
            Ok(Params { shares: 255, threshold: 255 })
        );
    }

    #[test]
    fn refuses_in_the_words_of_the_api() {
        for (shares, threshold, problem) in [
            (0, 1, "shares must be at least one"),
            (-1, -1, "shares must be at least one"),
            (5, 0, "threshold must be at least one"),
            (1, 0, "threshold must be at least one"),
            (5, 6, "threshold cannot be larger than shares"),
            (5, 1, "threshold must be greater than one for multiple shares"),
            (256, 3, "shares must be less than 256"),
        ] {
            assert_eq!(
                parse(json!({"secret_shares": shares, "secret_threshold": threshold})),
                Err(format!("invalid seal configuration: {problem}"))
            );
        }
        assert_eq!(
            parse(json!({"secret_shares": 5, "secret_threshold": 3, "recovery_shares": 5, "recovery_threshold": 3})),
            Err("parameters recovery_shares,recovery_threshold not applicable to seal type shamir".into())
        );
        assert!(parse(json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["a"]})).is_err());
        assert!(parse(json!({"secret_shares": "5", "secret_threshold": 3})).is_err());
        assert!(parse(json!({"secret_shares": 1.5, "secret_threshold": 1})).is_err());
    }
}
