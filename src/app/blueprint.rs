//! What the interface of every worker is made from, and how one is.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use super::seats::Purpose;
use super::{AppFailure, currencies, failed};
use crate::api::{self, Api, RateLimiter, RecentProblems, routes};
use crate::config::Settings;
use crate::runtime::CpuPool;
use crate::runtime::cores;
use crate::server::LiveSettings;
use crate::services::events::{CoreCommits, Followers, Places};
use crate::services::{Events, PostingLane, Services, Statements, Tickets, Tokens};
use crate::store::Store;
use crate::store::statements::StatementReader;
use crate::telemetry::metrics::Scraper;

/// What every worker's interface is made from.
pub(super) struct Blueprint<'a> {
    pub(super) settings: &'a Settings,
    pub(super) store: Store,
    pub(super) tokens: Tokens,
    pub(super) tickets: Tickets,
    pub(super) followers: Followers,
    pub(super) lane: PostingLane,
    pub(super) pool: CpuPool,
    pub(super) rate_limiter: Arc<RateLimiter>,
    pub(super) live: &'a watch::Sender<Arc<LiveSettings>>,
    pub(super) scraper: Option<Scraper>,
}

impl Blueprint<'_> {
    /// What is still of use once all workers are made. The lane ends when the last handle to it is gone; from here on
    /// only workers hold one.
    pub(super) fn into_kept(self) -> (Store, Arc<RateLimiter>) {
        (self.store, self.rate_limiter)
    }

    /// Makes the interface of one worker, with a read connection of its own, on that worker's thread.
    pub(super) fn api(
        &self,
        commits: CoreCommits,
        statements: StatementReader,
        purpose: Purpose,
        recent: RecentProblems,
    ) -> Result<Box<dyn FnOnce() -> Api + Send>, AppFailure> {
        let reader = self.store.reader().map_err(failed)?;
        let (lane, pool) = (self.lane.for_core(), self.pool.clone());
        let (tokens, tickets) = (self.tokens.clone(), self.tickets.clone());
        let (metrics, about) = (self.scraper.clone(), Arc::clone(&self.live.borrow().about));
        let settings = self.settings;
        let (rate_limiter, currencies) = (Arc::clone(&self.rate_limiter), currencies(settings)?);
        let router = match purpose {
            Purpose::Public => routes::router(settings.runtime.bench_endpoints),
            Purpose::Admin => routes::admin_router(settings.runtime.bench_endpoints),
        };
        let (open_registration, token_ttl_s) = (settings.auth.open_registration, settings.auth.token_ttl_s);
        let metrics_public = settings.metrics.public.into();
        let (per_core, per_user) = (settings.limits.sockets_per_core, settings.limits.sockets_per_user);
        let followers = self.followers.clone();
        Ok(Box::new(move || {
            if purpose == Purpose::Admin {
                cores::let_others_first();
            }
            let reader = Rc::new(reader);
            let statements = Statements::new(statements);
            let (places, turns) = (Places::new(per_core, per_user, followers), Rc::default());
            let events =
                Events::new(Rc::clone(&reader), commits, places, Rc::clone(&turns), api::events::encode);
            let events = Rc::new(events);
            Api {
                router,
                services: Services { reader, lane, pool, statements, tokens, tickets, events, turns },
                rate_limiter,
                currencies,
                open_registration,
                token_ttl_s,
                metrics,
                metrics_public,
                is_admin: purpose == Purpose::Admin,
                about: about.into(),
                recent,
                draining: false.into(),
            }
        }))
    }
}
