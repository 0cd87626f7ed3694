//! The receiving half of a connection: one receive, kept armed across polls, or no buffer at all
//! while the connection rests. Knows nothing of what is received.

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
/// into a buffer of the same size; more would only cost idle memory.
const RECEIVE_BYTES: usize = 8 * 1024;
/// Size of the buffer that a connection begins with, and again after a rest: the usual request fits. A connection that
/// fills it gets the whole size. Fresh memory costs page faults, which are most of what waking costs
/// (`loadtest compare --scenario idle`).
const FIRST_RECEIVE_BYTES: usize = 2 * 1024;

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
    /// The peer sends no more.
    Ended,
}

/// The buffer of the next receive, after one that brought `received` bytes.
fn buffer_after(buffer: Vec<u8>, received: usize) -> Vec<u8> {
    match buffer.len() {
        RECEIVE_BYTES => buffer,
        FIRST_RECEIVE_BYTES if received < FIRST_RECEIVE_BYTES => buffer,
        FIRST_RECEIVE_BYTES => vec![0; RECEIVE_BYTES],
        // None yet, or just what came after a rest.
        _ => vec![0; FIRST_RECEIVE_BYTES],
    }
}

impl RecvHalf {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        Self { socket, state: State::Idle { buffer: Vec::new(), unread: 0..0 } }
    }

    /// Gives what has arrived, as much as fits; arms a receive if nothing has. A reader that goes
    /// away loses nothing: the receive stays armed, and what does not fit is kept. Returns how many bytes it gave.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
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
                State::Idle { buffer, unread } => {
                    let buffer = buffer_after(std::mem::take(buffer), unread.end);
                    self.state = State::Armed(ops::recv(&self.socket, buffer));
                }
                State::Armed(_) | State::Cancelled(_) | State::Watched(_) => {
                    ready!(self.poll_completion(cx))?;
                }
            }
        }
    }

    /// Lets go of the buffer and is ready once there is something to read. Bytes that arrive
    /// meanwhile are kept for the next read.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(Ok(())),
                State::Idle { buffer, unread } if unread.start < unread.end => {
                    self.state = State::Idle { buffer, unread };
                    return Poll::Ready(Ok(()));
                }
                State::Idle { .. } => self.state = State::Watched(ops::readable(&self.socket)),
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
            State::Idle { .. } | State::Ended => Poll::Ready(Ok(())),
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
                self.state = State::Idle { buffer: Vec::new(), unread: 0..0 };
                Poll::Ready(outcome.and_then(|()| self.receive_now()))
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

    /// After a watch has told that there is something. If nothing is there after all, the state stays idle.
    fn receive_now(&mut self) -> io::Result<()> {
        // On the stack, which is warm.
        let mut scratch = [0; RECEIVE_BYTES];
        match ops::receive_now(&self.socket, &mut scratch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => {
                let bytes = scratch[..*result.as_ref().unwrap_or(&0)].to_vec();
                self.received(result, bytes)
            }
        }
    }

    /// A cancelled receive gives its memory back.
    fn without_buffer(&mut self, error: io::Error) -> io::Result<()> {
        self.state = State::Idle { buffer: Vec::new(), unread: 0..0 };
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
