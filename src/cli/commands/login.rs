//! `login`: get a token and keep it in the token helper.

use std::io::BufRead;

use serde_json::{Map, Value, json};

use super::login_methods;
use crate::cli::context::Context;
use crate::cli::output::{self, Format};
use crate::cli::{Failure, Outcome, data, near, prompt, token_helper};
use crate::client::secret::ApiAuth;
use crate::client::{ApiRequest, ApiSecret, Client};

/// `login`.
#[derive(Debug, clap::Args)]
pub struct Login {
    /// Type of authentication: token, userpass, ldap, radius, cert, jwt, approle, kubernetes. The default is token.
    #[arg(long, value_name = "string", default_value = "token")]
    method: String,
    /// Do not print the token; it is stored all the same.
    #[arg(long)]
    no_print: bool,
    /// Do not store the token, only print it.
    #[arg(long)]
    no_store: bool,
    /// Where the auth method is enabled; the default is its type.
    #[arg(long, value_name = "string")]
    path: Option<String>,
    /// Print the token only, without verifying or storing it: -field=token -no-store.
    #[arg(long)]
    token_only: bool,
    #[arg(value_name = "[AUTH K=V...]")]
    args: Vec<String>,
}

/// Runs `login`.
pub async fn run(context: &Context, login: Login) -> Outcome {
    if login.no_store && login.no_print {
        return Err(Failure::local("-no-store and -no-print cannot be used together"));
    }
    let method = login.method.trim().trim_end_matches('/').to_lowercase();
    let path = login.path.as_deref().map_or(method.as_str(), |path| path.trim_matches('/')).to_string();
    if login_methods::find(&method).is_none() {
        let text = format!(
            "Unknown auth method: {method}. Use \"{} auth list\" to see the complete list of auth\nmethods. Additionally, \
             some auth methods are only available via the HTTP API.",
            context.brand.program
        );
        let names = login_methods::METHODS.iter().map(|method| method.name);
        return Err(Failure::local(near::hint(text, &method, "-method=", names)));
    }
    let args = arguments(context, &method, &login.args).await?;
    let client = context.client().await?;
    let secret = match method.as_str() {
        "token" => by_token(context, &client, args, login.token_only).await,
        _ => by_method(context, &client, &method, &path, args).await,
    };
    let secret = match secret {
        Err(failure) if failure.instead.is_none() => return Err(failure.context("Error authenticating")),
        secret => unwrapped(context, &client, secret?, login.token_only).await?,
    };
    finish(context, &login, &secret).await
}

async fn arguments(context: &Context, method: &str, args: &[String]) -> Result<Map<String, Value>, Failure> {
    match args {
        [dash] if dash == "-" && method == "token" => {
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            read.map_err(|error| Failure::local(format!("Error reading from stdin: {error}")))?;
            Ok(Map::from_iter([("token".to_string(), line.trim().into())]))
        }
        [token] if !token.contains('=') && method == "token" => {
            Ok(Map::from_iter([("token".to_string(), token.as_str().into())]))
        }
        // A token may end in "=": only a pair with a known key is taken apart.
        [token] if method == "token" && !token.starts_with("token=") && !token.starts_with("lookup=") => {
            Ok(Map::from_iter([("token".to_string(), token.as_str().into())]))
        }
        args => {
            let parsed = match args {
                // The first of several words may be the token itself.
                [first, rest @ ..] if method == "token" && !first.contains('=') => {
                    data::parse(&context.runtime, rest).await
                }
                args => data::parse(&context.runtime, args).await,
            };
            parsed.map_err(|failure| failure.context("Error parsing configuration"))
        }
    }
}

async fn by_token(
    context: &Context,
    client: &Client,
    args: Map<String, Value>,
    token_only: bool,
) -> Result<ApiSecret, Failure> {
    let token = match args.get("token").and_then(Value::as_str) {
        Some(token) => token.to_string(),
        None => ask(context, "Token (will be hidden): ").map_err(|reason| {
            Failure::server(format!(
                "An error occurred attempting to ask for a token. The raw error message is shown below, but usually this is \
                 because you attempted to pipe a value into the command or you are executing outside of a terminal (tty). \
                 If you want to pipe the value, pass \"-\" as the argument to read from stdin. The raw error was: {reason}"
            ))
        })?,
    };
    let token = token.trim().to_string();
    if token.is_empty() {
        return Err(Failure::server("a token must be passed to auth, please view the help for more information"));
    }
    if token_only || args.get("lookup").and_then(Value::as_str) == Some("false") {
        let auth = ApiAuth { client_token: token, ..ApiAuth::default() };
        return Ok(ApiSecret { auth: Some(auth), ..ApiSecret::default() });
    }
    let client = client.with(|config| {
        config.token = token.as_str().into();
        config.wrap_ttl = None;
    });
    let answer = context.logical(&client, ApiRequest::get("auth/token/lookup-self")).await;
    let answer = answer.map_err(|failure| match failure.instead {
        Some(_) => failure,
        None => failure.context("error looking up token"),
    })?;
    let data = answer.and_then(|answer| answer.data).unwrap_or_default();
    Ok(ApiSecret { auth: Some(auth_of(token, &data)), ..ApiSecret::default() })
}

