use std::borrow::Cow;

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// The kinds of members that bodies have.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order<'a> {
    amount: i64,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(rename = "a/b~c")]
    odd: Option<u8>,
    flag: Option<bool>,
    ratio: Option<f64>,
    side: Option<Side>,
    #[serde(default)]
    items: Vec<Item>,
    pair: Option<(i64, i64)>,
    extra: Option<JsonObject<64, 3>>,
    code: Option<Code>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Debit,
    Credit,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    amount: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
struct Code(usize);

impl TryFrom<Cow<'_, str>> for Code {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Self, String> {
        if text.len() == 3 {
            Ok(Self(3))
        } else {
            Err(format!("must be three letters, not `{text}`, expected "))
        }
    }
}

pub(super) fn decode_any<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, BodyError> {
    decode(body, &mut Scratch::take())
}

/// `pointer: detail` of the first flaw, or `not JSON: detail`.
pub(super) fn refusal(body: &[u8]) -> String {
    match decode::<Order<'_>>(body, &mut Scratch::take()) {
        Err(BodyError::Invalid(Invalid { errors })) => {
            format!("{}: {}", errors[0].pointer, errors[0].detail)
        }
        Err(BodyError::InvalidJson(InvalidJson { detail })) => format!("not JSON: {detail}"),
        Ok(order) => format!("accepted: {order:?}"),
    }
}

#[test]
fn decodes_every_kind_of_member() {
    let body = r#" {"amount":-5,"name":"r\u00e9nt \ud83d\ude00\n","a/b~c":7,"flag":true,"ratio":2,
        "side":"credit","items":[{"amount":1},{"amount":4294967295}],"pair":[1,2],
        "extra":{"k":[1.50]},"code":"EUR"} "#;
    let mut scratch = Scratch::take();
    let order: Order<'_> = decode(body.as_bytes(), &mut scratch).unwrap();
    assert_eq!(order.amount, -5);
    assert_eq!(order.name.as_deref(), Some("rént 😀\n"));
    assert!(matches!(order.name, Some(Text(Cow::Borrowed(_)))));
    assert_eq!((order.odd, order.flag), (Some(7), Some(true)));
    assert_eq!((order.ratio, order.side), (Some(2.0), Some(Side::Credit)));
    assert_eq!(order.items[1], Item { amount: u32::MAX });
    assert_eq!((order.pair, order.code), (Some((1, 2)), Some(Code(3))));
    assert_eq!(order.extra.unwrap().as_str(), r#"{"k":[1.5]}"#);
}

#[test]
fn null_is_an_absent_member() {
    let body = br#"{"amount":9223372036854775807,"name":null,"side":null,"extra":null}"#;
    let mut scratch = Scratch::take();
    let order: Order<'_> = decode(body, &mut scratch).unwrap();
    assert_eq!((order.amount, order.name, order.extra), (i64::MAX, None, None));
}

