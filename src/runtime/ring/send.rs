//! The sending half of a connection: small writes are copied into a bounded buffer and leave in one
//! send at a time; a large one goes from its writer's memory straight to the kernel. Knows nothing of
//! what is sent, and has no timer: the kernel ends a connection whose peer takes nothing
//! (`ListenOptions::write_stall`).

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::{SockRef, Socket};

use super::ops::{self, Bare, Op, Outgoing};
use crate::runtime::busy::take_first_send;
use crate::runtime::counters;
use crate::runtime::net::{Kick, peer_ended};

/// Bytes that a connection accepts before its peer has taken any, in total: written but not sent,
/// and handed to the kernel but not completed. Protects memory from a client that pipelines and
/// never reads.
pub const WRITE_BOUND: usize = 64 * 1024;

/// Capacity that a send buffer begins with: the usual reply needs no second. Small, since fresh memory costs page faults
/// when a connection wakes (`loadtest compare --scenario idle`).
const FIRST_CAPACITY: usize = 1024;
/// Capacity that a send buffer may keep while there is nothing to send. Protects memory from clients that once had
/// a large reply and do not rest; a connection that rests keeps none.
const KEPT_CAPACITY: usize = 16 * 1024;

/// Bytes of a write that are worth a system call of their own. hyper has copied a reply's body behind its head; one
/// more copy of a large one would cost more than the call.
const LARGE_WRITE: usize = 16 * 1024;

pub(super) struct SendHalf {
    socket: Rc<Socket>,
    /// Written and not yet in the kernel's hands.
    queued: Vec<u8>,
    sending: Option<Op<Outgoing>>,
    /// Length of what `sending` was given; 0 without one.
    sending_len: usize,
    /// Completes when the kernel has room again for a large write.
    writable: Option<Op<Bare>>,
    /// The buffer that is neither `queued` nor with `sending`.
    spare: Vec<u8>,
    /// What ended the sending side, if anything did: reported at every later call.
    failure: Option<Failure>,
    shut: bool,
    /// Whether the connection is a client's, whose bytes are counted. Here, since what a parked connection holds is
    /// mostly its stream.
    counted: bool,
    /// Whether bytes are expected soon. Here for the same reason: 8 bytes more in the receiving half took 1 KB more for
    /// each parked connection, whose task was then of the allocator's next size.
    expects_soon: bool,
}

/// An `io::Error` that can be told more than once.
#[derive(Clone, Copy)]
enum Failure {
    Errno(i32),
    Kind(io::ErrorKind),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Self::Kind(error.kind()), Self::Errno)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Errno(errno) => Self::from_raw_os_error(errno),
            Failure::Kind(kind) => kind.into(),
        }
    }
}

