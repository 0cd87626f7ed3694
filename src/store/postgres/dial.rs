//! Opens connections to a target: its hosts and their addresses in turn, a time limit for each, and only sessions of
//! the right kind. Where the caller brings the stream, tokio-postgres leaves all of that to it.
//!
//! Knows nothing of pools and of what is asked over a connection.

mod carry;
mod connector;
mod error;
mod place;
mod session;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::config::SslMode;
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::carry::Warned;
use self::carry::{Carry, Heard, OnRing, OnTokio, kicked};
pub(super) use self::connector::Connector;
pub(super) use self::error::Cause;
pub use self::error::DialError;
use self::error::{Attempt, Failure};
pub(super) use self::place::Place;
use self::place::{connect, resolve};
use super::Carrier;
use super::target::{Host, SessionAttrs, Target};
use super::tls::StartTls;

/// A connection and where it leads.
#[derive(Debug)]
pub(super) struct Dialled {
    /// The connection. Dropping it ends the task that drives it.
    pub(super) client: ClientWrapper,
    /// Where it leads.
    pub(super) place: Place,
    /// Whether the server has warned on it.
    pub(super) warned: Warned,
    /// Told of each notification that comes on it.
    pub(super) notified: Arc<Notify>,
}

/// Opens a connection: to the first host and address, in the order of the target, that lets us in and has the right kind
/// of session. Each gets `connect_timeout`, unless the URL names a limit, for TCP, TLS, authentication and the
/// look at its session together; the look-up of a name gets as much again.
///
/// A host that refuses the user or password ends the search, as in libpq. Unlike libpq, every other answer sends it
/// on: a host with too many connections says nothing about the next one.
pub(super) async fn dial(
    target: &Target,
    carrier: Carrier,
    connect_timeout: Duration,
) -> Result<Dialled, DialError> {
    let reached = match carrier {
        Carrier::Tokio => reach::<OnTokio>(target, connect_timeout).await?,
        Carrier::Ring => reach::<OnRing>(target, connect_timeout).await?,
    };
    let Reached { opened: Opened { client, driver, heard }, place } = reached;
    let Heard { warned, notified } = heard;
    Ok(Dialled { client: ClientWrapper::new(client, driver.detach()), place, warned, notified })
}

/// A connection that is still to be looked at.
struct Opened {
    client: Client,
    driver: AbortOnDropHandle<()>,
    heard: Heard,
}

/// A connection whose parts are still apart.
struct Reached {
    opened: Opened,
    place: Place,
}

impl Reached {
    fn into_parts(self) -> (Client, JoinHandle<()>) {
        (self.opened.client, self.opened.driver.detach())
    }
}

/// [`dial`] on a known carrier.
async fn reach<C: Carry>(target: &Target, connect_timeout: Duration) -> Result<Reached, DialError> {
    let limit = target.connect_timeout().map_or(connect_timeout, |limit| limit.min(connect_timeout));
    let mut error = DialError::default();
    for &wanted in target.session().passes() {
        error = DialError::default();
        for host in place::in_order(target.hosts().to_vec(), target.load_balance()) {
            match reach_host::<C>(target, &host, wanted, limit, &mut error).await {
                Some(reached) => return Ok(reached),
                None if error.ends_search() => return Err(error),
                None => {}
            }
        }
    }
    Err(error)
}

/// Tries the addresses of one host and notes why each failed.
async fn reach_host<C: Carry>(
    target: &Target,
    host: &Host,
    wanted: SessionAttrs,
    limit: Duration,
    error: &mut DialError,
) -> Option<Reached> {
    let places = match timeout(limit, resolve(host, target.load_balance())).await {
        Ok(Ok(places)) => places,
        Ok(Err(failure)) => {
            error.note(Attempt { place: host.to_string(), failure: Failure::Resolve(failure) });
            return None;
        }
        Err(_) => {
            error.note(Attempt { place: host.to_string(), failure: Failure::Timeout(limit) });
            return None;
        }
    };
    for place in places {
        let attempt = timeout(limit, open::<C>(target, &place, wanted));
        let failure = match attempt.await.unwrap_or(Err(Failure::Timeout(limit))) {
            Ok(opened) => return Some(Reached { opened, place }),
            Err(failure) => failure,
        };
        error.note(Attempt { place: place.to_string(), failure });
        if error.ends_search() {
            return None;
        }
    }
    None
}

/// One address: a session of the right kind, encrypted as the target asks.
async fn open<C: Carry>(target: &Target, place: &Place, wanted: SessionAttrs) -> Result<Opened, Failure> {
    let opened = log_in_as_planned::<C>(target, place).await?;
    session::check(&opened.client, wanted).await?;
    Ok(opened)
}

/// With `sslmode` allow and prefer, two attempts.
async fn log_in_as_planned<C: Carry>(target: &Target, place: &Place) -> Result<Opened, Failure> {
    // libpq ignores sslmode on a unix socket too: it never leaves the host.
    let plan = if place.is_unix() { &[SslMode::Disable] } else { target.tls().plan() };
    let (&first, rest) = plan.split_first().expect("a plan has a first step");
    let (outcome, encrypted) = log_in::<C>(target, place, first).await;
    match (outcome, rest) {
        // Had the server not agreed to encrypt, the second attempt would be the same again.
        (Err(failure), &[second])
            if failure.may_be_about_encryption() && (encrypted || first == SslMode::Disable) =>
        {
            match log_in::<C>(target, place, second).await.0 {
                // The first answer tells more.
                Err(Failure::Tls(_)) => Err(failure),
                outcome => outcome,
            }
        }
        (outcome, _) => outcome,
    }
}

/// Connects and authenticates. Tells besides whether encryption was begun.
async fn log_in<C: Carry>(target: &Target, place: &Place, mode: SslMode) -> (Result<Opened, Failure>, bool) {
    let start = match start_tls(target, place) {
        Ok(start) => start,
        Err(failure) => return (Err(failure), false),
    };
    let begun = start.begun();
    let outcome = async {
        let socket = connect(place, target.socket()).await.map_err(Failure::Io)?;
        let (carrier, socket) = C::adopt(socket).map_err(Failure::Io)?;
        let mut config = target.config().clone();
        config.ssl_mode(mode);
        let opened = kicked(&carrier, config.connect_raw(socket, start)).await.map_err(Failure::Io)?;
        let tls_refused = mode == SslMode::Require && !begun.load(Ordering::Relaxed);
        let (client, connection) = opened.map_err(|error| Failure::of(&error, tls_refused))?;
        let heard = Heard::default();
        let driver = AbortOnDropHandle::new(carrier.spawn(connection, place.clone(), heard.clone()));
        Ok(Opened { client, driver, heard })
    };
    let outcome = outcome.await;
    (outcome, begun.load(Ordering::Relaxed))
}

/// TLS for the name that the certificate must have.
fn start_tls(target: &Target, place: &Place) -> Result<StartTls, Failure> {
    let tls = target.tls();
    match place.server_name() {
        Some(name) => Ok(tls.start(name)),
        None if !tls.verifies_name() => Ok(tls.start(place.server_address())),
        None => Err(Failure::Tls("no certificate can be for the name of this host".to_owned())),
    }
}
