//! The log: where lines go, in which format, and what is let through.
//!
//! Lines go to standard error, so that standard output belongs to the results of commands. A thread of its own
//! writes them: a slow terminal or pipe never holds up a core. When its queue is full, lines are dropped and
//! counted.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// Lines that wait for the writer. At 200 bytes a line it bounds the memory to some 13 MB.
const QUEUE_LINES: usize = 65_536;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// The subscriber below the layer that writes lines.
type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// Writes out what is queued when it is dropped, and changes the filter while it lives.
#[derive(Debug)]
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

/// Starts logging for the process. `directives` is a level or a list as `EnvFilter` reads it.
///
/// Errors when the directives cannot be read.
pub fn start(format: Format, directives: &str) -> Result<Logging, ParseError> {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE_LINES)
        .thread_name("log-writer")
        .finish(std::io::stderr());
    let dropped = writer.error_counter();
    let (filter, handle) = reload::Layer::new(parse(directives)?);
    tracing_subscriber::registry().with(filter).with(lines(format, writer)).init();
    Ok(Logging { filter: handle, dropped, _writer: guard })
}

fn lines(format: Format, writer: NonBlocking) -> Box<dyn Layer<Filtered> + Send + Sync> {
    let terminal = std::io::stderr().is_terminal();
    let human = format == Format::Human || (format == Format::Auto && terminal);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    if human {
        // https://no-color.org
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        layer.with_ansi(color).boxed()
    } else {
        layer.json().flatten_event(true).with_span_list(false).boxed()
    }
}

fn parse(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).parse(directives)
}

impl Logging {
    /// Lets other lines through from now on. Errors when the directives cannot be read; then nothing changes.
    pub fn set_filter(&self, directives: &str) -> Result<(), ParseError> {
        let filter = parse(directives)?;
        // The layer lives as long as the process.
        let _ = self.filter.reload(filter);
        Ok(())
    }

    /// Lines dropped so far because the writer did not keep up.
    pub fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}
