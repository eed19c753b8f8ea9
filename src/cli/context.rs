//! What a command has at hand: flags, environment, the client, where output goes.

use http::Method;

use super::env::{Brand, Env};
use super::output::Format;
use super::{Failure, progress, token_helper};
use crate::client::proxy::Proxies;
use crate::client::{ApiError, ApiRequest, ApiResponse, ApiSecret, Client, ClientConfig, ClientError};
use crate::policy::root_paths;
use crate::runtime::Runtime;

/// Flags that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Global {
    /// Address of the server. The default is https://127.0.0.1:8200; also from VAULT_ADDR.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub address: Option<String>,
    /// Address of an agent to talk to instead; also from VAULT_AGENT_ADDR.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub agent_address: Option<String>,
    /// PEM file of certificates to trust; also from VAULT_CACERT.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub ca_cert: Option<String>,
    /// Directory of PEM files of certificates to trust; also from VAULT_CAPATH.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub ca_path: Option<String>,
    /// PEM file of the client's certificate, with -client-key; also from VAULT_CLIENT_CERT.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub client_cert: Option<String>,
    /// PEM file of the client's private key; also from VAULT_CLIENT_KEY.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub client_key: Option<String>,
    /// Do not follow a redirect; also from VAULT_DISABLE_REDIRECTS.
    #[arg(long, global = true, help_heading = HTTP)]
    pub disable_redirects: bool,
    /// A header to send, key=value; not one that begins with X-Vault-. May be given several times.
    #[arg(long, global = true, value_name = "key=value", value_parser = super::args::pair, help_heading = HTTP)]
    pub header: Vec<(String, String)>,
    /// Second-factor credentials; also from VAULT_MFA.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub mfa: Vec<String>,
    /// Namespace of the request; also from VAULT_NAMESPACE.
    #[arg(long, global = true, value_name = "string", alias = "ns", help_heading = HTTP)]
    pub namespace: Option<String>,
    /// Never ask for input on the terminal.
    #[arg(long, global = true, help_heading = HTTP)]
    pub non_interactive: bool,
    /// Print the request as a cURL command instead of sending it.
    #[arg(long, global = true, help_heading = HTTP)]
    pub output_curl_string: bool,
    /// Print a policy that allows the request instead of sending it.
    #[arg(long, global = true, help_heading = HTTP)]
    pub output_policy: bool,
    /// Send X-Vault-Policy-Override.
    #[arg(long, global = true, help_heading = HTTP)]
    pub policy_override: bool,
    /// Name to ask the TLS server for and to verify; also from VAULT_TLS_SERVER_NAME.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub tls_server_name: Option<String>,
    /// Do not verify the server's certificate: the connection is not safe. Also from VAULT_SKIP_VERIFY.
    #[arg(long, global = true, help_heading = HTTP)]
    pub tls_skip_verify: bool,
    /// Key that unlocks a namespace's API lock.
    #[arg(long, global = true, value_name = "string", help_heading = HTTP)]
    pub unlock_key: Option<String>,
    /// Ask for the answer in a one-time wrapping token that lives so long; also from VAULT_WRAP_TTL.
    #[arg(long, global = true, value_name = "duration", value_parser = super::args::duration, help_heading = HTTP)]
    pub wrap_ttl: Option<std::time::Duration>,
    /// Print one field only, without a line end when standard output is no terminal.
    #[arg(long, global = true, value_name = "string", help_heading = OUTPUT)]
    pub field: Option<String>,
    /// Print as "table", "json", "yaml" or "pretty"; `read` also knows "raw". Also from VAULT_FORMAT.
    #[arg(long, global = true, value_name = "string", help_heading = OUTPUT)]
    pub format: Option<String>,
    /// Print more details; also from VAULT_DETAILED.
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub detailed: bool,
}

/// What a command has at hand.
pub struct Context {
    /// Production's world.
    pub runtime: Runtime,
    /// What the program is called.
    pub brand: Brand,
    /// The environment.
    pub env: Env,
    /// Flags that every command takes.
    pub global: Global,
    /// How to print.
    pub format: Format,
}

