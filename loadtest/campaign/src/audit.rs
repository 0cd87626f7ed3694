//! The six invariants as a stranger can see them: all lists of the API, compared with what clients were told, and the
//! program's own `verify`.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::io;

use jiff::Timestamp;
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
    look_at_order(findings, transfers);
}

/// I6: numbers without a gap, and times that never fall.
fn look_at_order(findings: &mut Findings, transfers: &[Value]) {
    let place = |transfer: &Value| {
        let time: Timestamp = transfer["created_at"].as_str()?.parse().ok()?;
        Some((transfer["seq"].as_u64()?, time))
    };
    let mut places: Vec<_> = transfers.iter().filter_map(place).collect();
    places.sort_unstable();
    let gap = places.iter().zip(1..).find(|((seq, _), place)| seq != place);
    findings.check("I6", gap.is_none() && places.len() == transfers.len(), format!("seq: {gap:?}"));
    let falls = places.windows(2).find(|pair| pair[1].1 < pair[0].1);
    findings.check("I6", falls.is_none(), format!("the time falls: {falls:?}"));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn breaches(rows: &[(u64, &str)]) -> Vec<String> {
        let mut findings = Findings::default();
        let transfers: Vec<_> =
            rows.iter().map(|(seq, time)| json!({"seq": seq, "created_at": time})).collect();
        look_at_order(&mut findings, &transfers);
        findings.breaches.into_iter().map(|(_, detail)| detail).collect()
    }

    #[test]
    fn order_is_by_seq_and_times_are_instants() {
        let rows = [
            (3, "2026-01-01T00:00:01Z"),
            (1, "2026-01-01T00:00:00.9Z"),
            (2, "2026-01-01T00:00:00.900001Z"),
            (4, "2026-01-01T00:00:01Z"),
        ];
        assert_eq!(breaches(&rows), [""; 0]);
    }

    #[test]
    fn a_time_that_falls_by_a_microsecond_is_found() {
        let rows = [(1, "2026-01-01T00:00:00.9Z"), (2, "2026-01-01T00:00:00.899999Z")];
        assert!(matches!(&breaches(&rows)[..], [found] if found.starts_with("the time falls")));
    }

    #[test]
    fn a_gap_or_what_is_no_time_is_found() {
        let time = "2026-01-01T00:00:00Z";
        assert!(matches!(&breaches(&[(1, time), (3, time)])[..], [found] if found.starts_with("seq")));
        assert!(matches!(&breaches(&[(1, "yesterday")])[..], [found] if found.starts_with("seq")));
    }
}
