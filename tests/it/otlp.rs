//! Spans at a collector: a request is one, the posting lane's part of it another, both of the caller's trace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::books::{Books, Order};
use crate::support::raw::Connection;
use crate::support::{Server, on_both_engines};

/// How long spans may take to come; they are sent every five seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const TRACE: [u8; 16] = *b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36";

on_both_engines!(spans_of_a_traced_request_reach_the_collector);

/// A collector that takes whatever comes; path and body of each request.
fn collector() -> (SocketAddr, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (took, taken) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.to_ascii_lowercase());
            }
            let length = lines.iter().find_map(|line| line.strip_prefix("content-length:"));
            let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.get_mut().write_all(reply).unwrap();
            if took.send((lines[0].clone(), body)).is_err() {
                return;
            }
        }
    });
    (address, taken)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn spans_of_a_traced_request_reach_the_collector(engine: &str) {
    let (address, taken) = collector();
    let endpoint = format!("http://{address}");
    // No span is logged, and all are sent.
    let settings = [("otlp.endpoint", &*endpoint), ("otlp.sample_percent", "0")];
    let server = Server::start_set(&["--io", engine], &settings);
    let books = Books::open(&server, 2);
    let order = Order { key: "traced".into(), debit: 0, credit: 1, amount: 1 };
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let fields = [("X-Request-Id", "sent-to-the-collector"), ("traceparent", parent)];
    let reply = Connection::open(server.address()).call(books.request_with(&order, &fields).bytes());
    assert_eq!(reply.status, 201, "{reply:?}");
    let deadline = Instant::now() + PATIENCE;
    let (mut target, mut spans) = (String::new(), Vec::new());
    // The two may come apart.
    while ![&b"request"[..], b"posting"].iter().all(|name| contains(&spans, name)) {
        let (line, body) = taken.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap();
        (target, spans) = (line, [spans, body].concat());
    }
    assert!(target.starts_with("post /v1/traces "), "{target}");
    for part in [&TRACE[..], b"sent-to-the-collector", b"ringledger", env!("CARGO_PKG_VERSION").as_bytes()] {
        assert!(contains(&spans, part), "{}", String::from_utf8_lossy(&spans));
    }
    // Other traces are not sampled: opening the books was five of them.
    let traces = spans.windows(TRACE.len()).filter(|window| **window == TRACE).count();
    assert!((2..=4).contains(&traces), "{traces} spans of the trace");
}
