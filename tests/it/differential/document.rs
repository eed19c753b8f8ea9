//! The OpenAPI document beside the answers: what Holdfast answers is as its own document says, so that a client made of
//! the document can read it.

use serde_json::Value;

use super::pair::Side;
use super::table::{Request, fits};
use crate::support::Answer;

/// The document of a server, asked for anew when its mounts may have changed.
#[derive(Default)]
pub struct Document(Option<Value>);

impl Document {
    /// What of an answer to a request is not as the document says.
    pub fn problems(&mut self, side: &Side, request: &Request, answer: &Answer) -> Vec<String> {
        let (method, line) = request.line();
        let line = side.fill(&line);
        let (path, query) = line.split_once('?').unwrap_or((&line, ""));
        let path = path.strip_prefix("/v1/").unwrap_or_default().trim_end_matches('/');
        let method = match method {
            "LIST" => "get",
            "PUT" | "POST" => "post",
            "GET" => "get",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => return Vec::new(),
        };
        let was_done = (200..300).contains(&answer.status);
        if !was_done || query.contains("help=1") || answer.text().contains("\"openapi\"") {
            return Vec::new();
        }
        if self.0.is_none() || self.operation(path, method).is_none() {
            let found = side.ask("GET", "/v1/sys/internal/specs/openapi", &[("X-Vault-Token", "root")], "");
            // There is none while the server is sealed.
            self.0 = (found.status == 200).then(|| found.json()).or(self.0.take());
        }
        let asks_for_status = path == "sys/health" && query.contains("code=");
        // To delete a whole mount by its path is to delete nothing.
        let is_nothing = method == "delete" && !path.contains('/');
        let problems = match self.0 {
            // What was wrapped comes out as it was answered then, whichever endpoint it is of.
            Some(_) if !is_nothing && path != "sys/wrapping/unwrap" => {
                self.check(path, method, asks_for_status, answer)
            }
            _ => Vec::new(),
        };
        let changes_mounts = ["sys/mounts", "sys/auth", "sys/remount"].iter().any(|head| path.starts_with(head));
        if changes_mounts && method != "get" {
            self.0 = None;
        }
        problems
    }

    fn check(&self, path: &str, method: &str, asks_for_status: bool, answer: &Answer) -> Vec<String> {
        let Some(operation) = self.operation(path, method) else { return vec!["not in the document".into()] };
        // `sys/health` answers with whatever status was asked for.
        let status = if asks_for_status { 200 } else { answer.status };
        let response = &operation["responses"][status.to_string()];
        if response.is_null() {
            return vec![format!("status {} is not in the document", answer.status)];
        }
        let kind = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        let mut problems = Vec::new();
        if answer.body.is_empty() {
            if answer.status != 204 {
                problems.push("no body".into());
            }
        } else if response["content"][kind].is_null() {
            problems.push(format!("content of type {kind:?} is not in the document"));
        } else if kind == "application/json" {
            self.compare(&response["content"][kind]["schema"], &answer.json(), "", &mut problems);
        }
        problems
    }

    /// The operation of the template with the most literal segments.
    fn operation(&self, path: &str, method: &str) -> Option<&Value> {
        // In the document's templates a parameter may stand for several segments; which ones, it does not say.
        let literal = |template: &str| template.split('/').filter(|part| !part.starts_with('{')).count();
        let paths = self.0.as_ref()?["paths"].as_object()?.iter();
        let there = paths.filter(|(template, item)| {
            let template = template.trim_matches('/');
            !item[method].is_null() && (template == path || fits(&template.replace('}', "...}"), path))
        });
        Some(&there.max_by_key(|(template, _)| literal(template))?.1[method])
    }

    fn compare(&self, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let named = self.0.as_ref().and_then(|document| document.pointer(name.trim_start_matches('#')));
            return self.compare(named.expect("what it refers to"), value, at, problems);
        }
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.compare(part, value, at, problems);
        }
        let right = match schema["type"].as_str() {
            None => true,
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            Some(other) => panic!("type {other}"),
        };
        if !right {
            return problems.push(format!("{at}: {value} where the document has {}", schema["type"]));
        }
        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
            self.compare(&schema["items"], item, &format!("{at}/{number}"), problems);
        }
        for (name, item) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) if schema["properties"].is_object() => {
                    problems.push(format!("{at} is not in the document"));
                }
                (Value::Null, Value::Bool(_) | Value::Null) => {}
                (Value::Null, others) => self.compare(others, item, &at, problems),
                (known, _) => self.compare(known, item, &at, problems),
            }
        }
    }
}