impl Context {
    /// Checks the flags that every command takes.
    pub fn new(runtime: Runtime, brand: Brand, env: Env, global: Global) -> Result<Context, Failure> {
        let format = global.format.clone().or_else(|| env.setting("FORMAT"));
        let format = Format::parse(format.as_deref().unwrap_or("table"))?;
        Ok(Context { runtime, brand, env, global, format })
    }

    /// The one field to print.
    pub fn field(&self) -> Option<&str> {
        self.global.field.as_deref().filter(|field| !field.is_empty())
    }

    /// Whether to print more details.
    pub fn detailed(&self) -> bool {
        self.global.detailed || self.env.setting("DETAILED").is_some_and(|v| super::args::boolean(&v) == Ok(true))
    }

    /// A client by flags, environment and token helper, in this order.
    pub async fn client(&self) -> Result<Client, Failure> {
        let config = ClientConfig::from_env(|name| self.env.named(name));
        let mut config = config.map_err(|reason| Failure::server(format!("failed to read environment: {reason}")))?;
        if config.proxies.all.is_none() {
            config.proxies = Proxies::from_env(|name| self.env.var(name));
        }
        // People see a failure at once and repeat the command themselves; scripts ask for retries.
        if self.env.setting("MAX_RETRIES").is_none() {
            config.max_retries = 0;
        }
        self.flags_to(&mut config)?;
        if config.token.is_empty() {
            config.token = token_helper::get(&self.runtime, &self.env).await?;
        }
        config.namespace = config.namespace.take().map(|name| format!("{}/", name.trim_matches('/')));
        config.namespace = config.namespace.take().filter(|name| name != "/" && name != "root/");
        let client = Client::new(self.runtime.clone(), config);
        client.prepare().await.map_err(|error| self.tls_failure(&error))?;
        Ok(client)
    }

    /// What is wrong with the TLS files is said of who named them: flags or the environment.
    fn tls_failure(&self, error: &ClientError) -> Failure {
        let global = &self.global;
        let flags = [&global.ca_cert, &global.ca_path, &global.client_cert, &global.client_key];
        let message = error.to_string();
        match message.strip_prefix("failed to setup TLS config: ") {
            Some(reason) if flags.iter().all(|flag| flag.is_none()) => {
                Failure::server(format!("failed to read environment: {reason}"))
            }
            _ => Failure::server(message),
        }
    }

    fn flags_to(&self, config: &mut ClientConfig) -> Result<(), Failure> {
        let global = &self.global;
        let set = |to: &mut Option<std::path::PathBuf>, from: &Option<String>| {
            if let Some(path) = from {
                *to = Some(path.into());
            }
        };
        if let Some(address) = global.agent_address.as_ref().or(global.address.as_ref()) {
            config.address = address.clone();
        }
        set(&mut config.tls.ca_cert, &global.ca_cert);
        set(&mut config.tls.ca_path, &global.ca_path);
        set(&mut config.tls.client_cert, &global.client_cert);
        set(&mut config.tls.client_key, &global.client_key);
        config.tls.server_name = global.tls_server_name.clone().or(config.tls.server_name.take());
        config.tls.skip_verify |= global.tls_skip_verify;
        config.disable_redirects |= global.disable_redirects;
        config.namespace = global.namespace.clone().or(config.namespace.take());
        config.policy_override = global.policy_override;
        if !global.mfa.is_empty() {
            config.mfa = global.mfa.clone();
        }
        if let Some(ttl) = global.wrap_ttl {
            config.wrap_ttl = (!ttl.is_zero()).then(|| crate::duration::go_text(ttl));
        }
        for (name, value) in &global.header {
            if name.to_ascii_lowercase().starts_with("x-vault-") {
                return Err(Failure::server(format!(
                    "failed to setup Headers[{name}]: Header starting by 'X-Vault-' are for internal usage only"
                )));
            }
            config.headers.push((name.clone(), value.clone()));
        }
        if let Some(key) = &global.unlock_key {
            config.headers.push(("X-Vault-Namespace-Unlock-Key".to_string(), key.clone()));
        }
        Ok(())
    }

    /// Sends a request, or prints what it would be. The failure's exit code is 2, its message the error's text.
    pub async fn send(&self, client: &Client, request: ApiRequest) -> Result<ApiResponse, Failure> {
        self.instead(client, &request)?;
        progress::during(WAITING, client.send(request)).await.map_err(failure)
    }

