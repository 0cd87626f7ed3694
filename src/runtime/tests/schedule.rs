//! Futures of the ring that are dropped at every point at which they can wait.
//!
//! Nothing here is left to time: a step is one poll of the future, one turn of the ring and one move of the peer, which
//! lives on the same thread. So a case is the same each time, and dropping after 0, 1, 2 ... steps, until the future
//! ends, goes through every point there is.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use hyper::rt::Write as _;
use socket2::SockRef;

use super::*;

/// Buffers of the kernel, in bytes: small, so that large replies wait for their peer.
const KERNEL_BYTES: usize = 4 * 1024;
/// Bytes of the first reply, which is copied, and of the second, which goes straight to the kernel.
const REPLIES: [usize; 2] = [5_000, 60_000];

/// How a stream is used: whether its bytes are expected soon, and whether its sends go past the ring.
const USES: [(bool, bool); 3] = [(true, false), (false, false), (true, true)];

/// The other end, moved by hand.
struct Peer {
    socket: UnixStream,
    unsent: Vec<u8>,
    received: Vec<u8>,
    /// Bytes of one move, each way.
    pace: usize,
    /// Whether the first send after each move goes past the ring, as in a turn of busy polling.
    at_once: bool,
}

impl Peer {
    /// A peer that will send `bytes`, and the socket that it is connected to.
    fn sending(bytes: Vec<u8>, pace: usize) -> (UnixStream, Self) {
        let (near, socket) = UnixStream::pair().unwrap();
        SockRef::from(&near).set_send_buffer_size(KERNEL_BYTES).unwrap();
        socket.set_nonblocking(true).unwrap();
        (near, Self { socket, unsent: bytes, received: Vec::new(), pace, at_once: false })
    }

    /// Sends and takes one piece, as far as the kernel lets it. Behind the last byte the sending side ends.
    fn step(&mut self) {
        if self.at_once {
            busy::turn_begins();
        }
        let piece = self.pace.min(self.unsent.len());
        if piece > 0
            && let Ok(count) = self.socket.write(&self.unsent[..piece])
        {
            self.unsent.drain(..count);
            if self.unsent.is_empty() {
                self.socket.shutdown(Shutdown::Write).unwrap();
            }
        }
        let mut room = vec![0; self.pace.max(512)];
        if let Ok(count) = self.socket.read(&mut room) {
            self.received.extend(&room[..count]);
        }
    }

    /// Everything that was sent to it until the connection was closed, which it must be.
    fn all_received(mut self) -> Vec<u8> {
        match self.socket.read_to_end(&mut self.received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the connection is open"),
            // Bytes of ours that were left unread.
            Ok(_) | Err(_) => self.received,
        }
    }
}

/// Polls `future` so often, with a move and a turn of the ring after each, and drops it then.
async fn dropped_after<F: Future>(polls: usize, mut moves: impl FnMut(), future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        moves();
        ring::next_turn().await;
    }
    None
}

/// Reads exactly so many bytes.
async fn read_whole(stream: &mut RingStream, length: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    while whole.len() < length {
        whole.extend(read(stream, length - whole.len()).await.unwrap());
    }
    whole
}

/// A connection as a worker has it: a request, a reply, a rest, another one with a large reply, the close.
async fn conversation(mut stream: RingStream, request: usize) {
    for reply in REPLIES {
        assert_eq!(read_whole(&mut stream, request).await, pattern(request));
        write_all(&mut stream, &pattern(reply)).await.unwrap();
        let kicker = stream.kicker();
        poll_fn(|cx| kicker.kick(cx)).await.unwrap();
        drop(kicker);
        stream.rest().await.unwrap();
    }
    assert_eq!(read_whole(&mut stream, 1).await, b"!");
    stream.close().await;
}

#[test]
fn a_connection_may_be_dropped_at_every_point() {
    let replies = REPLIES.map(pattern).concat();
    let paces = [(20, 1), (100, 7), (3_000, 1_000), (9_000, 20_000)];
    let cases = USES.into_iter().flat_map(|used| paces.map(|paces| (used, paces)));
    run::<RingListener, _>(async {
        for ((soon, at_once), (request, pace)) in cases {
            let requests = [&*pattern(request), &*pattern(request), b"!"].concat();
            let mut polls = 0;
            loop {
                let (near, mut peer) = Peer::sending(requests.clone(), pace);
                let mut stream = RingStream::from_connected(near).unwrap();
                stream.expect_soon(soon);
                busy::take_first_send();
                peer.at_once = at_once;
                let ended = dropped_after(polls, || peer.step(), conversation(stream, request)).await;
                ring::quiet().await;
                assert_eq!(in_flight(), 0, "after {polls} polls");
                let received = peer.all_received();
                assert!(replies.starts_with(&received), "bytes were lost or doubled after {polls} polls");
                if ended.is_some() {
                    assert_eq!(received.len(), replies.len());
                    break;
                }
                polls += 1;
            }
            assert!(polls > 10, "only {polls} points at pace {pace}");
        }
    });
}

