//! The life of a connection after it became a WebSocket: what the peer says is taken apart, what the application says
//! is sent, and pings see whether anybody is there. Knows nothing of what is said.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, Write};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::watched::Watched;
use crate::runtime::{Kick, Stream, Turns};
use crate::server::request::Exchanges;
use crate::web::websocket::{Close, Event, Said, Socket, Talk};

/// How often the peer is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Pings that may be unanswered when the next one is due. Protects places among the connections from peers that have
/// gone without a word.
const UNANSWERED_PINGS: u32 = 2;
/// How long a peer may neither read on nor agree to the end, once this side has said that it ends.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of answers to the peer that may wait to be sent while more is read. Protects memory from a peer that asks and
/// does not read.
const ANSWER_BYTES: usize = 4 * 1024;
/// Bytes that are read at once.
const READ_BYTES: usize = 8 * 1024;
/// Bytes that one connection reads and writes in one turn of its worker's loop. Protects its neighbours' latency from
/// one that always has more, on sockets that always take more.
const TURN_BYTES: usize = 64 * 1024;
/// How often the application is asked for more in one turn: each time it may have read a page of its history.
const SAYINGS_PER_TURN: usize = 4;

/// The peer was asked and did not answer.
const NOBODY: Close = Close { code: 1011, reason: "no answer to pings" };

/// Serves a connection to its end.
pub(super) async fn converse<S: Stream>(watched: &mut Watched<S>, talk: Rc<dyn Talk>, exchanges: &Exchanges) {
    let _open = exchanges.sockets.open();
    let mut conversation = Conversation::new(watched, talk, &exchanges.turns, PING_EVERY);
    let ended = poll_fn(|cx| conversation.poll(cx)).await;
    if let Err(error) = ended {
        tracing::debug!(peer = %watched.stream.peer_addr(), %error, "a WebSocket ended");
    }
}

/// The WebSockets of a worker.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    count: Cell<usize>,
    opened: Notify,
}

impl Sockets {
    /// How many connections are WebSockets.
    pub(crate) const fn count(&self) -> usize {
        self.count.get()
    }

    /// Returns when one more was opened since the last time.
    pub(crate) async fn opened(&self) {
        self.opened.notified().await;
    }

    fn open(&self) -> Open<'_> {
        self.count.set(self.count.get() + 1);
        self.opened.notify_one();
        Open(self)
    }
}

/// Counts a connection among the WebSockets of its worker.
struct Open<'a>(&'a Sockets);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Both sides may speak.
    Open,
    /// This side has said that it ends; what the peer says is read until it agrees.
    Closing,
    /// Nothing more is read; what is left is sent.
    Over,
}

struct Conversation<'a, S: Stream> {
    watched: &'a mut Watched<S>,
    kicker: S::Kicker,
    turns: &'a Turns,
    talk: Rc<dyn Talk>,
    /// What the application is about to say.
    saying: Option<Pin<Box<dyn Future<Output = Said>>>>,
    socket: Socket,
    /// Whole frames, less what was written of them.
    writing: Bytes,
    /// Whether the stream took no more at the last try.
    blocked: bool,
    phase: Phase,
    keep_alive: KeepAlive,
    ping_every: Duration,
    /// The next ping, or the end of patience.
    timer: Pin<Box<Sleep>>,
    /// The turn in which this connection's share was used up.
    used_up_in: Option<u64>,
    /// Bytes read and written since then.
    moved_bytes: usize,
}

impl<'a, S: Stream> Conversation<'a, S> {
    fn new(watched: &'a mut Watched<S>, talk: Rc<dyn Talk>, turns: &'a Turns, ping_every: Duration) -> Self {
        Self {
            kicker: watched.stream.kicker(),
            watched,
            turns,
            socket: Socket::new(talk.max_message_bytes()),
            talk,
            saying: None,
            writing: Bytes::new(),
            blocked: false,
            phase: Phase::Open,
            keep_alive: KeepAlive::default(),
            ping_every,
            timer: Box::pin(sleep_until(Instant::now() + ping_every)),
            used_up_in: None,
            moved_bytes: 0,
        }
    }

