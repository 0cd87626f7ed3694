//! The listening socket of a ring worker: one accept, kept armed across polls. Knows nothing of
//! what the connections are for.

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::{SockRef, Socket};

use super::ops::{self, Op, Peer};
use super::stream::RingStream;
use crate::runtime::listen::{ListenSocket, empty_queue};
use crate::runtime::net::Listener;

/// A listening socket on `io_uring`.
///
/// End it with [`Listener::drain`]. Dropping it instead shuts the socket down, which resets what
/// is queued, unless it is inherited; a connection that the kernel hands over at that very moment
/// stays open, unserved, until the process ends.
pub struct RingListener {
    socket: Rc<Socket>,
    is_inherited: bool,
    armed: Option<Op<Peer>>,
}

impl RingListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, SocketAddr)>> {
        let socket = &self.socket;
        let op = self.armed.get_or_insert_with(|| ops::accept(socket));
        let accepted = ready!(Pin::new(op).poll(cx));
        self.armed = None;
        Poll::Ready(accepted)
    }

    /// Ends the armed accept, if there is one; it may have got a connection just before.
    async fn disarm(&mut self) -> Option<(Socket, SocketAddr)> {
        let op = self.armed.as_mut()?;
        drop(ops::cancel(&self.socket));
        let last = op.await.ok();
        self.armed = None;
        last
    }
}

impl Listener for RingListener {
    type Stream = RingStream;

    fn from_std(listener: impl Into<ListenSocket>) -> io::Result<Self> {
        let ListenSocket { socket, is_inherited } = listener.into();
        socket.set_nonblocking(false)?;
        Ok(Self { socket: Rc::new(socket.into()), is_inherited, armed: None })
    }

    async fn accept(&mut self) -> io::Result<RingStream> {
        let (socket, peer) = poll_fn(|cx| self.poll_accept(cx)).await?;
        Ok(RingStream::accepted(socket, peer))
    }

    async fn drain(mut self) -> Vec<RingStream> {
        let queued =
            if self.is_inherited { Vec::new() } else { empty_queue(SockRef::from(&*self.socket)).await };
        let oldest = self.disarm().await;
        oldest.into_iter().chain(queued).map(|(socket, peer)| RingStream::accepted(socket, peer)).collect()
    }
}

impl Drop for RingListener {
    fn drop(&mut self) {
        if self.armed.is_none() {
            return;
        }
        if !self.is_inherited {
            // Fails only for a socket that does not listen; then the accept has ended already.
            let _ = self.socket.shutdown(Shutdown::Both);
        } else if !std::thread::panicking() {
            // The ring of a thread that panics takes no operation any more.
            drop(ops::cancel(&self.socket));
        }
    }
}
