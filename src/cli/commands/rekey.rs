//! `operator rekey` and `operator rotate-keys`: new unseal keys from a quorum of the old ones. The first asks the endpoints
//! that take no token, the second those that do; they differ in little more than words.

use http::Method;
use serde_json::{Map, Value, json};

use super::{at_most_one, operator, share};
use crate::cli::context::Context;
use crate::cli::output::{self, Format, wrap};
use crate::cli::{Failure, Outcome, table, value};
use crate::client::{ApiRequest, Client};

/// `operator rekey` and `operator rotate-keys`.
#[derive(Debug, clap::Args)]
pub struct Rekey {
    /// Give the attempt up, or with -verify only what was given of the new keys.
    #[arg(long)]
    cancel: bool,
    /// Begin an attempt. With -verify the old keys hold until the new ones were given once.
    #[arg(long)]
    init: bool,
    /// How many new keys to make. The default is 5.
    #[arg(long, alias = "n", value_name = "int", value_parser = crate::cli::args::integer)]
    key_shares: Option<i64>,
    /// How many of them unseal. The default is 3.
    #[arg(long, alias = "t", value_name = "int", value_parser = crate::cli::args::integer)]
    key_threshold: Option<i64>,
    /// Names the attempt or verification that the key is for.
    #[arg(long, value_name = "string", default_value = "")]
    nonce: String,
    /// PGP keys to encrypt the new keys with, a file each, in order, separated by commas; not every server can.
    #[arg(long, value_name = "file,...", value_delimiter = ',')]
    pgp_keys: Vec<String>,
    /// Print how far the attempt is.
    #[arg(long)]
    status: bool,
    /// Which keys: "barrier" or, for a seal that has them, "recovery".
    #[arg(long, value_name = "string", default_value = "barrier")]
    target: String,
    /// The verification is meant, not the attempt.
    #[arg(long)]
    verify: bool,
    /// Keep the PGP encrypted keys on the server.
    #[arg(long, help_heading = BACKUP)]
    backup: bool,
    /// Delete what the server keeps of them.
    #[arg(long, help_heading = BACKUP)]
    backup_delete: bool,
    /// Print what the server keeps of them.
    #[arg(long, help_heading = BACKUP)]
    backup_retrieve: bool,
    #[arg(value_name = "[KEY]")]
    args: Vec<String>,
}

/// What the two commands differ in.
pub struct Way {
    command: &'static str,
    /// The endpoints, for each target.
    barrier: &'static str,
    recovery: &'static str,
    backups: [&'static str; 2],
    begins_with: Method,
    /// The words for what is done.
    noun: &'static str,
    process: &'static str,
    doing: &'static str,
    reading: &'static str,
    nonce: &'static str,
    made: &'static str,
    verified: &'static str,
}

/// `operator rekey`.
pub const REKEY: Way = Way {
    command: "rekey",
    barrier: "sys/rekey",
    recovery: "sys/rekey-recovery-key",
    backups: ["sys/rekey/backup", "sys/rekey/recovery-key-backup"],
    begins_with: Method::PUT,
    noun: "rekey",
    process: "rekey",
    doing: "rekeying",
    reading: "rekey",
    nonce: "Rekey operation nonce",
    made: "rekeyed",
    verified: "Rekey verification successful. The rekey operation is complete and the new keys are now active.",
};

/// `operator rotate-keys`.
pub const ROTATE: Way = Way {
    command: "rotate-keys",
    barrier: "sys/rotate/root",
    recovery: "sys/rotate/recovery",
    backups: ["sys/rotate/root/backup", "sys/rotate/recovery/backup"],
    begins_with: Method::POST,
    noun: "rotation",
    process: "rotation",
    doing: "rotation",
    reading: "rotate",
    nonce: "rotation nonce",
    made: "rotated",
    verified: "Rotation verification successful. The rotation is complete and the new keys are now active.",
};

/// One command at work.
struct Desk<'a> {
    context: &'a Context,
    client: Client,
    way: &'static Way,
    recovery: bool,
    args: Rekey,
}

