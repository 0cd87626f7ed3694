//! Which of several reasons against a request is told, on either store: the order that ARCHITECTURE.md promises. Each
//! request has the flaws of those below it, too. That of a post, a void and a batch stands with their other tests.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    Api, FUNDS, Request, Store, World, act, assert_replays, euros, on_both_stores, path_of, with,
};

const ACCOUNTS: &str = "/api/v1/accounts";
const TRANSFERS: &str = "/api/v1/transfers";
/// A well-formed id of nothing.
const NOTHING: &str = "01900000-0000-7000-8000-0000000000ff";

on_both_stores!(
    of_a_transfer,
    of_a_transfer_that_the_ledger_judges,
    of_a_reversal,
    of_an_account_to_be,
    of_what_is_read_of_an_account,
    of_a_statement,
    of_lists,
    of_a_feed,
);

async fn of_a_transfer(store: Store) {
    let world = World::of(store).await;
    let (alice, nobody) = (&world.alice.api, &world.nobody);
    let plain = |api: &Api| api.request(Method::POST, TRANSFERS).body("{");
    plain(nobody).header("accept", "text/csv").send().await.problem(401, "unauthenticated");
    plain(alice).header("accept", "text/csv").send().await.problem(406, "not_acceptable");
    let long = " ".repeat(65_537);
    plain(alice).body(long.clone()).send().await.problem(415, "unsupported_media_type");
    alice.post_text(TRANSFERS, long).send().await.problem(413, "payload_too_large");
    alice.post_text(TRANSFERS, "{").send().await.problem(400, "idempotency_key_missing");
    alice.post_text(TRANSFERS, "{").key("a b").send().await.invalid("invalid_request", "");
    alice.post_text(TRANSFERS, "{").key("k").send().await.problem(400, "invalid_json");
    let unknown = with(euros(NOTHING, NOTHING, 0), "currency", json!("ZZZ"));
    alice.transfer_as("k", &unknown).send().await.invalid("invalid_request", "/amount");
    let unknown = with(unknown, "amount", json!(1));
    alice.transfer_as("k", &unknown).send().await.invalid("currency_unknown", "/currency");
    // What is wrong with a body is told though the key stands for something, and that before the ledger's reasons.
    let used = alice.transfer_as("k", &world.payment(1)).send().await;
    used.json(201);
    alice.transfer_as("k", &unknown).send().await.problem(422, "currency_unknown");
    let other = euros(NOTHING, NOTHING, 1);
    alice.transfer_as("k", &other).send().await.problem(422, "idempotency_key_reused");
    assert_replays(&alice.transfer_as("k", &world.payment(1)).send().await, &used);
}

async fn of_a_transfer_that_the_ledger_judges(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&*world.alice.account, &*world.bob.account);
    let yen = world.open(&json!({"currency": "JPY", "owner": "bob"})).await;
    let most = (1 << 53) - 1;
    let full = world.open(&json!({"currency": "EUR"})).await;
    let source = world.open(&json!({"currency": "EUR", "min_balance": null})).await;
    world.operator.transfer(&euros(&source, &full, most)).send().await.json(201);
    for (debit, credit, status, code) in [
        (NOTHING, NOTHING, 422, "same_account"),
        (NOTHING, &*yen, 422, "account_not_found"),
        (bob, NOTHING, 403, "forbidden"),
        (alice, NOTHING, 422, "account_not_found"),
        (alice, &yen, 422, "currency_mismatch"),
        (alice, &full, 422, "insufficient_funds"),
    ] {
        let answer = world.alice.api.transfer(&euros(debit, credit, FUNDS + 1)).send().await;
        assert_eq!(answer.status, status, "{debit} {credit}: {}", answer.text());
        answer.problem(status, code);
    }
    let answer = world.operator.transfer(&euros(&source, &full, 1)).send().await;
    let told = answer.problem(422, "balance_overflow");
    assert!(told["detail"].as_str().unwrap().contains("debit"), "{told}");
}

async fn of_a_reversal(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&world.alice.api, &world.bob.api);
    let pending = world.hold(10).await;
    let reverse = |api: &Api, of: &str, key: &str, body: &str| {
        api.post_text(&format!("{TRANSFERS}/{of}/reverse"), body.to_owned()).key(key).send()
    };
    let id = pending["id"].as_str().unwrap();
    reverse(&world.nobody, "x", "a b", "{").await.problem(401, "unauthenticated");
    let keyless = bob.post_text(&format!("{TRANSFERS}/x/reverse"), "{").send().await;
    keyless.problem(400, "idempotency_key_missing");
    reverse(bob, "x", "a b", "{").await.invalid("invalid_request", "");
    reverse(bob, "x", "k", "{").await.problem(400, "invalid_json");
    reverse(bob, "x", "k", r#"{"amount":1}"#).await.invalid("invalid_request", "/amount");
    reverse(bob, "x", "k", "{}").await.problem(404, "not_found");
    reverse(bob, NOTHING, "k", "").await.problem(404, "not_found");
    // It is bob's to give back.
    reverse(alice, id, "k", "").await.problem(403, "forbidden");
    reverse(bob, id, "pending", "").await.problem(409, "transfer_not_posted");

    let paid = alice.transfer(&world.payment(FUNDS - 10)).send().await.json(201);
    let back = act(bob, &paid, "reverse", "back").send().await.json(201);
    // Of the money that went back there is none left to go again.
    world.operator.transfer(&euros(&world.bob.account, &world.bank, FUNDS)).send().await.json(201);
    act(bob, &paid, "reverse", "twice").send().await.problem(409, "already_reversed");
    world.operator.transfer(&euros(&world.alice.account, &world.bank, FUNDS - 10)).send().await.json(201);
    act(alice, &back, "reverse", "again").send().await.problem(409, "not_reversible");
    reverse(bob, NOTHING, "twice", "").await.problem(422, "idempotency_key_reused");
}

