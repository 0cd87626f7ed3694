//! Chunks that hide a request: line ends, sizes, extensions and trailers (RFC 9112 §7.1).

use super::{HIDDEN, assert_only_outer, assert_outer_and_next, outer, server_on};
use crate::support::raw::Connection;
use crate::support::{Server, on_both_engines};

on_both_engines!(
    broken_chunk_lines_end_after_one_reply,
    trailers_are_dropped_and_end_the_connection,
    broken_trailers_end_after_one_reply,
    extensions_and_padded_sizes_are_bounded,
    a_chunk_that_is_longer_than_anything_hides_nothing,
    a_size_line_without_end_stalls,
);

/// Line ends, sizes and terminators of chunks that a lenient reader takes: the hidden request is then either
/// inside a chunk or behind the last.
fn broken_chunk_lines_end_after_one_reply(engine: &str) {
    let server = server_on(engine);
    let sizes = [
        "",
        "x",
        "2h",
        "0x2",
        "+2",
        "-2",
        " 2",
        "\t2",
        "2 2",
        "2,2",
        "2_",
        "\"2\"",
        "2\0",
        "2\u{b}",
        "2:x",
        // 2 modulo 2^64
        "10000000000000002",
    ];
    let sizes = sizes.iter().map(|size| format!("{size}\r\n{{}}\r\n0\r\n\r\n"));
    let lines = [
        "2\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "2\r\r\n{}\r\n0\r\n\r\n",
        "2 \n{}\r\n0\r\n\r\n",
        "2;\n{}\r\n0\r\n\r\n",
        "2;x\n{}\r\n0\r\n\r\n",
        "2;x\rxx\r\n{}\r\n0\r\n\r\n",
        "2;x=\"\n\"\r\n{}\r\n0\r\n\r\n",
        "2;x=\"\r\n\"\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}\r0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}xx0\r\n\r\n",
        "2\r\n{}\n\r0\r\n\r\n",
        "2\r\n{}\r\n0\n\r\n",
        "2\r\n{}\r\n0\r\r\n",
        "2\r\n{}\r\n0;x\n\r\n",
        "2\r\n{}\r\n0\r\n\r",
        "2\r\n{}\r\n\r\n0\r\n\r\n",
    ];
    for body in sizes.chain(lines.map(str::to_owned)) {
        let bytes = outer(&["Transfer-Encoding: chunked"], &format!("{body}{HIDDEN}"));
        assert_only_outer(&server, 400, &bytes);
    }
}

/// What a trailer would forbid, allow or frame as a field is nothing to us (RFC 9110 §6.5.1). hyper reads their
/// section more loosely than its own lines, so the connection ends.
fn trailers_are_dropped_and_end_the_connection(engine: &str) {
    let server = server_on(engine);
    let sections = [
        "X: y\r\n\r\n",
        "X: y\r\nX: z\r\n\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: gzip\r\nContent-Type: text/plain\r\n\r\n",
        "Host: other\r\nHost: another\r\nExpect: more\r\nConnection: keep-alive\r\n\r\n",
        // A section that ends here for one who takes a bare LF for a line end, and after the hidden request for
        // one who does not.
        "\n",
        "X: y\n\n",
        "X: y\r\n\n",
        "X: y\n\r\n",
    ];
    for section in sections {
        let body = format!("2\r\n{{}}\r\n0\r\n{section}{HIDDEN}");
        assert_only_outer(&server, 422, &outer(&["Transfer-Encoding: chunked"], &body));
        let unread = outer(&["Transfer-Encoding: chunked"], &body).replacen("/api/v1/tokens", "/nowhere", 1);
        assert_only_outer(&server, 404, &unread);
    }
}

fn broken_trailers_end_after_one_reply(engine: &str) {
    let server = server_on(engine);
    let long = format!("X: {}\r\n\r\n", "y".repeat(20_000));
    let many = format!("{}\r\n", "X: y\r\n".repeat(101));
    let sections = [
        "X\r\n\r\n",
        "X : y\r\n\r\n",
        ": y\r\n\r\n",
        "X: y\r\n z\r\n\r\n",
        " X: y\r\n\r\n",
        "X: \0\r\n\r\n",
        "X: y\rz\r\n\r\n",
        "X: y\r\n\rz\r\n\r\n",
        &long,
        &many,
    ];
    for section in sections {
        let body = format!("2\r\n{{}}\r\n0\r\n{section}{HIDDEN}");
        assert_only_outer(&server, 400, &outer(&["Transfer-Encoding: chunked"], &body));
    }
}

/// Extensions may say anything within 16 KiB a body; sizes may have leading zeros and white space behind.
fn extensions_and_padded_sizes_are_bounded(engine: &str) {
    let server = server_on(engine);
    let chunked = |size_line: &str| {
        let (first, last) = (format!("2{size_line}"), format!("0{size_line}"));
        outer(&["Transfer-Encoding: chunked"], &format!("{first}\r\n{{}}\r\n{last}\r\n\r\n"))
    };
    let short = format!(";{}", "x".repeat(7_000));
    for taken in ["", " ", " \t ", ";", " ; x", ";x=\"y;z\"", ";GET /health HTTP/1.1", &short] {
        assert_outer_and_next(&server, 422, &chunked(taken));
    }
    let long = format!(";{}", "x".repeat(9_000));
    assert_only_outer(&server, 400, &format!("{}{HIDDEN}", chunked(&long)));
    let zeros = format!("{:0>1000}\r\n{{}}\r\n{:0>1000}\r\n\r\n", 2, 0);
    assert_outer_and_next(&server, 422, &outer(&["Transfer-Encoding: chunked"], &zeros));
}

fn a_chunk_that_is_longer_than_anything_hides_nothing(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    let body = format!("ffffffffffffffff\r\n{{}}\r\n0\r\n\r\n{HIDDEN}");
    connection.send(outer(&["Transfer-Encoding: chunked"], &body));
    connection.finish_sending();
    let reply = connection.reply();
    assert_eq!((reply.status, reply.field("x-request-id")), (400, Some("outer")), "{reply:?}");
    connection.assert_over();
}

/// Zeros before a size and white space behind it mean nothing, so that there is no end to either but the deadline.
fn a_size_line_without_end_stalls(engine: &str) {
    let server = Server::start_set(&["--io", engine], &[("limits.body_timeout_ms", "300")]);
    for line in ["0".repeat(100_000), format!("2{}", " ".repeat(100_000))] {
        let mut connection = Connection::open(server.address());
        connection.send(outer(&["Transfer-Encoding: chunked"], &line));
        let reply = connection.reply();
        assert_eq!((reply.status, reply.closes()), (408, true), "{reply:?}");
        connection.assert_over();
    }
}
