//! Batches: many transfers in one request, each on its own or all or none.

mod bodies;
mod bounds;

use serde_json::{Value, json};

use crate::support::{
    Answer, Api, FUNDS, LAST_SEQ, Request, Store, World, assert_members, assert_replays, euros,
    on_both_stores, path_of, whole_list,
};

const BATCH: &str = "/api/v1/transfers/batch";
/// As many batches as one user may have under way, even if all come to one core.
const CROWD: usize = 8;
/// A well-formed id of nothing.
const NOTHING: &str = "01900000-0000-7000-8000-0000000000ff";

on_both_stores!(
    each_transfer_has_its_own_result_in_order,
    an_atomic_batch_is_done_whole_or_not_at_all,
    each_transfer_sees_those_before_it,
    a_batch_may_hold_money,
    a_replay_tells_what_was_told_then,
    a_key_stands_for_one_batch,
    a_crowd_with_one_key_makes_one_batch,
    each_debit_is_its_owners,
    events_of_a_batch_follow_one_another_in_a_crowd,
);

/// A batch under `key`.
fn batch(api: &Api, key: &str, atomic: bool, transfers: &[Value]) -> Request {
    api.post(BATCH, &json!({"atomic": atomic, "transfers": transfers})).key(key)
}

/// The status of each result, and the code of each problem; checks the shape of all.
#[track_caller]
fn results(document: &Value, request_id: &str) -> Vec<(u64, String)> {
    let results = document["results"].as_array().unwrap_or_else(|| panic!("no results: {document}"));
    let told = results.iter().zip(0_u64..).map(|(result, index)| {
        assert_eq!(result["index"], index, "{result}");
        let status = result["status"].as_u64().unwrap();
        if status == 201 {
            assert_members(result, &["index", "status", "transfer"]);
            assert_eq!(result["transfer"].as_object().unwrap().len(), 15, "{result}");
            return (status, String::new());
        }
        assert_members(result, &["index", "status", "problem"]);
        let problem = &result["problem"];
        assert_members(problem, &["type", "title", "status", "detail", "instance", "code"]);
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["status"], status, "{result}");
        assert_eq!(problem["type"], format!("urn:ringledger:problem:{code}"), "{result}");
        assert_eq!(problem["instance"], format!("urn:uuid:{request_id}"), "{result}");
        (status, code.to_owned())
    });
    told.collect()
}

/// The results of an answer that must be 200.
#[track_caller]
fn done(answer: &Answer) -> Vec<(u64, String)> {
    assert_members(&answer.is_not_stored().json(200), &["results"]);
    results(&answer.json(200), answer.header("x-request-id").unwrap())
}

/// The results of an answer that must say that the batch was refused.
#[track_caller]
fn refused(answer: &Answer) -> Vec<(u64, String)> {
    let problem = answer.is_not_stored().problem(422, "batch_refused");
    assert_members(&problem, &["type", "title", "status", "detail", "instance", "code", "results"]);
    let request_id = answer.header("x-request-id").unwrap();
    assert_eq!(problem["instance"], format!("urn:uuid:{request_id}"));
    results(&problem, request_id)
}

/// `(201, "")` or a refusal, to compare with.
fn told(status: u64, code: &str) -> (u64, String) {
    (status, code.to_owned())
}

/// Transfers of alice's, one for each thing that the ledger can say of one.
async fn mixed(world: &World) -> Vec<(Value, u64, &'static str)> {
    let yen = world.open(&json!({"currency": "JPY"})).await;
    let (alice, bob) = (&world.alice.account, &world.bob.account);
    let mut dear = world.payment(FUNDS + 1);
    dear["pending"] = json!(true);
    vec![
        (world.payment(1), 201, ""),
        (euros(alice, alice, 1), 422, "same_account"),
        (euros(NOTHING, bob, 1), 422, "account_not_found"),
        (euros(bob, alice, 1), 403, "forbidden"),
        (euros(alice, NOTHING, 1), 422, "account_not_found"),
        (euros(alice, &yen, 1), 422, "currency_mismatch"),
        (dear, 422, "insufficient_funds"),
        (world.payment(2), 201, ""),
    ]
}

