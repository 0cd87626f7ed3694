//! Holds: money that is set aside, and then moved in full or in part, or let go.

mod expiry;
mod refusals;
mod storm;

use serde_json::{Value, json};

use crate::support::{
    FUNDS, LAST_SEQ, Store, World, act, assert_replays, on_both_stores, path_of, time_of, whole_list,
};

on_both_stores!(
    a_hold_sets_money_aside_and_moves_none,
    a_post_moves_all_that_is_held,
    a_post_of_a_part_lets_the_rest_go,
    a_void_lets_all_go,
    holds_add_up_to_what_is_available,
    a_hold_ends_once_whoever_asks_first,
    a_replay_tells_what_was_told_then,
    balances_stay_within_what_json_can_count,
);

/// `balance`, `held`, `available` and `version` of an account.
async fn purse(world: &World, account: &str) -> (i64, i64, i64, u64) {
    let account = world.account(account).await;
    let number = |member: &str| account[member].as_i64().unwrap_or_else(|| panic!("{member}: {account}"));
    (number("balance"), number("held"), number("available"), account["version"].as_u64().unwrap())
}

async fn entries(world: &World) -> usize {
    whole_list(&world.alice.api, &format!("{}/entries", world.alice.path())).await.len()
}

async fn a_hold_sets_money_aside_and_moves_none(store: Store) {
    let world = World::of(store).await;
    let before = world.alice.api.get(&world.alice.path()).send().await;
    let (_, _, _, version) = purse(&world, &world.alice.account).await;
    let others = purse(&world, &world.bob.account).await;
    let mut body = world.payment(1_250);
    body["pending"] = json!(true);
    let answer = world.alice.api.transfer(&body).send().await;
    let transfer = answer.is_not_stored().json(201);
    for (member, value) in [
        ("seq", json!(LAST_SEQ + 1)),
        ("status", json!("pending")),
        ("amount", json!(1_250)),
        ("posted_amount", Value::Null),
        ("expires_at", Value::Null),
        ("reverses", Value::Null),
        ("reversed_by", Value::Null),
    ] {
        assert_eq!(transfer[member], value, "{member}: {transfer}");
    }
    assert_eq!(answer.header("location"), Some(&*path_of(&transfer)));
    for reader in [&world.alice.api, &world.bob.api, &world.operator] {
        assert_eq!(reader.get(&path_of(&transfer)).send().await.is_not_stored().json(200), transfer);
    }
    assert_eq!(purse(&world, &world.alice.account).await, (FUNDS, 1_250, FUNDS - 1_250, version + 1));
    assert_eq!(purse(&world, &world.bob.account).await, others);
    assert_eq!(entries(&world).await, 1, "only the funding");
    let after = world.alice.api.get(&world.alice.path()).send().await;
    let etag = after.header("etag").unwrap();
    assert_ne!(before.header("etag"), Some(etag));
    world.alice.api.get(&world.alice.path()).header("if-none-match", etag).send().await.is(304);
}

