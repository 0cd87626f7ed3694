//! Posted transfers: what they may be, what the ledger makes of them, who sees them.

use serde_json::{Value, json};

use crate::support::{
    FUNDS, LAST_SEQ, Store, World, assert_members, assert_uuid_v7, euros, on_both_stores, time_of,
    whole_list, with,
};

/// The largest sum that JSON readers keep exactly.
const MAX: i64 = (1 << 53) - 1;
/// A well-formed id of nothing.
const NOTHING: &str = "01900000-0000-7000-8000-0000000000ff";

on_both_stores!(
    a_transfer_moves_money_once_and_for_all,
    what_a_caller_adds_comes_back,
    what_a_transfer_may_not_be,
    numbers_are_told_apart_by_their_spelling,
    the_ledger_refuses_with_a_reason_and_takes_no_number,
    only_the_debit_side_may_pay,
    transfers_are_seen_by_both_sides_and_operators,
    an_account_is_spent_down_to_its_floor,
    balances_stay_within_what_json_can_count,
    seq_has_no_gaps_under_a_crowd,
);

async fn a_transfer_moves_money_once_and_for_all(store: Store) {
    let world = World::of(store).await;
    let answer = world.alice.api.transfer(&world.payment(1_250)).send().await;
    let transfer = answer.is_not_stored().json(201);
    assert_members(
        &transfer,
        &[
            "id",
            "seq",
            "status",
            "debit_account",
            "credit_account",
            "amount",
            "posted_amount",
            "currency",
            "description",
            "metadata",
            "reference",
            "expires_at",
            "reverses",
            "reversed_by",
            "created_at",
        ],
    );
    assert_uuid_v7(transfer["id"].as_str().unwrap());
    time_of(&transfer["created_at"]);
    for (member, value) in [
        ("seq", json!(LAST_SEQ + 1)),
        ("status", json!("posted")),
        ("debit_account", json!(world.alice.account)),
        ("credit_account", json!(world.bob.account)),
        ("amount", json!(1_250)),
        ("posted_amount", json!(1_250)),
        ("currency", json!("EUR")),
    ] {
        assert_eq!(transfer[member], value, "{member}");
    }
    for absent in ["description", "metadata", "reference", "expires_at", "reverses", "reversed_by"] {
        assert!(transfer[absent].is_null(), "{absent}");
    }
    let location = answer.header("location").unwrap();
    assert_eq!(location, format!("/api/v1/transfers/{}", transfer["id"].as_str().unwrap()));
    assert_eq!(answer.header("idempotency-replayed"), None);
    for reader in [&world.alice.api, &world.bob.api, &world.operator] {
        assert_eq!(reader.get(location).send().await.is_not_stored().json(200), transfer);
    }
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 1_250);
    assert_eq!(world.balance(&world.bob.account).await, FUNDS + 1_250);
    assert_eq!(world.balance(&world.bank).await, -2 * FUNDS);
}

async fn what_a_caller_adds_comes_back(store: Store) {
    let world = World::of(store).await;
    let metadata = json!({
        "invoice": {"number": "2026/17", "lines": [1, -2, 2.5, true, null, "é \u{1} \" \\"]},
        "": {},
        "big": u64::MAX,
        "small": i64::MIN,
    });
    let mut body = world.payment(1);
    body["description"] = json!("d".repeat(512));
    body["reference"] = json!("ü".repeat(128));
    body["metadata"] = metadata;
    body["pending"] = json!(false);
    let transfer = world.alice.api.transfer(&body).send().await.json(201);
    let path = format!("/api/v1/transfers/{}", transfer["id"].as_str().unwrap());
    let read = world.bob.api.get(&path).send().await.json(200);
    for member in ["description", "reference", "metadata"] {
        assert_eq!(transfer[member], body[member]);
        assert_eq!(read[member], body[member]);
    }
}

