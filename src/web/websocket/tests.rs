//! The protocol between two buffers.

use super::*;

const BOUND: usize = 64;

fn socket() -> Socket {
    Socket::new(BOUND)
}

/// A frame as a client sends it, masked with zeroes.
fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0xfe);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn events(socket: &mut Socket, bytes: &[u8]) -> Vec<Event> {
    socket.receive(bytes);
    std::iter::from_fn(|| socket.next_event()).collect()
}

fn text(text: &'static str) -> Event {
    Event::Message(Message::Text(Bytes::from_static(text.as_bytes())))
}

fn handshake(changes: &[(&'static str, &[&'static str])]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let usual: [(&str, &[&str]); 4] = [
        ("upgrade", &["websocket"]),
        ("connection", &["Upgrade"]),
        ("sec-websocket-version", &["13"]),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ=="]),
    ];
    for (name, values) in usual {
        let changed = changes.iter().find(|(other, _)| *other == name);
        for value in changed.map_or(values, |(_, values)| values) {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    fields
}

#[test]
fn a_handshake_is_accepted_as_the_rfc_shows() {
    let accepted = accept(&Method::GET, &handshake(&[])).unwrap();
    assert_eq!(accepted, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for changes in [
        ("upgrade", ["h2c, WebSocket"].as_slice()),
        ("upgrade", &["h2c", "websocket"]),
        ("connection", &["keep-alive, UPGRADE"]),
    ] {
        assert!(accept(&Method::GET, &handshake(&[changes])).is_ok(), "{changes:?}");
    }
}

#[test]
fn what_asks_for_no_websocket_of_this_version_may_ask_again() {
    for changes in [
        ("upgrade", [].as_slice()),
        ("upgrade", &["websockets"]),
        ("connection", &[]),
        ("connection", &["keep-alive"]),
        ("sec-websocket-version", &[]),
        ("sec-websocket-version", &["8"]),
        ("sec-websocket-version", &["13, 8"]),
    ] {
        assert_eq!(accept(&Method::GET, &handshake(&[changes])), Err(Refusal::NotAsked), "{changes:?}");
    }
    for method in [Method::HEAD, Method::POST] {
        assert_eq!(accept(&method, &handshake(&[])), Err(Refusal::NotAsked));
    }
}

#[test]
fn a_handshake_has_one_version_and_one_key_of_16_bytes() {
    for changes in [
        ("sec-websocket-version", ["13", "13"].as_slice()),
        ("sec-websocket-key", &[]),
        ("sec-websocket-key", &[""]),
        ("sec-websocket-key", &["=="]),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ=="; 2]),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"]),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZR=="]),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25j"]),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ=!"]),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jdGhlIA=="]),
    ] {
        let refused = accept(&Method::GET, &handshake(&[changes]));
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{changes:?}");
    }
}

#[test]
fn a_message_comes_whole_however_its_bytes_and_frames_are_cut() {
    let mut sent = frame(0x01, b"Hel");
    sent.extend(frame(0x89, b"are you there"));
    sent.extend(frame(0x80, b"lo"));
    let mut socket = socket();
    let mut seen = Vec::new();
    for byte in sent {
        seen.extend(events(&mut socket, &[byte]));
    }
    assert_eq!(seen, [text("Hello")]);
    assert_eq!(socket.take_output(), b"\x8a\x0dare you there".as_slice());
}

#[test]
fn broken_frames_end_the_connection_with_their_code() {
    let too_long = vec![b'x'; BOUND + 1];
    let long_ping = vec![b'x'; 126];
    for (bytes, code) in [
        (frame(0xc1, b"reserved bit"), 1002),
        (frame(0x83, b"reserved opcode"), 1002),
        (frame(0x8b, b"reserved control"), 1002),
        (frame(0x80, b"continues nothing"), 1002),
        (frame(0x09, b"fragmented ping"), 1002),
        ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002),
        (frame(0x88, b"\x03"), 1002),
        (b"\x81\x01a".to_vec(), 1002),
        (frame(0x81, b"\xce\xba\xff"), 1007),
        (frame(0x88, b"\x03\xe8\xff"), 1007),
        (frame(0x82, &too_long), 1009),
        ([frame(0x02, &too_long[..40]), frame(0x80, &too_long[..40])].concat(), 1009),
    ] {
        let mut socket = socket();
        let seen = events(&mut socket, &bytes);
        assert!(
            matches!(seen.as_slice(), [Event::Failed(close)] if close.code == code),
            "{bytes:?}: {seen:?}"
        );
        assert_eq!(socket.take_output()[2..4], u16::to_be_bytes(code), "{bytes:?}");
    }
    let mut wide = Socket::new(1024);
    assert!(
        matches!(events(&mut wide, &frame(0x89, &long_ping)).as_slice(), [Event::Failed(close)] if close.code == 1002)
    );
}

#[test]
fn a_close_is_answered_with_its_code() {
    for (payload, answer) in [
        (b"\x03\xe8bye".as_slice(), b"\x88\x05\x03\xe8bye".as_slice()),
        (b"", b"\x88\x00"),
        (b"\x0f\xa0", b"\x88\x02\x0f\xa0"),
    ] {
        let mut socket = socket();
        assert_eq!(events(&mut socket, &frame(0x88, payload)), [Event::Closed]);
        assert_eq!(socket.take_output(), answer);
        assert_eq!(events(&mut socket, &frame(0x81, b"late")), []);
    }
    let mut socket = socket();
    events(&mut socket, &frame(0x88, b"\x03\xed"));
    assert_eq!(socket.take_output()[2..4], [0x03, 0xea], "1005 must not be sent");
}

#[test]
fn what_comes_before_the_peer_agrees_to_end_is_read() {
    let mut socket = socket();
    socket.close(Close { code: 1001, reason: "bye" });
    assert_eq!(socket.take_output(), b"\x88\x05\x03\xe9bye".as_slice());
    let rest = [frame(0x81, b"one more"), frame(0x88, b"\x03\xe9")].concat();
    assert_eq!(events(&mut socket, &rest), [text("one more"), Event::Closed]);
    socket.ping();
    assert_eq!(socket.output_bytes(), 0);
}

#[test]
fn frames_of_all_lengths_are_as_the_protocol_makes_them() {
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![b'a'; length];
        let mut made = Vec::new();
        text_frame(&payload, &mut made);
        let mut socket = Socket::new(100_000);
        socket.send(Message::Text(payload.into()));
        assert_eq!(socket.take_output(), made, "{length}");
    }
}
