//! `operator`: init, unseal, seal, step-down, key-status, rotate, members; [`super::raft`] for the rest.

use http::Method;
use serde_json::{Value, json};

use super::{at_most_one, exactly, generate_root, raft, rekey, status};
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{EXIT_SERVER, Failure, Outcome, data, prompt, table, value};
use crate::client::api::{InitRequest, InitResponse, SealStatus};
use crate::client::{ApiRequest, Client};

/// This command groups what operators do with a cluster: initialize it, seal and unseal its nodes, see to its keys and its
/// peers.
#[derive(Debug, clap::Subcommand)]
pub enum Operator {
    /// Generate a new root token.
    GenerateRoot(Box<generate_root::GenerateRoot>),
    /// Initialize a cluster.
    Init(Box<Init>),
    /// Print term, age and use of the key that data is encrypted with.
    KeyStatus(NoArgs),
    /// Return the nodes of the cluster.
    Members(NoArgs),
    /// Interact with the Raft cluster.
    #[command(subcommand)]
    Raft(raft::Raft),
    /// Make new unseal keys, without a token.
    Rekey(Box<rekey::Rekey>),
    /// Rotate the key that data is encrypted with.
    Rotate(NoArgs),
    /// Make new unseal keys, with a token.
    RotateKeys(Box<rekey::Rekey>),
    /// Seal the cluster.
    Seal(Seal),
    /// Force the active node to resign.
    StepDown(NoArgs),
    /// Unseal a node.
    Unseal(Unseal),
}