async fn each_transfer_has_its_own_result_in_order(store: Store) {
    let world = World::of(store).await;
    let cases = mixed(&world).await;
    let transfers: Vec<_> = cases.iter().map(|(body, ..)| body.clone()).collect();
    let expected: Vec<_> = cases.iter().map(|(_, status, code)| told(*status, code)).collect();
    let answer = batch(&world.alice.api, "k", false, &transfers).send().await;
    assert_eq!(done(&answer), expected);
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(answer.header("location"), None);
    let results = answer.json(200)["results"].clone();
    for (place, seq) in [(0, LAST_SEQ + 1), (7, LAST_SEQ + 2)] {
        let transfer = &results[place]["transfer"];
        assert_eq!(transfer["seq"], seq, "refused ones take no number");
        assert_eq!(&world.transfer(transfer).await, transfer);
    }
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 3);
    // Independent is the default.
    let plain = world.alice.api.post(BATCH, &json!({"transfers": transfers})).key("plain").send().await;
    assert_eq!(done(&plain), expected);
    let null = world.alice.api.post(BATCH, &json!({"atomic": null, "transfers": transfers})).key("null");
    assert_eq!(done(&null.send().await), expected);
    // Also when nothing could be done.
    let none = batch(&world.alice.api, "none", false, &transfers[1..7]).send().await;
    assert_eq!(done(&none), expected[1..7]);
    assert_eq!(world.next_seq().await, LAST_SEQ + 7);
}

async fn an_atomic_batch_is_done_whole_or_not_at_all(store: Store) {
    let world = World::of(store).await;
    let cases = mixed(&world).await;
    let transfers: Vec<_> = cases.iter().map(|(body, ..)| body.clone()).collect();
    let before = (world.account(&world.alice.account).await, world.account(&world.bob.account).await);
    let answer = batch(&world.alice.api, "k", true, &transfers).send().await;
    let expected: Vec<_> = cases
        .iter()
        .map(
            |(_, status, code)| if *status == 201 { told(424, "batch_aborted") } else { told(*status, code) },
        )
        .collect();
    assert_eq!(refused(&answer), expected);
    assert_replays(&batch(&world.alice.api, "k", true, &transfers).send().await, &answer);
    let after = (world.account(&world.alice.account).await, world.account(&world.bob.account).await);
    assert_eq!(after, before, "versions too");
    let good = [world.payment(FUNDS - 1), world.payment(1)];
    let answer = batch(&world.alice.api, "good", true, &good).send().await;
    assert_eq!(done(&answer), [told(201, ""), told(201, "")]);
    let seqs = answer.json(200)["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["transfer"]["seq"].clone())
        .collect();
    assert_eq!(Value::Array(seqs), json!([LAST_SEQ + 1, LAST_SEQ + 2]));
    assert_eq!(world.balance(&world.bob.account).await, 2 * FUNDS);
}

async fn each_transfer_sees_those_before_it(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&world.alice.account, &world.bob.account);
    let chain = [
        euros(alice, bob, FUNDS),
        euros(alice, bob, 1),
        euros(bob, alice, 2 * FUNDS),
        euros(alice, bob, 2 * FUNDS),
        euros(bob, &world.bank, 2 * FUNDS + 1),
    ];
    let expected = [
        told(201, ""),
        told(422, "insufficient_funds"),
        told(201, ""),
        told(201, ""),
        told(422, "insufficient_funds"),
    ];
    let answer = batch(&world.operator, "k", false, &chain).send().await;
    assert_eq!(done(&answer), expected);
    assert_eq!((world.balance(alice).await, world.balance(bob).await), (0, 2 * FUNDS));
    let entries = whole_list(&world.alice.api, &format!("{}/entries", world.alice.path())).await;
    let balances: Vec<_> = entries.iter().map(|entry| entry["balance"].as_i64().unwrap()).collect();
    assert_eq!(balances, [0, 2 * FUNDS, 0, FUNDS], "running, newest first");
    // On the way to a refusal, an atomic one goes the same way.
    let answer =
        batch(&world.operator, "a", true, &[euros(bob, alice, 2 * FUNDS), euros(bob, alice, 1)]).send().await;
    assert_eq!(refused(&answer), [told(424, "batch_aborted"), told(422, "insufficient_funds")]);
    assert_eq!(world.account(bob).await["version"], 5);
}

