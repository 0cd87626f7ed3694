//! The life of a connection: hyper's HTTP/1 on a stream while requests come, nothing but a watch on the socket
//! while none do, and a close that loses nothing.
//!
//! A connection that rests is parked: hyper is taken off, both buffers are freed, and the ring tells when
//! something arrives. Then hyper is put on again and finds every byte that it had not used. It is taken off for good
//! when the connection becomes a WebSocket, which finds the bytes that came with the handshake in the same way.

mod activity;
mod watched;
mod websocket;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioTimer;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub(super) use self::activity::{Activity, UnderWay, Untaken};
use self::activity::{Deadlines, Ended, Next};
use self::watched::Watched;
pub(super) use self::websocket::Sockets;
use super::request::{Exchanges, ReplyBody};
use crate::runtime::{Kick, Stream, Turns, WRITE_BOUND};

/// Requests that hyper answers in one poll before it yields; fewer mean that it waits for its client.
const POLL_REQUESTS: u64 = 16;
/// Requests that a pipelining client is answered in one turn of the worker's loop. Protects its neighbours'
/// latency: they are served between its turns, some 0.1 ms apart.
const TURN_REQUESTS: u64 = 64;

/// Serves a connection to its end. Parked and resting connections end when `closing` turns true.
pub async fn serve<S: Stream>(stream: S, exchanges: Rc<Exchanges>, mut closing: watch::Receiver<bool>) {
    let _open = exchanges.metrics.connection_opens();
    let activity = Rc::new(Activity::new());
    let mut watched = Watched::new(stream, Rc::clone(&activity));
    loop {
        // Boxed, so that a parked connection does not hold the room that hyper needs.
        let left;
        (watched, left) = Box::pin(attend(watched, &exchanges, &activity, &mut closing)).await;
        match left {
            Left::Done => break,
            Left::HeadBegun => activity.found_head(),
            Left::Resting => {
                let parked = exchanges.parking.enter();
                if !rest(&mut watched.stream, &exchanges, &activity, &mut closing).await {
                    break;
                }
                drop(parked);
                activity.woke();
            }
        }
    }
    Box::pin(end(watched, &activity, &exchanges)).await;
}

/// What follows the last request.
async fn end<S: Stream>(mut watched: Watched<S>, activity: &Activity, exchanges: &Exchanges) {
    if let Some(talk) = activity.take_talk() {
        activity.changes_pace();
        websocket::converse(&mut watched, talk, exchanges).await;
    }
    watched.stream.close().await;
}

/// How hyper has left a connection.
enum Left {
    /// At its end, or after the reply to a handshake.
    Done,
    /// Between requests.
    Resting,
    /// Between requests, with the beginning of a head read.
    HeadBegun,
}

