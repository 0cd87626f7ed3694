//! Opening accounts, reading them, walking through them and their entries.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{
    Api, FUNDS, LAST_SEQ, Store, World, add_user, assert_members, assert_uuid_v7, euros, on_both_stores,
    pages, run, time_of, whole_list,
};

const ACCOUNTS: &str = "/api/v1/accounts";

on_both_stores!(
    a_new_account_is_empty_and_its_owners,
    a_name_may_be_left_out,
    what_an_account_may_be,
    users_open_plain_accounts_of_their_own_and_operators_any,
    accounts_are_seen_by_owner_and_operator,
    a_reader_who_has_the_version_is_sent_nothing,
    the_list_of_accounts_is_walked_page_by_page,
    lists_refuse_what_they_do_not_know,
    entries_tell_an_accounts_history_newest_first,
    entries_are_walked_page_by_page,
    entries_of_a_period_begin_inclusive_and_end_exclusive,
    a_balance_is_told_of_any_time_that_has_come,
);

async fn a_new_account_is_empty_and_its_owners(store: Store) {
    let world = World::of(store).await;
    let answer = world.alice.api.post(ACCOUNTS, &json!({"currency": "EUR", "name": "Rent"})).send().await;
    let account = answer.is_not_stored().json(201);
    assert_members(
        &account,
        &[
            "id",
            "owner",
            "name",
            "currency",
            "balance",
            "held",
            "available",
            "min_balance",
            "version",
            "created_at",
        ],
    );
    let id = account["id"].as_str().unwrap();
    assert_uuid_v7(id);
    time_of(&account["created_at"]);
    assert_eq!(account["owner"], world.alice.id);
    assert_eq!((&account["name"], &account["currency"]), (&json!("Rent"), &json!("EUR")));
    for member in ["balance", "held", "available", "min_balance"] {
        assert_eq!(account[member], 0, "{member}");
    }
    assert!(account["version"].is_u64());
    assert_eq!(answer.header("location"), Some(&*format!("{ACCOUNTS}/{id}")));

    let read = world.alice.api.get(answer.header("location").unwrap()).send().await;
    assert_eq!(read.is_not_stored().json(200), account);
    assert_eq!(read.header("etag"), Some(&*format!("\"{}\"", account["version"])));
}

async fn a_name_may_be_left_out(store: Store) {
    let world = World::of(store).await;
    let account = world.alice.api.post(ACCOUNTS, &json!({"currency": "JPY"})).send().await.json(201);
    assert_eq!(account["name"], Value::Null);
}

async fn what_an_account_may_be(store: Store) {
    let world = World::of(store).await;
    let invalid = [
        (json!({}), "invalid_request", "/currency"),
        (json!({"currency": null}), "invalid_request", "/currency"),
        (json!({"currency": 978}), "invalid_request", "/currency"),
        (json!({"currency": "EUR", "name": ""}), "invalid_request", "/name"),
        (json!({"currency": "EUR", "name": "a\nb"}), "invalid_request", "/name"),
        (json!({"currency": "EUR", "name": "n".repeat(129)}), "invalid_request", "/name"),
        (json!({"currency": "EUR", "name": ["a"]}), "invalid_request", "/name"),
        (json!({"currency": "EUR", "owner": 7}), "invalid_request", "/owner"),
        (json!({"currency": "EUR", "min_balance": 1}), "invalid_request", "/min_balance"),
        (json!({"currency": "EUR", "min_balance": -1.0}), "invalid_request", "/min_balance"),
        (json!({"currency": "EUR", "min_balance": -0.5}), "invalid_request", "/min_balance"),
        (json!({"currency": "EUR", "min_balance": "-1"}), "invalid_request", "/min_balance"),
        (json!({"currency": "EUR", "min_balance": true}), "invalid_request", "/min_balance"),
        (json!({"currency": "EUR", "min_balance": -(1_i64 << 53)}), "invalid_request", "/min_balance"),
        (json!({"currency": "EUR", "min_balance": i64::MIN}), "invalid_request", "/min_balance"),
        (json!({"currency": "EUR", "balance": 1}), "invalid_request", "/balance"),
    ];
    for (body, code, pointer) in invalid {
        world.operator.post(ACCOUNTS, &body).send().await.invalid(code, pointer);
    }
    for unknown in ["", "eur", "EU", "EURO", "ZZZ", "E€"] {
        let answer = world.operator.post(ACCOUNTS, &json!({"currency": unknown})).send().await;
        answer.problem(422, "currency_unknown");
    }
    for good in [
        json!({"currency": "EUR", "name": "é".repeat(128)}),
        json!({"currency": "USD", "name": "🏦 \"quoted\" \\ / 中"}),
        json!({"currency": "EUR", "min_balance": 0}),
        json!({"currency": "EUR", "min_balance": null}),
        json!({"currency": "EUR", "min_balance": -((1_i64 << 53) - 1)}),
    ] {
        let account = world.operator.post(ACCOUNTS, &good).send().await.json(201);
        for (member, value) in good.as_object().unwrap() {
            assert_eq!(account[member], *value, "{account}");
        }
    }
}

