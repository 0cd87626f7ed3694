//! What carries a connected socket: tokio or the core's ring. Knows nothing of hosts and sessions.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::{AsyncMessage, Connection};
use tokio_util::either::Either;

use super::place::{Connected, Place};
use crate::runtime::{Kick, RingKicker, RingStream, Stream};
use crate::store::postgres::tls::Encrypted;

/// A way to carry a socket.
pub(super) trait Carry: Sized {
    /// The socket as it is carried.
    type Socket: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Takes a connected socket over.
    fn adopt(socket: Connected) -> io::Result<(Self, Self::Socket)>;

    /// Sends what was written; see [`Kick::kick`].
    fn kick(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Drives a connection in a task of its own until it ends.
    fn spawn(self, connection: Driven<Self>, place: Place, heard: Heard) -> JoinHandle<()>;
}

/// What reads and writes for a client.
type Driven<C> = Connection<<C as Carry>::Socket, Encrypted<<C as Carry>::Socket>>;

/// tokio's sockets. What is written leaves at once.
pub(super) struct OnTokio;

impl Carry for OnTokio {
    type Socket = Connected;

    fn adopt(socket: Connected) -> io::Result<(Self, Connected)> {
        Ok((Self, socket))
    }

    fn kick(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn spawn(self, connection: Driven<Self>, place: Place, heard: Heard) -> JoinHandle<()> {
        tokio::spawn(drive(self, connection, place, heard))
    }
}

/// The ring of the current thread.
pub(super) struct OnRing(RingKicker);

impl Carry for OnRing {
    type Socket = TokioIo<RingStream>;

    fn adopt(socket: Connected) -> io::Result<(Self, Self::Socket)> {
        let stream = match socket {
            Either::Left(tcp) => RingStream::from_connected(tcp.into_std()?)?,
            Either::Right(unix) => RingStream::from_connected(unix.into_std()?)?,
        };
        Ok((Self(stream.kicker()), TokioIo::new(stream)))
    }

    fn kick(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.kick(cx)
    }

    #[expect(clippy::disallowed_methods, reason = "the client holds the task's handle and ends it")]
    fn spawn(self, connection: Driven<Self>, place: Place, heard: Heard) -> JoinHandle<()> {
        tokio::task::spawn_local(drive(self, connection, place, heard))
    }
}

/// Runs `future` and sends what each of its polls wrote. The end of a send wakes it.
///
/// Errors: a send has failed before the future ended.
pub(super) async fn kicked<C: Carry, F: Future>(carrier: &C, future: F) -> io::Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        // Pending means that a send is under way, which is all that was asked for.
        let kicked = carrier.kick(cx);
        match (polled, kicked) {
            (Poll::Ready(output), _) => Poll::Ready(Ok(output)),
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Poll::Pending, Poll::Ready(Ok(())) | Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

/// What the server says on a connection unasked.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    pub(super) warned: Warned,
    /// Told of each notification; several at once are as good as one.
    pub(super) notified: Arc<Notify>,
}

/// Whether the server has warned on a connection since it was last asked about.
#[derive(Debug, Clone, Default)]
pub(in crate::store::postgres) struct Warned(Arc<AtomicBool>);

impl Warned {
    /// Whether there was a warning, and forgets it.
    pub(in crate::store::postgres) fn take(&self) -> bool {
        // The task that sets it runs on the thread of the one that asks, before that gets the answer behind the warning.
        self.0.swap(false, Ordering::Relaxed)
    }
}

async fn drive<C: Carry>(carrier: C, mut connection: Driven<C>, place: Place, heard: Heard) {
    let messages = poll_fn(|cx| {
        loop {
            match ready!(connection.poll_message(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(AsyncMessage::Notice(notice))) => note(&notice, &place, &heard.warned),
                Some(Ok(AsyncMessage::Notification(_))) => heard.notified.notify_one(),
                Some(Ok(_)) => {}
            }
        }
    });
    match kicked(&carrier, messages).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let error = super::error::in_one_line(&error);
            tracing::warn!(%place, error, "a connection to Postgres has ended");
        }
        Err(error) => tracing::warn!(%place, %error, "a connection to Postgres has ended"),
    }
}

fn note(notice: &DbError, place: &Place, warned: &Warned) {
    if notice.parsed_severity() == Some(Severity::Warning) {
        warned.0.store(true, Ordering::Relaxed);
        tracing::warn!(%place, code = notice.code().code(), "Postgres warns: {}", notice.message());
    } else {
        tracing::debug!(%place, code = notice.code().code(), "Postgres notes: {}", notice.message());
    }
}
