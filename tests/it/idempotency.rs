//! One key, one transfer: replay, reuse, crowds, crashes.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    Answer, Api, FUNDS, LAST_SEQ, Store, World, assert_replays, euros, on_both_stores, whole_list,
};

const TRANSFERS: &str = "/api/v1/transfers";

on_both_stores!(
    a_key_sent_again_is_answered_again,
    a_refusal_of_the_ledger_is_replayed_too,
    outcomes_outlive_the_process,
    a_key_stands_for_one_command,
    keys_belong_to_their_user,
    what_never_reached_the_ledger_leaves_the_key_free,
    a_key_is_asked_for_and_has_a_form,
    fifty_at_once_with_one_key_make_one_transfer,
    fifty_at_once_are_refused_alike,
);

async fn a_key_sent_again_is_answered_again(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&world.alice.account, &world.bob.account);
    let first = world.alice.api.transfer_as("one", &world.payment(100)).send().await;
    first.json(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    let reordered = format!(
        "{{ \"currency\" : \"\\u0045UR\",\n \"amount\": 100,\t\"credit_account\":\"{bob}\",\
         \"debit_account\":\"{alice}\" }}"
    );
    for body in [world.payment(100).to_string(), reordered] {
        for key in ["one", "\"one\""] {
            let again = world.alice.api.post_text(TRANSFERS, body.clone()).key(key).send().await;
            assert_replays(&again, &first);
        }
    }
    assert_eq!(world.balance(alice).await, FUNDS - 100);
    let next = world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    assert_eq!(next["seq"], LAST_SEQ + 2, "a replay takes no number");
}

async fn a_refusal_of_the_ledger_is_replayed_too(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&world.alice.account, &world.bob.account);
    let nothing = "01900000-0000-7000-8000-0000000000ff";
    let yen = world.open(&json!({"currency": "JPY"})).await;
    let cases = [
        ("funds", world.payment(FUNDS + 1), "insufficient_funds"),
        ("same", euros(alice, alice, 1), "same_account"),
        ("nowhere", euros(alice, nothing, 1), "account_not_found"),
        ("mismatch", euros(alice, &yen, 1), "currency_mismatch"),
    ];
    for (key, body, code) in &cases {
        let first = world.alice.api.transfer_as(key, body).send().await;
        first.problem(422, code);
        assert_eq!(first.header("idempotency-replayed"), None);
        assert_replays(&world.alice.api.transfer_as(key, body).send().await, &first);
    }
    // What was refused stays refused, though now it could be paid.
    world.operator.transfer(&euros(bob, alice, FUNDS)).send().await.json(201);
    let (key, body, code) = &cases[0];
    let again = world.alice.api.transfer_as(key, body).send().await;
    again.problem(422, code);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    world.alice.api.transfer_as("funds-second-try", body).send().await.json(201);
}

async fn outcomes_outlive_the_process(store: Store) {
    let world = World::of(store).await;
    let paid = world.alice.api.transfer_as("paid", &world.payment(5)).send().await;
    paid.json(201);
    let refused = world.alice.api.transfer_as("refused", &world.payment(FUNDS)).send().await;
    refused.problem(422, "insufficient_funds");
    let world = world.after_a_crash();
    assert_replays(&world.alice.api.transfer_as("paid", &world.payment(5)).send().await, &paid);
    assert_replays(&world.alice.api.transfer_as("refused", &world.payment(FUNDS)).send().await, &refused);
    let reused = world.alice.api.transfer_as("paid", &world.payment(6)).send().await;
    reused.problem(422, "idempotency_key_reused");
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 5);
}

async fn a_key_stands_for_one_command(store: Store) {
    let world = World::of(store).await;
    let first = world.alice.api.transfer_as("k", &world.payment(1)).send().await;
    first.json(201);
    let mut changed = vec![world.payment(2), euros(&world.alice.account, &world.bank, 1)];
    for (member, value) in [
        ("currency", json!("JPY")),
        ("description", json!("tea")),
        ("reference", json!("r")),
        ("metadata", json!({})),
    ] {
        let mut body = world.payment(1);
        body[member] = value;
        changed.push(body);
    }
    for body in changed {
        let answer = world.alice.api.transfer_as("k", &body).send().await;
        answer.problem(422, "idempotency_key_reused");
        assert_eq!(answer.header("idempotency-replayed"), None, "{body}");
    }
    assert_replays(&world.alice.api.transfer_as("k", &world.payment(1)).send().await, &first);
    assert_eq!(world.balance(&world.bob.account).await, FUNDS + 1);
}