async fn users_open_plain_accounts_of_their_own_and_operators_any(store: Store) {
    let world = World::of(store).await;
    let (alice, bob) = (&world.alice, &world.bob);
    for body in [
        json!({"currency": "EUR", "min_balance": -1}),
        json!({"currency": "EUR", "min_balance": null}),
        json!({"currency": "EUR", "owner": bob.id}),
        json!({"currency": "EUR", "owner": "bob"}),
    ] {
        alice.api.post(ACCOUNTS, &body).send().await.problem(403, "forbidden");
    }
    for body in [json!({"currency": "EUR", "min_balance": 0}), json!({"currency": "EUR", "owner": alice.id})]
    {
        let account = alice.api.post(ACCOUNTS, &body).send().await.json(201);
        assert_eq!(account["owner"], alice.id);
    }
    for owner in [&*bob.id, "bob"] {
        let body = json!({"currency": "EUR", "owner": owner, "min_balance": -500});
        let account = world.operator.post(ACCOUNTS, &body).send().await.json(201);
        assert_eq!((&account["owner"], &account["min_balance"]), (&json!(bob.id), &json!(-500)));
        assert_eq!((&account["balance"], &account["available"]), (&json!(0), &json!(0)));
    }
    for owner in ["nobody", "01900000-0000-7000-8000-0000000000ff"] {
        let body = json!({"currency": "EUR", "owner": owner});
        world.operator.post(ACCOUNTS, &body).send().await.problem(422, "user_not_found");
    }
}

#[tokio::test]
async fn a_name_that_looks_like_an_id_still_names_its_user() {
    let world = World::new().await;
    for id in ["01900000-0000-7000-8000-0000000000aa", &world.bob.id] {
        add_user(world.server.data(), id, &[]).fails(1);
    }
    for name in ["deadbeefdeadbeefdeadbeefdeadbeef"] {
        add_user(world.server.data(), name, &[]).ok();
        let token = run(world.server.data(), &["token", "--user", name]).ok();
        let me = world.nobody.with_token(token.trim()).get("/api/v1/users/me").send().await.json(200);
        let body = json!({"currency": "EUR", "owner": name});
        let account = world.operator.post(ACCOUNTS, &body).send().await.json(201);
        assert_eq!(account["owner"], me["id"], "{name}");
    }
}

async fn accounts_are_seen_by_owner_and_operator(store: Store) {
    let world = World::of(store).await;
    for path in [world.alice.path(), format!("{}/entries", world.alice.path())] {
        world.alice.api.get(&path).send().await.is_not_stored().json(200);
        world.operator.get(&path).send().await.json(200);
        world.bob.api.get(&path).send().await.problem(403, "forbidden");
    }
    for id in [
        "01900000-0000-7000-8000-0000000000ff",
        "00000000-0000-0000-0000-000000000000",
        "0",
        "x",
        "%00",
        "..%2f",
    ] {
        for path in [format!("{ACCOUNTS}/{id}"), format!("{ACCOUNTS}/{id}/entries")] {
            world.alice.api.get(&path).send().await.problem(404, "not_found");
        }
    }
}

async fn a_reader_who_has_the_version_is_sent_nothing(store: Store) {
    let world = World::of(store).await;
    let path = world.alice.path();
    let read = |tags: String| world.alice.api.get(&path).header("if-none-match", &tags).send();
    let first = world.alice.api.get(&path).send().await;
    let version = first.json(200)["version"].as_u64().unwrap();
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(tag, format!("\"{version}\""));

    for tags in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let answer = read(tags.clone()).await;
        answer.is(304).is_not_stored();
        assert_eq!((answer.header("etag"), answer.body.len()), (Some(&*tag), 0), "{tags}");
        assert!(answer.header("x-request-id").is_some());
    }
    for tags in [version.to_string(), "\"x\"".to_owned(), format!("\"{}\"", version + 1)] {
        assert_eq!(read(tags).await.json(200)["version"], version);
    }

    world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    let after = read(tag.clone()).await;
    assert!(after.json(200)["version"].as_u64().unwrap() > version);
    assert_ne!(after.header("etag"), Some(&*tag));
    // A refused transfer changes nothing, so the tag stays.
    world.alice.api.transfer(&world.payment(FUNDS)).send().await.problem(422, "insufficient_funds");
    read(after.header("etag").unwrap().to_owned()).await.is(304);
    // The credit side changes as well.
    let bobs = world.bob.api.get(&world.bob.path()).send().await.json(200);
    assert_eq!(bobs["balance"], FUNDS + 1);
}

