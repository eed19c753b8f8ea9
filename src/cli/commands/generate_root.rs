//! `operator generate-root`: a new root token from a quorum of unseal keys.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value, json};

use super::{at_most_one, operator, share};
use crate::cli::context::Context;
use crate::cli::output::{self, Format, wrap};
use crate::cli::{Failure, Outcome, table};
use crate::client::{ApiRequest, Client};

/// `operator generate-root`.
#[derive(Debug, clap::Args)]
pub struct GenerateRoot {
    /// Give the attempt up. Who began it shows that with -otp; others need a token with sudo.
    #[arg(long)]
    cancel: bool,
    /// Decode this encoded token with -otp; "-" reads it from standard input.
    #[arg(long, value_name = "string")]
    decode: Option<String>,
    /// Print a one-time password that -init takes.
    #[arg(long)]
    generate_otp: bool,
    /// Begin an attempt.
    #[arg(long)]
    init: bool,
    /// Names the attempt that the key is for, as -init printed it.
    #[arg(long, value_name = "string", default_value = "")]
    nonce: String,
    /// One-time password for -init, -decode or -cancel.
    #[arg(long, value_name = "string", default_value = "")]
    otp: String,
    /// PGP key to encrypt the token with, instead of a one-time password; not every server can.
    #[arg(long, value_name = "file")]
    pgp_key: Option<String>,
    /// Print how far the attempt is.
    #[arg(long)]
    status: bool,
    #[arg(value_name = "[KEY]")]
    args: Vec<String>,
}

/// Runs `operator generate-root`.
pub async fn run(context: &Context, args: GenerateRoot) -> Outcome {
    let key = at_most_one(args.args.clone(), "0-1")?;
    if let Some(encoded) = &args.decode {
        return decode(context, encoded, &args.otp);
    }
    let client = context.client().await?;
    if args.generate_otp {
        let status = status(context, &client).await?;
        let length = status["otp_length"].as_u64().and_then(|length| usize::try_from(length).ok());
        let otp = context.runtime.entropy.base62(length.filter(|length| *length > 0).unwrap_or(OTP_LENGTH));
        return output::field(context, Some(otp.into()), "otp", "answer");
    }
    if args.cancel {
        // A password in a URL is worth nothing once the attempt is given up.
        let request = |path: String| match args.otp.as_str() {
            "" => ApiRequest::delete(path),
            otp => ApiRequest::delete(path).query("otp", otp),
        };
        let done = ask(context, &client, "attempt", request).await;
        done.map_err(|failure| failure.context("Error canceling root token generation"))?;
        output::out("Success! Root token generation canceled (if it was started)");
        return Ok(0);
    }
    if args.init {
        return init(context, &client, &args).await;
    }
    if args.status {
        let status = status(context, &client).await?;
        return show(context, &status);
    }
    provide(context, &client, key, args.nonce).await
}

/// Asks the endpoints that take no token, and where there are none those that do: they share the attempt.
async fn ask(
    context: &Context,
    client: &Client,
    endpoint: &str,
    request: impl Fn(String) -> ApiRequest,
) -> Result<Map<String, Value>, Failure> {
    let answer = match context.send(client, request(format!("sys/generate-root/{endpoint}"))).await {
        Err(failure) if failure.message.contains("\nCode: 404.") || failure.message.contains("\nCode: 405.") => {
            context.send(client, request(format!("sys/generate-root-token/{endpoint}"))).await?
        }
        answer => answer?,
    };
    let mut body = answer.body.unwrap_or_default();
    let data = body["data"].take();
    Ok(if data.is_object() { data } else { body }.as_object().cloned().unwrap_or_default())
}

async fn status(context: &Context, client: &Client) -> Result<Map<String, Value>, Failure> {
    let status = ask(context, client, "attempt", ApiRequest::get).await;
    status.map_err(|failure| failure.context("Error getting root generation status"))
}

async fn init(context: &Context, client: &Client, args: &GenerateRoot) -> Outcome {
    let pgp_key = match &args.pgp_key {
        Some(file) => operator::pgp_keys(context, std::slice::from_ref(file)).await?.unwrap_or_default().concat(),
        None => String::new(),
    };
    let body = json!({ "otp": args.otp, "pgp_key": pgp_key });
    let begun = ask(context, client, "attempt", |path| ApiRequest::put(path, body.clone())).await;
    let begun = begun.map_err(|failure| failure.context("Error initializing root generation"))?;
    if context.format == Format::Table && args.otp.is_empty() && pgp_key.is_empty() {
        let told = "A One-Time-Password has been generated for you and is shown in the OTP field. You will need this value to \
                    decode the resulting root token, so keep it safe.";
        output::err(&wrap(told, 0));
    }
    show(context, &begun)
}

