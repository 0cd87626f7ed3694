//! As much of HTTP as this program needs: a request out, a reply with a `Content-Length` in.

use std::io;
use std::net::SocketAddr;

use memchr::memmem;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection and what came beyond the last reply.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A reply in full.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?)
    }

    pub(crate) fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub(crate) async fn call(&mut self, request: &str) -> io::Result<Reply> {
        self.stream.write_all(request.as_bytes()).await?;
        let head_bytes = loop {
            if let Some(end) = memmem::find(&self.unread, b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8_lossy(&self.unread[..head_bytes]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, length)| length.trim().parse().ok())
            .unwrap_or(0);
        while self.unread.len() < head_bytes + length {
            self.read_more().await?;
        }
        let body = self.unread[head_bytes..head_bytes + length].to_vec();
        self.unread.drain(..head_bytes + length);
        Ok(Reply { status, body })
    }

    /// The socket and what came behind the reply.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Reply {
    pub(crate) fn json(&self, status: u16) -> io::Result<Value> {
        if self.status != status {
            let text = String::from_utf8_lossy(&self.body);
            return Err(io::Error::other(format!("{} instead of {status}: {text}", self.status)));
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// A `POST` of JSON.
pub(crate) fn post(path: &str, token: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer {token}\r\n{fields}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The number of the first member `"seq"`.
pub(crate) fn seq(json: &[u8]) -> Option<u64> {
    let begin = memmem::find(json, b"\"seq\":")? + 6;
    let digits = json[begin..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.copied().fold(None, |number, digit| Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0')))
}

/// A runtime of one thread.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
