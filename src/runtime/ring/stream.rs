//! A connection on the ring: hyper's view of the two halves, and the end of their socket. Knows
//! nothing of HTTP beyond hyper's I/O traits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use socket2::Socket;

use super::recv::RecvHalf;
use super::send::{RingKicker, SendHalf};
use crate::runtime::counters;
use crate::runtime::net::{Stream, linger};

/// A connection that receives and sends through `io_uring`.
///
/// Reads come from one receive that stays armed across polls, or by a watch ([`Stream::expect_soon`]).
/// Small writes are copied and wait for a kick ([`Stream::kicker`]); beyond
/// [`WRITE_BOUND`](super::WRITE_BOUND) they are pending, and large ones go straight to the kernel. An error of a send
/// surfaces at the next write, kick or shutdown.
///
/// Dropping it ends the connection at once and loses what was not sent; [`Stream::close`] does
/// not. Both are sound at any moment: what the kernel still uses stays alive until it is done.
pub struct RingStream {
    socket: Rc<Socket>,
    recv: RecvHalf,
    send: Rc<RefCell<SendHalf>>,
    peer: SocketAddr,
}

impl RingStream {
    /// Takes over a connected socket, TCP or unix. Must be called inside
    /// [`block_on`](crate::runtime::block_on) on a ring.
    ///
    /// [`Stream::peer_addr`] of a unix socket is `0.0.0.0:0`: it has no such address.
    ///
    /// Errors: the socket is not connected any more.
    pub fn from_connected(socket: impl Into<Socket>) -> io::Result<Self> {
        let socket = socket.into();
        socket.set_nonblocking(false)?;
        let unaddressed = SocketAddr::from(([0; 4], 0));
        let peer = socket.peer_addr()?.as_socket().unwrap_or(unaddressed);
        Ok(Self::new(socket, peer))
    }

    /// A connection that a listener has accepted; its bytes are a client's. `socket` as in [`Self::new`].
    pub(super) fn accepted(socket: Socket, peer: SocketAddr) -> Self {
        let stream = Self::new(socket, peer);
        stream.send.borrow_mut().count();
        stream
    }

    /// `socket` must be connected and in blocking mode: the ring then waits where a non-blocking
    /// socket would answer EAGAIN.
    fn new(socket: Socket, peer: SocketAddr) -> Self {
        let socket = Rc::new(socket);
        Self {
            recv: RecvHalf::new(Rc::clone(&socket)),
            send: Rc::new(RefCell::new(SendHalf::new(Rc::clone(&socket)))),
            socket,
            peer,
        }
    }

    /// Makes whatever is in flight complete soon.
    fn cut(&self) {
        if self.recv.is_in_flight() || self.send.borrow().is_sending() {
            // Fails only when the peer has reset the connection, which has the same effect.
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }
}

impl Read for RingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let soon = stream.send.borrow().expects_soon();
        let count = ready!(stream.recv.poll_read(cx, cursor, soon))?;
        if stream.send.borrow().is_counted() {
            counters::received(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for RingStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.send.borrow_mut().poll_write(cx, bytes)
    }

    /// Always ready, and sends nothing: flushing is the kicker's, once a poll.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send.borrow_mut().poll_shutdown(cx)
    }
}

impl Stream for RingStream {
    type Kicker = RingKicker;

    fn kicker(&self) -> RingKicker {
        RingKicker(Rc::clone(&self.send))
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn expect_soon(&mut self, soon: bool) {
        self.send.borrow_mut().expect_soon(soon);
    }

    async fn rest(&mut self) -> io::Result<()> {
        self.send.borrow_mut().release();
        poll_fn(|cx| self.recv.poll_rest(cx)).await
    }

    async fn close(mut self) {
        linger(&mut self).await;
        self.cut();
        // The buffers are what is awaited here; the outcome no longer matters to anyone.
        let _ = poll_fn(|cx| self.recv.poll_completion(cx)).await;
        poll_fn(|cx| self.send.borrow_mut().poll_idle(cx)).await;
    }
}

impl Drop for RingStream {
    fn drop(&mut self) {
        self.cut();
        self.send.borrow_mut().abandon();
    }
}
