use std::collections::BTreeSet;

use super::*;

fn system() -> Value {
    let mut document = Document::default();
    let place = Place {
        prefix: "/sys/".into(),
        parameter: None,
        name: "sys".into(),
        tag: "system",
        is_system: true,
        path: "sys/".into(),
    };
    super::super::routes().for_each(|route| document.add(&place, route));
    document.finish()
}

/// Each operation of the document with its path and method.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "patch", "delete"] {
            if let Some(operation) = item.get(method) {
                all.push((path.clone(), method.to_string(), operation.clone()));
            }
        }
    }
    all
}

#[test]
fn every_route_and_verb_is_there_and_says_what_it_is() {
    let document = system();
    for route in super::super::routes() {
        assert!(route.about.ends_with('.'), "{}: {:?}", route.pattern, route.about);
        assert!(!route.verbs.is_empty(), "{}", route.pattern);
        let path = format!("/sys/{}", route.pattern.replace("...}", "}"));
        let item = &document["paths"][&path];
        for verb in route.verbs {
            let method = match verb.operation {
                Operation::Read | Operation::List => "get",
                Operation::Update => "post",
                Operation::Patch => "patch",
                Operation::Delete => "delete",
                other => panic!("{path}: {other:?} is no verb of a table"),
            };
            assert!(item[method].is_object(), "{method} {path}");
            assert!(!verb.about.is_empty(), "{method} {path}");
        }
        for field in route.fields.iter().chain(route.verbs.iter().flat_map(|verb| verb.answer)) {
            assert!(!field.about.is_empty(), "{path}: {}", field.name);
        }
        let mut names = BTreeSet::new();
        for field in route.fields {
            assert!(names.insert(field.name), "{path}: {} twice", field.name);
        }
    }
}

#[test]
fn ids_are_unique_and_references_lead_somewhere() {
    let document = system();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id").to_string();
        assert!(ids.insert(id), "{method} {path}: {}", operation["operationId"]);
        assert!(operation["responses"]["default"].is_object(), "{method} {path}");
    }
    let text = document.to_string();
    let references = text.split("\"#/components/").skip(1).filter_map(|rest| rest.split('"').next());
    for reference in references {
        let mut at = &document["components"];
        for part in reference.split('/') {
            at = &at[part];
        }
        assert!(at.is_object(), "{reference}");
    }
}

#[test]
fn parameters_of_a_path_are_those_of_its_template() {
    for (path, item) in system()["paths"].as_object().expect("paths") {
        let named: BTreeSet<String> =
            path.split('/').filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.to_string())).collect();
        let given: BTreeSet<String> = (item["parameters"].as_array().into_iter().flatten())
            .map(|parameter| parameter["name"].as_str().unwrap_or_default().to_string())
            .collect();
        assert_eq!(named, given, "{path}");
    }
}

#[test]
fn names_are_made_of_words() {
    assert_eq!(slug("auth/{path...}/tune"), "auth-path-tune");
    assert_eq!(camel("sys-read-mounts"), "SysReadMounts");
    assert_eq!(describe::expression("mounts/{path...}/tune"), "^mounts/(?P<path>.*)/tune$");
}

#[test]
fn what_needs_no_token_and_what_needs_sudo_is_marked() {
    let document = system();
    assert_eq!(document["paths"]["/sys/seal-status"]["x-vault-unauthenticated"], true);
    assert_eq!(document["paths"]["/sys/seal-status"]["get"]["security"], json!([]));
    assert_eq!(document["paths"]["/sys/auth/{path}"]["x-vault-sudo"], true);
    assert!(document["paths"]["/sys/mounts/{path}"]["x-vault-sudo"].is_null());
    let patterns: BTreeSet<&str> = super::super::routes().map(|route| route.pattern).collect();
    for open in public::OPEN.iter().chain(public::BARE).chain(public::FLAT) {
        assert!(patterns.contains(open), "{open}");
    }
}
