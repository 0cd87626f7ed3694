//! Listening sockets that this process was started with, as a service manager opens them (`sd_listen_fds(3)`): found in
//! the environment, checked, and dealt to workers. Knows nothing of who opened them and of who else holds them.
#![allow(unsafe_code)]

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{SockRef, Type};

use super::listen::{ListenSocket, prepare};

/// Why descriptors that were passed cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// The variables are no numbers, contradict each other, or count descriptors that are not open.
    #[error("LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES: {0}")]
    Variables(io::Error),
    /// Something else was passed: a datagram or unix socket, or a connection.
    #[error(
        "descriptor {0}, passed by LISTEN_FDS, is not a listening TCP socket: let ListenStream= name a port or an \
         address with a port, and Accept= be no"
    )]
    NotListening(RawFd),
    /// The kernel refuses what has to be set.
    #[error("descriptor {0}, passed by LISTEN_FDS: {1}")]
    Socket(RawFd, io::Error),
}

/// The sockets that were passed to this process, in their order; none when `LISTEN_PID` is another's or there are none.
/// Connections accepted from them have a write stall of so long, and no child inherits them.
///
/// The variables stay as they are, for no thread may change the environment: they name this process, so no other one
/// takes them for its own.
pub fn inherited(write_stall: Duration) -> Result<Vec<ListenSocket>, InheritedError> {
    let passed = sd_notify::listen_fds().map_err(InheritedError::Variables)?;
    passed.map(|descriptor| adopt(descriptor, write_stall)).collect()
}

fn adopt(descriptor: RawFd, write_stall: Duration) -> Result<ListenSocket, InheritedError> {
    let failed = |error| InheritedError::Socket(descriptor, error);
    // SAFETY: the descriptor is open, as has just been seen, and nobody closes it: those that are passed stay open until
    // the process ends, and only copies of them are worked with.
    let passed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    if !is_listening_tcp(&SockRef::from(&passed)) {
        return Err(InheritedError::NotListening(descriptor));
    }
    let copy = passed.try_clone_to_owned().map_err(failed)?;
    let socket = TcpListener::from(copy);
    prepare(&SockRef::from(&socket), write_stall).map_err(failed)?;
    Ok(ListenSocket { socket, is_inherited: true })
}

/// What is no socket at all answers each question with an error.
fn is_listening_tcp(socket: &SockRef<'_>) -> bool {
    let is_tcp = || socket.local_addr().is_ok_and(|address| address.as_socket().is_some());
    socket.is_listener().unwrap_or(false)
        && socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
        && is_tcp()
}

/// One socket for each worker: in turn, so that a lone socket is shared by all. There must be no more sockets than
/// workers, or some would have none to accept from them.
///
/// Errors: descriptors are short.
pub fn deal(sockets: &[ListenSocket], workers: NonZeroUsize) -> io::Result<Vec<ListenSocket>> {
    let copy = |ListenSocket { socket, is_inherited }: &ListenSocket| {
        Ok(ListenSocket { socket: socket.try_clone()?, is_inherited: *is_inherited })
    };
    sockets.iter().cycle().take(workers.get()).map(copy).collect()
}
