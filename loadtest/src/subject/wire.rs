//! One request and its reply over a blocking socket: for setting up and for asking whether a server is there. Knows
//! replies with a `Content-Length` only; the load itself goes through `client`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for a connection, a write or a read: what a server that hangs costs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest reply that is taken; that to a batch of 1,000 transfers has 400 KiB.
const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// Bytes that are received at once.
const PIECE_BYTES: usize = 16 * 1024;

/// A connection that carries one request after the other.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A request in wire form; a token goes into `Authorization`, a body is JSON.
pub fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let typed = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}{typed}\r\n{body}").into_bytes()
}

impl Wire {
    /// Opens a connection.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends a request and reads its reply.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request)?;
        self.received.clear();
        loop {
            let mut piece = [0; PIECE_BYTES];
            let count = self.stream.read(&mut piece)?;
            if count == 0 || self.received.len() > MAX_REPLY_BYTES {
                return Err(malformed(&self.received));
            }
            self.received.extend_from_slice(&piece[..count]);
            if let Some(reply) = parse(&self.received)? {
                return Ok(reply);
            }
        }
    }
}

/// The reply, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Reply>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let (Some(status), Some(length)) = (status, length) else { return Err(malformed(bytes)) };
    let body = &bytes[end + 4..];
    Ok((body.len() >= length).then(|| Reply { status, body: body[..length].to_vec() }))
}

fn malformed(bytes: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
    io::Error::new(io::ErrorKind::InvalidData, format!("no whole reply: {shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\nX: y\r\n\r\nabcd";

    #[test]
    fn a_reply_is_one_only_when_it_is_whole() {
        let reply = Reply { status: 201, body: b"abcd".to_vec() };
        for end in 0..REPLY.len() {
            assert_eq!(parse(&REPLY[..end]).expect("no error"), None, "at {end}");
        }
        assert_eq!(parse(REPLY).expect("no error"), Some(reply));
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0-OpenSSH\r\ncontent-length: 0\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_has_a_length_only_with_a_body() {
        assert_eq!(request("GET", "/ready", None, ""), b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let post = String::from_utf8(request("POST", "/a", Some("t"), "{}")).expect("text");
        assert!(post.contains("\r\nAuthorization: Bearer t\r\n"), "{post}");
        assert!(post.ends_with("\r\nContent-Length: 2\r\n\r\n{}"), "{post}");
    }
}
