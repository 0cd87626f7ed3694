//! What clients ask for and what they were told: their own books, which the ledger is compared with.

use std::collections::HashMap;
use std::io;

use serde_json::{Value, json};

use crate::http::{Connection, Reply, get, post};

/// What each account holds at first, in cents: little enough that some transfers are refused.
pub(crate) const FUNDS: i64 = 300;
/// The most that one transfer moves, in cents.
const AMOUNT_MAX: i64 = 100;
/// Rows asked for at once, as many as the server gives.
const PAGE_ROWS: usize = 200;

/// The operator's token and the accounts that money moves between.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    pub(crate) token: String,
    /// The account without a floor that the others were funded from.
    pub(crate) source: String,
    pub(crate) funded: Vec<String>,
}

/// One transfer as it is asked for; accounts by their place in [`Accounts::funded`].
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) key: String,
    pub(crate) debit: usize,
    pub(crate) credit: usize,
    pub(crate) amount: i64,
}

/// What the ledger decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Posted {
        id: String,
        seq: u64,
    },
    /// `insufficient_funds`.
    Refused,
}

impl Accounts {
    /// Opens and funds so many accounts; makes one event for each.
    pub(crate) fn open(connection: &mut Connection, token: String, count: usize) -> io::Result<Self> {
        let mut open = |body| {
            let made = connection.call(&post("/api/v1/accounts", &token, None, &body))?.expect(201)?;
            Ok(text(&made, "id"))
        };
        let source = open(json!({"currency": "EUR", "min_balance": null}))?;
        let funded = (0..count).map(|_| open(json!({"currency": "EUR"}))).collect::<io::Result<Vec<_>>>()?;
        for (place, account) in funded.iter().enumerate() {
            let key = format!("fund-{place}");
            connection.call(&transfer(&token, &key, &source, account, FUNDS))?.expect(201)?;
        }
        Ok(Self { token, source, funded })
    }

    /// An order between two accounts that chance picks.
    pub(crate) fn order(&self, dice: &mut fastrand::Rng, key: String) -> Order {
        let debit = dice.usize(..self.funded.len());
        let credit = (debit + dice.usize(1..self.funded.len())) % self.funded.len();
        Order { key, debit, credit, amount: dice.i64(1..=AMOUNT_MAX) }
    }

    /// The request that places an order.
    pub(crate) fn request(&self, order: &Order) -> String {
        let (debit, credit) = (&self.funded[order.debit], &self.funded[order.credit]);
        transfer(&self.token, &order.key, debit, credit, order.amount)
    }

    /// All members of a list, page by page.
    pub(crate) fn list(&self, connection: &mut Connection, target: &str) -> io::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let target = format!("{target}?limit={PAGE_ROWS}{cursor}");
            let mut page = connection.call(&get(&target, &self.token))?.expect(200)?;
            if let Some(data) = page["data"].as_array_mut() {
                rows.append(data);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// What each funded account holds by what clients were told.
    pub(crate) fn balances(&self, settled: &[(Order, Verdict)]) -> HashMap<&str, i64> {
        let mut balances: HashMap<_, _> =
            self.funded.iter().map(|account| (account.as_str(), FUNDS)).collect();
        for (order, verdict) in settled {
            if *verdict != Verdict::Refused {
                *balances.entry(&self.funded[order.debit]).or_default() -= order.amount;
                *balances.entry(&self.funded[order.credit]).or_default() += order.amount;
            }
        }
        let spent = FUNDS * i64::try_from(self.funded.len()).unwrap_or(i64::MAX);
        balances.insert(&self.source, -spent);
        balances
    }
}

impl Verdict {
    /// What a reply says that is not 503.
    pub(crate) fn of(reply: &Reply) -> io::Result<Self> {
        let body = reply.json()?;
        match (reply.status, body["code"].as_str()) {
            (201, _) => Ok(Self::Posted { id: text(&body, "id"), seq: body["seq"].as_u64().unwrap_or(0) }),
            (422, Some("insufficient_funds")) => Ok(Self::Refused),
            _ => Err(reply.unexpected()),
        }
    }
}

fn transfer(token: &str, key: &str, debit: &str, credit: &str, amount: i64) -> String {
    let body = json!({"debit_account": debit, "credit_account": credit, "amount": amount, "currency": "EUR"});
    post("/api/v1/transfers", token, Some(key), &body)
}

/// A member that is text, or nothing.
pub(crate) fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}
