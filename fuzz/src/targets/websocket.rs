//! Frames of WebSockets.

use ringledger::web::websocket::{Event, Message, Socket};

/// Bytes of a message that the server takes.
const MESSAGE_BYTES: usize = 1024;

/// What is said does not depend on how its bytes arrive. The first byte says into what pieces they are cut.
pub(crate) fn websocket(bytes: &[u8]) {
    let Some((&length, frames)) = bytes.split_first() else { return };
    let whole = conversation(frames, frames.len().max(1));
    let cut = conversation(frames, usize::from(length).max(1));
    assert_eq!(whole, cut);
}

/// The messages that were heard, how it ended, and all that was answered to an echo.
fn conversation(frames: &[u8], piece_bytes: usize) -> (Vec<String>, Vec<u8>) {
    let mut socket = Socket::new(MESSAGE_BYTES);
    let (mut heard, mut said) = (Vec::new(), Vec::new());
    for piece in frames.chunks(piece_bytes) {
        socket.receive(piece);
        while let Some(event) = socket.next_event() {
            match event {
                Event::Message(message) => {
                    let (Message::Text(payload) | Message::Binary(payload)) = &message;
                    assert!(payload.len() <= MESSAGE_BYTES);
                    heard.push(format!("{payload:?}"));
                    socket.send(message);
                }
                Event::Pong => heard.push("pong".to_owned()),
                Event::Closed => heard.push("closed".to_owned()),
                Event::Failed(close) => heard.push(close.code.to_string()),
            }
        }
        said.extend_from_slice(&socket.take_output());
    }
    (heard, said)
}
