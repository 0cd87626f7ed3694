//! Bounds of a batch: its transfers, its bytes, and how many are under way at once.

use std::time::Duration;

use serde_json::{Value, json};

use super::{BATCH, batch, done};
use crate::support::raw::{Connection, Reply, Request};
use crate::support::{
    FUNDS, LAST_SEQ, Scrape, Store, World, assert_replays, euros, on_both_stores, wait_until,
};

/// Transfers of a batch.
const ITEMS: usize = 8_192;
/// `limits.batch_body_bytes`
const BODY_BYTES: usize = 4 * 1024 * 1024;
/// How late a busy machine may be.
const LATE: Duration = Duration::from_secs(10);

on_both_stores!(
    a_batch_has_up_to_8192_transfers,
    a_body_of_the_bound_is_taken_and_one_more_byte_is_413,
    batches_beyond_the_bound_are_refused_and_told_when_to_come_again,
    one_user_has_half_of_the_places,
    bodies_that_arrive_slowly_hold_no_place_and_little_memory,
    the_bounds_of_a_batch_can_be_set,
    routes_are_told_by_their_templates,
);

async fn a_batch_has_up_to_8192_transfers(store: Store) {
    // A build for tests takes its time over so many.
    let world = World::of_set(store, &[("store.commit_timeout_ms", "25000")]).await;
    let pay = euros(&world.bank, &world.alice.account, 1);
    let mut items = vec![pay; ITEMS + 1];
    let answer = batch(&world.operator, "k", false, &items).send().await;
    answer.invalid("invalid_request", "/transfers");
    items.pop();
    let answer = batch(&world.operator, "k", true, &items).send().await;
    let told = done(&answer);
    assert_eq!(told.len(), ITEMS);
    assert!(told.iter().all(|(status, _)| *status == 201));
    let results = answer.json(200)["results"].clone();
    assert_eq!(results[ITEMS - 1]["transfer"]["seq"], LAST_SEQ + ITEMS as u64);
    assert_eq!(world.balance(&world.alice.account).await, FUNDS + i64::try_from(ITEMS).unwrap());
    assert_replays(&batch(&world.operator, "k", true, &items).send().await, &answer);
}

/// A batch of one that is larger only by white space.
fn padded(world: &World, amount: i64, bytes: usize) -> Vec<u8> {
    let mut body = json!({"transfers": [world.payment(amount)]}).to_string().into_bytes();
    body.resize(bytes, b' ');
    body
}

fn post(world: &World, key: &str) -> Request {
    post_by(world.alice.api.token(), key)
}

fn post_by(token: &str, key: &str) -> Request {
    Request::post(BATCH).bearer(token).field("Idempotency-Key", key)
}

async fn a_body_of_the_bound_is_taken_and_one_more_byte_is_413(store: Store) {
    let world = World::of(store).await;
    let mut connection = Connection::open(world.server.address());
    let reply = connection.call(post(&world, "k1").json(padded(&world, 1, BODY_BYTES)).bytes());
    assert_eq!(reply.status, 200, "{reply:?}");
    // It refuses by the length that is declared, before the body has come.
    let beyond = post(&world, "k2").json(padded(&world, 1, BODY_BYTES + 1));
    assert_problem(&connection.call(beyond.head()), 413, "payload_too_large");
    let mut connection = Connection::open(world.server.address());
    let chunked =
        post(&world, "k3").field("Content-Type", "application/json").field("Transfer-Encoding", "chunked");
    let body = padded(&world, 1, BODY_BYTES + 1);
    let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    // The server need not read it all.
    let _ = connection.try_send([chunked.head(), chunk].concat());
    assert_problem(&connection.reply(), 413, "payload_too_large");
    // Other routes keep their own bound.
    let mut connection = Connection::open(world.server.address());
    let single =
        Request::post("/api/v1/transfers").bearer(world.alice.api.token()).field("Idempotency-Key", "k4");
    let mut body = world.payment(1).to_string().into_bytes();
    body.resize(65_537, b' ');
    assert_problem(&connection.call(single.json(body).bytes()), 413, "payload_too_large");
    assert_eq!(world.balance(&world.alice.account).await, FUNDS - 1);
}

