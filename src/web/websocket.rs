//! WebSockets (RFC 6455) as values: the handshake of a request, the frames of a connection, and what an application
//! says over one.
//!
//! Owns the protocol between two byte buffers. Knows neither sockets nor what is said. No extension and no subprotocol
//! is offered.

use std::io::{self, Read, Write};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message as Protocol};

#[cfg(test)]
mod tests;

/// The version that is spoken (RFC 6455 §4.1).
pub const VERSION: HeaderValue = HeaderValue::from_static("13");
/// Characters of a key: 16 bytes in base64.
const KEY_CHARACTERS: usize = 24;
/// Bytes that are read at once, and that an idle connection keeps for it.
const READ_BYTES: usize = 4 * 1024;
/// Bytes of a frame's header, at most, without a mask (RFC 6455 §5.2).
const HEADER_BYTES: usize = 10;

/// Why a request is no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not ask for a WebSocket, or for one of another version: 426.
    #[error("no upgrade to a WebSocket of version 13 is asked for")]
    NotAsked,
    /// It asks in a way that breaks the protocol: 400.
    #[error("{0}")]
    Malformed(&'static str),
}

/// The value of `Sec-WebSocket-Accept` for a handshake in order (RFC 6455 §4.2.1).
pub fn accept(method: &Method, fields: &HeaderMap) -> Result<HeaderValue, Refusal> {
    if *method != Method::GET
        || !lists(fields, &UPGRADE, "websocket")
        || !lists(fields, &CONNECTION, "upgrade")
    {
        return Err(Refusal::NotAsked);
    }
    match only(fields, &SEC_WEBSOCKET_VERSION) {
        Ok(Some(version)) if version == VERSION => {}
        Ok(_) => return Err(Refusal::NotAsked),
        Err(Twice) => return Err(Refusal::Malformed("Sec-WebSocket-Version stands twice")),
    }
    let key = only(fields, &SEC_WEBSOCKET_KEY).ok().flatten();
    let key = key.filter(|key| is_key(key.as_bytes()));
    let key = key.ok_or(Refusal::Malformed("exactly one Sec-WebSocket-Key of 16 bytes in base64"))?;
    let accepted = derive_accept_key(key.as_bytes());
    Ok(HeaderValue::try_from(accepted).expect("base64 is visible ASCII"))
}

/// A field that may stand once stands twice.
struct Twice;

fn only<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Twice> {
    let mut values = fields.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Twice) } else { Ok(first) }
}

/// Whether a field that is a list of tokens has this one, in any case.
fn lists(fields: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(token))
}

/// Whether these are 16 bytes in base64: 22 characters, the last of which holds two bits, and the padding.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    match key.strip_suffix(b"==") {
        Some(digits @ [.., last]) => {
            key.len() == KEY_CHARACTERS && digits.iter().all(is_base64) && b"AQgw".contains(last)
        }
        Some([]) | None => false,
    }
}

/// A request that becomes a WebSocket.
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: HeaderValue,
    /// What is said then.
    pub talk: Rc<dyn Talk>,
}

/// What an application says over a WebSocket.
pub trait Talk {
    /// Bytes of a message that it takes, at most. A longer one ends the connection with 1009.
    fn max_message_bytes(&self) -> usize;

    /// What is to be said next. Asked for again when that was sent, and dropped when the connection ends.
    fn next(self: Rc<Self>) -> Pin<Box<dyn Future<Output = Said>>>;

    /// What is answered at once to a message of the peer, if anything.
    fn hear(&self, message: Message) -> Option<Message>;
}

/// What is said next.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Whole frames, encoded as [`text_frame`] does.
    Frames(Bytes),
    /// Nothing yet, but there is more to look through: ask again when others had their turn.
    Nothing,
    /// No more.
    End(Close),
}

/// A message of either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, in UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
}

/// Why a side ends the connection (RFC 6455 §7.4.1, and 1013 of IANA's registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The status code.
    pub code: u16,
    /// For people; at most 123 bytes.
    pub reason: &'static str,
}

