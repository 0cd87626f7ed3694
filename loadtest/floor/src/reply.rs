//! The one reply of every floor server: what ringledger answers to `GET /plaintext`, byte for byte but for the
//! values of id and date. Knows nothing of sockets.

use std::ops::Range;

/// Content of the reply.
pub(crate) const BODY: &str = "Hello, World!";

/// Value of `content-type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// Value of `x-request-id`: a UUIDv7 made once, of the length that ringledger makes anew for each request.
pub(crate) const REQUEST_ID: &str = "01a2053e-9be6-7589-bb6c-31c2012fc6d9";

/// The whole reply of the raw servers, 182 bytes.
pub(crate) const CANNED: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    x-request-id: 01a2053e-9be6-7589-bb6c-31c2012fc6d9\r\n\
    content-length: 13\r\n\
    date: Sun, 22 Nov 2026 21:51:58 GMT\r\n\
    \r\n\
    Hello, World!";

/// Many canned replies in a row, so that the answer to a pipelined batch is one piece of memory that nobody
/// has to fill.
pub(crate) struct Batch(Vec<u8>);

impl Batch {
    /// Room for `replies` replies, 182 bytes each.
    pub(crate) fn of(replies: usize) -> Self {
        Self(CANNED.repeat(replies))
    }

    /// Where the first `replies` replies are.
    pub(crate) fn range(replies: usize) -> Range<usize> {
        0..replies * CANNED.len()
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.0[range]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_reply_is_made_of_the_same_parts_as_the_composed_one() {
        let text = str::from_utf8(CANNED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let fields: Vec<_> = head.split("\r\n").collect();
        assert_eq!(fields[1], format!("content-type: {CONTENT_TYPE}"));
        assert_eq!(fields[2], format!("x-request-id: {REQUEST_ID}"));
        assert_eq!(fields[3], format!("content-length: {}", body.len()));
        assert_eq!(body, BODY);
        assert_eq!(CANNED.len(), 182);
    }

    #[test]
    fn a_batch_repeats_the_reply() {
        let batch = Batch::of(3);
        assert_eq!(batch.bytes(Batch::range(2)), [CANNED, CANNED].concat());
    }
}
