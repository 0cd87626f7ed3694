//! Puts the document together: the words of `openapi.yaml`, and what the route table and the error table know.
//!
//! From the table come the security of an operation, the problems that any request of its kind may meet, and the header
//! fields of its replies; from the errors, the responses and an example of each.

use http::HeaderName;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;
use serde_norway::{Mapping, Value};

use super::problems::occurrences;
use crate::api::Endpoint;
use crate::api::routes::{self, BodyRule, Row};
use crate::web::problem::Problem;

/// Where an operation lists the codes that are its own.
const OWN_CODES: &str = "x-problems";
/// Responses of so many problems have a name of their own and are written once.
const SHARED_CODES: usize = 2;
/// The request that examples of problems name.
const EXAMPLE_REQUEST: &str = "01990f80-2b7d-7e11-9c22-6a7b8c9d0e1f";

/// The document with all that is said of the routes; those for load tests are left out.
///
/// # Panics
///
/// When `openapi.yaml`, a part of the program, is no such document; a test reads it.
pub(super) fn build() -> Value {
    let mut document: Value =
        serde_norway::from_str(&ringledger_assets::OPENAPI.text()).expect("a test has read it");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    let mut problems = Problems { known: occurrences(), shared: Mapping::new() };
    for (method, template, body, produces, endpoint) in routes::rows(false) {
        let item = &mut document["paths"][template];
        item["parameters"] =
            value(json!([reference("parameters", "RequestId"), reference("parameters", "TraceParent")]));
        let operation = &mut item[method.as_str().to_ascii_lowercase()];
        complete(operation, &mut problems, &(method, template, body, produces, endpoint));
    }
    let components = &mut document["components"];
    components["examples"] = problems.examples();
    components["schemas"]["Problem"]["properties"]["code"]["enum"] = problems.codes();
    if let Some(responses) = components["responses"].as_mapping_mut() {
        responses.extend(problems.shared);
    }
    document
}

/// Adds to an operation what its row of the table says.
fn complete(operation: &mut Value, problems: &mut Problems, (_, _, body, produces, endpoint): &Row) {
    if operation["security"].is_null() {
        operation["security"] = match endpoint {
            Endpoint::User(_) => value(json!([{"bearer": []}])),
            Endpoint::Now(_) | Endpoint::Always(_) | Endpoint::Public(_) | Endpoint::Socket(_) => {
                value(json!([]))
            }
        };
    }
    if *body == BodyRule::Json || *body == BodyRule::BatchJson {
        operation["requestBody"]["required"] = true.into();
    }
    let is_limited = matches!(endpoint, Endpoint::User(_));
    let Some(responses) = operation["responses"].as_mapping_mut() else { return };
    for (_, response) in responses.iter_mut().filter(|(_, response)| response.get("$ref").is_none()) {
        add_fields(response, is_limited);
    }
    let own = operation.as_mapping_mut().and_then(|members| members.shift_remove(OWN_CODES));
    let own = own.iter().filter_map(Value::as_sequence).flatten().filter_map(Value::as_str);
    let codes: Vec<_> = own.map(str::to_owned).collect();
    let codes =
        codes.iter().map(String::as_str).chain(implied(operation, *body, produces, endpoint)).collect();
    problems.answer(operation, codes);
}

/// Adds the header fields of every reply.
fn add_fields(response: &mut Value, is_limited: bool) {
    if response.get("headers").is_none() {
        response["headers"] = Mapping::new().into();
    }
    response["headers"]["X-Request-Id"] = value(reference("headers", "RequestId"));
    if is_limited {
        response["headers"]["RateLimit"] = value(reference("headers", "RateLimit"));
        response["headers"]["RateLimit-Policy"] = value(reference("headers", "RateLimitPolicy"));
    }
}