/// Runs `operator rekey` or `operator rotate-keys`.
pub async fn run(context: &Context, way: &'static Way, args: Rekey) -> Outcome {
    let key = at_most_one(args.args.clone(), "0-1")?;
    let recovery = match args.target.trim().to_lowercase().as_str() {
        "barrier" => false,
        "recovery" | "hsm" => true,
        _ => return Err(Failure::local(format!("Unknown target: {}", args.target))),
    };
    let client = context.client().await?;
    let desk = Desk { context, client, way, recovery, args };
    match &desk.args {
        Rekey { backup_delete: true, .. } => desk.delete_backup().await,
        Rekey { backup_retrieve: true, .. } => desk.retrieve_backup().await,
        Rekey { cancel: true, .. } => desk.cancel().await,
        Rekey { init: true, .. } => desk.init().await,
        Rekey { status: true, .. } => {
            let status = desk.status().await;
            let doing = format!("Error reading {} status", way.reading);
            desk.show(&status.map_err(|failure| failure.context(&doing))?)
        }
        _ => desk.provide(key).await,
    }
}

impl Desk<'_> {
    fn path(&self, what: &str) -> String {
        format!("{}/{what}", if self.recovery { self.way.recovery } else { self.way.barrier })
    }

    /// `init` or `verify`: which of the two is meant.
    fn of(&self) -> &'static str {
        if self.args.verify { "verify" } else { "init" }
    }

    async fn ask(&self, request: ApiRequest) -> Result<Map<String, Value>, Failure> {
        let answer = self.context.send(&self.client, request).await?;
        let mut body = answer.body.unwrap_or_default();
        let data = body["data"].take();
        Ok(if data.is_object() { data } else { body }.as_object().cloned().unwrap_or_default())
    }

    async fn status(&self) -> Result<Map<String, Value>, Failure> {
        self.ask(ApiRequest::get(self.path(self.of()))).await
    }

    async fn init(&self) -> Outcome {
        let args = &self.args;
        let pgp_keys = operator::pgp_keys(self.context, &args.pgp_keys).await?;
        let body = json!({
            "secret_shares": args.key_shares.unwrap_or(operator::DEFAULT_SHARES),
            "secret_threshold": args.key_threshold.unwrap_or(operator::DEFAULT_THRESHOLD),
            "stored_shares": 0,
            "pgp_keys": pgp_keys,
            "backup": args.backup,
            "require_verification": args.verify,
        });
        let request = ApiRequest::new(self.way.begins_with.clone(), self.path("init")).body(body);
        let begun = self.ask(request).await;
        let begun = begun.map_err(|failure| failure.context(format!("Error initializing {}", self.way.noun)))?;
        if self.context.format == Format::Table && pgp_keys.is_none() {
            let text = "WARNING! If you lose the keys after they are returned, there is no recovery. Have them verified \
                        before they hold: cancel this operation and begin it with -verify.";
            output::err(&wrap(if args.verify { LOST } else { text }, 0));
            output::out("");
        }
        self.show_attempt(&begun)
    }

    async fn cancel(&self) -> Outcome {
        let done = self.ask(ApiRequest::delete(self.path(self.of()))).await;
        done.map_err(|failure| failure.context(format!("Error canceling {}", self.way.noun)))?;
        output::out(&format!("Success! Canceled {} (if it was started)", self.way.doing));
        Ok(0)
    }

    async fn delete_backup(&self) -> Outcome {
        let done = self.ask(ApiRequest::delete(self.way.backups[usize::from(self.recovery)])).await;
        done.map_err(|failure| failure.context("Error deleting backed up keys"))?;
        output::out("Success! Deleted backed up keys (if they existed)");
        Ok(0)
    }

    async fn retrieve_backup(&self) -> Outcome {
        let kept = self.ask(ApiRequest::get(self.way.backups[usize::from(self.recovery)])).await;
        let doing = format!("Error retrieving {} backed up keys", self.way.process);
        output::structured(self.context, &kept.map_err(|failure| failure.context(&doing))?)
    }

    async fn provide(&self, key: Option<String>) -> Outcome {
        let (way, context) = (self.way, self.context);
        let status = self.status().await;
        let status = status.map_err(|failure| failure.context(format!("Error getting {} status", way.noun)))?;
        if status.get("started").and_then(Value::as_bool) != Some(true) {
            let text = format!(
                "No {} is in progress. Start a {} process by running \"{} operator {} -init\".",
                way.noun, way.process, context.brand.program, way.command
            );
            return Err(Failure::local(wrap(&text, 0)));
        }
        let (key, nonce) = share::given(context, key.as_deref(), &self.args.nonce, &status, way.nonce)?;
        let to = if self.args.verify { "verify" } else { "update" };
        let given = self.ask(ApiRequest::put(self.path(to), json!({ "key": key, "nonce": nonce }))).await;
        let given = given.map_err(|failure| failure.context("Error posting unseal key"))?;
        match given.get("complete").and_then(Value::as_bool) {
            Some(true) if self.args.verify => {
                if context.format != Format::Table {
                    return output::structured(context, &given);
                }
                output::out(&wrap(way.verified, 0));
                Ok(0)
            }
            Some(true) => self.show_keys(&status, &given).await,
            _ => self.show(&given),
        }
    }

    /// Prints the new keys: they are not shown again, whatever else goes wrong.
    async fn show_keys(&self, status: &Map<String, Value>, made: &Map<String, Value>) -> Outcome {
        let verify = made.get("verification_required").and_then(Value::as_bool) == Some(true);
        if self.context.format != Format::Table {
            let mut shown = filled(made, &DONE);
            for extra in ["verification_nonce", "warnings"] {
                if let Some(value) = made.get(extra).filter(|value| value.as_str() != Some("")) {
                    shown.insert(extra.into(), value.clone());
                }
            }
            return output::structured(self.context, &shown);
        }
        let list = |name: &str| made.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let keys = list("keys_base64");
        let lines = keys.iter().enumerate().map(|(at, key)| format!("Key {}: {}", at + 1, value::go_text(key)));
        let lines: Vec<String> = lines.collect();
        let nonce = made.get("nonce").map(value::go_text).unwrap_or_default();
        output::out(&format!("\n{}\n\nOperation nonce: {nonce}\n", lines.join("\n")));
        let text = |name: &str| status.get(name).map(value::go_text).unwrap_or_default();
        let (shares, threshold) = (text("n"), text("t"));
        let needed = format!(
            "Please securely distribute the key shares printed above. When Vault is re-sealed, restarted, or stopped, you must \
             supply at least {threshold} of these keys to unseal it before it can start servicing requests."
        );
        for warning in list("warnings") {
            output::err(&wrap(&format!("WARNING! {}", value::go_text(&warning)), 0));
        }
        if !verify {
            let made = self.way.made;
            let text = format!("Vault unseal keys {made} to {shares} key shares and a key threshold of {threshold}.");
            output::out(&wrap(&format!("{text} {needed}"), 0));
            return Ok(0);
        }
        let text = format!(
            "Vault has created a new unseal key, split into {shares} key shares and a key threshold of {threshold}. These will \
             not be active until after verification is complete."
        );
        output::out(&format!("{}\n\n", wrap(&format!("{text} {needed}"), 0)));
        let text = format!(
            "Again, these key shares are _not_ valid until verification is performed. Do not lose or discard your current key \
             shares until after verification is complete or you will be unable to unseal Vault. If you cancel the {} process \
             or seal Vault before verification is complete the new shares will be discarded and the current shares will remain \
             valid.",
            self.way.noun
        );
        output::err(&wrap(&text, 0));
        output::err("The current verification status, including initial nonce, is shown below.");
        let verification = self.ask(ApiRequest::get(self.path("verify"))).await;
        let doing = format!("Error reading {} status", self.way.reading);
        output::out("");
        self.show_verification(&verification.map_err(|failure| failure.context(&doing))?)
    }

    fn show(&self, status: &Map<String, Value>) -> Outcome {
        if self.args.verify { self.show_verification(status) } else { self.show_attempt(status) }
    }

    /// Shows one field, or all in another form than the table, if that was asked for.
    fn show_for_programs(&self, status: &Map<String, Value>) -> Option<Outcome> {
        match self.context.field() {
            Some(name) => Some(output::field(self.context, status.get(name).cloned(), name, "answer")),
            None if self.context.format != Format::Table => Some(output::structured(self.context, status)),
            None => None,
        }
    }

    fn show_attempt(&self, status: &Map<String, Value>) -> Outcome {
        let status = filled(status, &ATTEMPT);
        if let Some(shown) = self.show_for_programs(&status) {
            return shown;
        }
        let text = |name: &str| value::go_text(&status[name]);
        let mut lines = vec![line("Nonce", text("nonce")), line("Started", text("started"))];
        if status["started"] == true {
            lines.extend([
                line("Progress", format!("{}/{}", text("progress"), text("required"))),
                line("New Shares", text("n")),
                line("New Threshold", text("t")),
                line("Verification Required", text("verification_required")),
            ]);
            if !text("verification_nonce").is_empty() {
                lines.push(line("Verification Nonce", text("verification_nonce")));
            }
        }
        output::out(&table::table(&TITLES, &lines));
        Ok(0)
    }

    fn show_verification(&self, status: &Map<String, Value>) -> Outcome {
        let status = filled(status, &VERIFICATION);
        if let Some(shown) = self.show_for_programs(&status) {
            return shown;
        }
        let text = |name: &str| value::go_text(&status[name]);
        output::out(&table::table(
            &TITLES,
            &[
                line("Started", text("started")),
                line("New Shares", text("n")),
                line("New Threshold", text("t")),
                line("Verification Nonce", text("nonce")),
                line("Verification Progress", format!("{}/{}", text("progress"), text("t"))),
            ],
        ));
        Ok(0)
    }
}

