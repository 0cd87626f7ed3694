//! Every floor server over real sockets: requests whole, split and pipelined, a client that does not read, and
//! a client that goes away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The subjects: arguments of the program.
const SERVERS: [&[&str]; 5] = [
    &["--server", "raw-epoll"],
    &["--server", "raw-epoll", "--spin"],
    &["--server", "raw-ring"],
    &["--server", "raw-ring", "--spin"],
    &["--server", "hyper-epoll"],
];

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";

/// What ringledger replies to it, with `?` for each character that differs from reply to reply.
const REPLY: &str = "HTTP/1.1 200 OK\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    x-request-id: ????????-????-????-????-????????????\r\n\
    content-length: 13\r\n\
    date: ???, ?? ??? ???? ??:??:?? GMT\r\n\
    \r\n\
    Hello, World!";

/// Longest wait for a reply that must come. Reached only by a defect.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    process: Child,
    addr: SocketAddr,
    name: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_floor"))
            .args(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().rsplit_once("http://").expect(&line).1.parse().unwrap();
        Self { process, addr, name: arguments.join(" ") }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Reads as many replies as asked for and nothing else.
    fn expect_replies(&self, mut stream: &TcpStream, count: usize) {
        let mut replies = vec![0; REPLY.len() * count];
        stream.read_exact(&mut replies).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        for reply in replies.chunks(REPLY.len()) {
            let alike =
                |(&got, wanted): (&u8, u8)| got == wanted || (wanted == b'?' && got.is_ascii_graphic());
            let text = String::from_utf8_lossy(reply);
            assert!(reply.iter().zip(REPLY.bytes()).all(alike), "{}: {text}", self.name);
        }
    }

    /// No reply came but those already read.
    fn expect_end(&self, mut stream: &TcpStream) {
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{}: {}", self.name, String::from_utf8_lossy(&rest));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn for_each_server(test: impl Fn(&Server)) {
    for arguments in SERVERS {
        test(&Server::start(arguments));
    }
}

#[test]
fn requests_one_after_another_on_many_connections() {
    for_each_server(|server| {
        let streams: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for _ in 0..3 {
            for mut stream in &streams {
                stream.write_all(REQUEST).unwrap();
            }
            for stream in &streams {
                server.expect_replies(stream, 1);
            }
        }
        for stream in &streams {
            server.expect_end(stream);
        }
    });
}

#[test]
fn a_request_split_anywhere_is_one_request() {
    for_each_server(|server| {
        let mut stream = server.connect();
        for at in 1..REQUEST.len() {
            let (first, second) = REQUEST.split_at(at);
            stream.write_all(first).unwrap();
            // Once this is answered, the server has read the first part alone.
            round_trip(server);
            stream.write_all(second).unwrap();
            server.expect_replies(&stream, 1);
        }
        server.expect_end(&stream);
    });
}

fn round_trip(server: &Server) {
    let mut other = server.connect();
    other.write_all(REQUEST).unwrap();
    server.expect_replies(&other, 1);
}

#[test]
fn pipelined_requests_are_all_answered_wherever_they_are_split() {
    const REQUESTS: usize = 1_000;
    // Prime, and more requests than fit into a receive buffer: heads end at every place in a piece.
    const PIECE_BYTES: usize = 9_973;
    for_each_server(|server| {
        let mut stream = server.connect();
        for piece in REQUEST.repeat(REQUESTS).chunks(PIECE_BYTES) {
            stream.write_all(piece).unwrap();
        }
        server.expect_replies(&stream, REQUESTS);
        server.expect_end(&stream);
    });
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_loses_nothing() {
    /// The kernel's buffers of a connection grow to 10 MiB (`tcp_rmem`, `tcp_wmem`).
    const MORE_THAN_BUFFERS: usize = 64 << 20;
    for_each_server(|server| {
        let mut stream = server.connect();
        let requests = REQUEST.repeat(1_000);
        let mut sent = 0;
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let refused = loop {
            assert!(sent < MORE_THAN_BUFFERS, "{} reads on", server.name);
            match stream.write(&requests[sent % requests.len()..]) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::WouldBlock, "{}", server.name);
        round_trip(server);
        server.expect_replies(&stream, sent / REQUEST.len());
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&REQUEST[sent % REQUEST.len()..]).unwrap();
        server.expect_replies(&stream, 1);
        server.expect_end(&stream);
    });
}

#[test]
fn a_client_that_goes_away_before_its_replies_disturbs_nobody() {
    for_each_server(|server| {
        for _ in 0..20 {
            let mut stream = server.connect();
            stream.write_all(&REQUEST.repeat(200)).unwrap();
            drop(stream);
        }
        round_trip(server);
    });
}

#[test]
fn hyper_cannot_be_told_to_spin() {
    let refused = Command::new(env!("CARGO_BIN_EXE_floor"))
        .args(["--server", "hyper-epoll", "--spin", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(refused.code(), Some(2));
}
