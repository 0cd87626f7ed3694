//! The two text formats that Prometheus scrapes: its own, 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), and OpenMetrics 1.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>). It knows no metric by name.
//!
//! Our own, because `prometheus-client` writes only OpenMetrics and `prometheus` only 0.0.4.

use std::fmt::{Display, Write};

use super::cells::{Reading, Scale};

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics text 1.0.
    OpenMetrics,
}

impl Format {
    /// The media type of what is written, for `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What kind of metric a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// Constant labels with the value 1; a gauge in 0.0.4.
    Info,
}

/// The labels of a series, escaped and joined once for all its lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels(String);

impl Labels {
    /// With one more label.
    pub(super) fn and(self, name: &str, value: impl Display) -> Self {
        self.join(name, &value.to_string())
    }

    // Not in place: a scrape has this from dozens of places.
    #[inline(never)]
    fn join(mut self, name: &str, value: &str) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        self.0 = format!("{}{comma}{name}=\"{value}\"", self.0);
        self
    }
}

/// A text in the making.
#[derive(Debug)]
pub(super) struct Text {
    format: Format,
    out: String,
    name: &'static str,
    /// What the format adds to the name of the family's samples.
    suffix: &'static str,
}

impl Text {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, out: String::new(), name: "", suffix: "" }
    }

    /// Begins a family; its samples follow. `name` goes without `_total` and `_info`, `help` needs no escapes.
    #[inline(never)]
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.name = name;
        self.suffix = match kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        // 0.0.4 declares the name that its samples have, OpenMetrics the family's.
        let (suffix, kind) = match (self.format, kind) {
            (Format::Prometheus, Kind::Counter) => (self.suffix, "counter"),
            (Format::Prometheus, Kind::Info) => (self.suffix, "gauge"),
            (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
            (Format::OpenMetrics, Kind::Info) => ("", "info"),
            (_, Kind::Gauge) => ("", "gauge"),
            (_, Kind::Histogram) => ("", "histogram"),
        };
        self.write(format_args!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
    }

    /// A sample of a counter, gauge or info. Numbers are written in full; neither format minds.
    pub(super) fn sample(&mut self, labels: &Labels, value: impl Display) {
        let suffix = self.suffix;
        self.line(suffix, labels, None, &value);
    }

    /// The samples of a histogram that was counted on `scale`.
    #[inline(never)]
    pub(super) fn histogram(&mut self, scale: &Scale, labels: &Labels, reading: &Reading) {
        let bounds = scale.bounds.iter().map(|&(_, label)| label).chain(["+Inf"]);
        for (le, count) in bounds.zip(reading.cumulative) {
            self.line("_bucket", labels, Some(le), &count);
        }
        self.line("_sum", labels, None, &units(scale, reading.sum));
        self.line("_count", labels, None, &reading.count());
    }

    /// In pieces, since a scrape may have thousands of lines and runs beside requests.
    #[inline(never)]
    fn line(&mut self, suffix: &str, Labels(labels): &Labels, le: Option<&str>, value: &dyn Display) {
        let out = &mut self.out;
        out.extend([self.name, suffix]);
        let comma = if labels.is_empty() { "" } else { "," };
        match le {
            Some(le) => out.extend(["{", labels, comma, "le=\"", le, "\"}"]),
            None if labels.is_empty() => {}
            None => out.extend(["{", labels, "}"]),
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string takes all that is written to it");
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact to the nanosecond for 104 days, then to 16 digits")]
fn units(scale: &Scale, sum: u64) -> f64 {
    sum as f64 / scale.per_unit
}
