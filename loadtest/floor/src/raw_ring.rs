//! The least that a server on `io_uring` can do: the replies and the next receive of a connection are a linked
//! pair, a turn submits those of all its connections with one call, and only the receive reports back. Knows of
//! HTTP only where heads end.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, opcode};

use crate::by_fd::ByFd;
use crate::heads::{HEADS_BOUND, Heads, Progress, RECEIVE_BYTES};
use crate::reply::Batch;

/// Entries of the submission queue. A turn adds at most two for each connection that it serves; what does not
/// fit is submitted early.
const RING_ENTRIES: u32 = 4096;

/// User data of the accept that is always in flight. That of a receive is its descriptor.
const ACCEPT: u64 = u64::MAX;

/// User data of sends. A failed one takes its linked receive along, which then ends the connection.
const SEND: u64 = u64::MAX - 1;

/// Serves on the calling thread until something is wrong with the listener or with the ring. With `spin` it
/// asks for completions without ever sleeping.
pub(crate) fn serve(listener: TcpListener, spin: bool) -> io::Result<Infallible> {
    let mut ring = build()?;
    if !ring.params().is_feature_skip_cqe_on_success() {
        return Err(io::Error::new(ErrorKind::Unsupported, "raw-ring needs Linux 5.17 or later"));
    }
    // Leaked: until the process ends, the kernel reads and writes what the server owns.
    let server = Box::leak(Box::new(Server::new(listener)));
    let (submitter, submissions, mut completions) = ring.split();
    let mut queue = Queue { submitter, submissions };
    queue.push(&[server.accept()])?;
    loop {
        if spin { queue.submit_and_look() } else { queue.submit_and_wait() }?;
        server.answer(&mut completions, &mut queue)?;
    }
}

/// The set-up of ringledger's rings, without what this kernel refuses.
fn build() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_coop_taskrun()
        .setup_single_issuer()
        .build(RING_ENTRIES)
        .or_else(|_| IoUring::builder().setup_coop_taskrun().build(RING_ENTRIES))
        .or_else(|_| IoUring::new(RING_ENTRIES))
}

/// The submitting side of a ring.
struct Queue<'r> {
    submitter: Submitter<'r>,
    submissions: SubmissionQueue<'r>,
}

impl Queue<'_> {
    /// Adds entries that must be submitted together.
    fn push(&mut self, entries: &[Entry]) -> io::Result<()> {
        // SAFETY: `Server` makes all entries, of buffers and descriptors that it keeps until their completion.
        while unsafe { self.submissions.push_multiple(entries) }.is_err() {
            self.submissions.sync();
            self.submitter.submit()?;
            self.submissions.sync();
        }
        Ok(())
    }

    fn submit_and_wait(&mut self) -> io::Result<()> {
        self.submissions.sync();
        let outcome = self.submitter.submit_and_wait(1);
        self.submissions.sync();
        unless_interrupted(outcome)
    }

    fn submit_and_look(&mut self) -> io::Result<()> {
        /// Collects completions, as many as there are (`io_uring_enter(2)`).
        const IORING_ENTER_GETEVENTS: u32 = 1;
        const NO_SIGNAL_MASK: Option<&u64> = None;
        self.submissions.sync();
        let count = u32::try_from(self.submissions.len()).expect("the queue holds RING_ENTRIES at most");
        // SAFETY: no argument is a pointer, and `push` has answered for the entries.
        let outcome = unsafe { self.submitter.enter(count, 0, IORING_ENTER_GETEVENTS, NO_SIGNAL_MASK) };
        self.submissions.sync();
        unless_interrupted(outcome)
    }
}

fn unless_interrupted(outcome: io::Result<usize>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

struct Server {
    listener: TcpListener,
    connections: ByFd<Connection>,
    heads: Heads,
    replies: Batch,
}

/// Lives until its receive has completed with nothing; the send before it has ended by then, too.
struct Connection {
    stream: TcpStream,
    progress: Progress,
    /// The kernel's while a receive is in flight.
    received: Vec<u8>,
}

impl Server {
    fn new(listener: TcpListener) -> Self {
        Self { listener, connections: ByFd::new(), heads: Heads::new(), replies: Batch::of(HEADS_BOUND) }
    }

    fn accept(&self) -> Entry {
        opcode::Accept::new(Fd(self.listener.as_raw_fd()), ptr::null_mut(), ptr::null_mut())
            .build()
            .user_data(ACCEPT)
    }

    fn answer(&mut self, completions: &mut CompletionQueue<'_>, queue: &mut Queue<'_>) -> io::Result<()> {
        completions.sync();
        for completion in completions.by_ref() {
            match completion.user_data() {
                ACCEPT => self.accepted(completion.result(), queue)?,
                SEND => {}
                fd => self.received(fd, completion.result(), queue)?,
            }
        }
        // Tells the kernel what was taken, or the next wait would find it and return at once.
        completions.sync();
        Ok(())
    }

    /// `result` is the new descriptor or minus an error number.
    fn accepted(&mut self, result: i32, queue: &mut Queue<'_>) -> io::Result<()> {
        match result {
            fd @ 0.. => self.begin(fd, queue)?,
            error if -error == libc::ECONNABORTED => {}
            error => return Err(io::Error::from_raw_os_error(-error)),
        }
        queue.push(&[self.accept()])
    }

    fn begin(&mut self, fd: RawFd, queue: &mut Queue<'_>) -> io::Result<()> {
        // SAFETY: the accept has just made this descriptor for us, and nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut connection = Connection {
            stream: TcpStream::from(socket),
            progress: Progress::default(),
            received: vec![0; RECEIVE_BYTES],
        };
        queue.push(&[connection.receive()])?;
        self.connections
            .insert(usize::try_from(connection.key()).expect("a descriptor is an int"), connection);
        Ok(())
    }

    /// `result` is a count of bytes, 0 at the end, or minus an error number. An error of a connection is its
    /// peer's doing: it ends, and nobody is told.
    fn received(&mut self, key: u64, result: i32, queue: &mut Queue<'_>) -> io::Result<()> {
        let fd = usize::try_from(key).expect("a descriptor is an int");
        let Some(connection) = self.connections.of(fd) else {
            return Ok(());
        };
        let Ok(count @ 1..) = usize::try_from(result) else {
            self.connections.remove(fd);
            return Ok(());
        };
        let piece = &connection.received[..count];
        match self.heads.count(&mut connection.progress, piece) {
            0 => queue.push(&[connection.receive()]),
            heads => {
                let replies = self.replies.bytes(Batch::range(heads));
                queue.push(&[connection.send(replies), connection.receive()])
            }
        }
    }
}

impl Connection {
    /// The receive that is linked to it starts when all of `replies` was taken, so that a client that does not
    /// read is not read from.
    fn send(&self, replies: &[u8]) -> Entry {
        let len = u32::try_from(replies.len()).expect("HEADS_BOUND replies are less than 4 GiB");
        opcode::Send::new(Fd(self.stream.as_raw_fd()), replies.as_ptr(), len)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
            .user_data(SEND)
    }

    fn receive(&mut self) -> Entry {
        let len = u32::try_from(RECEIVE_BYTES).expect("far less than 4 GiB");
        opcode::Recv::new(Fd(self.stream.as_raw_fd()), self.received.as_mut_ptr(), len)
            .build()
            .user_data(self.key())
    }

    fn key(&self) -> u64 {
        u64::try_from(self.stream.as_raw_fd()).expect("an open descriptor is not negative")
    }
}
