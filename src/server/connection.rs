//! The life of a connection: hyper's HTTP/1 on a stream, our deadlines around it, a close that loses nothing.
//!
//! Deadlines cost nothing per request: one timer a connection looks, when it fires, at what the connection has
//! been doing. (hyper's own head timeout boxes a timer a request and runs on idle connections too.)

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::request::{Exchanges, ReplyBody};
use crate::config::Limits;
use crate::runtime::{Kick, Stream, WRITE_BOUND};

/// Serves a connection to its end. Resting connections end when `closing` turns true.
pub(super) async fn serve<S: Stream>(stream: S, exchanges: Rc<Exchanges>, closing: watch::Receiver<bool>) {
    let kicker = stream.kicker();
    let peer = stream.peer_addr();
    let activity = Rc::new(Activity::new());
    let watched = Watched { stream, activity: Rc::clone(&activity) };
    let answering = (Rc::clone(&exchanges), Rc::clone(&activity));
    let service = service_fn(move |request| {
        let (exchanges, activity) = answering.clone();
        async move {
            let _under_way = UnderWay::begin(activity);
            Ok::<_, std::convert::Infallible>(exchanges.answer(request).await)
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(true)
        .max_buf_size(WRITE_BOUND)
        .serve_connection(watched, service);
    if let Err(error) = drive(&mut connection, &kicker, &activity, &exchanges, closing).await {
        tracing::debug!(%peer, %error, "connection ended");
    }
    connection.into_parts().io.stream.close().await;
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no complete request head within {0:?}")]
    HeadTimeout(Duration),
    #[error("no request for {0:?}")]
    Idle(Duration),
}

async fn drive<S, V, K>(
    connection: &mut http1::Connection<Watched<S>, V>,
    kicker: &K,
    activity: &Activity,
    exchanges: &Exchanges,
    mut closing: watch::Receiver<bool>,
) -> Result<(), Ended>
where
    S: Stream,
    V: hyper::service::HttpService<hyper::body::Incoming, ResBody = ReplyBody>,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    K: Kick,
{
    let limits = Deadlines::of(&exchanges.limits);
    let mut timer = pin!(sleep_until(Instant::now() + limits.head));
    let mut close_asked = pin!(async move { closing.wait_for(|&close| close).await.map(drop) });
    let mut close_begun = false;
    poll_fn(|cx| {
        if !close_begun && close_asked.as_mut().poll(cx).is_ready() {
            close_begun = true;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        let polled = Pin::new(&mut *connection).poll(cx);
        // The stream keeps what was written until it is kicked, so that one poll's replies leave together.
        // Its end wakes this task, so `Pending` asks for nothing here.
        let _ = kicker.kick(cx)?;
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(ended.map_err(Ended::from));
        }
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(activity.next_deadline(&limits)?);
        }
        Poll::Pending
    })
    .await
}

/// How long a connection may wait for its client.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    /// For a head, from its first byte.
    head: Duration,
    /// For a request, from the end of the one before.
    idle: Duration,
}

impl Deadlines {
    const fn of(limits: &Limits) -> Self {
        Self {
            head: Duration::from_millis(limits.head_timeout_ms),
            idle: Duration::from_millis(limits.idle_timeout_ms),
        }
    }
}

/// What a connection has been doing.
struct Activity {
    /// Requests whose reply is not yet complete.
    under_way: Cell<u32>,
    /// When the connection began or its last reply was made.
    rests_since: Cell<Instant>,
    /// When the first byte came that no request has answered for.
    head_since: Cell<Option<Instant>>,
}

impl Activity {
    fn new() -> Self {
        let now = Instant::now();
        // A new connection owes a head from the start.
        Self { under_way: Cell::new(0), rests_since: Cell::new(now), head_since: Cell::new(Some(now)) }
    }

    fn bytes_came(&self) {
        if self.under_way.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    /// When to look again, or why the connection ends now.
    fn next_deadline(&self, limits: &Deadlines) -> Result<Instant, Ended> {
        let now = Instant::now();
        if self.under_way.get() > 0 {
            return Ok(now + limits.head.min(limits.idle));
        }
        let (since, limit, ended) = match self.head_since.get() {
            Some(since) => (since, limits.head, Ended::HeadTimeout(limits.head)),
            None => (self.rests_since.get(), limits.idle, Ended::Idle(limits.idle)),
        };
        let deadline = since + limit;
        if deadline <= now {
            return Err(ended);
        }
        // Not later than a head that may begin meanwhile.
        Ok(deadline.min(now + limits.head))
    }
}

/// A request under way, until its reply is made.
struct UnderWay(Rc<Activity>);

impl UnderWay {
    fn begin(activity: Rc<Activity>) -> Self {
        activity.under_way.set(activity.under_way.get() + 1);
        activity.head_since.set(None);
        Self(activity)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        self.0.rests_since.set(Instant::now());
    }
}

/// A stream that notes when bytes come.
struct Watched<S> {
    stream: S,
    activity: Rc<Activity>,
}

impl<S: Stream> Read for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = polled {
            self.activity.bytes_came();
        }
        polled
    }
}

impl<S: Stream> Write for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }
}
