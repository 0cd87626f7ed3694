//! The receiving half of a connection: one receive, kept armed across polls. Knows nothing of
//! what is received.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use socket2::Socket;

use super::ops::{self, Incoming, Op};

/// Size of a connection's receive buffer: what one completion brings at most. hyper reads heads
/// into a buffer of the same size; more would only cost idle memory.
const RECEIVE_BYTES: usize = 8 * 1024;

pub(super) struct RecvHalf {
    socket: Rc<Socket>,
    state: State,
}

enum State {
    /// The kernel has the buffer.
    Armed(Op<Incoming>),
    /// Part of the buffer waits for a reader; an empty range means that all was read.
    Idle { buffer: Vec<u8>, unread: Range<usize> },
    /// The peer sends no more.
    Ended,
}

impl RecvHalf {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        Self { socket, state: State::Idle { buffer: vec![0; RECEIVE_BYTES], unread: 0..0 } }
    }

    /// Gives what has arrived, as much as fits; arms a receive if nothing has. A reader that goes
    /// away loses nothing: the receive stays armed, and what does not fit is kept.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if cursor.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Idle { buffer, unread } if unread.start < unread.end => {
                    let count = unread.len().min(cursor.remaining());
                    cursor.put_slice(&buffer[unread.start..unread.start + count]);
                    unread.start += count;
                    return Poll::Ready(Ok(()));
                }
                State::Idle { buffer, .. } => {
                    let buffer = std::mem::take(buffer);
                    self.state = State::Armed(ops::recv(&self.socket, buffer));
                }
                State::Armed(_) => ready!(self.poll_completion(cx))?,
            }
        }
    }

    /// Ready when no receive is in flight.
    pub(super) fn poll_completion(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State::Armed(op) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let (result, buffer) = ready!(Pin::new(op).poll(cx));
        let (received, outcome) = match result {
            Ok(0) => {
                self.state = State::Ended;
                return Poll::Ready(Ok(()));
            }
            Ok(count) => (count, Ok(())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (0, Ok(())),
            Err(error) => (0, Err(error)),
        };
        self.state = State::Idle { buffer, unread: 0..received };
        Poll::Ready(outcome)
    }

    pub(super) fn is_armed(&self) -> bool {
        matches!(self.state, State::Armed(_))
    }
}
