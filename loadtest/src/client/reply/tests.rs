//! Replies whole, split at any byte, one behind another, and broken.

use proptest::prelude::*;

use super::*;

fn read_all(bytes: &[u8], cuts: &[usize]) -> Result<Vec<u16>, Malformed> {
    let mut reader = Reader::default();
    let mut statuses = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        let mut piece = &bytes[pair[0]..pair[1]];
        while let Some(reply) = reader.read(&mut piece, false)? {
            statuses.push(reply.status);
        }
    }
    statuses.extend(reader.end().map(|reply| reply.status));
    Ok(statuses)
}

fn reply(status: u16, body: &[u8], chunks: usize, interim: bool) -> Vec<u8> {
    let interim = if interim { "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" } else { "" };
    let mut text = format!("{interim}HTTP/1.1 {status} Word\r\nServer: x\r\n").into_bytes();
    if chunks == 0 {
        text.extend_from_slice(format!("content-LENGTH:  {} \r\n\r\n", body.len()).as_bytes());
        text.extend_from_slice(body);
        return text;
    }
    text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(body.len().div_ceil(chunks).max(1)) {
        text.extend_from_slice(format!("{:x};ext=1\r\n", chunk.len()).as_bytes());
        text.extend_from_slice(chunk);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\nTrailer: y\r\n\r\n");
    text
}

proptest! {
    #[test]
    fn replies_are_the_same_however_they_are_split(
        replies in prop::collection::vec(
            (200_u16..204, prop::collection::vec(any::<u8>(), 0..40), 0_usize..4, any::<bool>()), 1..5),
        cuts in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        let bytes: Vec<u8> = replies.iter().flat_map(|(s, body, n, i)| reply(*s, body, *n, *i)).collect();
        let expected: Vec<u16> = replies.iter().map(|(status, ..)| *status).collect();
        prop_assert_eq!(read_all(&bytes, &cuts), Ok(expected));
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(any::<usize>(), 0..5),
    ) {
        let _ = read_all(&bytes, &cuts);
        let _ = read_all(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes[..]].concat(), &cuts);
    }
}

#[test]
fn a_reply_without_a_length_ends_with_the_connection() {
    let text = b"HTTP/1.0 200 OK\r\n\r\nwhatever";
    assert_eq!(read_all(text, &[3, 20]), Ok(vec![200]));
}

#[test]
fn a_reply_that_has_not_ended_is_none() {
    assert_eq!(read_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour", &[]), Ok(vec![]));
}

#[test]
fn a_reply_to_head_has_no_body() {
    let mut bytes: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let reply = Reader::default().read(&mut bytes, true);
    assert_eq!(reply, Ok(Some(Reply { status: 200, close: false, marked: false })));
}

#[test]
fn the_end_of_a_connection_is_announced() {
    let mut bytes: &[u8] = b"HTTP/1.1 503 No\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n";
    let reply = Reader::default().read(&mut bytes, false);
    assert_eq!(reply, Ok(Some(Reply { status: 503, close: true, marked: false })));
}

#[test]
fn what_is_no_reply_is_malformed() {
    let heads = [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ];
    for head in heads {
        assert_eq!(read_all(head.as_bytes(), &[]), Err(Malformed), "{head}");
    }
}

#[test]
fn a_head_without_end_is_malformed() {
    let text = [b"HTTP/1.1 200 OK\r\nA: ", &vec![b'a'; LINE_BOUND][..]].concat();
    assert_eq!(read_all(&text, &[]), Err(Malformed));
}
