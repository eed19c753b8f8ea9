//! `sys/mounts` and `sys/auth`: enable, disable, list, tune.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::unsupported_path;
use crate::barrier::BarrierTxn;
use crate::core::authorize::Authorized;
use crate::core::mount::{Class, Mount, Router, Tuned};
use crate::core::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::limits;
use crate::storage::schema;

impl Core {
    /// Serves one of the two mount tables.
    pub(crate) async fn sys_mounts(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
        class: Class,
        rest: &str,
    ) -> Result<Response> {
        use Operation::{Create, Delete, Read, Update};
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        let operation = authorized.operation;
        if rest.is_empty() {
            return match operation {
                Read => Ok(self.list_mounts(&router, class)),
                _ => Err(Error::Unsupported),
            };
        }
        if let Some(path) = rest.strip_suffix("/tune") {
            let path = full_path(class, path);
            return match operation {
                Read => self.read_tune(&router, &path),
                Update | Create => self.write_tune(&router, txn, request, &path),
                _ => Err(Error::Unsupported),
            };
        }
        let path = full_path(class, rest);
        match operation {
            Read => self.read_mount(&router, class, &path),
            Update | Create => self.enable(&router, txn, request, class, path).await,
            Delete => self.disable(&router, txn, class, &path),
            _ => Err(Error::Unsupported),
        }
    }

    fn list_mounts(&self, router: &Router, class: Class) -> Response {
        let shown = router.all(class).map(|found| (found.record.shown_path().to_string(), found.record.shown()));
        Response { data: Some(shown.collect()), ..Response::default() }.flat()
    }

    fn read_mount(&self, router: &Router, class: Class, path: &str) -> Result<Response> {
        match router.at(path) {
            Some(found) => Ok(Response::data(found.record.shown()).flat()),
            None => Err(Error::invalid(match class {
                Class::Secret => format!("No secret engine mount at {path}"),
                Class::Auth => format!("No auth engine at {}", path.trim_start_matches("auth/")),
            })),
        }
    }

    /// Makes a mount: its record alone, since its data is under its UUID.
    async fn enable(
        &self,
        router: &Router,
        txn: &mut BarrierTxn,
        request: &Request,
        class: Class,
        path: String,
    ) -> Result<Response> {
        let kind = request.text("type")?.unwrap_or_default();
        if kind.is_empty() {
            return Err(Error::invalid("backend type must be specified as a string"));
        }
        let shown = path.strip_prefix("auth/").filter(|_| class == Class::Auth).unwrap_or(&path);
        if class == Class::Secret && ["auth/", "sys/"].iter().any(|built_in| path.starts_with(built_in))
            || ["cubbyhole/", "identity/", "audit/"].contains(&path.as_str())
        {
            return Err(Error::invalid(format!("cannot mount \"{shown}\"")));
        }
        let (kind, version) = match kind.as_str() {
            "kv-v1" => ("kv".to_string(), Some("1")),
            "kv-v2" => ("kv".to_string(), Some("2")),
            "generic" => ("kv".to_string(), Some("1")),
            _ => (kind, None),
        };
        if class == Class::Auth || !crate::engines::catalog::KINDS.contains(&kind.as_str()) {
            return Err(Error::invalid(format!("plugin not found in the catalog: {kind}")));
        }
        router.check_free(&path)?;
        let mut options = request.text_map("options")?.unwrap_or_default();
        if let Some(version) = version {
            options.insert("version".into(), version.into());
        }
        crate::engines::catalog::check_options(&kind, &options)?;
        let entropy = &self.runtime.entropy;
        let mut mount = Mount {
            uuid: entropy.bytes(),
            class,
            accessor: format!("{kind}_{}", hex::encode(entropy.bytes::<4>())),
            path,
            kind,
            description: request.text("description")?.unwrap_or_default(),
            options,
            default_lease_ttl: Duration::ZERO,
            max_lease_ttl: Duration::ZERO,
            tune: BTreeMap::new(),
            local: request.flag("local")?.unwrap_or(false),
            seal_wrap: request.flag("seal_wrap")?.unwrap_or(false),
            namespace: schema::NAMESPACE_ROOT,
            disabling: false,
        };
        if let Some(Value::Object(config)) = request.data.get("config") {
            self.tune(&mut mount, config)?;
        }
        // The whole table joins the read set: of two mounts at conflicting paths one is refused.
        let from = schema::key(schema::Kind::Mount, b"");
        let others = txn.scan_keys(&from, &schema::prefix_end(&from), limits::MOUNTS_MAX).await?;
        if others.len() >= limits::MOUNTS_MAX as usize {
            return Err(Error::invalid(format!("there are {} mounts already", limits::MOUNTS_MAX)));
        }
        txn.put(mount.key(), &mount.encode());
        Ok(Response::empty())
    }

