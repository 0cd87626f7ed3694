//! Callers who send random commands and record what they were told, and when.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ringledger::models::posting::{
    BatchItem, BatchRequest, Command, HoldDecision, HoldRequest, ReversalRequest, TransferRequest,
};
use ringledger::models::{AccountId, Amount, Fingerprint, Hold, Terms, Timestamp, TransferId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::store::ledger::{OPERATOR, euros, key_of};
use crate::support::Server;
use crate::support::raw::{Connection, Request};

/// Keys that all callers share, each for one request.
const SHARED_KEYS: u64 = 6;
/// One of so many commands has such a key.
const SHARED_EVERY: u64 = 8;

/// What a command is to do.
#[derive(Debug, Clone)]
pub(super) enum What {
    Transfer(Order),
    Post(TransferId, Option<i64>),
    Void(TransferId),
    Reverse(TransferId),
    Batch { atomic: bool, orders: Vec<Order> },
}

/// A transfer to be made.
#[derive(Debug, Clone)]
pub(super) struct Order {
    terms: Terms,
    hold: Option<Hold>,
}

/// A transfer of euros.
pub(super) fn order(debit: AccountId, credit: AccountId, amount: i64, hold: Option<Hold>) -> Order {
    Order { terms: euros(debit, credit, amount), hold }
}

/// A command, and what was told.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: String,
    pub(super) what: What,
    pub(super) sent: Instant,
    pub(super) answered: Instant,
    /// The same by the clock of this host, which is the servers' too.
    pub(super) answered_at: Timestamp,
    pub(super) status: u16,
    pub(super) replayed: bool,
    pub(super) body: Value,
}

impl Call {
    /// Whether it was refused before the ledger looked at it, as another with the key was under way.
    pub(super) fn was_in_flight(&self) -> bool {
        self.status == 409 && self.body["code"] == "idempotency_in_flight"
    }

    /// The hold that it made, if that ends in a second.
    pub(super) fn made_short_hold(&self) -> Option<TransferId> {
        match &self.what {
            What::Transfer(order) if order.hold == Some(Hold { timeout_s: Some(1) }) => {
                self.body["id"].as_str()?.parse().ok()
            }
            _ => None,
        }
    }

    /// The transfers that it made or ended.
    pub(super) fn transfers(&self) -> Vec<TransferId> {
        let single = std::slice::from_ref(&self.body);
        let results = self.body["results"].as_array();
        let shown = results.map_or_else(
            || single.iter().collect::<Vec<_>>(),
            |results| results.iter().map(|result| &result["transfer"]).collect(),
        );
        shown.into_iter().filter_map(|shown| shown["id"].as_str()).map(|id| id.parse().unwrap()).collect()
    }

    /// The command as the rule takes it: new transfers with the ids that the reply tells.
    pub(super) fn command(&self) -> Command {
        let (actor, key, request_id) = (OPERATOR, key_of(&self.key), "request".into());
        let id_in = |shown: &Value| shown["id"].as_str().map_or_else(new_id, |id| id.parse().unwrap());
        match &self.what {
            What::Transfer(Order { terms, hold }) => Command::Transfer(TransferRequest {
                actor,
                key,
                fingerprint: Fingerprint::of_transfer(terms, *hold),
                id: id_in(&self.body),
                terms: terms.clone(),
                hold: *hold,
                request_id,
            }),
            What::Post(of, part) => {
                let decision = HoldDecision::Post(part.map(|part| Amount::new(part).unwrap()));
                self.resolution(*of, decision)
            }
            What::Void(of) => self.resolution(*of, HoldDecision::Void),
            What::Reverse(of) => Command::Reverse(ReversalRequest {
                actor,
                key,
                fingerprint: Fingerprint::of_reversal(*of),
                id: id_in(&self.body),
                reverses: *of,
                request_id,
            }),
            What::Batch { atomic, orders } => {
                let items = orders.iter().enumerate().map(|(place, Order { terms, hold })| BatchItem {
                    id: id_in(&self.body["results"][place]["transfer"]),
                    terms: terms.clone(),
                    hold: *hold,
                });
                let items: Vec<_> = items.collect();
                let (atomic, fingerprint) = (*atomic, Fingerprint::of_batch(*atomic, &items));
                Command::Batch(BatchRequest { actor, key, fingerprint, atomic, items, request_id })
            }
        }
    }

    fn resolution(&self, transfer_id: TransferId, decision: HoldDecision) -> Command {
        Command::Resolve(HoldRequest {
            actor: OPERATOR,
            key: key_of(&self.key),
            fingerprint: Fingerprint::of_void(transfer_id),
            transfer_id,
            decision,
            request_id: "request".into(),
        })
    }
}

fn new_id() -> TransferId {
    TransferId::from_uuid(Uuid::now_v7())
}