    /// As [`Context::send`], for paths that may not be there.
    pub async fn logical(&self, client: &Client, request: ApiRequest) -> Result<Option<ApiSecret>, Failure> {
        self.instead(client, &request)?;
        progress::during(WAITING, client.logical(request)).await.map_err(failure)
    }

    /// As [`Context::send`], for writes. A 404 may carry warnings, which are printed after the error.
    pub async fn write(&self, client: &Client, request: ApiRequest) -> Result<Option<ApiSecret>, Failure> {
        self.instead(client, &request)?;
        match progress::during(WAITING, client.send(request)).await {
            Ok(response) => Ok(response.secret()),
            Err(ClientError::Api(error)) => Err(api_failure(self, &error)),
            Err(error) => Err(failure(error)),
        }
    }

    /// As [`Context::send`], with the body as `T`.
    pub async fn typed<T: serde::de::DeserializeOwned>(
        &self,
        client: &Client,
        request: ApiRequest,
    ) -> Result<T, Failure> {
        self.send(client, request).await?.parse().map_err(failure)
    }

    /// `-output-curl-string` and `-output-policy` end the command here.
    fn instead(&self, client: &Client, request: &ApiRequest) -> Result<(), Failure> {
        let text = if self.global.output_curl_string {
            curl(client, request, &self.brand)
        } else if self.global.output_policy {
            policy(request)
        } else {
            return Ok(());
        };
        Err(Failure { instead: Some(text), ..Failure::default() })
    }

    /// Whether `-output-curl-string` or `-output-policy` was given.
    pub fn only_shows(&self) -> bool {
        self.global.output_curl_string || self.global.output_policy
    }
}

/// A client's error as a failure with exit code 2.
pub fn failure(error: ClientError) -> Failure {
    Failure::server(error.to_string())
}

fn api_failure(context: &Context, error: &ApiError) -> Failure {
    let warnings = error.secret().map(|secret| super::output::warnings(secret.warnings(), &context.brand));
    let mut message = error.to_string();
    if let Some(warnings) = warnings.filter(|text| !text.is_empty()) {
        message = format!("{message}\n{warnings}");
    }
    Failure::server(message)
}

fn curl(client: &Client, request: &ApiRequest, brand: &Brand) -> String {
    let mut text = "curl ".to_string();
    if client.config().tls.skip_verify {
        text.push_str("--insecure ");
    }
    if request.method != Method::GET {
        text.push_str(&format!("-X {} ", request.method));
    }
    if let Some(path) = &client.config().tls.ca_cert {
        text.push_str(&format!("--cacert '{}' ", path.display()));
    }
    if let Some(name) = &client.config().tls.server_name {
        text.push_str(&format!("--connect-to {name} "));
    }
    let mut headers = client.headers(request);
    headers.sort();
    for (name, value) in headers {
        match name.as_str() {
            // A command line that gets passed around should not show the token.
            "X-Vault-Token" => text.push_str(&format!("-H \"{name}: $({} print token)\" ", brand.program)),
            _ => text.push_str(&format!("-H \"{name}: {}\" ", value.replace('"', "\\\""))),
        }
    }
    if let Some(body) = &request.body {
        text.push_str(&format!("-d '{}' ", body.to_string().replace('\'', "'\"'\"'")));
    }
    text.push_str(&format!("\"{}\"", client.url(request)));
    text
}

fn policy(request: &ApiRequest) -> String {
    let listing = request.query.iter().any(|(key, value)| key == "list" && value == "true");
    let capabilities: &[&str] = match request.method.as_str() {
        "GET" if listing => &["list"],
        "GET" | "HEAD" => &["read"],
        "DELETE" => &["delete"],
        "PATCH" => &["patch"],
        "LIST" => &["list"],
        _ => &["create", "update"],
    };
    let sudo = root_paths::sudo_required(&request.path).then_some("sudo");
    let capabilities: Vec<String> = capabilities.iter().copied().chain(sudo).map(|name| format!("{name:?}")).collect();
    format!("path {:?} {{\n  capabilities = [{}]\n}}", request.path, capabilities.join(", "))
}

const WAITING: &str = "Waiting for the server";
const HTTP: &str = "HTTP Options";
const OUTPUT: &str = "Output Options";