async fn keys_belong_to_their_user(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&world.alice.account, &world.bob.account);
    for (api, body) in [
        (&world.alice.api, euros(alice, bob, 1)),
        (&world.bob.api, euros(bob, alice, 2)),
        (&world.operator, euros(alice, bob, 1)),
    ] {
        let answer = api.transfer_as("same", &body).send().await;
        answer.json(201);
        assert_eq!(answer.header("idempotency-replayed"), None);
    }
    assert_eq!(world.balance(alice).await, FUNDS - 1 + 2 - 1);
}

async fn what_never_reached_the_ledger_leaves_the_key_free(store: Store) {
    let world = World::of(store).await;
    let post = |body: String| world.alice.api.post_text(TRANSFERS, body).key("k");
    let good = world.payment(1).to_string();
    post("{".into()).send().await.problem(400, "invalid_json");
    post(world.payment(0).to_string()).send().await.problem(422, "invalid_request");
    let theft = euros(&world.bob.account, &world.alice.account, 1);
    post(theft.to_string()).send().await.problem(403, "forbidden");
    let plain = world.alice.api.request(reqwest::Method::POST, TRANSFERS).key("k").body(good.clone());
    plain.header("content-type", "text/plain").send().await.problem(415, "unsupported_media_type");
    post(format!("{good}{}", " ".repeat(65_536))).send().await.problem(413, "payload_too_large");
    let stranger = world.nobody.post_text(TRANSFERS, good.clone()).key("k").send().await;
    stranger.problem(401, "unauthenticated");
    let made = post(good).send().await;
    made.json(201);
    assert_eq!(made.header("idempotency-replayed"), None);
}

async fn a_key_is_asked_for_and_has_a_form(store: Store) {
    let world = World::of(store).await;
    let post = || world.alice.api.post(TRANSFERS, &world.payment(1));
    post().send().await.problem(400, "idempotency_key_missing");
    for bad in ["k".repeat(256).as_bytes(), b"a b", b"\xc3\xa9", b"a\tb", b"\x80"] {
        post().header_bytes("idempotency-key", bad).send().await.invalid("invalid_request", "");
    }
    for good in ["k", "~!@#$%^&*()_+{}|:<>?,./;'[]-=`", &"k".repeat(255), &format!("\"{}\"", "q".repeat(255))]
    {
        let answer = post().key(good).send().await;
        answer.json(201);
        assert_eq!(answer.header("idempotency-replayed"), None, "{good}");
    }
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 4);
}

#[tokio::test]
async fn what_the_store_could_not_take_is_sent_again_with_its_key() {
    let world = World::new().await;
    let store = rusqlite::Connection::open(world.server.data().join("ledger.db")).unwrap();
    store.execute_batch("begin immediate").unwrap();
    let refused = world.alice.api.transfer_as("k", &world.payment(5)).send().await;
    refused.problem(503, "store_unavailable");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().is_ok());
    // Reads go on beside it.
    assert_eq!(world.balance(&world.alice.account).await, FUNDS);
    store.execute_batch("rollback").unwrap();
    let made = world.alice.api.transfer_as("k", &world.payment(5)).send().await;
    assert_eq!(made.json(201)["seq"], LAST_SEQ + 1);
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 5);
}

/// Sends fifty times the same from connections of their own; returns the answers.
async fn crowd(world: &World, key: &str, amount: i64) -> Vec<Answer> {
    let mut crowd = JoinSet::new();
    for _ in 0..50 {
        let api = Api::anonymous(&world.server).with_token(world.alice.api.token());
        crowd.spawn(api.transfer_as(key, &world.payment(amount)).send());
    }
    crowd.join_all().await
}

async fn fifty_at_once_with_one_key_make_one_transfer(store: Store) {
    let world = World::of(store).await;
    let mut made = Vec::new();
    for answer in crowd(&world, "one", 7).await {
        if answer.status == 409 {
            answer.problem(409, "idempotency_in_flight");
        } else {
            answer.json(201);
            made.push(answer);
        }
    }
    let firsts = made.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!(firsts, 1, "one answer is the original, of {}", made.len());
    assert!(made.iter().all(|answer| answer.text() == made[0].text()));
    assert_eq!(world.balance(&world.bob.account).await, FUNDS + 7);
    let entries = whole_list(&world.alice.api, &format!("{}/entries", world.alice.path())).await;
    assert_eq!(entries.len(), 2);
}

async fn fifty_at_once_are_refused_alike(store: Store) {
    let world = World::of(store).await;
    for answer in crowd(&world, "one", FUNDS + 1).await {
        if answer.status == 409 {
            answer.problem(409, "idempotency_in_flight");
        } else {
            answer.problem(422, "insufficient_funds");
        }
    }
    let next = world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    assert_eq!(next["seq"], LAST_SEQ + 1);
}
