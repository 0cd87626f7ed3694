//! The API's own document, and what an answer must be by it. Knows no operation by name.

use std::borrow::Cow;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::support::{Answer, Api};

/// The document of a server.
pub(super) struct Described {
    document: Value,
    /// Components whose objects have no other members than those that are told.
    closed: Value,
}

/// An operation of the document.
#[derive(Clone, Copy)]
pub(super) struct Operation<'d> {
    pub(super) method: &'d str,
    pub(super) path: &'d str,
    pub(super) words: &'d Value,
}

impl Described {
    /// What `api` tells of itself.
    pub(super) async fn by(api: &Api) -> Self {
        let document = api.get("/openapi.json").send().await.json(200);
        let mut closed = document["components"].clone();
        close(&mut closed);
        Self { document, closed }
    }

    /// Every operation.
    pub(super) fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.document["paths"].as_object().unwrap();
        let mut operations = Vec::new();
        for (path, item) in paths {
            for (method, words) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
            {
                operations.push(Operation { method, path, words });
            }
        }
        operations
    }

    /// The operation `name`.
    pub(super) fn operation(&self, name: &str) -> Operation<'_> {
        let mut operations = self.operations().into_iter();
        operations.find(|operation| operation.words["operationId"] == name).unwrap()
    }

    /// `value`, or what it refers to.
    pub(super) fn resolved<'v>(&'v self, value: &'v Value) -> &'v Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
            None => value,
        }
    }

    /// What is wrong with a value by a schema, if anything.
    pub(super) fn flaws(&self, schema: &Value, value: &Value) -> Option<String> {
        let mut schema = schema.clone();
        close(&mut schema);
        let whole = json!({"allOf": [schema], "components": self.closed});
        let flaws: Vec<_> = validator(&whole)
            .iter_errors(value)
            .map(|flaw| format!("{flaw} at {}", flaw.instance_path()))
            .collect();
        (!flaws.is_empty()).then(|| format!("{} in {value}", flaws.join("; ")))
    }

    /// The schemas with examples, and those.
    pub(super) fn examples(&self) -> Vec<(&str, &Value, &Value)> {
        let schemas = self.document["components"]["schemas"].as_object().unwrap();
        let with_examples =
            schemas.iter().filter_map(|(name, schema)| Some((name, schema, schema["examples"].as_array()?)));
        with_examples
            .flat_map(|(name, schema, examples)| {
                examples.iter().map(move |example| (name.as_str(), schema, example))
            })
            .collect()
    }

    /// The examples of problems.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Value> {
        self.document["components"]["examples"].as_object().unwrap().values().map(|example| &example["value"])
    }

    /// Checks that the document tells of this answer: status, media type, body and header fields.
    #[track_caller]
    pub(super) fn check(&self, operation: Operation<'_>, answer: &Answer) {
        let status = answer.status.to_string();
        let name = format!("{} {} {status}", operation.method, operation.path);
        let response = self.resolved(&operation.words["responses"][&status]);
        assert!(response.is_object(), "{name} is not told of: {}", String::from_utf8_lossy(&answer.body));
        self.check_fields(&name, response, answer);
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{name} has a body");
            return;
        };
        let sent = answer.header("content-type").unwrap_or_else(|| panic!("{name} has no media type"));
        let essence = sent.split(';').next().unwrap();
        let told = content.get(essence).unwrap_or_else(|| panic!("{name} is told to be no {sent}"));
        if essence.ends_with("json") {
            let body = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(self.flaws(&told["schema"], &body), None, "{name}");
        }
    }

    #[track_caller]
    fn check_fields(&self, name: &str, response: &Value, answer: &Answer) {
        for (field, told) in response["headers"].as_object().into_iter().flatten() {
            let told = self.resolved(told);
            let Some(text) = answer.header(field) else {
                assert_ne!(told["required"], true, "{name} has no {field}");
                continue;
            };
            let is_number = told["schema"]["type"] == "integer";
            let value = if is_number { json!(text.parse::<u64>().unwrap()) } else { json!(text) };
            assert_eq!(self.flaws(&told["schema"], &value), None, "{name} {field}");
        }
    }
}

impl Operation<'_> {
    /// The status of success that is told first.
    pub(super) fn success(&self) -> u16 {
        let responses = self.words["responses"].as_object().unwrap();
        responses
            .keys()
            .map(|status| status.parse().unwrap())
            .find(|status| (100..300).contains(status))
            .unwrap()
    }

    /// Examples of the body, with their names.
    pub(super) fn bodies(&self) -> Vec<(&str, &Value)> {
        let examples = self.words["requestBody"]["content"]["application/json"]["examples"].as_object();
        examples.into_iter().flatten().map(|(name, example)| (name.as_str(), &example["value"])).collect()
    }

    /// The path with `id` in its place.
    pub(super) fn path_with(&self, id: &str) -> Cow<'_, str> {
        if self.path.contains("{id}") { self.path.replace("{id}", id).into() } else { self.path.into() }
    }
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap()
}

/// Forbids all members that are not told, in objects whose members are. Replies may grow some day; until they do, a
/// member that nobody has told of is a gap in the document.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(members) => {
            let is_object = members.get("type") == Some(&json!("object"));
            if is_object && members.get("properties").is_some_and(Value::is_object) {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            members.values_mut().for_each(close);
        }
        _ => {}
    }
}
