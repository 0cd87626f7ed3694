//! Accepting and draining.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

use tokio::task::JoinSet;

use super::*;
use crate::runtime::listen::ListenSocket;

on_both_engines! {
    an_accept_that_is_given_up_loses_no_connection
    draining_returns_who_is_queued_and_closes
    draining_ends_an_accept_that_waits
    draining_leaves_an_inherited_socket_and_its_queue
    a_socket_is_shared_by_all_who_accept_from_it
}

fn an_accept_that_is_given_up_loses_no_connection<L: OnEngine>() {
    let socket = listen(OPTIONS);
    let addr = socket.local_addr().unwrap();
    run::<L, _>(async {
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
    run::<L, _>(async {
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
    run::<L, _>(async {
        let mut listener = L::from_std(socket).unwrap();
        let early = timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(early.is_err(), "nobody has connected yet");
        assert!(listener.drain().await.is_empty());
    });
}

/// A copy of `socket`, as a process gets it that was started with it.
fn passed_on(socket: &TcpListener) -> ListenSocket {
    ListenSocket { socket: socket.try_clone().unwrap(), is_inherited: true }
}

fn draining_leaves_an_inherited_socket_and_its_queue<L: OnEngine>() {
    let socket = listen(OPTIONS);
    let addr = socket.local_addr().unwrap();
    let clients = run::<L, _>(async {
        let mut listener = L::from_std(passed_on(&socket)).unwrap();
        let early = timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(early.is_err(), "nobody has connected yet");
        let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let taken = listener.drain().await.len();
        assert!(taken <= 1, "the accept under way takes one connection, not {taken}");
        clients.into_iter().skip(taken).collect::<Vec<_>>()
    });
    socket.set_nonblocking(false).unwrap();
    for client in &clients {
        assert_eq!(socket.accept().unwrap().1, client.local_addr().unwrap());
    }
    let late = TcpStream::connect(addr).unwrap();
    assert_eq!(socket.accept().unwrap().1, late.local_addr().unwrap());
}

/// Whoever loses the race for a connection waits for the next one, and blocks nobody.
fn a_socket_is_shared_by_all_who_accept_from_it<L: OnEngine>() {
    let socket = listen(OPTIONS);
    let addr = socket.local_addr().unwrap();
    run::<L, _>(async {
        let sockets = deal(&[passed_on(&socket)], NonZeroUsize::new(3).unwrap()).unwrap();
        let mut listeners: Vec<_> = sockets.into_iter().map(|socket| L::from_std(socket).unwrap()).collect();
        let [first, second, third] = &mut listeners[..] else { panic!("one for each") };
        let mut accepted = 0;
        let clients: Vec<_> = (0..30).map(|_| TcpStream::connect(addr).unwrap()).collect();
        while accepted < clients.len() {
            tokio::select! {
                stream = first.accept() => drop(stream.unwrap()),
                stream = second.accept() => drop(stream.unwrap()),
                stream = third.accept() => drop(stream.unwrap()),
            }
            accepted += 1;
        }
        let mut left = 0;
        for listener in listeners {
            left += listener.drain().await.len();
        }
        assert_eq!(left, 0, "nobody else has connected");
    });
}
