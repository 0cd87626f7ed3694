use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::web::invalid::{Invalid, Pointer};
use crate::web::json::tests::decode_any;
use crate::web::json::{BodyError, to_bytes};

#[test]
fn keeps_order_and_values_and_is_compact() {
    let sent = r#" { "z" : [ 1 , -2.50 , 1e2 , 18446744073709551615 , -0.0 ] , "a" : { } ,
        "t" : "\u00e9\n\"\u0000" , "n" : null , "b" : [ true , [ ] , false ] } "#;
    let compact = r#"{"z":[1,-2.5,100.0,18446744073709551615,-0.0],"a":{},"t":"é\n\"\u0000","n":null,"b":[true,[],false]}"#;
    let by_serde: JsonObject = serde_json::from_str(sent).unwrap();
    let by_simd: JsonObject = decode_any(sent.as_bytes()).unwrap();
    assert_eq!(by_serde.as_str(), compact);
    assert_eq!(by_simd, by_serde);
    assert_eq!(to_bytes(&by_simd).unwrap(), compact);
    assert_eq!(by_simd.as_str(), compact);
}

#[test]
fn size_is_bounded_as_compact_text() {
    let filled = |count: usize| format!(r#"{{ "a" : "{}" }}"#, "x".repeat(count));
    let fits: JsonObject<16> = decode_any(filled(8).as_bytes()).unwrap();
    assert_eq!(fits.as_str().len(), 16);
    let refused = decode_any::<JsonObject<16>>(filled(9).as_bytes());
    let flaw = Invalid::at(Pointer::root(), "is larger than 16 bytes as compact JSON");
    assert_eq!(refused, Err(BodyError::Invalid(flaw)));
}

#[test]
fn depth_counts_the_object_itself() {
    let shallow = br#"{"a":[{"b":1}],"c":{"d":[]}}"#;
    assert!(decode_any::<JsonObject<64, 3>>(shallow).is_ok());
    let refused = decode_any::<JsonObject<64, 2>>(shallow);
    let at = Pointer::root().member("a").index(0);
    let flaw = Invalid::at(at, "nests deeper than 2 levels");
    assert_eq!(refused, Err(BodyError::Invalid(flaw)));
}

#[test]
fn refuses_repeated_members_at_any_level() {
    for (body, pointer) in [
        (r#"{"a":1,"b":2,"a":3}"#, Pointer::root().member("a")),
        (r#"{"x":[{"é":1,"\u00e9":2}]}"#, Pointer::root().member("x").index(0).member("é")),
    ] {
        let refused = decode_any::<JsonObject>(body.as_bytes());
        let flaw = Invalid::at(pointer, "appears twice");
        assert_eq!(refused, Err(BodyError::Invalid(flaw)));
    }
}

/// Any JSON object, as text.
fn any_object() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        prop::num::f64::NORMAL.prop_map(|value| serde_json::to_string(&value).unwrap()),
        any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4).prop_map(|members| object_text(&members)),
        ]
    });
    prop::collection::btree_map(any::<String>(), value, 0..4).prop_map(|members| object_text(&members))
}

fn object_text(members: &BTreeMap<String, String>) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", serde_json::to_string(name).unwrap()))
        .collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #[test]
    fn objects_survive_exactly(text in any_object()) {
        let found: JsonObject<65_536> = decode_any(text.as_bytes()).unwrap();
        prop_assert_eq!(found.as_str(), text);
    }
}