impl SendHalf {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        Self {
            socket,
            queued: Vec::new(),
            sending: None,
            sending_len: 0,
            writable: None,
            spare: Vec::new(),
            failure: None,
            shut: false,
            counted: false,
            expects_soon: true,
        }
    }

    /// Counts what passes from now on, in both directions.
    pub(super) fn count(&mut self) {
        self.counted = true;
    }

    pub(super) fn is_counted(&self) -> bool {
        self.counted
    }

    /// How a read waits from now on.
    pub(super) fn expect_soon(&mut self, soon: bool) {
        self.expects_soon = soon;
    }

    pub(super) fn expects_soon(&self) -> bool {
        self.expects_soon
    }

    /// Accepts as much of `bytes` as the bound allows, or of a large write as the kernel takes; pending only if
    /// that is nothing.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.len() >= LARGE_WRITE {
            return self.poll_write_through(cx, bytes);
        }
        let room = ready!(self.poll_room(cx))?;
        let count = bytes.len().min(room);
        self.make_room();
        self.queued.extend_from_slice(&bytes[..count]);
        self.took(count);
        Poll::Ready(Ok(count))
    }

    /// Hands `bytes` to the kernel behind all that was written before.
    fn poll_write_through(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        loop {
            if let Some(op) = &mut self.writable {
                let outcome = ready!(Pin::new(op).poll(cx));
                self.writable = None;
                outcome?;
            }
            match ops::send_now(&self.socket, bytes) {
                Ok(0) => self.writable = Some(ops::writable(&self.socket)),
                Ok(count) => {
                    self.took(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) => {
                    self.fail(error);
                    return Poll::Ready(self.check().map(|()| 0));
                }
            }
        }
    }

    fn took(&self, bytes: usize) {
        if self.counted {
            counters::sent(bytes);
        }
    }

    fn make_room(&mut self) {
        if self.queued.capacity() == 0 {
            self.queued.reserve(FIRST_CAPACITY);
        }
    }

    /// How many bytes may be written now, at least one.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.room() == 0
            && let Poll::Ready(outcome) = self.poll_sent(cx)
        {
            outcome?;
        }
        match self.room() {
            0 => Poll::Pending,
            room => Poll::Ready(Ok(room)),
        }
    }

    fn room(&self) -> usize {
        WRITE_BOUND - self.queued.len() - self.sending_len
    }

    /// Ready when nothing is queued or in flight. Starts the next send as long as there is
    /// something to send and wakes the task at its end.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.check()?;
            ready!(self.poll_completion(cx))?;
            if self.queued.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.start();
        }
    }

    /// Begins to send what is queued: through the ring, so that what a turn makes leaves together. While the worker
    /// polls busily, the first send of a turn goes at once. In the ring a lone reply would wait for the others' end of
    /// turn, and be sent behind the receive that was armed before it, which took the median of a lone request from 21 to
    /// 27 µs (`loadtest compare --scenario ping1`).
    fn start(&mut self) {
        let mut sent = 0;
        if take_first_send() {
            match ops::send_now(&self.socket, &self.queued) {
                Ok(count) => sent = count,
                Err(error) => return self.fail(error),
            }
        }
        let spare = std::mem::take(&mut self.spare);
        let bytes = std::mem::replace(&mut self.queued, spare);
        self.go_on(Outgoing { bytes, sent });
    }

    /// Sends the rest, if there is one.
    fn go_on(&mut self, outgoing: Outgoing) {
        if outgoing.sent < outgoing.bytes.len() {
            self.resume(outgoing);
        } else {
            self.recycle(outgoing.bytes);
        }
    }

    fn resume(&mut self, outgoing: Outgoing) {
        self.sending_len = outgoing.bytes.len() - outgoing.sent;
        self.sending = Some(ops::send(&self.socket, outgoing));
    }

    /// Ready when no send is in flight; goes on with a short one.
    fn poll_completion(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(op) = &mut self.sending {
            let (outcome, outgoing) = ready!(Pin::new(op).poll(cx));
            self.sending = None;
            self.sending_len = 0;
            if let Err(error) = outcome {
                self.fail(error);
                break;
            }
            self.go_on(outgoing);
        }
        Poll::Ready(self.check())
    }

    fn recycle(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.spare = bytes;
        if self.queued.is_empty() {
            for idle in [&mut self.spare, &mut self.queued] {
                if idle.capacity() > KEPT_CAPACITY {
                    *idle = Vec::new();
                }
            }
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.failure = Some(error.into());
        self.queued = Vec::new();
    }

    fn check(&self) -> io::Result<()> {
        self.failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Sends all that was written, then tells the peer that no more will come.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        if !self.shut {
            self.shut = true;
            match self.socket.shutdown(Shutdown::Write) {
                // The peer was faster; there is nobody left to tell.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                outcome => outcome?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the kernel has given the buffer back and waits for nothing more, whatever came of it.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(op) = &mut self.writable {
            // The socket has been shut down, or the write will see what this was about.
            let _ = ready!(Pin::new(op).poll(cx));
            self.writable = None;
        }
        self.poll_completion(cx).map(|_| ())
    }

    /// Frees the buffers that wait for the next reply.
    pub(super) fn release(&mut self) {
        for idle in [&mut self.spare, &mut self.queued] {
            if idle.is_empty() {
                *idle = Vec::new();
            }
        }
    }

    /// Gives up what is queued and leaves what is in flight to the runtime.
    pub(super) fn abandon(&mut self) {
        self.sending = None;
        self.writable = None;
        self.sending_len = 0;
        self.fail(io::ErrorKind::NotConnected.into());
    }

    /// Whether the kernel holds an operation.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.is_some() || self.writable.is_some()
    }
}

/// The [`Kick`] of a [`RingStream`](super::RingStream). Keeps the descriptor open, so drop it
/// with the stream.
pub struct RingKicker(pub(super) Rc<RefCell<SendHalf>>);

impl Kick for RingKicker {
    fn kick(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_sent(cx)
    }

    fn peer_ended(&self) -> bool {
        peer_ended(&SockRef::from(&*self.0.borrow().socket))
    }
}