/// Tries until it is done, each time for so many polls.
async fn stubbornly<T>(polls: usize, peer: &mut Peer, mut attempt: impl AsyncFnMut() -> T) -> T {
    loop {
        if let Some(output) = dropped_after(polls, || peer.step(), attempt()).await {
            return output;
        }
        ring::next_turn().await;
    }
}

/// One write of what the stream takes.
async fn write_some(stream: &mut RingStream, bytes: &[u8]) -> usize {
    let kicker = stream.kicker();
    poll_fn(|cx| {
        let written = Pin::new(&mut *stream).poll_write(cx, bytes);
        let _sending = kicker.kick(cx);
        written
    })
    .await
    .unwrap()
}

/// Each read, write, kick and rest is given up again and again; what was sent comes back whole, once and in order.
#[test]
fn operations_that_are_given_up_lose_and_double_nothing() {
    const BYTES: usize = 40_000;
    let cases = USES.into_iter().flat_map(|used| [1, 2, 3, 4].map(|polls| (used, polls)));
    run::<RingListener, _>(async {
        for ((soon, at_once), polls) in cases {
            for (pace, piece) in [(37, 64), (2_048, 2_048), (9_000, 5_000), (50_000, 30_000)] {
                let (near, mut peer) = Peer::sending(pattern(BYTES), pace);
                peer.at_once = at_once;
                let mut stream = RingStream::from_connected(near).unwrap();
                let mut soon = soon;
                let mut echoed = 0;
                busy::take_first_send();
                while echoed < BYTES {
                    stream.expect_soon(soon);
                    soon = !soon;
                    // The peer keeps still: what it has not sent arms a receive, which is left to the rest.
                    let early = dropped_after(polls, || (), read(&mut stream, piece)).await;
                    let received = if let Some(received) = early {
                        received.unwrap()
                    } else {
                        stubbornly(polls, &mut peer, async || stream.rest().await.unwrap()).await;
                        stubbornly(polls, &mut peer, async || read(&mut stream, piece).await.unwrap()).await
                    };
                    assert!(!received.is_empty(), "bytes were lost: the peer has ended after {echoed}");
                    let mut rest = &received[..];
                    while !rest.is_empty() {
                        let count =
                            stubbornly(polls, &mut peer, async || write_some(&mut stream, rest).await).await;
                        rest = &rest[count..];
                    }
                    let kicker = stream.kicker();
                    stubbornly(polls, &mut peer, async || {
                        poll_fn(|cx| kicker.kick(cx)).await.unwrap();
                    })
                    .await;
                    echoed += received.len();
                }
                assert_eq!(echoed, BYTES);
                drop(stream);
                ring::quiet().await;
                assert!(peer.all_received() == pattern(BYTES), "{polls} polls, pace {pace}, piece {piece}");
            }
        }
    });
}

/// A descriptor is not given to anybody while an operation of its last owner may still touch it.
#[test]
fn a_descriptor_is_free_only_after_the_last_completion() {
    run::<RingListener, _>(async {
        for _ in 0..50 {
            let (near, old_peer) = Peer::sending(Vec::new(), 1);
            let number = near.as_raw_fd();
            let mut old = RingStream::from_connected(near).unwrap();
            assert!(dropped_after(2, || (), read(&mut old, 16)).await.is_none());
            drop(old);
            assert_eq!(in_flight(), 1, "the kernel still has the buffer");
            let mut newcomers = Vec::new();
            for _ in 0..4 {
                let (near, peer) = Peer::sending(b"fresh".to_vec(), 5);
                assert_ne!(near.as_raw_fd(), number, "an operation is still in flight on it");
                newcomers.push((RingStream::from_connected(near).unwrap(), peer));
            }
            for (stream, peer) in &mut newcomers {
                peer.step();
                assert_eq!(read_whole(stream, 5).await, b"fresh");
            }
            drop(newcomers);
            ring::quiet().await;
            assert!(old_peer.all_received().is_empty());
        }
    });
}

/// The accept stays armed while its future comes and goes, and hands over who came meanwhile.
#[test]
fn an_accept_that_is_given_up_at_every_point_loses_nobody() {
    let socket = listen(OPTIONS);
    let address = socket.local_addr().unwrap();
    run::<RingListener, _>(async {
        let mut listener = RingListener::from_std(socket).unwrap();
        for polls in 0..6 {
            for arrives_at in 0..6 {
                let (mut step, mut client) = (0, None);
                let moves = || {
                    if step == arrives_at {
                        client = Some(std::net::TcpStream::connect(address).unwrap());
                    }
                    step += 1;
                };
                let accepted = dropped_after(polls, moves, listener.accept()).await;
                let client = client.unwrap_or_else(|| std::net::TcpStream::connect(address).unwrap());
                let stream = match accepted {
                    Some(stream) => stream.unwrap(),
                    None => listener.accept().await.unwrap(),
                };
                assert_eq!(stream.peer_addr(), client.local_addr().unwrap());
            }
        }
        assert!(listener.drain().await.is_empty());
    });
}
