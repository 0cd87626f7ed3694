//! Reads replies of HTTP/1.1 (RFC 9112) off a stream of bytes, split anywhere, as far as a load tester needs: the
//! status, where the reply ends, and whether the connection does. Knows nothing of sockets.

use memchr::{memchr, memmem};

use super::mark::Mark;

/// Length of a head, of a chunk's size line or of a trailer line, in bytes. Bounds what a server that never ends
/// one makes the client hold.
const LINE_BOUND: usize = 64 * 1024;

/// A reply that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The server ends the connection after it.
    pub(super) close: bool,
    /// The reader's mark stands in its body.
    pub(super) marked: bool,
}

/// What came is not a reply that this reader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where a reply is being read; one for each connection.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: State,
    reply: Option<Reply>,
    /// The begin of a head or line whose end has not come; empty as a rule.
    partial: Vec<u8>,
    /// What is looked for in bodies.
    mark: Option<Mark>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body {
        left: u64,
    },
    ChunkSize,
    /// The chunk and the line break behind it.
    Chunk {
        left: u64,
    },
    Trailer,
    UntilClose,
}

impl Reader {
    /// One that looks for a mark in bodies.
    pub(super) fn new(mark: Option<&'static [u8]>) -> Self {
        Self { mark: mark.map(Mark::new), ..Self::default() }
    }

    /// For another connection.
    pub(super) fn afresh(&self) -> Self {
        Self { mark: self.mark.as_ref().map(Mark::afresh), ..Self::default() }
    }

    /// Takes the bytes of one reply off the front of `bytes`; none when its end has not come, and then all of
    /// them. `head_only` says that the request was a HEAD.
    pub(super) fn read(&mut self, bytes: &mut &[u8], head_only: bool) -> Result<Option<Reply>, Malformed> {
        while !bytes.is_empty() {
            let ended = match self.state {
                State::Head => self.head(bytes, head_only)?,
                State::Body { left } => self.skip(bytes, left, None, |left| State::Body { left }),
                State::Chunk { left } => {
                    self.skip(bytes, left, Some(State::ChunkSize), |left| State::Chunk { left })
                }
                State::ChunkSize => self.chunk_size(bytes)?,
                State::Trailer => self.trailer(bytes)?,
                State::UntilClose => {
                    self.look(bytes);
                    *bytes = &[];
                    false
                }
            };
            if ended {
                self.state = State::Head;
                return Ok(self.reply.take());
            }
        }
        Ok(None)
    }

    /// The stream has ended: the reply whose length is the rest of the connection, if that is being read.
    pub(super) fn end(&mut self) -> Option<Reply> {
        let reply = self.reply.take();
        (std::mem::take(&mut self.state) == State::UntilClose).then_some(reply).flatten()
    }

    fn head(&mut self, bytes: &mut &[u8], head_only: bool) -> Result<bool, Malformed> {
        let Some(head) = through(bytes, b"\r\n\r\n", &mut self.partial, Head::parse)? else {
            return Ok(false);
        };
        if (100..200).contains(&head.status) && head.status != 101 {
            return Ok(false);
        }
        self.mark = self.mark.as_ref().map(Mark::afresh);
        self.reply = Some(Reply { status: head.status, close: head.close, marked: false });
        self.state = match head {
            _ if head_only || matches!(head.status, 101 | 204 | 304) => return Ok(true),
            Head { chunked: true, .. } => State::ChunkSize,
            Head { length: Some(0), .. } => return Ok(true),
            Head { length: Some(left), .. } => State::Body { left },
            Head { length: None, .. } => {
                self.reply = Some(Reply { status: head.status, close: true, marked: false });
                State::UntilClose
            }
        };
        Ok(false)
    }

    /// Skips up to `left` bytes; at their end comes the state `then`, or the end of the reply.
    fn skip(&mut self, bytes: &mut &[u8], left: u64, then: Option<State>, rest: fn(u64) -> State) -> bool {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.look(&bytes[..here]);
        *bytes = &bytes[here..];
        let left = left - here as u64;
        self.state = if left == 0 { then.unwrap_or_default() } else { rest(left) };
        left == 0 && then.is_none()
    }

