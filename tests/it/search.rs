//! The search for transfers over HTTP: who finds what, and what a search may be.

use serde_json::{Value, json};

use crate::support::{LAST_SEQ, Store, World, on_both_stores, pages, time_of, whole_list};

const TRANSFERS: &str = "/api/v1/transfers";
/// A well-formed id of nothing.
const NOTHING: &str = "01900000-0000-7000-8000-0000000000ff";

on_both_stores!(
    everybody_finds_their_own_and_operators_all,
    a_search_combines_what_is_known,
    a_walk_goes_on_while_transfers_are_made,
    a_search_refuses_what_it_does_not_know,
);

fn seqs(found: &[Value]) -> Vec<u64> {
    found.iter().map(|transfer| transfer["seq"].as_u64().unwrap()).collect()
}

/// Three payments of alice to bob with references, one of them of the operator's, and one from the bank to alice.
async fn paid(world: &World) -> Vec<Value> {
    let mut made = Vec::new();
    for (payer, key, reference) in [
        (&world.alice.api, "key-a", "Rent & \"more\" é"),
        (&world.operator, "key-a", "fee"),
        (&world.alice.api, "key-c", "fee"),
    ] {
        let mut body = world.payment(1);
        body["reference"] = json!(reference);
        made.push(payer.transfer_as(key, &body).send().await.json(201));
    }
    let body = crate::support::euros(&world.bank, &world.alice.account, 1);
    made.push(world.operator.transfer_as("key-d", &body).send().await.json(201));
    made
}

async fn everybody_finds_their_own_and_operators_all(store: Store) {
    let world = World::of(store).await;
    let made = paid(&world).await;
    let all = whole_list(&world.operator, TRANSFERS).await;
    assert_eq!(seqs(&all), (1..=LAST_SEQ + 4).rev().collect::<Vec<_>>());
    for (found, made) in all.iter().zip(made.iter().rev()) {
        assert_eq!(found, made, "a transfer is shown as its maker was told");
    }
    // Seq 1 funded alice, seq 2 bob.
    let of = |seqs: &[u64]| seqs.iter().rev().copied().collect::<Vec<_>>();
    assert_eq!(seqs(&whole_list(&world.alice.api, TRANSFERS).await), of(&[1, 3, 4, 5, 6]));
    assert_eq!(seqs(&whole_list(&world.bob.api, TRANSFERS).await), of(&[2, 3, 4, 5]));
    let bobs = format!("{TRANSFERS}?account={}", world.bob.account);
    for reader in [&world.bob.api, &world.operator] {
        assert_eq!(seqs(&whole_list(reader, &bobs).await), of(&[2, 3, 4, 5]));
    }
    world.alice.api.get(&bobs).send().await.problem(403, "forbidden");
    for reader in [&world.alice.api, &world.operator] {
        let unknown = format!("{TRANSFERS}?account={NOTHING}");
        reader.get(&unknown).send().await.problem(404, "not_found");
    }
    world.nobody.get(TRANSFERS).send().await.problem(401, "unauthenticated");
}

async fn a_search_combines_what_is_known(store: Store) {
    let world = World::of(store).await;
    let made = paid(&world).await;
    let (third, fifth) = (made[0]["created_at"].as_str().unwrap(), made[2]["created_at"].as_str().unwrap());
    assert!(time_of(&made[0]["created_at"]) < time_of(&made[2]["created_at"]));
    let bank = &world.bank;
    for (query, by_operator, by_alice) in [
        ("idempotency_key=key-a".to_owned(), vec![4, 3], vec![4, 3]),
        ("idempotency_key=key-d".to_owned(), vec![6], vec![6]),
        ("idempotency_key=KEY-A".to_owned(), vec![], vec![]),
        ("reference=fee".to_owned(), vec![5, 4], vec![5, 4]),
        ("reference=Rent+%26+%22more%22+%C3%A9".to_owned(), vec![3], vec![3]),
        ("reference=fee&idempotency_key=key-a".to_owned(), vec![4], vec![4]),
        ("status=posted".to_owned(), vec![6, 5, 4, 3, 2, 1], vec![6, 5, 4, 3, 1]),
        ("status=pending".to_owned(), vec![], vec![]),
        ("status=voided&reference=fee".to_owned(), vec![], vec![]),
        (format!("account={}&reference=fee", world.alice.account), vec![5, 4], vec![5, 4]),
        (format!("from={third}"), vec![6, 5, 4, 3], vec![6, 5, 4, 3]),
        (format!("to={third}"), vec![2, 1], vec![1]),
        (format!("from={third}&to={fifth}"), vec![4, 3], vec![4, 3]),
        (format!("from={fifth}&to={third}"), vec![], vec![]),
        ("from=9999-01-01T00:00:00Z".to_owned(), vec![], vec![]),
    ] {
        let path = format!("{TRANSFERS}?{query}");
        assert_eq!(seqs(&whole_list(&world.operator, &path).await), by_operator, "{query}");
        assert_eq!(seqs(&whole_list(&world.alice.api, &path).await), by_alice, "{query}");
    }
    let of_bank = format!("{TRANSFERS}?account={bank}&limit=2");
    let pages = pages(&world.operator, &of_bank).await;
    assert_eq!(pages.iter().map(|page| seqs(page)).collect::<Vec<_>>(), [vec![6, 2], vec![1]]);
    // Somebody else's key is nobody's business.
    let found = whole_list(&world.bob.api, &format!("{TRANSFERS}?idempotency_key=key-d")).await;
    assert!(found.is_empty(), "{found:?}");
}

async fn a_walk_goes_on_while_transfers_are_made(store: Store) {
    let world = World::of(store).await;
    paid(&world).await;
    for (reader, query) in
        [(&world.operator, ""), (&world.alice.api, ""), (&world.alice.api, "&status=posted")]
    {
        let whole = whole_list(reader, &format!("{TRANSFERS}?limit=200{query}")).await;
        let first = reader.get(&format!("{TRANSFERS}?limit=2{query}")).send().await.json(200);
        world.alice.api.transfer(&world.payment(1)).send().await.json(201);
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = whole_list(reader, &format!("{TRANSFERS}?cursor={cursor}{query}")).await;
        assert_eq!(rest, whole[2..], "{query}");
    }
}

async fn a_search_refuses_what_it_does_not_know(store: Store) {
    let world = World::of(store).await;
    let accounts = world.operator.get("/api/v1/accounts?limit=1").send().await.json(200);
    let foreign = format!("cursor={}", accounts["next_cursor"].as_str().unwrap());
    for (query, pointer) in [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("cursor=x", "/cursor"),
        (&foreign, "/cursor"),
        ("account=x", "/account"),
        ("account=", "/account"),
        ("status=done", "/status"),
        ("status=Posted", "/status"),
        ("reference=", "/reference"),
        ("reference=%00", "/reference"),
        (&format!("reference={}", "r".repeat(129)), "/reference"),
        ("idempotency_key=a+b", "/idempotency_key"),
        ("idempotency_key=", "/idempotency_key"),
        ("from=now", "/from"),
        ("to=2026-01-31", "/to"),
        ("key=a", "/key"),
        ("status=posted&status=posted", "/status"),
    ] {
        let answer = world.operator.get(&format!("{TRANSFERS}?{query}")).send().await;
        answer.invalid("invalid_request", pointer);
    }
}
