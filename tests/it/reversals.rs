//! Reversals: a posted transfer's money moves back, once.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    FUNDS, LAST_SEQ, Store, World, act, assert_replays, assert_uuid_v7, euros, on_both_stores, path_of,
    whole_list,
};

/// A well-formed id of nothing.
const NOTHING: &str = "01900000-0000-7000-8000-0000000000ff";

on_both_stores!(
    a_reversal_moves_the_money_back_and_is_linked_both_ways,
    what_was_posted_in_part_is_reversed_in_part,
    a_transfer_is_reversed_once_whoever_asks_first,
    only_what_was_posted_can_be_reversed,
    a_reversal_needs_the_money_to_be_there,
    a_transfer_is_reversed_by_the_side_that_was_paid,
    a_replay_tells_what_was_told_then,
    reversals_stay_within_what_json_can_count,
);

async fn a_reversal_moves_the_money_back_and_is_linked_both_ways(store: Store) {
    let world = World::of(store).await;
    let mut body = world.payment(300);
    body["description"] = json!("tea");
    body["reference"] = json!("r-1");
    body["metadata"] = json!({"a": 1});
    let original = world.alice.api.transfer(&body).send().await.json(201);
    let answer = act(&world.bob.api, &original, "reverse", "back").send().await;
    let reversal = answer.is_not_stored().json(201);
    assert_uuid_v7(reversal["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(&*path_of(&reversal)));
    for (member, value) in [
        ("seq", json!(LAST_SEQ + 2)),
        ("status", json!("posted")),
        ("debit_account", json!(world.bob.account)),
        ("credit_account", json!(world.alice.account)),
        ("amount", json!(300)),
        ("posted_amount", json!(300)),
        ("currency", json!("EUR")),
        ("description", Value::Null),
        ("reference", Value::Null),
        ("metadata", Value::Null),
        ("expires_at", Value::Null),
        ("reverses", original["id"].clone()),
        ("reversed_by", Value::Null),
    ] {
        assert_eq!(reversal[member], value, "{member}: {reversal}");
    }
    assert_eq!(world.transfer(&reversal).await, reversal);
    let mut expected = original.clone();
    expected["reversed_by"] = reversal["id"].clone();
    for reader in [&world.alice.api, &world.bob.api] {
        assert_eq!(reader.get(&path_of(&original)).send().await.json(200), expected);
    }
    let alice = world.account(&world.alice.account).await;
    assert_eq!((&alice["balance"], &alice["version"]), (&json!(FUNDS), &json!(4)));
    assert_eq!(world.balance(&world.bob.account).await, FUNDS);
    let entries = whole_list(&world.bob.api, &format!("{}/entries", world.bob.path())).await;
    let told: Vec<_> =
        entries.iter().map(|entry| (&entry["transfer_id"], &entry["amount"])).take(2).collect();
    assert_eq!(told, [(&reversal["id"], &json!(-300)), (&original["id"], &json!(300))]);
}

async fn what_was_posted_in_part_is_reversed_in_part(store: Store) {
    let world = World::of(store).await;
    let hold = world.hold(1_000).await;
    let path = format!("{}/post", path_of(&hold));
    world.alice.api.post(&path, &json!({"amount": 400})).key("k").send().await.json(200);
    let reversal = act(&world.operator, &hold, "reverse", "k").send().await.json(201);
    assert_eq!((&reversal["amount"], &reversal["posted_amount"]), (&json!(400), &json!(400)));
    let original = world.transfer(&hold).await;
    assert_eq!((&original["status"], &original["posted_amount"]), (&json!("posted"), &json!(400)));
    assert_eq!(original["reversed_by"], reversal["id"]);
    assert_eq!(world.balance(&world.alice.account).await, FUNDS);
    // Of a batch, too.
    let batch = json!({"transfers": [world.payment(1), world.payment(2)]});
    let made = world.alice.api.post("/api/v1/transfers/batch", &batch).key("b").send().await.json(200);
    let second = &made["results"][1]["transfer"];
    act(&world.bob.api, second, "reverse", "r").send().await.json(201);
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 1);
}

async fn a_transfer_is_reversed_once_whoever_asks_first(store: Store) {
    let world = World::of(store).await;
    let original = world.alice.api.transfer(&world.payment(100)).send().await.json(201);
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..12 {
        let api = if n % 2 == 0 { &world.bob.api } else { &world.operator };
        crowd.spawn(act(api, &original, "reverse", &format!("k{n}")).send());
    }
    let answers = crowd.join_all().await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(done.len(), 1, "{answers:?}");
    for answer in refused {
        answer.is_not_stored().problem(409, "already_reversed");
    }
    let reversal = done[0].json(201);
    act(&world.alice.api, &reversal, "reverse", "r").send().await.problem(409, "not_reversible");
    for verb in ["post", "void"] {
        let answer = act(&world.operator, &reversal, verb, verb).send().await;
        answer.problem(409, "transfer_not_pending");
    }
    assert_eq!(world.balance(&world.alice.account).await, FUNDS);
    assert_eq!(world.next_seq().await, LAST_SEQ + 3);
}

async fn only_what_was_posted_can_be_reversed(store: Store) {
    let world = World::of(store).await;
    let (pending, voided) = (world.hold(1).await, world.hold(1).await);
    act(&world.alice.api, &voided, "void", "k").send().await.json(200);
    for (n, transfer) in [&pending, &voided].into_iter().enumerate() {
        let answer = act(&world.bob.api, transfer, "reverse", &format!("k{n}")).send().await;
        answer.is_not_stored().problem(409, "transfer_not_posted");
    }
    // Refused under that key for good, though it could be done now.
    act(&world.alice.api, &pending, "post", "post").send().await.json(200);
    let again = act(&world.bob.api, &pending, "reverse", "k0").send().await;
    again.problem(409, "transfer_not_posted");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    act(&world.bob.api, &pending, "reverse", "k2").send().await.json(201);
}

async fn a_reversal_needs_the_money_to_be_there(store: Store) {
    let world = World::of(store).await;
    let original = world.alice.api.transfer(&world.payment(100)).send().await.json(201);
    let mut hold = euros(&world.bob.account, &world.bank, FUNDS + 1);
    hold["pending"] = json!(true);
    let hold = world.bob.api.transfer(&hold).send().await.json(201);
    let refused = act(&world.operator, &original, "reverse", "k0").send().await;
    refused.is_not_stored().problem(422, "insufficient_funds");
    assert!(world.transfer(&original).await["reversed_by"].is_null());
    act(&world.bob.api, &hold, "void", "v").send().await.json(200);
    assert_replays(&act(&world.operator, &original, "reverse", "k0").send().await, &refused);
    act(&world.operator, &original, "reverse", "k1").send().await.json(201);
}

async fn a_transfer_is_reversed_by_the_side_that_was_paid(store: Store) {
    let world = World::of(store).await;
    let original = world.alice.api.transfer(&world.payment(100)).send().await.json(201);
    let foreign =
        world.operator.transfer(&euros(&world.bank, &world.alice.account, 1)).send().await.json(201);
    act(&world.nobody, &original, "reverse", "k").send().await.problem(401, "unauthenticated");
    let keyless = world.bob.api.post_text(&format!("{}/reverse", path_of(&original)), "{");
    keyless.send().await.problem(400, "idempotency_key_missing");
    act(&world.alice.api, &original, "reverse", "k").send().await.problem(403, "forbidden");
    act(&world.bob.api, &foreign, "reverse", "k").send().await.problem(403, "forbidden");
    for id in [NOTHING, "x", &world.bob.account] {
        let nothing = json!({"id": id});
        act(&world.bob.api, &nothing, "reverse", "k").send().await.problem(404, "not_found");
    }
    // None of that has used up a key.
    act(&world.alice.api, &foreign, "reverse", "k").send().await.json(201);
    act(&world.bob.api, &original, "reverse", "k").send().await.json(201);
    let other = act(&world.bob.api, &foreign, "reverse", "k").send().await;
    other.problem(422, "idempotency_key_reused");
}

async fn a_replay_tells_what_was_told_then(store: Store) {
    let world = World::of(store).await;
    let original = world.alice.api.transfer_as("pay", &world.payment(100)).send().await;
    let transfer = original.json(201);
    let reversed = act(&world.bob.api, &transfer, "reverse", "k").send().await;
    reversed.json(201);
    let refused = act(&world.bob.api, &transfer, "reverse", "again").send().await;
    refused.problem(409, "already_reversed");
    let world = world.after_a_crash();
    let path = format!("{}/reverse", path_of(&transfer));
    let with_a_body = world.bob.api.post_text(&path, " { } ").key("\"k\"").send().await;
    assert_replays(&with_a_body, &reversed);
    assert_replays(&act(&world.bob.api, &transfer, "reverse", "k").send().await, &reversed);
    assert_replays(&act(&world.bob.api, &transfer, "reverse", "again").send().await, &refused);
    assert_replays(&world.alice.api.transfer_as("pay", &world.payment(100)).send().await, &original);
    assert!(original.json(201)["reversed_by"].is_null(), "as it was then");
    world.alice.api.request(Method::POST, &path).key("k").send().await.problem(403, "forbidden");
    assert_eq!(world.next_seq().await, LAST_SEQ + 3);
}

async fn reversals_stay_within_what_json_can_count(store: Store) {
    const MAX: i64 = (1 << 53) - 1;
    let world = World::of(store).await;
    let source = world.open(&json!({"currency": "EUR", "min_balance": null})).await;
    let full = world.open(&json!({"currency": "EUR"})).await;
    let pay = |debit: &str, credit: &str, amount: i64| {
        world.operator.transfer(&euros(debit, credit, amount)).send()
    };
    let first = pay(&full, &world.bob.account, 1).await;
    first.problem(422, "insufficient_funds");
    pay(&world.bank, &full, 5).await.json(201);
    let paid = pay(&full, &world.bob.account, 5).await.json(201);
    pay(&source, &full, MAX).await.json(201);
    act(&world.operator, &paid, "reverse", "k").send().await.problem(422, "balance_overflow");
    assert!(world.transfer(&paid).await["reversed_by"].is_null());
}
