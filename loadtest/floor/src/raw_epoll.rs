//! The least that a server on epoll can do: one read and one write each time that a connection has something to
//! say, and no bookkeeping but what back-pressure needs. Knows of HTTP only where heads end.

use std::convert::Infallible;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::by_fd::ByFd;
use crate::heads::{HEADS_BOUND, Heads, Progress, RECEIVE_BYTES};
use crate::reply::Batch;

/// Events taken from the kernel at once; further ones wait for the next turn. Bounds the list only.
const EVENTS_BOUND: usize = 256;

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Serves on the calling thread until something is wrong with the listener or with epoll. With `spin` it asks
/// for events without ever sleeping.
pub(crate) fn serve(listener: TcpListener, spin: bool) -> io::Result<Infallible> {
    let mut server = Server::new(listener)?;
    let mut events = Vec::with_capacity(EVENTS_BOUND);
    let patience = spin.then_some(&AT_ONCE);
    loop {
        match epoll::wait(&server.epoll, spare_capacity(&mut events), patience) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            server.answer(event)?;
        }
    }
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: ByFd<Connection>,
    answering: Answering,
}

/// What all connections share, since only one of them is served at a time.
struct Answering {
    heads: Heads,
    replies: Batch,
    received: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    progress: Progress,
    /// The part of the batch that is still to be written. Nothing is read while there is one.
    unsent: Range<usize>,
    /// What epoll watches for: input, or room for the rest of the replies.
    interest: EventFlags,
}

enum Fate {
    Open,
    Closed,
}

impl Server {
    fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, key(&listener), EventFlags::IN)?;
        let answering = Answering {
            heads: Heads::new(),
            replies: Batch::of(HEADS_BOUND),
            received: vec![0; RECEIVE_BYTES],
        };
        Ok(Self { epoll, listener, connections: ByFd::new(), answering })
    }

    fn answer(&mut self, event: Event) -> io::Result<()> {
        if event.data.u64() == key(&self.listener).u64() {
            return self.accept();
        }
        let fd = index(event.data);
        let Some(connection) = self.connections.of(fd) else {
            return Ok(());
        };
        // An error of a connection is its peer's doing: it ends, and nobody is told.
        match connection.step(&mut self.answering) {
            Ok(Fate::Open) => connection.watch(&self.epoll)?,
            Ok(Fate::Closed) | Err(_) => self.connections.remove(fd),
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.begin(stream)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn begin(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let interest = EventFlags::IN;
        epoll::add(&self.epoll, &stream, key(&stream), interest)?;
        let fd = index(key(&stream));
        self.connections
            .insert(fd, Connection { stream, progress: Progress::default(), unsent: 0..0, interest });
        Ok(())
    }
}

impl Connection {
    fn step(&mut self, with: &mut Answering) -> io::Result<Fate> {
        if self.unsent.is_empty() {
            match self.stream.read(&mut with.received) {
                Ok(0) => return Ok(Fate::Closed),
                Ok(count) => {
                    let heads = with.heads.count(&mut self.progress, &with.received[..count]);
                    self.unsent = Batch::range(heads);
                }
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.write(&with.replies)?;
        Ok(Fate::Open)
    }

    fn write(&mut self, replies: &Batch) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(replies.bytes(self.unsent.clone())) {
                Ok(count) => self.unsent.start += count,
                Err(error) if is_for_later(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells epoll what this connection waits for, if that has changed.
    fn watch(&mut self, epoll: &OwnedFd) -> io::Result<()> {
        let interest = if self.unsent.is_empty() { EventFlags::IN } else { EventFlags::OUT };
        if interest != self.interest {
            epoll::modify(epoll, &self.stream, key(&self.stream), interest)?;
            self.interest = interest;
        }
        Ok(())
    }
}

/// epoll is level-triggered, so whatever is left undone is announced again.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn key(socket: &impl AsRawFd) -> EventData {
    EventData::new_u64(u64::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative"))
}

fn index(key: EventData) -> usize {
    usize::try_from(key.u64()).expect("made of a descriptor, which is an int")
}
