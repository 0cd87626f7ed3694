//! As much of HTTP as the clients need, on blocking sockets: a request out, a reply with a `Content-Length` in. A reply
//! counts only when it is whole.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long a connect, and each read and write, may take: above the server's own bound of a request.
const PATIENCE: Duration = Duration::from_secs(40);
/// Bytes asked for in one read.
const READ_BYTES: usize = 16 << 10;

/// A connection and what came beyond the last reply.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A reply in full.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Whether it says `Idempotency-Replayed: true`.
    pub(crate) is_replay: bool,
    /// Whether it says when to come again.
    pub(crate) has_retry_after: bool,
    body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub(crate) fn call(&mut self, request: &str) -> io::Result<Reply> {
        self.stream.write_all(request.as_bytes())?;
        let head_bytes = loop {
            match self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read_more()?,
            }
        };
        let head = String::from_utf8_lossy(&self.unread[..head_bytes]).to_ascii_lowercase();
        let mut reply = Reply::parse(&head)?;
        let length = field(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
        let end = head_bytes + length.ok_or_else(|| broken("a reply without Content-Length", &head))?;
        while self.unread.len() < end {
            self.read_more()?;
        }
        reply.body = self.unread[head_bytes..end].to_vec();
        self.unread.drain(..end);
        Ok(reply)
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; READ_BYTES];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.unread.extend(&bytes[..count]);
                Ok(())
            }
        }
    }
}

impl Reply {
    fn parse(head: &str) -> io::Result<Self> {
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Self {
            status: status.ok_or_else(|| broken("a reply without status", head))?,
            is_replay: field(head, "idempotency-replayed") == Some("true"),
            has_retry_after: field(head, "retry-after").is_some(),
            body: Vec::new(),
        })
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> io::Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// The body of a reply that must have this status.
    pub(crate) fn expect(&self, status: u16) -> io::Result<Value> {
        if self.status == status { self.json() } else { Err(self.unexpected()) }
    }

    /// That this reply should not be.
    pub(crate) fn unexpected(&self) -> io::Error {
        broken(&format!("status {}", self.status), &String::from_utf8_lossy(&self.body))
    }
}

/// The value of a field, of a head in lower case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(field, _)| *field == name).map(|(_, value)| value.trim())
}

fn broken(what: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {text}"))
}

/// A `GET` with a token.
pub(crate) fn get(target: &str, token: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// A `POST` of JSON with a token, under a key if there is one.
pub(crate) fn post(target: &str, token: &str, key: Option<&str>, body: &Value) -> String {
    let body = body.to_string();
    let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    format!(
        "POST {target} HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer {token}\r\n{key}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