#[track_caller]
fn assert_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, &*reply.problem_code()), (status, code), "{reply:?}");
}

/// A batch of one.
fn single(world: &World, key: &str) -> Vec<u8> {
    post(world, key).json(json!({"transfers": [world.payment(1)]}).to_string()).bytes()
}

/// Waits until a batch finds a place.
fn wait_for_place(world: &World, prefix: &str) {
    let mut n = 0;
    wait_until(LATE, || {
        n += 1;
        let reply = Connection::open(world.server.address()).call(single(world, &format!("{prefix}-{n}")));
        if reply.status == 200 { Ok(()) } else { Err(format!("{reply:?}")) }
    });
}

/// A world with so many places for batches, whose bodies may be long enough for [`holds_a_place`].
async fn world_of_places(store: Store, places: &str) -> World {
    let body_bytes = (4 * BODY_BYTES).to_string();
    let settings = [
        ("limits.batches_per_core", places),
        ("runtime.workers", "1"),
        ("limits.batch_body_bytes", &*body_bytes),
        ("store.commit_timeout_ms", "25000"),
    ];
    World::of_set(store, &settings).await
}

/// A batch of alice's that is not read, so that it holds its place: its reply is several MiB.
fn holds_a_place(world: &World, key: &str) -> Connection {
    let mut payment = world.payment(1);
    payment["metadata"] = json!({"text": "x".repeat(3_900)});
    let large = json!({"transfers": vec![payment; 2_000]}).to_string();
    let mut unread = Connection::open_narrow(world.server.address());
    unread.send(post(world, key).json(&large).bytes());
    assert!(unread.read_some().is_some_and(|bytes| bytes.starts_with(b"HTTP/1.1 200")));
    unread
}

#[track_caller]
fn assert_refused_for_now(refusal: &Reply, status: u16, code: &str) {
    assert_problem(refusal, status, code);
    let seconds = refusal.field("retry-after").expect("when to come again");
    assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{refusal:?}");
    assert_eq!(refusal.field("cache-control"), Some("no-store"));
}

async fn batches_beyond_the_bound_are_refused_and_told_when_to_come_again(store: Store) {
    let world = world_of_places(store, "1").await;
    let unread = holds_a_place(&world, "unread");
    let mut second = Connection::open(world.server.address());
    assert_refused_for_now(&second.call(single(&world, "second")), 503, "overloaded");
    // Nobody without a token is told of it; what is no batch needs no place.
    let anonymous = Request::post(BATCH).json(json!({"transfers": [world.payment(1)]}).to_string());
    assert_problem(&second.call(anonymous.bytes()), 401, "unauthenticated");
    world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    unread.reset();
    wait_for_place(&world, "after");
}

/// Whoever does not read keeps nobody else out.
async fn one_user_has_half_of_the_places(store: Store) {
    let world = world_of_places(store, "2").await;
    let unread = holds_a_place(&world, "unread");
    let mut second = Connection::open(world.server.address());
    assert_refused_for_now(&second.call(single(&world, "second")), 429, "too_many_requests");
    let of_bob = json!({"transfers": [euros(&world.bob.account, &world.alice.account, 1)]}).to_string();
    let of_bob = post_by(world.bob.api.token(), "k").json(of_bob);
    let reply = Connection::open(world.server.address()).call(of_bob.bytes());
    assert_eq!(reply.status, 200, "{reply:?}");
    unread.reset();
    wait_for_place(&world, "after");
}

