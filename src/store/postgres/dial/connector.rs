//! How a pool opens its connections, where the pool wants futures that may change threads and the streams of a ring may
//! not. Knows nothing of what the pool is for.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Client, Config, Error, NoTls};

use super::carry::{OnRing, OnTokio};
use super::error::{Attempt, Failure};
use super::{Carrier, Cause, DialError, Reached, reach};
use crate::store::postgres::target::Target;

/// Opens the connections of a pool to one target. With [`Carrier::Ring`] the pool belongs to the thread of that ring.
///
/// Its errors are those of a broken connection; [`DialError::behind`] gives what is behind them. A warning is logged
/// when connecting begins to fail or fails in another way, and a line when it works again.
#[derive(Debug)]
pub(in crate::store::postgres) struct Connector {
    target: Target,
    carrier: Carrier,
    connect_timeout: Duration,
    /// Why the last attempt failed, if it did.
    failing: Mutex<Option<Cause>>,
}

impl Connector {
    /// `connect_timeout` is for each address, unless the URL of the target names a limit.
    pub(in crate::store::postgres) fn new(
        target: Target,
        carrier: Carrier,
        connect_timeout: Duration,
    ) -> Self {
        Self { target, carrier, connect_timeout, failing: Mutex::new(None) }
    }

    fn tell_changes(&self, outcome: &Result<Reached, DialError>) {
        let now = outcome.as_ref().err().map(DialError::cause);
        // The value is whole at every moment.
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *failing, now);
        match outcome {
            Err(error) if before != now => tracing::warn!(%error, "cannot connect to the store"),
            Ok(_) if before.is_some() => tracing::info!("connected to the store again"),
            Ok(_) | Err(_) => {}
        }
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Connector {
    fn connect(&self, _config: &Config) -> Connecting<'_> {
        Box::pin(async {
            let outcome = match self.carrier {
                Carrier::Tokio => reach::<OnTokio>(&self.target, self.connect_timeout).await,
                Carrier::Ring => reach_on_ring(self.target.clone(), self.connect_timeout).await,
            };
            self.tell_changes(&outcome);
            match outcome {
                Ok(reached) => Ok(reached.into_parts()),
                Err(error) => Err(as_postgres_error(error).await),
            }
        })
    }
}

/// The stream stays in a task of the ring's thread; its client comes back. Dropping the future ends the task.
async fn reach_on_ring(target: Target, connect_timeout: Duration) -> Result<Reached, DialError> {
    let place = target.describe();
    let mut tasks = JoinSet::new();
    tasks.spawn_local(async move { reach::<OnRing>(&target, connect_timeout).await });
    match tasks.join_next().await.expect("one task was spawned") {
        Ok(outcome) => outcome,
        Err(error) => {
            if let Ok(panic) = error.try_into_panic() {
                std::panic::resume_unwind(panic);
            }
            let mut error = DialError::default();
            let failure = Failure::Io(io::Error::other("the thread of the ring ends"));
            error.note(Attempt { place, failure });
            Err(error)
        }
    }
}

/// A pool's errors are tokio-postgres's, which has no public constructor: the only way to one with a cause of ours is a
/// connection whose first write fails with it.
async fn as_postgres_error(error: DialError) -> Error {
    let kind = match error.cause() {
        Cause::Unreachable => io::ErrorKind::NotConnected,
        Cause::Credentials => io::ErrorKind::PermissionDenied,
        Cause::NotReady | Cause::WrongRole | Cause::TooManyConnections | Cause::Tls | Cause::Refused => {
            io::ErrorKind::ConnectionRefused
        }
    };
    let mut config = Config::new();
    // Else the name of the process's user is looked up, which may fail by itself.
    config.user("nobody");
    let stream = Failing(Some(io::Error::new(kind, error)));
    match config.connect_raw(stream, NoTls).await {
        Err(error) => error,
        Ok(_) => unreachable!("nothing can be written to this stream"),
    }
}

/// Fails at the first write, with this error.
struct Failing(Option<io::Error>);

impl AsyncRead for Failing {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Failing {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.0.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
