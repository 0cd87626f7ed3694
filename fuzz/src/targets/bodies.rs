//! JSON bodies.

use ringledger::api::fuzzing;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Levels that a body may nest.
const MAX_DEPTH: usize = ringledger::web::json::MAX_DEPTH;

pub(crate) fn account(bytes: &[u8]) {
    check(bytes, fuzzing::account(bytes));
}

pub(crate) fn batch(bytes: &[u8]) {
    check(bytes, fuzzing::transfers(bytes));
}

pub(crate) fn transfer(bytes: &[u8]) {
    check(bytes, fuzzing::transfer(bytes));
    check(bytes, fuzzing::post(bytes));
}

pub(crate) fn user(bytes: &[u8]) {
    check(bytes, fuzzing::user(bytes));
}

/// A body is accepted, no JSON (400) or of another shape (422), and the second only if another decoder reads it too.
fn check(bytes: &[u8], status: u16) {
    match status {
        400 => {}
        200 | 422 => {
            if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
                panic!("{status} for what is no JSON: {error}");
            }
            if let Ok(value) = serde_json::from_slice(bytes) {
                assert!(depth(&value) <= MAX_DEPTH, "{status} for {} levels", depth(&value));
            }
        }
        other => panic!("status {other}"),
    }
}

fn depth(value: &Value) -> usize {
    let deepest = |children: &mut dyn Iterator<Item = &Value>| 1 + children.map(depth).max().unwrap_or(0);
    match value {
        Value::Array(items) => deepest(&mut items.iter()),
        Value::Object(members) => deepest(&mut members.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