/// The codes that any operation of this kind may be answered with.
fn implied(operation: &Value, body: BodyRule, produces: &[&str], endpoint: &Endpoint) -> Vec<&'static str> {
    let mut codes = vec!["uri_too_long", "expectation_failed", "headers_too_large", "internal"];
    if !produces.is_empty() {
        codes.push("not_acceptable");
    }
    if !matches!(endpoint, Endpoint::Now(_)) {
        codes.extend(["overloaded", "store_unavailable"]);
    }
    if matches!(endpoint, Endpoint::User(_)) {
        codes.extend(["unauthenticated", "too_many_requests"]);
    }
    if body != BodyRule::None {
        let of_body = ["invalid_json", "request_timeout", "payload_too_large", "unsupported_media_type"];
        codes.extend(of_body.into_iter().chain(["invalid_request"]));
    }
    let parameters = operation.get("parameters").and_then(Value::as_sequence);
    let names = || parameters.into_iter().flatten().filter_map(name);
    if names().any(|name| name == "IdempotencyKey") {
        codes.extend(["idempotency_key_missing", "idempotency_key_reused"]);
    }
    if names().any(|name| !["AccountId", "TransferId", "IfNoneMatch"].contains(&name)) {
        codes.push("invalid_request");
    }
    codes
}

/// The name of a parameter, or of the component that it is.
fn name(parameter: &Value) -> Option<&str> {
    let reference = parameter.get("$ref").and_then(Value::as_str);
    let of_component = reference.and_then(|path| path.rsplit('/').next());
    of_component.or_else(|| parameter.get("name").and_then(Value::as_str))
}

/// Every problem, and the responses that several operations share.
struct Problems {
    known: Vec<Problem>,
    shared: Mapping,
}

impl Problems {
    /// Adds the responses of these codes to an operation, one for each status.
    fn answer(&mut self, operation: &mut Value, mut codes: Vec<&str>) {
        codes.sort_unstable();
        codes.dedup();
        let mut found: Vec<_> = self.known.iter().filter(|problem| codes.contains(&problem.code)).collect();
        assert_eq!(found.len(), codes.len(), "a code that no error has: {codes:?}");
        found.sort_by_key(|problem| problem.status);
        for problems in found.chunk_by(|one, other| one.status == other.status) {
            let status = problems[0].status.as_str();
            if operation["responses"].get(status).is_some() {
                // Told by hand, as something else has this status, too.
                continue;
            }
            operation["responses"][status] = if problems.len() <= SHARED_CODES {
                let name: String = problems.iter().map(|problem| pascal_case(problem.code)).collect();
                self.shared.entry(name.as_str().into()).or_insert_with(|| response(problems));
                value(reference("responses", &name))
            } else {
                response(problems)
            };
        }
    }

    fn codes(&self) -> Value {
        self.known.iter().map(|problem| Value::from(problem.code)).collect::<Vec<_>>().into()
    }

    fn examples(&self) -> Value {
        let example = |problem: &Problem| {
            let mut example = Mapping::new();
            example.insert("summary".into(), problem.title.into());
            example.insert("value".into(), value(problem.document(EXAMPLE_REQUEST)));
            (problem.code.into(), example.into())
        };
        self.known.iter().map(example).collect::<Mapping>().into()
    }
}

/// A response that is one of these problems.
fn response(problems: &[&Problem]) -> Value {
    let titles: Vec<_> = problems.iter().map(|problem| problem.title).collect();
    let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
    let examples: serde_json::Map<_, _> =
        codes.iter().map(|code| ((*code).to_owned(), reference("examples", code))).collect();
    let mut headers = json!({"X-Request-Id": reference("headers", "RequestId")});
    for (name, field) in &problems[0].headers {
        let known = component_of(name).map(|component| reference("headers", component));
        let constant = || json!({"required": true, "schema": {"const": field.to_str().unwrap_or_default()}});
        headers[canonical(name)] = known.unwrap_or_else(constant);
    }
    let schema =
        json!({"allOf": [reference("schemas", "Problem"), {"properties": {"code": {"enum": codes}}}]});
    value(json!({
        "description": titles.join(", or: "),
        "headers": headers,
        "content": {"application/problem+json": {"schema": schema, "examples": examples}},
    }))
}

/// The component that describes a field whose value differs from reply to reply.
fn component_of(name: &HeaderName) -> Option<&'static str> {
    match *name {
        RETRY_AFTER => Some("RetryAfter"),
        WWW_AUTHENTICATE => Some("WwwAuthenticate"),
        _ => None,
    }
}

/// `retry-after` as `Retry-After`.
fn canonical(name: &HeaderName) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}

/// `not_found` as `NotFound`.
fn pascal_case(code: &str) -> String {
    code.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

fn reference(kind: &str, name: &str) -> serde_json::Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// JSON as YAML's tree, which keeps the order of members.
fn value(json: impl serde::Serialize) -> Value {
    serde_norway::to_value(json).expect("keys are strings")
}