/// Serves requests until the connection rests or ends.
async fn attend<S: Stream>(
    watched: Watched<S>,
    exchanges: &Rc<Exchanges>,
    activity: &Rc<Activity>,
    closing: &mut watch::Receiver<bool>,
) -> (Watched<S>, Left) {
    let kicker = watched.stream.kicker();
    let answering = (Rc::clone(exchanges), Rc::clone(activity));
    let service = service_fn(move |request| {
        let (exchanges, activity) = &answering;
        exchanges.answer(request, UnderWay::new(Rc::clone(activity)))
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(true)
        .max_buf_size(WRITE_BOUND)
        .serve_connection(watched, service);
    let ended = drive(&mut connection, &kicker, activity, exchanges, closing).await;
    let mut parts = connection.into_parts();
    let left = match ended {
        Err(error) => {
            tracing::debug!(peer = %parts.io.stream.peer_addr(), %error, "connection ended");
            // The reply to a handshake may not have left.
            activity.take_talk();
            Left::Done
        }
        Ok(()) if !activity.is_detaching() => {
            parts.io.put_back(parts.read_buf);
            Left::Done
        }
        Ok(()) => {
            parts.io.put_back(parts.read_buf);
            if parts.io.holds_bytes() { Left::HeadBegun } else { Left::Resting }
        }
    };
    (parts.io, left)
}

/// Waits, holding next to nothing, until something comes; `false` when the connection is to end instead.
async fn rest<S: Stream>(
    stream: &mut S,
    exchanges: &Exchanges,
    activity: &Activity,
    closing: &mut watch::Receiver<bool>,
) -> bool {
    let idle_until = activity.rests_since() + Deadlines::of(&exchanges.live.get()).idle;
    tokio::select! {
        biased;
        outcome = stream.rest() => outcome.is_ok(),
        () = sleep_until(idle_until) => false,
        _ = closing.wait_for(|&close| close) => false,
    }
}

/// Polls hyper until it has ended or was taken off.
async fn drive<S, V, K>(
    connection: &mut http1::Connection<Watched<S>, V>,
    kicker: &K,
    activity: &Rc<Activity>,
    exchanges: &Exchanges,
    closing: &mut watch::Receiver<bool>,
) -> Result<(), Ended>
where
    S: Stream,
    V: HttpService<Incoming, ResBody = ReplyBody>,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    K: Kick,
{
    let deadlines = || Deadlines::of(&exchanges.live.get());
    let mut timer = pin!(sleep_until(Instant::now() + deadlines().tick()));
    let mut close_asked = pin!(async { closing.wait_for(|&close| close).await.map(drop) });
    let mut close_begun = false;
    let mut share = Share::new(&exchanges.turns, activity.begun());
    poll_fn(|cx| {
        if share.poll_turn(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            activity.poll_begins();
            let polled = Pin::new(&mut *connection).poll(cx);
            // The stream keeps what was written until it is kicked, so that one poll's replies leave together.
            // The end of a send wakes this task.
            activity.sends(kicker.kick(cx)?.is_pending());
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(ended.map_err(Ended::from));
            }
            if activity.take_lone_reply() {
                exchanges.parking.keep_awake(activity, cx.waker());
            }
            // After the poll, so that what has arrived is answered first.
            if !close_begun && close_asked.as_mut().poll(cx).is_ready() {
                close_begun = true;
                if activity.is_silent() {
                    // hyper would wait for a first request.
                    return Poll::Ready(Ok(()));
                }
                Pin::new(&mut *connection).graceful_shutdown();
                continue;
            }
            let next = if activity.is_to_rest() {
                Next::Detach
            } else if timer.as_mut().poll(cx).is_pending() {
                return share.spend(activity.begun(), cx);
            } else {
                let peer_ended = activity.is_under_way() && kicker.peer_ended();
                activity.look(&deadlines(), peer_ended)?
            };
            match next {
                Next::LookAgain(at) => timer.as_mut().reset(at),
                Next::Detach => {
                    activity.detach();
                    timer.as_mut().reset(Instant::now() + deadlines().tick());
                    Pin::new(&mut *connection).graceful_shutdown();
                }
            }
        }
    })
    .await
}

/// A connection's share of its worker's turns.
struct Share<'a> {
    turns: &'a Turns,
    /// Requests begun at the last look.
    begun: u64,
    /// Requests answered without a pause, by polls that hyper has cut short.
    streak: u64,
    /// The turn in which the share was used up.
    used_up_in: Option<u64>,
}

impl<'a> Share<'a> {
    const fn new(turns: &'a Turns, begun: u64) -> Self {
        Self { turns, begun, streak: 0, used_up_in: None }
    }

    /// Ready when the connection may be polled. hyper wakes its task when it has yielded, and that must not
    /// bring it back into the turn that it has used up.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if let Some(turn) = self.used_up_in {
            std::task::ready!(self.turns.poll_after(turn, cx));
            self.used_up_in = None;
        }
        Poll::Ready(())
    }

    /// Notes how many requests have begun so far. Always pending.
    fn spend<T>(&mut self, begun: u64, cx: &Context<'_>) -> Poll<T> {
        let now = begun - std::mem::replace(&mut self.begun, begun);
        self.streak = if now < POLL_REQUESTS { 0 } else { self.streak + now };
        if self.streak >= TURN_REQUESTS {
            self.streak = 0;
            let turn = self.turns.number();
            self.used_up_in = Some(turn);
            // Pending: the turn is this one.
            let _ = self.turns.poll_after(turn, cx);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{EpollStream, RingStream};

    fn size_of_future<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// The task of a parked connection is most of what it holds. 16 bytes of it are for features of tokio that others in
    /// the workspace ask for.
    #[test]
    fn a_parked_connection_is_a_small_task() {
        let on_ring = size_of_future(serve::<RingStream>);
        let on_epoll = size_of_future(serve::<EpollStream>);
        assert!(on_ring <= 680 && on_epoll <= 680, "{on_ring} and {on_epoll} bytes");
    }
}
