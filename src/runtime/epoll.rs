//! The same listener and stream on tokio's own sockets, for hosts without `io_uring`. Knows nothing
//! of HTTP beyond hyper's I/O traits.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tracing::warn;

use super::busy::note_activity;
use super::counters;
use super::listen::{ListenSocket, empty_queue};
use super::net::{Kick, Listener, Stream, linger, peer_ended};

/// A listening socket on epoll.
pub struct EpollListener {
    socket: tokio::net::TcpListener,
    is_inherited: bool,
}

impl Listener for EpollListener {
    type Stream = EpollStream;

    fn from_std(listener: impl Into<ListenSocket>) -> io::Result<Self> {
        let ListenSocket { socket, is_inherited } = listener.into();
        // Of a shared socket too: a worker that loses the race for a connection must not wait for the next.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: tokio::net::TcpListener::from_std(socket)?, is_inherited })
    }

    async fn accept(&mut self) -> io::Result<EpollStream> {
        let (stream, peer) = self.socket.accept().await?;
        Ok(EpollStream::new(stream, peer))
    }

    async fn drain(self) -> Vec<EpollStream> {
        if self.is_inherited {
            // Nothing is accepted but by a call, and none is under way.
            return Vec::new();
        }
        let accepted = empty_queue(SockRef::from(&self.socket)).await;
        accepted.into_iter().filter_map(adopt).collect()
    }
}

/// A swept connection as a stream, unless the runtime cannot take one more.
fn adopt((socket, peer): (Socket, SocketAddr)) -> Option<EpollStream> {
    let adopted = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket.into()));
    match adopted {
        Ok(stream) => Some(EpollStream::new(stream, peer)),
        Err(error) => {
            warn!(%error, %peer, "a queued connection is reset");
            None
        }
    }
}

/// A TCP connection that reads and writes by system calls of its own. Bounded by the kernel's
/// send buffer. Writes leave at once, so its kicker has nothing to send.
pub struct EpollStream {
    io: Rc<RefCell<TokioIo<TcpStream>>>,
    peer: SocketAddr,
}

impl EpollStream {
    fn new(stream: TcpStream, peer: SocketAddr) -> Self {
        Self { io: Rc::new(RefCell::new(TokioIo::new(stream))), peer }
    }
}

fn counted(polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(count)) = polled {
        counters::sent(count);
    }
    polled
}

impl Read for EpollStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut io = self.io.borrow_mut();
        // SAFETY: nothing is written to it but what is read from the socket.
        let mut buffer = ReadBuf::uninit(unsafe { cursor.as_mut() });
        let polled = AsyncRead::poll_read(Pin::new(io.inner_mut()), cx, &mut buffer);
        let count = buffer.filled().len();
        if polled.is_ready() {
            note_activity();
            counters::received(count);
        }
        // SAFETY: the read has filled so many bytes of its unfilled part.
        unsafe { cursor.advance(count) };
        polled
    }
}

impl Write for EpollStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        counted(Pin::new(&mut *self.io.borrow_mut()).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(cx)
    }
}

impl Stream for EpollStream {
    type Kicker = EpollKicker;

    fn kicker(&self) -> EpollKicker {
        EpollKicker(Rc::clone(&self.io))
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Holds no buffer anyway. Peeks, since readiness that tokio remembers may be out of date.
    async fn rest(&mut self) -> io::Result<()> {
        let mut byte = [0];
        poll_fn(|cx| self.io.borrow().inner().poll_peek(cx, &mut ReadBuf::new(&mut byte))).await.map(drop)
    }

    async fn close(mut self) {
        linger(&mut self).await;
    }
}

/// The [`Kick`] of an [`EpollStream`]: every write has left already. Keeps the descriptor open, so
/// drop it with the stream.
pub struct EpollKicker(Rc<RefCell<TokioIo<TcpStream>>>);

impl Kick for EpollKicker {
    fn kick(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn peer_ended(&self) -> bool {
        peer_ended(&SockRef::from(self.0.borrow().inner()))
    }
}
