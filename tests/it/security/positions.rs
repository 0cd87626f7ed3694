//! Places in lists and logs, and times, that no server has handed out: forged, taken from others, beyond all that is
//! there. They cost what a page costs and show nothing that the caller may not see.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Api, Store, World, on_both_stores};

on_both_stores!(
    forged_places_show_nothing_of_others,
    what_is_no_place_is_refused,
    times_at_the_ends_of_the_calendar_are_answered,
    events_from_anywhere_are_only_ones_own,
);

/// How long a page may take, for busy machines.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The rows of a list at a cursor.
async fn rows(api: &Api, path: &str, cursor: &str) -> Vec<Value> {
    let begin = Instant::now();
    let separator = if path.contains('?') { '&' } else { '?' };
    let page = api.get(&format!("{path}{separator}cursor={cursor}")).send().await.json(200);
    assert!(begin.elapsed() < ANSWERED_WITHIN, "{:?} at {cursor}", begin.elapsed());
    page["data"].as_array().unwrap().clone()
}

fn cursor(list: u8, key: &[u8]) -> String {
    const_hex::encode([&[1, list], key].concat())
}

async fn forged_places_show_nothing_of_others(store: Store) {
    let world = World::of(store).await;
    let bobs = uuid::Uuid::parse_str(&world.bob.account).unwrap();
    for key in [[0; 16], [0xff; 16], *bobs.as_bytes()] {
        for account in rows(&world.alice.api, "/api/v1/accounts", &cursor(1, &key)).await {
            assert_eq!(account["owner"], world.alice.id, "{account}");
        }
    }
    let entries = format!("{}/entries", world.alice.path());
    for key in [0, 1, 2, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
        let key = key.to_be_bytes();
        assert!(rows(&world.alice.api, &entries, &cursor(2, &key)).await.len() <= 1, "hers has one entry");
        for transfer in rows(&world.alice.api, "/api/v1/transfers", &cursor(3, &key)).await {
            assert_eq!(transfer["credit_account"], world.alice.account, "{transfer}");
        }
        assert!(rows(&world.operator, "/api/v1/transfers?limit=200", &cursor(3, &key)).await.len() <= 2);
    }
    let others = format!("{}/entries?cursor={}", world.bob.path(), cursor(2, &[0xff; 8]));
    world.alice.api.get(&others).send().await.problem(403, "forbidden");
}

async fn what_is_no_place_is_refused(store: Store) {
    let world = World::of(store).await;
    let accounts = cursor(1, &[0; 16]);
    let wrong = [
        String::new(),
        "0".to_owned(),
        cursor(2, &[0; 16]),
        cursor(1, &[0; 15]),
        cursor(1, &[0; 17]),
        cursor(0, &[0; 16]),
        accounts.replacen("01", "02", 1),
        accounts.replacen("01", "0x", 1),
        format!("0x{accounts}"),
        "é".to_owned(),
        "%27%20or%201=1".to_owned(),
        "%00".to_owned(),
        "../../etc/passwd".to_owned(),
        "ff".repeat(3_500),
    ];
    for wrong in wrong {
        let answer = world.alice.api.get(&format!("/api/v1/accounts?cursor={wrong}")).send().await;
        answer.problem(422, "invalid_request");
    }
    let twice = format!("/api/v1/accounts?cursor={accounts}&cursor={accounts}");
    world.alice.api.get(&twice).send().await.problem(422, "invalid_request");
}

async fn times_at_the_ends_of_the_calendar_are_answered(store: Store) {
    let world = World::of(store).await;
    let account = world.alice.path();
    let times = [
        "0001-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "-009999-01-01T00:00:00Z",
        "9999-12-29T23:59:59.999999Z",
        "9999-12-31T23:59:59Z",
        "1969-12-31T23:59:59.999999Z",
        "2026-01-31T12:00:00%2B23:59",
        "2026-01-31T12:00:00.999999999999999999999Z",
        "2016-12-31T23:59:60Z",
        "292277026596-01-01T00:00:00Z",
    ];
    for time in times {
        for path in [
            format!("{account}/entries?from={time}"),
            format!("{account}/entries?to={time}"),
            format!("{account}/balance?at={time}"),
            format!("/api/v1/transfers?from={time}"),
            format!("/api/v1/transfers?to={time}"),
            format!("{account}/statement?from={time}"),
            format!("{account}/statement?from=0001-01-01T00:00:00Z&to={time}"),
        ] {
            let answer = world.alice.api.get(&path).send().await;
            assert!([200, 422].contains(&answer.status), "{path}: {}", String::from_utf8_lossy(&answer.body));
        }
    }
}

/// `after` may be any number; a reader that names one beyond the end waits and is told nothing of others.
async fn events_from_anywhere_are_only_ones_own(store: Store) {
    use crate::support::raw::{Connection, Request};

    let world = World::of(store).await;
    let follow = |query: &str| {
        let request = Request::get(&format!("/api/v1/events{query}")).bearer(world.alice.api.token());
        let request = request.field("Connection", "upgrade").field("Upgrade", "websocket");
        let request = request.field("Sec-WebSocket-Version", "13");
        let request = request.field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        Connection::open(world.server.address()).call(request.bytes()).status
    };
    for after in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        assert_eq!(follow(&format!("?after={after}")), 101, "{after}");
    }
    for wrong in [
        "?after=-1",
        "?after=18446744073709551616",
        "?after=1e3",
        "?after=",
        "?after=0x1",
        "?after=1&after=2",
    ] {
        assert_eq!(follow(wrong), 422, "{wrong}");
    }
    world.alice.api.get("/health").send().await.is(200);
    assert_eq!(world.next_seq().await, crate::support::LAST_SEQ + 1, "the ledger goes on");
    world.alice.api.get("/health").send().await.is(200);
    let log = world.server.log_lines();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}