/// They hold what has come of them, so that a trickle keeps nobody out, and together no more than the places are for.
async fn bodies_that_arrive_slowly_hold_no_place_and_little_memory(store: Store) {
    // With a byte of each of the slow ones it is within the bound of 4,096.
    const LENGTH: usize = 4_000;
    let settings = [
        ("limits.batches_per_core", "1"),
        ("runtime.workers", "1"),
        ("limits.body_bytes", "2048"),
        ("limits.batch_body_bytes", "4096"),
        ("limits.body_timeout_ms", "60000"),
    ];
    let world = World::of_set(store, &settings).await;
    let begin = |key: &str, bytes: &[u8]| {
        let mut connection = Connection::open(world.server.address());
        let request = post(&world, key).field("Expect", "100-continue").json(padded(&world, 1, LENGTH));
        assert_eq!(connection.call(request.head()).status, 100);
        connection.send(bytes);
        connection
    };
    let body = padded(&world, 1, LENGTH);
    let trickling: Vec<_> = (0..8).map(|n| begin(&format!("slow-{n}"), &body[..1])).collect();
    done(&batch(&world.alice.api, "quick", false, &[world.payment(1)]).send().await);
    let mut first = begin("first", &body[..3_000]);
    let long = padded(&world, 1, 2_000);
    let mut n = 0;
    wait_until(LATE, || {
        n += 1;
        let request = post(&world, &format!("long-{n}")).json(&long);
        match Connection::open(world.server.address()).call(request.bytes()).status {
            503 => Ok(()),
            status => Err(format!("{status}: 3,000 bytes of 4,096 are there")),
        }
    });
    done(&batch(&world.alice.api, "short", false, &[world.payment(1)]).send().await);
    first.send(&body[3_000..]);
    assert_eq!(first.reply().status, 200);
    drop(trickling);
    let reply = Connection::open(world.server.address()).call(post(&world, "long").json(&long).bytes());
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Its key tells later what became of it.
#[tokio::test]
async fn a_batch_that_takes_too_long_is_not_known_to_be_applied() {
    let world = World::of_set(Store::Sqlite, &[("limits.batch_timeout_ms", "100")]).await;
    let ledger = rusqlite::Connection::open(world.server.data().join("ledger.db")).unwrap();
    ledger.execute_batch("begin immediate").unwrap();
    let late = batch(&world.alice.api, "k", false, &[world.payment(5)]).send().await;
    late.is_not_stored().problem(503, "overloaded");
    assert!(late.header("retry-after").unwrap().parse::<u32>().is_ok_and(|seconds| seconds > 0));
    ledger.execute_batch("rollback").unwrap();
    // Any other command waits for the one that was given up.
    assert!(world.next_seq().await > LAST_SEQ);
    done(&batch(&world.alice.api, "k", false, &[world.payment(5)]).send().await);
    assert_eq!(world.balance(&world.bob.account).await, FUNDS + 5);
}

async fn the_bounds_of_a_batch_can_be_set(store: Store) {
    let settings = [("limits.body_bytes", "2048"), ("limits.batch_body_bytes", "4096")];
    let world = World::of_set(store, &settings).await;
    let mut connection = Connection::open(world.server.address());
    assert_eq!(connection.call(post(&world, "k").json(padded(&world, 1, 4_096)).bytes()).status, 200);
    let longer = connection.call(post(&world, "k2").json(padded(&world, 1, 4_097)).bytes());
    assert_problem(&longer, 413, "payload_too_large");
}

async fn routes_are_told_by_their_templates(store: Store) {
    let settings = [("log.format", "json"), ("log.access", "all"), ("log.level", "info")];
    let world = World::of_set(store, &settings).await;
    let hold = world.hold(1).await;
    let act = |verb: &str| crate::support::act(&world.operator, &hold, verb, verb).send();
    act("post").await.json(200);
    act("void").await.problem(409, "transfer_not_pending");
    act("reverse").await.json(201);
    done(&batch(&world.alice.api, "k", false, &[world.payment(1)]).send().await);
    let told = [
        ("/api/v1/transfers/{id}/post", 200),
        ("/api/v1/transfers/{id}/void", 409),
        ("/api/v1/transfers/{id}/reverse", 201),
        ("/api/v1/transfers/batch", 200),
    ];
    let scrape = Scrape::on(&mut Connection::open(world.server.address()));
    for (route, status) in told {
        let labels = [("method", "POST"), ("route", route), ("status", &*status.to_string())];
        assert_eq!(scrape.sum("http_requests_total", &labels), 1, "{labels:?}: {}", scrape.0);
    }
    for (route, status) in told {
        let line = world.server.wait_for_line(&format!("\"{route}\""), LATE);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line.to_string().contains(&format!("\"status\":{status}")), "{line}");
    }
}