/// What a log-in would have answered, from what a look-up says.
fn auth_of(token: String, data: &Map<String, Value>) -> ApiAuth {
    let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let list = |key: &str| -> Option<Vec<String>> {
        let values = data.get(key)?.as_array()?;
        Some(values.iter().filter_map(Value::as_str).map(str::to_string).collect())
    };
    let policies = list("policies");
    let identity = list("identity_policies");
    let mut all = policies.clone();
    if let (Some(all), Some(identity)) = (&mut all, &identity) {
        all.extend(identity.iter().cloned());
    }
    ApiAuth {
        client_token: token,
        accessor: text("accessor"),
        policies: all,
        token_policies: policies,
        identity_policies: identity,
        metadata: data.get("meta").and_then(Value::as_object).cloned(),
        lease_duration: data.get("ttl").and_then(Value::as_i64).unwrap_or(0),
        renewable: data.get("renewable").and_then(Value::as_bool).unwrap_or(false),
        ..ApiAuth::default()
    }
}

async fn by_method(
    context: &Context,
    client: &Client,
    method: &str,
    path: &str,
    mut args: Map<String, Value>,
) -> Result<ApiSecret, Failure> {
    let endpoint = match method {
        "userpass" | "ldap" | "radius" => {
            let user = args.remove("username").and_then(|user| user.as_str().map(str::to_string));
            let user = match user.or_else(|| context.env.var("LOGNAME")).or_else(|| context.env.var("USER")) {
                Some(user) => user,
                None => {
                    return Err(Failure::server(
                        "'username' not supplied and neither 'LOGNAME' nor 'USER' env vars set",
                    ));
                }
            };
            if !args.contains_key("password") {
                let password = ask(context, "Password (will be hidden): ").map_err(Failure::server)?;
                args.insert("password".to_string(), password.into());
            }
            format!("auth/{path}/login/{user}")
        }
        _ => format!("auth/{path}/login"),
    };
    let request = ApiRequest::put(endpoint, Value::Object(args)).anonymous();
    match context.write(client, request).await? {
        Some(secret) => Ok(secret),
        None => Err(Failure::server("empty response from credential provider")),
    }
}

fn ask(context: &Context, question: &str) -> Result<String, String> {
    match context.global.non_interactive {
        true => Err("refusing to read from stdin with -non-interactive specified".to_string()),
        false => prompt::hidden(question, std::io::stderr()),
    }
}

async fn unwrapped(
    context: &Context,
    client: &Client,
    secret: ApiSecret,
    token_only: bool,
) -> Result<ApiSecret, Failure> {
    match &secret.wrap_info {
        Some(wrap) if !token_only => {
            let client = client.with(|config| {
                config.token = wrap.token.as_str().into();
                config.wrap_ttl = None;
            });
            let answer = context.write(&client, ApiRequest::put("sys/wrapping/unwrap", json!(null))).await;
            let answer = answer.map_err(|failure| failure.context("Error unwrapping token"))?;
            answer.ok_or_else(|| Failure::server("Could not find wrapped response"))
        }
        _ => Ok(secret),
    }
}

async fn finish(context: &Context, login: &Login, secret: &ApiSecret) -> Outcome {
    if let (true, Some(wrap)) = (login.token_only, &secret.wrap_info) {
        return output::field(context, Some(wrap.token.clone().into()), "wrapping_token", "secret");
    }
    let Some(auth) = &secret.auth else {
        return Err(Failure::server(format!(
            "{} returned a secret, but the secret has no authentication information attached. This should never happen and \
             is likely a bug.",
            context.brand.product
        )));
    };
    if login.token_only {
        return output::field(context, Some(auth.client_token.clone().into()), "token", "secret");
    }
    if auth.client_token.is_empty() && auth.mfa_requirement.is_some() {
        output::err("A second factor is required to complete this login: see sys/mfa/validate.");
        return output::secret(context, secret);
    }
    let prefix = context.brand.prefix;
    if login.no_store {
        output::err(&format!(
            "The token was not stored in token helper. Set the {prefix}TOKEN environment\nvariable or pass the token below \
             with each request to Vault.\n"
        ));
    } else {
        let stored = token_helper::store(&context.runtime, &context.env, &auth.client_token).await;
        stored.map_err(|failure| {
            failure
                .context("Error storing token. Authentication was successful, but the token was not persisted")
                .exit(2)
        })?;
        if context.env.setting("TOKEN").is_some() {
            output::err(&format!(
                "WARNING! The {prefix}TOKEN environment variable is set! The value of this variable\nwill take precedence; if \
                 this is unwanted please unset {prefix}TOKEN or update its\nvalue accordingly.\n"
            ));
        }
    }
    if login.no_print {
        return Ok(0);
    }
    if context.field().is_none() && context.format == Format::Table {
        output::out(&format!(
            "Success! You are now authenticated. The token information displayed below is\nalready stored in the token \
             helper. You do NOT need to run \"{} login\" again.\nFuture {} requests will automatically use this token.\n",
            context.brand.program, context.brand.product
        ));
    }
    output::secret(context, secret)
}
