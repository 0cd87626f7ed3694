//! The text of an access line: that of an event without a message, as `tracing_subscriber` writes it in flat JSON
//! or in its full format for people. It knows nothing of where lines go.

use std::io::Write;
use std::ops::Range;
use std::ptr;
use std::time::{Duration, Instant};

use super::{TARGET, stamp};
use crate::request_id;

/// What a request's line tells. Whoever fills it in bounds the lengths, and sees to it that id, trace and route hold
/// nothing that JSON must escape.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The request's id.
    pub id: &'a str,
    /// The trace that the caller named, if any.
    pub trace: Option<&'a str>,
    /// The method as it came.
    pub method: &'a str,
    /// The template of the route that was found, if any; never the path, which may tell too much.
    pub route: Option<&'static str>,
    /// The reply's status.
    pub status: u16,
    /// From the request's head to the reply.
    pub duration: Duration,
    /// When the reply was made.
    pub at: Instant,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One JSON object.
    Json,
    /// For people.
    Human {
        /// With the escape sequences of ANSI terminals.
        color: bool,
    },
}

/// Writes lines of one core in one style.
#[derive(Debug)]
pub(super) struct LineFormat {
    style: Style,
    opening: Opening,
    /// All after the duration, the same in every line.
    end: String,
}

/// What a line begins with: in JSON up to the duration, for people up to the id. Most lines of a busy core have there
/// what the one before has, but for the fraction of the second and the id: one copy takes the place of eight
/// (`benches/telemetry.rs`, `access_line`).
#[derive(Debug)]
struct Opening {
    /// What stands before the time.
    before: &'static str,
    /// What stands between the time and the id.
    after: String,
    /// The whole second of the time, since 1970; none before the first line.
    second: Option<u64>,
    time: [u8; stamp::BYTES],
    method: String,
    route: Option<&'static str>,
    status: u16,
    /// With a fraction of zeros; in JSON with room for the id.
    text: Vec<u8>,
}

/// Bytes of the id that a usual line has, one made here.
const ID_BYTES: usize = request_id::MADE_BYTES;

impl Opening {
    fn new(before: &'static str, after: String) -> Self {
        let (text, time) = (Vec::new(), [0; stamp::BYTES]);
        Self { before, after, second: None, time, method: String::new(), route: None, status: 0, text }
    }

    /// Where the fraction of the second stands.
    fn fraction(&self) -> Range<usize> {
        let begin = self.before.len() + stamp::FRACTION.start;
        begin..begin + stamp::FRACTION.len()
    }

    /// Where the id begins.
    fn id(&self) -> usize {
        self.before.len() + stamp::BYTES + self.after.len()
    }

    /// The whole text up to the id of a line for people.
    fn of_second(&mut self, second: u64) -> &[u8] {
        if self.second != Some(second) {
            self.fill_to_id(second);
        }
        &self.text
    }

    /// The whole text up to the duration of a line in JSON.
    fn of(&mut self, line: &Line<'_>, second: u64) -> &[u8] {
        let same_route = match (self.route, line.route) {
            // By address: of a template that stands in two places both are right.
            (Some(ours), Some(theirs)) => ptr::eq(ours, theirs),
            (ours, theirs) => ours == theirs,
        };
        let same_line = same_route && self.status == line.status && self.method == line.method;
        if self.second != Some(second) || !same_line {
            line.method.clone_into(&mut self.method);
            (self.route, self.status) = (line.route, line.status);
            self.fill_to_id(second);
            self.fill_to_duration();
        }
        &self.text
    }

    fn fill_to_id(&mut self, second: u64) {
        if self.second.replace(second) != Some(second) {
            self.time = stamp::whole_second(second);
        }
        self.text.clear();
        self.text.extend_from_slice(self.before.as_bytes());
        self.text.extend_from_slice(&self.time);
        self.text.extend_from_slice(self.after.as_bytes());
    }

    fn fill_to_duration(&mut self) {
        let out = &mut self.text;
        out.extend_from_slice(&[0; ID_BYTES]);
        out.extend_from_slice(b"\",\"method\":");
        quote(&self.method, out);
        if let Some(route) = self.route {
            out.extend_from_slice(b",\"route\":\"");
            plain(route, out);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"status\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.status).as_bytes());
        out.extend_from_slice(b",\"duration_us\":");
    }
}

impl LineFormat {
    pub(super) fn new(style: Style, core: usize) -> Self {
        let (opening, end) = match style {
            Style::Json => (
                Opening::new("{\"timestamp\":\"", "\",\"level\":\"INFO\",\"request_id\":\"".to_owned()),
                format!(",\"core\":{core},\"target\":\"{TARGET}\"}}\n"),
            ),
            Style::Human { color } => {
                let [dim, green, plain] = if color { ["\x1b[2m", "\x1b[32m", "\x1b[0m"] } else { [""; 3] };
                let after = format!("{plain} {green} INFO{plain} {dim}{TARGET}:{plain} request_id=");
                (Opening::new(dim, after), format!(" core={core}\n"))
            }
        };
        Self { style, opening, end }
    }

    /// Appends the line of a request that was answered `now` since 1970, with its line feed.
    pub(super) fn append(&mut self, line: &Line<'_>, now: Duration, out: &mut Vec<u8>) {
        let begin = out.len();
        match self.style {
            Style::Json => self.json(line, now.as_secs(), out),
            Style::Human { .. } => {
                out.extend_from_slice(self.opening.of_second(now.as_secs()));
                human(line, out);
            }
        }
        stamp::write_fraction(now, &mut out[begin..][self.opening.fraction()]);
        out.extend_from_slice(itoa::Buffer::new().format(duration_us(line.duration)).as_bytes());
        out.extend_from_slice(self.end.as_bytes());
    }

    fn json(&mut self, line: &Line<'_>, second: u64, out: &mut Vec<u8>) {
        let at = self.opening.id();
        let text = self.opening.of(line, second);
        if let (Ok(id), None) = (<&[u8; ID_BYTES]>::try_from(line.id.as_bytes()), line.trace) {
            let begin = out.len() + at;
            out.extend_from_slice(text);
            out[begin..][..ID_BYTES].copy_from_slice(id);
            return;
        }
        out.extend_from_slice(&text[..at]);
        plain(line.id, out);
        if let Some(trace) = line.trace {
            out.extend_from_slice(b"\",\"trace_id\":\"");
            plain(trace, out);
        }
        out.extend_from_slice(&text[at + ID_BYTES..]);
    }
}

fn human(line: &Line<'_>, out: &mut Vec<u8>) {
    let mut write = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("a vector takes all that is written to it");
    };
    write(format_args!("{}", line.id));
    if let Some(trace) = line.trace {
        write(format_args!(" trace_id={trace}"));
    }
    write(format_args!(" method={}", line.method));
    if let Some(route) = line.route {
        write(format_args!(" route={route}"));
    }
    write(format_args!(" status={} duration_us=", line.status));
}

fn duration_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Appends what a JSON string holds, of a text that needs no escapes.
fn plain(text: &str, out: &mut Vec<u8>) {
    debug_assert!(!text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\'), "{text:?}");
    out.extend_from_slice(text.as_bytes());
}

/// Appends a JSON string.
fn quote(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string becomes JSON, and a vector takes it");
}
