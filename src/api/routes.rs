//! The whole table: method, path, who may call, what body it takes, what it sends, which handler.

use std::pin::Pin;

use http::Method;

use super::{
    Answer, Api, AppError, AuthUser, accounts, bench, dashboard, events, health, metrics, openapi,
    statements, tokens, transfers, users,
};
use crate::telemetry::metrics::RowLabels;
use crate::web::call::Call;
use crate::web::router::Router;
use crate::web::websocket::Upgrade;

/// One row of the table.
pub struct Route {
    /// Its number in the table; metrics count by it.
    pub row: usize,
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
    /// The same, or none.
    OptionalJson,
    /// JSON, at most `limits.batch_body_bytes` long. Few of these are under way at once.
    BatchJson,
}

/// A handler's future.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// The future of a handshake's handler.
pub type Upgrading<'a> = Pin<Box<dyn Future<Output = Result<Upgrade, AppError>> + 'a>>;

/// A handler. A handler that needs a user cannot be called without one.
pub enum Endpoint {
    /// Answers at once, for anyone.
    Now(fn(&Api, &Call<'_>) -> Answer),
    /// Answers anyone, however many requests are under way.
    Always(for<'a> fn(&'a Api, Call<'a>) -> Pending<'a>),
    /// Answers anyone.
    Public(for<'a> fn(&'a Api, Call<'a>) -> Pending<'a>),
    /// Answers users with a valid token.
    User(for<'a> fn(&'a Api, AuthUser, Call<'a>) -> Pending<'a>),
    /// Becomes a WebSocket for whom it lets in.
    Socket(for<'a> fn(&'a Api, Call<'a>) -> Upgrading<'a>),
}

/// The paths that are served at `admin.listen`, and nothing else is. What they show there, they show to anyone.
const ADMIN: [&str; 5] = ["/dashboard", "/dashboard/data", "/health", "/metrics", "/ready"];

const JSON: &[&str] = &["application/json"];
/// What is sent over a WebSocket has no media type.
const NOTHING: &[&str] = &[];
const METRICS: &[&str] = &metrics::MEDIA_TYPES;
const STATEMENT: &[&str] = &statements::MEDIA_TYPES;
const TEXT: &[&str] = &["text/plain"];
const PAGE: &[&str] = &["text/html"];

/// A row for anyone.
macro_rules! public {
    ($handler:path) => {
        Endpoint::Public(|api, call| Box::pin($handler(api, call)))
    };
}

/// A row for those who watch over the server.
macro_rules! always {
    ($handler:path) => {
        Endpoint::Always(|api, call| Box::pin($handler(api, call)))
    };
}

/// A row for users.
macro_rules! user {
    ($handler:path) => {
        Endpoint::User(|api, user, call| Box::pin($handler(api, user, call)))
    };
}

/// A row for a WebSocket.
macro_rules! socket {
    ($handler:path) => {
        Endpoint::Socket(|api, call| Box::pin($handler(api, call)))
    };
}

/// A row as it is written down.
pub(super) type Row = (Method, &'static str, BodyRule, &'static [&'static str], Endpoint);

/// Method and path of each route, in the order of [`Route::row`].
pub fn labels(bench_endpoints: bool) -> Vec<RowLabels> {
    let label =
        |(method, template, ..): Row| RowLabels { method: method.to_string(), route: template.into() };
    rows(bench_endpoints).into_iter().map(label).collect()
}

/// The routes. `bench_endpoints` adds those that serve load tests.
pub fn router(bench_endpoints: bool) -> Router<Route> {
    routed(bench_endpoints, |_| true)
}

/// The routes of the admin listener. Rows have the numbers that they have in the whole table.
pub fn admin_router(bench_endpoints: bool) -> Router<Route> {
    routed(bench_endpoints, |template| ADMIN.contains(&template))
}

fn routed(bench_endpoints: bool, wanted: impl Fn(&str) -> bool) -> Router<Route> {
    let rows = rows(bench_endpoints).into_iter().enumerate();
    let rows = rows.filter(|(_, (_, template, ..))| wanted(template));
    Router::new(rows.map(|(row, (method, template, body, produces, endpoint))| {
        (method, template, Route { row, template, body, produces, endpoint })
    }))
}

/// The table.
pub(super) fn rows(bench_endpoints: bool) -> Vec<Row> {
    use BodyRule::{BatchJson, Json, None, OptionalJson};
    let get = Method::GET;
    let post = Method::POST;
    #[rustfmt::skip] // one line a row
    let mut rows = vec![
        (post.clone(), "/api/v1/users", Json, JSON, public!(users::register)),
        (get.clone(), "/api/v1/users/me", None, JSON, user!(users::me)),
        (post.clone(), "/api/v1/tokens", Json, JSON, public!(tokens::issue)),
        (post.clone(), "/api/v1/accounts", Json, JSON, user!(accounts::open)),
        (get.clone(), "/api/v1/accounts", None, JSON, user!(accounts::list)),
        (get.clone(), "/api/v1/accounts/{id}", None, JSON, user!(accounts::read)),
        (get.clone(), "/api/v1/accounts/{id}/balance", None, JSON, user!(accounts::balance::read)),
        (get.clone(), "/api/v1/accounts/{id}/entries", None, JSON, user!(accounts::entries)),
        (get.clone(), "/api/v1/accounts/{id}/statement", None, STATEMENT, user!(statements::read)),
        (post.clone(), "/api/v1/transfers", Json, JSON, user!(transfers::create)),
        (get.clone(), "/api/v1/transfers", None, JSON, user!(transfers::search::list)),
        (post.clone(), "/api/v1/transfers/batch", BatchJson, JSON, user!(transfers::create_batch)),
        (post.clone(), "/api/v1/transfers/{id}/post", OptionalJson, JSON, user!(transfers::post)),
        (post.clone(), "/api/v1/transfers/{id}/reverse", OptionalJson, JSON, user!(transfers::reverse)),
        (post.clone(), "/api/v1/transfers/{id}/void", OptionalJson, JSON, user!(transfers::void)),
        (get.clone(), "/api/v1/transfers/{id}", None, JSON, user!(transfers::read)),
        (get.clone(), "/api/v1/events", None, NOTHING, socket!(events::follow)),
        (post.clone(), "/api/v1/events/tickets", None, JSON, user!(events::ticket)),
        (get.clone(), "/dashboard", None, PAGE, Endpoint::Now(dashboard::page)),
        (get.clone(), "/dashboard/data", None, JSON, always!(dashboard::data)),
        (get.clone(), "/docs", None, PAGE, Endpoint::Now(openapi::page)),
        (get.clone(), "/health", None, JSON, Endpoint::Now(health::health)),
        (get.clone(), "/metrics", None, METRICS, always!(metrics::scrape)),
        (get.clone(), "/openapi.json", None, JSON, Endpoint::Now(openapi::json)),
        (get.clone(), "/ready", None, JSON, always!(health::ready)),
    ];
    if bench_endpoints {
        rows.push((get.clone(), "/plaintext", None, TEXT, Endpoint::Now(bench::plaintext)));
        rows.push((get.clone(), "/json", None, JSON, Endpoint::Now(bench::json)));
        rows.push((get.clone(), "/cpu", None, JSON, public!(bench::cpu)));
        rows.push((get.clone(), "/ws-echo", None, NOTHING, socket!(bench::echo)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::router::Match;

    #[test]
    fn the_admin_listener_serves_its_own_routes_under_the_numbers_of_the_table() {
        let row = |router: &Router<Route>, path: &str| match router.find(&Method::GET, path) {
            Match::Found { route, .. } => Some(route.row),
            Match::NotFound | Match::MethodNotAllowed { .. } | Match::Options { .. } => None,
        };
        let (public, admin) = (router(true), admin_router(true));
        for path in ADMIN {
            assert!(row(&admin, path).is_some() && row(&admin, path) == row(&public, path), "{path}");
        }
        assert!(row(&public, "/cpu").is_some());
        assert!(row(&admin, "/cpu").is_none());
    }

    #[test]
    fn bench_endpoints_are_off_unless_asked_for() {
        let found = |bench| matches!(router(bench).find(&Method::GET, "/cpu"), Match::Found { .. });
        assert!(!found(false));
        assert!(found(true));
    }
}
