//! Accepting and draining.

use std::io::Read as _;
use std::net::TcpStream;

use tokio::task::JoinSet;

use super::*;

on_both_engines! {
    an_accept_that_is_given_up_loses_no_connection
    draining_returns_who_is_queued_and_closes
    draining_ends_an_accept_that_waits
}

fn an_accept_that_is_given_up_loses_no_connection<L: OnEngine>() {
    let socket = listen(OPTIONS);
    let addr = socket.local_addr().unwrap();
    run(L::engine(), async {
        let mut listener = L::from_std(socket).unwrap();
        let early = timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(early.is_err(), "nobody has connected yet");
        let client = TcpStream::connect(addr).unwrap();
        let stream = listener.accept().await.unwrap();
        assert_eq!(stream.peer_addr(), client.local_addr().unwrap());
        listener.drain().await;
    });
}

fn draining_returns_who_is_queued_and_closes<L: OnEngine>() {
    let socket = listen(OPTIONS);
    let addr = socket.local_addr().unwrap();
    run(L::engine(), async {
        let mut listener = L::from_std(socket).unwrap();
        let early = timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(early.is_err(), "nobody has connected yet");
        let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let mut streams = listener.drain().await;
        assert_eq!(streams.len(), clients.len());
        for stream in &mut streams {
            write_all(stream, b"served").await.unwrap();
        }
        let reading = thread::spawn(move || {
            for mut client in clients {
                let mut reply = String::new();
                client.read_to_string(&mut reply).unwrap();
                assert_eq!(reply, "served");
            }
        });
        let mut closing = JoinSet::new();
        for stream in streams {
            closing.spawn_local(stream.close());
        }
        closing.join_all().await;
        reading.join().unwrap();
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    });
}

fn draining_ends_an_accept_that_waits<L: OnEngine>() {
    let socket = listen(OPTIONS);
    run(L::engine(), async {
        let mut listener = L::from_std(socket).unwrap();
        let early = timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(early.is_err(), "nobody has connected yet");
        assert!(listener.drain().await.is_empty());
    });
}
