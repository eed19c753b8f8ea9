//! `sys/internal/specs/openapi`: the API as an OpenAPI 3.0 document, made from the tables of routes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Map, Value, json};

use super::{Ask, describe, public, ui};
use crate::core::authorize::Authorized;
use crate::core::mount::{Class, Mount, Router};
use crate::core::sealing::bare;
use crate::core::{Core, Error, Operation, Raw, Request, Response, Result};
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::policy::root_paths::sudo_required;

/// The routes.
pub(super) static ROUTES: &[Route] = &[Route {
    pattern: "internal/specs/openapi",
    about: "The API of what is mounted, as an OpenAPI 3.0 document.",
    verbs: &[
        Verb::new(Operation::Read, "Makes the document.", &[]),
        Verb::new(Operation::Update, "Makes the document.", &[]),
    ],
    fields: &[
        Field::new("generic_mount_paths", Kind::Flag, "A parameter stands for the path of each mount."),
        Field::new("context", Kind::Text, "Accepted; the document is the same."),
    ],
}];

/// Work that goes on when it is answered.
const BEGUN: &[&str] = &["leases/tidy", "tidy"];

/// What an answer has in its `auth`.
const AUTH: &[Field] = &[
    Field::new("client_token", Kind::Text, "The token."),
    Field::new("accessor", Kind::Text, "Stands for the token where no secret is to be told; empty for a batch token."),
    Field::new("policies", Kind::List, "All policies."),
    Field::new("token_policies", Kind::List, "The token's own policies."),
    Field::new("metadata", Kind::Map, "What was said of the token when it was made."),
    Field::new("lease_duration", Kind::Integer, "Seconds that it lives, 0 for ever."),
    Field::new("renewable", Kind::Flag, "Whether it can be renewed."),
    Field::new("entity_id", Kind::Text, "The entity of the caller, empty for none."),
    Field::new("token_type", Kind::Text, "`service` or `batch`."),
    Field::new("orphan", Kind::Flag, "Whether it outlives the token that made it."),
    Field::new("num_uses", Kind::Integer, "Requests that it is good for, 0 for any number."),
    Field::new("mfa_requirement", Kind::Any, "Null: nothing more is required."),
];

/// What an answer has in its `wrap_info`.
const WRAP_INFO: &[Field] = &[
    Field::new("token", Kind::Text, "The token that the answer can be had for, once."),
    Field::new("accessor", Kind::Text, "That token's accessor."),
    Field::new("ttl", Kind::Integer, "Seconds that the token lives."),
    Field::new("creation_time", Kind::Text, "When it was wrapped."),
    Field::new("creation_path", Kind::Text, "The path that was asked."),
    Field::new("wrapped_accessor", Kind::Text, "The accessor of the token in the answer, if there is one."),
];

impl Core {
    /// Serves it.
    pub(super) async fn sys_openapi(&self, ask: Ask<'_>) -> Result<Response> {
        let router = self.router.get(self.raft.state(), &ask.unsealed.keyring).await?;
        self.openapi(&router, Some(ask.authorized), ask.request)
    }

    /// The document of the mounts that the caller may know of; those of the server itself are no secret.
    pub(super) fn openapi(&self, router: &Router, who: Option<&Authorized>, request: &Request) -> Result<Response> {
        let generic = request.flag("generic_mount_paths")?.unwrap_or(false);
        let mut document = Document::default();
        for found in router.all(Class::Auth).chain(router.all(Class::Secret)) {
            let mount = &found.record;
            if mount.is_built_in() || ui::is_visible(mount, who) {
                let place = if generic { Place::generic(mount) } else { Place::at(mount) };
                describe::routes_of(mount).into_iter().for_each(|route| document.add(&place, route));
            }
        }
        Ok(bare(document.finish()))
    }
}

/// The documents for who has no token, as long as no mount changes: anybody may ask for them, and making one is work.
#[derive(Default)]
pub(crate) struct Documents(Mutex<[Option<Kept>; 2]>);

/// The router that a document was made of, and the document.
type Kept = (Weak<Router>, Vec<u8>);

impl Documents {
    /// The document that was made of this very router, or a new one.
    pub(super) fn get(
        &self,
        router: &Arc<Router>,
        request: &Request,
        make: impl FnOnce() -> Result<Response>,
    ) -> Result<Response> {
        let at = usize::from(request.flag("generic_mount_paths")?.unwrap_or(false));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let body = match &kept[at] {
            Some((of, document)) if of.ptr_eq(&Arc::downgrade(router)) => document.clone(),
            _ => {
                let raw = make()?.raw;
                let made = raw.ok_or_else(|| Error::Internal("the document has an envelope".into()))?.body;
                kept[at] = Some((Arc::downgrade(router), made.clone()));
                made
            }
        };
        let raw = Raw { content_type: "application/json", body, status: 200 };
        Ok(Response { raw: Some(raw), ..Response::default() })
    }
}

