//! Reading, writing and closing one connection.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::mpsc;
use std::task::Context;
use std::time::Instant;

use hyper::rt::Write as _;
use socket2::SockRef;

use super::*;

/// More than the kernel's buffers of both ends can hold, so a writer must wait for its reader.
const TOO_MUCH: usize = 64 * 1024 * 1024;

in_every_mode! {
    single_bytes_are_echoed
    small_reads_lose_nothing
    a_mebibyte_reaches_a_slow_reader_whole
    large_writes_keep_their_place_among_small_ones
    a_stream_whose_large_write_waits_can_be_dropped
    a_reset_surfaces_in_the_writer
    small_writes_to_a_reset_peer_fail
    a_peer_that_never_reads_times_the_writer_out
    closing_lets_a_late_reader_have_the_reply
    closing_sends_what_was_never_kicked
    closing_gives_up_on_a_peer_that_never_stops
    closing_is_immediate_after_the_peers_end
    peers_are_named
    resting_ends_with_the_next_byte
    resting_ends_with_the_stream
    bytes_that_came_before_the_rest_are_kept
    a_rest_may_be_given_up_at_any_moment
    a_resting_stream_can_be_closed_and_dropped
    the_end_of_a_peer_is_seen_behind_the_last_byte
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

fn large_writes_keep_their_place_among_small_ones<L: OnEngine>() {
    let expected = pattern(2 * 1024 * 1024);
    let ((), received) = serve_one::<L, _, _>(
        async |mut stream| {
            let all = pattern(2 * 1024 * 1024);
            let mut rest = &all[..];
            for length in [100, 40_000, 1, 16 * 1024, 70_000, 16 * 1024 - 1, 300_000].into_iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(length));
                write_all(&mut stream, piece).await.unwrap();
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            stream.close().await;
        },
        |mut client| {
            SockRef::from(&client).set_recv_buffer_size(32 * 1024).unwrap();
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            received
        },
    );
    assert!(received == expected, "{} bytes arrived", received.len());
}

