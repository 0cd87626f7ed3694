//! The HTTP interface: parse a call into types, call a service, shape the reply.
//!
//! One file a resource; [`routes`] is the whole table. Handlers take a call and return a [`Reply`] or an
//! [`AppError`]: they never see a socket, a connection or the runtime.

use crate as api;
use ringledger_ledger::{models, store};
use ringledger_runtime as runtime;
use ringledger_services as services;
use ringledger_telemetry as telemetry;
use ringledger_web as web;

mod accounts;
mod auth;
mod bench;
pub mod dashboard;
pub mod error;
pub mod events;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod idempotency;
mod metrics;
pub mod openapi;
mod paging;
pub mod rate_limit;
pub mod recent;
pub mod routes;
mod statements;
mod tokens;
mod transfers;
mod users;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

pub use auth::AuthUser;
pub use dashboard::About;
pub use error::AppError;
pub use rate_limit::RateLimiter;
pub use recent::RecentProblems;
pub use routes::{Endpoint, Route};

use crate::models::Currencies;
use crate::services::Services;
use crate::telemetry::metrics::Scraper;
use crate::web::reply::Reply;
use crate::web::router::Router;

/// What a handler returns.
pub type Answer = Result<Reply, AppError>;

/// What one core answers requests with.
pub struct Api {
    /// The table of routes.
    pub router: Router<Route>,
    /// Business logic.
    pub services: Services,
    /// How many requests each user may send.
    pub rate_limiter: Arc<RateLimiter>,
    /// What accounts may count.
    pub currencies: Currencies,
    /// Whether anyone may register.
    pub open_registration: bool,
    /// Life of a token in seconds.
    pub token_ttl_s: u32,
    /// What all cores have counted; none where nothing is.
    pub metrics: Option<Scraper>,
    /// Whether anyone may read that.
    pub metrics_public: Cell<bool>,
    /// Whether it answers at `admin.listen`, to those who may see everything.
    pub is_admin: bool,
    /// What the process is, for the dashboard.
    pub about: RefCell<Arc<About>>,
    /// The last problems, for the dashboard.
    pub recent: RecentProblems,
    /// Whether the server has begun to drain: then `/ready` says no.
    pub draining: Cell<bool>,
}
