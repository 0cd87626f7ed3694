//! What is told to whom, from which point on, and what becomes of one that does not read.

use serde_json::{Value, json};

use super::block_on;
use super::client::Follower;
use crate::support::books::Books;
use crate::support::raw::{Connection, Request};
use crate::support::{LAST_SEQ, Server, World, assert_members, euros, on_both_engines, time_of};

on_both_engines!(
    an_operator_sees_every_event_from_any_point,
    a_user_sees_own_events_once_and_in_order,
    an_account_is_followed_alone,
    each_kind_of_event_shows_its_transfer_as_it_was_then,
    history_goes_over_into_what_happens_without_a_gap,
    a_place_is_told_to_one_who_is_told_nothing_else,
    a_reader_that_does_not_read_is_closed_and_others_lose_nothing,
    a_lone_reader_is_told_all_of_the_largest_batch,
);

fn world(engine: &str) -> World {
    block_on(World::with(&["--io", engine]))
}

/// Moves a cent from alice to bob, as often; the `seq` of each.
fn pay(world: &World, times: usize) -> Vec<u64> {
    block_on(async {
        let mut numbers = Vec::new();
        for _ in 0..times {
            let transfer = world.alice.api.transfer(&world.payment(1)).send().await.json(201);
            numbers.push(transfer["seq"].as_u64().unwrap());
        }
        numbers
    })
}

fn an_operator_sees_every_event_from_any_point(engine: &str) {
    let world = world(engine);
    let token = world.operator.token();
    let mut from_now = Follower::new(world.server.address(), token, "");
    let mut from_start = Follower::new(world.server.address(), token, "?after=0");
    let mut from_later = Follower::new(world.server.address(), token, &format!("?after={}", LAST_SEQ + 2));
    let transfer: Value =
        block_on(async { world.alice.api.transfer(&world.payment(5)).send().await.json(201) });
    let told = from_now.event();
    assert_members(&told, &["type", "seq", "transfer", "at"]);
    assert_eq!(told["type"], "transfer.created");
    assert_eq!(told["seq"], LAST_SEQ + 1);
    assert_eq!(told["transfer"], transfer);
    assert_eq!(time_of(&told["at"]), time_of(&transfer["created_at"]));
    pay(&world, 2);
    assert_eq!(from_start.numbers(5), [1, 2, 3, 4, 5]);
    assert_eq!(from_now.numbers(2), [4, 5]);
    assert_eq!(from_later.numbers(1), [5], "it waits for what comes behind its place");
    // Both ways of reading tell the same.
    let again = Follower::new(world.server.address(), token, &format!("?after={LAST_SEQ}")).event();
    assert_eq!(again, told);
}

fn a_user_sees_own_events_once_and_in_order(engine: &str) {
    let world = world(engine);
    let (alice, bob) = (world.alice.api.token(), world.bob.api.token());
    let mut live = Follower::new(world.server.address(), alice, "");
    let second = block_on(async {
        let opened =
            world.alice.api.post("/api/v1/accounts", &json!({"currency": "EUR"})).send().await.json(201);
        let second = opened["id"].as_str().unwrap().to_owned();
        // Between two accounts of hers: told once.
        world.alice.api.transfer(&euros(&world.alice.account, &second, 7)).send().await.is(201);
        world.operator.transfer(&euros(&world.bank, &world.bob.account, 1)).send().await.is(201);
        second
    });
    pay(&world, 1);
    let first = live.event();
    assert_eq!((first["seq"].as_u64(), &first["transfer"]["credit_account"]), (Some(3), &json!(second)));
    assert_eq!(live.numbers(1), [5]);
    let mut history = Follower::new(world.server.address(), alice, "?after=0");
    assert_eq!(history.numbers(3), [1, 3, 5]);
    let mut bobs = Follower::new(world.server.address(), bob, "?after=0");
    assert_eq!(bobs.numbers(3), [2, 4, 5]);
}

fn an_account_is_followed_alone(engine: &str) {
    let world = world(engine);
    let query = format!("?after=0&account={}", world.bob.account);
    let mut followers = [&world.bob.api, &world.operator]
        .map(|api| Follower::new(world.server.address(), api.token(), &query));
    for follower in &mut followers {
        assert_eq!(follower.numbers(1), [2]);
    }
    block_on(async {
        world.operator.transfer(&euros(&world.bank, &world.alice.account, 1)).send().await.is(201);
    });
    pay(&world, 1);
    for follower in &mut followers {
        assert_eq!(follower.numbers(1), [4]);
        follower.say("what is said is forgotten");
    }
    pay(&world, 1);
    for mut follower in followers {
        assert_eq!(follower.numbers(1), [5]);
        follower.leave();
    }
}

