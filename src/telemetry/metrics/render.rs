//! The families that a scrape shows. Names and labels are an interface: dashboards and alerts know them.

use std::time::SystemTime;

use super::cells::{Histogram, OneWriter, Tally};
use super::per_core::{CoreCells, STATUSES};
use super::process::Usage;
use super::text::{Format, Kind, Labels, Text};
use super::{Core, Metrics, SharedHistogram};

/// The method and route of requests that no row of the table serves.
const UNMATCHED: [&str; 2] = ["other", "unmatched"];

/// A series of requests: its labels and its durations.
type Series<'a> = (Labels, &'a Histogram<OneWriter>);

impl Metrics {
    /// Everything that is known now, as text. Series that have counted no request are left out.
    pub fn render(&self, format: Format) -> String {
        let mut text = Text::new(format);
        self.requests(&mut text);
        self.cores(&mut text);
        self.cpu_pool(&mut text);
        self.process(&mut text);
        text.finish()
    }

    fn requests(&self, text: &mut Text) {
        let series: Vec<Series<'_>> = self.cores.iter().flat_map(|core| self.series(core)).collect();
        text.family("http_requests", Kind::Counter, "Requests answered.");
        for (labels, durations) in &series {
            text.sample(labels, durations.read().count());
        }
        text.family(
            "http_request_duration_seconds",
            Kind::Histogram,
            "Time from a request's head to its reply.",
        );
        for (labels, durations) in &series {
            text.histogram(labels, &durations.read());
        }
    }

    /// The series of a core that have counted something.
    fn series<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = Series<'a>> {
        let known = self.rows.iter().map(|row| [row.method.as_str(), row.route.as_str()]);
        let slots = known.chain([UNMATCHED]).zip(core.cells.rows()).flat_map(|(row, slots)| {
            let statuses = STATUSES.iter().map(Some).chain([None]);
            statuses.zip(slots).map(move |(status, durations)| (row, status, durations))
        });
        slots.filter(|(_, _, durations)| durations.read().count() > 0).map(
            |([method, route], status, durations)| {
                let labels = Labels::default().and("method", method).and("route", route);
                let labels = match status {
                    Some(status) => labels.and("status", status),
                    None => labels.and("status", "other"),
                };
                (labels.and("core", core.number), durations)
            },
        )
    }

    fn cores(&self, text: &mut Text) {
        type Cell = fn(&CoreCells) -> &OneWriter;
        let families: [(&str, Kind, &str, Cell); 3] = [
            ("http_requests_in_flight", Kind::Gauge, "Requests being answered.", |cells| &cells.in_flight),
            ("connections", Kind::Gauge, "Connections open.", |cells| &cells.connections),
            ("connections_accepted", Kind::Counter, "Connections accepted.", |cells| &cells.accepted),
        ];
        for (name, kind, help, cell) in families {
            text.family(name, kind, help);
            for core in &self.cores {
                text.sample(&Labels::default().and("core", core.number), cell(&core.cells).value());
            }
        }
    }

    fn cpu_pool(&self, text: &mut Text) {
        let mut histogram = |name, help, durations: &SharedHistogram| {
            text.family(name, Kind::Histogram, help);
            text.histogram(&Labels::default(), &durations.read());
        };
        histogram("cpu_pool_queue_seconds", "Time that jobs waited for a thread.", &self.cpu_pool_queue);
        histogram("cpu_pool_run_seconds", "Time that jobs ran.", &self.cpu_pool_run);
    }

    fn process(&self, text: &mut Text) {
        let bare = Labels::default();
        text.family("build", Kind::Info, "What runs.");
        text.sample(&bare.clone().and("version", self.version), 1);
        text.family("log_lines_dropped", Kind::Counter, "Log lines that the writer did not keep up with.");
        text.sample(&bare, self.dropped_lines.count());
        text.family("process_start_time_seconds", Kind::Gauge, "Unix time of the start.");
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        text.sample(&bare, started.as_secs_f64());
        // Without proc(5) these are unknown, and left out.
        let Ok(usage) = Usage::read() else { return };
        text.family("process_resident_memory_bytes", Kind::Gauge, "Resident memory.");
        text.sample(&bare, usage.resident_bytes);
        text.family("process_open_fds", Kind::Gauge, "Open file descriptors.");
        text.sample(&bare, usage.open_fds);
        text.family("process_cpu_seconds", Kind::Counter, "CPU time of all threads, user and kernel.");
        text.sample(&bare, usage.cpu_seconds());
    }
}