/// Appends a text message in one frame to `to`, as a server sends it.
pub fn text_frame(text: &[u8], to: &mut Vec<u8>) {
    to.reserve(HEADER_BYTES + text.len());
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    header.format(text.len() as u64, to).expect("a vector takes all that is written");
    to.extend_from_slice(text);
}

/// What has come of the peer.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// The answer to a ping.
    Pong,
    /// Both sides have said that they end; all that is left is to send the output.
    Closed,
    /// The peer broke the protocol; the output tells it so, and nothing more is read.
    Failed(Close),
}

/// One connection's state, between the bytes that came and those that are to be sent. Pings are answered by itself.
pub struct Socket {
    protocol: WebSocket<Buffers>,
    over: bool,
}

/// What a [`Socket`] reads from and writes to.
#[derive(Default)]
struct Buffers {
    input: Bytes,
    output: Vec<u8>,
}

impl Read for Buffers {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = into.len().min(self.input.len());
        self.input.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

impl Write for Buffers {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    /// A connection after its handshake.
    pub fn new(max_message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let protocol = WebSocket::from_raw_socket(Buffers::default(), Role::Server, Some(config));
        Self { protocol, over: false }
    }

    /// Takes what came. All of what came before must have been gone through by [`next_event`](Self::next_event).
    pub fn receive(&mut self, bytes: &[u8]) {
        self.protocol.get_mut().input = Bytes::copy_from_slice(bytes);
    }

    /// What has come; `None` when that is nothing more.
    pub fn next_event(&mut self) -> Option<Event> {
        while !self.over {
            match self.protocol.read() {
                Ok(Protocol::Text(text)) => return Some(Event::Message(Message::Text(text.into()))),
                Ok(Protocol::Binary(bytes)) => return Some(Event::Message(Message::Binary(bytes))),
                Ok(Protocol::Pong(_)) => return Some(Event::Pong),
                // The protocol answers these at its next step.
                Ok(Protocol::Ping(_) | Protocol::Close(_) | Protocol::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => return Some(self.end(&error)),
            }
        }
        None
    }

    fn end(&mut self, error: &Error) -> Event {
        let close = match error {
            Error::Utf8(_) => Close { code: 1007, reason: "text that is not UTF-8" },
            Error::Capacity(_) => Close { code: 1009, reason: "the message is too long" },
            Error::ConnectionClosed | Error::AlreadyClosed => {
                self.over = true;
                return Event::Closed;
            }
            _ => Close { code: 1002, reason: "the protocol was broken" },
        };
        self.close(close);
        self.over = true;
        Event::Failed(close)
    }

    /// Sends a message.
    pub fn send(&mut self, message: Message) {
        let (kind, payload) = match message {
            Message::Text(text) => (Data::Text, text),
            Message::Binary(bytes) => (Data::Binary, bytes),
        };
        self.put(Protocol::Frame(Frame::message(payload, OpCode::Data(kind), true)));
    }

    /// Asks whether the peer is there.
    pub fn ping(&mut self) {
        self.put(Protocol::Ping(Bytes::new()));
    }

    /// Says that this side ends. What the peer says before it agrees is still read.
    pub fn close(&mut self, close: Close) {
        let code = CloseCode::from(close.code);
        self.put(Protocol::Close(Some(CloseFrame { code, reason: close.reason.into() })));
    }

    /// The only errors are about a connection that is ending; it says no more then.
    fn put(&mut self, message: Protocol) {
        if let Err(error) = self.protocol.send(message) {
            debug_assert!(!matches!(error, Error::Io(_)), "a vector takes all that is written: {error}");
        }
    }

    /// How many bytes are to be sent.
    pub fn output_bytes(&self) -> usize {
        self.protocol.get_ref().output.len()
    }

    /// What is to be sent: whole frames.
    pub fn take_output(&mut self) -> Bytes {
        mem::take(&mut self.protocol.get_mut().output).into()
    }
}
