//! The text of an access line: that of an event without a message, as `tracing_subscriber` writes it in flat JSON
//! or in its full format for people. It knows nothing of where lines go.

use std::io::Write;
use std::time::{Duration, Instant};

use super::TARGET;
use super::stamp::Stamp;

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
    /// All before the id.
    head: Stamp,
    /// What follows the ids in JSON up to the duration.
    middle: Middle,
    /// All after the duration, the same in every line.
    end: String,
}

/// What stands in JSON between the ids and the duration. Most lines of a busy core have there what the one before has: a
/// comparison and one copy take the place of six (`benches/telemetry.rs`, `access_line`).
#[derive(Debug, Default)]
struct Middle {
    method: String,
    route: Option<&'static str>,
    status: u16,
    json: Vec<u8>,
}

impl Middle {
    fn of(&mut self, line: &Line<'_>) -> &[u8] {
        if self.json.is_empty()
            || self.status != line.status
            || self.route != line.route
            || self.method != line.method
        {
            line.method.clone_into(&mut self.method);
            (self.route, self.status) = (line.route, line.status);
            self.fill();
        }
        &self.json
    }

    fn fill(&mut self) {
        let out = &mut self.json;
        out.clear();
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
        let (head, end) = match style {
            Style::Json => (
                Stamp::between("{\"timestamp\":\"", "\",\"level\":\"INFO\",\"request_id\":\""),
                format!(",\"core\":{core},\"target\":\"{TARGET}\"}}\n"),
            ),
            Style::Human { color } => {
                let [dim, green, plain] = if color { ["\x1b[2m", "\x1b[32m", "\x1b[0m"] } else { [""; 3] };
                let after = format!("{plain} {green} INFO{plain} {dim}{TARGET}:{plain} request_id=");
                (Stamp::between(dim, &after), format!(" core={core}\n"))
            }
        };
        Self { style, head, middle: Middle::default(), end }
    }

    /// Appends the line of a request that was answered `now` since 1970, with its line feed.
    pub(super) fn append(&mut self, line: &Line<'_>, now: Duration, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.at(now));
        match self.style {
            Style::Json => self.json(line, out),
            Style::Human { .. } => human(line, out),
        }
        out.extend_from_slice(itoa::Buffer::new().format(duration_us(line.duration)).as_bytes());
        out.extend_from_slice(self.end.as_bytes());
    }

    fn json(&mut self, line: &Line<'_>, out: &mut Vec<u8>) {
        plain(line.id, out);
        if let Some(trace) = line.trace {
            out.extend_from_slice(b"\",\"trace_id\":\"");
            plain(trace, out);
        }
        out.extend_from_slice(self.middle.of(line));
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