async fn a_post_moves_all_that_is_held(store: Store) {
    let world = World::of(store).await;
    // No body at all, one that says nothing, and one that names the whole.
    for (n, body) in
        [None, Some("{}"), Some(r#"{"amount":null}"#), Some(r#"{"amount":100}"#)].into_iter().enumerate()
    {
        let hold = world.hold(100).await;
        let (balance, held, _, version) = purse(&world, &world.alice.account).await;
        assert_eq!(held, 100);
        let request = act(&world.alice.api, &hold, "post", &format!("post-{n}"));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        };
        let answer = request.send().await;
        let posted = answer.is_not_stored().json(200);
        assert_eq!(answer.header("location"), None);
        assert_eq!(answer.header("idempotency-replayed"), None);
        let mut expected = hold.clone();
        expected["status"] = json!("posted");
        expected["posted_amount"] = json!(100);
        assert_eq!(posted, expected, "the same transfer, body {body:?}");
        assert_eq!(world.transfer(&hold).await, expected);
        let purse = purse(&world, &world.alice.account).await;
        assert_eq!(purse, (balance - 100, 0, balance - 100, version + 1));
    }
    assert_eq!(world.balance(&world.bob.account).await, FUNDS + 400);
    assert_eq!(world.next_seq().await, LAST_SEQ + 9, "a hold and its post are an event each");
    let path = format!("{}/entries?limit=1", world.bob.path());
    let newest = world.bob.api.get(&path).send().await.json(200)["data"][0].clone();
    assert_eq!(newest["seq"], json!(LAST_SEQ + 8), "an entry names the event that moved the money");
    assert_eq!((&newest["amount"], &newest["balance"]), (&json!(100), &json!(FUNDS + 400)));
}

async fn a_post_of_a_part_lets_the_rest_go(store: Store) {
    let world = World::of(store).await;
    let hold = world.hold(1_000).await;
    let path = format!("{}/post", path_of(&hold));
    let posted = world.operator.post(&path, &json!({"amount": 1})).key("k").send().await.json(200);
    for (member, value) in
        [("status", json!("posted")), ("amount", json!(1_000)), ("posted_amount", json!(1))]
    {
        assert_eq!(posted[member], value, "{member}");
    }
    let (balance, held, available, _) = purse(&world, &world.alice.account).await;
    assert_eq!((balance, held, available), (FUNDS - 1, 0, FUNDS - 1));
    assert_eq!(world.balance(&world.bob.account).await, FUNDS + 1);
    assert_eq!(entries(&world).await, 2);
}

async fn a_void_lets_all_go(store: Store) {
    let world = World::of(store).await;
    for (n, body) in ["", "{}"].into_iter().enumerate() {
        let hold = world.hold(FUNDS).await;
        let path = format!("{}/void", path_of(&hold));
        let answer = world.alice.api.post_text(&path, body).key(&format!("void-{n}")).send().await;
        let voided = answer.is_not_stored().json(200);
        let mut expected = hold.clone();
        expected["status"] = json!("voided");
        assert_eq!(voided, expected);
        assert_eq!(world.transfer(&hold).await, expected);
    }
    assert_eq!(purse(&world, &world.alice.account).await, (FUNDS, 0, FUNDS, 6));
    assert_eq!(entries(&world).await, 1, "only the funding");
    world.alice.api.transfer(&world.payment(FUNDS)).send().await.json(201);
}

async fn holds_add_up_to_what_is_available(store: Store) {
    let world = World::of(store).await;
    let first = world.hold(FUNDS - 100).await;
    let pay = |amount: i64, pending: bool| {
        let mut body = world.payment(amount);
        body["pending"] = json!(pending);
        world.alice.api.transfer(&body).send()
    };
    pay(101, false).await.problem(422, "insufficient_funds");
    pay(101, true).await.problem(422, "insufficient_funds");
    pay(60, true).await.json(201);
    pay(40, false).await.json(201);
    pay(1, true).await.problem(422, "insufficient_funds");
    let (balance, held, available, _) = purse(&world, &world.alice.account).await;
    assert_eq!((balance, held, available), (FUNDS - 40, FUNDS - 40, 0));
    // What is held can always be posted.
    act(&world.alice.api, &first, "post", "k").send().await.json(200);
    let (balance, held, available, _) = purse(&world, &world.alice.account).await;
    assert_eq!((balance, held, available), (60, 60, 0));
}

async fn a_hold_ends_once_whoever_asks_first(store: Store) {
    let world = World::of(store).await;
    let hold = world.hold(100).await;
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..20 {
        let verb = if n % 2 == 0 { "post" } else { "void" };
        crowd.spawn(act(&world.alice.api, &hold, verb, &format!("k{n}")).send());
    }
    let answers = crowd.join_all().await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(done.len(), 1, "{answers:?}");
    for answer in refused {
        answer.is_not_stored().problem(409, "transfer_not_pending");
    }
    let moved = if done[0].json(200)["status"] == "posted" { 100 } else { 0 };
    let (balance, held, _, _) = purse(&world, &world.alice.account).await;
    assert_eq!((balance, held), (FUNDS - moved, 0));
    // Nor can a transfer be ended that was never held.
    let posted = world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    assert_eq!(posted["seq"], json!(LAST_SEQ + 3), "refusals take no number");
    for verb in ["post", "void"] {
        let answer = act(&world.alice.api, &posted, verb, &format!("{verb}-a-posted-one")).send().await;
        answer.problem(409, "transfer_not_pending");
    }
}

async fn a_replay_tells_what_was_told_then(store: Store) {
    let world = World::of(store).await;
    let mut body = world.payment(100);
    body["pending"] = json!(true);
    let api = &world.alice.api;
    let held = api.transfer_as("hold", &body).send().await;
    let hold = held.json(201);
    let too_much = format!(r#"{{"amount":{}}}"#, 101);
    let post = |text: &str| api.post_text(&format!("{}/post", path_of(&hold)), text.to_owned());
    let exceeding = post(&too_much).key("too-much").send().await;
    exceeding.problem(422, "amount_exceeds_pending");
    let posted = post(r#"{"amount":60}"#).key("post").send().await;
    posted.json(200);
    let late = act(api, &hold, "void", "late").send().await;
    late.problem(409, "transfer_not_pending");
    act(&world.bob.api, &hold, "reverse", "reverse").send().await.json(201);
    // The transfer has been reversed since.
    assert!(world.transfer(&hold).await["reversed_by"].is_string());
    let world = world.after_a_crash();
    let api = &world.alice.api;
    let post = |text: &str| api.post_text(&format!("{}/post", path_of(&hold)), text.to_owned());
    assert_replays(&api.transfer_as("hold", &body).send().await, &held);
    assert_replays(&post(&too_much).key("too-much").send().await, &exceeding);
    assert_replays(&post(r#" { "amount" : 60 } "#).key("post").send().await, &posted);
    assert_replays(&act(api, &hold, "void", "late").send().await, &late);
    assert_eq!(world.next_seq().await, LAST_SEQ + 4, "a replay takes no number");
    assert!(time_of(&posted.json(200)["created_at"]) == time_of(&hold["created_at"]));
}

async fn balances_stay_within_what_json_can_count(store: Store) {
    const MAX: i64 = (1 << 53) - 1;
    let world = World::of(store).await;
    let source = world.open(&json!({"currency": "EUR", "min_balance": null})).await;
    let full = world.open(&json!({"currency": "EUR"})).await;
    let transfer = |debit: &str, credit: &str, amount: i64, pending: bool| {
        let mut body = crate::support::euros(debit, credit, amount);
        body["pending"] = json!(pending);
        world.operator.transfer(&body).send()
    };
    // Whether the credit side can take it shows when it is posted.
    let hold = transfer(&world.bank, &full, 1, true).await.json(201);
    transfer(&source, &full, MAX, false).await.json(201);
    act(&world.operator, &hold, "post", "full").send().await.problem(422, "balance_overflow");
    assert_eq!(world.transfer(&hold).await["status"], "pending");
    act(&world.operator, &hold, "void", "void").send().await.json(200);
    // An account without a floor can hold no more than it could pay.
    transfer(&source, &world.bank, 1, true).await.problem(422, "balance_overflow");
    let most = transfer(&full, &source, MAX, true).await.json(201);
    assert_eq!(purse(&world, &full).await, (MAX, MAX, 0, 3));
    act(&world.operator, &most, "post", "back").send().await.json(200);
    let all = transfer(&source, &full, MAX, true).await.json(201);
    transfer(&source, &world.bob.account, 1, true).await.problem(422, "balance_overflow");
    act(&world.operator, &all, "post", "again").send().await.json(200);
    assert_eq!((world.balance(&source).await, world.balance(&full).await), (-MAX, MAX));
}