async fn what_a_transfer_may_not_be(store: Store) {
    let world = World::of(store).await;
    let good = world.payment(1);
    let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
    let mut cases = Vec::new();
    for member in ["debit_account", "credit_account", "amount", "currency"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(member);
        cases.push((body, format!("/{member}")));
        cases.push((with(good.clone(), member, Value::Null), format!("/{member}")));
        cases.push((with(good.clone(), member, json!([])), format!("/{member}")));
    }
    for (member, value) in [
        ("debit_account", json!("x")),
        ("debit_account", json!("")),
        ("credit_account", json!(7)),
        ("credit_account", json!(format!("{NOTHING}0"))),
        ("amount", json!(0)),
        ("amount", json!(-1)),
        ("amount", json!(MAX + 1)),
        ("amount", json!(i64::MAX)),
        ("amount", json!(u64::MAX)),
        ("amount", json!(1e300)),
        ("amount", json!(1.0)),
        ("amount", json!(0.5)),
        ("amount", json!("1")),
        ("amount", json!(true)),
        ("currency", json!(978)),
        ("description", json!("")),
        ("description", json!("d".repeat(513))),
        ("description", json!("a\u{0}b")),
        ("description", json!(1)),
        ("reference", json!("")),
        ("reference", json!("r".repeat(129))),
        ("metadata", json!([])),
        ("metadata", json!("{}")),
        ("metadata", json!({"m": "m".repeat(4_096)})),
        ("pending", json!("yes")),
        ("pending", json!(1)),
        ("fee", json!(1)),
        ("id", json!(NOTHING)),
    ] {
        cases.push((with(good.clone(), member, value), format!("/{member}")));
    }
    for (body, pointer) in cases {
        let answer = world.alice.api.transfer(&body).send().await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        answer.invalid("invalid_request", &pointer);
    }
    let deep = with(good.clone(), "metadata", nested(17));
    let problem = world.alice.api.transfer(&deep).send().await.problem(422, "invalid_request");
    assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with("/metadata"), "{problem}");
    let allowed = with(good.clone(), "metadata", nested(16));
    world.alice.api.transfer(&allowed).send().await.json(201);
    // {"m":"…"} of exactly 4 KiB.
    let full = with(good, "metadata", json!({"m": "m".repeat(4_096 - 8)}));
    world.alice.api.transfer(&full).send().await.json(201);
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 2);
}

async fn numbers_are_told_apart_by_their_spelling(store: Store) {
    let world = World::of(store).await;
    let spelled = |amount: &str| world.payment(7).to_string().replace(":7", &format!(":{amount}"));
    let post = |amount: &str| {
        world.alice.api.post_text("/api/v1/transfers", spelled(amount)).key(&format!("k{amount}")).send()
    };
    for amount in ["1.0", "1e0", "1E2", "10e-1", "0.1e1", "1e400", "-0", "-0.0"] {
        post(amount).await.invalid("invalid_request", "/amount");
    }
    for amount in ["01", "+1", "1.", ".5", "0x1", "1_000", "NaN", "Infinity"] {
        post(amount).await.problem(400, "invalid_json");
    }
    post("1").await.json(201);
}

async fn the_ledger_refuses_with_a_reason_and_takes_no_number(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&world.alice.account, &world.bob.account);
    let yen = world.open(&json!({"currency": "JPY", "owner": "alice"})).await;
    let in_yen = |debit: &str, credit: &str| with(euros(debit, credit, 1), "currency", json!("JPY"));
    let cases = [
        (euros(alice, alice, 1), "same_account"),
        (euros(alice, NOTHING, 1), "account_not_found"),
        (euros(NOTHING, alice, 1), "account_not_found"),
        (euros(alice, &yen, 1), "currency_mismatch"),
        (euros(&yen, alice, 1), "currency_mismatch"),
        (in_yen(alice, bob), "currency_mismatch"),
        (in_yen(alice, &yen), "currency_mismatch"),
        (euros(alice, bob, FUNDS + 1), "insufficient_funds"),
        (euros(alice, bob, MAX), "insufficient_funds"),
    ];
    for (body, code) in cases {
        world.alice.api.transfer(&body).send().await.is_not_stored().problem(422, code);
    }
    for unknown in ["eur", "ZZZ", "EURO", ""] {
        let body = with(world.payment(1), "currency", json!(unknown));
        world.alice.api.transfer(&body).send().await.problem(422, "currency_unknown");
    }
    let next = world.alice.api.transfer(&world.payment(FUNDS)).send().await.json(201);
    assert_eq!(next["seq"], LAST_SEQ + 1);
    assert_eq!(world.balance(alice).await, 0);
    assert_eq!(world.balance(bob).await, 2 * FUNDS);
    assert_eq!(whole_list(&world.alice.api, &format!("{}/entries", world.alice.path())).await.len(), 2);
}

