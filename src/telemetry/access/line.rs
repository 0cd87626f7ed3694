//! The text of an access line, as `tracing_subscriber` would write it: JSON flattened, with the request's span
//! and without a span list, or its full format for people. It knows nothing of where lines go.

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
pub(in crate::telemetry) enum Style {
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
    core: usize,
    stamp: Stamp,
    /// What stands in JSON between the duration and the id, the same in every line.
    middle: String,
    tail: Tail,
}

/// The last line's end in JSON. Most lines of a busy core end as the one before: a comparison and one copy take the
/// place of six (`benches/telemetry.rs`, `access_line`).
#[derive(Debug, Default)]
struct Tail {
    method: String,
    route: Option<&'static str>,
    json: Vec<u8>,
}

impl Tail {
    /// From the method on, of a line without a trace.
    fn of(&mut self, method: &str, route: Option<&'static str>) -> &[u8] {
        if self.json.is_empty() || self.method != method || self.route != route {
            self.json.clear();
            append_tail(method, route, None, &mut self.json);
            method.clone_into(&mut self.method);
            self.route = route;
        }
        &self.json
    }
}

impl LineFormat {
    pub(super) fn new(style: Style, core: usize) -> Self {
        let middle = format!(",\"core\":{core},\"target\":\"{TARGET}\",\"span\":{{\"id\":");
        Self { style, core, stamp: Stamp::default(), middle, tail: Tail::default() }
    }

    /// Appends the line of a request that was answered `now` since 1970, with its line feed.
    pub(super) fn append(&mut self, line: &Line<'_>, now: Duration, out: &mut Vec<u8>) {
        match self.style {
            Style::Json => self.json(line, now, out),
            Style::Human { color } => self.human(line, now, color, out),
        }
    }

    fn json(&mut self, line: &Line<'_>, now: Duration, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"{\"timestamp\":\"");
        out.extend_from_slice(self.stamp.at(now));
        out.extend_from_slice(b"\",\"level\":\"INFO\",\"message\":\"request\",\"status\":");
        out.extend_from_slice(digits.format(line.status).as_bytes());
        out.extend_from_slice(b",\"duration_us\":");
        out.extend_from_slice(digits.format(duration_us(line.duration)).as_bytes());
        out.extend_from_slice(self.middle.as_bytes());
        plain(line.id, out);
        match line.trace {
            None => out.extend_from_slice(self.tail.of(line.method, line.route)),
            Some(_) => append_tail(line.method, line.route, line.trace, out),
        }
    }

    fn human(&mut self, line: &Line<'_>, now: Duration, color: bool, out: &mut Vec<u8>) {
        let (dim, green, plain) = if color { ("\x1b[2m", "\x1b[32m", "\x1b[0m") } else { ("", "", "") };
        out.extend_from_slice(dim.as_bytes());
        out.extend_from_slice(self.stamp.at(now));
        let mut write = |text: std::fmt::Arguments<'_>| {
            out.write_fmt(text).expect("a vector takes all that is written to it");
        };
        write(format_args!("{plain} {green} INFO{plain} request{{id={}", line.id));
        if let Some(trace) = line.trace {
            write(format_args!(" trace={trace:?}"));
        }
        write(format_args!(" method={}", line.method));
        if let Some(route) = line.route {
            write(format_args!(" route={route:?}"));
        }
        let (status, duration_us) = (line.status, duration_us(line.duration));
        write(format_args!("}}: {dim}{TARGET}:{plain} request status={status} duration_us={duration_us}"));
        write(format_args!(" core={}\n", self.core));
    }
}

fn append_tail(method: &str, route: Option<&str>, trace: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"method\":");
    quote(method, out);
    for (key, value) in [(",\"route\":", route), (",\"trace\":", trace)] {
        if let Some(value) = value {
            out.extend_from_slice(key.as_bytes());
            plain(value, out);
        }
    }
    out.extend_from_slice(b",\"name\":\"request\"}}\n");
}

fn duration_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Appends a JSON string of a text that needs no escapes.
fn plain(text: &str, out: &mut Vec<u8>) {
    debug_assert!(!text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\'), "{text:?}");
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends a JSON string.
fn quote(text: &str, out: &mut Vec<u8>) {
    // Counted to the end, since that compiles to vector instructions.
    let escapes = text.bytes().filter(|&byte| byte < b' ' || byte == b'"' || byte == b'\\').count();
    if escapes == 0 {
        plain(text, out);
    } else {
        serde_json::to_writer(out, text).expect("a string becomes JSON, and a vector takes it");
    }
}
