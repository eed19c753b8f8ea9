//! Unseal keys that are given one at a time to an attempt, which a nonce names.

use serde_json::{Map, Value};

use crate::cli::context::Context;
use crate::cli::output::{self, wrap};
use crate::cli::{Failure, data, prompt};

/// The key and the nonce to send: the key as the argument has it, or read from standard input for `-`. Without an argument
/// it is asked for on the terminal, and the nonce is the attempt's, printed after `label`.
pub(super) fn given(
    context: &Context,
    key: Option<&str>,
    nonce: &str,
    attempt: &Map<String, Value>,
    label: &str,
) -> Result<(String, String), Failure> {
    let (key, nonce) = match key {
        Some("-") => (from_stdin()?, nonce.to_string()),
        Some(key) => (key.to_string(), nonce.to_string()),
        // Who is asked on a terminal need not know the nonce.
        None => {
            let nonce = attempt.get("nonce").and_then(Value::as_str).unwrap_or_default();
            (ask(context, nonce, label)?, nonce.to_string())
        }
    };
    match nonce.is_empty() {
        true => Err(Failure::local("Missing nonce value: specify it via the -nonce flag")),
        false => Ok((key.trim().to_string(), nonce)),
    }
}

/// All of standard input.
pub(super) fn from_stdin() -> Result<String, Failure> {
    let bytes = data::Stdin::default().take();
    let bytes = bytes.map_err(|reason| Failure::local(format!("Failed to read from stdin: {reason}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn ask(context: &Context, nonce: &str, label: &str) -> Result<String, Failure> {
    if context.global.non_interactive {
        return Err(Failure::local("Refusing to read from stdin with -non-interactive specified"));
    }
    output::out(&format!("{label}: {nonce}"));
    prompt::hidden("Unseal Key (will be hidden): ", std::io::stdout()).map_err(|reason| {
        let text = format!(
            "An error occurred attempting to ask for the unseal key. The raw error message is shown below, but usually this is \
             because you attempted to pipe a value into the command or you are executing outside of a terminal (tty). If you \
             want to pipe the value, pass \"-\" as the argument to read from stdin. The raw error was: {reason}"
        );
        Failure::local(wrap(&text, 0))
    })
}
