//! The life of a connection: hyper's HTTP/1 on a stream, our deadlines around it, a close that loses nothing.
//!
//! Deadlines cost nothing per request: one timer a connection looks, when it fires, at what the connection has
//! been doing. (hyper's own head timeout boxes a timer a request and runs on idle connections too.)

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioTimer;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::request::{Exchanges, ReplyBody};
use crate::config::Limits;
use crate::runtime::{Kick, Stream, WRITE_BOUND};

/// Serves a connection to its end. Resting connections end when `closing` turns true.
pub(super) async fn serve<S: Stream>(
    stream: S,
    exchanges: Rc<Exchanges>,
    mut closing: watch::Receiver<bool>,
) {
    let kicker = stream.kicker();
    let peer = stream.peer_addr();
    let activity = Rc::new(Activity::new());
    let mut watched = Watched { stream, activity: Rc::clone(&activity) };
    loop {
        let answering = (Rc::clone(&exchanges), Rc::clone(&activity));
        let service = service_fn(move |request| {
            let (exchanges, activity) = answering.clone();
            async move {
                let _under_way = UnderWay::begin(activity);
                Ok::<_, Infallible>(exchanges.answer(request).await)
            }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .half_close(true)
            .max_buf_size(WRITE_BOUND)
            .serve_connection(watched, service);
        let ended = drive(&mut connection, &kicker, &activity, &exchanges.limits, &mut closing).await;
        let parts = connection.into_parts();
        watched = parts.io;
        match ended {
            Ok(Left::Resting) if parts.read_buf.is_empty() => activity.found_resting(),
            Ok(Left::Resting) => {
                tracing::debug!(%peer, "a head was begun and not ended in time");
                break;
            }
            Ok(Left::Done) => break,
            Err(error) => {
                tracing::debug!(%peer, %error, "connection ended");
                break;
            }
        }
    }
    watched.stream.close().await;
}

/// How hyper has left a connection.
enum Left {
    /// At its end.
    Done,
    /// Between requests, or with the beginning of a head in its buffer: only taking hyper off tells.
    Resting,
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no complete request head in time")]
    HeadTimeout,
    #[error("no request in time")]
    Idle,
}

async fn drive<S, V, K>(
    connection: &mut http1::Connection<Watched<S>, V>,
    kicker: &K,
    activity: &Activity,
    limits: &Limits,
    closing: &mut watch::Receiver<bool>,
) -> Result<Left, Ended>
where
    S: Stream,
    V: HttpService<Incoming, ResBody = ReplyBody>,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    K: Kick,
{
    let deadlines = Deadlines::of(limits);
    let mut timer = pin!(sleep_until(Instant::now() + deadlines.tick()));
    let mut close_asked = pin!(async { closing.wait_for(|&close| close).await.map(drop) });
    let mut close_begun = false;
    poll_fn(|cx| {
        loop {
            let polled = Pin::new(&mut *connection).poll(cx);
            // The stream keeps what was written until it is kicked, so that one poll's replies leave together.
            // The end of a send wakes this task.
            activity.sending.set(kicker.kick(cx)?.is_pending());
            if let Poll::Ready(ended) = polled {
                let left = if activity.detaching.get() { Left::Resting } else { Left::Done };
                return Poll::Ready(ended.map(|()| left).map_err(Ended::from));
            }
            // After the poll, so that what has arrived is answered first.
            if !close_begun && close_asked.as_mut().poll(cx).is_ready() {
                close_begun = true;
                if activity.silent.get() {
                    // hyper would wait for a first request.
                    return Poll::Ready(Ok(Left::Done));
                }
                Pin::new(&mut *connection).graceful_shutdown();
                continue;
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match activity.look(&deadlines)? {
                Next::LookAgain(at) => timer.as_mut().reset(at),
                Next::Detach => {
                    activity.detaching.set(true);
                    timer.as_mut().reset(Instant::now() + deadlines.tick());
                    Pin::new(&mut *connection).graceful_shutdown();
                }
            }
        }
    })
    .await
}

/// How long a connection may wait for its client.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    /// For a head, from its first byte or the start of the connection.
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

    /// How often to look, so that neither is noticed late.
    fn tick(&self) -> Duration {
        self.head.min(self.idle)
    }
}

/// What a connection has been doing.
struct Activity {
    /// Requests whose reply is not yet made.
    under_way: Cell<u32>,
    /// When the last reply was made, or its last part handed on.
    rests_since: Cell<Instant>,
    /// Whether hyper holds replies that the stream does not take yet.
    blocked: Cell<bool>,
    /// Whether the stream holds replies that the kernel does not take yet.
    sending: Cell<bool>,
    /// When the head began that has not ended. A new connection owes one from the start.
    head_since: Cell<Option<Instant>>,
    /// Whether this rest is known to be one: no part of a head waits in hyper's buffer.
    rests_surely: Cell<bool>,
    /// Whether no byte came since hyper was put on.
    silent: Cell<bool>,
    /// Whether hyper is being taken off, and must leave the socket as it is.
    detaching: Cell<bool>,
}

/// What to do when the timer of a connection fires.
enum Next {
    /// Nothing until then.
    LookAgain(Instant),
    /// Take hyper off to see what is in its buffer.
    Detach,
}

impl Activity {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            under_way: Cell::new(0),
            rests_since: Cell::new(now),
            blocked: Cell::new(false),
            sending: Cell::new(false),
            head_since: Cell::new(Some(now)),
            rests_surely: Cell::new(false),
            silent: Cell::new(true),
            detaching: Cell::new(false),
        }
    }

    fn bytes_came(&self) {
        self.silent.set(false);
        if self.under_way.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    /// Notes what became of a write.
    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.blocked.set(polled.is_pending());
        if polled.is_ready() {
            self.rests_since.set(Instant::now());
        }
    }

    /// Hyper was taken off and its buffer was empty.
    fn found_resting(&self) {
        self.detaching.set(false);
        self.silent.set(true);
        self.rests_surely.set(true);
    }

    /// What to do now, or why the connection ends now.
    ///
    /// A head that began in the segment of an earlier request came before that request's end, so no read tells
    /// of it. Once such a head would be due, the connection is looked into.
    fn look(&self, deadlines: &Deadlines) -> Result<Next, Ended> {
        let now = Instant::now();
        let look_by = |due: Instant| Next::LookAgain(due.min(now + deadlines.tick()));
        // A client that takes its replies slowly is bound by the stall timeout of writes alone.
        let writing = self.blocked.get() || self.sending.get();
        if self.under_way.get() > 0 || writing || self.detaching.get() {
            return Ok(look_by(now + deadlines.tick()));
        }
        if let Some(since) = self.head_since.get() {
            let due = since + deadlines.head;
            return if due <= now { Err(Ended::HeadTimeout) } else { Ok(look_by(due)) };
        }
        let since = self.rests_since.get();
        if since + deadlines.idle <= now {
            return Err(Ended::Idle);
        }
        if since + deadlines.head <= now && !self.rests_surely.get() {
            return Ok(Next::Detach);
        }
        let head_due = if self.rests_surely.get() { now + deadlines.tick() } else { since + deadlines.head };
        Ok(look_by(head_due.min(since + deadlines.idle)))
    }
}

/// A request under way, until its reply is made.
struct UnderWay(Rc<Activity>);

impl UnderWay {
    fn begin(activity: Rc<Activity>) -> Self {
        activity.under_way.set(activity.under_way.get() + 1);
        activity.head_since.set(None);
        activity.rests_surely.set(false);
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
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.wrote(&polled);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.detaching.get() {
            return Poll::Ready(Ok(()));
        }
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
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.activity.wrote(&polled);
        polled
    }
}
