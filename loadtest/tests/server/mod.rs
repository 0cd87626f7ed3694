//! A small TCP server that answers as a test scripts it; shares nothing with the client but the wire.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What a server does with a request.
pub(crate) enum Answer {
    /// Writes these pieces, each by itself.
    Pieces(Vec<Vec<u8>>),
    /// Never answers.
    Silence,
    /// Ends the connection with what was read, without a reply.
    End,
}

/// A whole reply of a status.
pub(crate) fn reply(status: u16) -> Answer {
    Answer::Pieces(vec![format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok").into_bytes()])
}

/// Serves on a port of its own until the test ends. `answer` gets the head and the body of each request.
pub(crate) fn serve(answer: impl Fn(&str, &[u8]) -> Answer + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || converse(&stream, answer.as_ref()));
        }
    });
    address
}

fn converse(stream: &TcpStream, answer: &(dyn Fn(&str, &[u8]) -> Answer + Send + Sync)) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).ok()?;
        match answer(&head, &body) {
            Answer::Silence => {}
            Answer::End => return None,
            Answer::Pieces(pieces) => {
                for piece in pieces {
                    (&mut &*stream).write_all(&piece).ok()?;
                }
            }
        }
    }
}
