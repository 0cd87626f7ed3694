//! One connection to the server: its socket, what of requests is still to be written, and which replies are due.
//! Never waits, and counts nothing.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::reply::Reader;
use crate::plan::Plan;

/// A request whose reply has not come. Moments are nanoseconds since the run began.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnderWay {
    pub(super) due_ns: u64,
    pub(super) sent_ns: u64,
    /// Its reply has no body whatever its head says.
    pub(super) head_only: bool,
}

/// Where a socket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// connect(2) is under way since then.
    Opening { since_ns: u64 },
    /// Requests can be sent.
    Open,
    /// It could not be opened; tried again from then on.
    Down { until_ns: u64 },
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: Option<TcpStream>,
    pub(super) stage: Stage,
    pub(super) under_way: VecDeque<UnderWay>,
    pub(super) reader: Reader,
    unsent: Vec<u8>,
    watched: EventFlags,
    /// Rises with each new socket, so that events of an older one are told apart.
    generation: u32,
}

impl Connection {
    /// Opens a socket and waits for it, at most for the plan's timeout.
    pub(super) fn open(plan: &Plan) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&plan.address, plan.timeout)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Some(stream),
            stage: Stage::Open,
            under_way: VecDeque::new(),
            reader: Reader::new(plan.failure_mark),
            unsent: Vec::new(),
            watched: EventFlags::empty(),
            generation: 0,
        })
    }

    /// Closes the socket and begins to open another. An error says that it cannot be opened now.
    pub(super) fn reopen(&mut self, address: SocketAddr, now_ns: u64) -> io::Result<()> {
        self.close();
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket: OwnedFd = socket_with(family, SocketType::STREAM, flags, None)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        match connect(&stream, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        self.stream = Some(stream);
        self.stage = Stage::Opening { since_ns: now_ns };
        Ok(())
    }

    /// Ends the socket with all that it carried.
    pub(super) fn close(&mut self) {
        self.stream = None;
        self.under_way.clear();
        self.reader = self.reader.afresh();
        self.unsent.clear();
        self.watched = EventFlags::empty();
        self.generation = self.generation.wrapping_add(1);
    }

    /// The socket has become writable while it was being opened: is it open?
    pub(super) fn finish_opening(&mut self) -> io::Result<()> {
        let stream = self.stream.as_ref().ok_or(ErrorKind::NotConnected)?;
        sockopt::socket_error(stream)??;
        self.stage = Stage::Open;
        Ok(())
    }

    /// Has epoll announce what this connection waits for, if that has changed since.
    pub(super) fn watch(&mut self, epoll: &OwnedFd, index: usize) -> io::Result<()> {
        let Some(stream) = &self.stream else {
            return Ok(());
        };
        let wanted = match self.stage {
            Stage::Opening { .. } => EventFlags::OUT,
            Stage::Open if self.unsent.is_empty() => EventFlags::IN,
            Stage::Open | Stage::Down { .. } => EventFlags::IN | EventFlags::OUT,
        };
        if wanted != self.watched {
            let data = EventData::new_u64(index as u64 | u64::from(self.generation) << 32);
            if self.watched.is_empty() {
                epoll::add(epoll, stream, data, wanted)?;
            } else {
                epoll::modify(epoll, stream, data, wanted)?;
            }
            self.watched = wanted;
        }
        Ok(())
    }

    /// Which connection an event is for, and of which generation.
    pub(super) fn named_by(data: EventData) -> (usize, u32) {
        let data = data.u64();
        let [index, generation] =
            [data & u64::from(u32::MAX), data >> 32].map(|half| u32::try_from(half).expect("half of a u64"));
        (index as usize, generation)
    }

    pub(super) fn is_of(&self, generation: u32) -> bool {
        self.generation == generation
    }

    /// Writes requests, or keeps what the socket does not take.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let written = self.write(bytes)?;
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what was kept.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let written = self.write(&unsent)?;
            self.unsent = unsent;
            self.unsent.drain(..written);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = self.stream.as_ref().ok_or(ErrorKind::NotConnected)?;
        let mut written = 0;
        while written < bytes.len() {
            match stream.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if is_for_later(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// What has come, or none if nothing has; 0 is the end of the stream.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut stream = self.stream.as_ref().ok_or(ErrorKind::NotConnected)?;
        match stream.read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_for_later(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// epoll is level-triggered, so whatever is left undone is announced again.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
