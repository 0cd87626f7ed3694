//! What the body of a batch may be, and how it is told what is wrong with one.

use reqwest::Method;
use serde_json::{Value, json};

use super::{BATCH, batch, done};
use crate::support::{FUNDS, Store, World, on_both_stores};

on_both_stores!(
    a_flaw_of_a_transfer_is_pointed_to,
    a_flaw_of_the_batch_is_pointed_to,
    metadata_has_its_bounds_in_a_batch_too,
    text_that_is_not_a_batch_is_refused,
    refusals_have_an_order,
    a_batch_is_posted,
);

/// `good` as an item between two good ones, with `member` set to `value`.
fn with(good: &Value, member: &str, value: Value) -> Value {
    let mut bad = good.clone();
    bad[member] = value;
    json!({"transfers": [good, bad, good]})
}

/// Each body has one flaw, which must be pointed to.
async fn assert_flawed(world: &World, cases: Vec<(Value, String)>) {
    for (body, pointer) in cases {
        let answer = world.alice.api.post(BATCH, &body).key("k").send().await;
        assert_eq!(answer.status, 422, "{pointer}: {}", answer.text());
        answer.is_not_stored().invalid("invalid_request", &pointer);
    }
    assert_eq!(world.balance(&world.alice.account).await, FUNDS);
}

async fn a_flaw_of_a_transfer_is_pointed_to(store: Store) {
    let world = World::of(store).await;
    let good = world.payment(1);
    let mut cases = Vec::new();
    for (member, value) in [
        ("debit_account", json!("x")),
        ("credit_account", Value::Null),
        ("amount", json!(0)),
        ("amount", json!(-1)),
        ("amount", json!(1.0)),
        ("amount", json!("1")),
        ("amount", json!(1_i64 << 53)),
        ("currency", json!(978)),
        ("description", json!("")),
        ("description", json!("d".repeat(513))),
        ("reference", json!("r".repeat(129))),
        ("metadata", json!([])),
        ("metadata", json!({"m": "m".repeat(4_096)})),
        ("pending", json!(1)),
        ("timeout_seconds", json!(5)),
        ("fee", json!(1)),
        ("a/b~", json!(1)),
    ] {
        let escaped = member.replace('~', "~0").replace('/', "~1");
        cases.push((with(&good, member, value), format!("/transfers/1/{escaped}")));
    }
    let mut held = good.clone();
    held["pending"] = json!(true);
    cases.push((with(&held, "timeout_seconds", json!(0)), "/transfers/1/timeout_seconds".into()));
    for item in [json!(1), json!([]), Value::Null] {
        cases.push((json!({"transfers": [good, item]}), "/transfers/1".into()));
    }
    assert_flawed(&world, cases).await;
    for code in ["ZZZ", "eur", ""] {
        let answer = world.alice.api.post(BATCH, &with(&good, "currency", json!(code))).key("k").send().await;
        answer.invalid("currency_unknown", "/transfers/1/currency");
    }
}

async fn a_flaw_of_the_batch_is_pointed_to(store: Store) {
    let world = World::of(store).await;
    let good = world.payment(1);
    let cases = [
        (json!({}), "/transfers"),
        (json!({"transfers": null}), "/transfers"),
        (json!({"transfers": {}}), "/transfers"),
        (json!({"transfers": "x"}), "/transfers"),
        (json!({"transfers": []}), "/transfers"),
        (json!({"transfers": [], "atomic": true}), "/transfers"),
        (json!({"transfers": [good], "atomic": "yes"}), "/atomic"),
        (json!({"transfers": [good], "atomic": 1}), "/atomic"),
        (json!({"transfers": [good], "dry_run": true}), "/dry_run"),
        (json!([]), ""),
        (json!([good]), ""),
        (Value::Null, ""),
    ];
    assert_flawed(&world, cases.map(|(body, pointer)| (body, pointer.to_owned())).into()).await;
}

