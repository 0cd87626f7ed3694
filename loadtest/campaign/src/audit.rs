//! The six invariants as a stranger can see them: all lists of the API, compared with what clients were told, and the
//! program's own `verify`.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::io;

use serde_json::Value;

use crate::http::Connection;
use crate::orders::{Accounts, Order, Verdict, text};
use crate::server::Server;

/// The invariants by number, in short.
pub const INVARIANTS: [(&str, &str); 6] = [
    ("I1", "no acknowledged transfer is missing"),
    ("I2", "no key is applied twice"),
    ("I3", "all balances together are 0"),
    ("I4", "a balance is the sum of its entries, and what the clients reckon"),
    ("I5", "nothing is below its floor"),
    ("I6", "seq has no gap, and the hash chain holds"),
];

/// What an audit found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Events of the ledger.
    pub events: u64,
    /// What is not as it must be: the invariant's number, and how. At most 20 of them.
    pub breaches: Vec<(&'static str, String)>,
}

/// How many breaches are told: one bug breaks many rows.
const BREACHES: usize = 20;

impl Findings {
    fn check(&mut self, invariant: &'static str, holds: bool, detail: impl Display) {
        if !holds && self.breaches.len() < BREACHES {
            self.breaches.push((invariant, detail.to_string()));
        }
    }
}

/// Looks at everything. `past` is a head that the ledger has had.
pub(crate) fn audit(
    server: &Server,
    accounts: &Accounts,
    settled: &[(Order, Verdict)],
    past: Option<&str>,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let connection = &mut Connection::open(server.address())?;
    let transfers = accounts.list(connection, "/api/v1/transfers")?;
    findings.events = transfers.len() as u64;
    look_at_transfers(&mut findings, accounts, settled, &transfers);
    look_at_accounts(&mut findings, connection, accounts, settled)?;
    let report = server.verify(past)?;
    findings.check("I6", report["ok"] == true, format!("verify: {report}"));
    let told = report["events"].as_u64();
    findings.check("I6", told == Some(findings.events), format!("verify counts {told:?} events"));
    Ok(findings)
}

/// I1, I2 and I6.
fn look_at_transfers(
    findings: &mut Findings,
    accounts: &Accounts,
    settled: &[(Order, Verdict)],
    transfers: &[Value],
) {
    let by_id: HashMap<_, _> = transfers.iter().map(|transfer| (text(transfer, "id"), transfer)).collect();
    let mut applied = HashSet::new();
    for (order, verdict) in settled {
        let Verdict::Posted { id, seq } = verdict else { continue };
        let found = by_id.get(id).is_some_and(|transfer| is_of(transfer, accounts, order, *seq));
        findings.check("I1", found, format!("{order:?} as {id} is {:?}", by_id.get(id)));
        findings.check("I2", applied.insert(id), format!("{id} answers two keys"));
    }
    let made = applied.len() + accounts.funded.len();
    findings.check("I2", transfers.len() == made, format!("{} transfers, not {made}", transfers.len()));
    let place = |transfer: &Value| Some((transfer["seq"].as_u64()?, text(transfer, "created_at")));
    let mut places: Vec<_> = transfers.iter().filter_map(place).collect();
    places.sort_unstable();
    let gap = places.iter().zip(1..).find(|((seq, _), place)| seq != place);
    findings.check("I6", gap.is_none() && places.len() == transfers.len(), format!("seq: {gap:?}"));
    // RFC 3339 in UTC, as far as seconds, is in the order of its text.
    let falls = places.windows(2).find(|pair| seconds(&pair[1].1) < seconds(&pair[0].1));
    findings.check("I6", falls.is_none(), format!("the time falls: {falls:?}"));
}

fn seconds(time: &str) -> &str {
    time.split(['.', 'Z']).next().unwrap_or_default()
}

fn is_of(transfer: &Value, accounts: &Accounts, order: &Order, seq: u64) -> bool {
    transfer["seq"] == seq
        && transfer["status"] == "posted"
        && transfer["amount"] == order.amount
        && transfer["debit_account"] == accounts.funded[order.debit].as_str()
        && transfer["credit_account"] == accounts.funded[order.credit].as_str()
}

/// I3, I4 and I5.
fn look_at_accounts(
    findings: &mut Findings,
    connection: &mut Connection,
    accounts: &Accounts,
    settled: &[(Order, Verdict)],
) -> io::Result<()> {
    let expected = accounts.balances(settled);
    let mut sum = 0;
    let all = accounts.list(connection, "/api/v1/accounts")?;
    findings.check("I1", all.len() == expected.len(), format!("{} accounts", all.len()));
    for account in &all {
        let id = text(account, "id");
        let balance = account["balance"].as_i64();
        sum += balance.unwrap_or(0);
        findings.check("I4", balance == expected.get(id.as_str()).copied(), format!("balance of {account}"));
        findings.check("I4", account["held"] == 0, format!("held of {account}"));
        let is_above = account["min_balance"].is_null()
            || account["available"].as_i64() >= account["min_balance"].as_i64();
        findings.check("I5", is_above, account);
        let entries = accounts.list(connection, &format!("/api/v1/accounts/{id}/entries"))?;
        let moved: i64 = entries.iter().filter_map(|entry| entry["amount"].as_i64()).sum();
        let last = entries.first().map_or(Some(0), |entry| entry["balance"].as_i64());
        let told = format!("entries of {id}: {moved}, {last:?}, not {balance:?}");
        findings.check("I4", Some(moved) == balance && last == balance, told);
    }
    findings.check("I3", sum == 0, format!("the sum is {sum}"));
    Ok(())
}