    /// Takes the mount out of the table; its data is deleted in bounded steps afterwards.
    fn disable(&self, router: &Router, txn: &mut BarrierTxn, class: Class, path: &str) -> Result<Response> {
        let Some(found) = router.at(path) else { return Ok(Response::empty()) };
        if found.record.is_built_in() {
            let shown = found.record.shown_path();
            return Err(Error::invalid(match class {
                Class::Secret => format!("cannot unmount \"{shown}\""),
                Class::Auth => "token credential backend cannot be disabled".into(),
            }));
        }
        let disabled = Mount { disabling: true, ..Mount::clone(&found.record) };
        txn.below().expect(&disabled.key(), found.revision);
        txn.put(disabled.key(), &disabled.encode());
        Ok(Response::empty())
    }

    fn read_tune(&self, router: &Router, path: &str) -> Result<Response> {
        let found = router.at(path).ok_or_else(|| no_sysview(path))?;
        let mount = &found.record;
        let mut data = mount.config(self.settings.default_lease_ttl, self.settings.max_lease_ttl);
        data.insert("description".into(), mount.description.clone().into());
        if !mount.options.is_empty() {
            data.insert("options".into(), serde_json::json!(mount.options));
        }
        Ok(Response { data: Some(data), ..Response::default() }.flat())
    }

    fn write_tune(&self, router: &Router, txn: &mut BarrierTxn, request: &Request, path: &str) -> Result<Response> {
        let found = router.at(path).ok_or_else(|| no_sysview(path))?;
        let mut mount = Mount::clone(&found.record);
        self.tune(&mut mount, &request.data)?;
        if let Some(description) = request.text("description")? {
            mount.description = description;
        }
        if let Some(options) = request.text_map("options")? {
            let mut merged = mount.options.clone();
            merged.extend(options);
            if mount.options.get("version").is_some_and(|old| old == "2") && merged["version"] != "2" {
                return Err(Error::invalid("cannot downgrade mount from version 2"));
            }
            crate::engines::catalog::check_options(&mount.kind, &merged)?;
            mount.options = merged;
        }
        txn.below().expect(&mount.key(), found.revision);
        txn.put(mount.key(), &mount.encode());
        Ok(Response::empty())
    }

    /// Takes over the keys of `config`.
    fn tune(&self, mount: &mut Mount, config: &Map<String, Value>) -> Result<()> {
        let fields = Request { data: config.clone(), ..empty_request() };
        if let Some(ttl) = system_or_duration(&fields, "default_lease_ttl")? {
            mount.default_lease_ttl = ttl;
        }
        if let Some(ttl) = system_or_duration(&fields, "max_lease_ttl")? {
            mount.max_lease_ttl = ttl;
        }
        let max = if mount.max_lease_ttl.is_zero() { self.settings.max_lease_ttl } else { mount.max_lease_ttl };
        if mount.default_lease_ttl > max {
            return Err(Error::invalid("given default lease TTL greater than given max lease TTL"));
        }
        for name in ["audit_non_hmac_request_keys", "audit_non_hmac_response_keys", "passthrough_request_headers"]
            .into_iter()
            .chain(["allowed_response_headers", "allowed_managed_keys"])
        {
            if let Some(list) = fields.list(name)? {
                mount.tune.insert(name.into(), Tuned::List(list));
            }
        }
        for name in ["listing_visibility", "token_type", "plugin_version"] {
            if let Some(text) = fields.text(name)?.filter(|text| !text.is_empty()) {
                if name == "token_type" && mount.class == Class::Secret {
                    return Err(Error::invalid("'token_type' can only be modified on auth mounts"));
                }
                if name == "listing_visibility" && !["unauth", "hidden"].contains(&text.as_str()) {
                    return Err(Error::invalid(format!("invalid listing_visibility {text}")));
                }
                mount.tune.insert(name.into(), Tuned::Text(text));
            }
        }
        if let Some(flag) = fields.flag("force_no_cache")? {
            mount.tune.insert("force_no_cache".into(), Tuned::Flag(flag));
        }
        Ok(())
    }