fn line(name: &str, value: String) -> Vec<String> {
    vec![name.to_string(), value]
}

/// The fields that are always shown, in their order; those that the server left out are empty.
fn filled(status: &Map<String, Value>, fields: &[(&str, Empty)]) -> Map<String, Value> {
    let of = |(name, empty): &(&str, Empty)| {
        let none = match empty {
            Empty::Text => json!(""),
            Empty::Flag => json!(false),
            Empty::Number => json!(0),
            Empty::Nothing => Value::Null,
        };
        (name.to_string(), status.get(*name).cloned().unwrap_or(none))
    };
    fields.iter().map(of).collect()
}

/// What a field is shown as that the server left out.
enum Empty {
    Text,
    Flag,
    Number,
    Nothing,
}

const ATTEMPT: [(&str, Empty); 10] = [
    ("nonce", Empty::Text),
    ("started", Empty::Flag),
    ("t", Empty::Number),
    ("n", Empty::Number),
    ("progress", Empty::Number),
    ("required", Empty::Number),
    ("pgp_fingerprints", Empty::Nothing),
    ("backup", Empty::Flag),
    ("verification_required", Empty::Flag),
    ("verification_nonce", Empty::Text),
];
const VERIFICATION: [(&str, Empty); 5] = [
    ("nonce", Empty::Text),
    ("started", Empty::Flag),
    ("t", Empty::Number),
    ("n", Empty::Number),
    ("progress", Empty::Number),
];
const DONE: [(&str, Empty); 7] = [
    ("nonce", Empty::Text),
    ("complete", Empty::Flag),
    ("keys", Empty::Nothing),
    ("keys_base64", Empty::Nothing),
    ("pgp_fingerprints", Empty::Nothing),
    ("backup", Empty::Flag),
    ("verification_required", Empty::Flag),
];

const TITLES: [&str; 2] = ["Key", "Value"];

const LOST: &str = "WARNING! If you lose the keys after they are returned and verified, there is no recovery.";
const BACKUP: &str = "Backup Options";
