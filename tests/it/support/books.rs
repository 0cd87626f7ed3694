//! A ledger with money in it, for tests that speak raw HTTP.

use super::raw::{Connection, Reply, Request};
use super::server::Server;

/// What each account holds at first, in minor units. More than any test spends.
pub(crate) const FUNDS: i64 = 1_000_000_000;

/// The operator's token and funded accounts in EUR.
pub(crate) struct Books {
    /// The operator's token.
    pub(crate) token: String,
    /// Ids of the funded accounts.
    pub(crate) accounts: Vec<String>,
}

/// One transfer as it is sent; accounts by their place in [`Books::accounts`].
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The idempotency key.
    pub(crate) key: String,
    /// The account that pays.
    pub(crate) debit: usize,
    /// The account that is paid.
    pub(crate) credit: usize,
    /// Minor units.
    pub(crate) amount: i64,
}

impl Books {
    /// Opens `accounts` accounts and funds each from one that may go below zero without bound.
    pub(crate) fn open(server: &Server, accounts: usize) -> Self {
        let token = server.operator_token();
        let mut connection = Connection::open(server.address());
        let source = open_account(&mut connection, &token, r#"{"currency":"EUR","min_balance":null}"#);
        let accounts: Vec<_> = (0..accounts)
            .map(|_| open_account(&mut connection, &token, r#"{"currency":"EUR","name":"purse"}"#))
            .collect();
        for (place, account) in accounts.iter().enumerate() {
            let request = transfer(&token, &format!("fund-{place}"), &source, account, FUNDS);
            expect_created(&connection.call(request.bytes()));
        }
        Self { token, accounts }
    }

    /// A request of the operator to open an account.
    pub(crate) fn account_request(&self) -> Request {
        Request::post("/api/v1/accounts").bearer(&self.token)
    }

    /// The request that places an order.
    pub(crate) fn request(&self, order: &Order) -> Request {
        self.request_of(&self.token, order)
    }

    /// The same with another token.
    pub(crate) fn request_of(&self, token: &str, order: &Order) -> Request {
        let (debit, credit) = (&self.accounts[order.debit], &self.accounts[order.credit]);
        transfer(token, &order.key, debit, credit, order.amount)
    }

    /// The same with further fields.
    pub(crate) fn request_with(&self, order: &Order, fields: &[(&str, &str)]) -> Request {
        let (debit, credit) = (&self.accounts[order.debit], &self.accounts[order.credit]);
        let request = Request::post("/api/v1/transfers").bearer(&self.token);
        let request = fields.iter().fold(request, |request, (name, value)| request.field(name, value));
        let body = order_body(debit, credit, order.amount);
        request.field("Idempotency-Key", &order.key).json(body)
    }

    /// A GET request of the operator.
    pub(crate) fn get(&self, target: &str) -> Request {
        Request::get(target).bearer(&self.token)
    }

    /// The balance of each account, in the order of `accounts`.
    pub(crate) fn balances(&self, connection: &mut Connection) -> Vec<i64> {
        let balance = |account: &String| {
            let reply = connection.call(self.get(&format!("/api/v1/accounts/{account}")).bytes());
            assert_eq!(reply.status, 200, "{reply:?}");
            reply.json()["balance"].as_i64().unwrap()
        };
        self.accounts.iter().map(balance).collect()
    }
}

fn open_account(connection: &mut Connection, token: &str, body: &str) -> String {
    let request = Request::post("/api/v1/accounts").bearer(token).json(body);
    expect_created(&connection.call(request.bytes()))
}

fn transfer(token: &str, key: &str, debit: &str, credit: &str, amount: i64) -> Request {
    let body = order_body(debit, credit, amount);
    Request::post("/api/v1/transfers").bearer(token).field("Idempotency-Key", key).json(body)
}

fn order_body(debit: &str, credit: &str, amount: i64) -> String {
    format!(r#"{{"debit_account":"{debit}","credit_account":"{credit}","amount":{amount},"currency":"EUR"}}"#)
}

/// The id of what a 201 has made.
pub(crate) fn expect_created(reply: &Reply) -> String {
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["id"].as_str().unwrap().to_owned()
}
