//! Connections of our own making on the ring.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use super::*;

/// More than the stream holds back.
const LENGTH: usize = 4 * WRITE_BOUND;

/// Sends the pattern to an echo at the other end and gives back what returns.
fn echoed(
    connected: impl Into<socket2::Socket>,
    mut far: impl io::Read + io::Write + Send + 'static,
) -> Vec<u8> {
    let echo = thread::spawn(move || {
        let mut bytes = vec![0; LENGTH];
        far.read_exact(&mut bytes).unwrap();
        far.write_all(&bytes).unwrap();
    });
    let connected = connected.into();
    // As tokio leaves its sockets.
    connected.set_nonblocking(true).unwrap();
    let received = run::<RingListener, _>(async {
        let mut stream = RingStream::from_connected(connected).unwrap();
        write_all(&mut stream, &pattern(LENGTH)).await.unwrap();
        let kicker = stream.kicker();
        poll_fn(|cx| kicker.kick(cx)).await.unwrap();
        let mut received = Vec::new();
        while received.len() < LENGTH {
            received.extend(read(&mut stream, LENGTH).await.unwrap());
        }
        drop(kicker);
        stream.close().await;
        received
    });
    echo.join().unwrap();
    received
}

#[test]
fn a_tcp_socket_is_taken_over() {
    let listener = listen(OPTIONS);
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    assert_eq!(echoed(near, far), pattern(LENGTH));
}

#[test]
fn a_unix_socket_is_taken_over() {
    let (near, far) = UnixStream::pair().unwrap();
    assert_eq!(echoed(near, far), pattern(LENGTH));
}

#[test]
fn a_socket_without_a_peer_is_refused() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let refused = run::<RingListener, _>(async { RingStream::from_connected(socket).map(drop) });
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotConnected);
}
