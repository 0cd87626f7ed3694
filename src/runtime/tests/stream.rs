//! Reading, writing and closing one connection.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Instant;

use hyper::rt::Write as _;
use socket2::SockRef;

use super::*;

/// More than the kernel's buffers of both ends can hold, so a writer must wait for its reader.
const TOO_MUCH: usize = 64 * 1024 * 1024;

on_both_engines! {
    single_bytes_are_echoed
    small_reads_lose_nothing
    a_mebibyte_reaches_a_slow_reader_whole
    a_reset_surfaces_in_the_writer
    a_peer_that_never_reads_times_the_writer_out
    closing_lets_a_late_reader_have_the_reply
    closing_sends_what_was_never_kicked
    closing_gives_up_on_a_peer_that_never_stops
    closing_is_immediate_after_the_peers_end
    peers_are_named
}

fn single_bytes_are_echoed<L: OnEngine>() {
    let sent = pattern(300);
    let expected = sent.clone();
    let ((), echoed) = serve_one::<L, _, _>(
        async |mut stream| {
            loop {
                let bytes = read(&mut stream, 64).await.unwrap();
                if bytes.is_empty() {
                    return stream.close().await;
                }
                write_all(&mut stream, &bytes).await.unwrap();
            }
        },
        move |mut client| {
            client.set_nodelay(true).unwrap();
            let mut echoed = vec![0; sent.len()];
            for (byte, echo) in sent.iter().zip(echoed.chunks_mut(1)) {
                client.write_all(&[*byte]).unwrap();
                client.read_exact(echo).unwrap();
            }
            echoed
        },
    );
    assert_eq!(echoed, expected);
}

fn small_reads_lose_nothing<L: OnEngine>() {
    let sent = pattern(50_000);
    let expected = sent.clone();
    let (received, ()) = serve_one::<L, _, _>(
        async |mut stream| {
            let mut received = Vec::new();
            loop {
                let bytes = read(&mut stream, 7).await.unwrap();
                if bytes.is_empty() {
                    return received;
                }
                received.extend(bytes);
            }
        },
        move |mut client| client.write_all(&sent).unwrap(),
    );
    assert_eq!(received, expected);
}

fn a_mebibyte_reaches_a_slow_reader_whole<L: OnEngine>() {
    let expected = pattern(1024 * 1024);
    let ((), received) = serve_one::<L, _, _>(
        async |mut stream| {
            write_all(&mut stream, &pattern(1024 * 1024)).await.unwrap();
            stream.close().await;
        },
        |mut client| {
            SockRef::from(&client).set_recv_buffer_size(32 * 1024).unwrap();
            let mut received: Vec<u8> = Vec::new();
            let mut chunk = [0; 1500];
            loop {
                match client.read(&mut chunk).unwrap() {
                    0 => return received,
                    count => received.extend(&chunk[..count]),
                }
            }
        },
    );
    assert!(received == expected, "{} bytes arrived", received.len());
}

fn a_reset_surfaces_in_the_writer<L: OnEngine>() {
    let (error, ()) = serve_one::<L, _, _>(
        async |mut stream| write_all(&mut stream, &vec![0; TOO_MUCH]).await.unwrap_err(),
        |mut client| {
            client.read_exact(&mut [0; 1024]).unwrap();
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        },
    );
    let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(kinds.contains(&error.kind()), "{error:?}");
}

fn a_peer_that_never_reads_times_the_writer_out<L: OnEngine>() {
    let write_stall = Duration::from_millis(300);
    let (written, client_left) = mpsc::channel::<()>();
    let ((error, waited), ()) = converse(
        ListenOptions { write_stall, ..OPTIONS },
        async |mut listener: L| {
            let mut stream = listener.accept().await.unwrap();
            listener.drain().await;
            let start = Instant::now();
            let error = write_all(&mut stream, &vec![0; TOO_MUCH]).await.unwrap_err();
            drop(written);
            (error, start.elapsed())
        },
        move |addr| {
            let _silent = std::net::TcpStream::connect(addr).unwrap();
            client_left.recv().unwrap_err();
        },
    );
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(waited >= write_stall && waited < Duration::from_secs(5), "{waited:?}");
}

fn closing_lets_a_late_reader_have_the_reply<L: OnEngine>() {
    let ((), reply) = serve_one::<L, _, _>(
        async |mut stream| {
            read(&mut stream, 16).await.unwrap();
            write_all(&mut stream, b"refused").await.unwrap();
            stream.close().await;
        },
        |mut client| {
            for _ in 0..200 {
                client.write_all(&[b'x'; 1024]).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
            let mut reply = String::new();
            client.read_to_string(&mut reply).unwrap();
            reply
        },
    );
    assert_eq!(reply, "refused");
}

fn closing_sends_what_was_never_kicked<L: OnEngine>() {
    let ((), received) = serve_one::<L, _, _>(
        async |mut stream| {
            let written = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"last words")).await;
            assert_eq!(written.unwrap(), 10);
            stream.close().await;
        },
        |mut client| {
            let mut received = String::new();
            client.read_to_string(&mut received).unwrap();
            received
        },
    );
    assert_eq!(received, "last words");
}

fn closing_gives_up_on_a_peer_that_never_stops<L: OnEngine>() {
    let (took, written) = serve_one::<L, _, _>(
        async |stream| {
            let start = Instant::now();
            stream.close().await;
            start.elapsed()
        },
        |mut client| {
            let chunk = vec![b'x'; 64 * 1024];
            (0..TOO_MUCH / chunk.len()).try_for_each(|_| client.write_all(&chunk))
        },
    );
    assert!(took < net::LINGER, "the bound in bytes comes first: {took:?}");
    assert!(written.is_err());
}

fn closing_is_immediate_after_the_peers_end<L: OnEngine>() {
    let (took, rest) = serve_one::<L, _, _>(
        async |mut stream| {
            assert!(read(&mut stream, 16).await.unwrap().is_empty());
            let start = Instant::now();
            stream.close().await;
            start.elapsed()
        },
        |mut client| {
            client.shutdown(Shutdown::Write).unwrap();
            client.read(&mut [0; 16]).unwrap()
        },
    );
    assert!(took < net::LINGER / 2, "{took:?}");
    assert_eq!(rest, 0);
}

fn peers_are_named<L: OnEngine>() {
    let (peer, local) =
        serve_one::<L, _, _>(async |stream| stream.peer_addr(), |client| client.local_addr().unwrap());
    assert_eq!(peer, local);
}

/// In one poll, so that the ring has no chance to send anything.
#[test]
fn a_ring_stream_takes_no_more_than_its_bound() {
    let ((), ()) = serve_one::<RingListener, _, _>(
        async |mut stream| {
            let kicker = stream.kicker();
            let accepted = poll_fn(|cx| {
                let mut accepted = 0;
                while let Poll::Ready(count) =
                    Pin::new(&mut stream).poll_write(cx, &[0; 1000]).map(Result::unwrap)
                {
                    accepted += count;
                    let _sending = kicker.kick(cx);
                }
                Poll::Ready(accepted)
            })
            .await;
            assert_eq!(accepted, WRITE_BOUND);
            poll_fn(|cx| kicker.kick(cx)).await.unwrap();
            let again = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &[0; 1000])).await;
            assert_eq!(again.unwrap(), 1000);
        },
        |mut client| drop(client.read_to_end(&mut Vec::new())),
    );
}
