//! RFC 6455 by raw bytes, as Autobahn's suite checks it (`tests/autobahn` runs all of that).

use crate::support::raw::{Connection, Request};
use crate::support::{Server, on_both_engines};

on_both_engines!(
    messages_of_all_lengths_come_back,
    a_message_in_pieces_comes_back_whole_with_pings_between,
    pings_are_answered_in_order_and_pongs_ignored,
    what_breaks_the_protocol_is_told_so_and_closed,
    text_must_be_utf_8_across_pieces,
    closes_are_answered,
    an_event_reader_may_say_little,
);

struct Echo {
    // Ends with the test.
    _server: Server,
    connection: Connection,
}

impl Echo {
    fn open(engine: &str) -> Self {
        let server = Server::start_with(&["--io", engine, "--bench-endpoints"]);
        let connection = connect(&server, "/ws-echo", "");
        Self { _server: server, connection }
    }
}

fn connect(server: &Server, target: &str, token: &str) -> Connection {
    let mut connection = Connection::open(server.address());
    let request = Request::get(target)
        .bearer(token)
        .field("Upgrade", "websocket")
        .field("Connection", "Upgrade")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(connection.call(request.bytes()).status, 101);
    connection
}

/// A frame with this first byte, masked where it is a client's.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    let length = payload.len();
    match length {
        0..=125 => frame.push(masked + u8::try_from(length).unwrap()),
        126..=65_535 => {
            frame.push(masked + 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            frame.push(masked + 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask.into_iter().flatten());
    let key = mask.unwrap_or_default();
    frame.extend(payload.iter().enumerate().map(|(place, byte)| byte ^ key[place % 4]));
    frame
}

fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some([0x37, 0xfa, 0x21, 0x3d]))
}

fn expect(connection: &mut Connection, first: u8, payload: &[u8]) {
    let wanted = frame(first, payload, None);
    let came = connection.bytes(wanted.len());
    assert!(
        came == wanted,
        "wanted {first:x} and {} bytes, got {:x?}",
        payload.len(),
        &came[..came.len().min(40)]
    );
}

/// Asserts that the server closes with this code.
fn expect_close(connection: &mut Connection, code: u16, case: &str) {
    let head = connection.bytes(4);
    assert_eq!((head[0], &head[2..]), (0x88, code.to_be_bytes().as_slice()), "{case}");
    connection.bytes(usize::from(head[1]) - 2);
    connection.assert_over();
}

fn messages_of_all_lengths_come_back(engine: &str) {
    let mut echo = Echo::open(engine);
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20] {
        let payload = vec![b'*'; length];
        for first in [0x81, 0x82] {
            echo.connection.send(sent(first, &payload));
            expect(&mut echo.connection, first, &payload);
        }
    }
}

fn a_message_in_pieces_comes_back_whole_with_pings_between(engine: &str) {
    let mut echo = Echo::open(engine);
    let bytes = [
        sent(0x01, "κόσ".as_bytes()),
        sent(0x89, b"one"),
        sent(0x00, b""),
        sent(0x89, b"two"),
        sent(0x80, "με".as_bytes()),
    ]
    .concat();
    // Byte by byte, so that no frame comes in one read.
    for byte in bytes {
        echo.connection.send([byte]);
    }
    expect(&mut echo.connection, 0x8a, b"one");
    expect(&mut echo.connection, 0x8a, b"two");
    expect(&mut echo.connection, 0x81, "κόσμε".as_bytes());
}

fn pings_are_answered_in_order_and_pongs_ignored(engine: &str) {
    let mut echo = Echo::open(engine);
    let longest = [0xfe; 125];
    echo.connection.send([sent(0x8a, b"unasked"), sent(0x89, &longest), sent(0x89, b"")].concat());
    expect(&mut echo.connection, 0x8a, &longest);
    expect(&mut echo.connection, 0x8a, b"");
    let many: Vec<u8> = (0..1000u32).flat_map(|n| sent(0x89, &n.to_be_bytes())).collect();
    echo.connection.send(many);
    for n in 0..1000u32 {
        expect(&mut echo.connection, 0x8a, &n.to_be_bytes());
    }
}