fn a_stream_whose_large_write_waits_can_be_dropped<L: OnEngine>() {
    let (dropped, may_read) = mpsc::channel();
    let ((), received) = serve_one::<L, _, _>(
        async |mut stream| {
            let bytes = vec![7; TOO_MUCH];
            let writing = write_all(&mut stream, &bytes);
            assert!(timeout(Duration::from_millis(100), writing).await.is_err());
            drop(stream);
            dropped.send(()).unwrap();
        },
        move |mut client| {
            may_read.recv().unwrap();
            let mut received = Vec::new();
            // What the kernel had taken, then the end or a reset.
            let _ = client.read_to_end(&mut received);
            received.len()
        },
    );
    assert!(received < TOO_MUCH);
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

/// A lone reply is not held up, and those of a full turn leave together.
#[test]
fn the_first_send_of_a_turn_goes_past_the_ring() {
    let ((), received) = serve_one::<TurningListener, _, _>(
        async |mut stream| {
            read(&mut stream, 16).await.unwrap();
            let kicker = stream.kicker();
            let mut send = |cx: &mut Context<'_>| {
                let written = Pin::new(&mut stream).poll_write(cx, b"reply");
                assert!(matches!(written, Poll::Ready(Ok(5))), "{written:?}");
                kicker.kick(cx).map(Result::unwrap)
            };
            for _ in 0..3 {
                poll_fn(|cx| {
                    assert!(send(cx).is_ready());
                    assert!(send(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                poll_fn(|cx| kicker.kick(cx)).await.unwrap();
                // The one that the other task waits for may have begun before.
                ring::next_turn().await;
                ring::next_turn().await;
            }
            stream.close().await;
        },
        |mut client| {
            client.write_all(b"request").unwrap();
            let mut received = String::new();
            client.read_to_string(&mut received).unwrap();
            received
        },
    );
    assert_eq!(received, "reply".repeat(6));
}

/// In pieces that are copied, as replies are.
fn small_writes_to_a_reset_peer_fail<L: OnEngine>() {
    let (errors, ()) = serve_one::<L, _, _>(
        async |mut stream| {
            loop {
                if let Err(error) = write_all(&mut stream, &[0; 1024]).await {
                    return [error, write_all(&mut stream, &[0]).await.unwrap_err()];
                }
            }
        },
        |mut client| {
            client.read_exact(&mut [0; 1024]).unwrap();
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        },
    );
    let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(errors.iter().all(|error| kinds.contains(&error.kind())), "{errors:?}");
}

fn resting_ends_with_the_next_byte<L: OnEngine>() {
    let (received, ()) = serve_one::<L, _, _>(
        async |mut stream| {
            let mut received = Vec::new();
            while received.len() < 20 {
                stream.rest().await.unwrap();
                received.extend(read(&mut stream, 64).await.unwrap());
                write_all(&mut stream, b"!").await.unwrap();
            }
            stream.close().await;
            received
        },
        |mut client| {
            for byte in pattern(20) {
                client.write_all(&[byte]).unwrap();
                client.read_exact(&mut [0]).unwrap();
            }
        },
    );
    assert_eq!(received, pattern(20));
}

fn resting_ends_with_the_stream<L: OnEngine>() {
    let (last, ()) = serve_one::<L, _, _>(
        async |mut stream| {
            stream.rest().await.unwrap();
            read(&mut stream, 64).await.unwrap()
        },
        drop,
    );
    assert_eq!(last, b"");
}

fn bytes_that_came_before_the_rest_are_kept<L: OnEngine>() {
    let (received, ()) = serve_one::<L, _, _>(
        async |mut stream| {
            let mut received = read(&mut stream, 3).await.unwrap();
            while received.len() < 10 {
                stream.rest().await.unwrap();
                received.extend(read(&mut stream, 3).await.unwrap());
            }
            received
        },
        |mut client| client.write_all(&pattern(10)).unwrap(),
    );
    assert_eq!(received, pattern(10));
}

/// Rests that are cut off by a timer race with bytes that arrive at random around them.
fn a_rest_may_be_given_up_at_any_moment<L: OnEngine>() {
    const BYTES: usize = 2_000;
    let (received, ()) = serve_one::<L, _, _>(
        async |mut stream| {
            let mut received = Vec::new();
            let mut rounds = 0;
            while received.len() < BYTES {
                rounds += 7;
                let pause = Duration::from_micros(rounds % 300);
                let _ = timeout(pause, stream.rest()).await;
                if received.len() % 3 == 0 {
                    let read_on = timeout(pause, read(&mut stream, 2)).await;
                    received.extend(read_on.map_or_else(|_| Vec::new(), Result::unwrap));
                } else {
                    received.extend(read(&mut stream, 2).await.unwrap());
                }
            }
            received
        },
        |mut client| {
            client.set_nodelay(true).unwrap();
            for (index, byte) in pattern(BYTES).into_iter().enumerate() {
                client.write_all(&[byte]).unwrap();
                if index % 5 == 0 {
                    thread::sleep(Duration::from_micros(u64::try_from(index % 400).unwrap()));
                }
            }
        },
    );
    assert_eq!(received, pattern(BYTES));
}

fn a_resting_stream_can_be_closed_and_dropped<L: OnEngine>() {
    for close in [true, false] {
        let ((), end) = serve_one::<L, _, _>(
            async |mut stream| {
                write_all(&mut stream, b"last words").await.unwrap();
                let kicker = stream.kicker();
                poll_fn(|cx| kicker.kick(cx)).await.unwrap();
                assert!(timeout(Duration::from_millis(5), stream.rest()).await.is_err());
                if close {
                    stream.close().await;
                }
            },
            |mut client| {
                let mut words = [0; 10];
                client.read_exact(&mut words).unwrap();
                assert_eq!(&words, b"last words");
                client.read(&mut words).map_or(0, |count| count)
            },
        );
        assert_eq!(end, 0);
    }
}

fn the_end_of_a_peer_is_seen_behind_the_last_byte<L: OnEngine>() {
    let (ends, ()) = serve_one::<L, _, _>(
        async |mut stream| {
            let kicker = stream.kicker();
            let before = kicker.peer_ended();
            stream.rest().await.unwrap();
            assert_eq!(read(&mut stream, 64).await.unwrap(), b"x");
            write_all(&mut stream, b"go").await.unwrap();
            poll_fn(|cx| kicker.kick(cx)).await.unwrap();
            while !kicker.peer_ended() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (before, kicker.peer_ended())
        },
        |mut client| {
            client.write_all(b"x").unwrap();
            client.read_exact(&mut [0; 2]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        },
    );
    assert_eq!(ends, (false, true));
}
