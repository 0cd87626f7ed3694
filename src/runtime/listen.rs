//! Listening sockets, before and after an engine has them: binding one a worker, finding out
//! whether another server is on the address, and emptying the queue before a close. Knows nothing
//! of the engines.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tracing::warn;

/// How long [`probe_free`] goes on trying. A ring's port stays busy for 5–8 ms after its process
/// ended, because the kernel tears rings down in the background.
const PROBE_PATIENCE: Duration = Duration::from_millis(100);

/// Pause between two tries of [`probe_free`].
const PROBE_PAUSE: Duration = Duration::from_millis(5);

/// How long a drain waits for clients that were answered but whose last handshake segment is
/// still on its way: the round trip of a client on the same continent.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(50);

/// What every socket of a server shares.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Established connections that wait for accept, per worker (`listen(2)`; the kernel cuts it
    /// to `net.core.somaxconn`).
    pub backlog: i32,
    /// How long a connection may have data to send without its peer taking any. Enforced by the
    /// kernel (`TCP_USER_TIMEOUT`, `tcp(7)`), so it costs no timer: both a peer that stopped
    /// reading and one that vanished end as `TimedOut`.
    pub write_stall: Duration,
}

/// A listening socket before an engine has it.
#[derive(Debug)]
pub struct ListenSocket {
    pub(super) socket: TcpListener,
    /// Others hold it too, and listen on when this process has ended: neither the socket nor its queue is ours to end.
    pub(super) is_inherited: bool,
}