/// The document of some of a mount's routes, relative to the mount, as help shows it.
pub(super) fn of_routes(mount: &Mount, routes: &[&'static Route]) -> Value {
    let mut document = Document::default();
    let place = Place { prefix: "/".into(), parameter: None, ..Place::at(mount) };
    routes.iter().for_each(|route| document.add(&place, route));
    document.finish()
}

/// Where a mount is, for the document.
struct Place {
    /// Before the pattern: `/secret/`.
    prefix: String,
    /// The parameter in the prefix.
    parameter: Option<String>,
    /// Before operation ids.
    name: String,
    tag: &'static str,
    is_system: bool,
    /// As policies see the mount.
    path: String,
}

impl Place {
    fn at(mount: &Mount) -> Place {
        Place {
            prefix: format!("/{}", mount.path),
            parameter: None,
            name: slug(&mount.path),
            tag: match (mount.kind.as_str(), mount.class) {
                ("system", _) => "system",
                ("identity", _) => "identity",
                (_, Class::Auth) => "auth",
                (_, Class::Secret) => "secrets",
            },
            is_system: mount.kind == "system",
            path: mount.path.clone(),
        }
    }

    fn generic(mount: &Mount) -> Place {
        let here = Place::at(mount);
        if mount.is_built_in() {
            return here;
        }
        let version = mount.options.get("version").map(|version| format!("_v{version}")).unwrap_or_default();
        let kind = format!("{}{version}", mount.kind.replace('-', "_"));
        let parameter = format!("{kind}_mount_path");
        let prefix = if mount.class == Class::Auth { "/auth/" } else { "/" };
        Place { prefix: format!("{prefix}{{{parameter}}}/"), parameter: Some(parameter), name: slug(&kind), ..here }
    }
}

/// A document that is being made.
#[derive(Default)]
struct Document {
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
    ids: BTreeSet<String>,
}

impl Document {
    fn add(&mut self, place: &Place, route: &'static Route) {
        let path = format!("{}{}", place.prefix, route.pattern.replace("...}", "}"));
        if self.paths.contains_key(&path) {
            return;
        }
        let names: Vec<&str> = route.param_names().collect();
        let mut item = self.head(place, route, &names);
        let find = |operation| route.verbs.iter().find(|verb| verb.operation == operation);
        let (read, list) = (find(Operation::Read), find(Operation::List));
        for (method, verb) in [
            ("get", read.or(list)),
            ("post", find(Operation::Update)),
            ("patch", find(Operation::Patch)),
            ("delete", find(Operation::Delete)),
        ] {
            let Some(verb) = verb else { continue };
            let both = verb.operation == Operation::Read && list.is_some();
            item.insert(method.into(), self.operation(place, route, verb, list.filter(|_| both)));
        }
        self.paths.insert(path, item.into());
        // A list of a whole mount or folder has nothing where its parameter would be.
        if let (Some(list), Some(above)) = (list, route.pattern.rsplit_once('{').map(|(above, _)| above))
            && route.pattern.ends_with("...}")
        {
            let path = format!("{}{above}", place.prefix);
            let bare_path = path.trim_end_matches('/').to_string();
            if !self.paths.contains_key(&path) && !self.paths.contains_key(&bare_path) {
                let above = &names[..names.len() - 1];
                let mut item = self.head(place, route, above);
                item.insert("get".into(), self.operation(place, route, list, None));
                self.paths.insert(path, item.into());
            }
        }
    }

    /// What holds for all operations of a path.
    fn head(&self, place: &Place, route: &Route, names: &[&str]) -> Map<String, Value> {
        let mut item = Map::new();
        item.insert("description".into(), route.about.into());
        let about = |name: &str| route.fields.iter().find(|field| field.name == name).map_or("", |field| field.about);
        let parameter = |name: &str, about: &str| json!({ "name": name, "in": "path", "required": true, "description": about, "schema": { "type": "string" } });
        let of_mount = place.parameter.iter().map(|name| parameter(name, "Where it is mounted."));
        let all: Vec<Value> = of_mount.chain(names.iter().map(|name| parameter(name, about(name)))).collect();
        if !all.is_empty() {
            item.insert("parameters".into(), all.into());
        }
        if sudo_required(&format!("{}{}", place.path, route.pattern)) {
            item.insert("x-vault-sudo".into(), true.into());
        }
        if place.is_open(route) {
            item.insert("x-vault-unauthenticated".into(), true.into());
        }
        item
    }

    /// `list`: what the operation does as well, if asked to.
    fn operation(&mut self, place: &Place, route: &'static Route, verb: &Verb, list: Option<&Verb>) -> Value {
        let id = self.id(place, route, verb.operation);
        let mut operation = Map::new();
        operation.insert("summary".into(), verb.about.into());
        operation.insert("operationId".into(), id.clone().into());
        operation.insert("tags".into(), json!([place.tag]));
        if place.is_open(route) {
            operation.insert("security".into(), json!([]));
        }
        match verb.operation {
            Operation::Update | Operation::Patch => {
                if let Some(body) = self.body(route, verb.operation, &id) {
                    operation.insert("requestBody".into(), body);
                }
            }
            _ => {
                let query = query(route, verb, list.is_some());
                if !query.is_empty() {
                    operation.insert("parameters".into(), query.into());
                }
            }
        }
        operation.insert("responses".into(), self.responses(place, route, verb, list, &id));
        operation.into()
    }

    /// A name that no other operation has.
    fn id(&mut self, place: &Place, route: &Route, operation: Operation) -> String {
        let verb = match operation {
            Operation::Read | Operation::Help => "read",
            Operation::List => "list",
            Operation::Create | Operation::Update => "write",
            Operation::Patch => "patch",
            Operation::Delete => "delete",
        };
        let pattern = slug(route.pattern);
        let dash = if pattern.is_empty() { "" } else { "-" };
        let wish = format!("{}-{verb}{dash}{pattern}", place.name);
        let mut id = wish.clone();
        let mut number = 1;
        while !self.ids.insert(id.clone()) {
            number += 1;
            id = format!("{wish}-{number}");
        }
        id
    }

    fn body(&mut self, route: &Route, operation: Operation, id: &str) -> Option<Value> {
        let in_path: Vec<&str> = route.param_names().collect();
        let in_body: Vec<&Field> = route.fields.iter().filter(|field| !in_path.contains(&field.name)).collect();
        if in_body.is_empty() {
            return None;
        }
        let name = format!("{}Request", camel(id));
        self.schemas.insert(name.clone(), object(in_body.into_iter(), false));
        let media = if operation == Operation::Patch { "application/merge-patch+json" } else { "application/json" };
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        Some(json!({ "content": { media: { "schema": schema } } }))
    }

    fn responses(&mut self, place: &Place, route: &Route, verb: &Verb, list: Option<&Verb>, id: &str) -> Value {
        let with_body = !verb.answer.is_empty() || matches!(verb.operation, Operation::Read | Operation::List);
        let mut responses = Map::new();
        let schema = match (with_body, verb.answer.is_empty()) {
            (_, true) => "Answer".to_string(),
            _ => {
                let name = format!("{}Response", camel(id));
                let is_new = |field: &&Field| verb.answer.iter().all(|known| known.name != field.name);
                let more = list.iter().flat_map(|list| list.answer).filter(is_new);
                let data = object(verb.answer.iter().chain(more), true);
                let is_one_of = |patterns: &[&str]| place.is_system && patterns.contains(&route.pattern);
                let schema = match () {
                    () if is_one_of(public::BARE) => data,
                    () if is_one_of(public::FLAT) => flat(data),
                    () => envelope(data),
                };
                self.schemas.insert(name.clone(), schema);
                name
            }
        };
        let mut content = json!({ "application/json": {
            "schema": { "$ref": format!("#/components/schemas/{schema}") }
        } });
        if place.is_system && route.pattern == "metrics" {
            content["text/plain"] = json!({ "schema": { "type": "string" } });
        }
        if BEGUN.contains(&route.pattern) {
            responses.insert("202".into(), json!({ "description": "It was begun and goes on.", "content": content }));
        }
        responses.insert("200".into(), json!({ "description": verb.about, "content": content }));
        if !with_body {
            responses.insert("204".into(), json!({ "description": "Done; there is nothing to tell." }));
        }
        responses.insert("default".into(), json!({ "$ref": "#/components/responses/Failure" }));
        responses.into()
    }

    fn finish(mut self) -> Value {
        self.schemas.insert("Answer".into(), envelope(json!({ "type": "object", "additionalProperties": true })));
        for (name, fields) in [("Auth", AUTH), ("WrapInfo", WRAP_INFO)] {
            self.schemas.insert(name.into(), object(fields.iter(), true));
        }
        self.schemas.insert(
            "Errors".into(),
            json!({
                "type": "object",
                "properties": { "errors": { "type": "array", "items": { "type": "string" } } },
            }),
        );
        json!({
            "openapi": "3.0.2",
            "info": {
                "title": "Holdfast API",
                "description": "The HTTP API of Holdfast, which clients of Vault speak.",
                "version": crate::VERSION,
                "license": { "name": env!("CARGO_PKG_LICENSE") },
            },
            "servers": [{ "url": "/v1" }],
            "security": [{ "token": [] }],
            "paths": self.paths,
            "components": {
                "securitySchemes": { "token": { "type": "apiKey", "in": "header", "name": "X-Vault-Token" } },
                "responses": {
                    "Failure": {
                        "description": "What was wrong.",
                        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Errors" } } },
                    },
                },
                "schemas": self.schemas,
            },
        })
    }
}

impl Place {
    fn is_open(&self, route: &Route) -> bool {
        self.is_system && public::OPEN.contains(&route.pattern)
    }
}

/// The fields that a request without a body may have, in its query. A field that the answer shows is one of writes.
fn query(route: &Route, verb: &Verb, both: bool) -> Vec<Value> {
    let mut all = Vec::new();
    if verb.operation == Operation::List || both {
        let required = verb.operation == Operation::List;
        all.push(json!({
            "name": "list", "in": "query", "required": required,
            "description": "`true` lists.", "schema": { "type": "string", "enum": ["true"] },
        }));
    }
    let written = |field: &Field| {
        let reads = route.verbs.iter().filter(|verb| matches!(verb.operation, Operation::Read | Operation::List));
        let writes = route.verbs.iter().any(|verb| matches!(verb.operation, Operation::Update | Operation::Patch));
        let is_shown = reads.flat_map(|verb| verb.answer).any(|shown| shown.name == field.name);
        writes && (is_shown || verb.operation == Operation::Delete)
    };
    let in_path: Vec<&str> = route.param_names().collect();
    for field in route.fields {
        let is_simple = !matches!(field.kind, Kind::Map | Kind::Any);
        if field.name != "*" && !in_path.contains(&field.name) && is_simple && !written(field) {
            all.push(json!({
                "name": field.name, "in": "query", "description": field.about, "schema": schema(field.kind, false),
            }));
        }
    }
    all
}

/// The schema of an object with these fields; the name `*` stands for any.
fn object<'a>(fields: impl Iterator<Item = &'a Field>, answer: bool) -> Value {
    let mut properties = Map::new();
    let mut any = false;
    for field in fields {
        if field.name == "*" {
            any = true;
            continue;
        }
        let mut schema = schema(field.kind, answer);
        schema["description"] = field.about.into();
        properties.insert(field.name.into(), schema);
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if any {
        object["additionalProperties"] = true.into();
    }
    object
}

fn schema(kind: Kind, answer: bool) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Integer => json!({ "type": "integer", "format": "int64" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Duration if answer => json!({ "type": "integer", "format": "int64" }),
        Kind::Duration => json!({ "type": "string", "format": "duration" }),
        Kind::List => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Map if answer => {
            json!({ "type": "object", "nullable": true, "additionalProperties": { "type": "string" } })
        }
        Kind::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Moment => json!({ "type": "string", "nullable": true }),
        Kind::Any => json!({}),
    }
}

/// The schema of an answer with this `data`.
fn envelope(data: Value) -> Value {
    let text = json!({ "type": "string" });
    let named = |name: &str| json!({ "nullable": true, "allOf": [{ "$ref": format!("#/components/schemas/{name}") }] });
    let mut data = data;
    data["nullable"] = true.into();
    json!({
        "type": "object",
        "properties": {
            "request_id": text,
            "lease_id": text,
            "renewable": { "type": "boolean" },
            "lease_duration": { "type": "integer", "format": "int64" },
            "data": data,
            "wrap_info": named("WrapInfo"),
            "warnings": { "type": "array", "nullable": true, "items": text },
            "auth": named("Auth"),
        },
    })
}

/// The schema of an answer with this `data`, whose fields are at the top as well, where the envelope has no such name.
fn flat(data: Value) -> Value {
    let mut schema = envelope(data.clone());
    for (name, field) in data["properties"].as_object().into_iter().flatten() {
        if schema["properties"][name].is_null() {
            schema["properties"][name] = field.clone();
        }
    }
    if data["additionalProperties"] == true {
        schema["additionalProperties"] = true.into();
    }
    schema
}

/// Words with dashes: of `auth/{path...}/tune` it makes `auth-path-tune`.
fn slug(text: &str) -> String {
    let plain = text.replace("...", "");
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// Words run together: of `sys-read-mounts` it makes `SysReadMounts`.
fn camel(id: &str) -> String {
    let mut camel = String::new();
    for word in id.split('-') {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