async fn provide(context: &Context, client: &Client, key: Option<String>, nonce: String) -> Outcome {
    let status = status(context, client).await?;
    if status.get("started").and_then(Value::as_bool) != Some(true) {
        let begin = format!(
            "No root generation is in progress. Start a root generation by running \"{} operator generate-root -init\".",
            context.brand.program
        );
        let length = format!(
            "If starting root generation using the OTP method and generating your own OTP, the length of the OTP string needs \
             to be {} characters in length.",
            status.get("otp_length").and_then(Value::as_u64).unwrap_or_default()
        );
        return Err(Failure::local(format!("{}\n{}", wrap(&begin, 0), wrap(&length, 0))));
    }
    let (key, nonce) = share::given(context, key.as_deref(), &nonce, &status, "Operation nonce")?;
    let body = json!({ "key": key, "nonce": nonce });
    let status = ask(context, client, "update", |path| ApiRequest::put(path, body.clone())).await;
    let status = status.map_err(|failure| failure.context("Error posting unseal key"))?;
    show(context, &status)
}

fn decode(context: &Context, encoded: &str, otp: &str) -> Outcome {
    let encoded = match encoded {
        "-" => {
            let text = share::from_stdin()?.trim().to_string();
            if text.is_empty() {
                return Err(Failure::local("Missing encoded value. When using -decode, pass the value to decode"));
            }
            text
        }
        text => text.to_string(),
    };
    if otp.is_empty() {
        return Err(Failure::local("Missing otp: use -otp to supply it"));
    }
    let token = decoded(&encoded, otp);
    let token = token.map_err(|reason| Failure::local(format!("Error decoding root token: {reason}")))?;
    if context.format != Format::Table {
        return output::structured(context, &json!({ "token": token }));
    }
    output::field(context, Some(token.into()), "token", "answer")
}

/// The token behind its encoding: base64 of the token XORed with the one-time password.
fn decoded(encoded: &str, otp: &str) -> Result<String, String> {
    let bytes = STANDARD_NO_PAD.decode(encoded).or_else(|_| STANDARD.decode(encoded));
    let bytes = bytes.map_err(|error| format!("error decoding base64'd token: {error}"))?;
    if bytes.len() != otp.len() {
        return Err(format!(
            "error xoring token: length of byte slices is not equivalent: {} != {}",
            bytes.len(),
            otp.len()
        ));
    }
    let token = bytes.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
    String::from_utf8(token).map_err(|_| "the password is not that of this token".to_string())
}

/// Prints an attempt; what the server left out is empty.
fn show(context: &Context, status: &Map<String, Value>) -> Outcome {
    let none = json!({
        "nonce": "",
        "started": false,
        "progress": 0,
        "required": 0,
        "complete": false,
        "encoded_token": "",
        "encoded_root_token": "",
        "pgp_fingerprint": "",
        "otp": "",
        "otp_length": 0,
    });
    let of = |(key, none): (&String, &Value)| (key.clone(), status.get(key).unwrap_or(none).clone());
    let status: Map<String, Value> = none.as_object().into_iter().flatten().map(of).collect();
    if let Some(name) = context.field() {
        return output::field(context, status.get(name).cloned(), name, "answer");
    }
    if context.format != Format::Table {
        return output::structured(context, &status);
    }
    let text = |key: &str| crate::cli::value::go_text(&status[key]);
    let line = |name: &str, value: String| vec![name.to_string(), value];
    let mut lines = vec![
        line("Nonce", text("nonce")),
        line("Started", text("started")),
        line("Progress", format!("{}/{}", text("progress"), text("required"))),
        line("Complete", text("complete")),
    ];
    let encoded = if text("encoded_token").is_empty() { text("encoded_root_token") } else { text("encoded_token") };
    let rest = [
        ("PGP Fingerprint", text("pgp_fingerprint")),
        ("Encoded Token", encoded),
        ("OTP", text("otp")),
        ("OTP Length", text("otp_length")),
    ];
    let rest = rest.into_iter().filter(|(_, text)| !matches!(text.as_str(), "" | "0"));
    lines.extend(rest.map(|(name, text)| line(name, text)));
    output::out(&table::columns(&lines));
    Ok(0)
}

const OTP_LENGTH: usize = 28;

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_token_is_decoded_with_its_password() {
        let token = decoded("QU9cPjkMMQklCQMiIQ4wK3ggKj8sHzF9chM", "2ajHoewkw9lavOQdAxsEGrFD7w");
        assert_eq!(token.as_deref(), Ok("s.6vViFbR0oCWAaO9XYzkmw9Ed"));
        let text = "error xoring token: length of byte slices is not equivalent: 2 != 3";
        assert_eq!(decoded("abc", "def").unwrap_err(), text);
        assert!(decoded("?", "x").is_err());
    }
}