impl ListenSocket {
    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A socket that nobody else holds.
impl From<TcpListener> for ListenSocket {
    fn from(socket: TcpListener) -> Self {
        Self { socket, is_inherited: false }
    }
}

/// Binds one listening socket for each worker, all on the same address; port 0 is resolved by
/// the first. The kernel spreads connections over them (`SO_REUSEPORT`, `socket(7)`).
///
/// Accepted sockets inherit `TCP_NODELAY` and the write stall timeout from them.
///
/// Errors are those of `bind(2)` and `listen(2)`. A second server of the same user is *not*
/// refused here: ask [`probe_free`] first.
pub fn bind(addr: SocketAddr, workers: NonZeroUsize, options: ListenOptions) -> io::Result<Vec<TcpListener>> {
    let first = bind_one(addr, options)?;
    let resolved = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..workers.get() {
        listeners.push(bind_one(resolved, options)?);
    }
    Ok(listeners)
}

fn bind_one(addr: SocketAddr, options: ListenOptions) -> io::Result<TcpListener> {
    let socket = tcp_socket(addr)?;
    socket.set_reuse_port(true)?;
    prepare(&SockRef::from(&socket), options.write_stall)?;
    socket.bind(&addr.into())?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
}

/// Sets what accepted sockets inherit.
pub(super) fn prepare(socket: &SockRef<'_>, write_stall: Duration) -> io::Result<()> {
    // Replies are written whole, so there is nothing for Nagle's algorithm to gather.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(write_stall))
}

/// `SO_REUSEADDR`: connections of an earlier process in TIME-WAIT do not hold the address.
fn tcp_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// How long a start waits for another start on the same port, which takes a few milliseconds.
const TURN_PATIENCE: Duration = Duration::from_secs(2);

/// One start at a time on a port of this host, from [`probe_free`] to the end of [`bind`]: two that probe at once
/// would both find the address free. The kernel ends it with the process.
#[derive(Debug)]
pub struct Turn {
    _name: Option<UnixListener>,
}

impl Turn {
    /// Waits for the turn of `addr`'s port; port 0 needs none.
    pub fn take(addr: SocketAddr) -> io::Result<Self> {
        if addr.port() == 0 {
            return Ok(Self { _name: None });
        }
        // An abstract name leaves no file behind (unix(7)) and, like ports, belongs to the network namespace.
        let name = format!("ringledger-start-{}", addr.port());
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        let deadline = Instant::now() + TURN_PATIENCE;
        loop {
            match UnixListener::bind_addr(&name) {
                Ok(held) => return Ok(Self { _name: Some(held) }),
                Err(busy) if busy.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                    thread::sleep(PROBE_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Fails with `AddrInUse` if another server listens on `addr`, also one that would share it by
/// `SO_REUSEPORT`. Blocks the thread for up to 100 ms, which a server that has just ended may
/// need to let go. Port 0 is always free.
pub fn probe_free(addr: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + PROBE_PATIENCE;
    loop {
        match tcp_socket(addr)?.bind(&addr.into()) {
            Err(busy) if busy.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(PROBE_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Empties the accept queue for good: refuses new handshakes, waits for those under way, and
/// leaves the socket open (and non-blocking) with nothing in it.
pub(super) async fn empty_queue(listener: SockRef<'_>) -> Vec<(Socket, SocketAddr)> {
    let mut accepted = Vec::new();
    if let Err(error) = refuse_handshakes(&listener) {
        warn!(%error, "clients that connect during the drain may be reset");
    }
    sweep(&listener, &mut accepted);
    tokio::time::sleep(HANDSHAKE_GRACE).await;
    sweep(&listener, &mut accepted);
    accepted
}

/// Drops every SYN before it reaches the listener: the client retries a second later and finds
/// the port closed or another server on it. The third segment of a handshake still passes, so
/// that whoever was answered gets in. A filter on a TCP socket sees the packet from its TCP
/// header on; byte 13 holds the flags (RFC 9293, section 3.1).
fn refuse_handshakes(listener: &SockRef<'_>) -> io::Result<()> {
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const DROP: u32 = 0;
    const PASS: u32 = u32::MAX;
    listener.attach_filter(&[
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS_OFFSET),
        instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, SYN),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, DROP),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, PASS),
    ])
}

fn instruction(code: u32, if_true: u8, if_false: u8, operand: u32) -> SockFilter {
    let code = u16::try_from(code).expect("classic BPF opcodes fit in a byte");
    SockFilter::new(code, if_true, if_false, operand)
}

/// Accepts until nothing is queued.
fn sweep(listener: &SockRef<'_>, accepted: &mut Vec<(Socket, SocketAddr)>) {
    loop {
        match accept_now(listener) {
            Ok(Some(connection)) => accepted.push(connection),
            Ok(None) => return,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "queued connections are reset");
                return;
            }
        }
    }
}

/// `None` when the queue is empty.
fn accept_now(listener: &SockRef<'_>) -> io::Result<Option<(Socket, SocketAddr)>> {
    listener.set_nonblocking(true)?;
    match listener.accept() {
        Ok((socket, addr)) => Ok(addr.as_socket().map(|addr| (socket, addr))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: ListenOptions = ListenOptions { backlog: 16, write_stall: Duration::from_secs(7) };

    fn any_port() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    #[test]
    fn workers_share_the_port_that_the_first_one_got() {
        let listeners = bind(any_port(), NonZeroUsize::new(3).unwrap(), OPTIONS).unwrap();
        let addrs: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        assert_eq!(addrs.len(), 3);
        assert_ne!(addrs[0].port(), 0);
        assert!(addrs.iter().all(|addr| *addr == addrs[0]));
    }

    #[test]
    fn two_starts_on_a_port_take_turns() {
        let addr = bind(any_port(), NonZeroUsize::MIN, OPTIONS).unwrap()[0].local_addr().unwrap();
        let first = Turn::take(addr).unwrap();
        let second = thread::spawn(move || {
            Turn::take(addr).unwrap();
            Instant::now()
        });
        thread::sleep(PROBE_PAUSE * 4);
        let ended = Instant::now();
        drop(first);
        assert!(second.join().unwrap() >= ended);
    }

    #[test]
    fn accepted_sockets_inherit_what_the_listener_was_given() {
        let listener = &bind(any_port(), NonZeroUsize::MIN, OPTIONS).unwrap()[0];
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(OPTIONS.write_stall));
    }

    #[test]
    fn another_server_on_the_address_is_noticed() {
        let listener = bind(any_port(), NonZeroUsize::MIN, OPTIONS).unwrap().remove(0);
        let addr = listener.local_addr().unwrap();
        assert_eq!(probe_free(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        probe_free(addr).unwrap();
    }

    #[test]
    fn probing_waits_for_a_server_that_is_just_going() {
        let listener = bind(any_port(), NonZeroUsize::MIN, OPTIONS).unwrap().remove(0);
        let addr = listener.local_addr().unwrap();
        let going = thread::spawn(move || {
            thread::sleep(PROBE_PAUSE * 2);
            drop(listener);
        });
        probe_free(addr).unwrap();
        going.join().unwrap();
    }

    #[test]
    fn a_closing_listener_answers_no_handshake_but_keeps_who_is_queued() {
        let listener = bind(any_port(), NonZeroUsize::MIN, OPTIONS).unwrap().remove(0);
        let addr = listener.local_addr().unwrap();
        let queued = std::net::TcpStream::connect(addr).unwrap();
        refuse_handshakes(&SockRef::from(&listener)).unwrap();
        let patience = Duration::from_millis(200);
        let refused = std::net::TcpStream::connect_timeout(&addr, patience).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, queued.local_addr().unwrap());
    }
}