/// Somebody with a connection.
pub(super) struct Caller<'a> {
    connection: Connection,
    token: &'a str,
    accounts: &'a [AccountId],
    /// Transfers that any caller was told of.
    known: &'a Mutex<Vec<TransferId>>,
    number: u64,
    calls: u64,
    random: u64,
}

impl<'a> Caller<'a> {
    pub(super) fn new(
        server: &Server,
        token: &'a str,
        accounts: &'a [AccountId],
        known: &'a Mutex<Vec<TransferId>>,
        number: u64,
    ) -> Self {
        let connection = Connection::open(server.address());
        Self { connection, token, accounts, known, number, calls: 0, random: number }
    }

    /// Sends so many random commands, one after the other.
    pub(super) fn call_often(mut self, count: usize) -> Vec<Call> {
        let mut call = || {
            if self.below(SHARED_EVERY) == 0 {
                let shared = self.below(SHARED_KEYS);
                let debit = self.accounts[usize::try_from(shared).unwrap() % self.accounts.len()];
                let credit = self.accounts[usize::try_from(shared + 1).unwrap() % self.accounts.len()];
                return self
                    .call_as(format!("shared-{shared}"), What::Transfer(order(debit, credit, 5, None)));
            }
            let what = self.anything();
            self.call(what)
        };
        (0..count).map(|_| call()).collect()
    }

    /// Sends a command with a key of its own.
    pub(super) fn call(&mut self, what: What) -> Call {
        self.calls += 1;
        let key = format!("{}-{}", self.number, self.calls);
        self.call_as(key, what)
    }

    fn call_as(&mut self, key: String, what: What) -> Call {
        let (target, body) = match &what {
            What::Transfer(order) => (String::new(), body_of(order)),
            What::Post(of, None) => (format!("/{of}/post"), json!({})),
            What::Post(of, Some(part)) => (format!("/{of}/post"), json!({"amount": part})),
            What::Void(of) => (format!("/{of}/void"), json!({})),
            What::Reverse(of) => (format!("/{of}/reverse"), json!({})),
            What::Batch { atomic, orders } => {
                let transfers: Vec<_> = orders.iter().map(body_of).collect();
                ("/batch".to_owned(), json!({"atomic": atomic, "transfers": transfers}))
            }
        };
        let request = Request::post(&format!("/api/v1/transfers{target}")).bearer(self.token);
        let request = request.field("Idempotency-Key", &key).json(body.to_string()).bytes();
        let sent = Instant::now();
        let reply = self.connection.call(request);
        let answered = Instant::now();
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let answered_at = Timestamp::from_micros(i64::try_from(since_epoch).unwrap()).unwrap();
        let replayed = reply.field("idempotency-replayed") == Some("true");
        let (status, body) = (reply.status, reply.json());
        let call = Call { key, what, sent, answered, answered_at, status, replayed, body };
        self.known.lock().unwrap().extend(call.transfers());
        call
    }

    fn anything(&mut self) -> What {
        match self.below(20) {
            0..6 => What::Transfer(self.order()),
            6..11 => {
                let part = (self.below(2) == 0).then(|| self.amount());
                What::Post(self.some_transfer(), part)
            }
            11..13 => What::Void(self.some_transfer()),
            13..17 => What::Reverse(self.some_transfer()),
            _ => {
                let atomic = self.below(2) == 0;
                let orders = (0..=self.below(3)).map(|_| self.order()).collect();
                What::Batch { atomic, orders }
            }
        }
    }

    fn order(&mut self) -> Order {
        let accounts = self.accounts;
        let [debit, credit] = [0; 2].map(|_| accounts[self.index(accounts.len())]);
        let hold = match self.below(5) {
            0 | 1 => None,
            2 => Some(Hold { timeout_s: Some(1) }),
            3 => Some(Hold { timeout_s: Some(1_000) }),
            _ => Some(Hold { timeout_s: None }),
        };
        order(debit, credit, self.amount(), hold)
    }

    fn amount(&mut self) -> i64 {
        i64::try_from(1 + self.below(50)).unwrap()
    }

    /// One of the last ones that anybody was told of, so that callers meet.
    fn some_transfer(&mut self) -> TransferId {
        let back = self.index(12);
        let known = self.known.lock().unwrap();
        known.iter().rev().nth(back % known.len().max(1)).copied().unwrap_or_else(new_id)
    }

    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap()
    }

    /// A number of `SplitMix64` (Steele, Lea and Flood, 2014): every run sends the same of each caller.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn body_of(Order { terms, hold }: &Order) -> Value {
    let mut body = json!({
        "debit_account": terms.debit_account,
        "credit_account": terms.credit_account,
        "amount": terms.amount,
        "currency": "EUR",
    });
    if let Some(Hold { timeout_s }) = hold {
        body["pending"] = true.into();
        body["timeout_seconds"] = json!(timeout_s);
    }
    body
}
