//! The whole table: method, path, who may call, what body it takes, what it sends, which handler.

use std::pin::Pin;

use http::Method;

use super::{Answer, Api, AuthUser, accounts, bench, health, tokens, transfers, users};
use crate::web::call::Call;
use crate::web::router::Router;

/// One row of the table.
pub struct Route {
    /// The path with its parameters; logs and metrics know a request by it.
    pub template: &'static str,
    /// What body it takes.
    pub body: BodyRule,
    /// The media types that it can send.
    pub produces: &'static [&'static str],
    /// What answers, and who may ask: the kind of handler says it.
    pub endpoint: Endpoint,
}

/// What body a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// None; one that is sent is not read.
    None,
    /// JSON, at most `limits.body_bytes` long.
    Json,
}

/// A handler's future.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// A handler. A handler that needs a user cannot be called without one.
pub enum Endpoint {
    /// Answers at once, for anyone.
    Now(fn(&Api, &Call<'_>) -> Answer),
    /// Answers anyone.
    Public(for<'a> fn(&'a Api, Call<'a>) -> Pending<'a>),
    /// Answers users with a valid token.
    User(for<'a> fn(&'a Api, AuthUser, Call<'a>) -> Pending<'a>),
}

const JSON: &[&str] = &["application/json"];
const TEXT: &[&str] = &["text/plain"];

/// A row for anyone.
macro_rules! public {
    ($handler:path) => {
        Endpoint::Public(|api, call| Box::pin($handler(api, call)))
    };
}

/// A row for users.
macro_rules! user {
    ($handler:path) => {
        Endpoint::User(|api, user, call| Box::pin($handler(api, user, call)))
    };
}

/// The routes. `bench_endpoints` adds those that serve load tests.
pub fn router(bench_endpoints: bool) -> Router<Route> {
    use BodyRule::{Json, None};
    let get = Method::GET;
    let post = Method::POST;
    #[rustfmt::skip] // one line a row
    let mut rows = vec![
        (&post, "/api/v1/users", Json, JSON, public!(users::register)),
        (&get, "/api/v1/users/me", None, JSON, user!(users::me)),
        (&post, "/api/v1/tokens", Json, JSON, public!(tokens::issue)),
        (&post, "/api/v1/accounts", Json, JSON, user!(accounts::open)),
        (&get, "/api/v1/accounts", None, JSON, user!(accounts::list)),
        (&get, "/api/v1/accounts/{id}", None, JSON, user!(accounts::read)),
        (&get, "/api/v1/accounts/{id}/entries", None, JSON, user!(accounts::entries)),
        (&post, "/api/v1/transfers", Json, JSON, user!(transfers::create)),
        (&get, "/api/v1/transfers/{id}", None, JSON, user!(transfers::read)),
        (&get, "/health", None, JSON, Endpoint::Now(health::health)),
        (&get, "/ready", None, JSON, public!(health::ready)),
    ];
    if bench_endpoints {
        rows.push((&get, "/plaintext", None, TEXT, Endpoint::Now(bench::plaintext)));
        rows.push((&get, "/json", None, JSON, Endpoint::Now(bench::json)));
        rows.push((&get, "/cpu", None, JSON, public!(bench::cpu)));
    }
    Router::new(rows.into_iter().map(|(method, template, body, produces, endpoint)| {
        (method.clone(), template, Route { template, body, produces, endpoint })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::router::Match;

    #[test]
    fn bench_endpoints_are_off_unless_asked_for() {
        let found = |bench| matches!(router(bench).find(&Method::GET, "/cpu"), Match::Found { .. });
        assert!(!found(false));
        assert!(found(true));
    }
}