async fn a_batch_may_hold_money(store: Store) {
    let world = World::of(store).await;
    let mut limited = world.payment(30);
    limited["pending"] = json!(true);
    limited["timeout_seconds"] = json!(3_600);
    let mut endless = world.payment(FUNDS - 30);
    endless["pending"] = json!(true);
    let answer = batch(&world.alice.api, "k", true, &[limited, endless]).send().await;
    done(&answer);
    let results = answer.json(200)["results"].clone();
    let [limited, endless] = [0, 1].map(|place| results[place]["transfer"].clone());
    assert_eq!((&limited["status"], &endless["status"]), (&json!("pending"), &json!("pending")));
    assert!(limited["expires_at"].is_string() && endless["expires_at"].is_null(), "{results}");
    let account = world.account(&world.alice.account).await;
    assert_eq!((&account["held"], &account["available"]), (&json!(FUNDS), &json!(0)));
    crate::support::act(&world.alice.api, &limited, "post", "p").send().await.json(200);
    crate::support::act(&world.alice.api, &endless, "void", "v").send().await.json(200);
    let account = world.account(&world.alice.account).await;
    assert_eq!((&account["held"], &account["available"]), (&json!(0), &json!(FUNDS - 30)));
}

async fn a_replay_tells_what_was_told_then(store: Store) {
    let world = World::of(store).await;
    let mut transfers: Vec<_> = mixed(&world).await.into_iter().map(|(body, ..)| body).collect();
    transfers[0]["pending"] = json!(true);
    transfers[0]["metadata"] = json!({"b": [1, {"c": "é"}], "a": null});
    let api = &world.alice.api;
    let independent =
        batch(api, "independent", false, &transfers).header("x-request-id", "first").send().await;
    independent.json(200);
    let atomic = batch(api, "atomic", true, &transfers).send().await;
    refused(&atomic);
    let nothing = batch(api, "nothing", false, &transfers[1..3]).send().await;
    done(&nothing);
    let hold = &independent.json(200)["results"][0]["transfer"];
    crate::support::act(api, hold, "void", "void").send().await.json(200);
    let world = world.after_a_crash();
    let api = &world.alice.api;
    let again = batch(api, "independent", false, &transfers).header("x-request-id", "second").send().await;
    assert_replays(&again, &independent);
    assert_eq!(again.header("x-request-id"), Some("second"));
    let problem = &again.json(200)["results"][1]["problem"];
    assert_eq!(problem["instance"], "urn:request:first", "the request that was told so first");
    assert_replays(&batch(api, "atomic", true, &transfers).send().await, &atomic);
    assert_replays(&batch(api, "nothing", false, &transfers[1..3]).send().await, &nothing);
    // Order of members and white space do not matter.
    let items: Vec<_> = transfers.iter().map(ToString::to_string).collect();
    let text = format!(" {{ \"transfers\":[ {} ],\n\"atomic\":false }}", items.join(" ,\t"));
    assert_replays(&api.post_text(BATCH, text).key("independent").send().await, &independent);
    assert_eq!(world.next_seq().await, LAST_SEQ + 4);
}