fn each_kind_of_event_shows_its_transfer_as_it_was_then(engine: &str) {
    let world = world(engine);
    let query = format!("?after={LAST_SEQ}");
    let mut live = Follower::new(world.server.address(), world.bob.api.token(), &query);
    block_on(async {
        let hold = async |seconds: u32| {
            let mut body = world.payment(10);
            body["pending"] = json!(true);
            body["timeout_seconds"] = json!(seconds);
            let made = world.alice.api.transfer(&body).send().await.json(201);
            format!("/api/v1/transfers/{}", made["id"].as_str().unwrap())
        };
        let alice = |path: String, body: Value| world.alice.api.post(&path, &body).key(&path);
        let first = hold(60).await;
        alice(format!("{first}/post"), json!({"amount": 4})).send().await.is(200);
        alice(format!("{}/void", hold(60).await), json!({})).send().await.is(200);
        let path = format!("{first}/reverse");
        world.bob.api.post(&path, &json!({})).key(&path).send().await.is(201);
        hold(1).await;
    });
    let told: Vec<_> = (0..7).map(|_| live.event()).collect();
    let shown = |event: &Value| {
        let transfer = &event["transfer"];
        let of = |member: &str| transfer[member].clone();
        (event["type"].as_str().unwrap().to_owned(), of("status"), of("posted_amount"))
    };
    let expected = [
        ("transfer.created", "pending", Value::Null),
        ("transfer.posted", "posted", json!(4)),
        ("transfer.created", "pending", Value::Null),
        ("transfer.voided", "voided", Value::Null),
        ("transfer.reversed", "posted", json!(4)),
        ("transfer.created", "pending", Value::Null),
        ("transfer.expired", "expired", Value::Null),
    ];
    for (event, (kind, status, posted)) in told.iter().zip(expected) {
        assert_eq!(shown(event), (kind.to_owned(), json!(status), posted), "{event}");
        assert!(event["transfer"]["reversed_by"].is_null(), "{event}");
    }
    assert_eq!(told[4]["transfer"]["reverses"], told[0]["transfer"]["id"]);
    // From the log it is told as it was when it happened.
    let mut history = Follower::new(world.server.address(), world.operator.token(), &query);
    for event in told {
        assert_eq!(history.event(), event);
    }
}

/// Readers come in the midst of load, from different points; each sees all from there.
fn history_goes_over_into_what_happens_without_a_gap(engine: &str) {
    const PAYMENTS: u64 = 600;
    const READERS: u64 = 8;
    let server = Server::start_with(&["--io", engine]);
    let books = Books::open(&server, 2);
    let before = server.verify(None);
    let before: u64 = before.split_once(':').unwrap().0.parse().unwrap();
    let last = before + PAYMENTS;
    let (token, address) = (server.operator_token(), server.address());
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let token = &token;
            scope.spawn(move || {
                let after = reader * PAYMENTS / READERS / 2;
                let mut follower = Follower::new(address, token, &format!("?after={after}"));
                let wanted: Vec<_> = (after + 1..=last).collect();
                assert_eq!(follower.numbers(wanted.len()), wanted, "after {after}");
            });
        }
        for sender in 0..4 {
            let books = &books;
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for n in 0..PAYMENTS / 4 {
                    let key = format!("{sender}-{n}");
                    let order = crate::support::books::Order { key, debit: 0, credit: 1, amount: 1 };
                    assert_eq!(connection.call(books.request(&order).bytes()).status, 201);
                }
            });
        }
    });
}

fn a_place_is_told_to_one_who_is_told_nothing_else(engine: &str) {
    let world = world(engine);
    let opened = block_on(world.open(&json!({"currency": "EUR"})));
    let mut follower =
        Follower::new(world.server.address(), world.operator.token(), &format!("?after=0&account={opened}"));
    let last = *pay(&world, 3).last().unwrap();
    loop {
        let place = follower.position();
        assert_members(&place, &["type", "seq", "at"]);
        time_of(&place["at"]);
        if place["seq"] == last {
            break;
        }
    }
    // From a place that was told, nothing is missed.
    block_on(async {
        world.operator.transfer(&euros(&world.bank, &opened, 1)).send().await.is(201);
    });
    let again = format!("?after={last}&account={opened}");
    assert_eq!(Follower::new(world.server.address(), world.operator.token(), &again).numbers(1), [last + 1]);
}

fn a_reader_that_does_not_read_is_closed_and_others_lose_nothing(engine: &str) {
    // Long metadata fill the sockets and the bound of what waits with few events.
    const EVENTS: u64 = 4_000;
    let world = world(engine);
    let (token, address) = (world.operator.token(), world.server.address());
    let mut stuck = Connection::open_narrow(address);
    let request = Request::get("/api/v1/events")
        .bearer(token)
        .field("Upgrade", "websocket")
        .field("Connection", "Upgrade")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(stuck.call(request.bytes()).status, 101);
    let mut other = Follower::new(world.server.address(), token, &format!("?after={LAST_SEQ}"));
    let mut body = world.payment(1);
    body["metadata"] = json!({"text": "x".repeat(3_900)});
    let body = body.to_string();
    let numbers = std::thread::scope(|scope| {
        for sender in 0..4u64 {
            let (sender_token, body) = (world.alice.api.token(), &body);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for n in 0..EVENTS / 4 {
                    let request = Request::post("/api/v1/transfers")
                        .bearer(sender_token)
                        .field("Idempotency-Key", &format!("{sender}-{n}"))
                        .json(body);
                    assert_eq!(connection.call(request.bytes()).status, 201);
                }
            });
        }
        other.numbers(usize::try_from(EVENTS).unwrap())
    });
    assert!(numbers.into_iter().eq(LAST_SEQ + 1..=LAST_SEQ + EVENTS));
    // It was not waited for long: its end is already there behind what the sockets held.
    let mut length = 0;
    while let Ok(count @ 1..) = stuck.skip() {
        length += count;
    }
    assert!(length < 15 << 20, "{length} bytes were kept for one who did not read");
}

/// All of it is committed at once, and is several times what may wait for a reader.
fn a_lone_reader_is_told_all_of_the_largest_batch(engine: &str) {
    const ITEMS: usize = 8192;
    let world = block_on(World::with(&["--io", engine, "--workers", "1"]));
    let mut reader = Follower::new(world.server.address(), world.operator.token(), "");
    let transfers = vec![euros(&world.bank, &world.alice.account, 1); ITEMS];
    let batch = json!({"transfers": transfers});
    block_on(async {
        world.operator.post("/api/v1/transfers/batch", &batch).key("all").send().await.is(200);
    });
    let all: Vec<_> = (LAST_SEQ + 1..=LAST_SEQ + ITEMS as u64).collect();
    assert_eq!(reader.numbers(ITEMS), all);
}