fn what_breaks_the_protocol_is_told_so_and_closed(engine: &str) {
    let server = Server::start_with(&["--io", engine, "--bench-endpoints"]);
    let too_long = vec![b'x'; 126];
    for (case, bytes) in [
        ("a reserved bit", sent(0xc1, b"a")),
        ("all reserved bits", sent(0xf2, b"a")),
        ("a reserved bit of a ping", sent(0xa9, b"a")),
        ("a reserved data frame", sent(0x83, b"")),
        ("a reserved control frame", sent(0x8b, b"")),
        ("a control frame beyond 125 bytes", sent(0x89, &too_long)),
        ("a close beyond 125 bytes", sent(0x88, &too_long)),
        ("a control frame in pieces", sent(0x09, b"a")),
        ("a continuation of nothing", sent(0x80, b"a")),
        ("a message within a message", [sent(0x01, b"a"), sent(0x81, b"b")].concat()),
        ("no mask", frame(0x81, b"a", None)),
        ("a close of one byte", sent(0x88, b"a")),
    ] {
        let mut connection = connect(&server, "/ws-echo", "");
        connection.send(bytes);
        expect_close(&mut connection, 1002, case);
    }
}

fn text_must_be_utf_8_across_pieces(engine: &str) {
    let server = Server::start_with(&["--io", engine, "--bench-endpoints"]);
    let split = "κ".as_bytes();
    let mut connection = connect(&server, "/ws-echo", "");
    connection.send([sent(0x01, &split[..1]), sent(0x80, &split[1..])].concat());
    expect(&mut connection, 0x81, split);
    for (case, bytes) in [
        ("a lone byte", sent(0x81, b"\xff")),
        ("a surrogate", sent(0x81, b"\xed\xa0\x80")),
        ("cut off at the end", [sent(0x01, b"a"), sent(0x80, &split[..1])].concat()),
        ("beyond Unicode", sent(0x81, b"\xf4\x90\x80\x80")),
        ("the reason of a close", sent(0x88, b"\x03\xe8\xff")),
    ] {
        let mut connection = connect(&server, "/ws-echo", "");
        connection.send(bytes);
        expect_close(&mut connection, 1007, case);
    }
}

fn closes_are_answered(engine: &str) {
    let server = Server::start_with(&["--io", engine, "--bench-endpoints"]);
    for code in [1000, 1001, 1011, 1013, 3000, 4999u16] {
        let mut connection = connect(&server, "/ws-echo", "");
        // What comes behind a close is not looked at.
        connection.send([sent(0x88, &code.to_be_bytes()), sent(0x81, b"late")].concat());
        expect_close(&mut connection, code, "a code that may be sent");
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 2999, 5000u16] {
        let mut connection = connect(&server, "/ws-echo", "");
        connection.send(sent(0x88, &code.to_be_bytes()));
        expect_close(&mut connection, 1002, &format!("{code} must not be sent"));
    }
    let mut connection = connect(&server, "/ws-echo", "");
    connection.send(sent(0x88, b""));
    assert_eq!(connection.bytes(2), b"\x88\x00");
    connection.assert_over();
    // One that leaves without a word is not waited for.
    let mut connection = connect(&server, "/ws-echo", "");
    connection.finish_sending();
    connection.assert_over();
}

fn an_event_reader_may_say_little(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    let mut connection = connect(&server, "/api/v1/events", &server.operator_token());
    connection.send(sent(0x81, &[b'a'; 4096]));
    connection.send([sent(0x82, b"\x00"), sent(0x89, b"still there?")].concat());
    expect(&mut connection, 0x8a, b"still there?");
    connection.send(sent(0x81, &[b'a'; 4097]));
    expect_close(&mut connection, 1009, "more than 4 KiB");
}
