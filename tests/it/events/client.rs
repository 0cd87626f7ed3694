//! A reader of events.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message, WebSocket};

/// How long one read may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(15);

/// A WebSocket of events.
pub(crate) struct Follower(WebSocket<TcpStream>);

impl Follower {
    /// Follows with a token; `query` begins with `?` where it is not empty.
    #[track_caller]
    pub(crate) fn new(server: SocketAddr, token: &str, query: &str) -> Self {
        Self::open(server, &format!("/api/v1/events{query}"), Some(token)).unwrap()
    }

    /// Opens any WebSocket; the status of the refusal where it is refused.
    pub(super) fn open(server: SocketAddr, target: &str, token: Option<&str>) -> Result<Self, u16> {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{server}{target}").into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// The next message, or how the server closed.
    pub(crate) fn read(&mut self) -> Result<Value, CloseFrame> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(close)) => return Err(close.expect("a close has a code")),
                Ok(Message::Ping(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next event.
    #[track_caller]
    pub(super) fn event(&mut self) -> Value {
        loop {
            let told = self.read().unwrap();
            if told["type"] != "position" {
                return told;
            }
        }
    }

    /// The `seq` of as many events, in the order in which they came.
    #[track_caller]
    pub(super) fn numbers(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.event()["seq"].as_u64().unwrap()).collect()
    }

    /// The next place that is told.
    #[track_caller]
    pub(super) fn position(&mut self) -> Value {
        loop {
            let told = self.read().unwrap();
            if told["type"] == "position" {
                return told;
            }
        }
    }

    /// Reads on until the server closes: the events that came, and the code.
    #[track_caller]
    pub(super) fn until_closed(&mut self) -> (Vec<u64>, u16) {
        let mut numbers = Vec::new();
        loop {
            match self.read() {
                Ok(told) if told["type"] == "position" => {}
                Ok(told) => numbers.push(told["seq"].as_u64().unwrap()),
                Err(close) => return (numbers, close.code.into()),
            }
        }
    }

    /// Whether nothing is told for so long.
    pub(super) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.0.get_ref().set_read_timeout(Some(time)).unwrap();
        let read = self.0.read();
        self.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(read, Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Says something.
    pub(super) fn say(&mut self, text: &str) {
        self.0.send(Message::Text(text.into())).unwrap();
    }

    /// Ends in order, and waits for the server to agree and to close the connection.
    #[track_caller]
    pub(super) fn leave(mut self) {
        self.0.close(None).unwrap();
        loop {
            match self.0.read() {
                Ok(_) => {}
                Err(Error::ConnectionClosed) => return,
                Err(other) => panic!("{other}"),
            }
        }
    }
}
