//! What the two engines have in common as seen by a server: a listener that drains, a stream that
//! hyper can use, and a close that does not destroy the last reply. Knows nothing of either engine.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, Write};
use socket2::SockRef;
use tokio::time::timeout;

use super::listen::ListenSocket;

/// How long a closing connection reads on after its last byte was sent. Protects a final reply
/// from the reset that unread bytes would cause, and the server from a peer that never ends.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// How many bytes a closing connection reads and throws away, at most. Protects the server from
/// receiving a whole upload that it has already refused; what a client has under way within
/// [`LINGER`] fits, so that it reads the refusal and not a reset.
pub(super) const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Size of the buffer that takes what is thrown away.
const DISCARD_BYTES: usize = 16 * 1024;

/// A listening socket of one worker.
pub trait Listener: Sized + 'static {
    /// The connections it accepts.
    type Stream: Stream;

    /// Takes over a socket made by [`bind`](super::bind) or [`inherited`](super::inherited). Must be
    /// called inside [`block_on`](super::block_on) on the same engine.
    fn from_std(listener: impl Into<ListenSocket>) -> io::Result<Self>;

    /// The next connection. Cancel safe: dropping the future loses no connection.
    ///
    /// Errors are those of `accept(2)`. EMFILE and ENFILE come at once and again as long as
    /// descriptors are short, so back off.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Lets no new handshake begin, waits a moment for those under way, closes the socket and
    /// returns every connection that a client holds for established. Closing without this
    /// resets whatever is still queued.
    ///
    /// An inherited socket is left as it is, with all that is queued in it, to whoever accepts from
    /// it next; what was accepted at that very moment is returned.
    fn drain(self) -> impl Future<Output = Vec<Self::Stream>>;
}

/// A connection: hyper's I/O plus what hyper does not know of.
///
/// Writes are bounded in time by the listener's `write_stall`: a peer that takes nothing for so
/// long ends the stream with `TimedOut`.
pub trait Stream: Read + Write + Unpin + 'static {
    /// Its handle for sending what was written.
    type Kicker: Kick;

    /// A handle that stays usable while hyper owns the stream.
    fn kicker(&self) -> Self::Kicker;

    /// The address of the client.
    fn peer_addr(&self) -> SocketAddr;

    /// Tells whether bytes are expected within moments, as they are unless told. A read that waits for them holds a
    /// buffer then, which saves work when they come; one that waits for longer need not. Without effect where no
    /// read holds one.
    fn expect_soon(&mut self, _soon: bool) {}

    /// Frees its buffers and resolves once there is something to read: bytes, the peer's end or an
    /// error, which the next read gives. Nothing may be waiting to be sent. Cancel safe, and the
    /// stream may be used or closed at any moment of it.
    ///
    /// Errors: the failure of a receive; the connection is over.
    fn rest(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Sends what is pending, ends the sending side, reads on for at most 1 s or 16 MiB so that
    /// unread bytes do not reset the connection under the last reply, and closes. Immediate if
    /// the peer has ended its side. Never fails: nothing is left to do about it.
    fn close(self) -> impl Future<Output = ()>;
}

/// Sends what was written to a stream, and sees whether its peer is still there.
///
/// A stream may keep written bytes back, also on `poll_flush`, so that many small replies leave
/// in one send. Whoever drives a stream calls [`kick`](Kick::kick) after every poll that may have
/// written to it.
pub trait Kick: 'static {
    /// Starts sending all that was written, unless a send is under way. Ready when nothing is
    /// left to send; until then the task of `cx` is woken at the end of the send, to poll again
    /// what writes and then to kick again. The driver of hyper ignores `Pending`; a protocol that
    /// must know that all was sent awaits it.
    ///
    /// Errors: the failure of a send, at this and every later kick; the connection is over.
    fn kick(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether the peer has ended its sending side or is gone altogether, as far as that can be
    /// seen behind what was received: unread bytes hide it. One system call; wakes nobody.
    fn peer_ended(&self) -> bool;
}

/// [`Kick::peer_ended`] of any socket (`recv(2)`, `MSG_PEEK`).
pub(super) fn peer_ended(socket: &SockRef<'_>) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    match socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

/// The part of [`Stream::close`] that both engines share. What the peer still sends when a bound
/// is reached stays unread.
pub(super) async fn linger<S: Read + Write + Unpin>(stream: &mut S) {
    let shut = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await;
    if shut.is_ok() {
        // A bound that is reached is as good an end as the peer's own.
        let _ = timeout(LINGER, discard(stream)).await;
    }
}

async fn discard<S: Read + Unpin>(stream: &mut S) {
    let mut scratch = vec![0; DISCARD_BYTES];
    let mut total = 0;
    while total < LINGER_BYTES {
        match read(stream, &mut scratch).await {
            Ok(0) | Err(_) => return,
            Ok(count) => total += count,
        }
    }
}

/// One read into `buffer`; 0 is the end of the stream.
async fn read<S: Read + Unpin>(stream: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut filled = ReadBuf::new(buffer);
        ready!(Pin::new(&mut *stream).poll_read(cx, filled.unfilled()))?;
        Poll::Ready(Ok(filled.filled().len()))
    })
    .await
}
