//! Wall clocks that are set forward and back while the server runs. Ids stay different, the ledger's time never falls,
//! `seq` has no gap, tokens that were issued go on, and holds end once.

use std::time::{Duration, Instant};

use campaign::{Campaign, Options, Store};
use serde_json::Value;

use super::super::crash::options;
use super::ORDERS;
use crate::postgres::assert_unavailable;
use crate::support::preload::Preload;
use crate::support::raw::{Connection, Request};
use crate::support::wait_until;

const HOUR_S: i64 = 3_600;
/// How long a hold may remain after its time, on a busy machine.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// A wall clock for servers, some seconds off the real one.
struct Clock(Preload);

impl Clock {
    fn new() -> Self {
        Self(Preload::new("faults/limits/wall_clock.c", &0_i64.to_ne_bytes()))
    }

    /// Sets it so many seconds off, at once and for everybody.
    fn set(&self, shift_s: i64) {
        self.0.tell(&shift_s.to_ne_bytes());
    }
}

/// The clock stands at each of these, in seconds, for a while.
const JUMPS_S: [i64; 6] = [2 * HOUR_S, -12 * HOUR_S, 0, -60, 20 * HOUR_S, 0];
/// The same where a database has a clock of its own, from which ours may be no more than a minute.
const SMALL_JUMPS_S: [i64; 4] = [50, -50, 0, -50];

#[test]
fn a_clock_that_jumps_breaks_neither_ids_nor_tokens_nor_seq_on_sqlite() {
    let clock = Clock::new();
    let mut campaign = begin(&clock, Store::Sqlite);
    jump(&clock, &campaign, &JUMPS_S);
    // Also what starts while the clock is wrong.
    clock.set(-HOUR_S);
    let moment = campaign.kill_server().unwrap();
    campaign.wait_for_recovery(moment).unwrap();
    assert_holds(campaign);
}

#[test]
fn a_clock_that_leaves_that_of_postgres_refuses_writes_until_it_is_back() {
    let clock = Clock::new();
    let campaign = begin(&clock, Store::Postgres);
    jump(&clock, &campaign, &SMALL_JUMPS_S);
    for shift_s in [2 * HOUR_S, -12 * HOUR_S] {
        clock.set(shift_s);
        let before = wait_until_refused(&campaign);
        assert_eq!(get(&campaign, "/api/v1/accounts")["data"][0]["currency"], "EUR", "reads go on");
        clock.set(0);
        campaign.wait_for_recovery(Instant::now()).unwrap();
        assert!(campaign.acknowledged() > before);
    }
    assert_holds(campaign);
}

fn begin(clock: &Clock, store: Store) -> Campaign {
    Campaign::begin(&Options { variables: clock.0.variables(), ..options(store) }).unwrap()
}

fn jump(clock: &Clock, campaign: &Campaign, shifts_s: &[i64]) {
    for &shift_s in shifts_s {
        clock.set(shift_s);
        campaign.wait_for_more(ORDERS / 2).unwrap();
    }
}

fn assert_holds(campaign: Campaign) {
    let report = campaign.finish().unwrap();
    assert!(report.holds(), "{report}");
}

/// Waits until a transfer is refused as it must be; how many had been answered by then.
fn wait_until_refused(campaign: &Campaign) -> u64 {
    let accounts = list(campaign, "/api/v1/accounts");
    let body = serde_json::json!({
        "debit_account": accounts[1]["id"], "credit_account": accounts[0]["id"], "amount": 1_000_000, "currency": "EUR",
    });
    let request =
        Request::post("/api/v1/transfers").bearer(campaign.token()).field("Idempotency-Key", "too-much");
    let request = request.json(body.to_string()).bytes();
    wait_until(ENDED_WITHIN, || match Connection::open(campaign.address()).call(&request) {
        reply if reply.status == 503 => {
            assert_unavailable(&reply);
            Ok(())
        }
        reply => Err(format!("{reply:?}")),
    });
    campaign.acknowledged()
}

#[test]
fn a_hold_ends_once_and_at_its_time_whatever_the_clock_does() {
    let clock = Clock::new();
    let options = Options { variables: clock.0.variables(), clients: 1, ..options(Store::Sqlite) };
    let campaign = Campaign::begin(&options).unwrap();
    let accounts = list(&campaign, "/api/v1/accounts");
    // The first one has no floor, so that a hold is never refused.
    let of = |place: usize| accounts[place]["id"].as_str().unwrap().to_owned();
    let hold = |key: &str, seconds: i64| {
        let body = serde_json::json!({
            "debit_account": of(0), "credit_account": of(1), "amount": 1, "currency": "EUR", "pending": true,
            "timeout_seconds": seconds,
        });
        let request =
            Request::post("/api/v1/transfers").bearer(campaign.token()).field("Idempotency-Key", key);
        let reply = Connection::open(campaign.address()).call(request.json(body.to_string()).bytes());
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    };
    let status = |id: &str| get(&campaign, &format!("/api/v1/transfers/{id}"))["status"].clone();
    let wait_for_end = |id: &str| {
        wait_until(
            ENDED_WITHIN,
            || if status(id) == "expired" { Ok(()) } else { Err(status(id).to_string()) },
        );
    };

    let (short, long) = (hold("short", 1), hold("long", HOUR_S));
    clock.set(-HOUR_S);
    campaign.wait_for_more(10).unwrap();
    assert_eq!(status(&long), "pending", "a clock that was set back ends nothing");
    clock.set(0);
    wait_for_end(&short);
    assert_eq!(status(&long), "pending");
    clock.set(2 * HOUR_S);
    wait_for_end(&long);
    clock.set(0);
    campaign.wait_for_more(10).unwrap();
    assert_eq!(status(&long), "expired", "what has ended stays so");
    let request = Request::post(&format!("/api/v1/transfers/{long}/post")).bearer(campaign.token());
    let request = request.field("Idempotency-Key", "too-late").field("Content-Length", "0");
    let reply = Connection::open(campaign.address()).call(request.bytes());
    assert_eq!((reply.status, &*reply.problem_code()), (409, "transfer_not_pending"));
    let held: i64 = list(&campaign, "/api/v1/accounts").iter().map(|a| a["held"].as_i64().unwrap()).sum();
    assert_eq!(held, 0);
}

fn get(campaign: &Campaign, target: &str) -> Value {
    let request = Request::get(target).bearer(campaign.token());
    let reply = Connection::open(campaign.address()).call(request.bytes());
    assert_eq!(reply.status, 200, "{target}: {reply:?}");
    reply.json()
}

fn list(campaign: &Campaign, target: &str) -> Vec<Value> {
    get(campaign, &format!("{target}?limit=200"))["data"].as_array().unwrap().clone()
}
