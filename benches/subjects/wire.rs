//! A connection without a socket: the server's end is a stream as the ring's is, the other end a client that
//! waits for whole replies. Knows nothing of what is asked.
//!
//! It allocates nothing once its buffers have grown, so that whoever counts, counts the server.

use std::cell::{Ref, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};
use memchr::memmem::Finder;
use ringledger::runtime::{Kick, Stream};

/// A client and the stream of its connection.
pub(crate) fn connect() -> (Client, MemoryStream) {
    let wire = Rc::new(RefCell::new(Wire::default()));
    (Client { wire: Rc::clone(&wire), format: ReplyFormat::new() }, MemoryStream(wire))
}

#[derive(Default)]
struct Wire {
    /// Sent to the server.
    sent: Vec<u8>,
    /// How much of that the server has read.
    read: usize,
    /// Written by the server, which has not kicked since.
    queued: Vec<u8>,
    /// Arrived at the client since its last request.
    arrived: Vec<u8>,
    client_left: bool,
    server_left: bool,
    server: Option<Waker>,
    client: Option<Waker>,
}

/// The client's end. One at a time may wait on it.
pub(crate) struct Client {
    wire: Rc<RefCell<Wire>>,
    format: ReplyFormat,
}

impl Client {
    /// Sends requests at once and waits for all their replies, each of which must be a success with a
    /// `Content-Length`.
    pub(crate) async fn exchange(&self, requests: &[u8], replies: usize) {
        self.exchange_for(b"HTTP/1.1 2", requests, replies).await;
    }

    /// The same for replies that begin with `start`.
    pub(crate) async fn exchange_for(&self, start: &[u8], requests: &[u8], replies: usize) {
        {
            let mut wire = self.wire.borrow_mut();
            wire.arrived.clear();
            wire.sent.extend_from_slice(requests);
            wake(&mut wire.server);
        }
        poll_fn(|cx| {
            let mut wire = self.wire.borrow_mut();
            assert!(!wire.server_left, "the server closed the connection");
            if self.format.holds(start, &wire.arrived, replies) {
                return Poll::Ready(());
            }
            await_by(&mut wire.client, cx);
            Poll::Pending
        })
        .await;
    }

    /// The replies of the last exchange.
    pub(crate) fn replies(&self) -> Ref<'_, [u8]> {
        Ref::map(self.wire.borrow(), |wire| wire.arrived.as_slice())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut wire = self.wire.borrow_mut();
        wire.client_left = true;
        wake(&mut wire.server);
    }
}

/// The name of the field that tells a body's length, as hyper spells it.
const CONTENT_LENGTH: &[u8] = b"\r\ncontent-length: ";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Where replies end. The searches are prepared, since to prepare them costs more than to search.
struct ReplyFormat {
    head_end: Finder<'static>,
    content_length: Finder<'static>,
}

impl ReplyFormat {
    fn new() -> Self {
        Self { head_end: Finder::new(HEAD_END), content_length: Finder::new(CONTENT_LENGTH) }
    }

    /// Whether `bytes` are so many whole replies.
    fn holds(&self, start: &[u8], mut bytes: &[u8], replies: usize) -> bool {
        for _ in 0..replies {
            match self.reply_bytes(start, bytes).and_then(|length| bytes.get(length..)) {
                Some(rest) => bytes = rest,
                None => return false,
            }
        }
        assert!(bytes.is_empty(), "more than was asked for");
        true
    }

    /// The length of the first reply, once its head is there.
    fn reply_bytes(&self, start: &[u8], bytes: &[u8]) -> Option<usize> {
        let head = &bytes[..self.head_end.find(bytes)? + HEAD_END.len()];
        assert!(head.starts_with(start), "{}", String::from_utf8_lossy(bytes));
        let field = self.content_length.find(head).expect("a reply with a length");
        let digits = head[field + CONTENT_LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        let body = digits.fold(0, |length, digit| 10 * length + usize::from(digit - b'0'));
        Some(head.len() + body)
    }
}

/// The server's end. As with the ring's, what is written is copied and waits for the kick; unlike there, the
/// peer takes all of it at once.
pub(crate) struct MemoryStream(Rc<RefCell<Wire>>);

impl Read for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        let unread = &wire.sent[wire.read..];
        if unread.is_empty() {
            if wire.client_left {
                return Poll::Ready(Ok(()));
            }
            await_by(&mut wire.server, cx);
            return Poll::Pending;
        }
        let count = unread.len().min(cursor.remaining());
        cursor.put_slice(&unread[..count]);
        wire.read += count;
        if wire.read == wire.sent.len() {
            wire.sent.clear();
            wire.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().queued.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.kicker().kick(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let queued = &mut self.0.borrow_mut().queued;
        let before = queued.len();
        for slice in slices {
            queued.extend_from_slice(slice);
        }
        Poll::Ready(Ok(queued.len() - before))
    }
}

impl Stream for MemoryStream {
    type Kicker = Kicker;

    fn kicker(&self) -> Kicker {
        Kicker(Rc::clone(&self.0))
    }

    fn peer_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }

    async fn rest(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut wire = self.0.borrow_mut();
            if wire.client_left || wire.read < wire.sent.len() {
                return Poll::Ready(Ok(()));
            }
            await_by(&mut wire.server, cx);
            Poll::Pending
        })
        .await
    }

    async fn close(self) {}
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let mut wire = self.0.borrow_mut();
        wire.server_left = true;
        wake(&mut wire.client);
    }
}

/// Passes on what the stream has queued.
pub(crate) struct Kicker(Rc<RefCell<Wire>>);

impl Kick for Kicker {
    fn kick(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        if !wire.queued.is_empty() {
            wire.arrived.append(&mut wire.queued);
            wake(&mut wire.client);
        }
        Poll::Ready(Ok(()))
    }

    fn peer_ended(&self) -> bool {
        self.0.borrow().client_left
    }
}

fn await_by(waiting: &mut Option<Waker>, cx: &Context<'_>) {
    *waiting = Some(cx.waker().clone());
}

fn wake(waiting: &mut Option<Waker>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}