    /// Does what can be done now, and sends it. Ready when the connection is at its end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stepped = self.poll_steps(cx);
        // Pending means that a send is under way; its end wakes this task.
        let sent = self.kicker.kick(cx)?;
        match ready!(stepped) {
            // All is written; it is over when it is sent, or when patience ends.
            Ok(()) if sent.is_pending() && self.poll_timer(cx) => Poll::Pending,
            ended => Poll::Ready(ended),
        }
    }

    fn poll_steps(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(turn) = self.used_up_in {
            ready!(self.turns.poll_after(turn, cx));
            self.used_up_in = None;
            self.moved_bytes = 0;
        }
        loop {
            if !self.poll_timer(cx) {
                return Poll::Ready(Ok(()));
            }
            let heard = self.poll_hear(cx)?;
            let said = self.poll_say(cx)?;
            if self.phase == Phase::Over && self.writing.is_empty() && self.socket.output_bytes() == 0 {
                return Poll::Ready(Ok(()));
            }
            if self.used_up_in.is_some() || heard.is_pending() && said.is_pending() {
                return Poll::Pending;
            }
            if self.moved_bytes >= TURN_BYTES {
                return self.wait_for_turn(cx);
            }
        }
    }

    fn wait_for_turn<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        let turn = self.turns.number();
        self.used_up_in = Some(turn);
        // Pending: the turn is this one.
        let _ = self.turns.poll_after(turn, cx);
        Poll::Pending
    }

    /// Sends a ping where one is due. `false` when patience has ended.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.phase != Phase::Open {
                return false;
            }
            if self.keep_alive.is_lost() {
                self.close(NOBODY);
            } else {
                self.keep_alive.asks();
                self.socket.ping();
                self.timer.as_mut().reset(Instant::now() + self.ping_every);
            }
        }
        true
    }

    /// Reads and takes in what the peer says. Pending when nothing was there, or nothing may be read now.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.phase == Phase::Over || self.socket.output_bytes() >= ANSWER_BYTES {
            return Poll::Pending;
        }
        // What came before may have been left when answers filled up.
        if self.take_in() {
            return Poll::Ready(Ok(()));
        }
        let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *self.watched).poll_read(cx, read.unfilled()))?;
        if read.filled().is_empty() {
            // The peer has ended without a word, or after the last one.
            self.end(Phase::Over);
            self.writing = Bytes::new();
            self.socket.take_output();
            return Poll::Ready(Ok(()));
        }
        self.keep_alive.is_there();
        self.moved_bytes += read.filled().len();
        self.socket.receive(read.filled());
        self.take_in();
        Poll::Ready(Ok(()))
    }

    /// Goes through what was received, until answers fill up. Returns whether there was something.
    fn take_in(&mut self) -> bool {
        let mut some = false;
        while self.socket.output_bytes() < ANSWER_BYTES
            && let Some(event) = self.socket.next_event()
        {
            some = true;
            match event {
                Event::Message(message) if self.phase == Phase::Open => {
                    if let Some(answer) = self.talk.hear(message) {
                        self.socket.send(answer);
                    }
                }
                Event::Message(_) | Event::Pong => {}
                Event::Closed => self.end(Phase::Over),
                Event::Failed(close) => {
                    tracing::debug!(code = close.code, reason = close.reason, "a WebSocket is refused");
                    self.end(Phase::Over);
                }
            }
        }
        some
    }

    /// Writes what is to be said, and asks the application for more. Pending when nothing could be written.
    fn poll_say(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writing.is_empty() {
            ready!(self.poll_fill(cx));
        }
        let written = Pin::new(&mut *self.watched).poll_write(cx, &self.writing);
        if std::mem::replace(&mut self.blocked, written.is_pending()) && written.is_ready() {
            // There was no room and now there is some, so somebody reads, if slowly: pings wait behind what it has not
            // read. One that reads nothing is ended by the write timeout.
            self.keep_alive.is_there();
        }
        let count = ready!(written)?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.moved_bytes += count;
        self.writing.advance(count);
        if self.phase != Phase::Open {
            self.timer.as_mut().reset(Instant::now() + CLOSE_PATIENCE);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when there is something to write: answers and pings first, then what the application says.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.socket.output_bytes() == 0 && self.phase == Phase::Open {
            let talk = &self.talk;
            let saying = self.saying.get_or_insert_with(|| Rc::clone(talk).next());
            let said = ready!(saying.as_mut().poll(cx));
            self.saying = None;
            match said {
                Said::Frames(frames) => {
                    // Few bytes may have taken a long look: a filter finds little in each page of the log.
                    self.moved_bytes += TURN_BYTES / SAYINGS_PER_TURN;
                    self.writing = frames;
                    return Poll::Ready(());
                }
                Said::Nothing => return self.wait_for_turn(cx),
                Said::End(close) => self.close(close),
            }
        }
        self.writing = self.socket.take_output();
        if self.writing.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Says that this side ends.
    fn close(&mut self, close: Close) {
        self.socket.close(close);
        self.end(Phase::Closing);
    }

    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.saying = None;
        self.timer.as_mut().reset(Instant::now() + CLOSE_PATIENCE);
    }
}

/// Whether the peer is there.
#[derive(Debug, Default)]
struct KeepAlive {
    /// Pings since it last gave a sign of life.
    unanswered: u32,
}

impl KeepAlive {
    fn asks(&mut self) {
        self.unanswered += 1;
    }

    /// It has said something, or has read on.
    const fn is_there(&mut self) {
        self.unanswered = 0;
    }

    /// Whether it is given up instead of asked again.
    const fn is_lost(&self) -> bool {
        self.unanswered >= UNANSWERED_PINGS
    }
}