    /// `sys/internal/ui/*`: what a client may know of the mounts that it can use.
    pub(crate) async fn sys_internal(
        &self,
        unsealed: &Unsealed,
        authorized: &Authorized,
        rest: &str,
    ) -> Result<Response> {
        if authorized.operation != Operation::Read {
            return Err(Error::Unsupported);
        }
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        match rest.strip_prefix("ui/") {
            Some("resultant-acl") => Ok(Response::data(authorized.acl.resultant())),
            Some("mounts") => Ok(self.visible_mounts(&router, Some(authorized))),
            Some(path) if path.starts_with("mounts/") => {
                self.mount_of(&router, authorized, path.trim_start_matches("mounts/"))
            }
            _ => Err(unsupported_path()),
        }
    }

    /// Mounts that the caller may use, or that say they may be shown to anybody.
    pub(crate) fn visible_mounts(&self, router: &Router, authorized: Option<&Authorized>) -> Response {
        let visible = |mount: &Mount| {
            mount.tune.get("listing_visibility") == Some(&Tuned::Text("unauth".into()))
                || authorized.is_some_and(|authorized| authorized.acl.reaches(&mount.path))
        };
        let table = |class| -> Map<String, Value> {
            let mounts = router.all(class).filter(|found| visible(&found.record));
            let shown = |mount: &Mount| match authorized {
                Some(_) => mount.shown(),
                None => mount.shown_to_anybody(),
            };
            mounts.map(|found| (found.record.shown_path().to_string(), shown(&found.record))).collect()
        };
        Response::data(serde_json::json!({ "auth": table(Class::Auth), "secret": table(Class::Secret) }))
    }

    fn mount_of(&self, router: &Router, authorized: &Authorized, path: &str) -> Result<Response> {
        let denied = || {
            let path = format!("{}/", path.trim_end_matches('/'));
            let text = "preflight capability check returned 403, please ensure client's policies grant access to path";
            Error::Forbidden(format!("{text} \"{path}\""))
        };
        let (found, _) = router.route(path).ok_or_else(denied)?;
        if !authorized.acl.reaches(&found.record.path) {
            return Err(denied());
        }
        let mut shown = found.record.shown();
        shown["path"] = found.record.shown_path().into();
        Ok(Response::data(shown))
    }

    /// Mounts that were disabled and still have data.
    pub(crate) async fn disabling_mounts(&self, unsealed: &Unsealed) -> Result<Vec<Arc<Mount>>> {
        let router = self.router.get(self.raft.state(), &unsealed.keyring).await?;
        Ok(router.disabling.iter().map(|found| Arc::clone(&found.record)).collect())
    }
}

fn full_path(class: Class, path: &str) -> String {
    let path = path.trim_end_matches('/');
    match class {
        Class::Secret => format!("{path}/"),
        Class::Auth => format!("auth/{path}/"),
    }
}

fn no_sysview(path: &str) -> Error {
    Error::invalid(format!("cannot fetch sysview for path \"{path}\""))
}

/// A duration; `system` and an empty text are the system's (zero).
fn system_or_duration(fields: &Request, name: &str) -> Result<Option<Duration>> {
    match fields.text(name)?.as_deref() {
        Some("" | "system") => Ok(Some(Duration::ZERO)),
        _ => fields.duration(name),
    }
}

fn empty_request() -> Request {
    Request {
        id: String::new(),
        operation: Operation::Update,
        path: String::new(),
        data: Map::new(),
        token: None,
        wrap_ttl: None,
        client: crate::core::Client::default(),
        headers: BTreeMap::new(),
    }
}
