//! The document against the route table, the error table and itself. What servers really answer is held to it by
//! `tests/it/openapi.rs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{PLACE, text};
use crate::api::Endpoint;
use crate::api::routes::{BodyRule, Row, rows};

fn document() -> Value {
    serde_json::from_str(text()).unwrap()
}

/// Method and path of each operation, with itself.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
        {
            operations.push((format!("{} {path}", method.to_uppercase()), operation));
        }
    }
    operations
}

/// Everything in `value` that satisfies `wanted`, at any depth.
fn walk<'v>(value: &'v Value, visit: &mut dyn FnMut(&'v Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(members) => members.values().for_each(|member| walk(member, visit)),
        _ => {}
    }
}

#[test]
fn it_tells_every_route_and_nothing_else() {
    let document = document();
    let told: BTreeSet<_> = operations(&document).into_iter().map(|(name, _)| name).collect();
    let table = rows(false);
    let served: BTreeSet<_> = table.iter().map(|(method, path, ..)| format!("{method} {path}")).collect();
    assert_eq!(told, served);
}

#[test]
fn it_tells_who_may_ask_what_is_sent_and_what_comes_back() {
    let document = document();
    for (method, path, body, produces, endpoint) in rows(false) {
        let row: Row = (method.clone(), path, body, produces, endpoint);
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        check(operation, &row);
    }
}

fn check(operation: &Value, (method, path, body, produces, endpoint): &Row) {
    let name = format!("{method} {path}");
    let bearer = json!([{"bearer": []}]);
    match endpoint {
        Endpoint::User(_) => assert_eq!(operation["security"], bearer, "{name}"),
        Endpoint::Now(_) | Endpoint::Always(_) | Endpoint::Public(_) | Endpoint::Socket(_) => {
            assert_ne!(operation["security"], bearer, "{name}");
        }
    }
    let sent = &operation["requestBody"];
    assert_eq!(sent.is_null(), *body == BodyRule::None, "{name}");
    assert_eq!(sent["required"] == true, matches!(body, BodyRule::Json | BodyRule::BatchJson), "{name}");
    let mut sendable = BTreeSet::new();
    for (status, response) in operation["responses"].as_object().unwrap() {
        let types = response["content"].as_object();
        sendable.extend(types.into_iter().flatten().map(|(media_type, _)| media_type.as_str()));
        assert!(
            response["$ref"].is_string() || response["headers"]["X-Request-Id"].is_object(),
            "{name} {status}"
        );
    }
    sendable.remove("application/problem+json");
    let essence = |media_type: &&'static str| media_type.split(';').next().unwrap_or_default();
    assert_eq!(sendable, produces.iter().map(essence).collect(), "{name}");
}

#[test]
fn names_of_operations_are_unique_and_every_reference_leads_somewhere() {
    let document = document();
    let operations = operations(&document);
    let names: BTreeSet<_> =
        operations.iter().map(|(_, operation)| operation["operationId"].as_str()).collect();
    assert_eq!((names.len(), names.contains(&None)), (operations.len(), false));
    let mut used = BTreeSet::new();
    walk(&document, &mut |value| {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            used.insert(pointer.to_owned());
        }
    });
    for kind in ["parameters", "headers", "responses", "schemas"] {
        for (name, _) in document["components"][kind].as_object().unwrap() {
            assert!(used.contains(&format!("/components/{kind}/{name}")), "{kind}: nobody uses {name}");
        }
    }
}

/// The codes that stand in the source beside a status.
fn codes_of(source: &str) -> BTreeSet<&str> {
    let statuses = ["(S::", "StatusCode::"];
    let behind = statuses.iter().flat_map(|status| source.split(status).skip(1));
    let quoted = behind
        .filter_map(|row| row.split_once(", \""))
        .filter(|(status, _)| status.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
    let texts = quoted.filter_map(|(_, rest)| rest.split('"').next());
    // Media types stand beside statuses, too.
    texts.filter(|text| !text.contains('/')).collect()
}

#[test]
fn every_problem_of_the_error_table_is_told_and_belongs_somewhere() {
    let document = document();
    let sources = [include_str!("../error.rs"), include_str!("../transfers/batch.rs")];
    let thrown: BTreeSet<_> = sources.into_iter().flat_map(codes_of).collect();
    assert!(thrown.len() > 30, "{thrown:?}");
    let code = &document["components"]["schemas"]["Problem"]["properties"]["code"];
    let told: BTreeSet<_> = code["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(told, thrown);
    let examples = document["components"]["examples"].as_object().unwrap();
    assert_eq!(examples.keys().map(String::as_str).collect::<BTreeSet<_>>(), thrown);
    let mut of_operations = BTreeSet::new();
    walk(&document, &mut |value| {
        let codes = value["properties"]["code"]["enum"].as_array();
        of_operations.extend(
            codes.into_iter().filter(|codes| codes.len() < told.len()).flatten().filter_map(Value::as_str),
        );
    });
    // Of any path or method, and of a batch's item.
    of_operations.extend(["method_not_allowed", "not_implemented", "batch_aborted"]);
    assert_eq!(of_operations, told);
}

#[test]
fn the_page_has_the_document_in_it() {
    assert_eq!(ringledger_assets::DOCS.text().matches(PLACE).count(), 1);
    let page = std::str::from_utf8(super::DOCS.body()).unwrap();
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"document\">").unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap(), document());
}
