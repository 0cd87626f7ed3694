//! The accounts that money moves between, and what happened to each.

use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::http::{Connection, post, runtime};
use crate::server::Server;

/// Accounts without a floor, so that no transfer is refused.
pub(crate) struct Ledger {
    pub(crate) token: String,
    pub(crate) accounts: Vec<String>,
    /// Each transfer that was acknowledged: its `seq` and the places of its accounts.
    made: Mutex<Vec<(u64, [usize; 2])>>,
}

impl Ledger {
    pub(crate) fn open(server: &Server, accounts: usize) -> io::Result<Self> {
        let token = server.token()?;
        let body = json!({"currency": "EUR", "min_balance": null}).to_string();
        let request = post("/api/v1/accounts", &token, "", &body);
        let accounts = runtime()?.block_on(async {
            let mut connection = Connection::open(server.address).await?;
            let mut opened = Vec::with_capacity(accounts);
            for _ in 0..accounts {
                let account = connection.call(&request).await?.json(201)?;
                opened.push(account["id"].as_str().unwrap_or_default().to_owned());
            }
            io::Result::Ok(opened)
        })?;
        Ok(Self { token, accounts, made: Mutex::default() })
    }

    pub(crate) fn note(&self, seq: u64, between: [usize; 2]) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push((seq, between));
    }

    /// The numbers behind `after` of one account's transfers, or of all, in order.
    pub(crate) fn numbers(&self, after: u64, account: Option<usize>) -> Vec<u64> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = made.iter().filter(|(seq, _)| *seq > after);
        let wanted = wanted.filter(|(_, between)| account.is_none_or(|account| between.contains(&account)));
        let mut numbers: Vec<_> = wanted.map(|(seq, _)| *seq).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The last number.
    pub(crate) fn head(&self) -> u64 {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().map(|(seq, _)| *seq).max().unwrap_or(0)
    }
}