    /// Notes it if the mark is in this piece of a body.
    fn look(&mut self, piece: &[u8]) {
        if let (Some(mark), Some(reply)) = (&mut self.mark, &mut self.reply) {
            reply.marked |= mark.is_in(piece);
        }
    }

    fn chunk_size(&mut self, bytes: &mut &[u8]) -> Result<bool, Malformed> {
        let size = |line: &[u8]| {
            let digits = line.split(|byte| matches!(byte, b';' | b'\r')).next().unwrap_or_default();
            hexadecimal(digits.trim_ascii()).ok_or(Malformed)
        };
        if let Some(size) = through(bytes, b"\r\n", &mut self.partial, size)? {
            let with_break = size.checked_add(2).ok_or(Malformed)?;
            self.state = if size == 0 { State::Trailer } else { State::Chunk { left: with_break } };
        }
        Ok(false)
    }

    /// Trailer fields end with an empty line.
    fn trailer(&mut self, bytes: &mut &[u8]) -> Result<bool, Malformed> {
        let is_empty = through(bytes, b"\r\n", &mut self.partial, |line| Ok(line.len() == 2))?;
        Ok(is_empty.unwrap_or(false))
    }
}

/// Takes what ends with `end` off the front of `bytes`, together with what `partial` holds of it, and parses it; or
/// else takes all of `bytes` into `partial`.
fn through<T>(
    bytes: &mut &[u8],
    end: &[u8],
    partial: &mut Vec<u8>,
    parse: impl FnOnce(&[u8]) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if partial.is_empty()
        && let Some(at) = memmem::find(bytes, end)
    {
        let (line, rest) = bytes.split_at(at + end.len());
        *bytes = rest;
        return parse(line).map(Some);
    }
    let before = partial.len();
    partial.extend_from_slice(bytes);
    let from = before.saturating_sub(end.len() - 1);
    let Some(at) = memmem::find(&partial[from..], end) else {
        *bytes = &[];
        return if partial.len() > LINE_BOUND { Err(Malformed) } else { Ok(None) };
    };
    let length = from + at + end.len();
    *bytes = &bytes[length - before..];
    let parsed = parse(&partial[..length]);
    partial.clear();
    parsed.map(Some)
}

struct Head {
    status: u16,
    close: bool,
    chunked: bool,
    length: Option<u64>,
}

impl Head {
    /// `text` ends with an empty line.
    fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let keeps = text.starts_with(b"HTTP/1.1 ");
        if !keeps && !text.starts_with(b"HTTP/1.0 ") {
            return Err(Malformed);
        }
        let status =
            text.get(9..12).and_then(decimal).and_then(|n| u16::try_from(n).ok()).ok_or(Malformed)?;
        if status < 100 || !matches!(text.get(12), Some(b' ' | b'\r')) {
            return Err(Malformed);
        }
        let mut head = Self { status, close: !keeps, chunked: false, length: None };
        let mut rest = text;
        while let Some(end) = memchr(b'\n', rest) {
            head.field(&rest[..end])?;
            rest = &rest[end + 1..];
        }
        Ok(head)
    }

    /// Looks at the fields that matter; their first letters tell most others apart.
    fn field(&mut self, line: &[u8]) -> Result<(), Malformed> {
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return Ok(());
        }
        let Some(colon) = memchr(b':', line) else {
            return Err(Malformed);
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).ok_or(Malformed)?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Malformed);
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            let says = |token: &[u8]| {
                value.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(token))
            };
            self.close = says(b"close") || self.close && !says(b"keep-alive");
        }
        Ok(())
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    number(digits, 10)
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    number(digits, 16)
}

fn number(digits: &[u8], base: u32) -> Option<u64> {
    let step = |sum: u64, byte: &u8| {
        let digit = char::from(*byte).to_digit(base)?;
        sum.checked_mul(u64::from(base))?.checked_add(u64::from(digit))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, step) }
}

#[cfg(test)]
mod tests;
