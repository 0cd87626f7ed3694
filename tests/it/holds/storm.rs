//! Holds, posts, voids, expiries, reversals and batches all at once: in the end everything adds up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Answer, Api, FUNDS, LAST_SEQ, Store, World, act, euros, on_both_stores, path_of, with};

const CALLERS: u64 = 12;
const STEPS_EACH: u64 = 25;
/// How long the last hold with a time limit may take to be let go, on a busy machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

on_both_stores!(everything_adds_up_after_a_storm);

/// Somebody who does one thing after the other with accounts and transfers that all callers share.
struct Caller {
    api: Api,
    number: u64,
    accounts: Vec<String>,
    /// As each was when it was made.
    made: Arc<Mutex<Vec<Value>>>,
}

impl Caller {
    async fn run(self) {
        for step in 0..STEPS_EACH {
            let key = format!("{}-{step}", self.number);
            // Any sequence that mixes the kinds well, the same in each run.
            let dice = (self.number * STEPS_EACH + step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let answer = self.step(&key, dice).await;
            assert!([200, 201, 409, 422].contains(&answer.status), "{answer:?}");
            self.take_note(&answer);
        }
    }

    async fn step(&self, key: &str, dice: u64) -> Answer {
        match dice % 8 {
            0 => self.api.transfer_as(key, &self.order(dice)).send().await,
            1 => self.api.transfer_as(key, &with(self.order(dice), "pending", json!(true))).send().await,
            2 => {
                let limited = with(self.order(dice), "pending", json!(true));
                self.api.transfer_as(key, &with(limited, "timeout_seconds", json!(1))).send().await
            }
            kind @ (3 | 4) => {
                let held = with(self.order(dice / 3), "pending", json!(true));
                let items = [self.order(dice), held, self.order(dice / 7)];
                let body = json!({"atomic": kind == 4, "transfers": items});
                self.api.post("/api/v1/transfers/batch", &body).key(key).send().await
            }
            kind => {
                let verb = ["post", "void", "reverse"][usize::try_from(kind - 5).unwrap()];
                let made = self.made.lock().unwrap().clone();
                match made.get(usize::try_from(dice >> 8).unwrap() % made.len().max(1)) {
                    Some(transfer) => act(&self.api, transfer, verb, key).send().await,
                    None => self.api.transfer_as(key, &self.order(dice)).send().await,
                }
            }
        }
    }

    /// A transfer, which is now and then more than there is.
    fn order(&self, dice: u64) -> Value {
        let account = |dice: u64| &self.accounts[usize::try_from(dice).unwrap() % self.accounts.len()];
        let amount = 1 + i64::try_from((dice >> 12) % 4_000).unwrap();
        euros(account(dice >> 4), account((dice >> 4) + 1 + (dice >> 9) % 3), amount)
    }

    fn take_note(&self, answer: &Answer) {
        let mut made = self.made.lock().unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        match body["results"].as_array() {
            Some(results) => made.extend(results.iter().filter_map(|item| item.get("transfer")).cloned()),
            None if answer.status == 201 => made.push(body),
            None => {}
        }
    }
}

/// A transfer in its last state: no longer pending if it has a time limit.
async fn settled(world: &World, made: &Value) -> Value {
    let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
    loop {
        let transfer = world.transfer(made).await;
        if transfer["status"] != "pending" || transfer["expires_at"].is_null() {
            return transfer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{transfer}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn everything_adds_up_after_a_storm(store: Store) {
    let world = World::of(store).await;
    let mut accounts = vec![world.alice.account.clone(), world.bob.account.clone()];
    for _ in 0..2 {
        let account = world.open(&json!({"currency": "EUR"})).await;
        world.operator.transfer(&euros(&world.bank, &account, FUNDS)).send().await.json(201);
        accounts.push(account);
    }
    let made = Arc::new(Mutex::new(Vec::new()));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let (api, accounts, made) = (world.operator.clone(), accounts.clone(), Arc::clone(&made));
        callers.spawn(Caller { api, number, accounts, made }.run());
    }
    callers.join_all().await;
    let made = made.lock().unwrap().clone();
    let mut balances: HashMap<_, _> = accounts.iter().map(|account| (account.as_str(), (FUNDS, 0))).collect();
    let (mut statuses, mut events) = (HashMap::new(), 0);
    let mut finals = Vec::new();
    for transfer in &made {
        finals.push(settled(&world, transfer).await);
    }
    let by_id: HashMap<_, _> = finals.iter().map(|transfer| (&transfer["id"], transfer)).collect();
    for (transfer, born) in finals.iter().zip(&made) {
        let (debit, credit) = ("debit_account", "credit_account");
        let moved = transfer["posted_amount"].as_i64().unwrap_or(0);
        let held = if transfer["status"] == "pending" { transfer["amount"].as_i64().unwrap() } else { 0 };
        let payer = balances.get_mut(transfer[debit].as_str().unwrap()).unwrap();
        *payer = (payer.0 - moved, payer.1 + held);
        balances.get_mut(transfer[credit].as_str().unwrap()).unwrap().0 += moved;
        events += if transfer["status"] == born["status"] { 1 } else { 2 };
        *statuses.entry(transfer["status"].as_str().unwrap()).or_insert(0) += 1;
        if let Some(original) = by_id.get(&transfer["reverses"]) {
            assert_eq!(original["reversed_by"], transfer["id"], "{original}");
            *statuses.entry("reversed").or_insert(0) += 1;
        }
        if let Some(reversal) = by_id.get(&transfer["reversed_by"]) {
            assert_eq!(reversal["reverses"], transfer["id"], "{} {reversal}", path_of(transfer));
        }
    }
    for kind in ["pending", "posted", "voided", "expired", "reversed"] {
        assert!(statuses.contains_key(kind), "a storm without any {kind}: {statuses:?}");
    }
    for (account, (balance, held)) in balances {
        let shown = world.account(account).await;
        assert_eq!((&shown["balance"], &shown["held"]), (&json!(balance), &json!(held)), "{shown}");
        assert!(shown["available"].as_i64().unwrap() >= 0, "{shown}");
    }
    assert_eq!(world.next_seq().await, LAST_SEQ + 2 + events + 1, "one number for each event");
    world.server.verify(None);
}