async fn a_key_stands_for_one_batch(store: Store) {
    let world = World::of(store).await;
    let api = &world.alice.api;
    let two = [world.payment(1), world.payment(2)];
    api.post(BATCH, &json!({"transfers": two})).send().await.problem(400, "idempotency_key_missing");
    let first = batch(api, "k", false, &two).send().await;
    done(&first);
    let mut held = two.clone();
    held[1]["pending"] = json!(true);
    for other in [
        batch(api, "k", true, &two),
        batch(api, "k", false, &two[..1]),
        batch(api, "k", false, &[two[1].clone(), two[0].clone()]),
        batch(api, "k", false, &held),
        api.transfer_as("k", &two[0]),
    ] {
        other.send().await.is_not_stored().problem(422, "idempotency_key_reused");
    }
    api.transfer_as("t", &two[0]).send().await.json(201);
    batch(api, "t", false, &two[..1]).send().await.problem(422, "idempotency_key_reused");
    assert_replays(&batch(api, "k", false, &two).send().await, &first);
    assert_eq!(world.balance(&world.bob.account).await, FUNDS + 4);
}

async fn a_crowd_with_one_key_makes_one_batch(store: Store) {
    let world = World::of(store).await;
    let items = [world.payment(1), world.payment(2)];
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..CROWD {
        let api = Api::anonymous(&world.server).with_token(world.alice.api.token());
        crowd.spawn(batch(&api, "one", true, &items).send());
    }
    let answers = crowd.join_all().await;
    assert!(
        answers.iter().all(|answer| answer.status == 200 && answer.text() == answers[0].text()),
        "{answers:?}"
    );
    let first = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none());
    assert_eq!(first.count(), 1);
    assert_eq!(world.balance(&world.bob.account).await, FUNDS + 3);
}

async fn each_debit_is_its_owners(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&world.alice.account, &world.bob.account);
    let both = [euros(alice, bob, 1), euros(bob, alice, 1)];
    let (mine, theirs, aborted) = (told(201, ""), told(403, "forbidden"), told(424, "batch_aborted"));
    batch(&world.nobody, "k", false, &both).send().await.problem(401, "unauthenticated");
    let answer = batch(&world.alice.api, "k", false, &both).send().await;
    assert_eq!(done(&answer), [mine.clone(), theirs.clone()]);
    let answer = batch(&world.bob.api, "k", true, &both).send().await;
    assert_eq!(refused(&answer), [theirs, aborted]);
    let answer = batch(&world.operator, "k", true, &both).send().await;
    assert_eq!(done(&answer), [mine.clone(), mine]);
    let transfer = &answer.json(200)["results"][1]["transfer"];
    for reader in [&world.alice.api, &world.bob.api] {
        assert_eq!(&reader.get(&path_of(transfer)).send().await.json(200), transfer);
    }
}

async fn events_of_a_batch_follow_one_another_in_a_crowd(store: Store) {
    const ITEMS: usize = 25;
    let world = World::of(store).await;
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..CROWD {
        let items: Vec<_> = (0..ITEMS).map(|_| world.payment(1)).collect();
        crowd.spawn(batch(&world.alice.api, &format!("b{n}"), n % 2 == 0, &items).send());
        crowd.spawn(world.operator.transfer(&euros(&world.bank, &world.bob.account, 1)).send());
    }
    let mut seqs = Vec::new();
    for answer in crowd.join_all().await {
        if answer.status == 201 {
            seqs.push(answer.json(201)["seq"].as_u64().unwrap());
            continue;
        }
        let results = answer.json(200)["results"].clone();
        let own: Vec<_> = results
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["transfer"]["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(own, (own[0]..own[0] + ITEMS as u64).collect::<Vec<_>>());
        seqs.extend(own);
    }
    seqs.sort_unstable();
    let all = (CROWD * (ITEMS + 1)) as u64;
    assert_eq!(seqs, (LAST_SEQ + 1..=LAST_SEQ + all).collect::<Vec<_>>());
    let moved = i64::try_from(CROWD * ITEMS).unwrap();
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - moved);
    world.server.verify(None);
}
