//! The requests of the scenarios that touch the ledger, and the accounts that they need, made through the API.

use std::thread;

use serde::Deserialize;

use super::ScenarioError;
use crate::plan::Template;
use crate::requests;
use crate::subject::{Reply, Running, Site, Wire, operator_token, request};

/// Connections of `read`.
pub(super) const READ_CONNECTIONS: usize = 64;
/// Accounts of each of them.
const ACCOUNTS: usize = 1_000;
/// Connections that open accounts at the same time; a commit then holds several.
const OPENERS: usize = 16;
/// How much of a wrong reply's body is shown.
const SHOWN_BYTES: usize = 300;

/// An account without a lower bound, so that no transfer is refused.
const ACCOUNT: &str = r#"{"currency":"EUR","min_balance":null}"#;

/// Batches that differ, so that no account is always the first. A thread of the client keeps them all, 180 KiB each.
const BATCHES: usize = 8;
/// What the choice of their accounts begins with, so that all subjects are asked for the same.
const SEED: u64 = 1;

/// What stands in the reply to a batch if one of its transfers was refused.
pub(super) const PROBLEM: &[u8] = br#""problem":"#;

#[derive(Deserialize)]
struct Account {
    id: String,
}

#[derive(Deserialize)]
struct Batch {
    results: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
}

/// GET of each of the accounts, which are made first.
pub(super) fn reads(running: &Running, site: &Site<'_>) -> Result<Vec<Template>, ScenarioError> {
    let token = operator_token(site)?;
    let accounts = open_accounts(running, &token, ACCOUNTS)?;
    let headers = [("Authorization", &*format!("Bearer {token}"))];
    Ok(accounts
        .iter()
        .map(|id| requests::get(&format!("/api/v1/accounts/{id}"), "localhost", &headers))
        .collect())
}

/// POST of a transfer from each of the accounts, which are made first, to the next one, or of all to one more that
/// all share.
pub(super) fn transfers(
    running: &Running,
    site: &Site<'_>,
    hot: bool,
) -> Result<Vec<Template>, ScenarioError> {
    let token = operator_token(site)?;
    let mut accounts = open_accounts(running, &token, ACCOUNTS + usize::from(hot))?;
    let shared = if hot { accounts.pop() } else { None };
    let next = accounts.iter().cycle().skip(1);
    let pairs = accounts.iter().zip(next);
    Ok(pairs.map(|(debit, credit)| transfer(&token, debit, shared.as_ref().unwrap_or(credit))).collect())
}

fn transfer(token: &str, debit: &str, credit: &str) -> Template {
    post(token, "/api/v1/transfers", &order(debit, credit))
}

fn order(debit: &str, credit: &str) -> String {
    format!(r#"{{"debit_account":"{debit}","credit_account":"{credit}","amount":1,"currency":"EUR"}}"#)
}

/// A request that changes the ledger, with a key of its own.
fn post(token: &str, path: &str, body: &str) -> Template {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    requests::post(path, "localhost", &headers, body.as_bytes(), Some("Idempotency-Key"))
}

/// POST of batches of `size` transfers, each from any of the accounts, which are made first, to any other. The subject
/// has answered one of them as it must.
pub(super) fn batches(
    running: &Running,
    site: &Site<'_>,
    size: usize,
) -> Result<Vec<Template>, ScenarioError> {
    let token = operator_token(site)?;
    let accounts = open_accounts(running, &token, ACCOUNTS)?;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let batches: Vec<_> = (0..BATCHES).map(|_| batch(&token, &accounts, size, &mut rng)).collect();
    batches.iter().take(1).try_for_each(|first| check_batch(running, first, size))?;
    Ok(batches)
}

fn batch(token: &str, accounts: &[String], size: usize, rng: &mut fastrand::Rng) -> Template {
    let items = (0..size).map(|_| {
        let debit = rng.usize(..accounts.len());
        let credit = (debit + rng.usize(1..accounts.len())) % accounts.len();
        order(&accounts[debit], &accounts[credit])
    });
    let body = format!(r#"{{"transfers":[{}]}}"#, items.collect::<Vec<_>>().join(","));
    post(token, "/api/v1/transfers/batch", &body)
}

/// The load looks at a reply's status and for [`PROBLEM`] alone; this looks at each result.
fn check_batch(running: &Running, batch: &Template, size: usize) -> Result<(), ScenarioError> {
    let name = running.subject.name;
    let reply = Wire::connect(running.address)
        .and_then(|mut wire| wire.ask(&batch.bytes))
        .map_err(|source| ScenarioError::Io { name, source })?;
    let made = serde_json::from_slice::<Batch>(&reply.body)
        .is_ok_and(|made| made.results.len() == size && made.results.iter().all(|item| item.status == 201));
    if reply.status == 200 && made {
        return Ok(());
    }
    Err(wrong_reply(running, "POST /api/v1/transfers/batch".to_owned(), &reply))
}

/// Opens accounts on several connections and returns their ids.
fn open_accounts(running: &Running, token: &str, count: usize) -> Result<Vec<String>, ScenarioError> {
    let share = |opener| count / OPENERS + usize::from(opener < count % OPENERS);
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| scope.spawn(move || open_some(running, token, share(opener))))
            .collect();
        let opened = openers
            .into_iter()
            .map(|opener| opener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Ok(opened.collect::<Result<Vec<_>, _>>()?.concat())
    })
}

fn open_some(running: &Running, token: &str, count: usize) -> Result<Vec<String>, ScenarioError> {
    let failed = |source| ScenarioError::Io { name: running.subject.name, source };
    let mut wire = Wire::connect(running.address).map_err(failed)?;
    let post = request("POST", "/api/v1/accounts", Some(token), ACCOUNT);
    (0..count)
        .map(|_| {
            let reply = wire.ask(&post).map_err(failed)?;
            match serde_json::from_slice::<Account>(&reply.body) {
                Ok(account) if reply.status == 201 => Ok(account.id),
                _ => Err(wrong_reply(running, "POST /api/v1/accounts".to_owned(), &reply)),
            }
        })
        .collect()
}

pub(super) fn wrong_reply(running: &Running, what: String, reply: &Reply) -> ScenarioError {
    let shown = &reply.body[..reply.body.len().min(SHOWN_BYTES)];
    let body = String::from_utf8_lossy(shown).into_owned();
    ScenarioError::WrongReply { name: running.subject.name, what, status: reply.status, body }
}
