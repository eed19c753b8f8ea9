//! Where a KV secret is: which mount, which version of the engine, which path in it.

use serde_json::Value;

use super::clean_path;
use super::kv::Mount;
use crate::cli::context::{Context, failure};
use crate::cli::{EXIT_SERVER, Failure, output};
use crate::client::{ApiRequest, Client, ClientError};

/// A secret's place: which mount, which version of the engine, which path in it.
pub struct Place {
    /// With its slash.
    mount: String,
    /// Whether the mount is version 2.
    pub v2: bool,
    given: String,
    by_flag: bool,
}

impl Place {
    /// Asks the server what `path` belongs to.
    pub async fn find(context: &Context, client: &Client, mount: &Mount, path: &str) -> Result<Place, Failure> {
        let (path, flag) = (clean_path(path), clean_path(&mount.mount));
        let by_flag = !flag.is_empty();
        let (mount, v2) = detect(context, client, if by_flag { &flag } else { &path }).await?;
        let given = if by_flag && v2 { join(&[&mount, &path]) } else { path };
        Ok(Place { mount, v2, given, by_flag })
    }

    /// The API's path: with `kind` (`data`, `metadata`, ...) after the mount for version 2.
    pub fn path(&self, kind: &str) -> String {
        if !self.v2 {
            return if self.by_flag { join(&[&self.mount, &self.given]) } else { self.given.clone() };
        }
        if self.given == self.mount.trim_end_matches('/') {
            return join(&[&self.mount, kind]);
        }
        join(&[&self.mount, kind, self.given.strip_prefix(&self.mount).unwrap_or(&self.given)])
    }
}

/// The mount of a path and whether it is KV version 2.
async fn detect(context: &Context, client: &Client, path: &str) -> Result<(String, bool), Failure> {
    let request = ApiRequest::get(format!("sys/internal/ui/mounts/{path}"));
    let plain = client.config().wrap_ttl.is_some().then(|| client.with(|config| config.wrap_ttl = None));
    let answer = match plain.as_ref().unwrap_or(client).send(request).await {
        Ok(response) => response.secret().unwrap_or_default(),
        // A server that does not know the question has version 1 only.
        Err(error) if error.status() == Some(404) => return Ok((String::new(), false)),
        Err(error) => {
            if context.only_shows() && matches!(error, ClientError::Api(_)) {
                output::err(&format!(
                    "This output flag requires the success of a preflight request \nto determine the version of a KV secrets \
                     engine. Please \nre-run this command with a token with read access to {path}. \nNote that if the path \
                     you are trying to reach is a KV v2 path, your token's policy must \nallow read access to that path in \
                     the format 'mount-path/data/foo', not just 'mount-path/foo'."
                ));
                return Err(Failure { code: EXIT_SERVER, ..Failure::default() });
            }
            return Err(failure(error));
        }
    };
    let mount = answer.get("path").and_then(Value::as_str).unwrap_or_default().to_string();
    let version = answer.get("options").and_then(|options| options.get("version")).and_then(Value::as_str);
    Ok((mount, version == Some("2")))
}

/// Joins the parts of a path with one slash between, none around, and without empty, `.` and `..` parts.
fn join(parts: &[&str]) -> String {
    let mut clean: Vec<&str> = Vec::new();
    for part in parts.iter().flat_map(|part| part.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_get_their_kind_after_the_mount() {
        let path = |mount: &str, given: &str, v2: bool, by_flag: bool, kind: &str| {
            Place { mount: mount.to_string(), v2, given: given.to_string(), by_flag }.path(kind)
        };
        assert_eq!(path("secret/", "secret/a/b", true, false, "data"), "secret/data/a/b");
        assert_eq!(path("secret/", "secret", true, false, "metadata"), "secret/metadata");
        assert_eq!(path("secret/", "secret/data/a", true, false, "data"), "secret/data/data/a");
        assert_eq!(path("kv1/", "kv1/a", false, false, "data"), "kv1/a");
        assert_eq!(path("kv1/", "a", false, true, "data"), "kv1/a");
        assert_eq!(join(&["a//", "/b/../c", "."]), "a/c");
    }
}
