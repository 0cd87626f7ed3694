//! A raw HTTP/1.1 client: sends the bytes that it is given and takes replies apart by RFC 9112 §6.3.
//!
//! It repairs nothing and shares no code with the server, so that a test sees what was really sent.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

/// How long one read or write may take before a test fails, so that a server that hangs does not hang the
/// tests. Above every wait that a test asks for.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a connect may take. A listener that is being drained does not answer at all.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// Bytes asked for in one read.
const READ_BYTES: usize = 16 * 1024;

/// A connection and the bytes that came beyond the last reply.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A reply in full.
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// The body, without its framing.
    pub(crate) body: Vec<u8>,
    is_http_10: bool,
    fields: Vec<(String, String)>,
}

impl Connection {
    /// A connection that sends each write at once.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap()
    }

    /// The same, for a server that may refuse.
    pub(crate) fn try_open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, CONNECT_PATIENCE)?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// The same with a receive buffer of the least size, so that what is not read stays with the server.
    pub(crate) fn open_narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(0).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into()).unwrap()
    }

    /// A second handle that sends on this connection while this one reads.
    pub(crate) fn sender(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), unread: Vec::new() }
    }

    /// Sends `bytes` in one write.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// The same, for a server that may close before it has read all.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends the sending side; replies can still be read.
    pub(crate) fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection by a reset, as a client that has crashed would.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads what has come and throws it away; its length, 0 at the end.
    pub(crate) fn skip(&mut self) -> io::Result<usize> {
        self.stream.read(&mut [0; READ_BYTES])
    }

    /// Some bytes as they come, framing included; `None` at the end.
    pub(crate) fn read_some(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; READ_BYTES];
        let count = self.stream.read(&mut bytes).unwrap();
        bytes.truncate(count);
        (count > 0).then_some(bytes)
    }

    /// Sends a request and reads its reply.
    pub(crate) fn call(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.send(request);
        self.reply()
    }

    /// The next bytes, of a connection that has become something else than HTTP.
    #[track_caller]
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.take(count).unwrap()
    }

    /// The next reply, which may be an interim one.
    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply().unwrap()
    }

    /// The next reply, or how the connection ended before it was complete.
    pub(crate) fn try_reply(&mut self) -> io::Result<Reply> {
        let mut reply = self.head()?;
        reply.body = self.body(&reply)?;
        Ok(reply)
    }

    /// The next reply to a HEAD request, which has no body whatever its fields say.
    pub(crate) fn reply_to_head(&mut self) -> Reply {
        self.head().unwrap()
    }

    /// Asserts that the server ends its side now, in order and without another byte.
    pub(crate) fn assert_closed(&mut self) {
        let rest = self.rest().expect("the connection was not closed in order");
        assert_eq!(String::from_utf8_lossy(&rest), "", "bytes before the close");
    }

    /// Asserts that no other byte comes and the connection is over, be it by a reset: whoever has left bytes
    /// of ours unread may reset.
    pub(crate) fn assert_over(&mut self) {
        match self.rest() {
            Ok(rest) => assert_eq!(String::from_utf8_lossy(&rest), "", "bytes before the end"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Whether the server has ended the connection already. Does not wait. Bytes that wait to be read are
    /// not an end.
    pub(crate) fn is_over(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        match peeked {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Every byte until the end.
    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.unread);
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    fn head(&mut self) -> io::Result<Reply> {
        let head = self.take_through(b"\r\n\r\n")?;
        Reply::parse(&String::from_utf8(head).map_err(|_| broken("a head that is not UTF-8"))?)
    }

    fn body(&mut self, reply: &Reply) -> io::Result<Vec<u8>> {
        if reply.status < 200 || matches!(reply.status, 204 | 304) {
            return Ok(Vec::new());
        }
        if reply.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.chunks();
        }
        match reply.field("content-length") {
            Some(length) => self.take(length.parse().map_err(|_| broken("a bad Content-Length"))?),
            None => self.rest(),
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| broken("a bad chunk size"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err(broken("a chunk longer than its size"));
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = self.take_through(b"\r\n")?;
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|_| broken("a line that is not UTF-8"))
    }

    fn take_through(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(start) = self.unread.windows(mark.len()).position(|window| window == mark) {
                return self.take(start + mark.len());
            }
            self.read_more()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.read_more()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; READ_BYTES];
        match self.stream.read(&mut bytes)? {
            0 => {
                let seen = String::from_utf8_lossy(&self.unread);
                let text = format!("closed before the reply was complete, after {seen:?}");
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            }
            count => {
                self.unread.extend(&bytes[..count]);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("fields", &self.fields)
            .field("body", &body)
            .finish_non_exhaustive()
    }
}

impl Reply {
    fn parse(head: &str) -> io::Result<Self> {
        let mut lines = head.trim_end().split("\r\n");
        let mut status_line = lines.next().unwrap_or_default().splitn(3, ' ');
        let is_http_10 = match status_line.next() {
            Some("HTTP/1.1") => false,
            Some("HTTP/1.0") => true,
            _ => return Err(broken(head)),
        };
        let status = status_line.next().and_then(|status| status.parse().ok()).ok_or_else(|| broken(head))?;
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':').ok_or_else(|| broken(head))?;
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Ok(Self { status, is_http_10, fields: fields.collect::<io::Result<_>>()?, body: Vec::new() })
    }

    /// The value of a field, its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The names of the fields in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Whether the connection ends behind this reply (RFC 9112 §9.3).
    pub(crate) fn closes(&self) -> bool {
        let connection = self.field("connection").unwrap_or_default().to_ascii_lowercase();
        let mut options = connection.split(',').map(str::trim);
        if self.is_http_10 { !options.any(|o| o == "keep-alive") } else { options.any(|o| o == "close") }
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `code` of a reply that must be a problem (RFC 9457).
    pub(crate) fn problem_code(&self) -> String {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        problem["code"].as_str().expect("a problem has a code").to_owned()
    }
}

/// A request under construction.
pub(crate) struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// A request with the one field that HTTP/1.1 asks for.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { head: format!("{method} {target} HTTP/1.1\r\nHost: ledger\r\n"), body: Vec::new() }
    }

    /// A GET request.
    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST request.
    pub(crate) fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// One more field.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        for part in [name, ": ", value, "\r\n"] {
            self.head.push_str(part);
        }
        self
    }

    /// The caller's token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.field("Authorization", &format!("Bearer {token}"))
    }

    /// A JSON body, its length declared.
    pub(crate) fn json(self, body: impl AsRef<[u8]>) -> Self {
        self.body("application/json", body)
    }

    /// A body of any media type, its length declared.
    pub(crate) fn body(self, media_type: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        let length = body.len().to_string();
        Self { body, ..self.field("Content-Type", media_type).field("Content-Length", &length) }
    }

    /// The head alone, its end included.
    pub(crate) fn head(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n"].concat()
    }

    /// The whole request.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
