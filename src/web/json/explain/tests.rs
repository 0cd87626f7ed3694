use std::collections::BTreeMap;

use super::*;
use crate::web::json::tests::{decode_any, refusal};

fn assert_refusals(cases: &[(&str, &str)]) {
    for (body, expected) in cases {
        assert_eq!(refusal(body.as_bytes()), *expected, "{body}");
    }
}

#[test]
fn wrong_values_are_named() {
    let i64_range = "/amount: must be an integer from -9223372036854775808 to 9223372036854775807";
    assert_refusals(&[
        ("{}", "/amount: is required"),
        (r#"{"amount":null}"#, "/amount: must be an integer"),
        (r#"{"amount":"1"}"#, "/amount: must be an integer"),
        (r#"{"amount":1.0}"#, "/amount: must be an integer"),
        (r#"{"amount":1e3}"#, "/amount: must be an integer"),
        (r#"{"amount":true}"#, "/amount: must be an integer"),
        (r#"{"amount":[]}"#, "/amount: must be an integer"),
        (r#"{"amount":", expected u8"}"#, "/amount: must be an integer"),
        (r#"{"amount":9223372036854775808}"#, i64_range),
        (r#"{"amount":-9223372036854775809}"#, i64_range),
        (r#"{"amount":99999999999999999999999}"#, i64_range),
        (r#"{"amount":1e400}"#, "/amount: is out of range"),
        (r#"{"amount":1,"name":5}"#, "/name: must be a string"),
        (r#"{"amount":1,"flag":0}"#, "/flag: must be a boolean"),
        (r#"{"amount":1,"ratio":"x"}"#, "/ratio: must be a number"),
        (r#"{"amount":1,"side":"up"}"#, "/side: must be debit or credit"),
        (r#"{"amount":1,"side":1}"#, "/side: must be a string"),
        (r#"{"amount":1,"side":{"debit":null,"credit":null}}"#, "/side: must be a string"),
        (r#"{"amount":1,"a/b~c":256}"#, "/a~1b~0c: must be an integer from 0 to 255"),
        (r#"{"amount":1,"a/b~c":-1}"#, "/a~1b~0c: must be an integer from 0 to 255"),
    ]);
}

#[test]
fn wrong_shapes_are_named() {
    assert_refusals(&[
        (r#"{"amount":1,"items":{}}"#, "/items: must be an array"),
        (r#"{"amount":1,"items":[{"amount":1},{}]}"#, "/items/1/amount: is required"),
        (
            r#"{"amount":1,"items":[{"amount":-1}]}"#,
            "/items/0/amount: must be an integer from 0 to 4294967295",
        ),
        (r#"{"amount":1,"items":[[1]]}"#, "/items/0: must be an object"),
        (r#"{"amount":1,"items":[{"amount":1,"amount":2}]}"#, "/items/0/amount: appears twice"),
        (r#"{"amount":1,"items":[{"items":2}]}"#, "/items/0/items: is not a known member"),
        (r#"{"amount":1,"pair":[1]}"#, "/pair: must be an array of the right length"),
        (r#"{"amount":1,"pair":[1,2,3]}"#, "/pair: has too many elements"),
        (r#"{"amount":1,"amount":2}"#, "/amount: appears twice"),
        (r#"{"amount":1,"amo\u0075nt":2}"#, "/amount: appears twice"),
        (r#"{"foo":1,"amount":2}"#, "/foo: is not a known member"),
        (r#"{"":1}"#, "/: is not a known member"),
        (r#"{"a/b":1}"#, "/a~1b: is not a known member"),
        (r#"{"x`, expected one of `y":1}"#, "/x`, expected one of `y: is not a known member"),
        (r#"{"amount":1,"code":"EURO"}"#, "/code: must be three letters, not `EURO`, expected "),
        (r#"{"amount":1,"extra":[]}"#, "/extra: must be an object"),
        (
            r#"{"amount":1,"extra":{"a":"0123456789012345678901234567890123456789012345678901234567890"}}"#,
            "/extra: is larger than 64 bytes as compact JSON",
        ),
        (r#"{"amount":1,"extra":{"a":{"b":1,"b":2}}}"#, "/extra/a/b: appears twice"),
        (r#"{"amount":1,"name":"esc\n","flag":0}"#, "/flag: must be a boolean"),
        ("[]", ": must be an object"),
        ("[1,\"rent\"]", ": must be an object"),
        ("null", ": must be an object"),
        ("5", ": must be an object"),
        ("\"x\"", ": must be an object"),
    ]);
}

#[test]
fn keys_that_are_not_numbers_are_wrong_members_not_syntax() {
    let refused = decode_any::<BTreeMap<u32, u8>>(br#"{"x":1}"#);
    let flaw = Invalid::at(Pointer::root(), "has the wrong form");
    assert_eq!(refused, Err(BodyError::Invalid(flaw)));
}

#[test]
fn what_is_not_json_is_said_with_its_place() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "the body is empty"),
        (b" \n ", "the body is not JSON: EOF while parsing a value at line 2 column 1"),
        (b"{", "the body is not JSON: EOF while parsing an object at line 1 column 1"),
        (b"{\"amount\" 1}", "the body is not JSON: expected `:` at line 1 column 11"),
        (b"{\"amount\":\"x\",}", "the body is not JSON: key must be a string at line 1 column 15"),
        (b"{\"amount\":1}\n{}", "the body is not JSON: trailing characters at line 2 column 1"),
        (b"{\"foo\":1} x", "the body is not JSON: trailing characters at line 1 column 11"),
        (b"{\"amount\":1,\"name\":\"\xff\"}", "the body is not UTF-8 after 20 bytes"),
        (b"\xef\xbb\xbf{\"amount\":1}", "the body is not JSON: expected value at line 1 column 1"),
        (b"{\"amount\":01}", "the body is not JSON: invalid number at line 1 column 12"),
        (b"{\"amount\":+1}", "the body is not JSON: expected value at line 1 column 11"),
        (b"{\"amount\":NaN}", "the body is not JSON: expected value at line 1 column 11"),
        (b"{'amount':1}", "the body is not JSON: key must be a string at line 1 column 2"),
    ];
    for (body, expected) in cases {
        let found = refusal(body);
        assert_eq!(found, format!("not JSON: {expected}"), "{}", body.escape_ascii());
    }
}