/// Nothing.
#[derive(Debug, clap::Args)]
pub struct NoArgs {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// `operator init`.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// How many unseal keys to make. The default is 5.
    #[arg(long, alias = "n", value_name = "int", value_parser = crate::cli::args::integer)]
    key_shares: Option<i64>,
    /// How many of them unseal. The default is 3.
    #[arg(long, alias = "t", value_name = "int", value_parser = crate::cli::args::integer)]
    key_threshold: Option<i64>,
    /// PGP keys to encrypt the unseal keys with: a file each, in order, separated by commas.
    #[arg(long, value_name = "file,...", value_delimiter = ',')]
    pgp_keys: Vec<String>,
    /// PGP key to encrypt the initial root token with.
    #[arg(long, value_name = "file")]
    root_token_pgp_key: Option<String>,
    /// Only print whether the cluster is initialized: exit code 0 if so, 2 if not.
    #[arg(long)]
    status: bool,
    /// How many recovery keys to make. The default is 5.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer, help_heading = AUTO)]
    recovery_shares: Option<i64>,
    /// How many of them are needed. The default is 3.
    #[arg(long, value_name = "int", value_parser = crate::cli::args::integer, help_heading = AUTO)]
    recovery_threshold: Option<i64>,
    /// PGP keys to encrypt the recovery keys with.
    #[arg(long, value_name = "file,...", value_delimiter = ',', help_heading = AUTO)]
    recovery_pgp_keys: Vec<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// `operator seal`.
#[derive(Debug, clap::Args)]
pub struct Seal {
    /// Seal only the node at the address, not the whole cluster.
    #[arg(long)]
    node: bool,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// `operator unseal`.
#[derive(Debug, clap::Args)]
pub struct Unseal {
    /// The key is part of a seal migration.
    #[arg(long)]
    migrate: bool,
    /// Discard the keys given so far.
    #[arg(long)]
    reset: bool,
    #[arg(value_name = "[KEY]")]
    args: Vec<String>,
}

/// Runs an `operator` command.
pub async fn run(context: &Context, operator: Operator) -> Outcome {
    match operator {
        Operator::GenerateRoot(args) => generate_root::run(context, *args).await,
        Operator::Init(args) => init(context, *args).await,
        Operator::KeyStatus(args) => key_status(context, args).await,
        Operator::Members(args) => members(context, args).await,
        Operator::Raft(raft) => raft::run(context, raft).await,
        Operator::Rekey(args) => rekey::run(context, &rekey::REKEY, *args).await,
        Operator::Rotate(args) => rotate(context, args).await,
        Operator::RotateKeys(args) => rekey::run(context, &rekey::ROTATE, *args).await,
        Operator::Seal(args) => seal(context, args).await,
        Operator::StepDown(args) => step_down(context, args).await,
        Operator::Unseal(args) => unseal(context, args).await,
    }
}

async fn init(context: &Context, init: Init) -> Outcome {
    exactly::<0>(init.args.clone())?;
    let client = context.client().await?;
    if init.status {
        return init_status(context, &client).await;
    }
    // Whether the shares are unseal or recovery shares is the server's seal's choice.
    let recovery = !context.only_shows() && client.seal_status().await.is_ok_and(|seal| seal.recovery_seal);
    let mut request = InitRequest::default();
    if recovery {
        request.recovery_shares = init.recovery_shares.unwrap_or(DEFAULT_SHARES);
        request.recovery_threshold = init.recovery_threshold.unwrap_or(DEFAULT_THRESHOLD);
        request.recovery_pgp_keys = pgp_keys(context, &init.recovery_pgp_keys).await?;
    } else {
        request.secret_shares = init.key_shares.unwrap_or(DEFAULT_SHARES);
        request.secret_threshold = init.key_threshold.unwrap_or(DEFAULT_THRESHOLD);
        request.pgp_keys = pgp_keys(context, &init.pgp_keys).await?;
    }
    if let Some(key) = init.root_token_pgp_key {
        request.root_token_pgp_key = pgp_keys(context, &[key]).await?.unwrap_or_default().concat();
    }
    let body = serde_json::to_value(&request).map_err(|error| Failure::local(error.to_string()))?;
    let answer: Result<InitResponse, Failure> = context.typed(&client, ApiRequest::put("sys/init", body)).await;
    let answer = answer.map_err(|failure| failure.context("Error initializing"))?;
    if context.format != Format::Table {
        return output::structured(context, &init_json(&request, &answer));
    }
    output::out(&init_text(context, &request, &answer));
    Ok(0)
}

async fn init_status(context: &Context, client: &Client) -> Outcome {
    let answer: Result<Value, Failure> = context.typed(client, ApiRequest::get("sys/init")).await;
    let answer = answer.map_err(|failure| failure.context("Error checking initialization status").exit(1))?;
    let initialized = answer["initialized"].as_bool().unwrap_or(false);
    let code = if initialized { 0 } else { EXIT_SERVER };
    if context.format != Format::Table {
        output::structured(context, &json!({ "Initialized": initialized }))?;
        return Ok(code);
    }
    output::out(if initialized { "Vault is initialized" } else { "Vault is not initialized" });
    Ok(code)
}

/// PGP keys as the server takes them: base64 of the binary form.
pub async fn pgp_keys(context: &Context, files: &[String]) -> Result<Option<Vec<String>>, Failure> {
    use base64::Engine as _;
    let mut keys = Vec::new();
    for file in files {
        let path = file.trim().trim_start_matches('@');
        if path.starts_with("keybase:") {
            return Err(Failure::local("keys from keybase are not supported: give files"));
        }
        let bytes = data::read(&context.runtime, path).await.map_err(Failure::local)?;
        keys.push(match std::str::from_utf8(&bytes) {
            // Base64 already.
            Ok(text) if !text.contains('-') => text.split_whitespace().collect(),
            _ => base64::engine::general_purpose::STANDARD.encode(&bytes),
        });
    }
    Ok((!keys.is_empty()).then_some(keys))
}

fn init_json(request: &InitRequest, answer: &InitResponse) -> Value {
    json!({
        "unseal_keys_b64": answer.keys_base64,
        "unseal_keys_hex": answer.keys,
        "unseal_shares": request.secret_shares,
        "unseal_threshold": request.secret_threshold,
        "recovery_keys_b64": answer.recovery_keys_base64.clone().unwrap_or_default(),
        "recovery_keys_hex": answer.recovery_keys.clone().unwrap_or_default(),
        "recovery_keys_shares": request.recovery_shares,
        "recovery_keys_threshold": request.recovery_threshold,
        "root_token": answer.root_token,
    })
}

fn init_text(context: &Context, request: &InitRequest, answer: &InitResponse) -> String {
    let keys = |name: &str, keys: &[String]| -> String {
        keys.iter().enumerate().map(|(at, key)| format!("{name} Key {}: {key}\n", at + 1)).collect()
    };
    let recovery = answer.recovery_keys_base64.as_deref().unwrap_or_default();
    let mut text = keys("Unseal", &answer.keys_base64);
    text.push_str(&keys("Recovery", recovery));
    text.push_str(&format!("\nInitial Root Token: {}\n", answer.root_token));
    if answer.keys_base64.is_empty() {
        text.push_str("\nSuccess! Vault is initialized");
        if !recovery.is_empty() {
            text.push_str(&format!(
                "\n\nRecovery key initialized with {} key shares and a key threshold of {}. Please\nsecurely distribute the \
                 key shares printed above.",
                request.recovery_shares, request.recovery_threshold
            ));
        }
        return text;
    }
    let (shares, threshold) = (request.secret_shares, request.secret_threshold);
    let program = &context.brand.program;
    let rekey = if program == "bao" { "rotate-keys" } else { "rekey" };
    text.push_str(&format!(
        "
Vault initialized with {shares} key shares and a key threshold of {threshold}. Please securely
distribute the key shares printed above. When the Vault is re-sealed,
restarted, or stopped, you must supply at least {threshold} of these keys to unseal it
before it can start servicing requests.

Vault does not store the generated root key. Without at least {threshold} keys to
reconstruct the root key, Vault will remain permanently sealed!

It is possible to generate new unseal keys, provided you have a quorum
of existing unseal keys shares. See \"{program} operator {rekey}\" for more
information."
    ));
    text
}

async fn unseal(context: &Context, unseal: Unseal) -> Outcome {
    let key = at_most_one(unseal.args, "1")?;
    let client = context.client().await?;
    let request = if unseal.reset {
        ApiRequest::put("sys/unseal", json!({ "reset": true }))
    } else {
        let key = match key {
            Some(key) => key,
            None => ask_for_key(context)?,
        };
        ApiRequest::put("sys/unseal", json!({ "key": key.trim(), "reset": false, "migrate": unseal.migrate }))
    };
    let doing = if unseal.reset { "Error resetting unseal process" } else { "Error unsealing" };
    let seal: Result<SealStatus, Failure> = context.typed(&client, request).await;
    let seal = seal.map_err(|failure| failure.context(doing))?;
    status::show(context, &client, &seal).await
}

fn ask_for_key(context: &Context) -> Result<String, Failure> {
    if context.global.non_interactive {
        return Err(Failure::local(
            "Refusing to read from stdin with -non-interactive specified; specify unseal\nkey as an argument to this command",
        ));
    }
    prompt::hidden("Unseal Key (will be hidden): ", std::io::stdout()).map_err(|reason| {
        Failure::local(format!(
            "An error occurred attempting to ask for an unseal key. The raw error message
is shown below, but usually this is because you attempted to pipe a value
into the unseal command or you are executing outside of a terminal (tty). You
should run the unseal command from a terminal for maximum security. If this
is not an option, the unseal key can be provided as the first argument to the
unseal command. The raw error was:  {reason}"
        ))
    })
}

async fn seal(context: &Context, seal: Seal) -> Outcome {
    exactly::<0>(seal.args)?;
    let client = context.client().await?;
    let request = ApiRequest::new(Method::PUT, "sys/seal");
    let request = if seal.node { request.query("scope", "node") } else { request };
    let answer = context.write(&client, request).await;
    let answer = answer.map_err(|failure| failure.context("Error sealing"))?;
    output::out("Success! Vault is sealed.");
    // Our servers tell which nodes have confirmed.
    match answer.filter(|answer| !answer.is_empty() || !answer.warnings().is_empty()) {
        Some(answer) => output::secret(context, &answer),
        None => Ok(0),
    }
}

async fn step_down(context: &Context, args: NoArgs) -> Outcome {
    exactly::<0>(args.args)?;
    let client = context.client().await?;
    let done = context.send(&client, ApiRequest::new(Method::PUT, "sys/step-down")).await;
    done.map_err(|failure| failure.context("Error stepping down"))?;
    output::out(&format!("Success! Stepped down: {}", client.config().address));
    Ok(0)
}

async fn key_status(context: &Context, args: NoArgs) -> Outcome {
    exactly::<0>(args.args)?;
    let client = context.client().await?;
    let status = read_key_status(context, &client).await?;
    show_key_status(context, &status, None)
}

async fn rotate(context: &Context, args: NoArgs) -> Outcome {
    exactly::<0>(args.args)?;
    let client = context.client().await?;
    let done = context.send(&client, ApiRequest::new(Method::POST, "sys/rotate/keyring")).await;
    done.map_err(|failure| failure.context("Error rotating key"))?;
    let status = read_key_status(context, &client).await?;
    show_key_status(context, &status, Some("Success! Rotated key\n"))
}

async fn members(context: &Context, _args: NoArgs) -> Outcome {
    let client = context.client().await?;
    let mut answer: Value = context.typed(&client, ApiRequest::get("sys/ha-status")).await?;
    let nodes = match answer.get_mut("data").map(Value::take) {
        Some(mut data) if data.is_object() => data["nodes"].take(),
        _ => answer["nodes"].take(),
    };
    if context.format != Format::Table {
        return output::structured(context, &json!({ "Nodes": nodes }));
    }
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        value => value::go_text(value),
    };
    const COLUMNS: [&str; 7] =
        ["hostname", "api_address", "cluster_address", "active_node", "version", "upgrade_version", "last_echo"];
    let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> =
        nodes.iter().map(|node| COLUMNS.iter().map(|key| text(&node[*key])).collect()).collect();
    let titles =
        ["Host Name", "API Address", "Cluster Address", "Active Node", "Version", "Upgrade Version", "Last Echo"];
    output::out(&table::table(&titles, &rows));
    Ok(0)
}

async fn read_key_status(context: &Context, client: &Client) -> Result<Value, Failure> {
    let answer: Result<Value, Failure> = context.typed(client, ApiRequest::get("sys/key-status")).await;
    let mut answer = answer.map_err(|failure| failure.context("Error reading key status"))?;
    Ok(match answer.get_mut("data") {
        Some(data) if data.is_object() => data.take(),
        _ => answer,
    })
}

fn show_key_status(context: &Context, status: &Value, title: Option<&str>) -> Outcome {
    let (term, encryptions) = (&status["term"], &status["encryptions"]);
    let installed = status["install_time"].as_str().unwrap_or_default();
    if context.format != Format::Table {
        let data = json!({ "term": term, "install_time": installed, "encryptions": encryptions });
        return output::structured(context, &data);
    }
    if let Some(title) = title {
        output::out(title);
    }
    let line = |name: &str, value: String| vec![name.to_string(), value];
    output::out(&table::columns(&[
        line("Key Term", term.to_string()),
        line("Install Time", rfc822(installed)),
        line("Encryption Count", encryptions.to_string()),
    ]));
    Ok(0)
}

/// RFC 3339 as RFC 822 has it: `24 Nov 26 22:56 UTC`.
fn rfc822(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%d %b %y %H:%M UTC").to_string(),
        Err(_) => rfc3339.to_string(),
    }
}

const AUTO: &str = "Auto Unseal Options";
pub(super) const DEFAULT_SHARES: i64 = 5;
pub(super) const DEFAULT_THRESHOLD: i64 = 3;

#[cfg(test)]
mod tests {
    #[test]
    fn install_time_reads_as_the_peers() {
        assert_eq!(super::rfc822("2026-11-24T22:56:40.239022799Z"), "24 Nov 26 22:56 UTC");
    }
}
