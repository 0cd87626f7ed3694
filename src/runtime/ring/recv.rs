//! The receiving half of a connection: one receive, kept armed across polls, where bytes are expected soon; otherwise
//! only a watch on the socket, which holds no buffer. Knows nothing of what is received.
//!
//! An armed receive costs no system call of its own, but holds a buffer until it is cancelled, and to cancel it the
//! kernel looks at all that waits on the ring: 15 ns for each other connection, so that 9,000 connections that came to
//! rest together took a core 1.4 s. They still do if all of them were brisk the second before. A watch costs a `recv(2)`
//! more for each read, and nothing when the connection rests.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use socket2::Socket;

use super::ops::{self, Bare, Incoming, Op};
use crate::runtime::busy::note_activity;

/// Size of a connection's receive buffer: what one completion brings at most. hyper reads heads
/// into a buffer of the same size.
const RECEIVE_BYTES: usize = 8 * 1024;

pub(super) struct RecvHalf {
    socket: Rc<Socket>,
    state: State,
}

enum State {
    /// Part of the buffer waits for a reader; an empty range means that all was read, and then the
    /// buffer may be missing.
    Idle { buffer: Vec<u8>, unread: Range<usize> },
    /// The kernel has the buffer.
    Armed(Op<Incoming>),
    /// The kernel has the buffer and was asked to give it back.
    Cancelled(Op<Incoming>),
    /// The kernel tells when something arrives; there is no buffer.
    Watched(Op<Bare>),
    /// Something has arrived, or may have, and is still the kernel's.
    Readable,
    /// The peer sends no more.
    Ended,
}

const NOTHING: State = State::Idle { buffer: Vec::new(), unread: 0..0 };

impl RecvHalf {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        Self { socket, state: NOTHING }
    }

    /// Gives what has arrived, as much as fits; waits in the ring if nothing has, with a buffer if it is expected
    /// `soon`. A reader that goes away loses nothing: the receive stays armed, and what does not fit is kept. Returns how
    /// many bytes it gave.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
        soon: bool,
    ) -> Poll<io::Result<usize>> {
        if cursor.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(Ok(0)),
                State::Idle { buffer, unread } if unread.start < unread.end => {
                    let count = unread.len().min(cursor.remaining());
                    cursor.put_slice(&buffer[unread.start..unread.start + count]);
                    unread.start += count;
                    return Poll::Ready(Ok(count));
                }
                State::Idle { buffer, .. } => {
                    let buffer = std::mem::take(buffer);
                    self.state = if soon { self.arm(buffer) } else { self.watch() };
                }
                State::Readable => {
                    if let Some(count) = self.receive_now(&mut cursor)? {
                        return Poll::Ready(Ok(count));
                    }
                }
                State::Armed(_) | State::Cancelled(_) | State::Watched(_) => {
                    ready!(self.poll_completion(cx))?;
                }
            }
        }
    }

    fn arm(&self, mut buffer: Vec<u8>) -> State {
        if buffer.is_empty() {
            buffer = vec![0; RECEIVE_BYTES];
        }
        State::Armed(ops::recv(&self.socket, buffer))
    }

    fn watch(&self) -> State {
        State::Watched(ops::readable(&self.socket))
    }

    /// Lets go of the buffer and is ready once there is something to read. Bytes that arrive
    /// meanwhile are kept for the next read.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(Ok(())),
                State::Idle { unread, .. } if unread.is_empty() => {
                    self.state = self.watch();
                }
                here @ (State::Idle { .. } | State::Readable) => {
                    self.state = here;
                    return Poll::Ready(Ok(()));
                }
                State::Armed(op) => {
                    drop(ops::cancel(&self.socket));
                    self.state = State::Cancelled(op);
                }
                ending @ (State::Cancelled(_) | State::Watched(_)) => {
                    self.state = ending;
                    ready!(self.poll_completion(cx))?;
                }
            }
        }
    }

    /// Ready when nothing is in flight.
    pub(super) fn poll_completion(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Idle { .. } | State::Readable | State::Ended => Poll::Ready(Ok(())),
            State::Armed(op) => {
                let (result, buffer) = ready!(Pin::new(op).poll(cx));
                Poll::Ready(self.received(result, buffer))
            }
            State::Cancelled(op) => {
                let (result, buffer) = ready!(Pin::new(op).poll(cx));
                let outcome = self.received(result, buffer);
                Poll::Ready(outcome.or_else(|error| self.without_buffer(error)))
            }
            State::Watched(op) => {
                let outcome = ready!(Pin::new(op).poll(cx));
                note_activity();
                self.state = State::Readable;
                Poll::Ready(outcome)
            }
        }
    }

    fn received(&mut self, result: io::Result<usize>, buffer: Vec<u8>) -> io::Result<()> {
        note_activity();
        let (count, outcome) = match result {
            Ok(0) => {
                self.state = State::Ended;
                return Ok(());
            }
            Ok(count) => (count, Ok(())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (0, Ok(())),
            Err(error) => (0, Err(error)),
        };
        self.state = State::Idle { buffer, unread: 0..count };
        outcome
    }

    /// Receives what a watch has told of, straight into the reader's memory; `None` if there is nothing after all.
    /// More may be there, but is left to the next turn of the ring, which is the neighbours'.
    fn receive_now(&mut self, cursor: &mut ReadBufCursor<'_>) -> io::Result<Option<usize>> {
        self.state = NOTHING;
        match ops::receive_now(&self.socket, cursor) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(count) => {
                if count == 0 {
                    self.state = State::Ended;
                }
                Ok(Some(count))
            }
        }
    }

    /// A cancelled receive gives its memory back.
    fn without_buffer(&mut self, error: io::Error) -> io::Result<()> {
        self.state = NOTHING;
        match error.raw_os_error() {
            Some(libc::ECANCELED) => Ok(()),
            _ => Err(error),
        }
    }

    /// Whether the kernel holds an operation.
    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self.state, State::Armed(_) | State::Cancelled(_) | State::Watched(_))
    }
}
