//! The log: where lines go, in which format, and what is let through.
//!
//! Lines go to standard error, so that standard output belongs to the results of commands. A thread of its own
//! writes them (`log_writer`): a slow terminal or pipe never holds up a core.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::access::{AccessLines, Admission, Sampling, Style};
use super::log_writer::{self, DroppedLines, LineWriter, LogQueue, WriterThread};
use super::otlp::{Collector, OtlpError};

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

impl Format {
    fn style(self) -> Style {
        let terminal = io::stderr().is_terminal();
        match self {
            Self::Json => Style::Json,
            Self::Auto if !terminal => Style::Json,
            // https://no-color.org
            Self::Auto | Self::Human => Style::Human {
                color: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            },
        }
    }
}

/// Why logging does not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The directives cannot be read.
    #[error(transparent)]
    Directives(#[from] ParseError),
    /// Spans cannot be sent to the collector.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// The system gives no thread for the writer.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[from] io::Error),
}

/// Writes out what is queued when it is dropped, and changes the filter while it lives.
#[derive(Debug)]
pub struct Logging {
    filter: reload::Handle<Targets, Registry>,
    style: Style,
    access: Arc<Admission>,
    queue: Arc<LogQueue>,
    _writer: WriterThread,
    #[cfg(feature = "otlp")]
    _exporter: Option<super::otlp::Exporter>,
}

/// Starts logging for the process. `directives` is a level or a list as [`Targets`] reads it. Spans go to `collector` too,
/// if there is one. The thread that writes calls `settle_in` first: it may give itself a priority.
pub fn start(
    format: Format,
    directives: &str,
    collector: Option<&Collector>,
    settle_in: fn(),
) -> Result<Logging, LoggingError> {
    start_to(io::stderr(), format, directives, collector, settle_in)
}

/// As [`start`], but lines go to `sink`.
pub fn start_to(
    sink: impl Write + Send + 'static,
    format: Format,
    directives: &str,
    collector: Option<&Collector>,
    settle_in: fn(),
) -> Result<Logging, LoggingError> {
    let (subscriber, logging) = build(format.style(), directives, collector, sink, settle_in)?;
    // Not by `init`, which also takes in what libraries write by the `log` crate: at debug level that of Postgres tells
    // the parameters of statements, hashes of passwords among them.
    tracing::subscriber::set_global_default(subscriber).expect("the process starts its log once");
    logging.access.ask();
    Ok(logging)
}

/// A log that writes to `sink`, and what passes lines to it.
fn build(
    style: Style,
    directives: &str,
    collector: Option<&Collector>,
    sink: impl Write + Send + 'static,
    settle_in: fn(),
) -> Result<(impl Subscriber + Send + Sync, Logging), LoggingError> {
    let (filter, handle) = reload::Layer::new(directives.parse()?);
    let (queue, writer) = log_writer::start(sink, settle_in)?;
    let lines = lines(style, LineWriter(Arc::clone(&queue)));
    #[cfg(feature = "otlp")]
    let (layers, exporter) = with_collector(lines, filter, collector)?;
    #[cfg(not(feature = "otlp"))]
    let layers = {
        debug_assert_eq!(collector, None, "the settings allow none");
        lines.with_filter(filter)
    };
    let subscriber = tracing_subscriber::registry().with(layers);
    let logging = Logging {
        filter: handle,
        style,
        access: Arc::default(),
        queue,
        _writer: writer,
        #[cfg(feature = "otlp")]
        _exporter: exporter,
    };
    Ok((subscriber, logging))
}

/// What is done with lines and spans, and by whom.
#[cfg(feature = "otlp")]
type Exporting = (Vec<Box<dyn Layer<Registry> + Send + Sync>>, Option<super::otlp::Exporter>);

/// Lines obey the filter, spans for the collector do not.
#[cfg(feature = "otlp")]
fn with_collector(
    lines: Box<dyn Layer<Registry> + Send + Sync>,
    filter: reload::Layer<Targets, Registry>,
    collector: Option<&Collector>,
) -> Result<Exporting, LoggingError> {
    let mut layers = vec![lines.with_filter(filter).boxed()];
    let mut exporter = None;
    if let Some(collector) = collector {
        let (spans, sends) = super::otlp::layer(collector)?;
        layers.push(spans);
        exporter = Some(sends);
    }
    Ok((layers, exporter))
}

fn lines(style: Style, writer: LineWriter) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match style {
        Style::Human { color } => layer.with_ansi(color).boxed(),
        Style::Json => {
            // All spans of a line, so that what is far below a request names it too.
            layer.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed()
        }
    }
}

impl Logging {
    /// Lets other lines through from now on. Errors when the directives cannot be read; then nothing changes.
    pub fn set_filter(&self, directives: &str) -> Result<(), ParseError> {
        let filter = directives.parse::<Targets>()?;
        // The layer lives as long as the process.
        let _ = self.filter.reload(filter);
        self.access.ask();
        Ok(())
    }

    /// The access lines of one core, for the thread that serves it. `core` is its number in the lines.
    pub fn access_lines(&self, core: usize, sampling: Sampling) -> AccessLines {
        AccessLines::new(Arc::clone(&self.queue), Arc::clone(&self.access), self.style, core, sampling)
    }

    /// The count of dropped lines, for whoever reports it.
    pub fn dropped(&self) -> DroppedLines {
        self.queue.dropped().clone()
    }

    /// Lines dropped so far because the writer did not keep up.
    pub fn dropped_lines(&self) -> usize {
        self.queue.dropped().count()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::super::access::Line;
    use super::super::log_writer::tests::Written;
    use super::*;

    #[test]
    fn a_new_filter_reaches_access_lines_that_are_already_in_use() {
        const ACCESS_ONLY: &str = "off,ringledger::access=info";
        let (sink, written) = mpsc::channel();
        let (subscriber, logging) = build(Style::Json, "info", None, Written(sink), || ()).unwrap();
        let lines = logging.access_lines(0, Sampling::All);
        let duration = Duration::from_micros(1);
        let line = Line {
            id: "a",
            trace: None,
            method: "GET",
            route: None,
            status: 200,
            duration,
            at: Instant::now(),
        };
        tracing::subscriber::with_default(subscriber, || {
            logging.access.ask();
            for (directives, id) in [("info", "A"), ("warn", "B"), (ACCESS_ONLY, "C"), ("off", "D")] {
                logging.set_filter(directives).unwrap();
                lines.record(&Line { id, ..line });
            }
        });
        drop((lines, logging));
        let text = String::from_utf8(written.iter().collect::<Vec<_>>().concat()).unwrap();
        let seen: Vec<_> =
            text.lines().map(|line| line.split("\"request_id\":").nth(1).unwrap()[..3].to_owned()).collect();
        assert_eq!(seen, ["\"A\"", "\"C\""]);
    }
}
