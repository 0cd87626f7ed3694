//! What becomes of operations whose owner has gone.

use std::io::Read as _;
use std::net::TcpStream;

use tokio::task::JoinSet;

use super::*;

in_every_mode! {
    a_worker_that_returns_leaves_nothing_behind
}

/// Connects, and polls one read so that a receive is armed.
async fn with_read_pending<L: OnEngine>() -> (L::Stream, TcpStream) {
    let socket = listen(OPTIONS);
    let client = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    let mut listener = L::from_std(socket).unwrap();
    let mut stream = listener.accept().await.unwrap();
    listener.drain().await;
    let nothing = timeout(Duration::from_millis(20), read(&mut stream, 16)).await;
    assert!(nothing.is_err(), "the client has sent nothing");
    (stream, client)
}

fn a_worker_that_returns_leaves_nothing_behind<L: OnEngine>() {
    let mut client = run::<L, _>(async {
        let (mut stream, client) = with_read_pending::<L>().await;
        let mut connections = JoinSet::new();
        connections.spawn_local(async move { read(&mut stream, 16).await });
        client
    });
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 0, "the connection has ended");
}

#[test]
fn a_dropped_stream_takes_its_receive_with_it() {
    run::<RingListener, _>(async {
        let (stream, mut client) = with_read_pending::<RingListener>().await;
        assert_eq!(in_flight(), 1);
        drop(stream);
        assert_eq!(in_flight(), 1, "the kernel still has the buffer");
        ring::quiet().await;
        assert_eq!(in_flight(), 0);
        assert_eq!(client.read(&mut [0; 16]).unwrap(), 0);
    });
}

#[test]
fn a_dropped_stream_takes_its_send_with_it() {
    run::<RingListener, _>(async {
        let (mut stream, _client) = with_read_pending::<RingListener>().await;
        let too_much = vec![0; 64 * 1024 * 1024];
        let stalled = timeout(Duration::from_millis(200), write_all(&mut stream, &too_much)).await;
        assert!(stalled.is_err(), "the client reads nothing");
        assert_eq!(in_flight(), 2);
        drop(stream);
        ring::quiet().await;
    });
}

#[test]
fn a_dropped_listener_takes_its_accept_with_it() {
    run::<RingListener, _>(async {
        let mut listener = RingListener::from_std(listen(OPTIONS)).unwrap();
        let early = timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(early.is_err(), "nobody has connected");
        assert_eq!(in_flight(), 1);
        drop(listener);
        ring::quiet().await;
    });
}

/// On a thread of its own, because the count never returns to zero.
#[test]
fn a_ring_with_a_lost_operation_is_leaked() {
    thread::spawn(|| {
        let client = block_on(RingListener::engine(), async {
            let (stream, client) = with_read_pending::<RingListener>().await;
            std::mem::forget(stream);
            client
        });
        drop(client);
        assert_eq!(in_flight(), 1, "dropping the runtime would have freed the buffer");
    })
    .join()
    .unwrap();
}

#[test]
fn a_panic_leaks_the_ring_too() {
    thread::spawn(|| {
        let worker = std::panic::AssertUnwindSafe(|| {
            block_on(RingListener::engine(), async {
                let _armed = with_read_pending::<RingListener>().await;
                panic!("this panic belongs to the test");
            })
        });
        assert!(std::panic::catch_unwind(worker).is_err());
        assert_eq!(in_flight(), 1);
    })
    .join()
    .unwrap();
}