async fn metadata_has_its_bounds_in_a_batch_too(store: Store) {
    let world = World::of(store).await;
    let good = world.payment(1);
    let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
    let deep = world.alice.api.post(BATCH, &with(&good, "metadata", nested(17))).key("k").send().await;
    let problem = deep.problem(422, "invalid_request");
    let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
    assert!(pointer.starts_with("/transfers/1/metadata"), "{problem}");
    let allowed = [nested(16), json!({"m": "m".repeat(4_096 - 8)}), json!({})];
    let items: Vec<_> = allowed
        .iter()
        .map(|metadata| {
            let mut item = good.clone();
            item["metadata"] = metadata.clone();
            item
        })
        .collect();
    let answer = batch(&world.alice.api, "k", true, &items).send().await;
    done(&answer);
    for (place, metadata) in allowed.iter().enumerate() {
        assert_eq!(&answer.json(200)["results"][place]["transfer"]["metadata"], metadata);
    }
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 3);
}

async fn text_that_is_not_a_batch_is_refused(store: Store) {
    let world = World::of(store).await;
    let good = world.payment(1).to_string();
    let amount = "\"amount\":1";
    for text in [
        String::new(),
        "{".into(),
        format!(r#"{{"transfers":[{good}]"#),
        format!(r#"{{"transfers":[{good},]}}"#),
        format!(r#"{{"transfers":[{good}]}}{{}}"#),
        format!(r#"{{"transfers":[{}]}}"#, good.replace(amount, "\"amount\":01")),
        format!(r#"{{"transfers":{}1{}}}"#, "[".repeat(64), "]".repeat(64)),
    ] {
        let answer = world.alice.api.post_text(BATCH, text.clone()).key("k").send().await;
        assert_eq!(answer.status, 400, "{text}: {}", answer.text());
        answer.is_not_stored().problem(400, "invalid_json");
    }
    for (text, pointer) in [
        (good.replace(amount, "\"amount\":1,\"amount\":2"), "/transfers/0/amount"),
        (good.replace(amount, "\"amount\":1,\"metadata\":{\"a\":1,\"a\":2}"), "/transfers/0/metadata/a"),
        (good.replace(amount, "\"amount\":1e0"), "/transfers/0/amount"),
        (good.replace(amount, "\"fee\":1"), "/transfers/0/fee"),
    ] {
        let text = format!(r#"{{"transfers":[{text}]}}"#);
        let answer = world.alice.api.post_text(BATCH, text.clone()).key("k").send().await;
        assert_eq!(answer.status, 422, "{text}: {}", answer.text());
        answer.invalid("invalid_request", pointer);
    }
    let twice = format!(r#"{{"transfers":[{good}],"transfers":[{good}]}}"#);
    world.alice.api.post_text(BATCH, twice).key("k").send().await.invalid("invalid_request", "/transfers");
    assert_eq!(world.balance(&world.alice.account).await, FUNDS);
}

/// Each request has every flaw of those that come after it.
async fn refusals_have_an_order(store: Store) {
    let world = World::of(store).await;
    let (api, mut unknown) = (&world.alice.api, world.payment(FUNDS + 1));
    unknown["currency"] = json!("ZZZ");
    world.nobody.post_text(BATCH, "{").send().await.problem(401, "unauthenticated");
    api.post_text(BATCH, "{").header("accept", "text/csv").send().await.problem(406, "not_acceptable");
    api.request(Method::POST, BATCH).body("{").send().await.problem(415, "unsupported_media_type");
    api.request(Method::POST, BATCH).key("k").send().await.problem(415, "unsupported_media_type");
    api.post_text(BATCH, "{").send().await.problem(400, "idempotency_key_missing");
    api.post_text(BATCH, "{").key("k").send().await.problem(400, "invalid_json");
    let flawed = json!({"transfers": [unknown, {}]});
    api.post(BATCH, &flawed).key("k").send().await.problem(422, "invalid_request");
    api.post(BATCH, &json!({"transfers": [unknown]})).key("k").send().await.problem(422, "currency_unknown");
    batch(api, "k", true, &[world.payment(FUNDS + 1)]).send().await.problem(422, "batch_refused");
    api.post(BATCH, &json!({"transfers": [unknown]})).key("k").send().await.problem(422, "currency_unknown");
    batch(api, "k", true, &[world.payment(1)]).send().await.problem(422, "idempotency_key_reused");
}

async fn a_batch_is_posted(store: Store) {
    let world = World::of(store).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = world.alice.api.request(method, BATCH).send().await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    }
    world.alice.api.request(Method::HEAD, BATCH).send().await.is(405);
    let options = world.nobody.request(Method::OPTIONS, BATCH).send().await;
    assert_eq!(options.is(204).header("allow"), Some("POST, OPTIONS"));
}