async fn only_the_debit_side_may_pay(store: Store) {
    let world = World::of(store).await;
    let theft = euros(&world.bob.account, &world.alice.account, 1);
    world.alice.api.transfer(&theft).send().await.problem(403, "forbidden");
    assert_eq!(world.balance(&world.bob.account).await, FUNDS);
    // An operator may pay from anybody's account, but not below its floor.
    world.operator.transfer(&theft).send().await.json(201);
    let too_much = euros(&world.bob.account, &world.alice.account, FUNDS);
    world.operator.transfer(&too_much).send().await.problem(422, "insufficient_funds");
}

async fn transfers_are_seen_by_both_sides_and_operators(store: Store) {
    let world = World::of(store).await;
    let body = euros(&world.bank, &world.alice.account, 1);
    let transfer = world.operator.transfer(&body).send().await.json(201);
    let path = format!("/api/v1/transfers/{}", transfer["id"].as_str().unwrap());
    world.alice.api.get(&path).send().await.json(200);
    world.bob.api.get(&path).send().await.problem(403, "forbidden");
    for id in [NOTHING, "x", "00000000-0000-0000-0000-000000000000", &world.alice.account] {
        let path = format!("/api/v1/transfers/{id}");
        world.alice.api.get(&path).send().await.problem(404, "not_found");
    }
}

async fn an_account_is_spent_down_to_its_floor(store: Store) {
    let world = World::of(store).await;
    for (min_balance, floor) in [(json!(0), 0), (json!(-100), 100), (Value::Null, MAX)] {
        let account =
            world.open(&json!({"currency": "EUR", "owner": "alice", "min_balance": min_balance})).await;
        let spend = |amount: i64| {
            let credit = if floor == MAX { &world.bank } else { &world.bob.account };
            world.alice.api.transfer(&euros(&account, credit, amount)).send()
        };
        if floor == MAX {
            // No floor but the range: the whole of it can be owed.
            spend(MAX).await.json(201);
            spend(1).await.problem(422, "balance_overflow");
        } else {
            spend(floor + 1).await.problem(422, "insufficient_funds");
            if floor > 0 {
                spend(floor).await.json(201);
            }
            spend(1).await.problem(422, "insufficient_funds");
        }
        assert_eq!(world.balance(&account).await, -floor);
    }
}

async fn balances_stay_within_what_json_can_count(store: Store) {
    let world = World::of(store).await;
    let full = world.open(&json!({"currency": "EUR"})).await;
    let source = world.open(&json!({"currency": "EUR", "min_balance": null})).await;
    let transfer = world.operator.transfer(&euros(&source, &full, MAX)).send().await.json(201);
    assert_eq!((&transfer["amount"], &transfer["posted_amount"]), (&json!(MAX), &json!(MAX)));
    assert_eq!((world.balance(&full).await, world.balance(&source).await), (MAX, -MAX));
    // The credit side is full, then the debit side is.
    world.operator.transfer(&euros(&world.bank, &full, 1)).send().await.problem(422, "balance_overflow");
    world.operator.transfer(&euros(&source, &world.bank, 1)).send().await.problem(422, "balance_overflow");
    let account = world.operator.get(&format!("/api/v1/accounts/{source}")).send().await.json(200);
    assert_eq!((&account["available"], &account["min_balance"]), (&json!(-MAX), &Value::Null));
    // And all the way back.
    world.operator.transfer(&euros(&full, &source, MAX)).send().await.json(201);
    assert_eq!((world.balance(&full).await, world.balance(&source).await), (0, 0));
}

async fn seq_has_no_gaps_under_a_crowd(store: Store) {
    let world = World::of(store).await;
    let mut crowd = tokio::task::JoinSet::new();
    for index in 0..40 {
        // Every fourth is refused.
        let amount = if index % 4 == 0 { 2 * FUNDS } else { 1 };
        crowd.spawn(world.alice.api.transfer(&world.payment(amount)).send());
    }
    let answers = crowd.join_all().await;
    let mut seqs = Vec::new();
    for answer in answers {
        if answer.status == 201 {
            seqs.push(answer.json(201)["seq"].as_u64().unwrap());
        } else {
            answer.problem(422, "insufficient_funds");
        }
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (LAST_SEQ + 1..=LAST_SEQ + 30).collect::<Vec<_>>());
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 30);
    // Time never falls as seq grows.
    let path = format!("{}/entries", world.alice.path());
    let entries = whole_list(&world.alice.api, &path).await;
    let times: Vec<_> = entries.iter().map(|entry| time_of(&entry["created_at"])).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
}
