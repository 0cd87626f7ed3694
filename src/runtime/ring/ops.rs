//! The ring operations: each owns its buffer and its socket until the kernel has completed it.
//! Knows nothing of when they are used.
//!
//! An operation that is dropped before its completion is not cancelled: the runtime keeps its
//! data until then. To end one early, shut its socket down.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use hyper::rt::ReadBufCursor;
use io_uring::{cqueue, opcode, types};
use socket2::{SockAddr, SockAddrStorage, Socket};
use tokio_uring::{InFlightOneshot, OneshotOutputTransform, UnsubmittedOneshot};

use super::InFlight;

/// A submitted operation; a future of its [`Finish::Output`].
pub(super) type Op<B> = InFlightOneshot<Owned<B>, Completed<B>>;

/// Everything that the kernel may touch until the completion.
pub(super) struct Owned<B> {
    buffer: B,
    _socket: Option<Rc<Socket>>,
    _counted: InFlight,
}

/// Makes the result of an operation from its buffer and the kernel's answer.
pub(super) trait Finish: Sized + 'static {
    type Output;

    /// `result` is what the corresponding system call would have returned.
    fn finish(self, result: io::Result<u32>) -> Self::Output;
}

/// The step from a completion to [`Finish`].
pub(super) struct Completed<B>(PhantomData<B>);

impl<B: Finish> OneshotOutputTransform for Completed<B> {
    type Output = B::Output;
    type StoredData = Owned<B>;

    fn transform_oneshot_output(self, owned: Owned<B>, entry: cqueue::Entry) -> B::Output {
        let status = entry.result();
        owned
            .buffer
            .finish(u32::try_from(status).map_err(|_| io::Error::from_raw_os_error(status.wrapping_neg())))
    }
}

/// `entry` may point only into the heap of `buffer` and name only `socket`; both stay with the
/// operation until its completion.
///
/// A submission that fails ends the process: tokio-uring panics then, with an operation noted that never
/// completes, so that the worker could neither go on nor end.
fn submit<B: Finish>(socket: Option<&Rc<Socket>>, buffer: B, entry: io_uring::squeue::Entry) -> Op<B> {
    let _no_way_back = AbortOnPanic;
    let owned = Owned { buffer, _socket: socket.map(Rc::clone), _counted: InFlight::new() };
    UnsubmittedOneshot::new(owned, Completed(PhantomData), entry).submit()
}

/// Turns a panic of its scope into the end of the process.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("ringledger: the ring takes no operation; stopping");
            std::process::abort();
        }
    }
}

fn descriptor(socket: &Socket) -> types::Fd {
    types::Fd(socket.as_raw_fd())
}

/// A buffer to receive into; its whole length is offered to the kernel.
pub(super) struct Incoming(pub(super) Vec<u8>);

impl Finish for Incoming {
    /// How many bytes were received (0 is the end of the stream), and the buffer.
    type Output = (io::Result<usize>, Vec<u8>);

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|count| count as usize), self.0)
    }
}

/// `recv(2)` into `buffer`, which must not be empty.
pub(super) fn recv(socket: &Rc<Socket>, mut buffer: Vec<u8>) -> Op<Incoming> {
    let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    let entry = opcode::Recv::new(descriptor(socket), buffer.as_mut_ptr(), length).build();
    submit(Some(socket), Incoming(buffer), entry)
}

/// An operation without a buffer.
pub(super) struct Bare;

impl Finish for Bare {
    type Output = io::Result<()>;

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        result.map(drop)
    }
}

/// Completes once `socket` can be read without waiting: bytes, the end of the stream or an error
/// (`poll(2)`). Holds no buffer, so any number of idle connections may wait in one.
pub(super) fn readable(socket: &Rc<Socket>) -> Op<Bare> {
    let events = u32::try_from(libc::POLLIN | libc::POLLRDHUP).expect("poll flags are small and positive");
    let entry = opcode::PollAdd::new(descriptor(socket), events).build();
    submit(Some(socket), Bare, entry)
}

