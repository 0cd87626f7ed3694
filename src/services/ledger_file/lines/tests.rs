use proptest::prelude::*;

use super::*;
use crate::models::money::MAX_MINOR_UNITS;

prop_compose! {
    fn creations()(
        (debit, credit, created_by) in any::<(u128, u128, u128)>(),
        amount in 1..=MAX_MINOR_UNITS,
        description in prop::option::of("[^\\p{Cc}]{1,40}"),
        metadata in prop::option::of(prop::sample::select(vec![
            "{}", r#"{"a":1.50,"b":[true,null],"ä":"\u0000"}"#, r#"{"z":{"y":-1e400},"a":"\\\""}"#,
        ])),
        reference in prop::option::of("[^\\p{Cc}]{1,40}"),
        pending in any::<bool>(),
        expires_at in prop::option::of(0..4_000_000_000_000_000_i64),
        key in "[!-~]{1,40}",
    ) -> Creation {
        let id = uuid::Uuid::from_u128;
        Creation {
            terms: Terms {
                debit_account: AccountId::from_uuid(id(debit)),
                credit_account: AccountId::from_uuid(id(credit)),
                amount: Amount::new(amount).unwrap(),
                currency: "EUR".parse().unwrap(),
                description: description.map(|text| text.parse().unwrap()),
                metadata: metadata.map(Into::into),
                reference: reference.map(|text| text.parse().unwrap()),
            },
            pending,
            expires_at: expires_at.and_then(Timestamp::from_micros),
            created_by: UserId::from_uuid(id(created_by)),
            idempotency_key: key.parse().unwrap(),
        }
    }
}

fn kinds() -> impl Strategy<Value = EventKind> {
    let reversal = |(creation, reverses)| EventKind::Reversed {
        creation,
        reverses: TransferId::from_uuid(uuid::Uuid::from_u128(reverses)),
    };
    prop_oneof![
        creations().prop_map(EventKind::Created),
        (1..=MAX_MINOR_UNITS).prop_map(|amount| EventKind::Posted { amount: Amount::new(amount).unwrap() }),
        Just(EventKind::Voided),
        Just(EventKind::Expired),
        (creations(), any::<u128>()).prop_map(reversal),
    ]
}

proptest! {
    /// The readable form is exact: the same bytes come back, so that the same hash does.
    #[test]
    fn an_event_survives_its_line(
        kind in kinds(), seq in any::<u64>(), at in 0..4_000_000_000_000_000_i64, id in any::<u128>(),
    ) {
        let transfer_id = TransferId::from_uuid(uuid::Uuid::from_u128(id));
        let event = Event { seq, at: Timestamp::from_micros(at).unwrap(), transfer_id, kind };
        let hash = ChainHash::default().next(&event.encode());
        let line = Line::Event(EventLine::of(&event, hash).unwrap());
        let text = serde_json::to_string(&line).unwrap();
        prop_assert!(!text.contains('\n'), "{}", text);
        let Ok(Line::Event(read)) = serde_json::from_str(&text) else { panic!("{text}") };
        let (again, same_hash) = read.into_event().unwrap();
        prop_assert_eq!((again.encode(), same_hash), (event.encode(), hash));
    }
}

#[test]
fn members_of_another_kind_are_refused() {
    let transfer = uuid::Uuid::nil();
    let (at, hash) = ("2026-01-31T12:00:00Z", "0".repeat(64));
    let line = |rest: &str| {
        let text =
            format!(r#"{{"event":{{"seq":1,"at":"{at}","transfer":"{transfer}","hash":"{hash}",{rest}}}}}"#);
        match serde_json::from_str(&text) {
            Ok(Line::Event(line)) => line.into_event().is_ok(),
            _ => false,
        }
    };
    assert!(line(r#""type":"voided""#) && line(r#""type":"posted","amount":1"#));
    for wrong in [
        r#""type":"voided","amount":1"#,
        r#""type":"posted""#,
        r#""type":"posted","amount":1.0"#,
        r#""type":"created""#,
        r#""type":"reversed","amount":1"#,
        r#""type":"other""#,
        r#""type":"voided","more":1"#,
        r#""type":"voided","type":"expired""#,
    ] {
        assert!(!line(wrong), "{wrong}");
    }
}

#[test]
fn what_would_break_a_line_is_told() {
    assert_eq!(raw("{\n}", "metadata").unwrap_err(), BadMember("metadata"));
    assert_eq!(raw("{", "metadata").unwrap_err(), BadMember("metadata"));
    assert_eq!(raw(r#"{"b":1.0}"#, "metadata").unwrap().get(), r#"{"b":1.0}"#);
}
