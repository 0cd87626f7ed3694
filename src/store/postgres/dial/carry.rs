//! What carries a connected socket: tokio or the core's ring. Knows nothing of hosts and sessions.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::Connection;
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
    fn spawn(self, connection: Driven<Self>, place: Place) -> JoinHandle<()>;
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

    fn spawn(self, connection: Driven<Self>, place: Place) -> JoinHandle<()> {
        tokio::spawn(drive(self, connection, place))
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
    fn spawn(self, connection: Driven<Self>, place: Place) -> JoinHandle<()> {
        tokio::task::spawn_local(drive(self, connection, place))
    }
}

/// Runs `future` and sends what each of its polls wrote. The end of a send wakes it.
///
/// Errors: a send has failed before the future ended.
pub(super) async fn kicked<C: Carry, F: Future>(carrier: &C, future: F) -> io::Result<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
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

async fn drive<C: Carry>(carrier: C, connection: Driven<C>, place: Place) {
    match kicked(&carrier, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let error = super::error::in_one_line(&error);
            tracing::warn!(%place, error, "a connection to Postgres has ended");
        }
        Err(error) => tracing::warn!(%place, %error, "a connection to Postgres has ended"),
    }
}