/// What both decoders must refuse, whatever their words.
#[test]
fn both_decoders_refuse_what_rfc_8259_forbids() {
    let bodies: &[&[u8]] = &[
        b"{\"amount\":1,\"name\":\"a\0b\"}",
        b"{\"amount\":1,\"name\":\"a\nb\"}",
        b"{\"amount\":1,\"name\":\"\\x41\"}",
        b"{\"amount\":1,\"name\":\"\\u12\"}",
        b"{\"amount\":1,\"name\":\"\\ud800\"}",
        b"{\"amount\":1,\"name\":\"\\udc00\"}",
        b"{\"amount\":1,\"name\":\"\\ud800\\u0041\"}",
        b"{\"amount\":1,\"name\":\"\xed\xa0\x80\"}",
        b"{\"amount\":1,\"name\":\"\xc0\x80\"}",
        b"{\"amount\":1.}",
        b"{\"amount\":.5}",
        b"{\"amount\":-}",
        b"{\"amount\":1e}",
        b"{\"amount\":0x10}",
        b"{\"amount\":1 2}",
        b"{\"amount\":1,,\"flag\":true}",
        b"{\"amount\":1;}",
        b"{\"amount\":tru}",
        b"{amount:1}",
        b"{\"amount\":1}}",
        b"{\"amount\":1}\0",
        b"/**/{\"amount\":1}",
        b"{\"amount\":1",
        b"{\"amount\":\"",
        b"\xff\xfe{\0",
    ];
    for body in bodies {
        let found = refusal(body);
        assert!(found.starts_with("not JSON: "), "{}: {found}", body.escape_ascii());
        assert!(serde_json::from_slice::<Order<'_>>(body).is_err());
    }
}

#[test]
fn both_decoders_accept_what_rfc_8259_allows() {
    let bodies: &[&[u8]] = &[
        b"{\"amount\":1}",
        b"\t\r\n {\"amount\" : 1 } \n",
        b"{\"amount\":0}",
        b"{\"\\u0061mount\":1}",
        b"{\"amount\":1,\"name\":\"\\u0000\\/\\b\\f\x7f\"}",
        b"{\"amount\":1,\"name\":\"\\ud83d\\uDE00\"}",
        b"{\"amount\":1,\"name\":\"\xef\xbb\xbf\xef\xbf\xbf\"}",
        b"{\"amount\":1,\"ratio\":-0.0}",
        b"{\"amount\":1,\"ratio\":1E-2}",
        b"{\"amount\":1,\"ratio\":1e-400}",
        b"{\"amount\":1,\"ratio\":0.1000000000000000055511151231257827}",
        b"{\"amount\":1,\"ratio\":1234567890123456789}",
        b"{\"amount\":1,\"items\":[ ]}",
    ];
    for body in bodies {
        let mut scratch = Scratch::take();
        let found = decode::<Order<'_>>(body, &mut scratch);
        let reference: Order<'_> = serde_json::from_slice(body).unwrap();
        assert_eq!(found, Ok(reference), "{}", body.escape_ascii());
    }
}

#[test]
fn numbers_that_only_one_decoder_holds_are_refused_without_panic() {
    let body = br#"{"amount":1,"ratio":99999999999999999999999}"#;
    assert!(serde_json::from_slice::<Order<'_>>(body).is_ok());
    let expected = "not JSON: the body holds a number or text that cannot be represented";
    assert_eq!(refusal(body), expected);
}

#[test]
fn depth_is_bounded_before_anything_recurses() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let levels = |depth| decode_any::<IgnoredAny>(nested(depth).as_bytes());
    let too_deep = Err(BodyError::InvalidJson(InvalidJson {
        detail: "the body nests deeper than 32 levels".to_owned(),
    }));
    assert_eq!(levels(MAX_DEPTH), Ok(IgnoredAny));
    assert_eq!(levels(MAX_DEPTH + 1), too_deep);
    assert_eq!(levels(64 * 1024), too_deep);

    for open in ["[", "{\"a\":", "[{\"a\":", "{\"extra\":[", "{\"extra\":{\"a\":"] {
        let unclosed = open.repeat(64 * 1024);
        for end in ["", "\"", "\\", "\u{1}", "}", "]"] {
            let found = refusal((unclosed.clone() + end).as_bytes());
            assert!(found.starts_with("not JSON: "), "{open} {end:?}: {found}");
        }
    }
}

#[test]
fn one_scratch_serves_body_after_body() {
    let mut scratch = Scratch::take();
    let long = format!(r#"{{"amount":1,"name":"{}"}}"#, "x\\n".repeat(10_000));
    for body in [long.as_str(), "{", r#"{"amount":2}"#, "[[[", r#"{"amount":3,"name":"y"}"#] {
        let reference = serde_json::from_str::<Order<'_>>(body).ok();
        assert_eq!(decode::<Order<'_>>(body.as_bytes(), &mut scratch).ok(), reference);
    }
}

/// Texts near JSON: pieces of it in any order.
fn near_json() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u",
        "d800",
        " ",
        "1",
        "-",
        ".",
        "e",
        "true",
        "null",
        "\"amount\"",
        "\"name\"",
        "\"extra\"",
        "\"items\"",
        "\"side\"",
        "\"a/b~c\"",
        "\u{0}",
        "é",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = refusal(&body);
    }

    #[test]
    fn near_json_is_answered_and_judged_alike(body in near_json()) {
        let mut scratch = Scratch::take();
        let found = decode::<Order<'_>>(&body, &mut scratch);
        if serde_json::from_slice::<IgnoredAny>(&body).is_err() {
            prop_assert!(matches!(found, Err(BodyError::InvalidJson(_))), "{:?}", found);
        }
        if let (Ok(found), Ok(reference)) = (found, serde_json::from_slice(&body)) {
            prop_assert_eq!(found, reference);
        }
    }
}
