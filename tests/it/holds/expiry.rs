//! Holds with a time limit: refused from that instant on, and let go within a second of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::purse;
use crate::support::{FUNDS, LAST_SEQ, Store, World, act, on_both_stores, time_of};

/// By when a hold is let go whose time is up.
const SWEPT_WITHIN: Duration = Duration::from_secs(1);
/// How much later than promised a busy machine may be.
const LATE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

on_both_stores!(
    a_hold_is_let_go_when_its_time_is_up,
    a_hold_is_let_go_whose_time_came_while_no_server_ran,
    no_post_passes_once_the_time_is_up,
    many_holds_are_let_go_at_once,
);

/// A body of alice's that holds this much for so many seconds.
fn limited(world: &World, amount: i64, seconds: u32) -> Value {
    let mut body = world.payment(amount);
    body["pending"] = json!(true);
    body["timeout_seconds"] = json!(seconds);
    body
}

/// Waits until the time of a hold is up.
async fn time_is_up(hold: &Value) {
    let left = time_of(&hold["expires_at"]).duration_since(jiff::Timestamp::now());
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
}

/// Waits until a hold is no longer pending, which must be soon; returns it.
async fn let_go(world: &World, hold: &Value) -> Value {
    let deadline = tokio::time::Instant::now() + SWEPT_WITHIN + LATE;
    loop {
        let transfer = world.transfer(hold).await;
        if transfer["status"] != "pending" {
            return transfer;
        }
        assert!(tokio::time::Instant::now() < deadline, "not let go: {transfer}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn a_hold_is_let_go_when_its_time_is_up(store: Store) {
    let world = World::of(store).await;
    let hold = world.alice.api.transfer(&limited(&world, 700, 1)).send().await.json(201);
    let life = time_of(&hold["expires_at"]).duration_since(time_of(&hold["created_at"]));
    assert_eq!(Duration::try_from(life).unwrap(), Duration::from_secs(1));
    let (_, held, _, version) = purse(&world, &world.alice.account).await;
    assert_eq!(held, 700);
    time_is_up(&hold).await;
    let mut expected = hold.clone();
    expected["status"] = json!("expired");
    assert_eq!(let_go(&world, &hold).await, expected);
    assert_eq!(purse(&world, &world.alice.account).await, (FUNDS, 0, FUNDS, version + 1));
    for (verb, code) in [
        ("post", "transfer_not_pending"),
        ("void", "transfer_not_pending"),
        ("reverse", "transfer_not_posted"),
    ] {
        act(&world.operator, &hold, verb, verb).send().await.problem(409, code);
    }
    assert_eq!(world.next_seq().await, LAST_SEQ + 3, "the expiry is an event");
}

async fn a_hold_is_let_go_whose_time_came_while_no_server_ran(store: Store) {
    let mut world = World::of(store).await;
    let hold = world.alice.api.transfer(&limited(&world, 700, 1)).send().await.json(201);
    let endless = world.hold(50).await;
    world.server.kill();
    time_is_up(&hold).await;
    let world = world.after_a_crash();
    assert_eq!(let_go(&world, &hold).await["status"], "expired");
    assert_eq!(purse(&world, &world.alice.account).await, (FUNDS, 50, FUNDS - 50, 5));
    act(&world.alice.api, &endless, "post", "k").send().await.json(200);
}

/// The sweep comes every now and then; these posts come at any moment between two of its rounds.
async fn no_post_passes_once_the_time_is_up(store: Store) {
    const HOLDS: usize = 8;
    const APART: Duration = Duration::from_millis(70);
    let world = World::of(store).await;
    let mut holds = Vec::new();
    for _ in 0..HOLDS {
        holds.push(world.alice.api.transfer(&limited(&world, 10, 1)).send().await.json(201));
        tokio::time::sleep(APART).await;
    }
    for (n, hold) in holds.iter().enumerate() {
        time_is_up(hold).await;
        let verb = if n % 4 == 3 { "void" } else { "post" };
        let refusal = act(&world.alice.api, hold, verb, &format!("late-{n}")).send().await;
        refusal.problem(409, "transfer_not_pending");
    }
    let_go(&world, holds.last().unwrap()).await;
    assert_eq!(purse(&world, &world.alice.account).await.0, FUNDS);
    assert_eq!(world.next_seq().await, LAST_SEQ + 2 * HOLDS as u64 + 1);
}

/// More than one commit lets go.
async fn many_holds_are_let_go_at_once(store: Store) {
    const HOLDS: usize = 1_200;
    let world = World::of(store).await;
    let items: Vec<_> = (0..HOLDS).map(|_| limited(&world, 1, 1)).collect();
    let made = world.alice.api.post("/api/v1/transfers/batch", &json!({"transfers": items})).key("k");
    let made = made.send().await.json(200);
    let last = &made["results"][HOLDS - 1]["transfer"];
    assert_eq!(last["status"], "pending", "{made}");
    assert_eq!(purse(&world, &world.alice.account).await.1, 1_200);
    time_is_up(last).await;
    let_go(&world, last).await;
    assert_eq!(purse(&world, &world.alice.account).await, (FUNDS, 0, FUNDS, 2 + 2 * HOLDS as u64));
    assert_eq!(world.next_seq().await, LAST_SEQ + 2 * HOLDS as u64 + 1);
}