/// Completes once `socket` takes bytes again, or an error (`poll(2)`).
pub(super) fn writable(socket: &Rc<Socket>) -> Op<Bare> {
    let events = u32::try_from(libc::POLLOUT).expect("a poll flag is small and positive");
    let entry = opcode::PollAdd::new(descriptor(socket), events).build();
    submit(Some(socket), Bare, entry)
}

/// Sends what the kernel takes of `bytes`, which must not be empty, without waiting; 0 if it takes nothing now
/// (`send(2)`, `MSG_DONTWAIT`). The caller keeps the memory.
pub(super) fn send_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    match uninterrupted(|| socket.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

/// Receives what has arrived, as much as fits into `cursor`, which must have room, without waiting (`recv(2)`,
/// `MSG_DONTWAIT`). 0 is the end of the stream.
pub(super) fn receive_now(socket: &Socket, cursor: &mut ReadBufCursor<'_>) -> io::Result<usize> {
    // SAFETY: nothing is written to it but what the kernel has received.
    let room = unsafe { cursor.as_mut() };
    let count = uninterrupted(|| socket.recv_with_flags(room, libc::MSG_DONTWAIT))?;
    // SAFETY: the kernel has filled so many bytes of it.
    unsafe { cursor.advance(count) };
    Ok(count)
}

/// Calls again what a signal has interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Cancels what is in flight on `socket`, which completes with ECANCELED unless it was done just
/// then. Nobody needs to await the cancelling itself.
pub(super) fn cancel(socket: &Rc<Socket>) -> Op<Bare> {
    let entry = opcode::AsyncCancel2::new(types::CancelBuilder::fd(descriptor(socket)).all()).build();
    submit(Some(socket), Bare, entry)
}

/// Completes at once, in the next turn of the ring.
pub(super) fn nop() -> Op<Bare> {
    submit(None, Bare, opcode::Nop::new().build())
}

/// Bytes to send, of which the first `sent` have left already.
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
}

impl Finish for Outgoing {
    /// `sent` has advanced by what was sent; the buffer comes back also after an error.
    type Output = (io::Result<()>, Self);

    fn finish(mut self, result: io::Result<u32>) -> Self::Output {
        let outcome = match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                self.sent += count as usize;
                Ok(())
            }
            Err(error) => Err(error),
        };
        (outcome, self)
    }
}

/// `send(2)` of the unsent rest, which must not be empty. Without `MSG_WAITALL`: the kernel would
/// go on after a short send, but report what it sent in place of the error that stopped it.
pub(super) fn send(socket: &Rc<Socket>, outgoing: Outgoing) -> Op<Outgoing> {
    let rest = &outgoing.bytes[outgoing.sent..];
    let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    let entry =
        opcode::Send::new(descriptor(socket), rest.as_ptr(), length).flags(libc::MSG_NOSIGNAL).build();
    submit(Some(socket), outgoing, entry)
}

/// Where the kernel writes the address of an accepted peer.
pub(super) struct Peer(Box<(SockAddrStorage, libc::socklen_t)>);

impl Finish for Peer {
    /// The connection (blocking, close-on-exec) and its peer.
    type Output = io::Result<(Socket, SocketAddr)>;

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        let descriptor = i32::try_from(result?).map_err(io::Error::other)?;
        // SAFETY: a successful accept returns a new descriptor, which nobody else knows of.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) }.into();
        let (storage, length) = *self.0;
        // SAFETY: the kernel has written an address of `length` bytes; the rest is zero.
        let addr = unsafe { SockAddr::new(storage, length) }.as_socket();
        Ok((socket, addr.ok_or(io::ErrorKind::AddrNotAvailable)?))
    }
}

/// `accept4(2)`. Must be polled to its end: dropped, it would leave an accepted connection open
/// and unserved. `socket` must be in blocking mode, else the kernel answers EAGAIN at once.
pub(super) fn accept(socket: &Rc<Socket>) -> Op<Peer> {
    let storage = SockAddrStorage::zeroed();
    let length = storage.size_of();
    let mut peer = Box::new((storage, length));
    let (storage, length) = &mut *peer;
    let entry = opcode::Accept::new(descriptor(socket), (&raw mut *storage).cast(), &raw mut *length)
        .flags(libc::SOCK_CLOEXEC)
        .build();
    submit(Some(socket), Peer(peer), entry)
}