async fn of_an_account_to_be(store: Store) {
    let world = World::of(store).await;
    let (alice, operator) = (&world.alice.api, &world.operator);
    world.nobody.post_text(ACCOUNTS, "{").send().await.problem(401, "unauthenticated");
    alice.post_text(ACCOUNTS, "{").send().await.problem(400, "invalid_json");
    let body = json!({"currency": "ZZZ", "owner": "ghost", "min_balance": -1, "name": ""});
    alice.post(ACCOUNTS, &body).send().await.invalid("invalid_request", "/name");
    let body = with(body, "name", json!("n"));
    alice.post(ACCOUNTS, &body).send().await.problem(422, "currency_unknown");
    let body = with(body, "currency", json!("EUR"));
    alice.post(ACCOUNTS, &body).send().await.problem(403, "forbidden");
    operator.post(ACCOUNTS, &body).send().await.problem(422, "user_not_found");
}

/// Each of these asks for the same things in the same order.
async fn of_what_is_read_of_an_account(store: Store) {
    let world = World::of(store).await;
    let alice = &world.alice.api;
    for (rest, flaw, pointer) in [
        ("/entries", "?limit=0", "/limit"),
        ("/entries", "?cursor=x", "/cursor"),
        ("/balance", "?at=now", "/at"),
        ("/statement", "?from=now", "/from"),
    ] {
        let read = |api: &Api, id: &str, query: &str| api.get(&format!("{ACCOUNTS}/{id}{rest}{query}"));
        let other = &*world.bob.account;
        read(&world.nobody, "x", flaw)
            .header("accept", "image/png")
            .send()
            .await
            .problem(401, "unauthenticated");
        read(alice, "x", flaw).header("accept", "image/png").send().await.problem(406, "not_acceptable");
        read(alice, "x", flaw).send().await.problem(404, "not_found");
        read(alice, NOTHING, flaw).send().await.invalid("invalid_request", pointer);
        read(alice, other, flaw).send().await.invalid("invalid_request", pointer);
        read(alice, NOTHING, "").send().await.problem(404, "not_found");
        read(alice, other, "").send().await.problem(403, "forbidden");
    }
    // Whose it is comes before what has not come yet.
    let future = |id: &str| alice.get(&format!("{ACCOUNTS}/{id}/balance?at=9999-01-01T00:00:00Z")).send();
    future(NOTHING).await.problem(404, "not_found");
    future(&world.bob.account).await.problem(403, "forbidden");
    future(&world.alice.account).await.invalid("invalid_request", "/at");
}

async fn of_a_statement(store: Store) {
    let world = World::of(store).await;
    let backwards = "?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z";
    let read = |id: &str| {
        world.alice.api.get(&format!("{ACCOUNTS}/{id}/statement{backwards}")).header("accept", "text/csv")
    };
    read(NOTHING).send().await.problem(404, "not_found");
    read(&world.bob.account).send().await.problem(403, "forbidden");
    read(&world.alice.account).send().await.invalid("invalid_request", "/to");
}

async fn of_lists(store: Store) {
    let world = World::of(store).await;
    let alice = &world.alice.api;
    for list in [ACCOUNTS, TRANSFERS] {
        let read = |api: &Api| api.get(&format!("{list}?limit=0")).header("accept", "text/html");
        read(&world.nobody).send().await.problem(401, "unauthenticated");
        read(alice).send().await.problem(406, "not_acceptable");
        alice.get(&format!("{list}?limit=0")).send().await.invalid("invalid_request", "/limit");
    }
    let search =
        |account: &str, flaw: &str| alice.get(&format!("{TRANSFERS}?account={account}{flaw}")).send();
    for account in [NOTHING, &world.bob.account] {
        search(account, "&status=done").await.invalid("invalid_request", "/status");
        search(account, "&reference=").await.invalid("invalid_request", "/reference");
    }
    search(NOTHING, "").await.problem(404, "not_found");
    search(&world.bob.account, "").await.problem(403, "forbidden");
    let transfer = world.operator.transfer(&euros(&world.bank, &world.bob.account, 1)).send().await.json(201);
    world.nobody.get(&path_of(&transfer)).send().await.problem(401, "unauthenticated");
    alice.get(&path_of(&transfer)).send().await.problem(403, "forbidden");
}

async fn of_a_feed(store: Store) {
    let world = World::of(store).await;
    let alice = &world.alice.api;
    let feed = |api: &Api, query: &str| api.get(&format!("/api/v1/events{query}"));
    let handshake = |request: Request, version: &str| {
        let request = request.header("connection", "upgrade").header("upgrade", "websocket");
        let request = request.header("sec-websocket-version", version);
        request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").send()
    };
    let flawed = format!("?account={NOTHING}&after=x");
    feed(&world.nobody, &flawed).send().await.problem(401, "unauthenticated");
    feed(alice, &flawed).send().await.problem(426, "upgrade_required");
    handshake(feed(alice, &flawed), "8").await.problem(426, "upgrade_required");
    handshake(feed(alice, &flawed), "13").await.invalid("invalid_request", "/after");
    handshake(feed(alice, &format!("?account={NOTHING}")), "13").await.problem(404, "not_found");
    let foreign = format!("?account={}", world.bob.account);
    handshake(feed(alice, &foreign), "13").await.problem(403, "forbidden");
    // A ticket is asked for in the same way as everything else.
    world.nobody.request(Method::POST, "/api/v1/events/tickets").send().await.problem(401, "unauthenticated");
}