async fn the_list_of_accounts_is_walked_page_by_page(store: Store) {
    let world = World::of(store).await;
    let mut mine = vec![world.alice.account.clone()];
    for _ in 0..54 {
        mine.push(open(&world.alice.api).await);
    }
    mine.sort();
    let ids = |accounts: &[Value]| -> Vec<String> {
        let mut ids: Vec<_> = accounts.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    for (query, sizes) in [
        ("", vec![50, 5]),
        ("?limit=55", vec![55]),
        ("?limit=200", vec![55]),
        ("?limit=54", vec![54, 1]),
        ("?limit=20", vec![20, 20, 15]),
    ] {
        let pages = pages(&world.alice.api, &format!("{ACCOUNTS}{query}")).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{query}");
        assert_eq!(ids(&pages.concat()), mine, "{query}");
    }
    assert_eq!(pages(&world.alice.api, &format!("{ACCOUNTS}?limit=1")).await.len(), 55);

    let read = world.alice.api.get(&world.alice.path()).send().await.json(200);
    assert!(whole_list(&world.alice.api, ACCOUNTS).await.contains(&read));
    // The operator sees the bank and bob's account too.
    assert_eq!(whole_list(&world.operator, ACCOUNTS).await.len(), mine.len() + 2);
    assert_eq!(whole_list(&world.bob.api, ACCOUNTS).await.len(), 1);
}

async fn open(api: &Api) -> String {
    let account = api.post(ACCOUNTS, &json!({"currency": "EUR"})).send().await.json(201);
    account["id"].as_str().unwrap().to_owned()
}

async fn next_cursor(api: &Api, path: &str) -> String {
    let page = api.get(path).send().await.json(200);
    page["next_cursor"].as_str().unwrap().to_owned()
}

async fn lists_refuse_what_they_do_not_know(store: Store) {
    let world = World::of(store).await;
    open(&world.alice.api).await;
    let entries = format!("{}/entries", world.alice.path());
    world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    let of_accounts = next_cursor(&world.alice.api, &format!("{ACCOUNTS}?limit=1")).await;
    let of_entries = next_cursor(&world.alice.api, &format!("{entries}?limit=1")).await;
    for (list, foreign) in [(ACCOUNTS, &of_entries), (&*entries, &of_accounts)] {
        for (query, pointer) in [
            ("limit=0", "/limit"),
            ("limit=201", "/limit"),
            ("limit=-1", "/limit"),
            ("limit=1.0", "/limit"),
            ("limit=1e1", "/limit"),
            ("limit=ten", "/limit"),
            ("limit=99999999999999999999", "/limit"),
            ("limit=", "/limit"),
            ("limit=1&limit=1", "/limit"),
            ("offset=1", "/offset"),
            ("Limit=1", "/Limit"),
            ("cursor=", "/cursor"),
            ("cursor=x", "/cursor"),
            ("cursor=%FF", "/cursor"),
            (&format!("cursor={foreign}"), "/cursor"),
        ] {
            let answer = world.alice.api.get(&format!("{list}?{query}")).send().await;
            assert_eq!(answer.status, 422, "{list}?{query}: {}", answer.text());
            answer.invalid("invalid_request", pointer);
        }
    }
    for (query, pointer) in [("from=now", "/from"), ("to=2026-01-31", "/to"), ("from=", "/from")] {
        let answer = world.alice.api.get(&format!("{entries}?{query}")).send().await;
        answer.invalid("invalid_request", pointer);
    }
    // Times belong to entries only.
    let answer = world.alice.api.get(&format!("{ACCOUNTS}?from=2026-01-31T00:00:00Z")).send().await;
    answer.invalid("invalid_request", "/from");
}

/// Pays `amounts` from alice to bob; negative ones from bob to alice.
async fn pay(world: &World, amounts: &[i64]) -> Vec<Value> {
    let mut made = Vec::new();
    for &amount in amounts {
        let (payer, body) = if amount > 0 {
            (&world.alice, world.payment(amount))
        } else {
            (&world.bob, euros(&world.bob.account, &world.alice.account, -amount))
        };
        made.push(payer.api.transfer(&body).send().await.json(201));
    }
    made
}

async fn entries_tell_an_accounts_history_newest_first(store: Store) {
    let world = World::of(store).await;
    let transfers = pay(&world, &[100, 23, -7]).await;
    let entries = whole_list(&world.alice.api, &format!("{}/entries", world.alice.path())).await;
    let seqs: Vec<_> = entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [LAST_SEQ + 3, LAST_SEQ + 2, LAST_SEQ + 1, 1]);
    let told: Vec<_> =
        entries.iter().map(|entry| (entry["amount"].clone(), entry["balance"].clone())).collect();
    let balances = [FUNDS - 116, FUNDS - 123, FUNDS - 100, FUNDS];
    let amounts = [7, -23, -100, FUNDS];
    let wanted: Vec<_> = amounts.iter().zip(balances).map(|(&a, b)| (json!(a), json!(b))).collect();
    assert_eq!(told, wanted);
    for (entry, transfer) in entries.iter().zip(transfers.iter().rev()) {
        assert_members(entry, &["seq", "transfer_id", "amount", "balance", "created_at"]);
        assert_eq!((&entry["transfer_id"], &entry["seq"]), (&transfer["id"], &transfer["seq"]));
        assert_eq!(entry["created_at"], transfer["created_at"]);
    }
    let others = whole_list(&world.bob.api, &format!("{}/entries", world.bob.path())).await;
    let amounts: Vec<_> = others.iter().map(|entry| entry["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, [-7, 23, 100, FUNDS]);
    let unused = open(&world.alice.api).await;
    assert!(whole_list(&world.alice.api, &format!("{ACCOUNTS}/{unused}/entries")).await.is_empty());
}

async fn entries_are_walked_page_by_page(store: Store) {
    let world = World::of(store).await;
    pay(&world, &[1; 11]).await;
    let path = format!("{}/entries", world.alice.path());
    let whole = whole_list(&world.alice.api, &path).await;
    assert_eq!(whole.len(), 12);
    for (limit, sizes) in [(5, vec![5, 5, 2]), (6, vec![6, 6]), (11, vec![11, 1]), (12, vec![12])] {
        let pages = pages(&world.alice.api, &format!("{path}?limit={limit}")).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        assert_eq!(pages.concat(), whole);
    }
    // What happens between two pages neither repeats nor hides an entry.
    let first = world.alice.api.get(&format!("{path}?limit=5")).send().await.json(200);
    pay(&world, &[1; 3]).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = world.alice.api.get(&format!("{path}?limit=200&cursor={cursor}")).send().await.json(200);
    assert_eq!(rest["data"].as_array().unwrap(), &whole[5..]);
}

async fn entries_of_a_period_begin_inclusive_and_end_exclusive(store: Store) {
    let world = World::of(store).await;
    pay(&world, &[1; 9]).await;
    let path = format!("{}/entries", world.alice.path());
    let whole = whole_list(&world.alice.api, &path).await;
    let within = |from: Option<Timestamp>, to: Option<Timestamp>| -> Vec<Value> {
        let holds = |entry: &&Value| {
            let at = time_of(&entry["created_at"]);
            from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to)
        };
        whole.iter().filter(holds).cloned().collect()
    };
    let from = time_of(&whole[7]["created_at"]);
    let to = time_of(&whole[2]["created_at"]);
    for (query, from, to) in [
        (format!("from={from}"), Some(from), None),
        (format!("to={to}"), None, Some(to)),
        (format!("from={from}&to={to}"), Some(from), Some(to)),
        (format!("from={from}&to={to}&limit=2"), Some(from), Some(to)),
        (format!("from={from}&to={from}"), Some(from), Some(from)),
    ] {
        assert_eq!(
            whole_list(&world.alice.api, &format!("{path}?{query}")).await,
            within(from, to),
            "{query}"
        );
    }
    assert!(whole_list(&world.alice.api, &format!("{path}?from=9999-01-01T00:00:00Z")).await.is_empty());
    assert!(whole_list(&world.alice.api, &format!("{path}?to=1970-01-01T00:00:00Z")).await.is_empty());
    let tomorrow_elsewhere = "9999-01-01T00:00:00%2B01:00";
    assert_eq!(whole_list(&world.alice.api, &format!("{path}?to={tomorrow_elsewhere}")).await, whole);
}

async fn a_balance_is_told_of_any_time_that_has_come(store: Store) {
    let world = World::of(store).await;
    pay(&world, &[100, 23, -7]).await;
    let path = format!("{}/balance", world.alice.path());
    let entries = whole_list(&world.alice.api, &format!("{}/entries", world.alice.path())).await;
    let at = |time: &str| world.alice.api.get(&format!("{path}?at={time}")).send();
    for (place, entry) in entries.iter().enumerate() {
        let time = time_of(&entry["created_at"]);
        let told = at(&time.to_string()).await.is_not_stored().json(200);
        assert_members(&told, &["account_id", "balance", "at"]);
        assert_eq!((&told["account_id"], &told["at"]), (&json!(world.alice.account), &entry["created_at"]));
        // Several entries may have one time; the first in the list is the last of them.
        let last = entries.iter().find(|other| other["created_at"] == entry["created_at"]).unwrap();
        assert_eq!(told["balance"], last["balance"], "{told}");
        let before = time - jiff::SignedDuration::from_micros(1);
        let wanted = entries[place..].iter().find(|other| time_of(&other["created_at"]) < time);
        let wanted = wanted.map_or(json!(0), |entry| entry["balance"].clone());
        assert_eq!(at(&before.to_string()).await.json(200)["balance"], wanted, "before {time}");
    }
    // A ledger knows of no money before an account was opened.
    assert_eq!(at("0001-01-01T00:00:00Z").await.json(200)["balance"], 0);
    assert_eq!(at("1970-01-01T01:00:00%2B01:00").await.json(200)["at"], "1970-01-01T00:00:00.000000Z");

    let begin = Timestamp::now();
    let now = world.alice.api.get(&path).send().await.json(200);
    assert_eq!(now["balance"], FUNDS - 116);
    assert!(time_of(&now["at"]).as_microsecond() >= begin.as_microsecond(), "{now}");
    let empty = open(&world.alice.api).await;
    let path_of_empty = format!("{ACCOUNTS}/{empty}/balance");
    assert_eq!(world.alice.api.get(&path_of_empty).send().await.json(200)["balance"], 0);

    for wrong in ["", "now", "2026-01-31", "9999-12-31T00:00:00Z"] {
        at(wrong).await.invalid("invalid_request", "/at");
    }
    let tomorrow = begin + jiff::SignedDuration::from_hours(24);
    at(&tomorrow.to_string()).await.invalid("invalid_request", "/at");
    let twice = world.alice.api.get(&format!("{path}?at=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z"));
    twice.send().await.invalid("invalid_request", "/to");
    world.operator.get(&path).send().await.json(200);
    world.bob.api.get(&path).send().await.problem(403, "forbidden");
    world.nobody.get(&path).send().await.problem(401, "unauthenticated");
    let unknown = format!("{ACCOUNTS}/01900000-0000-7000-8000-0000000000ff/balance");
    world.operator.get(&unknown).send().await.problem(404, "not_found");
}

#[tokio::test]
async fn units_of_the_ledgers_own_are_used_while_they_are_set_up() {
    let world = World::configured("ledger: {currencies: [{code: POINTS, exponent: 0}]}").await;
    let points = |body: &Value| world.operator.post(ACCOUNTS, body).send();
    let bank = points(&json!({"currency": "POINTS", "min_balance": null})).await.json(201);
    let purse = points(&json!({"currency": "POINTS", "owner": "alice"})).await.json(201);
    assert_eq!(purse["currency"], "POINTS");
    let ids = (bank["id"].as_str().unwrap(), purse["id"].as_str().unwrap());
    let mut body = euros(ids.0, ids.1, 5);
    world.operator.transfer(&body).send().await.problem(422, "currency_mismatch");
    body["currency"] = json!("POINTS");
    let made = world.operator.transfer(&body).send().await.json(201);
    assert_eq!(made["currency"], "POINTS");
    for unknown in ["points", "POINT", "MILES", ""] {
        points(&json!({"currency": unknown})).await.invalid("currency_unknown", "/currency");
        body["currency"] = json!(unknown);
        world.operator.transfer(&body).send().await.invalid("currency_unknown", "/currency");
    }

    // Without the setting what is there is still told, and nothing new is made of it.
    std::fs::write(world.server.data().join("settings.yaml"), "log: {level: info}\n").unwrap();
    let world = world.after_a_crash();
    let path = format!("{ACCOUNTS}/{}", ids.1);
    let told = world.alice.api.get(&path).send().await.json(200);
    assert_eq!((&told["currency"], &told["balance"]), (&json!("POINTS"), &json!(5)));
    let path = format!("/api/v1/transfers/{}", made["id"].as_str().unwrap());
    assert_eq!(world.operator.get(&path).send().await.json(200), made);
    body["currency"] = json!("POINTS");
    world.operator.transfer(&body).send().await.problem(422, "currency_unknown");
    let answer = world.operator.post(ACCOUNTS, &json!({"currency": "POINTS"})).send().await;
    answer.problem(422, "currency_unknown");
    world.server.verify(None);
}
